/* ringsink: options in, threads, one line of JSON out. */
#include "tools/ringsink.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"

#define THREADS_MAX 64u
#define BACKLOG 4096
#define SAMPLE_MAX 20u

static const struct tool_option options[] = {
#define HEADING(text) {.name = text, .kind = TOOL_HEADING},
#define OPTION(field, vkind, vname, varg, vfallback, vhelp)                                        \
    {.name = vname,                                                                                \
     .arg = varg,                                                                                  \
     .fallback = vfallback,                                                                        \
     .help = vhelp,                                                                                \
     .offset = offsetof(struct sink_options, field),                                               \
     .kind = TOOL_##vkind},
#include "tools/ringsink_options.def"
#undef OPTION
#undef HEADING
};

static const struct tool_cli cli = {
    .usage = "ringsink [options]",
    .about = "Accepts mail over SMTP and throws it away, counting; can check what ringload sent, "
             "refuse, delay and reset. Ends with one line of JSON on SIGTERM, SIGINT or "
             "--stop-after. The exit status is 1 when a message came damaged or one that was "
             "--expect-ed did not come, 2 when it could not run.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
};

/* ---- from options to a plan ---- */

static bool ehlo_make(struct sink_plan *plan, struct buf *why)
{
    static const struct slice known[] = {
        SLICE_INIT("pipelining"), SLICE_INIT("8bitmime"), SLICE_INIT("smtputf8"),
        SLICE_INIT("chunking"),   SLICE_INIT("size"),     SLICE_INIT("enhancedstatuscodes")};
    struct slice rest = slice_str(plan->options.advertise);

    buf_printf(&plan->ehlo, "250%c%s\r\n", rest.len != 0 ? '-' : ' ', plan->options.hostname);
    while (rest.len != 0) {
        struct slice word = slice_head(rest, slice_find_char(rest, ','));
        bool found = false;

        rest = slice_from(rest, word.len + 1);
        for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
            found |= slice_eq_nocase(word, known[i]);
        }
        if (!found) {
            buf_printf(why, "--advertise does not know \"%.*s\"", SLICE_ARG(word));
            return false;
        }
        buf_printf(&plan->ehlo, "250%c", rest.len != 0 ? '-' : ' ');
        for (size_t i = 0; i < word.len; i++) {
            char c = char_lower(word.ptr[i]);

            buf_char(&plan->ehlo, c >= 'a' && c <= 'z' ? (char)(c - 0x20) : c);
        }
        if (slice_eq_nocase(word, SLICE("size"))) {
            buf_printf(&plan->ehlo, " %llu", (unsigned long long)plan->options.size_max);
        }
        BUF_LIT(&plan->ehlo, "\r\n");
    }
    return true;
}

static bool rules_make(struct sink_plan *plan, struct buf *why)
{
    const struct sink_options *o = &plan->options;
    const struct tool_texts *given[SINK_ACTION_COUNT] = {
        [SINK_REPLY] = &o->reply, [SINK_DELAY] = &o->delay, [SINK_RESET] = &o->reset};

    for (uint32_t a = 0; a < SINK_ACTION_COUNT; a++) {
        for (uint32_t i = 0; i < given[a]->count; i++) {
            if (!sink_rule_add(&plan->rules, (enum sink_action)a, slice_str(given[a]->at[i]),
                               why)) {
                return false;
            }
        }
    }
    return true;
}

static bool refuse_parse(struct sink_plan *plan, struct buf *why)
{
    struct slice word = slice_str(plan->options.refuse);

    if (word.len == 0) {
        plan->refuse = SINK_REFUSE_NO;
    } else if (slice_eq(word, SLICE("connect"))) {
        plan->refuse = SINK_REFUSE_CONNECT;
    } else if (slice_eq(word, SLICE("close"))) {
        plan->refuse = SINK_REFUSE_CLOSE;
    } else {
        buf_printf(why, "--refuse wants connect or close");
        return false;
    }
    return true;
}

static bool plan_make(struct sink_plan *plan, const struct tool_texts *rest, struct buf *why)
{
    struct sink_options *o = &plan->options;

    if (rest->count != 0) {
        buf_printf(why, "\"%s\" is not an option; see --help", rest->at[0]);
        return false;
    }
    if (o->threads < 1 || o->threads > THREADS_MAX) {
        buf_printf(why, "--threads wants 1 to %u", THREADS_MAX);
        return false;
    }
    if (o->recipients < 1 || o->recipients > 100000 || o->expect > SINK_SEEN_MAX / o->recipients) {
        buf_printf(why, "--recipients wants 1 to 100000, and --expect not more than %llu in all",
                   (unsigned long long)SINK_SEEN_MAX);
        return false;
    }
    o->verify |= o->expect != 0 || o->received != NULL;
    sink_seen_init(&plan->seen, o->run, o->first, o->recipients);
    return refuse_parse(plan, why) && ehlo_make(plan, why) && rules_make(plan, why);
}

