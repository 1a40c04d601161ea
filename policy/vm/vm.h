/*
 * vm - Lua states, and the calls from the engine into policy handlers.
 *
 * Each shard has one struct vm: a pool of LuaJIT states in which the policy file was evaluated.
 * A handler holds one state from start to finish; while it is suspended in kumo.dns.* or
 * kumo.sleep, other calls take other states. Nothing but policy/ includes lua.h.
 *
 * A call is built (vm_call_begin, vm_push_*), run, and answered: at once when the handler did not
 * suspend, through done() when it did or had to wait for a state. A handler that raises, loops
 * past its budget or takes too much memory answers VM_ERROR and its state is destroyed; the shard
 * goes on. A reject is a verdict: its state stays.
 *
 * Owner     struct vm: its shard. struct policy: the main thread (loading, init).
 * Memory    states are bounded by vm_limits; a state over its cap is destroyed.
 * Blocking  never, except for what the policy itself does with io.* and os.*.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/slice.h"

struct json;
struct message;
struct meta;
struct shard;
struct vm;
struct vm_call;

/* The events the engine fires; the rows say what happens without a handler. */
enum vm_hook {
#define VM_HOOK(name, multi, text) VM_HOOK_##name,
#include "policy/vm/hooks.def"
#undef VM_HOOK
    VM_HOOK_COUNT
};

enum vm_status {
    VM_NONE = 0,  /* no handler, or every handler returned no value */
    VM_RETURNED,  /* values[] hold what it returned, nil included */
    VM_REJECTED,  /* kumo.reject or kumo.disconnect */
    VM_ERROR,     /* anything else; text says where and why */
};

enum vm_log_level { VM_LOG_ERROR = 0, VM_LOG_WARN, VM_LOG_INFO, VM_LOG_DEBUG };

enum vm_disconnect { VM_IF_421 = 0, VM_FORCE_DISCONNECT, VM_FOLLOW_WITH_421 };

#define VM_VALUES_MAX 2u

struct vm_result {
    enum vm_status status;
    uint16_t code;                 /* VM_REJECTED */
    enum vm_disconnect disconnect; /* VM_REJECTED */
    struct slice text;             /* VM_REJECTED, VM_ERROR; borrowed until the call ends */
    uint32_t value_count;
    const struct json *values[VM_VALUES_MAX]; /* tables and config objects as JSON trees */
    /* A config object made by kumo.make_*: its constructor ("make_queue_config"), else empty. */
    struct slice made_by;
};

typedef void vm_done_fn(void *ctx, const struct vm_result *result);

/* A zero stands for the default. */
struct vm_limits {
    uint32_t states_max;        /* per shard; calls beyond wait their turn */
    uint64_t state_bytes_max;   /* memory of one state */
    uint64_t handler_budget_ms; /* CPU time of one handler between suspensions */
    uint64_t load_budget_ms;      /* CPU time of the policy's main chunk */
    /* When set, VM instructions are counted instead of time, nothing is compiled, and os.time,
     * os.clock and math.random come from the ring: for runs that must repeat exactly. */
    uint64_t handler_budget_instructions;
};

#define VM_STATES_DEFAULT 64u
#define VM_STATE_BYTES_DEFAULT (UINT64_C(256) << 20)
#define VM_BUDGET_DEFAULT_MS 5000u
#define VM_LOAD_BUDGET_DEFAULT_MS 60000u

/* ---- loading: on the main thread, before shards run ---- */

struct policy; /* the file's text and what its evaluation registered */

/* What `require 'kumo'` offers beyond the core of this layer; see vm_lua.h. The daemon passes
 * api_library() (policy/api/api.h); without one, messages reach handlers as opaque objects. */
struct vm_library;

/* Evaluates the file in a fresh state to see that it loads. `why` starts with
 * "Error evaluating policy file". */
NODISCARD bool policy_load(struct slice path, struct slice text, bool validating,
                           struct policy **out, struct buf *why);
NODISCARD bool policy_load_library(const struct vm_library *library, struct slice path,
                                   struct slice text, bool validating, struct policy **out,
                                   struct buf *why);
/* Gives up the caller's reference; a vm that was opened with it keeps its own. */
void policy_free(struct policy **pp);
/* Whether kumo.validation_failed() was called by any state of it. */
PURE bool policy_validation_failed(const struct policy *p);

NODISCARD bool vm_open(struct shard *shard, struct policy *policy, const struct vm_limits *limits,
                       struct vm **out, struct buf *why);
void vm_close(struct vm **vmp);
/* What policy/api functions find their services by: the daemon's per-shard composition. */
void vm_set_services(struct vm *vm, void *services);
void *vm_services(const struct vm *vm);

/* From now on calls run this policy; those under way end in the one they began in. False: it
 * does not load on this shard, and the old one stays. */
NODISCARD bool vm_set_policy(struct vm *vm, struct policy *policy, struct buf *why);

const char *vm_hook_name(enum vm_hook hook); /* "get_queue_config" */
/* False: no handler; skip the call altogether. */
PURE bool vm_has(const struct vm *vm, enum vm_hook hook);

/* ---- a call ---- */

/* Never NULL for a hook that vm_has(). Arguments are pushed in order, at most VM_ARGS_MAX, of
 * them at most VM_OBJECTS_MAX messages and as many conn_metas; what these point to must live until
 * done, the content of a message loaded. Strings are copied. */
#define VM_ARGS_MAX 8u
#define VM_OBJECTS_MAX 2u
struct vm_call *vm_call_begin(struct vm *vm, enum vm_hook hook);
/* A handler of any name (custom events); NULL when none is registered. */
struct vm_call *vm_call_begin_named(struct vm *vm, struct slice event);
void vm_push_string(struct vm_call *c, struct slice s);
void vm_push_optional(struct vm_call *c, struct slice s, bool present); /* nil when absent */
void vm_push_int(struct vm_call *c, int64_t v);
void vm_push_bool(struct vm_call *c, bool v);
void vm_push_nil(struct vm_call *c);
void vm_push_time_delta(struct vm_call *c, int64_t ns);
void vm_push_strings(struct vm_call *c, const struct slice *items, uint32_t count);
void vm_push_json(struct vm_call *c, const struct json *v);    /* as tables; null is nil */
void vm_push_address(struct vm_call *c, struct slice addr);   /* an EnvelopeAddress */
void vm_push_message(struct vm_call *c, struct message *m);   /* edits apply all or none */
void vm_push_conn_meta(struct vm_call *c, struct meta *meta); /* likewise */

/* Runs the handler. Answers the result when it finished without suspending; the result lives
 * until vm_call_end(). Answers NULL when it suspended: then done(ctx, result) runs later, from
 * the loop, and the caller still ends the call. Edits of messages and conn_metas are in them when
 * the status is VM_NONE or VM_RETURNED, and gone otherwise. */
const struct vm_result *vm_call_run(struct vm_call *c, vm_done_fn *done, void *ctx);
/* Gives the state back (or destroys it). Also legal for a suspended call: it is abandoned. */
void vm_call_end(struct vm_call **cp);

struct vm_counters {
    uint64_t call_count, error_count, reject_count, suspended_count, killed_count;
    uint32_t state_count, state_busy_count;
};
void vm_counters(const struct vm *vm, struct vm_counters *out);
