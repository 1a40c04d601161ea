/* What happened: a hash of all of it, the last of it in full, and the block about a failure. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/hash.h"
#include "tests/sim/sim.h"

#define REPORT_NOTES 40u
#define REPORT_MESSAGE_NOTES 30u
#define REPORT_TEXTS 12u

static const char *const area_names[SIM_AREA_COUNT] = {
#define SIM_AREA(name, text) [SIM_##name] = text,
#include "tests/sim/sim_areas.def"
#undef SIM_AREA
};

bool sim_area_named(struct slice name, enum sim_area *out)
{
    for (uint32_t i = 0; i < SIM_AREA_COUNT; i++) {
        if (slice_eq(name, slice_str(area_names[i]))) {
            *out = (enum sim_area)i;
            return true;
        }
    }
    return false;
}

static void note_print(const struct sim_note *n)
{
    struct buf line = {0};

    buf_printf(&line, "%6llu.%09llu ", (unsigned long long)(n->at_ns / SIM_S),
               (unsigned long long)(n->at_ns % SIM_S));
    if (n->shard == SIM_NO_SHARD) {
        BUF_LIT(&line, "- ");
    } else {
        buf_printf(&line, "%u ", n->shard);
    }
    buf_printf(&line, "%-5s ", area_names[n->area]);
    buf_printf(&line, n->what, (unsigned long long)n->a, (unsigned long long)n->b,
               (unsigned long long)n->c);
    printf("%.*s\n", (int)line.len, line.ptr);
    buf_free(&line);
}

static void note_add(struct sim *s, struct sim_note note)
{
    struct {
        uint64_t history, at_ns, what, a, b, c, where;
    } chained = {s->history,
                 note.at_ns,
                 hash64(note.what, strlen(note.what), 0),
                 note.a,
                 note.b,
                 note.c,
                 (uint64_t)note.area << 8 | note.shard};

    s->history = hash64(&chained, sizeof(chained), 0);
    s->notes[s->note_count++ % SIM_NOTES] = note;
    if (s->trace & UINT32_C(1) << note.area) {
        note_print(&note);
    }
}

void sim_note(struct sim *s, enum sim_area area, const char *what, uint64_t a, uint64_t b,
              uint64_t c)
{
    note_add(s, (struct sim_note){.at_ns = s->now_ns,
                                  .what = what,
                                  .a = a,
                                  .b = b,
                                  .c = c,
                                  .area = (uint8_t)area,
                                  .shard = s->shard});
}

void sim_note_message(struct sim *s, enum sim_area area, const char *what, uint64_t message,
                      uint64_t b, uint64_t c)
{
    note_add(s, (struct sim_note){.at_ns = s->now_ns,
                                  .what = what,
                                  .a = message,
                                  .b = b,
                                  .c = c,
                                  .message = message,
                                  .area = (uint8_t)area,
                                  .shard = s->shard});
}

void sim_trace(struct sim *s, enum sim_area area, const char *fmt, ...)
{
    struct buf text = {0};
    va_list ap;

    if ((s->trace & UINT32_C(1) << area) == 0) {
        return;
    }
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    printf("                   %-5s %.*s\n", area_names[area], (int)text.len, text.ptr);
    buf_free(&text);
}

/* The banner names the kernel, which is not the run's. */
void sim_text(struct sim *s, struct slice line)
{
    bool repeats = memmem(line.ptr, line.len, " kernel ", 8) == NULL;
    char *kept = s->texts[s->text_count++ % SIM_TEXTS];
    size_t len = line.len < SIM_TEXT_MAX - 1 ? line.len : SIM_TEXT_MAX - 1;

    memcpy(kept, line.ptr, len);
    kept[len] = '\0';
    sim_note(s, SIM_SAY, "a line of %llu bytes, hash %llx", repeats ? line.len : 0,
             repeats ? hash64_slice(line, 0) : 0, 0);
    if (s->trace & UINT32_C(1) << SIM_SAY) {
        printf("%.*s", SLICE_ARG(line));
    }
}

/* ---- failure ---- */

static void report_message(const struct sim *s, uint64_t message)
{
    uint64_t first = s->note_count > SIM_NOTES ? s->note_count - SIM_NOTES : 0;
    uint32_t shown = 0;

    printf("  about message %llu:\n", (unsigned long long)message);
    for (uint64_t i = first; i < s->note_count && shown < REPORT_MESSAGE_NOTES; i++) {
        if (s->notes[i % SIM_NOTES].message == message) {
            note_print(&s->notes[i % SIM_NOTES]);
            shown++;
        }
    }
}

void sim_report(struct sim *s, const char *checker, uint64_t message, const char *text)
{
    uint64_t first = s->note_count > REPORT_NOTES ? s->note_count - REPORT_NOTES : 0;
    uint64_t first_text = s->text_count > REPORT_TEXTS ? s->text_count - REPORT_TEXTS : 0;

    s->failed = true;
    printf("ringsim: FAILED\n  checker      %s\n  what         %s\n  seed         %llu\n", checker,
           text, (unsigned long long)s->plan.seed);
    printf("  virtual time %llu.%09llu s, life %u of %u shards, turn %llu\n",
           (unsigned long long)(s->now_ns / SIM_S), (unsigned long long)(s->now_ns % SIM_S),
           s->life, s->plan.shards_now, (unsigned long long)s->counts.turns);
    printf("  faults       ");
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        if (s->plan.faults[i] != 0) {
            printf("%s ", sim_fault_name((enum sim_fault)i));
        }
    }
    printf("\n");
    if (s->shard != SIM_NO_SHARD) {
        printf("  shard        %u\n", s->shard);
    }
    if (message != 0) {
        report_message(s, message);
    }
    printf("  last events:\n");
    for (uint64_t i = first; i < s->note_count; i++) {
        note_print(&s->notes[i % SIM_NOTES]);
    }
    printf("  last words of the daemon:\n");
    for (uint64_t i = first_text; i < s->text_count; i++) {
        printf("%s", s->texts[i % SIM_TEXTS]);
    }
    printf("  replay       ringsim --seed %llu%s --trace life,mail\n",
           (unsigned long long)s->plan.seed, s->plan.pinned);
    (void)fflush(stdout);
}

void sim_fail(struct sim *s, const char *checker, uint64_t message, const char *fmt, ...)
{
    struct buf text = {0};
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    buf_char(&text, '\0');
    sim_report(s, checker, message, text.ptr);
    _exit(SIM_EXIT_FAILED);
}
