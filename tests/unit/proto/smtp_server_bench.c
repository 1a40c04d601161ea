#include "tests/unit/proto/smtp_server_bench.h"

static void limits_default(struct smtp_server_limits *l)
{
    *l = (struct smtp_server_limits){
        .hostname = SLICE("mx.test"),
        .banner = SLICE("KumoMTA"),
        .max_message_size = 20971520,
        .line_length_hard_limit = 998,
        .report_refusals = true,
    };
}

static void message_note(struct smtp_bench *b)
{
    struct smtp_tx *tx = smtp_server_message(b->session);
    size_t at = 0;

    buf_put(&b->messages, buf_slice(&tx->sender));
    buf_char(&b->messages, '>');
    for (uint32_t i = 0; i < tx->recipient_count; i++) {
        uint16_t len;

        assert_true(at + sizeof(len) <= tx->recipients.len);
        memcpy(&len, tx->recipients.ptr + at, sizeof(len));
        buf_append(&b->messages, tx->recipients.ptr + at + sizeof(len), len);
        buf_char(&b->messages, ',');
        at += sizeof(len) + len;
    }
    assert_int_equal(at, tx->recipients.len);
    buf_printf(&b->messages, " flags=%u:", tx->body_flags);
    buf_put(&b->messages, buf_slice(&tx->body));
    buf_char(&b->messages, '$');
}

static enum smtp_server_step question_answer(struct smtp_bench *b)
{
    static const char *const names[BENCH_ASK_COUNT] = {
        "NONE", "CONNECT", "HELO", "EHLO", "MAIL", "RCPT", "MESSAGE",
    };
    struct smtp_question q = smtp_server_question(b->session);

    assert_in_range(q.kind, SMTP_ASK_CONNECT, SMTP_ASK_MESSAGE);
    buf_printf(&b->asked, "%s", names[q.kind]);
    if (q.kind == SMTP_ASK_EHLO || q.kind == SMTP_ASK_HELO) {
        buf_printf(&b->asked, " %.*s", SLICE_ARG(q.domain));
    } else if (q.kind == SMTP_ASK_MAIL || q.kind == SMTP_ASK_RCPT) {
        buf_printf(&b->asked, " %.*s at %.*s", SLICE_ARG(q.address.local),
                   SLICE_ARG(q.address.domain));
    } else if (q.kind == SMTP_ASK_MESSAGE) {
        message_note(b);
    }
    buf_char(&b->asked, '\n');
    return smtp_server_answer(b->session, &b->answers[q.kind], &b->out);
}

static enum smtp_server_step reply_rewrite(struct smtp_bench *b)
{
    if (b->rewrite != NULL) {
        return b->rewrite(b);
    }
    return smtp_server_rewritten(b->session, 0, (struct slice){0}, &b->out);
}

static void refusal_note(struct smtp_bench *b)
{
    struct smtp_server_reply r = smtp_server_reply(b->session);

    buf_printf(&b->refused, "%u %.*s", r.code, SLICE_ARG(r.text));
    if (r.command.ptr != NULL) {
        buf_printf(&b->refused, " [%.*s]", SLICE_ARG(r.command));
    }
    buf_char(&b->refused, '\n');
}

void bench_run(struct smtp_bench *b, enum smtp_server_step step, struct slice in)
{
    size_t used;

    for (;;) {
        switch (step) {
        case SMTP_SERVER_REFUSED:
            refusal_note(b);
            break;
        case SMTP_SERVER_ASK:
            step = question_answer(b);
            continue;
        case SMTP_SERVER_REWRITE:
            step = reply_rewrite(b);
            continue;
        case SMTP_SERVER_CLOSE:
            b->closed = true;
            return;
        case SMTP_SERVER_FEED:
            if (in.len == 0) {
                return;
            }
            break;
        }
        step = smtp_server_feed(b->session, in, &used, &b->out);
        assert_true(used <= in.len);
        if (step == SMTP_SERVER_FEED) {
            assert_int_equal(used, in.len);
        }
        if (b->lent != NULL) {
            memset(b->lent, '!', used);
            b->lent += used;
        }
        in = slice_from(in, used);
    }
}

void bench_feed(struct smtp_bench *b, struct slice in)
{
    while (in.len != 0 && !b->closed) {
        /* A copy of exactly this piece: whoever reads past it, or relies on what is used, is
         * caught. */
        size_t len = b->piece != 0 && b->piece < in.len ? b->piece : in.len;
        struct buf piece = {0};

        buf_append(&piece, in.ptr, len);
        b->lent = piece.ptr;
        bench_run(b, SMTP_SERVER_FEED, buf_slice(&piece));
        b->lent = NULL;
        buf_free(&piece);
        in = slice_from(in, len);
    }
}

const char *bench_text(struct buf *b)
{
    buf_char(b, '\0');
    b->len--;
    return b->ptr;
}

const char *bench_take(struct smtp_bench *b)
{
    const char *text = bench_text(&b->out);

    b->out.len = 0;
    return text;
}

const char *bench_say(struct smtp_bench *b, const char *text)
{
    bench_feed(b, slice_str(text));
    return bench_take(b);
}

void bench_start(struct smtp_bench *b)
{
    smtp_server_free(&b->session);
    b->closed = false;
    b->session = smtp_server_new(&b->limits);
    bench_run(b, smtp_server_start(b->session, &b->out), (struct slice){"", 0});
}

void bench_open(struct smtp_bench *b)
{
    *b = (struct smtp_bench){0};
    limits_default(&b->limits);
    bench_start(b);
}

void bench_close(struct smtp_bench *b)
{
    smtp_server_free(&b->session);
    buf_free(&b->out);
    buf_free(&b->asked);
    buf_free(&b->refused);
    buf_free(&b->messages);
}
