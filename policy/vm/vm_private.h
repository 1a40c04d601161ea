/*
 * vm_private - what the files of this folder share: one Lua state, one call, one vm.
 *
 * The C heap and Lua never mix up who unwinds: Lua code and anything that may raise runs inside
 * state_call() or a resume; everything else here touches Lua only by calls that cannot raise
 * while the state's memory is not `limited`.
 */
#pragma once

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "core/base/hmap.h"
#include "core/base/list.h"
#include "core/message/message.h"
#include "core/shard/shard.h"
#include "policy/vm/vm_lua.h"

/* ---- policy: what every state is built from ---- */

/* A module's source as it was when the policy was loaded, so that all states agree. */
struct policy_file {
    struct hmap_node node;
    struct buf path, text; /* text after the rewriter */
};

struct policy_event {
    struct hmap_node node;
    struct buf name;
};

struct policy {
    _Atomic uint32_t refs;
    _Atomic bool validation_failed;
    _Atomic uint64_t epoch;
    bool validating;
    bool loading; /* on the main thread: files and events are being collected */
    const struct vm_library *library;
    struct buf path, text;
    bool has[VM_HOOK_COUNT];
    struct hmap events; /* struct policy_event */
    struct hmap files;  /* struct policy_file */
};

struct policy *policy_get(struct policy *p);
const struct policy_file *policy_file_find(const struct policy *p, struct slice path);
/* Remembers a file while loading; takes over *text. */
void policy_file_keep(struct policy *p, struct slice path, struct buf *text);
void policy_event_add(struct policy *p, struct slice name);
bool policy_event_known(const struct policy *p, struct slice name);

/* ---- one state ---- */

/* Handlers of one event in one state. */
struct vm_event {
    struct hmap_node node;
    struct buf name;
    bool multi;
    bool nil_continues; /* a single nil passes on to the next handler */
    uint32_t count;
    int *refs;          /* functions, in the registry */
    int registrars_ref; /* array of arrays of positions, in the registry */
};

/* A message or connection metadata lent to a handler, and the handler's edits. */
struct vm_message_slot {
    struct message *lent;
    uint32_t generation; /* handles of earlier calls do not match */
    bool staged;         /* shadow holds edits */
    struct message shadow;
    struct message_content content;
};

struct vm_meta_slot {
    struct meta *lent;
    uint32_t generation;
    bool staged;
    struct meta meta;
};

struct vm_state {
    struct dlist link; /* among vm->idle while nobody holds it */
    struct vm *vm;     /* NULL while the policy loads */
    struct policy *policy;
    lua_State *L;
    lua_State *thread; /* runs the handlers, one after the other */
    int thread_ref;

    uint64_t bytes, bytes_max;
    uint64_t owned_bytes; /* of messages that Lua objects own */
    bool limited;      /* Lua runs: bytes_max counts */
    bool loading;      /* kumo.on() is legal */
    bool doomed;       /* destroyed instead of given back */
    bool out_of_memory;
    volatile sig_atomic_t interrupted; /* set by the budget's signal */
    struct buf stopped_at; /* "PATH:LINE" where that was seen first; empty: nowhere in Lua */
    uint64_t instructions, instructions_max;

    struct hmap events; /* struct vm_event */
    struct vm_event *hooks[VM_HOOK_COUNT];
    struct vm_event *current;   /* running now */
    struct vm_event *announced; /* what _KUMO_CURRENT_EVENT says */

    const void *class_table[VM_CLASS_MAX];
    int class_ref[VM_CLASS_MAX];
    int class_methods_ref[VM_CLASS_MAX];
    void (*class_plain[VM_CLASS_MAX])(lua_State *L, int idx);
    const void *array_table;
    int array_ref;

    struct vm_message_slot messages[VM_OBJECTS_MAX];
    struct vm_meta_slot metas[VM_OBJECTS_MAX];
    uint32_t message_count, meta_count; /* lent to the running call */

    struct vm_wait *wait;
    struct vm_call *call;
    struct buf scratch, scratch2;
    struct buf raising;      /* the text of the error being made */
    struct buf source, file; /* of the chunk being loaded */
    struct json_doc doc;
};

/* Answers NULL with the reason when the policy does not load. */
struct vm_state *state_new(struct vm *vm, struct policy *policy, const struct vm_limits *limits,
                           struct buf *why);
void state_free(struct vm_state **stp);
/* Makes sure the thread can run a handler: a fresh one after an error. */
void state_thread_renew(struct vm_state *st);
/* fn(arg) in a protected call; on failure the error's text is appended to `why`. */
NODISCARD bool state_call(struct vm_state *st, lua_CFunction fn, void *arg, struct buf *why);
/* The text of the error value on top of L, with a traceback of L for plain strings. */
void state_error_text(struct vm_state *st, lua_State *L, struct buf *out);

/* ---- errors ---- */

struct vm_error {
    bool reject;
    uint8_t how;           /* enum vm_disconnect */
    uint16_t code;
    uint32_t message_from; /* the bare message within text */
    uint32_t message_len;
    uint32_t text_len;     /* message and traceback */
    char text[];
};

void error_open(lua_State *L);

/* ---- parts of a fresh state; each runs protected ---- */

