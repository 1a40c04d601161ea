/* One transaction: its commands, and what each reply means for its recipients. */
#include <string.h>

#include "proto/smtp_client_private.h"

/* A buffer swollen by a large transaction is not kept for the small ones after it. */
#define KEEP_SIZE_MAX 4096u

#define ADDRESS_8BIT (1u << 0)
#define ADDRESS_CONTROL (1u << 1)

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))
#define HIGH_BITS EACH_BYTE(0x80)

/* Eight bytes a step: this runs for every address sent. A byte below 0x20 borrows when 0x20 is
 * taken from it, 0x7f becomes zero when it is flipped and borrows when 1 is; both show in the high
 * bit, which bytes that are not ASCII are excused from. */
static unsigned address_bits(struct slice address)
{
    uint64_t high = 0, control = 0;

    for (size_t i = 0; i < address.len; i += 8) {
        size_t left = address.len - i;
        uint64_t word = EACH_BYTE('a'), flipped;

        memcpy(&word, address.ptr + i, left < 8 ? left : 8);
        flipped = word ^ EACH_BYTE(0x7f);
        high |= word;
        control |= (word - EACH_BYTE(0x20)) & ~word;
        control |= (flipped - EACH_BYTE(1)) & ~flipped & ~word;
    }
    return ((high & HIGH_BITS) != 0 ? ADDRESS_8BIT : 0) |
           ((control & HIGH_BITS) != 0 ? ADDRESS_CONTROL : 0);
}

bool smtp_client_unsendable(const struct smtp_client *c, uint32_t recipient)
{
    return c->has_unsendable &&
           (address_bits(c->tx.recipients[recipient]) & ADDRESS_CONTROL) != 0;
}

/* ---- commands ---- */

static uint32_t next_sendable(const struct smtp_client *c, uint32_t recipient)
{
    while (recipient < c->tx.recipient_count && smtp_client_unsendable(c, recipient)) {
        recipient++;
    }
    return recipient;
}

/* The command after `at`, in wire order. */
static struct smtp_cursor cursor_after(const struct smtp_client *c, struct smtp_cursor at)
{
    uint32_t recipient;

    if (at.cmd == SMTP_CLIENT_CMD_MAIL || at.cmd == SMTP_CLIENT_CMD_RCPT) {
        recipient = next_sendable(c, at.cmd == SMTP_CLIENT_CMD_MAIL ? 0 : at.rcpt_index + 1);
        if (recipient < c->tx.recipient_count) {
            return (struct smtp_cursor){SMTP_CLIENT_CMD_RCPT, recipient};
        }
        return (struct smtp_cursor){SMTP_CLIENT_CMD_DATA, 0};
    }
    return (struct smtp_cursor){(uint8_t)(at.cmd + 1), 0};
}

void smtp_client_mail_params_put(const struct smtp_client *c, bool has_8bit, bool envelope_8bit,
                                 struct buf *out)
{
    if (has_8bit && (c->capabilities & SMTP_CAN_8BITMIME) != 0) {
        BUF_LIT(out, " BODY=8BITMIME");
    }
    if (envelope_8bit && (c->capabilities & SMTP_CAN_SMTPUTF8) != 0) {
        BUF_LIT(out, " SMTPUTF8");
    }
}

static void stage_mail(struct smtp_client *c, const struct smtp_transaction *tx,
                       bool envelope_8bit)
{
    BUF_LIT(&c->out, "MAIL FROM:<");
    buf_put(&c->out, tx->sender);
    BUF_LIT(&c->out, ">");
    smtp_client_mail_params_put(c, tx->has_8bit, envelope_8bit, &c->out);
    BUF_LIT(&c->out, "\r\n");
}

static void stage_rcpt(struct smtp_client *c, struct slice recipient)
{
    BUF_LIT(&c->out, "RCPT TO:<");
    buf_put(&c->out, recipient);
    BUF_LIT(&c->out, ">\r\n");
}

static void stage_next(struct smtp_client *c)
{
    switch ((enum smtp_client_cmd)c->sent.cmd) {
    case SMTP_CLIENT_CMD_RSET:
        BUF_LIT(&c->out, "RSET\r\n");
        break;
    case SMTP_CLIENT_CMD_MAIL:
        stage_mail(c, &c->tx, c->envelope_8bit);
        break;
    case SMTP_CLIENT_CMD_RCPT:
        stage_rcpt(c, c->tx.recipients[c->sent.rcpt_index]);
        break;
    case SMTP_CLIENT_CMD_DATA:
        BUF_LIT(&c->out, "DATA\r\n");
        break;
    default:
        MUST(!"not a command of the envelope");
    }
    c->sent = cursor_after(c, c->sent);
}

