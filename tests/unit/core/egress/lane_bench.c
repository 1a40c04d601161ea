#include "tests/unit/core/egress/lane_bench.h"

#include <string.h>

#define POLICY                                                                                     \
    "local kumo = require 'kumo'\n"                                                                \
    "kumo.on('get_queue_config', function()\n"                                                     \
    "  return kumo.make_queue_config{protocol={smtp={mx_list={\n"                                  \
    "    {name='one', addr='10.0.0.1:25'}, {name='two', addr='10.0.0.2:25'}}}}}\n"                 \
    "end)\n"                                                                                       \
    "kumo.on('get_egress_path_config', function()\n"                                               \
    "  return kumo.make_egress_path{enable_tls='Disabled', connection_limit=1, %s}\n"              \
    "end)\n%s"

static void forget_nothing(void *ctx, struct schedq *q)
{
    (void)ctx;
    (void)q;
}

static const struct queue_promoter nobody = {.forget = forget_nothing};

static struct shard *bench_shard(struct lane_bench *b)
{
    return b->q.shards.list[0];
}

void lane_bench_open(struct lane_bench *b, const char *path, const char *more)
{
    static const struct dns_params dns = DNS_PARAMS_DEFAULT;
    struct buf policy = {0};

    *b = (struct lane_bench){0};
    buf_printf(&policy, POLICY, path, more);
    buf_char(&policy, '\0');
    queue_bench_open(&b->q, policy.ptr);
    buf_free(&policy);
    resolver_init(&b->resolver, bench_shard(b), &dns);
    egress_init(&b->eg, bench_shard(b));
    b->eg.resolver = &b->resolver;
    b->eg.queue = &b->q.mgr;
    b->eg.configs = &b->q.configs;
    b->eg.ledger = &b->q.ledger;
    b->eg.hostname = SLICE("me.example");
    b->q.mgr.promoter = &egress_promoter;
    b->q.mgr.promoter_ctx = &b->eg;
    egress_start(&b->eg);
}

/* By now every message is back in its queue. */
static void drained(void *ctx)
{
    struct lane_bench *b = ctx;

    b->drained = true;
    for (struct hmap_node *n = hmap_first(&b->eg.readyqs); n != NULL;
         n = hmap_next(&b->eg.readyqs, n)) {
        assert_int_equal(CONTAINER_OF(n, struct readyq, node)->ready_count, 0);
    }
}

void lane_bench_drain(struct lane_bench *b)
{
    queue_mgr_drain(&b->q.mgr);
    egress_drain(&b->eg, drained, b);
}

void lane_bench_close(struct lane_bench *b)
{
    if (!b->eg.draining) {
        lane_bench_drain(b);
    }
    egress_cut(&b->eg);
    fake_ring_run(bench_shard(b));
    assert_true(b->drained);
    assert_int_equal(b->eg.held_bytes, 0);
    for (struct hmap_node *n = hmap_first(&b->q.mgr.queues); n != NULL;
         n = hmap_next(&b->q.mgr.queues, n)) {
        egress_promoter.forget(&b->eg, CONTAINER_OF(n, struct schedq, node));
    }
    b->q.mgr.promoter = &nobody;
    egress_free(&b->eg);
    resolver_free(&b->resolver);
    queue_bench_close(&b->q);
    buf_free(&b->heard);
}

/* ---- messages ---- */

static void loaded(struct message_load *load, enum spool_err err)
{
    (void)load;
    assert_int_equal(err, SPOOL_OK);
}

static struct message *make(struct lane_bench *b, struct slice to)
{
    size_t end = slice_find_char(to, ' ');
    struct buf first = {0};
    struct message *m;

    buf_put(&first, slice_head(to, end));
    buf_char(&first, '\0');
    m = queue_bench_message(&b->q, first.ptr);
    buf_free(&first);
    for (to = slice_from(to, end + 1); to.len > 0; to = slice_from(to, end + 1)) {
        end = slice_find_char(to, ' ');
        message_add_recipient(m, slice_head(to, end));
    }
    return m;
}

