/*
 * services - what the functions of the kumo module need from the daemon.
 *
 * The daemon fills one of these per shard (one more for the main thread, while init runs) and
 * hands it to vm_set_services(). A NULL member is a service that is not there: the function of
 * the policy then raises an error that says so.
 *
 * Owner     the daemon; it outlives the vm.
 * Blocking  nothing here blocks; what takes time answers through its op.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/slice.h"
#include "policy/vm/vm.h"

struct api_inject;
struct message;
struct message_ids;
struct resolver;
struct zone_finder;

/* `params` is what the policy gave, valid during the call. On failure `why` is the whole text of
 * the error, such as "deserialize error: ...". */
typedef bool api_setup_fn(void *ctx, const struct json *params, struct buf *why);

/* Names the settings in which the policy said something that changes nothing. */
typedef void api_notice_fn(void *ctx, struct slice name, struct slice reason);

enum api_memory_limit { API_MEMORY_HARD, API_MEMORY_SOFT, API_MEMORY_LOW_THRESH };

struct api_services {
    void *ctx; /* goes to every function below */

#define API_SETUP(field, module, name, phases, text) api_setup_fn *field;
#include "policy/api/setup.def"
#undef API_SETUP
    /* kumo.dns.define_resolver(name, params) */
    bool (*define_resolver)(void *ctx, struct slice name, const struct json *params,
                            struct buf *why);
    api_notice_fn *notice;
    /* A line of kumo.log_*; NULL: standard error. */
    void (*log)(void *ctx, enum vm_log_level level, struct slice line);
    /* kumo.set_diagnostic_log_filter(text) */
    bool (*set_log_filter)(void *ctx, struct slice filter, struct buf *why);

    /* kumo.get_memory_*: bytes; false: there is no such limit. */
    bool (*memory_limit)(void *ctx, enum api_memory_limit which, uint64_t *out);

    /* kumo.bump_config_epoch(): queue and path configs are asked for again. NULL: only what
     * memoize keeps is. */
    void (*bump_epoch)(void *ctx);

    struct resolver *resolver;        /* kumo.dns.lookup_* */
    struct message_ids *ids;          /* kumo.make_message */
    const struct zone_finder *zones;  /* time zones of schedules */
    /* Saves the message (unless deferred) and queues it; answers op->done. Takes over `m` in any
     * case. */
    void (*inject)(void *ctx, struct message *m, bool deferred_spool, struct api_inject *op);
};

/* An injection under way. A field of whoever asks. */
struct api_inject {
    void (*done)(struct api_inject *op);
    bool ok;
    struct buf why; /* set by the service when !ok, freed by the asker */
};
