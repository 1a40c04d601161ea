/*
 * c-ares on a real ring, against a name server that lives in this process: what it answers
 * depends on the first label it is asked for.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/net/dns_backend.h"
#include "core/net/dns_cares.h"
#include "core/shard/shard.h"
#include "proto/dns_answer.h"

#define GIVE_UP_NS UINT64_C(30000000000)
#define BIG_COUNT 100 /* MX records: far more than fit a datagram */

struct server {
    struct ring *ring;
    struct ring_op udp_poll, tcp_poll;
    int udp, tcp;
    uint16_t port;
    unsigned udp_count, tcp_count, without_edns_count, ad_count;
    bool stopping;
};

struct bench {
    struct shard_group group;
    struct shard *shards[1];
    struct shard shard;
    struct server server;
    struct dns_backend *backend;
};

struct question {
    struct dns_query query;
    enum dns_status status;
    struct buf message;
    unsigned count;
};

static void put_u16(struct buf *m, unsigned v)
{
    buf_char(m, (char)(v >> 8));
    buf_char(m, (char)v);
}

static size_t question_end(const struct buf *q)
{
    size_t at = 12;

    while (at < q->len && q->ptr[at] != 0) {
        at += (uint8_t)q->ptr[at] + 1u;
    }
    return at + 5;
}

/* Header, the question repeated, `answers` MX records that point back at its name. */
static void reply_make(const struct buf *q, struct buf *out, unsigned flags, unsigned answers)
{
    const size_t end = question_end(q);

    buf_clear(out);
    buf_append(out, q->ptr, 2);
    put_u16(out, 0x8180 | flags);
    put_u16(out, 1);
    put_u16(out, answers);
    put_u16(out, 0);
    put_u16(out, 0);
    buf_append(out, q->ptr + 12, end - 12);
    for (unsigned i = 0; i < answers; i++) {
        put_u16(out, 0xc00c);
        put_u16(out, DNS_MX);
        put_u16(out, 1);
        put_u16(out, 0);
        put_u16(out, 60);
        put_u16(out, 2 + 4 + 2);
        put_u16(out, i);
        buf_append(out, "\3mx", 3);
        buf_char(out, (char)('0' + i % 10));
        put_u16(out, 0xc00c);
    }
}

static bool asks_for(const struct buf *q, const char *label)
{
    return q->len > 12 + strlen(label) && (uint8_t)q->ptr[12] == strlen(label) &&
           memcmp(q->ptr + 13, label, strlen(label)) == 0;
}

/* False: silence. */
static bool reply_to(struct server *s, const struct buf *q, bool tcp, struct buf *out)
{
    const bool has_opt = q->ptr[11] == 1;

    s->without_edns_count += !has_opt;
    s->ad_count += (q->ptr[3] & 0x20) != 0;
    if (asks_for(q, "silent")) {
        return false;
    }
    if (asks_for(q, "servfail")) {
        reply_make(q, out, 2, 0);
    } else if (asks_for(q, "gone")) {
        reply_make(q, out, 3, 0);
    } else if (asks_for(q, "old") && has_opt) {
        reply_make(q, out, 1, 0);
    } else if (asks_for(q, "big")) {
        reply_make(q, out, tcp ? 0 : 0x200, tcp ? BIG_COUNT : 0);
    } else {
        reply_make(q, out, 0, 2);
    }
    return true;
}