/* ---- the line at the end ---- */

static void codes_put(struct buf *out, const struct sink_totals *t)
{
    const char *comma = "";

    BUF_LIT(out, ",\"refusals\":{");
    for (uint32_t s = 0; s < SINK_STAGE_COUNT; s++) {
        for (uint32_t i = 0; i < SINK_CODE_COUNT; i++) {
            if (t->codes[s][i] != 0) {
                buf_printf(out, "%s\"%s %u\":%llu", comma, sink_stage_name((enum sink_stage)s),
                           i + SINK_CODE_MIN, (unsigned long long)t->codes[s][i]);
                comma = ",";
            }
        }
    }
    BUF_LIT(out, "}");
}

/* Answers how many expected messages did not come. */
static uint64_t verified_put(struct buf *out, struct sink_plan *plan, const struct sink_totals *t)
{
    struct buf sample = {0};
    uint64_t missing = sink_seen_missing(
        &plan->seen, plan->options.expect * plan->options.recipients, SAMPLE_MAX, &sample);

    buf_printf(out, ",\"run\":\"%016llx\",\"intact\":%llu,\"corrupt\":%llu,\"foreign\":%llu,",
               (unsigned long long)plan->seen.run, (unsigned long long)t->intact,
               (unsigned long long)t->corrupt, (unsigned long long)t->foreign);
    buf_printf(out, "\"distinct\":%llu,\"duplicates\":%llu,\"missing\":%llu,",
               (unsigned long long)plan->seen.distinct, (unsigned long long)plan->seen.duplicates,
               (unsigned long long)missing);
    buf_printf(out, "\"missing_sample\":[%.*s]", (int)sample.len,
               sample.ptr != NULL ? sample.ptr : "");
    buf_free(&sample);
    return plan->options.expect != 0 ? missing : 0;
}

static uint64_t report_put(struct buf *out, struct sink_plan *plan, const struct sink_totals *t)
{
    struct tool_usage use = tool_usage_read();
    double cpu_s = (double)(use.user_us + use.system_us) / 1e6;
    double seconds = (double)(t->last_ns - t->first_ns) / 1e9;
    uint64_t missing = 0;

    buf_printf(out, "{\"tool\":\"ringsink\",\"connections\":%llu,\"connections_peak\":%llu,",
               (unsigned long long)t->connections, (unsigned long long)t->connections_peak);
    buf_printf(out, "\"connections_refused\":%llu,\"messages\":%llu,\"recipients\":%llu,",
               (unsigned long long)t->connections_refused, (unsigned long long)t->messages,
               (unsigned long long)t->recipients);
    buf_printf(out, "\"bytes\":%llu,\"oversize\":%llu,\"delayed\":%llu,\"resets\":%llu,",
               (unsigned long long)t->bytes, (unsigned long long)t->oversize,
               (unsigned long long)t->delayed, (unsigned long long)t->resets);
    buf_printf(out, "\"lost_after_250\":%llu,\"seconds\":%.3f,\"messages_per_second\":%.1f,",
               (unsigned long long)t->lost, seconds,
               seconds > 0 ? (double)t->messages / seconds : 0.0);
    buf_printf(out, "\"cpu_seconds\":%.3f,\"cpu_us_per_message\":%.1f", cpu_s,
               t->messages != 0 ? cpu_s * 1e6 / (double)t->messages : 0.0);
    codes_put(out, t);
    if (plan->options.verify) {
        missing = verified_put(out, plan, t);
    }
    BUF_LIT(out, "}\n");
    return missing;
}

static void totals_merge(struct sink_totals *into, const struct sink_totals *from)
{
    into->connections += from->connections;
    into->connections_peak += from->connections_peak;
    into->connections_refused += from->connections_refused;
    into->messages += from->messages;
    into->recipients += from->recipients;
    into->bytes += from->bytes;
    into->intact += from->intact;
    into->corrupt += from->corrupt;
    into->foreign += from->foreign;
    into->oversize += from->oversize;
    into->delayed += from->delayed;
    into->resets += from->resets;
    into->lost += from->lost;
    if (from->first_ns != 0 && (into->first_ns == 0 || from->first_ns < into->first_ns)) {
        into->first_ns = from->first_ns;
    }
    if (from->last_ns > into->last_ns) {
        into->last_ns = from->last_ns;
    }
    for (uint32_t s = 0; s < SINK_STAGE_COUNT; s++) {
        for (uint32_t i = 0; i < SINK_CODE_COUNT; i++) {
            into->codes[s][i] += from->codes[s][i];
        }
    }
}

