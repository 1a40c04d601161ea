#include "core/daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "core/base/mem.h"
#include "core/daemon/daemon_private.h"
#include "core/daemon/services.h"
#include "policy/api/api.h"

#define POLICY_SIZE_MAX (16u * 1024u * 1024u)

/* ---- opening ---- */

static uint32_t shards_wanted(const struct daemon_options *o)
{
    cpu_set_t cpus;
    uint32_t count = o->shards;

    if (count == 0) {
        count = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (uint32_t)CPU_COUNT(&cpus) : 1;
    }
    if (o->validate) {
        count = 1;
    }
    return count > SHARD_COUNT_MAX ? SHARD_COUNT_MAX : count;
}

static bool open_engines(struct daemon *d, struct buf *why)
{
    struct rlimit files;

    MUST(getrlimit(RLIMIT_NOFILE, &files) == 0);
    ingress_room_init(&d->room, files.rlim_cur);
    d->shard_count = shards_wanted(d->options);
    d->group = (struct shard_group){.count = d->shard_count, .shards = d->shards};
    for (uint32_t i = 0; i < d->shard_count; i++) {
        d->engines[i] = mem_take_aligned(64, sizeof(struct engine));
        d->shards[i] = &d->engines[i]->shard;
    }
    for (uint32_t i = 0; i < d->shard_count; i++) {
        const char *filter = getenv("KUMOD_LOG");

        if (!engine_open(d->engines[i], d, i, why)) {
            return false;
        }
        if (d->options->validate && filter == NULL) {
            filter = "error";
        }
        if (filter != NULL && !diag_set_filter(&d->engines[i]->diag, slice_str(filter), why)) {
            return false;
        }
        d->engines[i]->phase_done = daemon_phase_done;
    }
    return true;
}

static bool read_policy(struct daemon *d, struct buf *text, struct buf *why)
{
    struct ring *ring = daemon_ring(d);
    struct buf path = {0};
    int64_t got = 0;
    int fd;

    if (d->options->policy_text.ptr != NULL) {
        buf_put(text, d->options->policy_text);
        return true;
    }
    buf_put(&path, d->options->policy_path);
    buf_char(&path, '\0');
    fd = ring->backend->fs_open(ring, path.ptr, O_RDONLY, 0);
    while (fd >= 0 && text->len < POLICY_SIZE_MAX) {
        buf_reserve(text, 65536);
        got = ring->backend->fs_pread(ring, fd, text->ptr + text->len, 65536, text->len);
        if (got <= 0) {
            break;
        }
        text->len += (size_t)got;
    }
    if (fd < 0 || got < 0) {
        buf_printf(why, "Error evaluating policy file %s: %s", path.ptr,
                   strerror(fd < 0 ? -fd : (int)-got));
    }
    if (fd >= 0) {
        ring->backend->fs_close(ring, fd);
    }
    buf_free(&path);
    return fd >= 0 && got >= 0;
}

static bool load_policy(struct daemon *d, struct buf *why)
{
    struct buf text = {0};
    bool ok = read_policy(d, &text, why) &&
              policy_load_library(api_library(), d->options->policy_path, buf_slice(&text),
                                  d->options->validate, &d->policy, why);

    buf_free(&text);
    return ok;
}

/* ---- init ---- */

struct init_wait {
    bool done, failed;
    struct buf why;
};

static void init_take(struct init_wait *w, const struct vm_result *result)
{
    w->done = true;
    if (result->status == VM_ERROR || result->status == VM_REJECTED) {
        w->failed = true;
        buf_put(&w->why, result->text);
    }
}

static void init_done(void *ctx, const struct vm_result *result)
{
    init_take(ctx, result);
}

/* Runs one event to its end on the main thread, turning shard 0 while it is suspended. */
static bool run_event(struct daemon *d, enum vm_hook hook, struct buf *why)
{
    struct engine *e = d->engines[0];
    struct init_wait w = {0};
    struct vm_call *call;
    const struct vm_result *result;

    if (!vm_has(e->vm, hook)) {
        return true;
    }
    call = vm_call_begin(e->vm, hook);
    result = vm_call_run(call, init_done, &w);
    if (result != NULL) {
        init_take(&w, result);
    }
    while (!w.done) {
        shard_turn(&e->shard, 10000000u);
    }
    vm_call_end(&call);
    if (w.failed) {
        buf_printf(why, "Initialization raised an error: %.*s", (int)w.why.len, w.why.ptr);
    }
    buf_free(&w.why);
    return !w.failed;
}

