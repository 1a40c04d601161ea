/* Memory: limits from environment and policy, and what all shards do when it runs out. */
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/config/option.h"
#include "core/daemon/daemon_private.h"

static struct daemon *daemon_of(void *ctx)
{
    return ((struct engine *)ctx)->daemon;
}

/* ---- what the policy says ---- */

static bool bytes_read(const struct json *from, _Atomic uint64_t *out, struct buf *why)
{
    uint64_t value = 0;
    const struct option o = {.kind = &option_int,
                             .size = sizeof(value),
                             .has_at = OPTION_ALWAYS,
                             .count_at = OPTION_ALWAYS,
                             .max = INT64_MAX};

    if (!o.kind->read(&o, from, &value, why)) {
        return false;
    }
    atomic_store_explicit(out, value, memory_order_relaxed);
    return true;
}

static bool set_hard_limit(void *ctx, const struct json *value, struct buf *why)
{
    return bytes_read(value, &daemon_of(ctx)->memory_wishes.hard, why);
}

static bool set_soft_limit(void *ctx, const struct json *value, struct buf *why)
{
    return bytes_read(value, &daemon_of(ctx)->memory_wishes.soft, why);
}

static bool set_low_thresh(void *ctx, const struct json *value, struct buf *why)
{
    return bytes_read(value, &daemon_of(ctx)->memory_wishes.low, why);
}

static bool memory_limit(void *ctx, enum api_memory_limit which, uint64_t *out)
{
    const struct daemon *d = daemon_of(ctx);
    struct memory_limits l = memory_limits_of(&d->memory_host, &d->memory_wishes);

    *out = which == API_MEMORY_HARD ? l.hard : which == API_MEMORY_SOFT ? l.soft : l.low;
    return *out != MEMORY_UNLIMITED;
}

void setup_memory_services(struct api_services *out)
{
    out->set_memory_hard_limit = set_hard_limit;
    out->set_memory_soft_limit = set_soft_limit;
    out->set_memory_low_thresh = set_low_thresh;
    out->memory_limit = memory_limit;
}

/* ---- what the environment says ---- */

static bool environment_read(const char *name, _Atomic uint64_t *out, struct buf *why)
{
    const char *text = getenv(name);
    uint64_t value;

    if (text == NULL) {
        return true;
    }
    if (!slice_to_u64(slice_str(text), &value)) {
        buf_printf(why, "%s: `%s` is not a number of bytes", name, text);
        return false;
    }
    atomic_store_explicit(out, value, memory_order_relaxed);
    return true;
}

bool daemon_memory_open(struct daemon *d, struct buf *why)
{
    memory_wishes_init(&d->memory_wishes);
    memory_host_read(&d->memory_host, daemon_ring(d));
    return environment_read("KUMOD_MEMORY_HARD_LIMIT", &d->memory_wishes.hard, why) &&
           environment_read("KUMOD_MEMORY_SOFT_LIMIT", &d->memory_wishes.soft, why);
}

/* ---- while running ---- */

static void memory_changed_here(struct shard *sh, struct shard_call *call)
{
    struct engine *e = sh->owner;

    mem_give(call);
    egress_memory_changed(&e->egress);
}

static void memory_changed(struct memory_watch *w)
{
    struct daemon *d = CONTAINER_OF(w, struct daemon, memory_watch);

    for (uint32_t i = 0; i < d->shard_count; i++) {
        struct shard_call *call = MEM_NEW(struct shard_call);

        call->fn = memory_changed_here;
        shard_call(w->shard, i, call);
    }
}

void daemon_memory_start(struct daemon *d)
{
    struct memory_watch *w = &d->memory_watch;

    w->shard = &d->engines[0]->shard;
    w->diag = &d->engines[0]->diag;
    w->host = &d->memory_host;
    w->wishes = &d->memory_wishes;
    w->gate = &d->memory_gate;
    w->changed = memory_changed;
    memory_watch_start(w);
}
