#include "tests/unit/proto/client/client_bench.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "proto/smtp_disposition.h"

static const char *const no_script[] = {NULL};

void client_bench_open(struct client_bench *b)
{
    *b = (struct client_bench){.params = {.ehlo_name = SLICE("me.example"),
                                          .enable_pipelining = true,
                                          .enable_rset = true},
                               .script = no_script};
    smtp_client_init(&b->client, &b->params);
}

void client_bench_close(struct client_bench *b)
{
    smtp_client_free(&b->client);
    buf_free(&b->wire);
    buf_free(&b->pending);
}

static void queue_reply(struct client_bench *b)
{
    if (*b->script != NULL) {
        buf_put(&b->pending, slice_str(*b->script));
        b->script++;
    }
}

/* Every command is a line that ends in CRLF and has no other CR or LF. */
static void queue_replies_to(struct client_bench *b, struct slice out)
{
    assert_true(out.len >= 2);
    while (out.len != 0) {
        size_t cr = slice_find_char(out, '\r');

        assert_true(cr + 1 < out.len && out.ptr[cr + 1] == '\n');
        assert_true(slice_find_char(slice_head(out, cr), '\n') == cr);
        out = slice_from(out, cr + 2);
        queue_reply(b);
    }
}

static void follow_dot(struct client_bench *b)
{
    const struct smtp_transaction *next = b->follow;

    b->follow = NULL;
    if (next != NULL && smtp_client_may_follow(&b->client) &&
        smtp_client_follow(&b->client, next)) {
        buf_put(&b->wire, smtp_client_out(&b->client));
        queue_replies_to(b, smtp_client_out(&b->client));
    }
}

static enum smtp_client_step act_once(struct client_bench *b, enum smtp_client_step step)
{
    struct slice out;

    b->last = step;
    b->step_count++;
    assert_true(b->step_count < 100000);
    switch (step) {
    case SMTP_CLIENT_SEND:
        out = smtp_client_out(&b->client);
        buf_put(&b->wire, out);
        queue_replies_to(b, out);
        return smtp_client_sent(&b->client);
    case SMTP_CLIENT_SEND_BODY:
        BUF_LIT(&b->wire, "[body]");
        b->body_count++;
        queue_reply(b);
        follow_dot(b);
        return smtp_client_sent(&b->client);
    default:
        return SMTP_CLIENT_WAIT;
    }
}

enum smtp_client_step client_bench_act(struct client_bench *b, enum smtp_client_step step)
{
    for (;;) {
        size_t len = b->pending.len, used = 0;

        while (step != SMTP_CLIENT_WAIT) {
            step = act_once(b, step);
        }
        if (b->last >= SMTP_CLIENT_UNSOLICITED || b->pending.len == 0) {
            return b->last;
        }
        if (b->piece != BENCH_WHOLE && b->piece < b->pending.len) {
            len = b->piece;
        }
        len = len != 0 ? len : b->pending.len;
        step = smtp_client_feed(&b->client, slice_of(b->pending.ptr, len), &used);
        assert_true(used <= len);
        assert_true(step != SMTP_CLIENT_WAIT || used == len);
        buf_consume(&b->pending, used);
    }
}

enum smtp_client_step client_bench_hear(struct client_bench *b, const char *bytes, size_t len)
{
    buf_append(&b->pending, bytes, len);
    return client_bench_act(b, SMTP_CLIENT_WAIT);
}

void client_bench_greet(struct client_bench *b, const char *capabilities)
{
    struct buf reply = {0};
    const char *script[] = {NULL, NULL};
    struct slice left = slice_str(capabilities);

    BUF_LIT(&reply, "250-peer.example greets you\r\n");
    while (left.len != 0) {
        size_t n = slice_find_char(left, '\n');

        BUF_LIT(&reply, "250-");
        buf_put(&reply, slice_head(left, n));
        BUF_LIT(&reply, "\r\n");
        left = slice_from(left, n + 1);
    }
    BUF_LIT(&reply, "250 HELP\r\n");
    buf_char(&reply, 0);
    script[0] = reply.ptr;
    b->script = script;
    assert_int_equal(client_bench_hear(b, "220 peer.example ESMTP\r\n", 24), SMTP_CLIENT_READY);
    assert_true(smtp_client_idle(&b->client));
    buf_free(&reply);
    buf_clear(&b->wire);
    b->script = no_script;
}

enum smtp_client_step client_bench_begin(struct client_bench *b, const struct smtp_transaction *tx,
                                         const char *const *script)
{
    b->script = script;
    return client_bench_act(b, smtp_client_begin(&b->client, tx));
}

enum smtp_client_step client_bench_go_on(struct client_bench *b)
{
    return client_bench_act(b, smtp_client_go_on(&b->client));
}

void client_bench_outcomes(const struct client_bench *b, struct buf *out)
{
    for (uint32_t i = 0; i < b->client.tx.recipient_count; i++) {
        struct smtp_outcome outcome;
        struct smtp_judged judged = {0};
        size_t at;

        if (i != 0) {
            BUF_LIT(out, " | ");
        }
        if (!smtp_client_outcome(&b->client, i, &outcome)) {
            BUF_LIT(out, "-");
            continue;
        }
        judged = (struct smtp_judged){.code = outcome.code,
                                      .enhanced = outcome.enhanced,
                                      .command = outcome.command,
                                      .first_or_only = i == 0};
        buf_u64(out, outcome.code);
        buf_char(out, ' ');
        at = out->len;
        smtp_client_command_put(&b->client, &outcome, out);
        if (out->len != at) {
            assert_true(slice_ends(buf_slice(out), SLICE("\r\n")));
            out->len -= 2;
            buf_char(out, ' ');
        }
        buf_put(out, slice_str(smtp_disposition_name(smtp_disposition(&judged))));
    }
}
