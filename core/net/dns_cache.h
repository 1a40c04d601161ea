/*
 * dns_cache - answers by question, until they expire or make room.
 *
 * Owner     one shard. The cache holds one reference to each set it keeps.
 * Memory    at most count_max answers; the least recently used goes first. An expired one goes
 *           when it is asked for, or when it has become the least recently used.
 */
#pragma once

#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/hmap.h"
#include "core/base/list.h"
#include "core/base/slice.h"

struct dns_set;

struct dns_cache {
    struct hmap entries;
    struct dlist used; /* least recently used first */
    size_t count_max;
    uint64_t hit_count, miss_count;
};

/* A question as a map key: the view, the type, the name. */
struct dns_question {
    struct slice name; /* kept form, see dns_name.h */
    uint16_t type;
    uint8_t view;
};
void dns_question_key_put(struct buf *out, const struct dns_question *q);

void dns_cache_init(struct dns_cache *c, uint64_t seed, size_t count_max);
void dns_cache_free(struct dns_cache *c);
/* Forgets everything. */
void dns_cache_clear(struct dns_cache *c);

/* NULL when there is none that is still good; borrowed until the next call. */
struct dns_set *dns_cache_get(struct dns_cache *c, struct slice key, uint64_t now_ns);
/* Takes a reference of its own; replaces what was there. An expired set is not kept. */
void dns_cache_put(struct dns_cache *c, struct slice key, struct dns_set *set, uint64_t now_ns);
