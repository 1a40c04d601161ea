#include "tests/unit/core/net/dns_bench.h"

#include <arpa/inet.h>
#include <string.h>

#include "core/base/mem.h"
#include "proto/dns_answer.h"

static uint64_t bench_clock(struct ring *ring)
{
    return ((struct dns_bench *)ring->state)->now_ns;
}

static uint64_t bench_random(struct ring *ring)
{
    struct dns_bench *b = ring->state;

    b->random = b->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return b->random >> 16;
}

static void bench_wait_nothing(struct ring *ring, uint64_t timeout_ns)
{
    (void)ring;
    (void)timeout_ns;
}

static void bench_wake(struct ring *ring, struct ring *target)
{
    (void)ring;
    (void)target;
}

static const struct ring_backend ring_backend = {
    .name = "clock by hand",
    .wait = bench_wait_nothing,
    .wake = bench_wake,
    .clock_ns = bench_clock,
    .wall_clock_ns = bench_clock,
    .random = bench_random,
};

static void server_query(struct dns_backend *backend, struct slice name, uint16_t type,
                         struct dns_query *q)
{
    struct bench_server *s = CONTAINER_OF(backend, struct bench_server, backend);
    struct bench_query *bq = MEM_NEW(struct bench_query);

    assert_null(q->pending);
    bq->query = q;
    bq->type = type;
    buf_put(&bq->name, name);
    q->pending = bq;
    dlist_push(&s->open, &bq->link);
    s->asked_count++;
}

static void query_forget(struct bench_query *bq)
{
    bq->query->pending = NULL;
    dlist_remove(&bq->link);
    buf_free(&bq->name);
    mem_give(bq);
}

static void server_cancel(struct dns_backend *backend, struct dns_query *q)
{
    struct bench_server *s = CONTAINER_OF(backend, struct bench_server, backend);

    if (q->pending != NULL) {
        s->cancelled_count++;
        query_forget(q->pending);
    }
}

static void server_close(struct dns_backend *backend)
{
    struct bench_server *s = CONTAINER_OF(backend, struct bench_server, backend);

    assert_true(dlist_empty(&s->open)); /* the contract: no query may be under way */
}

void bench_server_init(struct bench_server *s)
{
    *s = (struct bench_server){
        .backend = {"bench", server_query, server_cancel, server_close}};
    dlist_init(&s->open);
}

struct dns_bench *bench_open(uint32_t shard_count, const struct dns_params *params)
{
    static const struct dns_params defaults = DNS_PARAMS_DEFAULT;
    struct dns_bench *b = MEM_NEW(struct dns_bench);

    b->now_ns = UINT64_C(1000000000000);
    b->group = (struct shard_group){.count = shard_count, .shards = b->shard_list};
    for (uint32_t i = 0; i < shard_count; i++) {
        b->shards[i].ring.backend = &ring_backend;
        b->shards[i].ring.state = b;
        shard_init(&b->shards[i], &b->group, i);
    }
    bench_server_init(&b->other);
    for (uint32_t i = 0; i < shard_count; i++) {
        bench_server_init(&b->servers[i]);
        resolver_init(&b->resolvers[i], &b->shards[i], params != NULL ? params : &defaults);
        assert_int_equal(resolver_view_add(&b->resolvers[i], SLICE(""), &b->servers[i].backend,
                                           false),
                         0);
    }
    return b;
}

void bench_close(struct dns_bench *b)
{
    for (uint32_t i = 0; i < b->group.count; i++) {
        resolver_free(&b->resolvers[i]);
        mail_free(&b->shards[i]);
    }
    mem_give(b);
}

void bench_turn(struct dns_bench *b, uint64_t ms)
{
    b->now_ns += ms * 1000000u;
    for (unsigned round = 0; round < 4; round++) { /* there, back, told, and what follows */
        for (uint32_t i = 0; i < b->group.count; i++) {
            shard_turn(&b->shards[i], 0);
        }
    }
}

unsigned bench_asked(const struct dns_bench *b)
{
    unsigned count = 0;

    for (uint32_t i = 0; i < b->group.count; i++) {
        count += b->servers[i].asked_count;
    }
    return count;
}

struct slice bench_name_of(struct dns_bench *b, struct buf *out, const char *stem, uint32_t owner)
{
    for (unsigned n = 0;; n++) {
        buf_clear(out);
        buf_printf(out, "%s%u.example.", stem, n);
        if (shard_of_name(&b->group, buf_slice(out)) == owner) {
            buf_char(out, '\0');
            out->len--;
            return buf_slice(out);
        }
    }
}

static struct bench_query *query_find(struct bench_server *s, const char *name, uint16_t type)
{
    for (struct dlist *n = s->open.next; n != &s->open; n = n->next) {
        struct bench_query *bq = CONTAINER_OF(n, struct bench_query, link);

        if (bq->type == type && slice_eq(buf_slice(&bq->name), slice_str(name))) {
            return bq;
        }
    }
    return NULL;
}

