/* What ringload says, and what it makes of the answers. */
#include "tools/ringload.h"

#include "core/base/mem.h"

#define REFUSED_PAUSE_MS 100u /* before a refused message is tried again */

static struct load_plan *plan_of(struct load_conn *c)
{
    return c->worker->plan;
}

static void refusal_count(struct load_conn *c, enum load_stage stage, uint32_t code)
{
    if (code >= LOAD_CODE_MIN && code < LOAD_CODE_MIN + LOAD_CODE_COUNT) {
        c->worker->totals.codes[stage][code - LOAD_CODE_MIN]++;
    }
}

/* ---- a transaction's parts ---- */

static struct tool_numbers numbers_of(struct load_conn *c, uint32_t rcpt_index)
{
    const struct load_options *o = &plan_of(c)->options;
    uint64_t serial = c->sequence * o->recipients + rcpt_index;

    return (struct tool_numbers){
        .sequence = c->sequence,
        .recipient = rcpt_index,
        .user = o->users != 0 ? serial % o->users : serial,
        .domain = serial % o->domains,
    };
}

static void from_put(struct buf *out, struct load_conn *c)
{
    struct tool_numbers n = numbers_of(c, 0);
    struct buf first = {0};

    tool_pattern_put(&first, &plan_of(c)->to, &n);
    n.first_recipient = buf_slice(&first);
    tool_pattern_put(out, &plan_of(c)->from, &n);
    buf_free(&first);
}

static void mail_put(struct load_conn *c)
{
    BUF_LIT(&c->next, "MAIL FROM:<");
    from_put(&c->next, c);
    BUF_LIT(&c->next, ">");
    if (c->eight_bit_mime && tool_body_is_eight_bit(tool_body_for(plan_of(c)->body, c->sequence))) {
        BUF_LIT(&c->next, " BODY=8BITMIME");
    }
    BUF_LIT(&c->next, "\r\n");
}

static void rcpt_put(struct load_conn *c, uint32_t rcpt_index)
{
    struct tool_numbers n = numbers_of(c, rcpt_index);

    BUF_LIT(&c->next, "RCPT TO:<");
    tool_pattern_put(&c->next, &plan_of(c)->to, &n);
    BUF_LIT(&c->next, ">\r\n");
}

static void extra_headers_put(struct buf *out, struct load_conn *c)
{
    struct tool_numbers n = numbers_of(c, 0);

    for (uint32_t i = 0; i < plan_of(c)->options.header.count; i++) {
        tool_pattern_put(out, &plan_of(c)->headers[i], &n);
        BUF_LIT(out, "\r\n");
    }
}

static void message_put(struct buf *out, struct load_conn *c, bool dot_stuffed)
{
    struct load_plan *plan = plan_of(c);
    struct tool_numbers n = numbers_of(c, 0);
    struct buf texts = {0}; /* sender, recipient and headers, one after the other */
    size_t from_len, to_len, start = out->len;

    from_put(&texts, c);
    from_len = texts.len;
    tool_pattern_put(&texts, &plan->to, &n);
    to_len = texts.len - from_len;
    extra_headers_put(&texts, c);

    struct tool_message m = {
        .sequence = c->sequence,
        .size_bytes = plan->options.size_bytes,
        .kind = plan->body,
        .from = slice_of(texts.ptr, from_len),
        .to = slice_of(texts.ptr + from_len, to_len),
        .extra = slice_from(buf_slice(&texts), from_len + to_len),
        .dot_stuffed = dot_stuffed,
    };
    tool_message_put(out, &plan->source, &m);
    buf_free(&texts);
    c->message_size = out->len - start;
}

static void data_put(struct load_conn *c)
{
    message_put(&c->next, c, true);
    BUF_LIT(&c->next, ".\r\n");
    c->step = LOAD_DOT;
}

static void bdat_put(struct load_conn *c)
{
    struct buf message = {0};
    struct slice rest, chunk;

    message_put(&message, c, false);
    rest = buf_slice(&message);
    c->chunks_left = 0;
    do {
        chunk = slice_head(rest, plan_of(c)->options.chunk_bytes);
        rest = slice_from(rest, chunk.len);
        buf_printf(&c->next, "BDAT %zu%s\r\n", chunk.len, rest.len == 0 ? " LAST" : "");
        buf_put(&c->next, chunk);
        c->chunks_left += rest.len != 0;
    } while (rest.len != 0);
    buf_free(&message);
    c->step = LOAD_DOT;
}

/* ---- from one transaction to the next ---- */

static void quit(struct load_conn *c)
{
    BUF_LIT(&c->next, "QUIT\r\n");
    c->step = LOAD_QUIT;
}

