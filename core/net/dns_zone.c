/* Records by name, answered as a name server would. */
#include "core/net/dns_zone.h"

#include "core/base/check.h"
#include "core/base/hmap.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/net/dns_backend.h"
#include "core/net/dns_name.h"
#include "core/net/dns_zone_private.h"
#include "core/shard/shard.h"
#include "proto/dns_answer.h"

#define ANSWER_MAX 65535u
#define FLAGS 0x8180u /* an answer; recursion asked for and done */

struct zone_record {
    uint32_t ttl_s;
    uint16_t type;
    uint32_t at, len; /* in zone_name.rdata */
};

struct zone_name {
    struct hmap_node node;
    struct buf records; /* struct zone_record */
    struct buf rdata;
    bool fails;
    uint32_t name_len;
    char name[];
};

struct dns_zone {
    struct hmap names;
    uint32_t record_count;
};

static struct slice name_key(const struct hmap_node *node)
{
    const struct zone_name *n = CONTAINER_OF(node, const struct zone_name, node);

    return slice_of(n->name, n->name_len);
}

struct dns_zone *dns_zone_new(void)
{
    struct dns_zone *z = MEM_NEW(struct dns_zone);

    hmap_init(&z->names, name_key, 0);
    return z;
}

void dns_zone_free(struct dns_zone **zp)
{
    struct hmap_node *next;

    if (*zp == NULL) {
        return;
    }
    for (struct hmap_node *n = hmap_first(&(*zp)->names); n != NULL; n = next) {
        struct zone_name *name = CONTAINER_OF(n, struct zone_name, node);

        next = hmap_next(&(*zp)->names, n);
        hmap_remove(&(*zp)->names, n);
        buf_free(&name->records);
        buf_free(&name->rdata);
        mem_give(name);
    }
    hmap_free(&(*zp)->names);
    MEM_FREE(zp);
}

static struct zone_name *name_find(const struct dns_zone *z, struct slice name)
{
    struct hmap_node *node = hmap_find(&z->names, name);

    return node != NULL ? CONTAINER_OF(node, struct zone_name, node) : NULL;
}

static struct zone_name *name_get(struct dns_zone *z, struct slice name)
{
    struct zone_name *n = name_find(z, name);

    if (n == NULL) {
        n = mem_take_zero(sizeof(*n) + name.len);
        n->name_len = (uint32_t)name.len;
        memcpy(n->name, name.ptr, name.len);
        hmap_insert(&z->names, &n->node);
    }
    return n;
}

bool zone_record_add(struct dns_zone *z, struct slice owner, uint16_t type, uint32_t ttl_s,
                     struct slice rdata)
{
    struct zone_name *n = name_get(z, owner);
    const struct zone_record r = {.ttl_s = ttl_s,
                                  .type = type,
                                  .at = (uint32_t)n->rdata.len,
                                  .len = (uint32_t)rdata.len};

    if (z->record_count == ZONE_RECORDS_MAX || rdata.len > UINT16_MAX) {
        return false;
    }
    z->record_count++;
    buf_append(&n->records, &r, sizeof(r));
    buf_put(&n->rdata, rdata);
    return true;
}

bool zone_fail_add(struct dns_zone *z, struct slice text)
{
    struct buf name = {0};
    const bool ok = dns_name_put(text, &name);

    if (ok) {
        name_get(z, buf_slice(&name))->fails = true;
    }
    buf_free(&name);
    return ok;
}

static void put_u16(struct buf *out, unsigned v)
{
    buf_char(out, (char)(v >> 8));
    buf_char(out, (char)v);
}

void zone_name_put(struct buf *out, struct slice name)
{
    while (name.len > 1) {
        const size_t len = slice_find_char(name, '.');

        buf_char(out, (char)len);
        buf_append(out, name.ptr, len);
        name = slice_from(name, len + 1);
    }
    buf_char(out, 0);
}

static bool record_put(struct buf *out, const struct zone_name *n, const struct zone_record *r,
                       size_t begin)
{
    if (out->len - begin + n->name_len + 12u + r->len > ANSWER_MAX) {
        return false;
    }
    zone_name_put(out, slice_of(n->name, n->name_len));
    put_u16(out, r->type);
    put_u16(out, 1);
    put_u16(out, r->ttl_s >> 16);
    put_u16(out, r->ttl_s & 0xffff);
    put_u16(out, r->len);
    buf_append(out, n->rdata.ptr + r->at, r->len);
    return true;
}

/* Appends the records of one type; answers how many. *last is the last of them. */
static unsigned records_put(struct buf *out, const struct zone_name *n, uint16_t type,
                            size_t begin, const struct zone_record **last)
{
    const struct zone_record *records = (const struct zone_record *)(const void *)n->records.ptr;
    unsigned count = 0;

    for (size_t i = 0; i < n->records.len / sizeof(*records); i++) {
        if (records[i].type == type && record_put(out, n, &records[i], begin)) {
            *last = &records[i];
            count++;
        }
    }
    return count;
}

/* The kept form of a name in record data. */
static void target_read(const struct zone_name *n, const struct zone_record *r, struct buf *out)
{
    const char *p = n->rdata.ptr + r->at;

    buf_clear(out);
    while (*p != 0) {
        buf_append(out, p + 1, (uint8_t)*p);
        buf_char(out, '.');
        p += (uint8_t)*p + 1;
    }
}

/* The records of `name`, through its aliases. */
static unsigned chain_put(const struct dns_zone *z, struct slice kept, uint16_t type,
                          struct buf *out, size_t begin, unsigned *rcode)
{
    const struct zone_record *last = NULL;
    struct buf name = {0};
    unsigned total = 0;

