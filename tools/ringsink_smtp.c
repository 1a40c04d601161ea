/* Commands and answers of the sink. It keeps only as much order as honest senders rely on. */
#include "tools/ringsink.h"

static struct sink_plan *plan_of(struct sink_conn *c)
{
    return c->worker->plan;
}

static void transaction_forget(struct sink_conn *c)
{
    c->mail_given = false;
    c->body_complete = false;
    c->bdat_last = false;
    c->body_size = 0;
    buf_clear(&c->rcpts);
    buf_clear(&c->body);
}

/* ---- answers ---- */

static void refuse(struct sink_conn *c, enum sink_stage stage, const struct sink_rule *rule)
{
    c->worker->totals.codes[stage][rule->code - SINK_CODE_MIN]++;
    buf_put(&c->next, rule->text);
    BUF_LIT(&c->next, "\r\n");
    if (stage == SINK_STAGE_CONNECT || rule->code == 421) {
        c->close_after_send = true;
    }
    if (stage == SINK_STAGE_MAIL || stage == SINK_STAGE_DOT) {
        transaction_forget(c);
    }
}

/* Every accepted recipient of the message is one arrival. */
static void arrivals_note(struct sink_conn *c)
{
    struct sink_totals *t = &c->worker->totals;
    const uint64_t *rcpts = (const uint64_t *)(const void *)c->rcpts.ptr;
    size_t count = c->rcpts.len / sizeof(*rcpts);
    bool known = c->checked == TOOL_INTACT;

    if (c->checked == TOOL_CORRUPT) {
        t->corrupt++;
    } else if (!known) {
        t->foreign++;
    }
    for (size_t i = 0; known && i < count; i++) {
        if (!sink_seen_add(&plan_of(c)->seen, c->mark.run, c->mark.sequence, rcpts[i])) {
            t->foreign++;
            known = false;
        }
    }
    t->intact += known;
    if (known) {
        buf_clear(&c->told);
        buf_put(&c->told, buf_slice(&c->rcpts));
        c->told_sequence = c->mark.sequence;
        c->told_sent = false;
        sink_told_log(c, "dot");
    }
}

static void message_accept(struct sink_conn *c)
{
    struct sink_totals *t = &c->worker->totals;

    t->messages++;
    t->recipients += c->rcpts.len / sizeof(uint64_t);
    t->bytes += c->body_size;
    t->last_ns = ring_now_ns(&c->worker->loop.ring);
    if (t->first_ns == 0) {
        t->first_ns = t->last_ns;
    }
    if (plan_of(c)->options.verify) {
        arrivals_note(c);
    }
    sink_message_counted(c->worker);
    BUF_LIT(&c->next, "250 2.0.0 taken\r\n");
    transaction_forget(c);
}

static void dot_answer(struct sink_conn *c)
{
    if (c->oversize) {
        c->worker->totals.oversize++;
        BUF_LIT(&c->next, "552 5.3.4 message is larger than --size-max\r\n");
        transaction_forget(c);
    } else {
        message_accept(c);
    }
}

static void accept_stage(struct sink_conn *c, enum sink_stage stage)
{
    switch (stage) {
    case SINK_STAGE_CONNECT:
        buf_printf(&c->next, "220 %s ESMTP ringsink\r\n", plan_of(c)->options.hostname);
        break;
    case SINK_STAGE_EHLO:
        buf_put(&c->next, buf_slice(&plan_of(c)->ehlo));
        break;
    case SINK_STAGE_MAIL:
        c->mail_given = true;
        BUF_LIT(&c->next, "250 2.1.0 sender ok\r\n");
        break;
    case SINK_STAGE_RCPT:
        buf_append(&c->rcpts, &c->rcpt_pending, sizeof(c->rcpt_pending));
        BUF_LIT(&c->next, "250 2.1.5 recipient ok\r\n");
        break;
    case SINK_STAGE_DATA:
        BUF_LIT(&c->next, "354 go on, end with a dot\r\n");
        sink_body_begin(c);
        c->step = SINK_BODY;
        break;
    case SINK_STAGE_DOT:
        dot_answer(c);
        break;
    case SINK_STAGE_COUNT:
        break;
    }
}

void sink_smtp_answer(struct sink_conn *c, enum sink_stage stage)
{
    const struct sink_rule *rule =
        sink_rule_pick(&plan_of(c)->rules, stage, SINK_REPLY, &c->worker->random);

    if (rule != NULL) {
        refuse(c, stage, rule);
    } else {
        accept_stage(c, stage);
    }
}

