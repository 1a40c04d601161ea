/* The conversation: what arrives, what state it meets, set-up and goodbye. */
#include "proto/smtp_client.h"

#include <string.h>

#include "core/base/base64.h"
#include "proto/smtp_client_private.h"

static const char *const state_names[SMTP_CLIENT_STATE_COUNT] = {
#define SMTP_CLIENT_STATE(nm, waits) [SMTP_CLIENT_STATE_##nm] = #nm,
#include "proto/smtp_client_states.def"
#undef SMTP_CLIENT_STATE
};

static bool edge_exists(enum smtp_client_state from, enum smtp_client_state to)
{
    static const bool edge[SMTP_CLIENT_STATE_COUNT][SMTP_CLIENT_STATE_COUNT] = {
#define SMTP_CLIENT_EDGE(f, t, when) [SMTP_CLIENT_STATE_##f][SMTP_CLIENT_STATE_##t] = true,
#include "proto/smtp_client_edges.def"
#undef SMTP_CLIENT_EDGE
    };
    return edge[from][to] || to == SMTP_CLIENT_STATE_OVER; /* every state may end */
}

void smtp_client_enter(struct smtp_client *c, enum smtp_client_state next)
{
    MUST(next < SMTP_CLIENT_STATE_COUNT);
    MUST(edge_exists((enum smtp_client_state)c->state, next));
    c->state = (uint8_t)next;
}

const char *smtp_client_state_name(const struct smtp_client *c)
{
    return state_names[c->state];
}

void smtp_client_init(struct smtp_client *c, const struct smtp_client_params *params)
{
    *c = (struct smtp_client){.params = params, .state = SMTP_CLIENT_STATE_BANNER};
    smtp_client_solo(c, SMTP_CLIENT_CMD_BANNER);
}

void smtp_client_free(struct smtp_client *c)
{
    buf_free(&c->out);
    buf_free(&c->kept);
    buf_free(&c->texts);
    buf_free(&c->replies);
    buf_free(&c->fates);
    buf_free(&c->error);
    *c = (struct smtp_client){.state = SMTP_CLIENT_STATE_OVER};
}

/* ---- sending ---- */

struct slice smtp_client_out(const struct smtp_client *c)
{
    return buf_slice(&c->out);
}

enum smtp_client_step smtp_client_send(struct smtp_client *c)
{
    MUST(!c->writing && c->out.len != 0);
    smtp_client_flow_check(c);
    c->writing = true;
    return SMTP_CLIENT_SEND;
}

void smtp_client_solo(struct smtp_client *c, enum smtp_client_cmd cmd)
{
    c->heard = (struct smtp_cursor){.cmd = (uint8_t)cmd};
    c->sent = (struct smtp_cursor){.cmd = (uint8_t)(cmd + 1)};
}

