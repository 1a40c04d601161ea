/*
 * fuzz_smtp_client - arbitrary peer bytes against the client half of a conversation.
 *
 * Strategy
 *   The first bytes choose LMTP, pipelining, RSET, recipients and how writes complete. The rest is
 *   what the peer says, in turns: a NUL ends a turn, and the next one comes when the client has
 *   used the last. Whenever a turn finds the connection idle, a message is begun; where that is
 *   chosen, the next one's envelope follows each dot, and its turn comes at once or, with lazy
 *   writes, between turns. The whole is played twice: with each turn in one piece, and cut at
 *   places chosen from the input.
 *
 * Invariants
 *   - cutting the peer's bytes differently changes no step, no command and no outcome;
 *   - nobody is delivered to without a 2xx to the dot, after the message was written;
 *   - what happens before a message's turn has come is no outcome of it;
 *   - what is heard never passes what is sent;
 *   - commands are whole lines without another CR, LF or NUL;
 *   - a transaction that ended left an outcome for every recipient.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/prng.h"
#include "proto/smtp_client.h"

#define RECIPIENT_MAX 4u
#define MESSAGE_MAX 6u

struct play {
    struct smtp_client_params params;
    struct smtp_client client;
    struct slice recipients[RECIPIENT_MAX];
    struct smtp_transaction tx;
    struct buf log;      /* every step, command and outcome */
    struct prng prng;
    bool is_cut;
    bool is_lazy;        /* writes complete when the peer has nothing to say, not at once */
    bool follows;        /* envelopes follow dots */
    bool next_waits;     /* one does, and its turn has not come */
    bool under_way;      /* a message was begun and has no outcome yet */
    bool body_written;   /* in this transaction */
    unsigned message_count;
    bool is_over;
    bool ends_late;      /* the script ends in silence, not in a broken connection */
    bool tried_tls;
};

static const struct slice addresses[RECIPIENT_MAX] = {
    SLICE_INIT("a@x"), SLICE_INIT("b@\xc3\xa9"), SLICE_INIT("c\r\n@x"), SLICE_INIT("d@x")};

static void open_play(struct play *p, const uint8_t *head, bool is_cut)
{
    *p = (struct play){.is_cut = is_cut, .prng = prng_from_seed(head[1])};
    p->params = (struct smtp_client_params){.ehlo_name = SLICE("me"),
                                            .lmtp = (head[0] & 1) != 0,
                                            .enable_pipelining = (head[0] & 2) == 0,
                                            .enable_rset = (head[0] & 4) == 0,
                                            .ignore_8bit_checks = (head[0] & 8) != 0};
    p->is_lazy = (head[0] & 16) != 0;
    p->ends_late = (head[1] & 128) != 0;
    p->follows = (head[1] & 64) != 0;
    p->tx = (struct smtp_transaction){.sender = SLICE("s@y"),
                                      .recipients = p->recipients,
                                      .recipient_count = (head[0] >> 5 & 3) + 1u,
                                      .has_8bit = (head[0] & 128) != 0};
    for (uint32_t i = 0; i < p->tx.recipient_count; i++) {
        p->recipients[i] = addresses[(head[1] + i) % RECIPIENT_MAX];
    }
    smtp_client_init(&p->client, &p->params);
}

static void close_play(struct play *p)
{
    smtp_client_free(&p->client);
    buf_free(&p->log);
}

/* ---- invariants ---- */

static void check_cursors(const struct smtp_client *c)
{
    MUST(c->heard.cmd < c->sent.cmd ||
         (c->heard.cmd == c->sent.cmd && c->heard.rcpt_index <= c->sent.rcpt_index));
}

static void check_commands(struct slice out)
{
    MUST(out.len != 0);
    while (out.len != 0) {
        size_t cr = slice_find_char(out, '\r');

        MUST(cr + 1 < out.len && out.ptr[cr + 1] == '\n');
        MUST(slice_find_char(slice_head(out, cr), '\n') == cr);
        MUST(slice_find_char(slice_head(out, cr), 0) == cr);
        out = slice_from(out, cr + 2);
    }
}

static void log_outcomes(struct play *p)
{
    for (uint32_t i = 0; i < p->tx.recipient_count; i++) {
        struct smtp_outcome outcome;

        MUST(smtp_client_outcome(&p->client, i, &outcome));
        MUST(outcome.code >= 300 ||
             (p->body_written && outcome.command == SMTP_CLIENT_CMD_DOT && outcome.code >= 200));
        buf_printf(&p->log, "%u %u.%u.%u %u ", outcome.code, outcome.enhanced.class,
                   outcome.enhanced.subject, outcome.enhanced.detail, outcome.reply_index);
        smtp_client_command_put(&p->client, &outcome, &p->log);
        buf_put(&p->log, outcome.content);
        buf_char(&p->log, '\n');
    }
}

/* ---- the driver ---- */

static void begin_message(struct play *p)
{
    p->under_way = true;
    p->body_written = false;
}

static enum smtp_client_step go_on(struct play *p)
{
    p->next_waits = false;
    begin_message(p);
    return smtp_client_go_on(&p->client);
}

