/*
 * bench_vm - what a policy call costs: the smtp_server_message_received handler of the budgets, a
 * header read and two metas set, and an empty one beside it.
 *
 *     bench_vm [calls]
 *
 * Prints CPU time per call. A shard without I/O stands behind it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/message/message.h"
#include "core/shard/shard.h"
#include "policy/api/api.h"
#include "policy/vm/vm.h"

static const char policy_text[] =
    "local kumo = require 'kumo'\n"
    "kumo.on('smtp_server_message_received', function(msg, conn_meta)\n"
    "  local tag = msg:get_first_named_header_value('X-Campaign')\n"
    "  msg:set_meta('campaign', tag)\n"
    "  msg:set_meta('tenant', 'acme')\n"
    "end)\n"
    "kumo.on('smtp_server_data', function(msg, conn_meta) end)\n";

static const char message_text[] = "Received: from a by b; Mon, 2 Feb 2026 02:40:03 +0000\r\n"
                                   "From: <news@acme.example>\r\n"
                                   "To: <someone@there.example>\r\n"
                                   "X-Campaign: spring\r\n"
                                   "Subject: hello\r\n"
                                   "\r\n"
                                   "text\r\n";

static uint64_t bench_ns(clockid_t which)
{
    struct timespec t;

    (void)clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t bench_clock(struct ring *ring)
{
    return bench_ns(CLOCK_MONOTONIC);
}

static uint64_t bench_wall(struct ring *ring)
{
    return bench_ns(CLOCK_REALTIME);
}

static uint64_t bench_random(struct ring *ring)
{
    return 1;
}

static struct message *make_message(void)
{
    struct message *m = message_new();
    struct buf text = {0};

    m->content = message_content_new();
    message_set_sender(m, SLICE("news@acme.example"));
    message_add_recipient(m, SLICE("someone@there.example"));
    buf_append(&text, message_text, sizeof(message_text) - 1);
    message_set_data(m, &text);
    meta_set_string(&m->content->meta, SLICE("received_from"), SLICE("10.0.0.1:4242"));
    meta_set_string(&m->content->meta, SLICE("received_via"), SLICE("10.0.0.2:25"));
    meta_set_string(&m->content->meta, SLICE("ehlo_domain"), SLICE("acme.example"));
    return m;
}

static void never(void *ctx, const struct vm_result *result)
{
    abort();
}

static void run(struct vm *vm, enum vm_hook hook, const char *name, uint64_t calls)
{
    struct message *m = make_message();
    struct meta conn = {0};
    uint64_t began = 0;

    meta_set_string(&conn, SLICE("received_from"), SLICE("10.0.0.1:4242"));
    for (uint64_t i = 0; i < 2 * calls; i++) {
        struct vm_call *c = vm_call_begin(vm, hook);

        if (i == calls) {
            began = bench_ns(CLOCK_THREAD_CPUTIME_ID);
        }
        vm_push_message(c, m);
        vm_push_conn_meta(c, &conn);

        const struct vm_result *r = vm_call_run(c, never, NULL);

        if (r == NULL || r->status != VM_NONE) {
            fprintf(stderr, "%s: %.*s\n", name, r != NULL ? (int)r->text.len : 0,
                    r != NULL ? r->text.ptr : "");
            exit(1);
        }
        vm_call_end(&c);
    }
    printf("%-34s %6.0f ns/call\n", name,
           (double)(bench_ns(CLOCK_THREAD_CPUTIME_ID) - began) / (double)calls);
    message_free(&m);
    meta_free(&conn);
}

int main(int argc, char **argv)
{
    static struct shard shard;
    static struct shard *shards[1];
    struct ring_backend backend = {.name = "bench",
                                   .clock_ns = bench_clock,
                                   .wall_clock_ns = bench_wall,
                                   .random = bench_random};
    struct shard_group group = {.count = 1, .shards = shards};
    uint64_t calls = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    struct vm_limits limits = {0};
    struct policy *policy;
    struct buf why = {0};
    struct vm *vm;

    shard.ring.backend = &backend;
    shard_init(&shard, &group, 0);
    if (!policy_load_library(api_library(), SLICE("bench.lua"),
                             slice_of(policy_text, sizeof(policy_text) - 1), false, &policy,
                             &why) ||
        !vm_open(&shard, policy, &limits, &vm, &why)) {
        fprintf(stderr, "%.*s\n", SLICE_ARG(buf_slice(&why)));
        return 1;
    }
    run(vm, VM_HOOK_smtp_server_data, "empty handler", calls);
    run(vm, VM_HOOK_smtp_server_message_received, "header read, two metas set", calls);
    vm_close(&vm);
    policy_free(&policy);
    buf_free(&why);
    mail_free(&shard);
    return 0;
}
