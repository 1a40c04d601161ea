/* A map of record sets with least-recently-used order. */
#include "core/net/dns_cache.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/net/dns_set.h"

#define EXAMINED_PER_INSERT 2u

struct entry {
    struct hmap_node node;
    struct dlist used_link;
    struct dns_set *set;
    uint32_t key_len;
    char key[];
};

static struct slice entry_key(const struct hmap_node *node)
{
    const struct entry *e = CONTAINER_OF(node, const struct entry, node);

    return slice_of(e->key, e->key_len);
}

void dns_question_key_put(struct buf *out, const struct dns_question *q)
{
    buf_char(out, (char)q->view);
    buf_append(out, &q->type, sizeof(q->type));
    buf_put(out, q->name);
}

void dns_cache_init(struct dns_cache *c, uint64_t seed, size_t count_max)
{
    MUST(count_max > 0);
    *c = (struct dns_cache){.count_max = count_max};
    hmap_init(&c->entries, entry_key, seed);
    dlist_init(&c->used);
}

static void entry_drop(struct dns_cache *c, struct entry *e)
{
    hmap_remove(&c->entries, &e->node);
    dlist_remove(&e->used_link);
    dns_set_unref(e->set);
    mem_give(e);
}

void dns_cache_clear(struct dns_cache *c)
{
    while (!dlist_empty(&c->used)) {
        entry_drop(c, CONTAINER_OF(c->used.next, struct entry, used_link));
    }
}

void dns_cache_free(struct dns_cache *c)
{
    dns_cache_clear(c);
    hmap_free(&c->entries);
}

static struct entry *entry_find(struct dns_cache *c, struct slice key)
{
    struct hmap_node *node = hmap_find(&c->entries, key);

    return node != NULL ? CONTAINER_OF(node, struct entry, node) : NULL;
}

static void entry_used(struct dns_cache *c, struct entry *e)
{
    dlist_remove(&e->used_link);
    dlist_push(&c->used, &e->used_link);
}

struct dns_set *dns_cache_get(struct dns_cache *c, struct slice key, uint64_t now_ns)
{
    struct entry *e = entry_find(c, key);

    if (e != NULL && e->set->expires_ns > now_ns) {
        entry_used(c, e);
        c->hit_count++;
        return e->set;
    }
    if (e != NULL) {
        entry_drop(c, e);
    }
    c->miss_count++;
    return NULL;
}

static void room_make(struct dns_cache *c, uint64_t now_ns)
{
    for (uint32_t i = 0; i < EXAMINED_PER_INSERT && !dlist_empty(&c->used); i++) {
        struct entry *e = CONTAINER_OF(c->used.next, struct entry, used_link);

        if (e->set->expires_ns > now_ns && c->entries.count < c->count_max) {
            break; /* the least recently used is still good: leave the order alone */
        }
        entry_drop(c, e);
    }
}

void dns_cache_put(struct dns_cache *c, struct slice key, struct dns_set *set, uint64_t now_ns)
{
    struct entry *e = entry_find(c, key);

    if (e != NULL) {
        entry_drop(c, e);
    }
    if (set->expires_ns <= now_ns) {
        return;
    }
    room_make(c, now_ns);
    e = mem_take_zero(sizeof(*e) + key.len);
    e->set = dns_set_ref(set);
    e->key_len = (uint32_t)key.len;
    memcpy(e->key, key.ptr, key.len);
    hmap_insert(&c->entries, &e->node);
    dlist_push(&c->used, &e->used_link);
}