/* ---- begin ---- */

static void forget(struct buf *b)
{
    if (b->cap > KEEP_SIZE_MAX) {
        buf_free(b);
    }
    buf_clear(b);
}

static void start(struct smtp_client *c, const struct smtp_transaction *tx)
{
    size_t fates_size = (size_t)tx->recipient_count * sizeof(uint32_t);

    c->tx = *tx;
    c->accepted_count = 0;
    c->delivered_count = 0;
    c->lone_dot = false;
    c->has_unsendable = false;
    c->envelope_8bit = false;
    forget(&c->out);
    forget(&c->texts);
    forget(&c->replies);
    forget(&c->fates);
    buf_reserve(&c->fates, fates_size);
    memset(c->fates.ptr, 0, fates_size);
    _Static_assert(SMTP_FATE_OPEN == 0, "zeroed fates are open");
    c->fates.len = fates_size;
}

static void refuse_rest(struct smtp_client *c, const struct smtp_made_up *why)
{
    smtp_outcome_settle_rest(
        c, smtp_outcome_make(c, why, (struct smtp_cursor){SMTP_CLIENT_CMD_NONE, 0}));
}

/* Looks at every address. Answers how many recipients can be written at all; the others have
 * their outcome. */
static uint32_t judge_addresses(struct smtp_client *c)
{
    unsigned bits = address_bits(c->tx.sender);
    uint32_t sendable_count = 0;
    uint32_t refusal = UINT32_MAX;

    if ((bits & ADDRESS_CONTROL) != 0) {
        refuse_rest(c, &(struct smtp_made_up){
                           .code = 553,
                           .enhanced = {5, 1, 7},
                           .text = SLICE("KumoMTA internal: sender has a control character")});
        return 0;
    }
    for (uint32_t i = 0; i < c->tx.recipient_count; i++) {
        unsigned more = address_bits(c->tx.recipients[i]);

        if ((more & ADDRESS_CONTROL) == 0) {
            bits |= more;
            sendable_count++;
            continue;
        }
        c->has_unsendable = true;
        if (refusal == UINT32_MAX) {
            refusal = smtp_outcome_make(
                c,
                &(struct smtp_made_up){
                    .code = 553,
                    .enhanced = {5, 1, 3},
                    .text = SLICE("KumoMTA internal: recipient has a control character")},
                (struct smtp_cursor){SMTP_CLIENT_CMD_NONE, 0});
        }
        smtp_outcome_settle(c, i, refusal);
    }
    c->envelope_8bit = (bits & ADDRESS_8BIT) != 0;
    return sendable_count;
}

/* What the peer says it cannot carry is refused here, with the reference's words; NULL when it can
 * carry this. */
static const struct smtp_made_up *misfit(const struct smtp_client *c, bool has_8bit,
                                         bool envelope_8bit)
{
    static const struct smtp_made_up data_8bit = {
        .code = 554,
        .enhanced = {5, 6, 3},
        .text = SLICE_INIT("KumoMTA internal: DATA is 8bit, destination does not support 8BITMIME. "
                           "Conversion via msg:check_fix_conformance during reception is "
                           "required")};
    static const struct smtp_made_up address_8bit = {
        .code = 554,
        .enhanced = {5, 6, 7},
        .text = SLICE_INIT("KumoMTA internal: envelope is 8bit, destination does not support "
                           "SMTPUTF8.")};

    if (c->params->ignore_8bit_checks) {
        return NULL;
    }
    if (has_8bit && (c->capabilities & SMTP_CAN_8BITMIME) == 0) {
        return &data_8bit;
    }
    return envelope_8bit && (c->capabilities & SMTP_CAN_SMTPUTF8) == 0 ? &address_8bit : NULL;
}

static bool fits_peer(struct smtp_client *c)
{
    const struct smtp_made_up *why = misfit(c, c->tx.has_8bit, c->envelope_8bit);

    if (why != NULL) {
        refuse_rest(c, why);
    }
    return why == NULL;
}

enum smtp_client_step smtp_client_begin(struct smtp_client *c, const struct smtp_transaction *tx)
{
    bool with_rset = c->used && (c->params->enable_rset || c->rset_needed);