static void query_answer(struct bench_query *bq, enum dns_status status, struct slice message)
{
    struct dns_query *q = bq->query;

    query_forget(bq);
    q->done(q, status, message);
}

void bench_server_answer(struct bench_server *s, const char *name, uint16_t type,
                         enum dns_status status, const struct buf *message)
{
    struct bench_query *bq = query_find(s, name, type);

    assert_non_null(bq);
    query_answer(bq, status, message != NULL ? buf_slice(message) : (struct slice){NULL, 0});
}

static struct bench_server *server_asked(struct dns_bench *b, const char *name, uint16_t type)
{
    for (uint32_t i = 0; i < b->group.count; i++) {
        if (query_find(&b->servers[i], name, type) != NULL) {
            return &b->servers[i];
        }
    }
    fail_msg("nobody asked for %s type %u", name, type);
    return NULL;
}

void bench_answer(struct dns_bench *b, const char *name, uint16_t type, const struct buf *message)
{
    bench_server_answer(server_asked(b, name, type), name, type, LOOKUP_OK, message);
}

void bench_fail(struct dns_bench *b, const char *name, uint16_t type, enum dns_status status)
{
    bench_server_answer(server_asked(b, name, type), name, type, status, NULL);
}

/* Raw answers. */

static void put_u16(struct buf *m, unsigned v)
{
    buf_char(m, (char)(v >> 8));
    buf_char(m, (char)v);
}

static void put_u32(struct buf *m, uint32_t v)
{
    put_u16(m, v >> 16);
    put_u16(m, v & 0xffff);
}

static void put_name(struct buf *m, const char *name)
{
    struct slice rest = slice_str(name);

    while (rest.len > 0) {
        const size_t len = slice_find_char(rest, '.');

        if (len > 0) {
            buf_char(m, (char)len);
            buf_append(m, rest.ptr, len);
        }
        rest = slice_from(rest, len + 1);
    }
    buf_char(m, 0);
}

void wire_begin(struct buf *m, const char *name, uint16_t type, unsigned flags_and_rcode)
{
    buf_clear(m);
    put_u16(m, 0x1234);
    put_u16(m, 0x8180 | flags_and_rcode);
    put_u16(m, 1);
    put_u16(m, 0);
    put_u16(m, 0);
    put_u16(m, 0);
    put_name(m, name);
    put_u16(m, type);
    put_u16(m, 1);
}

static size_t rr_begin(struct buf *m, uint16_t type, const char *owner, uint32_t ttl_s)
{
    m->ptr[7]++; /* answer count; tests stay below 256 */
    if (m->ptr[7] == 0) {
        m->ptr[6]++;
    }
    put_name(m, owner);
    put_u16(m, type);
    put_u16(m, 1);
    put_u32(m, ttl_s);
    put_u16(m, 0);
    return m->len;
}

static void rr_end(struct buf *m, size_t data_at)
{
    const size_t len = m->len - data_at;

    m->ptr[data_at - 2] = (char)(len >> 8);
    m->ptr[data_at - 1] = (char)len;
}

void wire_mx(struct buf *m, const char *owner, uint32_t ttl_s, uint16_t pref, const char *host)
{
    const size_t at = rr_begin(m, DNS_MX, owner, ttl_s);

    put_u16(m, pref);
    put_name(m, host);
    rr_end(m, at);
}

void wire_a(struct buf *m, const char *owner, uint32_t ttl_s, const char *ip)
{
    const int family = strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;
    unsigned char bytes[16];
    const size_t at = rr_begin(m, family == AF_INET6 ? DNS_AAAA : DNS_A, owner, ttl_s);

    assert_int_equal(inet_pton(family, ip, bytes), 1);
    buf_append(m, bytes, family == AF_INET6 ? 16 : 4);
    rr_end(m, at);
}

void wire_text(struct buf *m, const char *owner, uint32_t ttl_s, const char *text)
{
    const size_t at = rr_begin(m, DNS_TXT, owner, ttl_s);

    buf_char(m, (char)strlen(text));
    buf_append(m, text, strlen(text));
    rr_end(m, at);
}

void wire_name(struct buf *m, uint16_t type, const char *owner, uint32_t ttl_s,
               const char *target)
{
    const size_t at = rr_begin(m, type, owner, ttl_s);

    put_name(m, target);
    rr_end(m, at);
}

/* Waiters. */

static void wait_told(struct dns_wait *dw, struct dns_set *set)
{
    struct bench_wait *w = CONTAINER_OF(dw, struct bench_wait, wait);

    dns_set_unref(w->set);
    w->set = dns_set_ref(set);
    w->count++;
}

void bench_ask(struct dns_bench *b, uint32_t shard, const char *name, uint16_t type,
               struct bench_wait *w)
{
    const unsigned before = w->count;

    w->wait.fn = wait_told;
    resolver_ask(&b->resolvers[shard], &(struct dns_question){slice_str(name), type, 0},
                 &w->wait);
    assert_int_equal(w->count, before); /* never inline */
}

void bench_wait_clear(struct bench_wait *w)
{
    dns_set_unref(w->set);
    *w = (struct bench_wait){0};
}
