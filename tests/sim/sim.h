/*
 * sim - one simulated run: virtual time, chance, history. Everything that happens follows from
 * the seed; the order of events at one instant is the order they were asked for.
 *
 * Owner     the one thread; in the arena, so that it outlives the daemon's lives.
 * Units     virtual nanoseconds since the run began.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/prng.h"
#include "core/base/slice.h"
#include "tests/sim/sim_arena.h"
#include "tests/sim/sim_plan.h"

#define SIM_US UINT64_C(1000)
#define SIM_MS UINT64_C(1000000)
#define SIM_S UINT64_C(1000000000)
#define SIM_NEVER UINT64_MAX

struct book;
struct sim;
struct sim_disk;
struct sim_life;
struct sim_net;
struct sim_peers;

/* What `--trace` names. */
enum sim_area {
#define SIM_AREA(name, text) SIM_##name,
#include "tests/sim/sim_areas.def"
#undef SIM_AREA
    SIM_AREA_COUNT
};

/* Independent sequences: another question to one does not change the answers of the others. */
enum sim_chance_of {
    CHANCE_NET = 0,
    CHANCE_DISK,
    CHANCE_PEER,
    CHANCE_LIFE,
    CHANCE_RING,
    CHANCE_COUNT
};

typedef void sim_event_fn(struct sim *s, void *ctx, uint64_t arg);

struct sim_event {
    uint64_t at_ns, seq;
    sim_event_fn *fn;
    void *ctx;
    uint64_t arg;
    uint32_t life; /* 0: the world's; otherwise nothing happens when that life is over */
};

struct sim_note {
    uint64_t at_ns;
    const char *what; /* a printf format for the three numbers */
    uint64_t a, b, c;
    uint64_t message; /* 0: of none */
    uint8_t area;
    uint8_t shard;
};

#define SIM_NOTES 32768u
#define SIM_NO_SHARD 255u
#define SIM_TEXTS 64u
#define SIM_TEXT_MAX 240u

enum sim_phase { PHASE_LOAD = 0, PHASE_HEAL, PHASE_VERIFY, PHASE_DONE };

struct sim {
    struct sim_arena *arena;
    struct sim_plan plan;
    uint64_t now_ns;
    struct prng chance[CHANCE_COUNT];
    struct sim_event *heap;
    uint32_t heap_count, heap_cap;
    uint64_t event_seq;
    uint64_t history; /* hash of everything noted so far */
    uint64_t note_count;
    struct sim_note notes[SIM_NOTES]; /* the last of them */
    char texts[SIM_TEXTS][SIM_TEXT_MAX]; /* the last lines of diagnostics */
    uint64_t text_count;
    uint32_t trace;  /* bits by enum sim_area */
    uint8_t shard;   /* which one runs now */
    uint8_t phase;   /* enum sim_phase */
    bool failed;
    uint32_t life;   /* counts up; 0 before the first */
    bool alive;      /* the daemon runs */
    bool faults_off; /* all is healed ... */
    uint64_t heal_ns; /* ... since then */
    uint32_t lives_left; /* that are going to end under load */
    struct sim_counts {
        uint64_t turns, events, lives, crashes, kills, power_cuts, stops, boots_refused, probes;
    } counts;
    struct sim_disk *disk;
    struct sim_net *net;
    struct sim_peers *peers;
    struct book *book;
    struct sim_life *here; /* the daemon's process; only while alive, only in it */
};

struct sim *sim_new(struct sim_arena *arena, const struct sim_plan *plan, uint32_t trace);

/* ---- time ---- */

/* An event of the world, and one that the end of the present life forgets. */
void sim_after(struct sim *s, uint64_t delay_ns, sim_event_fn *fn, void *ctx, uint64_t arg);
void sim_after_here(struct sim *s, uint64_t delay_ns, sim_event_fn *fn, void *ctx, uint64_t arg);
/* When the next one is due; SIM_NEVER: none. */
uint64_t sim_next_ns(struct sim *s);
/* Moves the clock there and runs it. */
void sim_step(struct sim *s);

/* ---- chance ---- */

uint64_t sim_below(struct sim *s, enum sim_chance_of of, uint64_t bound);
bool sim_chance(struct sim *s, enum sim_chance_of of, uint32_t per_million);
/* Between the two, small ones as likely as large ones. */
uint64_t sim_spread(struct sim *s, enum sim_chance_of of, uint64_t least, uint64_t most);

/* ---- history ---- */

void sim_note(struct sim *s, enum sim_area area, const char *what, uint64_t a, uint64_t b,
              uint64_t c);
void sim_note_message(struct sim *s, enum sim_area area, const char *what, uint64_t message,
                      uint64_t b, uint64_t c);
/* Said with --trace alone, about the note before it; no part of the history. */
void sim_trace(struct sim *s, enum sim_area area, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* A line of the daemon's diagnostics. */
void sim_text(struct sim *s, struct slice line);
bool sim_area_named(struct slice name, enum sim_area *out);

/* A checker's verdict: prints the block that tells what happened, and ends the process. */
NORETURN void sim_fail(struct sim *s, const char *checker, uint64_t message, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* The block; for failures that the process did not survive. */
void sim_report(struct sim *s, const char *checker, uint64_t message, const char *text);

#define SIM_EXIT_FAILED 3

#define SIM_POLICY_PATH "/etc/policy.lua"
#define SIM_LOG_DIR "/log"