void lane_bench_insert(struct lane_bench *b, const char *to)
{
    struct message *m = make(b, slice_str(to));
    struct queue_insert ins = {0};
    struct slice why = {0};

    queue_bench_rest(&b->q, m);
    message_load(b->q.spool, &b->load, m, loaded);
    fake_ring_run(bench_shard(b));
    m->size = 100;
    assert_int_equal(queue_insert(&b->q.mgr, m, SLICE("b.example"), &ins, &why), QUEUE_TAKEN);
}

/* ---- the peer ---- */

static bool finish_sends(struct lane_bench *b)
{
    struct ring *ring = &bench_shard(b)->ring;
    uint32_t before = b->sends;

    for (; fake_ring_count(ring, RING_SEND) > 0; b->sends++) {
        fake_ring_finish(ring, RING_SEND);
    }
    for (; fake_ring_count(ring, RING_SENDMSG) > 0; b->sends++) {
        fake_ring_finish(ring, RING_SENDMSG);
    }
    return b->sends != before;
}

/* Everything happens but what the peer says. */
void lane_bench_settle(struct lane_bench *b)
{
    struct shard *sh = bench_shard(b);
    uint64_t seed = 7;

    for (uint32_t idle = 0; idle < 8; idle++) {
        if (finish_sends(b) || fake_ring_finish_any(&sh->ring, &seed)) {
            idle = 0;
        }
        fake_ring_turn(sh);
    }
}

void lane_bench_say(struct lane_bench *b, const char *bytes)
{
    struct ring *ring = &bench_shard(b)->ring;

    lane_bench_settle(b);
    fake_ring_receive(ring, fake_ring_op(ring, RING_RECV, 0)->fd, slice_str(bytes));
    lane_bench_settle(b);
}

void lane_bench_greet(struct lane_bench *b, const char *capabilities)
{
    struct buf reply = {0};

    lane_bench_say(b, "220 peer.example\r\n");
    buf_printf(&reply, "250-peer.example\r\n250 %s\r\n", capabilities);
    buf_char(&reply, '\0');
    lane_bench_expect(b, "EHLO me.example\r\n");
    lane_bench_say(b, reply.ptr);
    buf_free(&reply);
}

void lane_bench_hang_up(struct lane_bench *b)
{
    lane_bench_settle(b);
    fake_ring_complete(&bench_shard(b)->ring, RING_RECV, 0);
    lane_bench_settle(b);
}

/* What came since the last time goes to b->heard; answers in how many sends. */
static uint32_t peer_read(struct lane_bench *b)
{
    struct ring *ring = &bench_shard(b)->ring;
    uint32_t sends;

    lane_bench_settle(b);
    sends = b->sends;
    b->sends = 0;
    buf_clear(&b->heard);
    if (fake_ring_count(ring, RING_RECV) > 0) {
        struct buf *sent = fake_ring_sent(ring, fake_ring_op(ring, RING_RECV, 0)->fd);

        buf_put(&b->heard, buf_slice(sent));
        buf_clear(sent);
    }
    return sends;
}

void lane_bench_expect(struct lane_bench *b, const char *bytes)
{
    uint32_t sends = peer_read(b);

    if (!slice_eq(buf_slice(&b->heard), slice_str(bytes)) || sends != (bytes[0] != '\0')) {
        fail_msg("sent in %u: %.*s", sends, (int)b->heard.len, b->heard.ptr);
    }
}

void lane_bench_expect_end(struct lane_bench *b, const char *bytes)
{
    (void)peer_read(b);
    if (!slice_ends(buf_slice(&b->heard), slice_str(bytes))) {
        fail_msg("sent: %.*s", (int)b->heard.len, b->heard.ptr);
    }
}

struct readyq *lane_bench_readyq(struct lane_bench *b)
{
    struct hmap_node *node = hmap_first(&b->eg.readyqs);

    assert_non_null(node);
    return CONTAINER_OF(node, struct readyq, node);
}

struct lane *lane_bench_lane(struct lane_bench *b)
{
    struct readyq *rq = lane_bench_readyq(b);

    assert_int_equal(rq->lane_count, 1);
    return CONTAINER_OF(rq->lanes.next, struct lane, link);
}
