/*
 * vm_lua - what code in policy/ may use to put functions and objects before Lua.
 *
 * Every function here runs on the shard (or the main thread while a policy loads), and, unless it
 * says otherwise, inside a protected call: it may raise, which unwinds to the handler. A C function
 * that may raise therefore keeps nothing on the C heap across a call that raises; scratch memory
 * that survives an unwinding is vm_scratch() and vm_scratch_doc().
 *
 * Objects are Lua userdata of one class each. A class is a metatable of the state; a value is
 * taken for an object only when its metatable is that very table.
 */
#pragma once

#include <lauxlib.h>
#include <lua.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/slice.h"
#include "policy/vm/vm.h"

struct vm_state;

/* What a policy sees beyond the core of this layer. Constant; shared by every state. */
struct vm_library {
    /* Adds to the kumo table at index 1 of the stack, in every fresh state. */
    void (*open)(lua_State *L);
    /* Constructors of config objects, more than or instead of the core's unchecked ones. */
    const struct vm_maker *makers;
    uint32_t maker_count;
    /* A line of the diagnostic log; NULL: standard error. */
    void (*log)(struct vm *vm, enum vm_log_level level, struct slice line);
};

/* kumo.NAME(table) that answers a config object. check() judges the table; on failure `why` is
 * the whole text of the error. NULL: anything goes. fill() answers the object with every option
 * that a table which has been judged leaves out, made in `doc`; NULL: what was not given is nil. */
struct vm_maker {
    const char *name; /* "make_queue_config" */
    bool (*check)(const struct json *params, struct buf *why);
    struct json *(*fill)(const struct json *params, struct json_doc *doc);
};

/* ---- where we are ---- */

struct vm_state *vm_state_of(lua_State *L);
struct vm *vm_of(lua_State *L);         /* NULL while a policy loads */
struct shard *vm_shard(const struct vm *vm);
bool vm_validating(lua_State *L);
/* The event that is running, empty while the policy loads. */
struct slice vm_current_event(lua_State *L);

/* Grows when what the policy computed from its surroundings should be computed anew. */
uint64_t vm_epoch(lua_State *L);
void vm_epoch_bump(lua_State *L);

/* ---- errors: userdata that print as message, newline, stack traceback ---- */

NORETURN void vm_raise(lua_State *L, const char *fmt, ...) PRINTF_LIKE(2, 3);
NORETURN void vm_raise_slice(lua_State *L, struct slice text);
/* "bad argument #1 to 'f' (string expected, got nil)". */
NORETURN void vm_raise_type(lua_State *L, int idx, const char *expected);
NORETURN void vm_raise_reject(lua_State *L, int64_t code, struct slice text,
                              enum vm_disconnect how);

/* Arguments, with native errors. Numbers pass for strings and numeric strings for numbers. */
struct slice vm_check_string(lua_State *L, int idx);
struct slice vm_opt_string(lua_State *L, int idx, struct slice fallback);
double vm_check_number(lua_State *L, int idx);
int64_t vm_check_int(lua_State *L, int idx); /* a fraction is cut off */
void vm_push_slice(lua_State *L, struct slice s);

/* ---- classes ---- */

enum vm_class {
    VM_CLASS_NONE = 0,
    VM_CLASS_ERROR,
    VM_CLASS_CONFIG,    /* answers of kumo.make_* */
    VM_CLASS_MESSAGE,   /* lent by a call */
    VM_CLASS_OWN_MESSAGE, /* a message that the object owns; the same methods */
    VM_CLASS_CONN_META,
    VM_CLASS_ADDRESS,   /* EnvelopeAddress; the bytes are its kept form, see proto/address.h */
    VM_CLASS_INTEGER,   /* an int64 that no double holds */
    VM_CLASS_TIME_DELTA, /* int64 nanoseconds, signed */
    VM_CLASS_OTHER,     /* policy/api numbers its own from here */
    VM_CLASS_MAX = 48
};

/* Makes the metatable of a class, or adds to it: `methods` are found by obj:name(), `meta` are
 * metamethods (either may be NULL). getmetatable() answers false for its objects. */
void vm_class_open(lua_State *L, uint32_t class, const char *name, const luaL_Reg *methods,
                   const luaL_Reg *meta);
