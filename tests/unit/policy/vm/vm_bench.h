/*
 * vm_bench - a shard with a clock that the test moves, and a vm running a policy on it.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/message/message.h"
#include "core/shard/shard.h"
#include "policy/vm/vm.h"

struct vm_library;

struct vm_bench {
    struct ring_backend backend;
    struct shard_group group;
    struct shard *shards[1];
    struct shard shard;
    uint64_t clock_ns, wall_ns, random;
    struct vm_limits limits;
    const struct vm_library *library;
    struct policy *policy;
    struct vm *vm;
    struct buf why;
    /* what done() was told */
    uint32_t done_count;
    enum vm_status done_status;
};

/* The limits and library of a bench may be set between init and load. */
void vm_bench_init(struct vm_bench *b);
/* Fails the test when the policy does not load. */
void vm_bench_load(struct vm_bench *b, const char *source);
/* True when it loads; else b->why has the text. */
bool vm_bench_try(struct vm_bench *b, const char *source);
void vm_bench_close(struct vm_bench *b);
/* Moves the clock and runs what is due. */
void vm_bench_advance(struct vm_bench *b, uint64_t ms);

/* For vm_call_run(): notes the status in the bench. */
void vm_bench_done(void *ctx, const struct vm_result *result);

/* Begins, runs and checks that the handler did not suspend. */
struct vm_call *vm_bench_named(struct vm_bench *b, const char *event);
/* Runs the event with no arguments; answers its first value as text, "none", "nil",
 * "reject CODE TEXT" or "error TEXT", in b->why. */
const char *vm_bench_say(struct vm_bench *b, const char *event);
/* The same for a call that was built. Ends it. */
const char *vm_bench_finish(struct vm_bench *b, struct vm_call *c);
void vm_bench_put_result(struct buf *out, const struct vm_result *r);