static void udp_ready(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct server *s = CONTAINER_OF(op, struct server, udp_poll);
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    struct buf q = {0}, out = {0};
    ssize_t got;

    if (s->stopping || res < 0) {
        return;
    }
    buf_reserve(&q, 4096);
    got = recvfrom(s->udp, q.ptr, 4096, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
    if (got >= 12) {
        q.len = (size_t)got;
        s->udp_count++;
        if (asks_for(&q, "forged")) { /* somebody else is faster, with another id */
            reply_make(&q, &out, 0, 9);
            out.ptr[0] ^= 0x55;
            (void)sendto(s->udp, out.ptr, out.len, 0, (struct sockaddr *)&from, from_len);
        }
        if (reply_to(s, &q, false, &out)) {
            (void)sendto(s->udp, out.ptr, out.len, 0, (struct sockaddr *)&from, from_len);
        }
    }
    buf_free(&q);
    buf_free(&out);
    ring_poll(s->ring, &s->udp_poll, s->udp, POLLIN);
}

/* A client has asked before it is accepted, so reading here is short. */
static void tcp_ready(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct server *s = CONTAINER_OF(op, struct server, tcp_poll);
    struct buf q = {0}, out = {0};
    uint8_t size[2];
    int fd;

    if (s->stopping || res < 0) {
        return;
    }
    /* The asker runs on this very thread: let it send first. */
    fd = accept(s->tcp, NULL, NULL);
    assert_true(fd >= 0);
    if (recv(fd, size, 2, MSG_WAITALL | MSG_DONTWAIT) == 2) {
        buf_reserve(&q, 65536);
        q.len = (size_t)(size[0] << 8 | size[1]);
        assert_int_equal(recv(fd, q.ptr, q.len, MSG_WAITALL), q.len);
        s->tcp_count++;
        if (reply_to(s, &q, true, &out)) {
            size[0] = (uint8_t)(out.len >> 8);
            size[1] = (uint8_t)out.len;
            (void)send(fd, size, 2, MSG_NOSIGNAL | MSG_MORE);
            (void)send(fd, out.ptr, out.len, MSG_NOSIGNAL);
        }
    }
    close(fd);
    buf_free(&q);
    buf_free(&out);
    ring_poll(s->ring, &s->tcp_poll, s->tcp, POLLIN);
}

static void server_open(struct server *s, struct ring *ring)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int defer_s = 1;
    socklen_t len = sizeof(at);

    s->ring = ring;
    s->udp_poll.done = udp_ready;
    s->tcp_poll.done = tcp_ready;
    s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* Reported once the question is there, so that accept and read need no state. */
    (void)setsockopt(s->tcp, IPPROTO_TCP, 9 /* TCP_DEFER_ACCEPT */, &defer_s, sizeof(defer_s));
    assert_int_equal(bind(s->tcp, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(s->tcp, 16), 0);
    assert_int_equal(getsockname(s->tcp, (struct sockaddr *)&at, &len), 0);
    s->port = ntohs(at.sin_port);
    s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->udp, (struct sockaddr *)&at, sizeof(at)), 0);
    ring_poll(ring, &s->udp_poll, s->udp, POLLIN);
    ring_poll(ring, &s->tcp_poll, s->tcp, POLLIN);
}

static void backend_open(struct bench *b, struct dns_cares_params params, const char *before)
{
    struct buf servers = {0}, why = {0};

    buf_printf(&servers, "%s127.0.0.1:%u", before, b->server.port);
    params.servers = buf_slice(&servers);
    if (!dns_cares_open(&b->shard, &params, &b->backend, &why)) {
        fail_msg("%.*s", SLICE_ARG(buf_slice(&why)));
    }
    buf_free(&servers);
}

static int setup(void **state)
{
    struct bench *b = MEM_NEW(struct bench);
    const struct ring_params params = {.sq_entries = 64,
                                       .cq_entries = 256,
                                       .ingress_buffers = 2,
                                       .egress_buffers = 2,
                                       .workers = 1};
    struct buf why = {0};

    b->group = (struct shard_group){.count = 1, .shards = b->shards};
    if (ring_uring_open(&b->shard.ring, &params, &why) != 0) {
        fail_msg("%.*s", SLICE_ARG(buf_slice(&why)));
    }
    assert_int_equal(ring_uring_enable(&b->shard.ring), 0);
    shard_init(&b->shard, &b->group, 0);
    server_open(&b->server, &b->shard.ring);
    *state = b;
    return 0;
}

static void drained_wait(struct bench *b)
{
    const uint64_t begin = ring_now_ns(&b->shard.ring);

    while (b->shard.ring.in_flight_count > 0) {
        shard_turn(&b->shard, 100000000u);
        assert_true(ring_now_ns(&b->shard.ring) - begin < GIVE_UP_NS);
    }
}