static bool sequence_ready(struct load_conn *c)
{
    if (!c->has_sequence) {
        c->has_sequence = load_sequence_take(c->worker, &c->sequence);
    }
    return c->has_sequence && c->worker->drain_by_ns == 0;
}

void load_smtp_begin(struct load_conn *c)
{
    const struct load_options *o = &plan_of(c)->options;
    bool piped = c->pipelining && plan_of(c)->pipeline;

    c->step = LOAD_READY;
    if (!sequence_ready(c)) {
        quit(c);
        return;
    }
    if (o->per_connection != 0 && c->sent_count >= o->per_connection) {
        c->reopen = true;
        quit(c);
        return;
    }
    c->sent_count++;
    c->mail_ok = false;
    c->abandoned = false;
    c->rcpt_index = 0;
    c->rcpt_accepted = 0;
    c->chunks_left = 0;
    c->step = LOAD_MAIL;
    mail_put(c);
    for (uint32_t i = 0; piped && i < o->recipients; i++) {
        rcpt_put(c, i);
    }
    if (piped && !o->bdat) {
        BUF_LIT(&c->next, "DATA\r\n");
    }
}

/* The next transaction, when --rate says so. */
static void next_transaction(struct load_conn *c)
{
    c->step = LOAD_READY;
    if (load_turn_take(c->worker, c)) {
        load_smtp_begin(c);
    }
}

/* The message will not get its 250. A resend waits a little, so that a refusing peer is not
 * hammered. */
static void transaction_failed(struct load_conn *c)
{
    atomic_fetch_add_explicit(&plan_of(c)->refused, 1, memory_order_relaxed);
    c->worker->totals.refused++;
    if (!plan_of(c)->options.resend) {
        c->has_sequence = false;
        next_transaction(c);
        return;
    }
    c->step = LOAD_READY;
    timer_arm(&c->worker->loop.timers, &c->pause,
              ring_now_ms(&c->worker->loop.ring) + REFUSED_PAUSE_MS);
}

static void transaction_reset(struct load_conn *c)
{
    BUF_LIT(&c->next, "RSET\r\n");
    c->step = LOAD_RSET;
}

static void transaction_accepted(struct load_conn *c)
{
    struct load_worker *w = c->worker;
    uint64_t now_ns = ring_now_ns(&w->loop.ring);

    w->totals.accepted++;
    w->totals.recipients_accepted += c->rcpt_accepted;
    w->totals.bytes += c->message_size;
    tool_hist_add(&w->totals.latency, now_ns > c->dot_sent_ns ? now_ns - c->dot_sent_ns : 0);
    if (tool_journal_on(&w->accepted)) {
        buf_u64(&w->accepted.pending, c->sequence);
        buf_char(&w->accepted.pending, '\n');
    }
    atomic_fetch_add_explicit(&w->plan->accepted, 1, memory_order_relaxed);
    c->has_sequence = false;
    next_transaction(c);
}

/* ---- answers, one function per step ---- */

static void on_banner(struct load_conn *c, uint32_t code)
{
    if (code / 100 != 2) {
        refusal_count(c, LOAD_STAGE_CONNECT, code);
        load_conn_close(c, true);
        return;
    }
    buf_printf(&c->next, "EHLO %s\r\n", plan_of(c)->options.helo);
    c->pipelining = c->chunking = c->eight_bit_mime = false;
    c->step = LOAD_EHLO;
}

static void on_ehlo(struct load_conn *c, uint32_t code)
{
    if (code / 100 != 2 || (plan_of(c)->options.bdat && !c->chunking)) {
        refusal_count(c, LOAD_STAGE_EHLO, code);
        load_conn_close(c, true);
        return;
    }
    c->retry_until_ns = 0;
    if (c->is_idle) {
        atomic_fetch_add(&plan_of(c)->idle_up, 1);
        c->step = LOAD_IDLE;
    } else {
        next_transaction(c);
    }
}

static bool is_piped(const struct load_conn *c)
{
    return c->pipelining && c->worker->plan->pipeline;
}

static void on_mail(struct load_conn *c, uint32_t code)
{
    c->mail_ok = code / 100 == 2;
    if (!c->mail_ok) {
        refusal_count(c, LOAD_STAGE_MAIL, code);
        if (!is_piped(c)) {
            transaction_failed(c);
            return;
        }
    } else if (!is_piped(c)) {
        rcpt_put(c, 0);
    }
    c->step = LOAD_RCPT;
}

/* Every recipient was answered. */
static void on_rcpts(struct load_conn *c)
{
    bool bdat = plan_of(c)->options.bdat;

    if (is_piped(c) && !bdat) {
        c->step = LOAD_DATA;
    } else if (c->rcpt_accepted == 0) {
        transaction_reset(c);
    } else if (bdat) {
        bdat_put(c);
    } else {
        BUF_LIT(&c->next, "DATA\r\n");
        c->step = LOAD_DATA;
    }
}

