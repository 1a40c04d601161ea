/*
 * fuzz_smtp_server - arbitrary peer bytes against the server session.
 *
 * Strategy
 *   Two sessions hear the same bytes: one in one go, the other in pieces whose sizes come from the
 *   head of the input. Both give the same answer to the same question, so that refusals, nonsense
 *   codes, disconnects and rewritten replies are explored too. At the end the driver ends both.
 *
 * Invariants
 *   - cutting the input differently changes neither replies, questions, reports nor messages;
 *   - every reply line is three digits beginning with 2 to 5, a space or hyphen, text without
 *     control bytes but TAB, CR LF; the last line of a reply has a space;
 *   - no input is used while a question or a rewrite is open, and one at a time is open;
 *   - a step that wants more input has used all there was;
 *   - with Deny and Fix no message holds a lone CR or LF; a message with a dot line says so;
 *   - no message is larger than the limit (but for what Fix added), nor has a longer line.
 */
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "proto/smtp_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD_SIZE 8u

struct side {
    struct smtp_server *session;
    const uint8_t *head;
    uint64_t count; /* questions and rewrites so far */
    struct buf out;
    struct buf seen; /* questions, reports, messages */
    bool closed;
};

/* Depends on the input's head and on what happened before, not on how the input was cut. */
static uint64_t chance(struct side *s)
{
    s->count++;
    return hash64(s->head, HEAD_SIZE, s->count);
}

static bool line_has_bare(struct slice body)
{
    for (size_t i = 0; i < body.len; i++) {
        bool lf_after = i + 1 < body.len && body.ptr[i + 1] == '\n';

        if ((body.ptr[i] == '\r' && !lf_after) ||
            (body.ptr[i] == '\n' && (i == 0 || body.ptr[i - 1] != '\r'))) {
            return true;
        }
    }
    return false;
}

static bool has_dot_line(struct slice body)
{
    for (size_t i = 0; i < body.len; i++) {
        if (body.ptr[i] == '.' && (i == 0 || body.ptr[i - 1] == '\n' || body.ptr[i - 1] == '\r')) {
            return true;
        }
    }
    return false;
}

static void message_check(struct side *s, const struct smtp_server_limits *limits)
{
    const struct smtp_tx *tx = smtp_server_message(s->session);
    struct slice body = buf_slice(&tx->body);
    size_t lf_len = 0;

    MUST(tx->recipient_count != 0);
    MUST(((tx->body_flags & SMTP_BODY_BARE) != 0) == line_has_bare(body));
    MUST(((tx->body_flags & SMTP_BODY_DOT_LINE) != 0) == has_dot_line(body));
    if (limits->invalid_line_endings != SMTP_ENDINGS_ALLOW) {
        MUST((tx->body_flags & SMTP_BODY_BARE) == 0);
    }
    if ((tx->body_flags & SMTP_BODY_FIXED) == 0) {
        MUST(body.len <= limits->max_message_size);
    }
    for (size_t i = 0; i < body.len; i++) {
        lf_len = i > 0 && body.ptr[i] == '\n' && body.ptr[i - 1] == '\r' ? 0 : lf_len + 1;
        MUST(lf_len <= limits->line_length_hard_limit + 1u);
    }
    buf_put(&s->seen, buf_slice(&tx->sender));
    buf_put(&s->seen, buf_slice(&tx->recipients));
    buf_put(&s->seen, body);
    buf_printf(&s->seen, "flags %u\n", tx->body_flags);
}

static enum smtp_server_step question_answer(struct side *s, const struct smtp_server_limits *l)
{
    static const struct slice texts[] = {
        SLICE_INIT("5.7.1 no"),
        SLICE_INIT("a\nb\r\nc"),
        SLICE_INIT(""),
        SLICE_INIT("x\r250 y"),
    };
    struct smtp_question q = smtp_server_question(s->session);
    uint64_t r = chance(s);
    struct smtp_answer a = {0};
    size_t used = 1;

    MUST(q.kind != SMTP_ASK_NONE);
    MUST(smtp_server_feed(s->session, SLICE("QUIT\r\n"), &used, &s->out) == SMTP_SERVER_ASK);
    MUST(used == 0);
    buf_printf(&s->seen, "ask %d %.*s %.*s\n", q.kind, SLICE_ARG(q.domain),
               SLICE_ARG(q.address.text));
    if (q.kind == SMTP_ASK_MESSAGE) {
        message_check(s, l);
    }
    if (r % 8 == 0) {
        a.code = (uint16_t)(r >> 8);
        a.code = r & 1u << 25 ? a.code : (uint16_t)(200 + a.code % 400);
        a.after = r >> 32 & 7 ? SMTP_AFTER_STAY : (uint8_t)((r >> 40) % 3);
        a.text = texts[r >> 45 & 3];
    } else if (r % 8 == 1) {
        a.extensions = texts[r >> 45 & 3];
    }
    return smtp_server_answer(s->session, &a, &s->out);
}