static void follow(struct play *p)
{
    bool may = p->follows && p->message_count < MESSAGE_MAX && smtp_client_may_follow(&p->client);

    if (may && smtp_client_follow(&p->client, &p->tx)) {
        p->message_count++;
        p->next_waits = true;
        check_commands(smtp_client_out(&p->client));
        buf_put(&p->log, smtp_client_out(&p->client));
    }
}

static enum smtp_client_step act(struct play *p, enum smtp_client_step step)
{
    buf_printf(&p->log, "step %d in %s: ", (int)step, smtp_client_state_name(&p->client));
    buf_put(&p->log, smtp_client_error(&p->client));
    buf_char(&p->log, '\n');
    check_cursors(&p->client);
    switch (step) {
    case SMTP_CLIENT_SEND:
        check_commands(smtp_client_out(&p->client));
        buf_put(&p->log, smtp_client_out(&p->client));
        return p->is_lazy ? SMTP_CLIENT_WAIT : smtp_client_sent(&p->client);
    case SMTP_CLIENT_SEND_BODY:
        p->body_written = true;
        follow(p);
        return p->is_lazy ? SMTP_CLIENT_WAIT : smtp_client_sent(&p->client);
    case SMTP_CLIENT_DONE:
        log_outcomes(p);
        p->under_way = false;
        return p->next_waits && !p->is_lazy ? go_on(p) : SMTP_CLIENT_WAIT;
    case SMTP_CLIENT_TLS:
        return smtp_client_ehlo(&p->client);
    case SMTP_CLIENT_FAILED:
    case SMTP_CLIENT_CLOSED:
        if (p->under_way) {
            log_outcomes(p);
        }
        p->is_over = true;
        return SMTP_CLIENT_WAIT;
    default:
        MUST(!p->under_way || step == SMTP_CLIENT_UNSOLICITED);
        p->is_over = step >= SMTP_CLIENT_UNSOLICITED;
        return SMTP_CLIENT_WAIT;
    }
}

static void act_all(struct play *p, enum smtp_client_step step)
{
    while (step != SMTP_CLIENT_WAIT && !p->is_over) {
        step = act(p, step);
    }
}

/* The outside world moves only when the peer has been heard to the end of its turn. */
static void between_turns(struct play *p)
{
    if (p->client.writing) {
        act_all(p, smtp_client_sent(&p->client));
    } else if (p->next_waits && !p->under_way) {
        act_all(p, go_on(p));
    } else if (smtp_client_idle(&p->client) && !p->tried_tls &&
               (smtp_client_capabilities(&p->client) & SMTP_CAN_STARTTLS) != 0) {
        p->tried_tls = true;
        act_all(p, smtp_client_starttls(&p->client));
    } else if (smtp_client_idle(&p->client) && p->message_count < MESSAGE_MAX) {
        p->message_count++;
        begin_message(p);
        act_all(p, smtp_client_begin(&p->client, &p->tx));
    } else if (smtp_client_idle(&p->client)) {
        act_all(p, smtp_client_quit(&p->client));
    }
}

/* What the client kept may hold more than one reply. */
static void say_kept(struct play *p)
{
    enum smtp_client_step step = SMTP_CLIENT_SEND;

    while (step != SMTP_CLIENT_WAIT && !p->is_over) {
        size_t used;

        step = smtp_client_feed(&p->client, SLICE(""), &used);
        act_all(p, step);
    }
}

static void say(struct play *p, struct slice turn)
{
    while (turn.len != 0 && !p->is_over) {
        size_t len = p->is_cut ? 1 + prng_next(&p->prng) % 8 : turn.len;
        struct slice piece = slice_head(turn, len);

        while (piece.len != 0 && !p->is_over) {
            size_t used = 0;
            enum smtp_client_step step = smtp_client_feed(&p->client, piece, &used);

            MUST(used <= piece.len);
            MUST(step != SMTP_CLIENT_WAIT || used == piece.len);
            check_cursors(&p->client);
            piece = slice_from(piece, used);
            turn = slice_from(turn, used);
            act_all(p, step);
        }
        say_kept(p);
    }
}

static void play(struct play *p, struct slice script)
{
    while (script.len != 0 && !p->is_over) {
        size_t end = slice_find_char(script, 0);

        say(p, slice_head(script, end));
        script = slice_from(script, end + 1);
        if (!p->is_over) {
            between_turns(p);
        }
    }
    if (!p->is_over) {
        act_all(p, p->ends_late ? smtp_client_timed_out(&p->client, SLICE("q p"), SLICE("5s"))
                                : smtp_client_lost(&p->client, SLICE("reset")));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct play whole, cut;
    struct slice script;

    if (size < 2) {
        return 0;
    }
    script = slice_of(data + 2, size - 2);
    open_play(&whole, data, false);
    open_play(&cut, data, true);
    play(&whole, script);
    play(&cut, script);
    if (!slice_eq(buf_slice(&whole.log), buf_slice(&cut.log))) {
        fprintf(stderr, "--- whole\n%.*s\n--- cut\n%.*s\n", SLICE_ARG(buf_slice(&whole.log)),
                SLICE_ARG(buf_slice(&cut.log)));
        abort();
    }
    close_play(&whole);
    close_play(&cut);
    return 0;
}