    MUST(c->state == SMTP_CLIENT_STATE_IDLE && !c->writing);
    MUST(tx->recipient_count != 0);
    if (c->kept.len != 0) {
        BUF_LIT(&c->error, "the peer spoke while nothing was asked of it");
        return smtp_client_end(c, SMTP_CLIENT_UNSOLICITED);
    }
    forget(&c->kept);
    start(c, tx);
    if (judge_addresses(c) == 0 || !fits_peer(c)) {
        return SMTP_CLIENT_DONE;
    }
    smtp_client_enter(c, SMTP_CLIENT_STATE_ENVELOPE);
    c->used = true;
    c->rset_needed = true;
    c->pipelined =
        c->params->enable_pipelining && (c->capabilities & SMTP_CAN_PIPELINING) != 0;
    c->heard = (struct smtp_cursor){with_rset ? SMTP_CLIENT_CMD_RSET : SMTP_CLIENT_CMD_MAIL, 0};
    c->sent = c->heard;
    do {
        stage_next(c);
    } while (c->pipelined && c->sent.cmd < SMTP_CLIENT_CMD_DOT);
    return smtp_client_send(c);
}

/* ---- the next one ---- */

bool smtp_client_may_follow(const struct smtp_client *c)
{
    return c->state == SMTP_CLIENT_STATE_FINAL && c->writing && c->pipelined &&
           c->params->enable_rset && !c->params->lmtp && !c->has_next &&
           c->accepted_count == c->tx.recipient_count;
}

bool smtp_client_follow(struct smtp_client *c, const struct smtp_transaction *tx)
{
    unsigned bits = address_bits(tx->sender);

    MUST(smtp_client_may_follow(c) && c->out.len == 0);
    MUST(tx->recipient_count != 0);
    for (uint32_t i = 0; i < tx->recipient_count; i++) {
        bits |= address_bits(tx->recipients[i]);
    }
    if ((bits & ADDRESS_CONTROL) != 0 ||
        misfit(c, tx->has_8bit, (bits & ADDRESS_8BIT) != 0) != NULL) {
        return false;
    }
    c->next = *tx;
    c->next_8bit = (bits & ADDRESS_8BIT) != 0;
    c->has_next = true;
    BUF_LIT(&c->out, "RSET\r\n");
    stage_mail(c, &c->next, c->next_8bit);
    for (uint32_t i = 0; i < tx->recipient_count; i++) {
        stage_rcpt(c, tx->recipients[i]);
    }
    BUF_LIT(&c->out, "DATA\r\n");
    return true;
}

void smtp_client_tx_go_on(struct smtp_client *c)
{
    MUST(c->has_next && !c->writing);
    smtp_client_enter(c, SMTP_CLIENT_STATE_ENVELOPE);
    start(c, &c->next);
    c->envelope_8bit = c->next_8bit;
    c->has_next = false;
    c->rset_needed = true;
    c->heard = (struct smtp_cursor){SMTP_CLIENT_CMD_RSET, 0};
    c->sent = (struct smtp_cursor){SMTP_CLIENT_CMD_DOT, 0};
}

/* ---- replies ---- */

static enum smtp_client_step finish(struct smtp_client *c)
{
    MUST(c->accepted_count == 0);
    smtp_client_enter(c, c->has_next ? SMTP_CLIENT_STATE_NEXT : SMTP_CLIENT_STATE_IDLE);
    c->heard = (struct smtp_cursor){SMTP_CLIENT_CMD_NONE, 0};
    c->sent = c->heard;
    c->rset_needed = c->delivered_count != c->tx.recipient_count;
    return SMTP_CLIENT_DONE;
}

static bool is_success(const struct smtp_reply *reply)
{
    return reply->code >= 200 && reply->code <= 299;
}

static enum smtp_client_step fail_on_reply(struct smtp_client *c, const char *what,
                                           const struct smtp_reply *reply)
{
    struct buf text = {0};
    struct buf content = {0};
    enum smtp_client_step step;

    smtp_reply_content_put(&content, reply);
    smtp_reply_single_line_put(&text, reply->code, smtp_reply_enhanced(reply), buf_slice(&content));
    step = smtp_client_fail(c, slice_str(what), buf_slice(&text));
    buf_free(&content);
    buf_free(&text);
    return step;
}

/* The reply, as it is, becomes the outcome of everybody who has none. */
static void settle_rest(struct smtp_client *c, const struct smtp_reply *reply)
{
    smtp_outcome_settle_rest(c, smtp_outcome_keep(c, reply, c->heard));
}

static enum smtp_client_step next_command(struct smtp_client *c)
{
    c->heard = cursor_after(c, c->heard);
    smtp_client_flow_check(c);
    if (c->pipelined) {
        return SMTP_CLIENT_WAIT;
    }
    stage_next(c);
    return smtp_client_send(c);
}

/* A peer that cannot even reset has lost the thread; the message is not to blame, so no 5xx of
 * RSET may bounce it. */
static enum smtp_client_step hear_rset(struct smtp_client *c, const struct smtp_reply *reply)
{
    if (is_success(reply)) {
        return next_command(c);
    }
    if (reply->code < 500) {
        settle_rest(c, reply);
    }
    return fail_on_reply(c, "RSET was refused: ", reply);
}

