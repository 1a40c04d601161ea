/*
 * table - fixed-size items under small indexes, found again by a 64-bit key.
 *
 * Ten million records live in such a table, so nothing in it ever moves or is rebuilt at once:
 * items sit in pages, and the index is split into buckets that grow one by one.
 *
 * Owner     one shard.
 * Memory    item size plus about seven bytes; pages are given back by table_free() only.
 * Item      begins with two uint64_t: its key (0 while free), then a field that the table uses
 *           for its free list while the item is free.
 */
#pragma once

#include <stdint.h>

#include "core/base/attr.h"

#define TABLE_NONE UINT32_MAX

struct table_bucket {
    uint32_t *cells; /* index + 1; 0 = empty */
    uint32_t cap, count;
};

struct table {
    void **pages;
    struct table_bucket *buckets;
    uint32_t item_size;
    uint32_t page_count;
    uint32_t used; /* indexes below were handed out at least once */
    uint32_t free_head;
    uint32_t count;
};

void table_init(struct table *t, uint32_t item_size);
void table_free(struct table *t);
/* A zeroed item with this key, which must be new and not 0. */
uint32_t table_take(struct table *t, uint64_t key);
void table_give(struct table *t, uint32_t index);
PURE uint32_t table_find(const struct table *t, uint64_t key); /* TABLE_NONE */

/* A page of 32-byte items is longer than what allocators keep side by side (128 KiB): buffers that
 * come and go would leave holes around pages that stay. */
#define TABLE_PAGE_ITEMS 8192u

static inline void *table_at(const struct table *t, uint32_t index)
{
    return (char *)t->pages[index / TABLE_PAGE_ITEMS] +
           (uint64_t)(index % TABLE_PAGE_ITEMS) * t->item_size;
}