static void on_rcpt(struct load_conn *c, uint32_t code)
{
    if (code / 100 == 2) {
        c->rcpt_accepted++;
    } else if (c->mail_ok) { /* else the 503s only follow from MAIL's refusal */
        refusal_count(c, LOAD_STAGE_RCPT, code);
    }
    if (++c->rcpt_index == plan_of(c)->options.recipients) {
        on_rcpts(c);
    } else if (!is_piped(c)) {
        rcpt_put(c, c->rcpt_index);
    }
}

static void on_data(struct load_conn *c, uint32_t code)
{
    if (code != 354) {
        if (c->rcpt_accepted > 0) {
            refusal_count(c, LOAD_STAGE_DATA, code);
        }
        transaction_reset(c);
    } else if (c->rcpt_accepted == 0) {
        /* DATA was pipelined behind refused recipients: RFC 2920 3.1 wants an empty message. */
        BUF_LIT(&c->next, ".\r\n");
        c->abandoned = true;
        c->step = LOAD_DOT;
    } else {
        data_put(c);
    }
}

static void on_dot(struct load_conn *c, uint32_t code)
{
    bool ok = code / 100 == 2;

    if (c->chunks_left > 0) {
        c->chunks_left--;
        if (!ok && !c->abandoned) {
            refusal_count(c, LOAD_STAGE_DATA, code);
            c->abandoned = true; /* the remaining chunks were sent, and will be answered */
        }
    } else if (ok && !c->abandoned) {
        transaction_accepted(c);
    } else {
        if (!c->abandoned) {
            refusal_count(c, LOAD_STAGE_DOT, code);
            transaction_failed(c);
        } else {
            transaction_reset(c);
        }
    }
}

/* The peer is about to close: what is on its way here gets no other answer. */
static void on_closing(struct load_conn *c)
{
    static const enum load_stage stage_of[] = {[LOAD_MAIL] = LOAD_STAGE_MAIL,
                                               [LOAD_RCPT] = LOAD_STAGE_RCPT,
                                               [LOAD_DATA] = LOAD_STAGE_DATA,
                                               [LOAD_DOT] = LOAD_STAGE_DOT,
                                               [LOAD_RSET] = LOAD_STAGE_MAIL};

    refusal_count(c, stage_of[c->step], 421);
    if (c->has_sequence) {
        atomic_fetch_add_explicit(&plan_of(c)->refused, 1, memory_order_relaxed);
        c->worker->totals.refused++;
        c->has_sequence = plan_of(c)->options.resend;
    }
    load_conn_close(c, true);
}

static void on_reply(struct load_conn *c, uint32_t code)
{
    if (code == 421 && c->step >= LOAD_MAIL && c->step <= LOAD_RSET) {
        on_closing(c);
        return;
    }
    switch ((enum load_step)c->step) {
    case LOAD_BANNER:
        on_banner(c, code);
        break;
    case LOAD_EHLO:
        on_ehlo(c, code);
        break;
    case LOAD_MAIL:
        on_mail(c, code);
        break;
    case LOAD_RCPT:
        on_rcpt(c, code);
        break;
    case LOAD_DATA:
        on_data(c, code);
        break;
    case LOAD_DOT:
        on_dot(c, code);
        break;
    case LOAD_RSET:
        transaction_failed(c);
        break;
    case LOAD_QUIT:
        c->stop_after = !c->reopen;
        load_conn_close(c, false);
        break;
    case LOAD_READY: /* an answer nobody asked for: 421 before the close */
    case LOAD_IDLE:
        load_conn_close(c, true);
        break;
    case LOAD_DOWN:
    case LOAD_CONNECTING:
    case LOAD_CLOSING:
    case LOAD_FINISHED:
        break;
    }
}

static void keyword_note(struct load_conn *c, struct slice text)
{
    struct slice word = slice_head(text, slice_find_char(text, ' '));

    c->pipelining |= slice_eq_nocase(word, SLICE("PIPELINING"));
    c->chunking |= slice_eq_nocase(word, SLICE("CHUNKING"));
    c->eight_bit_mime |= slice_eq_nocase(word, SLICE("8BITMIME"));
}

void load_smtp_line(struct load_conn *c, struct slice line)
{
    uint64_t code;

    if (line.len < 3 || !slice_to_u64(slice_head(line, 3), &code) ||
        (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-')) {
        load_conn_close(c, true); /* not SMTP */
        return;
    }
    if (c->step == LOAD_EHLO) {
        keyword_note(c, slice_from(line, 4));
    }
    if (line.len == 3 || line.ptr[3] == ' ') {
        on_reply(c, (uint32_t)code);
    }
}
