/* The "meta" and "headers" of a record: what the patterns ask for. */
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/log/record_private.h"
#include "proto/header.h"

/* The prefix of a wildcard pattern. */
static bool wildcard(struct slice pattern, struct slice *prefix)
{
    *prefix = slice_head(pattern, pattern.len - (pattern.len != 0));
    return slice_ends(pattern, SLICE("*"));
}

bool log_capture_takes_meta(const struct log_capture *c, struct slice name, struct slice json)
{
    bool is_null = slice_eq(json, SLICE("null"));

    for (uint32_t i = 0; i < c->meta_count; i++) {
        struct slice prefix;

        if (wildcard(c->meta[i], &prefix) ? slice_starts(name, prefix)
                                          : !is_null && slice_eq(name, c->meta[i])) {
            return true;
        }
    }
    return false;
}

void record_put_meta(const struct meta *meta, const struct log_capture *c, struct buf *out)
{
    struct meta_entry e;
    bool first = true;

    buf_char(out, '{');
    if (meta != NULL && c->meta_count != 0) {
        for (size_t at = 0; meta_next(meta, &at, &e);) {
            if (log_capture_takes_meta(c, e.name, e.value)) {
                if (!first) {
                    buf_char(out, ',');
                }
                json_write_string(out, e.name);
                buf_char(out, ':');
                buf_put(out, e.value);
                first = false;
            }
        }
    }
    buf_char(out, '}');
}

/* ---- headers ---- */

#define NONE UINT32_MAX

struct captured {
    struct slice name, raw_value;
    uint64_t hash;
    uint32_t next;  /* the next of the same name */
    uint32_t last;  /* of the first: the last of the same name so far */
    uint32_t chain; /* the next first in the same bucket */
    bool is_first;
};

struct capture_run {
    const struct log_capture *patterns;
    struct buf items; /* struct captured */
};

static bool collect(void *arg, struct slice name, struct slice raw_value)
{
    struct capture_run *run = arg;

    for (uint32_t i = 0; i < run->patterns->header_count; i++) {
        if (header_name_matches(name, run->patterns->headers[i])) {
            struct captured item = {.name = name, .raw_value = raw_value, .next = NONE};

            buf_append(&run->items, &item, sizeof(item));
            break;
        }
    }
    return true;
}

static uint64_t hash_nocase(struct slice name, struct buf *scratch)
{
    buf_clear(scratch);
    buf_reserve(scratch, name.len);
    for (size_t i = 0; i < name.len; i++) {
        buf_char(scratch, char_lower(name.ptr[i]));
    }
    return hash64_slice(buf_slice(scratch), 0);
}

/* Links headers of the same name. By hash: a message may have as many as it has lines. */
static void link_same_names(struct captured *items, uint32_t count, struct buf *scratch)
{
    uint32_t bucket_count = 16;
    uint32_t *buckets;

    while (bucket_count < count && bucket_count < UINT32_C(1) << 30) {
        bucket_count *= 2;
    }
    buckets = mem_take(bucket_count * sizeof(*buckets));
    memset(buckets, 0xff, bucket_count * sizeof(*buckets)); /* NONE */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *bucket, first;

        items[i].hash = hash_nocase(items[i].name, scratch);
        bucket = &buckets[items[i].hash & (bucket_count - 1)];
        first = *bucket;
        while (first != NONE && (items[first].hash != items[i].hash ||
                                 !slice_eq_nocase(items[first].name, items[i].name))) {
            first = items[first].chain;
        }
        items[i].is_first = first == NONE;
        if (items[i].is_first) {
            items[i].chain = *bucket;
            items[i].last = i;
            *bucket = i;
        } else {
            items[items[first].last].next = i;
            items[first].last = i;
        }
    }
    mem_give(buckets);
}

static void put_decoded(struct buf *out, struct slice raw_value, struct buf *scratch)
{
    buf_clear(scratch);
    (void)header_decode_put(scratch, raw_value); /* what is not UTF-8 is replaced below */
    json_write_string(out, buf_slice(scratch));
}

static void put_header(struct buf *out, const struct captured *items, uint32_t first,
                       struct buf *scratch)
{
    json_write_string(out, items[first].name);
    buf_char(out, ':');
    if (items[first].next == NONE) {
        put_decoded(out, items[first].raw_value, scratch);
        return;
    }
    buf_char(out, '[');
    for (uint32_t i = first; i != NONE; i = items[i].next) {
        if (i != first) {
            buf_char(out, ',');
        }
        put_decoded(out, items[i].raw_value, scratch);
    }
    buf_char(out, ']');
}

void record_put_headers(const struct message *m, const struct log_capture *c, struct buf *scratch,
                        struct buf *out)
{
    struct capture_run run = {.patterns = c};
    struct captured *items;
    uint32_t count;
    bool first = true;

    if (m == NULL || c->header_count == 0) {
        BUF_LIT(out, "{}");
        return;
    }
    message_each_header(m, collect, &run);
    items = (struct captured *)(void *)run.items.ptr;
    count = (uint32_t)(run.items.len / sizeof(*items));
    link_same_names(items, count, scratch);
    buf_char(out, '{');
    for (uint32_t i = 0; i < count; i++) {
        if (items[i].is_first) {
            if (!first) {
                buf_char(out, ',');
            }
            put_header(out, items, i, scratch);
            first = false;
        }
    }
    buf_char(out, '}');
    buf_free(&run.items);
}