/* ---- threads ---- */

/* Every worker's listener, on the port that the first one got. */
static bool listeners_open(struct sink_worker *workers, uint32_t count, struct ip_port at,
                           struct buf *why)
{
    struct ring ring = {0};
    const struct ring_params params = {.sq_entries = 8, .cq_entries = 16};
    int res = ring_uring_open(&ring, &params, why);

    for (uint32_t i = 0; res >= 0 && i < count; i++) {
        workers[i].listen = at;
        workers[i].listen_fd = -1;
        if (workers[i].plan->refuse == SINK_REFUSE_CONNECT) {
            continue;
        }
        res = workers[i].listen_fd = ring.backend->sock_listen(&ring, &at, BACKLOG, i != 0);
        if (res < 0) {
            buf_printf(why, "cannot listen on ");
            ip_port_put(why, &at);
            buf_printf(why, ": %s", strerror(-res));
        } else if (i == 0) {
            res = ring.backend->sock_names(&ring, workers[0].listen_fd, &at, NULL);
            workers[0].listen = at;
        }
    }
    ring_close(&ring);
    return res >= 0;
}

static void ready_say(const struct sink_worker *w)
{
    struct buf text = {0};

    ip_port_put(&text, &w->listen);
    fprintf(stderr, "ringsink: %s %.*s\n",
            w->plan->refuse == SINK_REFUSE_NO ? "listening on" : "refusing on", (int)text.len,
            text.ptr);
    buf_free(&text);
}

static void *worker_thread(void *arg)
{
    struct sink_worker *w = arg;

    w->failed = !sink_worker_run(w);
    if (w->failed) {
        atomic_store(&w->plan->stop.wanted, true);
    }
    return NULL;
}

static bool workers_run(struct sink_plan *plan, struct sink_totals *totals, struct buf *why)
{
    uint32_t count = (uint32_t)plan->options.threads;
    struct sink_worker *workers = mem_take_zero(count * sizeof(*workers));
    bool ok;

    for (uint32_t i = 0; i < count; i++) {
        workers[i].plan = plan;
        workers[i].index = i;
    }
    ok = listeners_open(workers, count, plan->options.listen, why);
    if (ok) {
        ready_say(&workers[0]);
    }
    for (uint32_t i = 0; ok && i < count; i++) {
        MUST(pthread_create(&workers[i].thread, NULL, worker_thread, &workers[i]) == 0);
    }
    for (uint32_t i = 0; i < count && workers[i].thread != 0; i++) {
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
    fprintf(stderr, "ringsink: %.*s\n", (int)why->len, why->ptr);
    return 2;
}

static int run(struct sink_plan *plan, struct buf *why)
{
    struct sink_totals *totals = MEM_NEW(struct sink_totals);
    struct buf report = {0};
    int status = 2;

    tool_signals_block();
    if (workers_run(plan, totals, why)) {
        uint64_t missing = report_put(&report, plan, totals);

        fwrite(report.ptr, 1, report.len, stdout);
        status = totals->corrupt == 0 && missing == 0 ? 0 : 1;
    } else {
        status = complain(why);
    }
    buf_free(&report);
    mem_give(totals);
    return status;
}

int main(int argc, char **argv)
{
    struct sink_plan *plan = MEM_NEW(struct sink_plan);
    struct tool_texts rest = {.count = 0};
    struct buf why = {0};
    enum tool_parsed parsed = tool_args_parse(&cli, argc, argv, &plan->options, &rest, &why);
    int status;

    if (parsed == TOOL_PARSED_HELP) {
        tool_args_help(&cli, &why);
        fwrite(why.ptr, 1, why.len, stdout);
        status = 0;
    } else if (parsed == TOOL_PARSED_BAD || !plan_make(plan, &rest, &why) ||
               ring_uring_probe(&why) != 0) {
        status = complain(&why);
    } else {
        status = run(plan, &why);
    }
    if (plan->seen.recipients != 0) {
        sink_seen_free(&plan->seen);
    }
    buf_free(&plan->ehlo);
    buf_free(&why);
    mem_give(plan);
    return status;
}