static bool has_control(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((uint8_t)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

static enum smtp_client_step send_ehlo(struct smtp_client *c)
{
    struct slice name = c->params->ehlo_name;

    if (name.len == 0 || has_control(name)) {
        return smtp_client_fail(c, SLICE("our EHLO name cannot be sent"), SLICE(""));
    }
    smtp_client_enter(c, SMTP_CLIENT_STATE_EHLO);
    buf_put(&c->out, c->params->lmtp ? SLICE("LHLO ") : SLICE("EHLO "));
    buf_put(&c->out, name);
    BUF_LIT(&c->out, "\r\n");
    smtp_client_solo(c, SMTP_CLIENT_CMD_EHLO);
    return smtp_client_send(c);
}

enum smtp_client_step smtp_client_ehlo(struct smtp_client *c)
{
    MUST(c->state == SMTP_CLIENT_STATE_TLS);
    return send_ehlo(c);
}

enum smtp_client_step smtp_client_starttls(struct smtp_client *c)
{
    smtp_client_enter(c, SMTP_CLIENT_STATE_STARTTLS);
    BUF_LIT(&c->out, "STARTTLS\r\n");
    smtp_client_solo(c, SMTP_CLIENT_CMD_STARTTLS);
    return smtp_client_send(c);
}

/* RFC 4616: authorisation identity (ours is empty), NUL, user, NUL, password. */
enum smtp_client_step smtp_client_auth_plain(struct smtp_client *c, struct slice user,
                                             struct slice password)
{
    struct buf plain = {0};

    smtp_client_enter(c, SMTP_CLIENT_STATE_AUTH);
    buf_char(&plain, 0);
    buf_put(&plain, user);
    buf_char(&plain, 0);
    buf_put(&plain, password);
    BUF_LIT(&c->out, "AUTH PLAIN ");
    base64_encode_as(&c->out, buf_slice(&plain), 0);
    BUF_LIT(&c->out, "\r\n");
    explicit_bzero(plain.ptr, plain.cap);
    buf_free(&plain);
    smtp_client_solo(c, SMTP_CLIENT_CMD_AUTH);
    return smtp_client_send(c);
}

enum smtp_client_step smtp_client_quit(struct smtp_client *c)
{
    smtp_client_enter(c, SMTP_CLIENT_STATE_QUIT);
    BUF_LIT(&c->out, "QUIT\r\n");
    smtp_client_solo(c, SMTP_CLIENT_CMD_QUIT);
    return smtp_client_send(c);
}

/* ---- ends ---- */

enum smtp_client_step smtp_client_end(struct smtp_client *c, enum smtp_client_step step)
{
    MUST(step >= SMTP_CLIENT_UNSOLICITED);
    smtp_client_enter(c, SMTP_CLIENT_STATE_OVER);
    buf_clear(&c->kept);
    return step;
}

static void set_error(struct smtp_client *c, struct slice what, struct slice detail)
{
    buf_clear(&c->error);
    smtp_single_line_put(&c->error, what);
    smtp_single_line_put(&c->error, detail);
}

struct slice smtp_client_error(const struct smtp_client *c)
{
    return buf_slice(&c->error);
}

enum smtp_client_step smtp_client_fail(struct smtp_client *c, struct slice why,
                                       struct slice detail)
{
    set_error(c, why, detail);
    if (smtp_client_in_transaction(c)) {
        uint32_t index = smtp_outcome_make(
            c,
            &(struct smtp_made_up){.code = 400,
                                   .text = SLICE("KumoMTA internal: failed to send message: "),
                                   .detail = buf_slice(&c->error)},
            c->heard);

        smtp_outcome_settle_rest(c, index);
    }
    return smtp_client_end(c, SMTP_CLIENT_FAILED);
}

/* Ends on a reply, whose text is the error: "554 5.7.1 go away". */
static enum smtp_client_step end_on_reply(struct smtp_client *c, const struct smtp_reply *reply,
                                          enum smtp_client_step step)
{
    struct buf content = {0};

    smtp_reply_content_put(&content, reply);
    buf_clear(&c->error);
    smtp_reply_single_line_put(&c->error, reply->code, smtp_reply_enhanced(reply),
                               buf_slice(&content));
    buf_free(&content);
    return smtp_client_end(c, step);
}

enum smtp_client_step smtp_client_lost(struct smtp_client *c, struct slice why)
{
    struct slice text = why.len != 0 ? why : SLICE("Not connected");

    switch ((enum smtp_client_state)c->state) {
    case SMTP_CLIENT_STATE_QUIT:
        return smtp_client_end(c, SMTP_CLIENT_BYE);
    case SMTP_CLIENT_STATE_OVER:
        return SMTP_CLIENT_BYE;
    case SMTP_CLIENT_STATE_IDLE:
    case SMTP_CLIENT_STATE_NEXT:
        set_error(c, text, SLICE(""));
        return smtp_client_end(c, SMTP_CLIENT_CLOSED);
    default:
        return smtp_client_fail(c, text, SLICE(""));
    }
}

/* ---- hearing ---- */

static uint8_t capability(struct slice line)
{
    static const struct {
        struct slice word;
        uint8_t bit;
    } known[] = {
        {SLICE_INIT("PIPELINING"), SMTP_CAN_PIPELINING},
        {SLICE_INIT("8BITMIME"), SMTP_CAN_8BITMIME},
        {SLICE_INIT("SMTPUTF8"), SMTP_CAN_SMTPUTF8},
        {SLICE_INIT("STARTTLS"), SMTP_CAN_STARTTLS},
    };
    struct slice word = slice_head(line, slice_find_char(line, ' '));

    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        if (slice_eq_nocase(word, known[i].word)) {
            return known[i].bit;
        }
    }
    return 0;
}

static enum smtp_client_step hear_ehlo(struct smtp_client *c, const struct smtp_reply *reply)
{
    struct slice line;
    size_t at = 0;

    if (reply->code != 250) {
        return end_on_reply(c, reply, SMTP_CLIENT_REJECTED);
    }
    c->capabilities = 0;
    (void)!smtp_reply_next_line(reply, &at, &line); /* the first is a greeting */
    while (smtp_reply_next_line(reply, &at, &line)) {
        c->capabilities |= capability(line);
    }
    smtp_client_enter(c, SMTP_CLIENT_STATE_IDLE);
    smtp_client_solo(c, SMTP_CLIENT_CMD_NONE);
    c->sent = c->heard;
    return SMTP_CLIENT_READY;
}

static enum smtp_client_step hear_starttls(struct smtp_client *c, const struct smtp_reply *reply)
{
    if (reply->code != 220) {
        return end_on_reply(c, reply, SMTP_CLIENT_REJECTED);
    }
    smtp_client_enter(c, SMTP_CLIENT_STATE_TLS);
    c->capabilities = 0;
    return SMTP_CLIENT_TLS;
}

static enum smtp_client_step hear_auth(struct smtp_client *c, const struct smtp_reply *reply)
{
    if (reply->code != 235) {
        return end_on_reply(c, reply, SMTP_CLIENT_REJECTED);
    }
    smtp_client_enter(c, SMTP_CLIENT_STATE_IDLE);
    c->heard = c->sent;
    return SMTP_CLIENT_READY;
}

static enum smtp_client_step hear(struct smtp_client *c, const struct smtp_reply *reply)
{
    switch ((enum smtp_client_state)c->state) {
    case SMTP_CLIENT_STATE_BANNER:
        return reply->code == 220 ? send_ehlo(c) : end_on_reply(c, reply, SMTP_CLIENT_REJECTED);
    case SMTP_CLIENT_STATE_EHLO:
        return hear_ehlo(c, reply);
    case SMTP_CLIENT_STATE_STARTTLS:
        return hear_starttls(c, reply);
    case SMTP_CLIENT_STATE_AUTH:
        return hear_auth(c, reply);
    case SMTP_CLIENT_STATE_IDLE:
        return end_on_reply(c, reply,
                            reply->code == 421 ? SMTP_CLIENT_CLOSED : SMTP_CLIENT_UNSOLICITED);
    case SMTP_CLIENT_STATE_ENVELOPE:
    case SMTP_CLIENT_STATE_FINAL:
        return smtp_client_tx_reply(c, reply);
    case SMTP_CLIENT_STATE_QUIT:
        return smtp_client_end(c, SMTP_CLIENT_BYE);
    case SMTP_CLIENT_STATE_TLS:
    case SMTP_CLIENT_STATE_NEXT:
    case SMTP_CLIENT_STATE_OVER:
    case SMTP_CLIENT_STATE_COUNT:
        break;
    }
    MUST(!"a reply was cut in a state that reads none");
    return SMTP_CLIENT_WAIT;
}

/* While a write is in flight nothing may be staged behind its back, so replies that would make
 * us do so have to wait. Up to DATA a pipelined group asks for nothing more. Replies to the next
 * message wait until the driver is done with the outcomes of the one before. */
static bool must_hold(const struct smtp_client *c)
{
    return c->state == SMTP_CLIENT_STATE_NEXT ||
           (c->writing && !(c->state == SMTP_CLIENT_STATE_ENVELOPE && c->pipelined &&
                            c->heard.cmd < SMTP_CLIENT_CMD_DATA));
}

/* Uses replies off the front of `in` until one of them gives the driver something to do. */
static enum smtp_client_step hear_all(struct smtp_client *c, struct slice in, size_t *used_out)
{
    enum smtp_client_step step = SMTP_CLIENT_WAIT;
    size_t at = 0;

    while (step == SMTP_CLIENT_WAIT && at < in.len && !must_hold(c)) {
        struct smtp_reply reply = {0};
        size_t used = 0;
        enum smtp_reply_cut cut = smtp_reply_cut(slice_from(in, at), &c->scan, &reply, &used);

        if (cut == SMTP_REPLY_MORE) {
            break;
        }
        c->scan = (struct smtp_reply_scan){0};
        if (cut == SMTP_REPLY_OK) {
            at += used;
            c->reply_count++;
            step = hear(c, &reply);
        } else {
            step = smtp_client_fail(c, slice_str(smtp_reply_err_text(cut)),
                                    cut == SMTP_REPLY_MALFORMED ? reply.raw : SLICE(""));
        }
    }
    *used_out = at;
    return step;
}

/* One reply and its successor's beginning may wait, and the answers to an envelope that followed;
 * a peer that says more has stopped listening. */
static enum smtp_client_step check_kept(struct smtp_client *c)
{
    size_t group_size =
        c->has_next ? (size_t)c->next.recipient_count * SMTP_CLIENT_TEXT_CUT : 0;

    if (c->kept.len > 2 * SMTP_REPLY_SIZE_MAX + group_size) {
        return smtp_client_fail(c, SLICE("the peer answers what it was not asked"), SLICE(""));
    }
    return SMTP_CLIENT_WAIT;
}

static enum smtp_client_step hear_kept(struct smtp_client *c)
{
    size_t used;
    enum smtp_client_step step = hear_all(c, buf_slice(&c->kept), &used);

    if (c->state == SMTP_CLIENT_STATE_TLS) {
        buf_clear(&c->kept); /* said before the handshake by who knows whom */
    } else if (c->state != SMTP_CLIENT_STATE_OVER) {
        buf_consume(&c->kept, used);
    }
    return step != SMTP_CLIENT_WAIT ? step : check_kept(c);
}

enum smtp_client_step smtp_client_feed(struct smtp_client *c, struct slice in, size_t *used_out)
{
    enum smtp_client_step step;

    *used_out = in.len;
    if (c->state == SMTP_CLIENT_STATE_OVER || c->state == SMTP_CLIENT_STATE_TLS) {
        return SMTP_CLIENT_WAIT; /* nobody's words */
    }
    if (c->kept.len != 0) {
        buf_put(&c->kept, in);
        return hear_kept(c);
    }
    step = hear_all(c, in, used_out);
    if (step == SMTP_CLIENT_WAIT && *used_out < in.len) {
        buf_put(&c->kept, slice_from(in, *used_out));
        *used_out = in.len;
        return check_kept(c);
    }
    return step;
}

enum smtp_client_step smtp_client_sent(struct smtp_client *c)
{
    MUST(c->writing);
    c->writing = false;
    if (c->state == SMTP_CLIENT_STATE_OVER) {
        return SMTP_CLIENT_WAIT;
    }
    if (c->state == SMTP_CLIENT_STATE_AUTH) {
        explicit_bzero(c->out.ptr, c->out.len);
    }
    buf_clear(&c->out);
    if (c->state == SMTP_CLIENT_STATE_FINAL) {
        smtp_client_tx_body_sent(c);
    }
    return c->kept.len != 0 ? hear_kept(c) : SMTP_CLIENT_WAIT;
}

enum smtp_client_step smtp_client_go_on(struct smtp_client *c)
{
    smtp_client_tx_go_on(c);
    return c->kept.len != 0 ? hear_kept(c) : SMTP_CLIENT_WAIT;
}