/* Objects of the class find the methods of `from`. */
void vm_class_share(lua_State *L, uint32_t class, uint32_t from);
/* Pushes the methods table, for an __index of one's own. */
void vm_class_methods(lua_State *L, uint32_t class);
/* A fresh object on the stack; its bytes are zero. */
void *vm_class_new(lua_State *L, uint32_t class, size_t size);
void *vm_class_test(lua_State *L, int idx, uint32_t class); /* NULL: not one; never raises */
void *vm_class_check(lua_State *L, int idx, uint32_t class, const char *name);
/* How objects of the class become JSON: pushes a plain value for the object at idx. */
void vm_class_plain(lua_State *L, uint32_t class, void (*plain)(lua_State *L, int idx));

/* ---- messages and connection metadata ---- */

struct message;
struct meta;
struct schedule;

/* The message of a handle, as the handler sees it: its own edits included. Raises when the handle
 * outlived its call. View: to read. Edit: to change; the changes count when the handler returns. */
const struct message *vm_message_view(lua_State *L, int idx);
struct message *vm_message_edit(lua_State *L, int idx);
/* Replaces the schedule in the edited message; NULL clears. Takes over `s`. */
void vm_message_set_schedule(lua_State *L, int idx, struct schedule *s);
/* A message that no call lent: the object owns it from now on. */
void vm_message_push_owned(lua_State *L, struct message *m);
/* Takes it out of the object again; NULL when it was lent. */
struct message *vm_message_release(lua_State *L, int idx);

const struct meta *vm_conn_meta_view(lua_State *L, int idx);
struct meta *vm_conn_meta_edit(lua_State *L, int idx);

/* Pushes an EnvelopeAddress; `kept` as proto/address.h keeps it. */
void vm_address_push(lua_State *L, struct slice kept);
/* Pushes a TimeDelta. */
void vm_time_delta_push(lua_State *L, int64_t ns);

/* ---- JSON ---- */

/* Never raise. False: `why` says what cannot be JSON, in the words of a deserialize error. */
NODISCARD bool vm_json_read(lua_State *L, int idx, struct json_doc *doc, struct json **out,
                            struct buf *why);
/* Pushes the value: null as nil, arrays with the hidden marker, big integers boxed. */
void vm_json_push(lua_State *L, const struct json *v);
/* The value at idx as compact JSON text in vm_scratch(); raises. */
struct slice vm_json_text(lua_State *L, int idx);
/* Pushes the value that a JSON text stands for; raises when it is not JSON. */
void vm_json_text_push(lua_State *L, struct slice text);
/* An empty table that will encode as []. */
void vm_array_new(lua_State *L, uint32_t room);
/* Pushes a number, boxed where a double would lose digits. */
void vm_integer_push(lua_State *L, int64_t v);
void vm_integer_push_unsigned(lua_State *L, uint64_t v);
/* A number or boxed integer without fraction; never raises. */
bool vm_integer_get(lua_State *L, int idx, int64_t *out);

/* Cleared by each caller; given back with the state. */
struct buf *vm_scratch(lua_State *L);
struct buf *vm_scratch2(lua_State *L);
struct json_doc *vm_scratch_doc(lua_State *L); /* freed and empty */

/* ---- calls that suspend the handler ---- */

/* One running operation. A field of the caller's object, which lives on the C heap from
 * vm_wait_start() until free(). */
struct vm_wait {
    void (*free)(struct vm_wait *w);
    /* Stops the operation: afterwards it does not complete. NULL: cannot be stopped, its
     * completion then only frees. */
    void (*cancel)(struct vm_wait *w);
    /* The state's own. */
    struct vm_state *state;
    uint8_t phase; /* enum vm_wait_phase; zero at first */
};

enum vm_wait_phase { VM_WAIT_NEW = 0, VM_WAIT_SUSPENDED, VM_WAIT_COMPLETE, VM_WAIT_ABANDONED };

/* A suspending function is two C functions: start() sets an operation going and ends in
 *     return vm_wait_start(L, &op->wait);
 * finish() runs when it has completed, finds it by vm_wait_finished(), and pushes what Lua gets
 * (or raises). The object is freed by the state afterwards. An operation may complete before
 * vm_wait_start(): then nothing suspends. */
int vm_wait_start(lua_State *L, struct vm_wait *w);
struct vm_wait *vm_wait_finished(lua_State *L);
/* Raises when nothing can suspend here: while the policy loads. For start(), before it begins. */
void vm_wait_check(lua_State *L, const char *what);
/* The operation is done: resumes the handler, from the loop. `w` may be gone afterwards. */
void vm_wait_complete(struct vm_wait *w);

/* Sets t[name] of the table on top to a function made of start and finish. */
void vm_wait_register(lua_State *L, const char *name, lua_CFunction start, lua_CFunction finish);