    buf_put(&name, kept);
    for (unsigned hop = 0; hop <= ZONE_CHAIN_MAX; hop++) {
        const struct zone_name *n = name_find(z, buf_slice(&name));
        unsigned count;

        if (n == NULL || n->fails) {
            *rcode = n == NULL ? DNS_NXDOMAIN : DNS_SERVFAIL;
            break;
        }
        count = records_put(out, n, type, begin, &last);
        if (count == 0 && type != DNS_CNAME) {
            count = records_put(out, n, DNS_CNAME, begin, &last);
        }
        total += count;
        if (count == 0 || last->type == type) {
            break;
        }
        target_read(n, last, &name);
    }
    buf_free(&name);
    return total;
}

void zone_answer_put(const struct dns_zone *z, struct slice text, uint16_t type, struct buf *out)
{
    const size_t begin = out->len;
    struct buf name = {0};
    unsigned rcode = DNS_NOERROR, count = 0;

    put_u16(out, 0);
    put_u16(out, FLAGS);
    put_u16(out, 1);
    for (unsigned i = 0; i < 3; i++) {
        put_u16(out, 0);
    }
    if (!dns_name_put(text, &name)) {
        buf_char(&name, '.');
        rcode = DNS_FORMERR;
    }
    zone_name_put(out, buf_slice(&name));
    put_u16(out, type);
    put_u16(out, 1);
    if (rcode == DNS_NOERROR) {
        count = chain_put(z, buf_slice(&name), type, out, begin, &rcode);
    }
    out->ptr[begin + 3] = (char)((FLAGS & 0xf0u) | rcode);
    out->ptr[begin + 6] = (char)(count >> 8);
    out->ptr[begin + 7] = (char)count;
    buf_free(&name);
}

/* The backend. */

struct zone_query {
    struct dlist link;
    struct dns_query *query;
    struct buf message;
};

struct zone_backend {
    struct dns_backend backend;
    struct shard *shard;
    struct dns_zone *zone;
    struct dlist waiting; /* struct zone_query */
    struct post post;
};

static void query_free(struct zone_query *zq)
{
    dlist_remove(&zq->link);
    zq->query->pending = NULL;
    buf_free(&zq->message);
    mem_give(zq);
}

static void answers_tell(struct post *p)
{
    struct zone_backend *zb = CONTAINER_OF(p, struct zone_backend, post);
    struct dlist batch;

    dlist_init(&batch);
    dlist_splice(&batch, &zb->waiting);
    while (!dlist_empty(&batch)) {
        struct zone_query *zq = CONTAINER_OF(batch.next, struct zone_query, link);
        struct dns_query *q = zq->query;
        struct buf message = zq->message;

        zq->message = (struct buf){0};
        query_free(zq);
        q->done(q, LOOKUP_OK, buf_slice(&message));
        buf_free(&message);
    }
}

static void backend_query(struct dns_backend *b, struct slice name, uint16_t type,
                          struct dns_query *q)
{
    struct zone_backend *zb = CONTAINER_OF(b, struct zone_backend, backend);
    struct zone_query *zq = MEM_NEW(struct zone_query);

    MUST(q->pending == NULL && q->done != NULL);
    zq->query = q;
    q->pending = zq;
    zone_answer_put(zb->zone, name, type, &zq->message);
    dlist_push(&zb->waiting, &zq->link);
    shard_post(zb->shard, &zb->post);
}

static void backend_cancel(struct dns_backend *b, struct dns_query *q)
{
    if (q->pending != NULL) {
        query_free(q->pending);
    }
}

static void backend_close(struct dns_backend *b)
{
    struct zone_backend *zb = CONTAINER_OF(b, struct zone_backend, backend);

    MUST(dlist_empty(&zb->waiting));
    shard_unpost(zb->shard, &zb->post);
    dns_zone_free(&zb->zone);
    mem_give(zb);
}

static bool zones_read(struct dns_zone *z, const struct json *list, struct buf *why)
{
    if (list == NULL || list->type != JSON_ARRAY) {
        buf_put(why, SLICE("zones must be an array of zone texts"));
        return false;
    }
    for (const struct json *text = list->first; text != NULL; text = text->next) {
        if (text->type != JSON_STRING) {
            buf_put(why, SLICE("zones must be an array of zone texts"));
            return false;
        }
        if (!dns_zone_parse(z, text->string, why)) {
            return false;
        }
    }
    return true;
}

static bool fails_read(struct dns_zone *z, const struct json *list, struct buf *why)
{
    if (list == NULL || list->type == JSON_NULL) {
        return true;
    }
    if (list->type != JSON_ARRAY) {
        buf_put(why, SLICE("servfail must be an array of names"));
        return false;
    }
    for (const struct json *name = list->first; name != NULL; name = name->next) {
        if (name->type != JSON_STRING || !zone_fail_add(z, name->string)) {
            buf_put(why, SLICE("servfail must be an array of names"));
            return false;
        }
    }
    return true;
}

bool dns_zone_open(struct shard *shard, const struct json *spec, struct dns_backend **out,
                   struct buf *why)
{
    struct dns_zone *zone = dns_zone_new();
    const struct json *zones = spec->type == JSON_ARRAY ? spec : json_get(spec, SLICE("zones"));
    struct zone_backend *zb;

    if (!zones_read(zone, zones, why) ||
        !fails_read(zone, json_get(spec, SLICE("servfail")), why)) {
        dns_zone_free(&zone);
        return false;
    }
    zb = MEM_NEW(struct zone_backend);
    zb->backend = (struct dns_backend){"zone", backend_query, backend_cancel, backend_close};
    zb->shard = shard;
    zb->zone = zone;
    zb->post.fn = answers_tell;
    dlist_init(&zb->waiting);
    *out = &zb->backend;
    return true;
}