static int teardown(void **state)
{
    struct bench *b = *state;


    if (b->backend != NULL) {
        b->backend->close(b->backend);
    }
    b->server.stopping = true;

    (void)shutdown(b->server.udp, SHUT_RDWR); /* wakes both polls */
    (void)shutdown(b->server.tcp, SHUT_RDWR);
    drained_wait(b);
    close(b->server.udp);
    close(b->server.tcp);
    mail_free(&b->shard);
    ring_close(&b->shard.ring);
    mem_give(b);
    return 0;
}

static void question_done(struct dns_query *query, enum dns_status status, struct slice message)
{
    struct question *q = CONTAINER_OF(query, struct question, query);

    q->status = status;
    buf_clear(&q->message);
    buf_put(&q->message, message);
    q->count++;
}

static void ask(struct bench *b, struct question *q, const char *name)
{
    q->query.done = question_done;
    b->backend->query(b->backend, slice_str(name), DNS_MX, &q->query);
    assert_int_equal(q->count, 0); /* never inline */
}

static void answer_wait(struct bench *b, struct question *q)
{
    const uint64_t begin = ring_now_ns(&b->shard.ring);

    while (q->count == 0) {
        shard_turn(&b->shard, 100000000u);
        assert_true(ring_now_ns(&b->shard.ring) - begin < GIVE_UP_NS);
    }
    assert_null(q->query.pending);
}

static enum dns_status ask_and_wait(struct bench *b, const char *name, size_t *count_out,
                                    uint16_t *rcode_out)
{
    struct question q = {0};
    struct dns_answer a = {0};

    ask(b, &q, name);
    answer_wait(b, &q);
    *count_out = 0;
    *rcode_out = UINT16_MAX;
    if (q.status == LOOKUP_OK) {
        assert_int_equal(dns_answer_parse(buf_slice(&q.message), &a), DNS_ANSWER_OK);
        *count_out = dns_answer_count(&a);
        *rcode_out = a.rcode;
    }
    dns_answer_free(&a);
    buf_free(&q.message);
    return q.status;
}

static void an_answer_comes_back_whole(void **state)
{
    struct bench *b = *state;
    size_t count;
    uint16_t rcode;

    backend_open(b, (struct dns_cares_params){0}, "");
    assert_int_equal(ask_and_wait(b, "plain.example.", &count, &rcode), LOOKUP_OK);
    assert_int_equal(count, 2);
    assert_int_equal(ask_and_wait(b, "gone.example.", &count, &rcode), LOOKUP_OK);
    assert_int_equal(rcode, DNS_NXDOMAIN);
    assert_int_equal(b->server.without_edns_count, 0);
    assert_int_equal(b->server.ad_count, 0);
}

static void a_failing_server_is_a_failure(void **state)
{
    struct bench *b = *state;
    size_t count;
    uint16_t rcode;

    backend_open(b, (struct dns_cares_params){.timeout_ms = 2000}, "");
    assert_int_equal(ask_and_wait(b, "servfail.example.", &count, &rcode), LOOKUP_SERVFAIL);
}

static void what_does_not_fit_a_datagram_comes_over_tcp(void **state)
{
    struct bench *b = *state;
    size_t count;
    uint16_t rcode;

    backend_open(b, (struct dns_cares_params){0}, "");
    assert_int_equal(ask_and_wait(b, "big.example.", &count, &rcode), LOOKUP_OK);
    assert_int_equal(count, BIG_COUNT);
    assert_int_equal(b->server.tcp_count, 1);
}

static void a_server_without_edns_is_asked_without_it(void **state)
{
    struct bench *b = *state;
    size_t count;
    uint16_t rcode;

    backend_open(b, (struct dns_cares_params){0}, "");
    for (unsigned i = 1; i <= 3; i++) { /* every time, not only the first */
        assert_int_equal(ask_and_wait(b, "old.example.", &count, &rcode), LOOKUP_OK);
        assert_int_equal(rcode, DNS_NOERROR);
        assert_int_equal(count, 2);
        assert_int_equal(b->server.without_edns_count, i);
    }
}

static void silence_ends_after_all_attempts(void **state)
{
    struct bench *b = *state;
    size_t count;
    uint16_t rcode;

    backend_open(b, (struct dns_cares_params){.timeout_ms = 50, .attempts = 3}, "");
    assert_int_equal(ask_and_wait(b, "silent.example.", &count, &rcode), LOOKUP_TIMEOUT);
    assert_int_equal(b->server.udp_count, 3);
}

