#include "core/base/hmap.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/mem.h"

#define HMAP_BUCKETS_FIRST 16u

void hmap_init(struct hmap *m, hmap_key_fn *key, uint64_t seed)
{
    *m = (struct hmap){.key = key, .seed = seed};
}

void hmap_free(struct hmap *m)
{
    MEM_FREE(&m->buckets);
    m->bucket_count = 0;
    m->count = 0;
}

uint64_t hmap_hash(const struct hmap *m, struct slice key)
{
    return hash64_slice(key, m->seed);
}

struct hmap_node *hmap_find_hash(const struct hmap *m, struct slice key, uint64_t hash)
{
    if (m->bucket_count == 0) {
        return NULL;
    }
    for (struct hmap_node *n = m->buckets[hash & (m->bucket_count - 1)]; n != NULL; n = n->next) {
        if (n->hash == hash && slice_eq(m->key(n), key)) {
            return n;
        }
    }
    return NULL;
}

struct hmap_node *hmap_find(const struct hmap *m, struct slice key)
{
    return hmap_find_hash(m, key, hmap_hash(m, key));
}

static void hmap_rehash(struct hmap *m, size_t bucket_count)
{
    struct hmap_node **buckets = mem_take_zero(bucket_count * sizeof(*buckets));

    for (size_t i = 0; i < m->bucket_count; i++) {
        struct hmap_node *next;

        for (struct hmap_node *n = m->buckets[i]; n != NULL; n = next) {
            struct hmap_node **slot = &buckets[n->hash & (bucket_count - 1)];

            next = n->next;
            n->next = *slot;
            *slot = n;
        }
    }
    mem_give(m->buckets);
    m->buckets = buckets;
    m->bucket_count = bucket_count;
}

void hmap_insert(struct hmap *m, struct hmap_node *node)
{
    if (m->count >= m->bucket_count) {
        hmap_rehash(m, m->bucket_count != 0 ? m->bucket_count * 2 : HMAP_BUCKETS_FIRST);
    }
    node->hash = hmap_hash(m, m->key(node));
    MUST_HOT(hmap_find_hash(m, m->key(node), node->hash) == NULL);

    struct hmap_node **slot = &m->buckets[node->hash & (m->bucket_count - 1)];
    node->next = *slot;
    *slot = node;
    m->count++;
}

void hmap_remove(struct hmap *m, struct hmap_node *node)
{
    MUST(m->bucket_count != 0);
    struct hmap_node **at = &m->buckets[node->hash & (m->bucket_count - 1)];

    while (*at != node) {
        MUST(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
    m->count--;
}

static struct hmap_node *hmap_from(const struct hmap *m, size_t bucket)
{
    for (; bucket < m->bucket_count; bucket++) {
        if (m->buckets[bucket] != NULL) {
            return m->buckets[bucket];
        }
    }
    return NULL;
}

struct hmap_node *hmap_first(const struct hmap *m)
{
    return hmap_from(m, 0);
}

struct hmap_node *hmap_next(const struct hmap *m, const struct hmap_node *node)
{
    return node->next != NULL ? node->next : hmap_from(m, (node->hash & (m->bucket_count - 1)) + 1);
}
