#include "tests/unit/policy/vm/vm_bench.h"

#include <string.h>

static struct vm_bench *bench_of(struct ring *ring)
{
    return ring->state;
}

static void bench_close(struct ring *ring)
{
}

static void bench_submit(struct ring *ring, struct ring_op *op)
{
    fail_msg("the vm asked the ring for something");
}

static void bench_wait(struct ring *ring, uint64_t timeout_ns)
{
    ring->event_next = 0;
    ring->event_count = 0;
}

static void bench_wake(struct ring *ring, struct ring *target)
{
}

static uint64_t bench_clock(struct ring *ring)
{
    return bench_of(ring)->clock_ns;
}

static uint64_t bench_wall(struct ring *ring)
{
    return bench_of(ring)->wall_ns;
}

static uint64_t bench_random(struct ring *ring)
{
    return bench_of(ring)->random++ * UINT64_C(0x9e3779b97f4a7c15);
}

void vm_bench_init(struct vm_bench *b)
{
    *b = (struct vm_bench){
        .backend = {.name = "bench",
                    .close = bench_close,
                    .submit = bench_submit,
                    .wait = bench_wait,
                    .wake = bench_wake,
                    .clock_ns = bench_clock,
                    .wall_clock_ns = bench_wall,
                    .random = bench_random},
        .clock_ns = UINT64_C(1000000000),
        .wall_ns = UINT64_C(1700000000) * 1000000000u,
        .random = 1,
    };
    b->group = (struct shard_group){.count = 1, .shards = b->shards};
    b->shard.ring.backend = &b->backend;
    b->shard.ring.state = b;
    shard_init(&b->shard, &b->group, 0);
}

bool vm_bench_try(struct vm_bench *b, const char *source)
{
    buf_clear(&b->why);
    return policy_load_library(b->library, SLICE("/etc/policy/init.lua"), slice_str(source), false,
                               &b->policy, &b->why) &&
           vm_open(&b->shard, b->policy, &b->limits, &b->vm, &b->why);
}

void vm_bench_load(struct vm_bench *b, const char *source)
{
    if (!vm_bench_try(b, source)) {
        fail_msg("%.*s", SLICE_ARG(buf_slice(&b->why)));
    }
}

void vm_bench_close(struct vm_bench *b)
{
    vm_close(&b->vm);
    policy_free(&b->policy);
    buf_free(&b->why);
    mail_free(&b->shard);
}

void vm_bench_advance(struct vm_bench *b, uint64_t ms)
{
    b->clock_ns += ms * 1000000u;
    b->wall_ns += ms * 1000000u;
    shard_turn(&b->shard, 0);
    shard_turn(&b->shard, 0);
}

void vm_bench_done(void *ctx, const struct vm_result *result)
{
    struct vm_bench *b = ctx;

    b->done_count++;
    b->done_status = result->status;
    buf_clear(&b->why);
    vm_bench_put_result(&b->why, result);
    buf_char(&b->why, '\0');
}

struct vm_call *vm_bench_named(struct vm_bench *b, const char *event)
{
    struct vm_call *c = vm_call_begin_named(b->vm, slice_str(event));

    assert_non_null(c);
    return c;
}

static void put_value(struct buf *out, const struct json *v)
{
    if (v->type == JSON_STRING) {
        buf_put(out, v->string);
    } else if (v->type == JSON_NULL) {
        BUF_LIT(out, "nil");
    } else {
        json_write(out, v);
    }
}

void vm_bench_put_result(struct buf *out, const struct vm_result *r)
{
    switch (r->status) {
    case VM_NONE:
        BUF_LIT(out, "none");
        break;
    case VM_RETURNED:
        put_value(out, r->values[0]);
        break;
    case VM_REJECTED:
        buf_printf(out, "reject %u %.*s", r->code, SLICE_ARG(r->text));
        break;
    case VM_ERROR:
        buf_printf(out, "error %.*s", SLICE_ARG(r->text));
        break;
    }
}

const char *vm_bench_finish(struct vm_bench *b, struct vm_call *c)
{
    const struct vm_result *r = vm_call_run(c, vm_bench_done, b);

    assert_non_null(r);
    buf_clear(&b->why);
    vm_bench_put_result(&b->why, r);
    buf_char(&b->why, '\0');
    vm_call_end(&c);
    return b->why.ptr;
}

const char *vm_bench_say(struct vm_bench *b, const char *event)
{
    return vm_bench_finish(b, vm_bench_named(b, event));
}
