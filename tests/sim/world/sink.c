/* Who takes mail: accepts, defers, refuses, stalls, resets, talks nonsense. */
#include "core/base/buf.h"
#include "tests/sim/check/book.h"
#include "tests/sim/world/peers.h"

#define TO_MAX 128u

enum sink_at { SINK_BANNER = 0, SINK_COMMAND, SINK_DATA, SINK_GONE };

struct sink_to {
    uint32_t message, index;
};

struct sink {
    struct net_conn *c;
    struct peer_lines lines;
    struct sim_bytes data;
    struct sink_to to[TO_MAX];
    uint32_t to_count;
    uint8_t at; /* enum sink_at */
    bool busy;  /* a reply is on its way to be said */
    bool has_sender;
    char reply[200];
};

static void sink_work(struct sim *s, struct sink *k);

static void sink_gone(struct sim *s, struct sink *k)
{
    k->at = SINK_GONE;
    bytes_free(s->arena, &k->lines.bytes);
    bytes_free(s->arena, &k->data);
}

static void delivered(struct sim *s, struct sink *k, uint64_t said_at)
{
    for (uint32_t i = 0; i < k->to_count; i++) {
        book_delivered(s, k->to[i].message, k->to[i].index, bytes_slice(&k->data), k->c, said_at);
    }
}

static void refused(struct sim *s, struct sink *k)
{
    for (uint32_t i = 0; i < k->to_count; i++) {
        book_refused(s, k->to[i].message, k->to[i].index);
    }
}

static void reset(struct sim *s, struct sink *k)
{
    k->to_count = 0;
    k->has_sender = false;
    bytes_drop(&k->data, k->data.len);
}

static void reply_due(struct sim *s, void *ctx, uint64_t is_delivery)
{
    struct sink *k = ctx;
    struct slice reply = slice_str(k->reply);

    k->busy = false;
    if (k->at == SINK_GONE) {
        return;
    }
    if (is_delivery) {
        delivered(s, k, k->c->in_total + reply.len);
        reset(s, k);
    }
    net_say(s, k->c, reply);
    if (slice_starts(reply, SLICE("221 "))) {
        net_hang_up(s, k->c);
        sink_gone(s, k);
        return;
    }
    sink_work(s, k);
}

static void say(struct sim *s, struct sink *k, const char *reply, bool is_delivery)
{
    struct slice text = slice_str(reply);
    uint64_t delay_ns = sim_spread(s, CHANCE_PEER, 10 * SIM_US, 2 * SIM_MS);

    MUST(text.len < sizeof(k->reply));
    memcpy(k->reply, text.ptr, text.len + 1);
    if (peer_fault(s, FAULT_SINK_STALL)) {
        delay_ns = sim_spread(s, CHANCE_PEER, SIM_S, 2000 * SIM_S);
    }
    k->busy = true;
    sim_after(s, delay_ns, reply_due, k, is_delivery);
}

/* True when a fault has answered instead. `is_final` says that a 5xx would end the message. */
static bool fault_answers(struct sim *s, struct sink *k, bool is_final)
{
    if (peer_fault(s, FAULT_SINK_RESET)) {
        net_break(s, k->c);
        return true;
    }
    if (peer_fault(s, FAULT_REPLY_4XX)) {
        say(s, k, sim_below(s, CHANCE_PEER, 8) == 0 ? "421 4.3.2 going down\r\n"
                                                    : "451 4.3.0 later\r\n", false);
        return true;
    }
    if (is_final && peer_fault(s, FAULT_REPLY_5XX)) {
        refused(s, k);
        say(s, k, "550-5.1.1 not\r\n550 5.1.1 here\r\n", false);
        return true;
    }
    if (peer_fault(s, FAULT_REPLY_GARBAGE)) {
        say(s, k, sim_below(s, CHANCE_PEER, 2) == 0 ? "what?\r\n" : "250_OK\r\n", false);
        return true;
    }
    return false;
}

static void on_rcpt(struct sim *s, struct sink *k, struct slice line)
{
    size_t open = slice_find_char(line, '<'), close = slice_find_char(line, '>');
    struct sink_to *to = &k->to[k->to_count];

    if (!k->has_sender || k->to_count == TO_MAX) {
        say(s, k, "503 5.5.1 not now\r\n", false);
        return;
    }
    if (!book_address_read(s, slice_head(slice_from(line, open + 1), close - open - 1),
                           &to->message, &to->index)) {
        sim_fail(s, "recipient", 0, "nobody of that name was asked for: %.*s", SLICE_ARG(line));
    }
    k->to_count++;
    if (peer_fault(s, FAULT_REPLY_5XX)) {
        book_refused(s, to->message, to->index);
        k->to_count--;
        say(s, k, "550 5.1.1 unknown\r\n", false);
    } else if (peer_fault(s, FAULT_REPLY_4XX)) {
        k->to_count--;
        say(s, k, "450 4.2.1 busy\r\n", false);
    } else if (!fault_answers(s, k, false)) {
        say(s, k, "250 2.1.5 ok\r\n", false);
    } else {
        k->to_count--;
    }
}

