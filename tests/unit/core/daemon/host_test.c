/* The daemon asks its host, and nobody else, for rings, name servers, a name, a place to talk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "core/base/mem.h"
#include "core/daemon/daemon_private.h"
#include "tests/support/fake_disk.h"
#include "tests/support/fake_ring.h"

struct host_bench {
    struct fake_disk *disk;
    struct daemon_host host;
    struct daemon_options options;
    struct daemon *d;
    struct buf why, said;
    uint32_t open_count, enable_count;
};

static int bench_ring_open(void *ctx, struct ring *ring, const struct ring_params *params,
                           struct buf *why)
{
    struct host_bench *b = ctx;

    fake_ring_open(ring, b->disk, 1 + b->open_count++);
    return 0;
}

static int bench_ring_enable(void *ctx, struct ring *ring)
{
    ((struct host_bench *)ctx)->enable_count++;
    return 0;
}

static bool bench_dns_open(void *ctx, struct shard *shard, const struct dns_cares_params *params,
                           struct dns_backend **out, struct buf *why)
{
    BUF_LIT(why, "nobody to ask for names");
    return false;
}

static void bench_say(void *ctx, struct slice line)
{
    buf_put(&((struct host_bench *)ctx)->said, line);
}

static void bench_name(void *ctx, struct buf *out)
{
    BUF_LIT(out, "relay.test");
}

static void bench_open(struct host_bench *b)
{
    *b = (struct host_bench){.disk = fake_disk_new()};
    b->host = (struct daemon_host){.ctx = b,
                                   .ring_open = bench_ring_open,
                                   .ring_enable = bench_ring_enable,
                                   .dns_open = bench_dns_open,
                                   .say = bench_say,
                                   .name = bench_name};
    b->options = (struct daemon_options){
        .policy_path = SLICE_INIT("init.lua"),
        .policy_text = SLICE_INIT("local kumo = require 'kumo'\n"
                                  "kumo.on('init', function()\n"
                                  "  kumo.define_spool{name='data', path='/spool/data'}\n"
                                  "  kumo.define_spool{name='meta', path='/spool/meta'}\n"
                                  "end)\n"),
        .shards = 2,
        .user = geteuid() == 0 ? "root" : NULL,
        .version = "test",
        .host = &b->host,
    };
    b->d = MEM_NEW(struct daemon);
}

static void bench_close(struct host_bench *b)
{
    daemon_close(b->d);
    mem_give(b->d);
    fake_disk_free(&b->disk);
    buf_free(&b->why);
    buf_free(&b->said);
}

static void the_daemon_takes_what_it_needs_from_its_host(void **state)
{
    struct host_bench b;

    bench_open(&b);
    assert_true(daemon_open(b.d, &b.options, &b.why));
    assert_int_equal(b.open_count, 2);
    assert_int_equal(b.enable_count, 1); /* the other is enabled by its own thread */
    assert_true(slice_eq(buf_slice(&b.d->hostname), SLICE("relay.test")));
    assert_false(daemon_build(b.d, &b.why));
    assert_true(slice_eq(buf_slice(&b.why), SLICE("nobody to ask for names")));
    diag_info(&b.d->engines[1]->diag, "kumod", "heard");
    assert_true(slice_ends(buf_slice(&b.said), SLICE("heard\n")));
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_daemon_takes_what_it_needs_from_its_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