static enum smtp_client_step hear_mail(struct smtp_client *c, const struct smtp_reply *reply)
{
    if (!is_success(reply)) {
        settle_rest(c, reply);
    }
    return next_command(c);
}

/* 251 and 252 promise delivery as much as 250 does. */
static enum smtp_client_step hear_rcpt(struct smtp_client *c, const struct smtp_reply *reply)
{
    uint32_t recipient = c->heard.rcpt_index;
    uint32_t *fate = &smtp_client_fates(c)[recipient];

    if (*fate == SMTP_FATE_OPEN) {
        if (is_success(reply)) {
            *fate = SMTP_FATE_ACCEPTED;
            c->accepted_count++;
        } else {
            smtp_outcome_settle(c, recipient, smtp_outcome_keep(c, reply, c->heard));
        }
    }
    return next_command(c);
}

static enum smtp_client_step send_lone_dot(struct smtp_client *c)
{
    if (c->params->lmtp) {
        /* It owes us one reply for each accepted recipient, which is none. */
        return smtp_client_fail(c, SLICE("354 although no recipient was accepted"), SLICE(""));
    }
    smtp_client_enter(c, SMTP_CLIENT_STATE_FINAL);
    c->heard = c->sent;
    c->lone_dot = true;
    BUF_LIT(&c->out, ".\r\n");
    return smtp_client_send(c);
}

static enum smtp_client_step hear_data(struct smtp_client *c, const struct smtp_reply *reply)
{
    if (is_success(reply)) {
        /* Neither yes nor no: is it reading a message now? Whatever follows could be taken for
         * an answer to something else, so nothing may. */
        return fail_on_reply(c, "unexpected reply to DATA: ", reply);
    }
    if (reply->code != 354) {
        settle_rest(c, reply);
        return finish(c);
    }
    if (c->accepted_count == 0) {
        return send_lone_dot(c);
    }
    smtp_client_enter(c, SMTP_CLIENT_STATE_FINAL);
    c->heard = c->sent;
    c->writing = true;
    return SMTP_CLIENT_SEND_BODY;
}

static uint32_t next_accepted(const struct smtp_client *c, uint32_t recipient)
{
    const uint32_t *fates = smtp_client_fates(c);

    while (recipient < c->tx.recipient_count && fates[recipient] != SMTP_FATE_ACCEPTED) {
        recipient++;
    }
    return recipient;
}

void smtp_client_tx_body_sent(struct smtp_client *c)
{
    c->sent = (struct smtp_cursor){SMTP_CLIENT_CMD_DOT, 1};
    c->heard = (struct smtp_cursor){SMTP_CLIENT_CMD_DOT, 0};
    if (c->params->lmtp) {
        c->sent.rcpt_index = c->tx.recipient_count;
        c->heard.rcpt_index = next_accepted(c, 0);
    }
    smtp_client_flow_check(c);
}

/* RFC 2033 4.2: one reply for each recipient that was accepted, in order. */
static enum smtp_client_step hear_dot(struct smtp_client *c, const struct smtp_reply *reply)
{
    if (c->lone_dot) {
        return finish(c);
    }
    if (!c->params->lmtp) {
        settle_rest(c, reply);
        return finish(c);
    }
    smtp_outcome_settle(c, c->heard.rcpt_index, smtp_outcome_keep(c, reply, c->heard));
    c->heard.rcpt_index = next_accepted(c, c->heard.rcpt_index);
    smtp_client_flow_check(c);
    return c->accepted_count != 0 ? SMTP_CLIENT_WAIT : finish(c);
}

enum smtp_client_step smtp_client_tx_reply(struct smtp_client *c, const struct smtp_reply *reply)
{
    MUST(smtp_cursor_before(c->heard, c->sent));
    if (reply->code == 421) {
        settle_rest(c, reply);
        (void)fail_on_reply(c, "", reply); /* for its text; everybody is settled */
        return SMTP_CLIENT_CLOSED;
    }
    switch ((enum smtp_client_cmd)c->heard.cmd) {
    case SMTP_CLIENT_CMD_RSET:
        return hear_rset(c, reply);
    case SMTP_CLIENT_CMD_MAIL:
        return hear_mail(c, reply);
    case SMTP_CLIENT_CMD_RCPT:
        return hear_rcpt(c, reply);
    case SMTP_CLIENT_CMD_DATA:
        return hear_data(c, reply);
    case SMTP_CLIENT_CMD_DOT:
        return hear_dot(c, reply);
    default:
        MUST(!"not a command of a transaction");
        return SMTP_CLIENT_WAIT;
    }
}