static bool run_init(struct daemon *d, struct buf *why)
{
    struct engine *e = d->engines[0];
    bool ok;

    if (d->host->ring_enable(d->host->ctx, &e->shard.ring) < 0) {
        BUF_LIT(why, "io_uring cannot be enabled");
        return false;
    }
    if (!vm_open(&e->shard, d->policy, &d->host->vm_limits, &e->vm, why)) {
        return false;
    }
    setup_services(e, d->services);
    d->services->zones = &e->zones.finder;
    vm_set_services(e->vm, d->services);
    for (uint32_t i = 0; i < d->shard_count; i++) {
        d->engines[i]->ingress.vm = e->vm; /* which hooks there are is the same on all */
        d->engines[i]->ingress.hostname = buf_slice(&d->hostname);
    }
    ok = run_event(d, VM_HOOK_pre_init, why) && run_event(d, VM_HOOK_init, why);
    if (ok && d->options->validate) {
        ok = run_event(d, VM_HOOK_validate_config, why);
    }
    return ok;
}

/* ---- running ---- */

static void say_banner(struct daemon *d)
{
    struct diag *diag = &d->engines[0]->diag;
    struct buf spool = {0}, deferring = {0};
    struct utsname host;

    MUST(uname(&host) == 0);
    spool_store_describe(d->store, &spool);
    setup_put_deferring(&d->setup, &deferring);
    if (deferring.len > 0) { /* the promise behind a 250 is another there */
        BUF_LIT(&spool, ", deferred_spool on ");
        buf_put(&spool, buf_slice(&deferring));
    }
    diag_info(diag, "kumod", "NodeId is %.*s", (int)d->node_id.len, d->node_id.ptr);
    diag_info(diag, "kumod", "Version is %s", d->options->version);
    diag_info(diag, "kumod", "kernel %s, %u shard%s, spool %.*s", host.release, d->shard_count,
              d->shard_count == 1 ? "" : "s", (int)spool.len, spool.ptr);
    buf_free(&spool);
    buf_free(&deferring);
}

static void say_listening(struct daemon *d)
{
    for (struct setup_endpoint *e = d->setup.endpoints; e != NULL; e = e->next) {
        struct buf addr = {0};

        ip_port_put(&addr, &e->endpoint.addr);
        diag_info(&d->engines[0]->diag, "kumod", "smtp listener on %.*s", (int)addr.len, addr.ptr);
        buf_free(&addr);
    }
    diag_info(&d->engines[0]->diag, "kumod", "initialization complete");
}

bool daemon_start_shard(struct engine *e)
{
    struct buf why = {0};
    bool ok = engine_start(e, &why);

    if (!ok) {
        diag_error(&e->diag, "kumod", "shard %u does not start: %.*s", e->shard.index,
                   (int)why.len, why.ptr);
    }
    buf_free(&why);
    return ok;
}

void daemon_started(struct daemon *d)
{
    daemon_memory_start(d);
    say_listening(d);
}

static bool open_store(struct daemon *d, struct buf *why)
{
    struct spool_params params;
    struct buf text = {0};
    enum spool_err err;

    setup_spool_params(&d->setup, d->shard_count, &params);
    params.segment_size = d->host->segment_size;
    err = spool_store_open(daemon_ring(d), &params, &d->store, &text);
    mem_give(params.data_paths);
    mem_give((void *)params.guards);
    if (err == SPOOL_E_CONFIG) {
        buf_printf(why, "%.*s: kumo.define_spool: path ", SLICE_ARG(d->options->policy_path));
    }
    buf_put(why, buf_slice(&text));
    buf_free(&text);
    return err == SPOOL_OK;
}

bool daemon_build(struct daemon *d, struct buf *why)
{
    if (!setup_check(&d->setup, why) || !open_store(d, why)) {
        return false;
    }
    for (uint32_t i = 0; i < d->shard_count; i++) {
        struct engine *e = d->engines[i];

        if (!engine_build(e, why)) {
            return false;
        }
        setup_services(e, &d->services[i]);
        services_fill(e, &d->services[i]);
        vm_set_services(e->vm, &d->services[i]);
    }
    daemon_drop_capabilities();
    say_banner(d);
    return true;
}

bool daemon_open(struct daemon *d, const struct daemon_options *options, struct buf *why)
{
    d->options = options;
    d->host = options->host != NULL ? options->host : &daemon_host_machine;
    d->services = mem_take_zero(SHARD_COUNT_MAX * sizeof(*d->services));
    setup_init(&d->setup, d);
    /* The user is changed before the first directory is made, so that it can use what it made. */
    return open_engines(d, why) && daemon_identify(d, why) && daemon_drop_privileges(d, why) &&
           daemon_memory_open(d, why) && load_policy(d, why) && run_init(d, why);
}

void daemon_close(struct daemon *d)
{
    for (uint32_t i = 0; i < d->shard_count; i++) {
        if (d->engines[i]->shard.ring.backend != NULL) {
            engine_close(d->engines[i]);
        }
    }
    if (d->store != NULL) {
        spool_store_close(&d->store);
    }
    for (uint32_t i = 0; i < d->shard_count; i++) {
        engine_free(d->engines[i]);
    }
    policy_free(&d->policy);
    setup_free(&d->setup);
    buf_free(&d->node_id);
    buf_free(&d->hostname);
    MEM_FREE(&d->services);
}
