/*
 * How a handler that does not end is ended.
 *
 * In production a timer counts the CPU time of the shard's thread and sends that thread a signal;
 * its handler sets a hook on the state that runs, and LuaJIT (built with hook checks in compiled
 * code) leaves whatever loop it is in. The timer is armed at most once per tick, a quarter of the
 * budget, not once per call, so a handler is ended after one to one and a quarter budgets. The
 * hook stays: a handler that catches the error gets it again at its next instruction. Ticks go on
 * until the run is over: a signal that came while LuaJIT itself was changing how it dispatches
 * may have had no effect, and is made up for by the next one.
 *
 * A run that must repeat exactly counts instructions instead.
 */
#include <signal.h>
#include <unistd.h>

#include "policy/vm/vm_private.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define INSTRUCTIONS_STEP 1000
#define TICKS_PER_BUDGET 4u

static int budget_signal(void)
{
    return SIGRTMIN + 4;
}

static NORETURN void budget_exceeded(lua_State *L)
{
    if (vm_state_of(L)->out_of_memory) {
        lua_pushliteral(L, "not enough memory");
    } else {
        lua_pushliteral(L, "event handler used more than its budget");
    }
    (void)lua_error(L);
    __builtin_unreachable();
}

static void budget_hook(lua_State *L, lua_Debug *ar)
{
    struct buf *at = &vm_state_of(L)->stopped_at;

    if (at->len == 0 && lua_getinfo(L, "Sl", ar) != 0 && ar->currentline >= 0) {
        source_position_put(at, ar->source, ar->currentline);
    }
    budget_exceeded(L);
}

void budget_stop(struct vm_state *st)
{
    if (st->L != NULL) {
        /* Without the step through none, LuaJIT takes a hook it has for one that works. */
        (void)lua_sethook(st->L, NULL, 0, 0);
        (void)lua_sethook(st->L, budget_hook, LUA_MASKCOUNT, 1);
    }
}

static void instruction_hook(lua_State *L, lua_Debug *ar)
{
    struct vm_state *st = vm_state_of(L);

    st->instructions += INSTRUCTIONS_STEP;
    if (st->call != NULL && st->instructions > st->instructions_max) {
        st->interrupted = 1;
        budget_stop(st);
        budget_exceeded(L);
    }
}

static void budget_arm(struct vm_budget *b)
{
    uint64_t tick_ns = b->budget_ns / TICKS_PER_BUDGET;
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(tick_ns / 1000000000u),
                     .tv_nsec = (long)(tick_ns % 1000000000u)},
    };

    atomic_store_explicit(&b->armed, true, memory_order_relaxed);
    (void)timer_settime(b->timer, 0, &when, NULL);
}

/* The first tick of a run tells which one it is; it may be shorter than the others. */
static void budget_count_from(struct vm_budget *b, uint64_t run)
{
    atomic_store_explicit(&b->run_counted, run, memory_order_relaxed);
    atomic_store_explicit(&b->ticks, 0, memory_order_relaxed);
}

/* Async-signal: runs on the thread whose time was used up, at any instruction of it. */
static void budget_elapsed(int sig, siginfo_t *info, void *context)
{
    if (info->si_code != SI_TIMER) {
        return; /* somebody else's signal */
    }
    struct vm_budget *b = info->si_value.sival_ptr;
    uint64_t run = atomic_load_explicit(&b->run_now, memory_order_relaxed);
    struct vm_state *st = atomic_load_explicit(&b->state, memory_order_relaxed);

    atomic_store_explicit(&b->armed, false, memory_order_relaxed);
    if (run == 0) {
        return;
    }
    if (run != atomic_load_explicit(&b->run_counted, memory_order_relaxed)) {
        budget_count_from(b, run); /* a later run: it has its own budget */
    } else if (atomic_fetch_add_explicit(&b->ticks, 1, memory_order_relaxed) + 1 >=
               TICKS_PER_BUDGET) {
        st->interrupted = 1;
        budget_stop(st);
    }
    budget_arm(b);
}

void budget_close(struct vm_budget *b)
{
    if (b->made) {
        (void)timer_delete(b->timer);
        b->made = false;
    }
}

/* The timer belongs to the thread that runs the handlers, so it is made there. */
static void budget_make(struct vm_budget *b)
{
    struct sigaction action = {.sa_sigaction = budget_elapsed, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = budget_signal()};
    sigset_t set;

    budget_close(b);
    event.sigev_value.sival_ptr = b;
    event.sigev_notify_thread_id = gettid();
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(budget_signal(), &action, NULL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, budget_signal());
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    b->thread = pthread_self();
    b->made = timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &b->timer) == 0;
    atomic_store_explicit(&b->armed, false, memory_order_relaxed);
}

/* ORDER While the number is 0 the signal does nothing, so it never sees the number of one run
 * with the state of another. */
static void run_set(struct vm_budget *b, uint64_t run, struct vm_state *st)
{
    atomic_store_explicit(&b->run_now, 0, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&b->state, st, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&b->run_now, run, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

void budget_begin(struct vm_budget *b, struct vm_state *st, uint64_t budget_ms)
{
    *b = (struct vm_budget){.budget_ns = budget_ms * 1000000u};
    budget_make(b);
    run_set(b, 1, st);
    budget_count_from(b, 1);
    if (b->made) {
        budget_arm(b);
    }
}

/* A signal of this thread arrives on its way back from the call that deletes the timer at the
 * latest, so nothing refers to b afterwards. */
void budget_end(struct vm_budget *b)
{
    run_set(b, 0, NULL);
    budget_close(b);
}

void budget_enter(struct vm_state *st, struct vm_budget_frame *outer)
{
    if (st->vm == NULL) {
        return; /* loading, on the main thread, before anything is served */
    }
    struct vm_budget *b = &st->vm->budget;

    if (st->instructions_max != 0) {
        if (!st->interrupted && !st->out_of_memory) {
            (void)lua_sethook(st->L, instruction_hook, LUA_MASKCOUNT, INSTRUCTIONS_STEP);
        }
        return;
    }
    outer->run = atomic_load_explicit(&b->run_now, memory_order_relaxed);
    outer->state = atomic_load_explicit(&b->state, memory_order_relaxed);
    if (UNLIKELY(!b->made || !pthread_equal(b->thread, pthread_self()))) {
        budget_make(b);
    }
    run_set(b, ++b->run_last, st);
    if (!atomic_load_explicit(&b->armed, memory_order_relaxed) && b->made) {
        budget_count_from(b, b->run_last);
        budget_arm(b);
    }
}

void budget_leave(struct vm_state *st, const struct vm_budget_frame *outer)
{
    if (st->vm == NULL || st->instructions_max != 0) {
        return;
    }
    struct vm_budget *b = &st->vm->budget;

    run_set(b, outer->run, outer->state);
    if (outer->run != 0 && !atomic_load_explicit(&b->armed, memory_order_relaxed) && b->made) {
        budget_arm(b);
    }
}
