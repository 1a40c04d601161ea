/*
 * hmap - intrusive hash map from byte keys to objects that embed a struct hmap_node.
 *
 * Owner     one shard; no locking. The map owns its bucket array, never the objects.
 * Memory    doubles its buckets at load factor 1, never shrinks. Key bytes belong to the object
 *           and must not change while it is linked.
 * Order     iteration follows insertion buckets by hash; the hash is seeded, so peers cannot
 *           choose collisions. With the same seed and history the order is the same.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/slice.h"

struct hmap_node {
    struct hmap_node *next;
    uint64_t hash;
};

/* The key of an object, given its node. */
typedef struct slice hmap_key_fn(const struct hmap_node *node);

struct hmap {
    struct hmap_node **buckets;
    size_t bucket_count; /* power of two, or 0 before the first insert */
    size_t count;
    uint64_t seed;
    hmap_key_fn *key;
};

void hmap_init(struct hmap *m, hmap_key_fn *key, uint64_t seed);
void hmap_free(struct hmap *m); /* forgets every node */

uint64_t hmap_hash(const struct hmap *m, struct slice key);
struct hmap_node *hmap_find(const struct hmap *m, struct slice key);
struct hmap_node *hmap_find_hash(const struct hmap *m, struct slice key, uint64_t hash);
/* The key must not be in the map yet. */
void hmap_insert(struct hmap *m, struct hmap_node *node);
void hmap_remove(struct hmap *m, struct hmap_node *node);

/* for (n = hmap_first(m); n; n = next) { next = hmap_next(m, n); ... may remove n ... } */
struct hmap_node *hmap_first(const struct hmap *m);
struct hmap_node *hmap_next(const struct hmap *m, const struct hmap_node *node);
