/* ringload: options in, threads, one line of JSON out. */
#include "tools/ringload.h"

#include <stdio.h>

#include "core/base/mem.h"

#define THREADS_MAX 64u
#define CONNECTIONS_MAX 1000000u

static const struct tool_option options[] = {
#define HEADING(text) {.name = text, .kind = TOOL_HEADING},
#define OPTION(field, vkind, vname, varg, vfallback, vhelp)                                        \
    {.name = vname,                                                                                \
     .arg = varg,                                                                                  \
     .fallback = vfallback,                                                                        \
     .help = vhelp,                                                                                \
     .offset = offsetof(struct load_options, field),                                               \
     .kind = TOOL_##vkind},
#include "tools/ringload_options.def"
#undef OPTION
#undef HEADING
};

static const struct tool_cli cli = {
    .usage = "ringload [options] ADDRESS:PORT",
    .about = "Sends generated mail over SMTP as fast as asked for, counts what became of it, and "
             "ends with one line of JSON: accepted, refused by stage and code, messages a second, "
             "and the time from end of data to the 250. Every message carries a checksum that "
             "ringsink --verify knows.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
};

/* ---- from options to a plan ---- */

static bool range_check(const struct load_options *o, struct buf *why)
{
    if (o->threads < 1 || o->threads > THREADS_MAX) {
        buf_printf(why, "--threads wants 1 to %u", THREADS_MAX);
    } else if (o->connections + o->idle < 1 || o->connections > CONNECTIONS_MAX ||
               o->idle > CONNECTIONS_MAX) {
        buf_printf(why, "--connections and --idle want 1 to %u", CONNECTIONS_MAX);
    } else if (o->recipients < 1 || o->recipients > 100000) {
        buf_printf(why, "--recipients wants 1 to 100000");
    } else if (o->domains < 1) {
        buf_printf(why, "--domains wants at least 1");
    } else if (o->chunk_bytes < 1) {
        buf_printf(why, "--chunk wants at least 1");
    } else if (o->size_bytes > (UINT64_C(1) << 30)) {
        buf_printf(why, "--size wants at most 1g");
    } else if (o->slow_share > 100) {
        buf_printf(why, "--slow-share wants a percentage");
    } else {
        return true;
    }
    return false;
}

static bool patterns_make(struct load_plan *plan, struct buf *why)
{
    const struct load_options *o = &plan->options;

    for (uint32_t i = 0; i < o->header.count; i++) {
        if (!tool_pattern_parse(slice_str(o->header.at[i]), &plan->headers[i], why)) {
            return false;
        }
    }
    return tool_pattern_parse(slice_str(o->from), &plan->from, why) &&
           tool_pattern_parse(slice_str(o->to), &plan->to, why);
}

static bool plan_make(struct load_plan *plan, const struct tool_texts *rest, struct buf *why)
{
    struct load_options *o = &plan->options;

    if (rest->count != 1 || !ip_port_parse(slice_str(rest->at[0]), &plan->target)) {
        buf_printf(why, "one argument is wanted, the ADDRESS:PORT to send to");
        return false;
    }
    if (!tool_body_parse(slice_str(o->body), &plan->body)) {
        buf_printf(why, "--body %s is not a kind of body; see --help", o->body);
        return false;
    }
    plan->pipeline = slice_eq(slice_str(o->pipeline), SLICE("on"));
    if (!plan->pipeline && !slice_eq(slice_str(o->pipeline), SLICE("off"))) {
        buf_printf(why, "--pipeline wants on or off");
        return false;
    }
    plan->sequence_end = o->messages != 0 ? o->first + o->messages : UINT64_MAX;
    plan->sequence_next = o->first;
    return range_check(o, why) && patterns_make(plan, why);
}

/* ---- the line at the end ---- */

static void latency_put(struct buf *out, const struct tool_hist *h)
{
    buf_printf(out,
               ",\"latency_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,"
               "\"max\":%.1f,\"mean\":%.1f}",
               (double)tool_hist_at_ns(h, 0.5) / 1e3, (double)tool_hist_at_ns(h, 0.9) / 1e3,
               (double)tool_hist_at_ns(h, 0.99) / 1e3, (double)tool_hist_at_ns(h, 0.999) / 1e3,
               (double)h->max_ns / 1e3,
               h->count != 0 ? (double)h->sum_ns / (double)h->count / 1e3 : 0.0);
}

static void codes_put(struct buf *out, const struct load_totals *t)
{
    static const char *const stage_names[] = {
#define STAGE(name, text) text,
        LOAD_STAGES(STAGE)
#undef STAGE
    };
    const char *comma = "";

    BUF_LIT(out, ",\"refusals\":{");
    for (uint32_t s = 0; s < LOAD_STAGE_COUNT; s++) {
        for (uint32_t i = 0; i < LOAD_CODE_COUNT; i++) {
            if (t->codes[s][i] != 0) {
                buf_printf(out, "%s\"%s %u\":%llu", comma, stage_names[s], i + LOAD_CODE_MIN,
                           (unsigned long long)t->codes[s][i]);
                comma = ",";
            }
        }
    }
    BUF_LIT(out, "}");
}

static void report_put(struct buf *out, const struct load_plan *plan, const struct load_totals *t,
                       double seconds)
{
    struct tool_usage use = tool_usage_read();
    double cpu_s = (double)(use.user_us + use.system_us) / 1e6;

    buf_printf(out, "{\"tool\":\"ringload\",\"run\":\"%016llx\",\"connections\":%llu,",
               (unsigned long long)plan->source.run, (unsigned long long)plan->options.connections);
    buf_printf(out, "\"accepted\":%llu,\"recipients_accepted\":%llu,\"refused\":%llu,",
               (unsigned long long)t->accepted, (unsigned long long)t->recipients_accepted,
               (unsigned long long)t->refused);
    buf_printf(out, "\"unanswered\":%llu,\"bytes\":%llu,", (unsigned long long)t->unanswered,
               (unsigned long long)t->bytes);
    buf_printf(out, "\"connects\":%llu,\"connects_failed\":%llu,\"connections_lost\":%llu,",
               (unsigned long long)t->connects, (unsigned long long)t->connects_failed,
               (unsigned long long)t->connections_lost);
    buf_printf(out, "\"seconds\":%.3f,\"messages_per_second\":%.1f,", seconds,
               seconds > 0 ? (double)t->accepted / seconds : 0.0);
    buf_printf(out, "\"cpu_seconds\":%.3f,\"cpu_us_per_message\":%.1f", cpu_s,
               t->accepted != 0 ? cpu_s * 1e6 / (double)t->accepted : 0.0);
    latency_put(out, &t->latency);
    codes_put(out, t);
    BUF_LIT(out, "}\n");
}

static void totals_merge(struct load_totals *into, const struct load_totals *from)
{
    into->accepted += from->accepted;
    into->recipients_accepted += from->recipients_accepted;
    into->refused += from->refused;
    into->unanswered += from->unanswered;
    into->bytes += from->bytes;
    into->connects += from->connects;
    into->connects_failed += from->connects_failed;
    into->connections_lost += from->connections_lost;
    for (uint32_t s = 0; s < LOAD_STAGE_COUNT; s++) {
        for (uint32_t i = 0; i < LOAD_CODE_COUNT; i++) {
            into->codes[s][i] += from->codes[s][i];
        }
    }
    tool_hist_merge(&into->latency, &from->latency);
}

/* ---- threads ---- */

static void *worker_thread(void *arg)
{
    struct load_worker *w = arg;

    w->failed = !load_worker_run(w);
    if (w->failed) { /* the others would wait for a share that never comes */
        atomic_store(&w->plan->stop.wanted, true);
    }
    return NULL;
}

/* Everybody's messages; false when a thread could not work. */
static bool workers_run(struct load_plan *plan, struct load_totals *totals, struct buf *why)
{
    uint32_t count = (uint32_t)plan->options.threads;
    struct load_worker *workers = mem_take_zero(count * sizeof(*workers));
    bool ok = true;

    for (uint32_t i = 0; i < count; i++) {
        workers[i].plan = plan;
        workers[i].index = i;
        MUST(pthread_create(&workers[i].thread, NULL, worker_thread, &workers[i]) == 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        MUST(pthread_join(workers[i].thread, NULL) == 0);
        totals_merge(totals, &workers[i].totals);
        if (workers[i].failed) {
            buf_clear(why);
            buf_put(why, buf_slice(&workers[i].why));
            ok = false;
        }
        buf_free(&workers[i].why);
    }
    mem_give(workers);
    return ok;
}

static int complain(struct buf *why)
{
    fprintf(stderr, "ringload: %.*s\n", (int)why->len, why->ptr);
    buf_free(why);
    return 2;
}

static int run(struct load_plan *plan, struct buf *why)
{
    struct load_totals *totals = MEM_NEW(struct load_totals);
    struct buf report = {0};
    struct ring clock = {0};
    const struct ring_params params = {.sq_entries = 8, .cq_entries = 16};
    uint64_t started_ns;
    bool ok;

    /* A ring that is never enabled, for its clocks and its randomness. */
    if (ring_uring_open(&clock, &params, why) < 0) {
        mem_give(totals);
        return complain(why);
    }
    tool_source_open(&plan->source,
                     plan->options.run != 0 ? plan->options.run : ring_random(&clock) | 1,
                     ring_wall_ns(&clock) / 1000000000u);
    ring_clock_read(&clock);
    started_ns = ring_now_ns(&clock);
    if (plan->options.seconds_ms != 0) {
        plan->end_ns = started_ns + plan->options.seconds_ms * 1000000u;
    }
    ok = workers_run(plan, totals, why);
    ring_clock_read(&clock);
    report_put(&report, plan, totals, (double)(ring_now_ns(&clock) - started_ns) / 1e9);
    ring_close(&clock);
    if (ok) {
        fwrite(report.ptr, 1, report.len, stdout);
    }
    ok = ok && totals->refused == 0 && totals->unanswered == 0 && totals->connections_lost == 0 &&
         totals->connects_failed == 0;
    tool_source_close(&plan->source);
    mem_give(totals);
    buf_free(&report);
    return why->len != 0 ? complain(why) : ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct load_plan *plan = MEM_NEW(struct load_plan);
    struct tool_texts rest = {.count = 0};
    struct buf why = {0};
    int status;

    switch (tool_args_parse(&cli, argc, argv, &plan->options, &rest, &why)) {
    case TOOL_PARSED_HELP:
        tool_args_help(&cli, &why);
        fwrite(why.ptr, 1, why.len, stdout);
        buf_free(&why);
        status = 0;
        break;
    case TOOL_PARSED:
        tool_signals_block();
        status = plan_make(plan, &rest, &why) && ring_uring_probe(&why) == 0 ? run(plan, &why)
                                                                             : complain(&why);
        break;
    case TOOL_PARSED_BAD:
    default:
        status = complain(&why);
        break;
    }
    mem_give(plan);
    return status;
}
