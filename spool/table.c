#include "spool/table.h"

#include <string.h>

#include "core/base/check.h"
#include "core/base/mem.h"

#define BUCKET_COUNT 4096u
#define BUCKET_CELLS_FIRST 16u

struct item {
    uint64_t key;
    uint64_t next_free; /* only while key == 0 */
};

/* Keys are counters, and those that were given out together are looked up together: sixteen
 * neighbours share a bucket and lie side by side in it, one cache line. The groups are spread (the
 * finaliser of MurmurHash3). */
#define GROUP_BITS 4u

static uint64_t key_hash(uint64_t key)
{
    uint64_t group = key >> GROUP_BITS;

    group ^= group >> 33;
    group *= 0xff51afd7ed558ccdull;
    group ^= group >> 33;
    group *= 0xc4ceb9fe1a85ec53ull;
    group ^= group >> 33;
    return group + ((key & ((1u << GROUP_BITS) - 1)) << 32);
}

static struct table_bucket *bucket_of(const struct table *t, uint64_t hash)
{
    return &t->buckets[hash & (BUCKET_COUNT - 1)];
}

static uint32_t cell_of(const struct table_bucket *b, uint64_t hash)
{
    return (uint32_t)(hash >> 32) & (b->cap - 1);
}

static uint64_t key_at(const struct table *t, uint32_t cell)
{
    return ((const struct item *)table_at(t, cell - 1))->key;
}

void table_init(struct table *t, uint32_t item_size)
{
    MUST(item_size >= sizeof(struct item) && item_size % sizeof(uint64_t) == 0);
    *t = (struct table){.item_size = item_size, .free_head = TABLE_NONE};
    t->buckets = mem_take_zero(BUCKET_COUNT * sizeof(*t->buckets));
}

void table_free(struct table *t)
{
    if (t->buckets == NULL) {
        return;
    }
    for (uint32_t i = 0; i < BUCKET_COUNT; i++) {
        mem_give(t->buckets[i].cells);
    }
    for (uint32_t i = 0; i < t->page_count; i++) {
        mem_give(t->pages[i]);
    }
    mem_give(t->pages);
    mem_give(t->buckets);
    *t = (struct table){0};
}

uint32_t table_find(const struct table *t, uint64_t key)
{
    uint64_t hash = key_hash(key);
    const struct table_bucket *b = bucket_of(t, hash);

    if (b->count == 0) {
        return TABLE_NONE;
    }
    for (uint32_t at = cell_of(b, hash); b->cells[at] != 0; at = (at + 1) & (b->cap - 1)) {
        if (key_at(t, b->cells[at]) == key) {
            return b->cells[at] - 1;
        }
    }
    return TABLE_NONE;
}

static void cell_put(struct table_bucket *b, uint64_t hash, uint32_t cell)
{
    uint32_t at = cell_of(b, hash);

    while (b->cells[at] != 0) {
        at = (at + 1) & (b->cap - 1);
    }
    b->cells[at] = cell;
}

static void bucket_grow(const struct table *t, struct table_bucket *b)
{
    struct table_bucket grown = {.cap = b->cap != 0 ? b->cap * 2 : BUCKET_CELLS_FIRST,
                                 .count = b->count};

    grown.cells = mem_take_zero(grown.cap * sizeof(*grown.cells));
    for (uint32_t i = 0; i < b->cap; i++) {
        if (b->cells[i] != 0) {
            cell_put(&grown, key_hash(key_at(t, b->cells[i])), b->cells[i]);
        }
    }
    mem_give(b->cells);
    *b = grown;
}

static uint32_t index_take(struct table *t)
{
    uint32_t index = t->free_head;

    if (index != TABLE_NONE) {
        t->free_head = (uint32_t)((struct item *)table_at(t, index))->next_free;
        return index;
    }
    index = t->used++;
    MUST(index < TABLE_NONE - 1);
    if (index / TABLE_PAGE_ITEMS == t->page_count) {
        t->pages = mem_grow(t->pages, (t->page_count + 1) * sizeof(*t->pages));
        t->pages[t->page_count++] = mem_take_zero((size_t)TABLE_PAGE_ITEMS * t->item_size);
    }
    return index;
}

uint32_t table_take(struct table *t, uint64_t key)
{
    uint64_t hash = key_hash(key);
    struct table_bucket *b = bucket_of(t, hash);

    MUST(key != 0);
    MUST_HOT(table_find(t, key) == TABLE_NONE);
    if (b->count + b->count / 4 >= b->cap) {
        bucket_grow(t, b);
    }

    uint32_t index = index_take(t);
    struct item *item = table_at(t, index);

    memset(item, 0, t->item_size);
    item->key = key;
    cell_put(b, hash, index + 1);
    b->count++;
    t->count++;
    return index;
}

/* Linear probing without tombstones: later cells of the run move up into the gap. */
static void cell_remove(const struct table *t, struct table_bucket *b, uint64_t hash, uint32_t cell)
{
    uint32_t mask = b->cap - 1;
    uint32_t gap = cell_of(b, hash);

    while (b->cells[gap] != cell) {
        MUST(b->cells[gap] != 0);
        gap = (gap + 1) & mask;
    }
    for (uint32_t at = (gap + 1) & mask; b->cells[at] != 0; at = (at + 1) & mask) {
        uint32_t home = cell_of(b, key_hash(key_at(t, b->cells[at])));

        if (((at - home) & mask) >= ((at - gap) & mask)) {
            b->cells[gap] = b->cells[at];
            gap = at;
        }
    }
    b->cells[gap] = 0;
    b->count--;
}

void table_give(struct table *t, uint32_t index)
{
    struct item *item = table_at(t, index);
    uint64_t hash = key_hash(item->key);

    MUST(item->key != 0);
    cell_remove(t, bucket_of(t, hash), hash, index + 1);
    item->key = 0;
    item->next_free = t->free_head;
    t->free_head = index;
    t->count--;
}