static void on_mail(struct sim *s, struct sink *k)
{
    reset(s, k);
    if (!fault_answers(s, k, false)) {
        k->has_sender = true;
        say(s, k, "250 2.1.0 ok\r\n", false);
    }
}

static void on_data(struct sim *s, struct sink *k)
{
    if (k->to_count == 0) {
        say(s, k, "503 5.5.1 nobody to take it\r\n", false);
    } else if (!fault_answers(s, k, true)) {
        k->at = SINK_DATA;
        say(s, k, "354 go\r\n", false);
    }
}

static void on_command(struct sim *s, struct sink *k, struct slice line)
{
    if (slice_starts(line, SLICE("EHLO "))) {
        if (!fault_answers(s, k, false)) {
            say(s, k, "250-sink.sim\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE\r\n", false);
        }
    } else if (slice_starts(line, SLICE("HELO "))) {
        say(s, k, "250 sink.sim\r\n", false);
    } else if (slice_starts(line, SLICE("MAIL FROM:"))) {
        on_mail(s, k);
    } else if (slice_starts(line, SLICE("RCPT TO:"))) {
        on_rcpt(s, k, line);
    } else if (slice_eq(line, SLICE("DATA"))) {
        on_data(s, k);
    } else if (slice_eq(line, SLICE("RSET"))) {
        reset(s, k);
        if (!fault_answers(s, k, false)) {
            say(s, k, "250 2.0.0 ok\r\n", false);
        }
    } else if (slice_eq(line, SLICE("QUIT"))) {
        say(s, k, "221 2.0.0 bye\r\n", false);
    } else if (slice_eq(line, SLICE("NOOP"))) {
        say(s, k, "250 2.0.0 ok\r\n", false);
    } else {
        sim_fail(s, "dialog", 0, "the daemon says to a sink: %.*s", SLICE_ARG(line));
    }
}

static void on_content(struct sim *s, struct sink *k, struct slice line)
{
    if (!slice_eq(line, SLICE("."))) {
        bytes_put(s->arena, &k->data, slice_starts(line, SLICE(".")) ? slice_from(line, 1) : line);
        bytes_put(s->arena, &k->data, SLICE("\r\n"));
        return;
    }
    k->at = SINK_COMMAND;
    if (!fault_answers(s, k, true)) {
        say(s, k, "250 2.0.0 taken\r\n", true);
    } else {
        reset(s, k);
    }
}

static void sink_work(struct sim *s, struct sink *k)
{
    struct slice line;

    while (!k->busy && k->at != SINK_GONE && lines_next(&k->lines, &line)) {
        if (k->at == SINK_DATA) {
            on_content(s, k, line);
        } else {
            on_command(s, k, line);
        }
    }
}

/* ---- the connection ---- */

static void sink_opened(struct sim *s, struct net_conn *c)
{
    struct sink *k = sim_arena_take(s->arena, sizeof(*k));

    k->c = c;
    k->at = SINK_COMMAND;
    c->peer_ctx = k;
    if (!fault_answers(s, k, false)) {
        say(s, k, "220 sink.sim ESMTP\r\n", false);
    }
}

static void sink_said(struct sim *s, struct net_conn *c, struct slice bytes)
{
}

static void sink_received(struct sim *s, struct net_conn *c, struct slice bytes)
{
    struct sink *k = c->peer_ctx;

    if (k->at != SINK_GONE) {
        lines_put(s, &k->lines, bytes);
        sink_work(s, k);
    }
}

static void sink_ended(struct sim *s, struct net_conn *c, bool broken)
{
    struct sink *k = c->peer_ctx;

    if (!broken && k->at != SINK_GONE) {
        net_hang_up(s, c);
    }
    sink_gone(s, k);
}

static const struct net_peer sink_peer = {
    .opened = sink_opened,
    .said = sink_said,
    .received = sink_received,
    .ended = sink_ended,
};

void sinks_start(struct sim *s)
{
    for (uint32_t i = 0; i < s->plan.domains; i++) {
        net_serve(s, sink_addr(i), &sink_peer, NULL);
    }
}