void chunk_open(lua_State *L);  /* load, dofile, require through the rewriter */
void compat_open(lua_State *L); /* what Lua 5.4 has and LuaJIT has not */
void utf8_open(lua_State *L);
void pack_open(lua_State *L);
void integer_open(lua_State *L);
void json_open(lua_State *L);
void object_open(lua_State *L); /* classes of messages and connection metadata */
void kumo_open(lua_State *L);   /* the core of the kumo table at index 1 */
void kumo_json_open(lua_State *L);
void event_open(lua_State *L);
void maker_open(lua_State *L);
void wait_open(lua_State *L);   /* coroutine.resume and wrap that pass suspensions on */
void simulated_open(lua_State *L); /* os.time, os.clock, math.random from the ring */

/* Appends a file; 0 or an errno. */
int file_read(const char *path, struct buf *out);
/* Loads text after the rewriter; the chunk or an error message is pushed, as lua_load does. */
int chunk_load(lua_State *L, struct slice text, const char *name);

/* The boxed integer at idx as JSON. */
void integer_json(lua_State *L, int idx, struct json_doc *doc, struct json **out);

/* ---- events ---- */

struct vm_event *event_find(struct vm_state *st, struct slice name);
void events_init(struct vm_state *st);
void events_free(struct vm_state *st);
void event_announce(struct vm_state *st, struct vm_event *ev);
/* "PATH:LINE" of the function or frame described by ar. */
void source_position_put(struct buf *out, const char *source, int line);

/* ---- objects ---- */

void object_push_message(struct vm_state *st, lua_State *L, struct message *m);
void object_push_meta(struct vm_state *st, lua_State *L, struct meta *m);
/* The call is over: edits become real, or vanish; handles die. */
void objects_settle(struct vm_state *st, bool commit);
void objects_free(struct vm_state *st);

/* ---- waits ---- */

extern const char vm_suspended; /* its address is what a suspending C function yields */
#define VM_SUSPENDED ((void *)&vm_suspended)

void wait_drop(struct vm_state *st); /* the finished wait of st, if any */
void wait_abandon(struct vm_state *st);

/* ---- budget ---- */

struct vm_budget {
    bool made;
    pthread_t thread; /* the timer counts this thread's time */
    timer_t timer;
    uint64_t budget_ns;
    uint64_t run_last;             /* numbers runs */
    _Atomic uint64_t run_now;      /* the innermost run, 0 outside */
    _Atomic uint64_t run_counted;  /* the run whose ticks are counted */
    _Atomic uint32_t ticks;        /* that it has used up */
    _Atomic bool armed;
    struct vm_state *_Atomic state;
};

struct vm_budget_frame {
    uint64_t run;
    struct vm_state *state;
};

void budget_enter(struct vm_state *st, struct vm_budget_frame *outer);
void budget_leave(struct vm_state *st, const struct vm_budget_frame *outer);
void budget_close(struct vm_budget *b);
/* One run with a budget of its own, which no vm has to stand behind. */
void budget_begin(struct vm_budget *b, struct vm_state *st, uint64_t budget_ms);
void budget_end(struct vm_budget *b);
/* From now on every instruction of the state raises. Safe at any moment. */
void budget_stop(struct vm_state *st);

/* ---- calls ---- */

enum vm_arg_kind { VM_ARG_NIL = 0, VM_ARG_BOOL, VM_ARG_INT, VM_ARG_STRING, VM_ARG_STRINGS,
                   VM_ARG_ADDRESS, VM_ARG_JSON, VM_ARG_MESSAGE, VM_ARG_META,
                   VM_ARG_TIME_DELTA };

struct vm_arg {
    uint8_t kind; /* enum vm_arg_kind */
    union {
        bool boolean;
        int64_t integer;
        struct {
            uint32_t from, len; /* in call->bytes */
            uint32_t count;     /* VM_ARG_STRINGS: (u32 length, bytes)* */
        };
        const struct json *json;
        struct message *message;
        struct meta *meta;
    };
};

struct vm_call {
    struct dlist link; /* free, or waiting for a state */
    struct vm *vm;
    struct vm_state *state; /* held from run to end */
    struct buf name;        /* the event */
    int hook;               /* enum vm_hook, or -1 for a name only */
    uint32_t handler_next;
    bool finished, delayed; /* delayed: done() answers */
    vm_done_fn *done;
    void *ctx;
    uint32_t arg_count;
    struct vm_arg args[VM_ARGS_MAX];
    struct buf bytes;
    struct vm_result result;
    struct json values[VM_VALUES_MAX];
    struct json_doc doc;
    struct buf text;
};

struct vm {
    struct shard *shard;
    struct policy *policy;
    struct vm_limits limits;
    void *services;
    struct dlist idle;    /* states; the first is the one to use */
    struct dlist waiting; /* calls without a state */
    struct dlist spare;   /* calls */
    struct post next;     /* gives freed states to waiting calls */
    uint32_t state_count, state_busy_count;
    uint32_t depth;       /* calls running inside each other */
    struct vm_counters counters;
    struct vm_budget budget;
};

struct vm_state *vm_state_take(struct vm *vm, struct buf *why, bool *must_wait);
void vm_state_give(struct vm *vm, struct vm_state *st);
/* Resumes a suspended call; runs done() when it finished. */
void call_resumed(struct vm_call *c);
/* "make_queue_config" for an object that made; NULL for anything else. */
const char *maker_name(lua_State *L, int idx);
void call_result_values(struct vm_call *c, lua_State *L, int from, int count);
void call_result_error(struct vm_call *c, lua_State *L);
void calls_wake(struct post *p);