void sink_smtp_stage(struct sink_conn *c, enum sink_stage stage)
{
    const struct sink_rules *rules = &plan_of(c)->rules;
    const struct sink_rule *rule;

    if (rules->count == 0) {
        accept_stage(c, stage);
        return;
    }
    if (sink_rule_pick(rules, stage, SINK_RESET, &c->worker->random) != NULL) {
        c->worker->totals.resets++;
        sink_conn_reset(c);
        return;
    }
    rule = sink_rule_pick(rules, stage, SINK_DELAY, &c->worker->random);
    if (rule != NULL && rule->delay_ms != 0) {
        c->worker->totals.delayed++;
        c->held = true;
        c->held_stage = (uint8_t)stage;
        timer_arm(&c->worker->loop.timers, &c->hold,
                  ring_now_ms(&c->worker->loop.ring) + rule->delay_ms);
        return;
    }
    sink_smtp_answer(c, stage);
}

/* ---- commands ---- */

static void out_of_order(struct sink_conn *c)
{
    BUF_LIT(&c->next, "503 5.5.1 not now\r\n");
}

static void on_ehlo(struct sink_conn *c, struct slice args)
{
    transaction_forget(c);
    sink_smtp_stage(c, SINK_STAGE_EHLO);
}

static void on_helo(struct sink_conn *c, struct slice args)
{
    transaction_forget(c);
    buf_printf(&c->next, "250 %s\r\n", plan_of(c)->options.hostname);
}

static void on_mail(struct sink_conn *c, struct slice args)
{
    if (c->mail_given) {
        out_of_order(c);
    } else {
        sink_smtp_stage(c, SINK_STAGE_MAIL);
    }
}

/* "TO:<user17-3@dst.test>" -> 3; 0 when there is no such number. */
static uint64_t recipient_index(struct slice args)
{
    size_t at = slice_find_char(args, '@');
    size_t dash = at;
    uint64_t index;

    while (dash > 0 && args.ptr[dash - 1] != '-') {
        dash--;
    }
    return dash > 0 && slice_to_u64(slice_of(args.ptr + dash, at - dash), &index) ? index : 0;
}

static void on_rcpt(struct sink_conn *c, struct slice args)
{
    if (!c->mail_given) {
        out_of_order(c);
        return;
    }
    c->rcpt_pending = plan_of(c)->options.recipients > 1 ? recipient_index(args) : 0;
    sink_smtp_stage(c, SINK_STAGE_RCPT);
}

static void on_data(struct sink_conn *c, struct slice args)
{
    if (c->rcpts.len == 0) {
        out_of_order(c);
    } else {
        sink_smtp_stage(c, SINK_STAGE_DATA);
    }
}

static void on_bdat(struct sink_conn *c, struct slice args)
{
    struct slice number = slice_head(args, slice_find_char(args, ' '));
    bool first = c->bdat_left == 0 && c->body_size == 0;

    if (!slice_to_u64(number, &c->bdat_left)) {
        BUF_LIT(&c->next, "501 5.5.4 BDAT wants a size\r\n");
        c->close_after_send = true; /* where its bytes end is anybody's guess */
        return;
    }
    if (c->rcpts.len == 0) {
        out_of_order(c);
        c->close_after_send = true;
        return;
    }
    if (first) {
        sink_body_begin(c);
    }
    c->bdat_last = slice_eq_nocase(slice_trim(slice_from(args, number.len)), SLICE("LAST"));
    c->step = SINK_BDAT;
    (void)sink_body_feed(c, slice_of("", 0)); /* a chunk may be empty */
}

static void on_rset(struct sink_conn *c, struct slice args)
{
    transaction_forget(c);
    BUF_LIT(&c->next, "250 2.0.0 ok\r\n");
}

static void on_noop(struct sink_conn *c, struct slice args)
{
    BUF_LIT(&c->next, "250 2.0.0 ok\r\n");
}

static void on_quit(struct sink_conn *c, struct slice args)
{
    BUF_LIT(&c->next, "221 2.0.0 bye\r\n");
    c->close_after_send = true;
}

static const struct {
    struct slice name;
    void (*run)(struct sink_conn *c, struct slice args);
} verbs[] = {
    {SLICE_INIT("MAIL"), on_mail}, {SLICE_INIT("RCPT"), on_rcpt}, {SLICE_INIT("DATA"), on_data},
    {SLICE_INIT("BDAT"), on_bdat}, {SLICE_INIT("EHLO"), on_ehlo}, {SLICE_INIT("HELO"), on_helo},
    {SLICE_INIT("RSET"), on_rset}, {SLICE_INIT("NOOP"), on_noop}, {SLICE_INIT("VRFY"), on_noop},
    {SLICE_INIT("QUIT"), on_quit},
};

void sink_smtp_line(struct sink_conn *c, struct slice line)
{
    struct slice verb = slice_head(line, slice_find_char(line, ' '));

    buf_clear(&c->told); /* the peer went on: it knows of its 250 */
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        if (slice_eq_nocase(verbs[i].name, verb)) {
            verbs[i].run(c, slice_from(line, verb.len + 1));
            return;
        }
    }
    BUF_LIT(&c->next, "500 5.5.2 what?\r\n");
}