static enum smtp_server_step reply_rewrite(struct side *s)
{
    struct smtp_server_reply reply = smtp_server_reply(s->session);
    uint64_t r = chance(s);
    size_t used = 1;

    MUST(smtp_server_feed(s->session, SLICE("QUIT\r\n"), &used, &s->out) == SMTP_SERVER_REWRITE);
    MUST(used == 0);
    buf_printf(&s->seen, "rewrite %u %.*s|%.*s\n", reply.code, SLICE_ARG(reply.text),
               SLICE_ARG(reply.command));
    return smtp_server_rewritten(
        s->session, r % 16 == 0 ? (uint16_t)(r >> 8) : 0,
        r % 4 == 0 && reply.text.len > 3 ? slice_from(reply.text, 3) : (struct slice){0}, &s->out);
}

static void run(struct side *s, enum smtp_server_step step, struct slice in,
                const struct smtp_server_limits *limits)
{
    for (;;) {
        struct smtp_server_reply reply;
        size_t used = 0;

        switch (step) {
        case SMTP_SERVER_ASK:
            step = question_answer(s, limits);
            continue;
        case SMTP_SERVER_REWRITE:
            step = reply_rewrite(s);
            continue;
        case SMTP_SERVER_REFUSED:
            reply = smtp_server_reply(s->session);
            MUST(reply.code >= 400 && reply.code <= 599);
            buf_printf(&s->seen, "refused %u %.*s|%.*s\n", reply.code, SLICE_ARG(reply.text),
                       SLICE_ARG(reply.command));
            break;
        case SMTP_SERVER_CLOSE:
            s->closed = true;
            return;
        case SMTP_SERVER_FEED:
            if (in.len == 0) {
                return;
            }
            break;
        }
        step = smtp_server_feed(s->session, in, &used, &s->out);
        MUST(used <= in.len);
        MUST(step != SMTP_SERVER_FEED || used == in.len);
        in = slice_from(in, used);
    }
}

static void check_replies(struct slice out)
{
    bool last = true;

    while (out.len != 0) {
        size_t len = slice_find_char(out, '\n');

        MUST(len != out.len && len >= 5 && out.ptr[len - 1] == '\r');
        MUST(out.ptr[0] >= '2' && out.ptr[0] <= '5');
        for (size_t i = 1; i < 3; i++) {
            MUST(out.ptr[i] >= '0' && out.ptr[i] <= '9');
        }
        MUST(out.ptr[3] == ' ' || out.ptr[3] == '-');
        last = out.ptr[3] == ' ';
        for (size_t i = 4; i + 1 < len; i++) {
            MUST((uint8_t)out.ptr[i] >= ' ' || out.ptr[i] == '\t');
        }
        out = slice_from(out, len + 1);
    }
    MUST(last);
}

static void side_run(struct side *s, const struct smtp_server_limits *limits, struct slice in,
                     bool cut)
{
    size_t turn = 0;

    s->session = smtp_server_new(limits);
    run(s, smtp_server_start(s->session, &s->out), SLICE(""), limits);
    while (in.len != 0 && !s->closed) {
        size_t len = cut ? 1u + s->head[turn++ % HEAD_SIZE] % 23 : in.len;
        struct slice piece = slice_head(in, len);
        char *copy = mem_copy(piece.ptr, piece.len);

        run(s, SMTP_SERVER_FEED, slice_of(copy, piece.len), limits);
        mem_give(copy);
        in = slice_from(in, piece.len);
    }
    if (!s->closed) {
        run(s,
            s->head[0] & 1 ? smtp_server_idle(s->session, &s->out)
                           : smtp_server_fail(s->session, SLICE("end"), &s->out),
            SLICE(""), limits);
    }
    MUST(s->closed && smtp_server_state(s->session) == SMTP_STATE_CLOSING);
    check_replies(buf_slice(&s->out));
    smtp_server_free(&s->session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_server_limits limits = {
        .hostname = SLICE("mx.test"),
        .banner = SLICE("banner"),
    };
    struct side whole = {.head = data};
    struct side cut = {.head = data};
    struct slice in;

    if (size <= HEAD_SIZE) {
        return 0;
    }
    limits.invalid_line_endings = data[1] % 3;
    limits.rewrite_replies = data[2] & 1;
    limits.report_refusals = data[2] & 2;
    limits.line_length_hard_limit = data[2] & 4 ? 998 : 20 + data[3] % 80u;
    limits.max_message_size = data[2] & 8 ? 100000 : data[4];
    in = slice_of(data + HEAD_SIZE, size - HEAD_SIZE);
    side_run(&whole, &limits, in, false);
    side_run(&cut, &limits, in, true);
    MUST(slice_eq(buf_slice(&whole.out), buf_slice(&cut.out)));
    MUST(slice_eq(buf_slice(&whole.seen), buf_slice(&cut.seen)));
    buf_free(&whole.out);
    buf_free(&whole.seen);
    buf_free(&cut.out);
    buf_free(&cut.seen);
    return 0;
}
