/* Named token buckets, found by name and spec, dropped once they are full again. */
#include "core/limit/throttle.h"

#include "core/base/check.h"
#include "core/base/mem.h"

#define EXAMINED_PER_INSERT 2u

struct bucket {
    struct hmap_node node;
    struct dlist used_link;
    struct gcra gcra;
    uint32_t key_len;
    char key[];
};

static struct slice bucket_key(const struct hmap_node *node)
{
    const struct bucket *b = CONTAINER_OF(node, const struct bucket, node);

    return slice_of(b->key, b->key_len);
}

void throttles_init(struct throttles *ts, uint64_t seed, size_t count_max)
{
    MUST(count_max > 0);
    *ts = (struct throttles){.count_max = count_max};
    hmap_init(&ts->buckets, bucket_key, seed);
    dlist_init(&ts->used);
}

static void bucket_drop(struct throttles *ts, struct bucket *b)
{
    hmap_remove(&ts->buckets, &b->node);
    dlist_remove(&b->used_link);
    mem_give(b);
}

void throttles_free(struct throttles *ts)
{
    while (!dlist_empty(&ts->used)) {
        bucket_drop(ts, CONTAINER_OF(ts->used.next, struct bucket, used_link));
    }
    hmap_free(&ts->buckets);
    buf_free(&ts->key);
}

void throttle_key_put(struct buf *out, struct slice name, const struct gcra_rate *rate)
{
    buf_put(out, name);
    buf_char(out, ':');
    buf_u64(out, rate->limit);
    buf_char(out, ':');
    buf_u64(out, rate->burst);
    buf_char(out, ':');
    buf_u64(out, rate->period_s);
}

/* A clock hand over the buckets: full ones go, the others move behind those in use, so that one
 * long debt never hides the buckets that stand after it. */
static void old_buckets_drop(struct throttles *ts, uint64_t now_ns)
{
    for (uint32_t i = 0; i < EXAMINED_PER_INSERT && !dlist_empty(&ts->used); i++) {
        struct bucket *b = CONTAINER_OF(ts->used.next, struct bucket, used_link);

        if (gcra_is_full(&b->gcra, now_ns)) {
            bucket_drop(ts, b);
        } else if (ts->buckets.count >= ts->count_max) {
            ts->dropped_count++;
            bucket_drop(ts, b);
        } else {
            dlist_remove(&b->used_link);
            dlist_push(&ts->used, &b->used_link);
        }
    }
}

static struct gcra *bucket_get(struct throttles *ts, struct slice name,
                               const struct gcra_rate *rate, uint64_t now_ns)
{
    buf_clear(&ts->key);
    throttle_key_put(&ts->key, name, rate);

    struct hmap_node *node = hmap_find(&ts->buckets, buf_slice(&ts->key));
    struct bucket *b;

    if (node != NULL) {
        b = CONTAINER_OF(node, struct bucket, node);
        dlist_remove(&b->used_link);
    } else {
        MUST(ts->key.len < UINT32_MAX);
        old_buckets_drop(ts, now_ns);
        b = mem_take_zero(sizeof(*b) + ts->key.len);
        b->key_len = (uint32_t)ts->key.len;
        memcpy(b->key, ts->key.ptr, ts->key.len);
        hmap_insert(&ts->buckets, &b->node);
    }
    dlist_push(&ts->used, &b->used_link);
    return &b->gcra;
}

uint64_t throttle_take(struct throttles *ts, struct slice name, const struct gcra_rate *rate,
                       uint64_t now_ns, uint64_t count)
{
    return gcra_take(bucket_get(ts, name, rate, now_ns), rate, now_ns, count);
}

uint64_t throttle_take_some(struct throttles *ts, struct slice name, const struct gcra_rate *rate,
                            uint64_t now_ns, uint64_t count)
{
    return gcra_take_some(bucket_get(ts, name, rate, now_ns), rate, now_ns, count);
}

void throttle_give(struct throttles *ts, struct slice name, const struct gcra_rate *rate,
                   uint64_t now_ns, uint64_t count)
{
    gcra_give(bucket_get(ts, name, rate, now_ns), rate, count);
}

struct gcra_verdict throttle_judge(struct throttles *ts, struct slice name,
                                   const struct gcra_rate *rate, uint64_t now_ns, uint64_t count)
{
    return gcra_judge(bucket_get(ts, name, rate, now_ns), rate, now_ns, count);
}