static void a_dead_server_is_passed_over(void **state)
{
    struct bench *b = *state;
    size_t count;
    uint16_t rcode;

    backend_open(b, (struct dns_cares_params){.timeout_ms = 200}, "127.0.0.1:1,");
    assert_int_equal(ask_and_wait(b, "plain.example.", &count, &rcode), LOOKUP_OK);
    assert_int_equal(count, 2);
}

static void an_answer_with_a_foreign_id_is_ignored(void **state)
{
    struct bench *b = *state;
    size_t count;
    uint16_t rcode;

    backend_open(b, (struct dns_cares_params){0}, "");
    assert_int_equal(ask_and_wait(b, "forged.example.", &count, &rcode), LOOKUP_OK);
    assert_int_equal(count, 2); /* not 9 */
}

static void validation_is_asked_for_when_configured(void **state)
{
    struct bench *b = *state;
    size_t count;
    uint16_t rcode;

    backend_open(b, (struct dns_cares_params){.ask_validated = true}, "");
    assert_int_equal(ask_and_wait(b, "plain.example.", &count, &rcode), LOOKUP_OK);
    assert_int_equal(b->server.ad_count, 1);
}

static void what_is_no_name_is_refused(void **state)
{
    struct bench *b = *state;
    size_t count;
    uint16_t rcode;

    backend_open(b, (struct dns_cares_params){0}, "");
    assert_int_equal(ask_and_wait(b, "", &count, &rcode), LOOKUP_BAD_NAME);
    assert_int_equal(ask_and_wait(b, "a..b", &count, &rcode), LOOKUP_BAD_NAME);
    assert_int_equal(b->server.udp_count, 0);
}

static void a_cancelled_question_is_not_answered(void **state)
{
    struct bench *b = *state;
    struct question cancelled = {0}, refused = {0};
    size_t count;
    uint16_t rcode;

    backend_open(b, (struct dns_cares_params){0}, "");
    ask(b, &cancelled, "plain.example.");
    b->backend->cancel(b->backend, &cancelled.query);
    b->backend->cancel(b->backend, &cancelled.query);
    ask(b, &refused, "");
    b->backend->cancel(b->backend, &refused.query);
    assert_int_equal(ask_and_wait(b, "other.example.", &count, &rcode), LOOKUP_OK);
    assert_int_equal(cancelled.count, 0);
    assert_int_equal(refused.count, 0);
}

static void closing_in_the_middle_leaves_nothing_behind(void **state)
{
    struct bench *b = *state;
    struct question q = {0};

    backend_open(b, (struct dns_cares_params){0}, "");
    ask(b, &q, "silent.example.");
    shard_turn(&b->shard, 0);
    b->backend->cancel(b->backend, &q.query);
    b->backend->close(b->backend);
    b->backend = NULL;
    /* the two polls of the server are all that is left */
    while (b->shard.ring.in_flight_count > 2) {
        shard_turn(&b->shard, 100000000u);
    }
    assert_int_equal(q.count, 0);
}

static void servers_that_are_none_are_named(void **state)
{
    struct bench *b = *state;
    struct dns_backend *backend = NULL;
    struct buf why = {0};

    assert_false(dns_cares_open(&b->shard,
                                &(struct dns_cares_params){.servers = SLICE("not an address")},
                                &backend, &why));
    assert_true(slice_starts(buf_slice(&why), SLICE("name servers `not an address`: ")));
    buf_free(&why);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_answer_comes_back_whole),
        CASE(a_failing_server_is_a_failure),
        CASE(what_does_not_fit_a_datagram_comes_over_tcp),
        CASE(a_server_without_edns_is_asked_without_it),
        CASE(silence_ends_after_all_attempts),
        CASE(a_dead_server_is_passed_over),
        CASE(an_answer_with_a_foreign_id_is_ignored),
        CASE(validation_is_asked_for_when_configured),
        CASE(what_is_no_name_is_refused),
        CASE(a_cancelled_question_is_not_answered),
        CASE(closing_in_the_middle_leaves_nothing_behind),
        CASE(servers_that_are_none_are_named),
    };
    return cmocka_run_group_tests_name("core/net/dns_cares", tests, NULL, NULL);
}
