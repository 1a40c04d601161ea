/* Who brings mail: one message after the other, politely or not. */
#include "core/base/buf.h"
#include "tests/sim/check/book.h"
#include "tests/sim/world/peers.h"

#define EXPECT_MAX 64u
#define SILENCE_NS (900 * SIM_S) /* nobody waits longer for a reply */

enum expect_kind { EXPECT_BANNER = 0, EXPECT_EHLO, EXPECT_MAIL, EXPECT_RCPT, EXPECT_DATA,
                   EXPECT_DOT, EXPECT_RSET, EXPECT_QUIT, EXPECT_NONSENSE };

struct expect {
    uint8_t kind; /* enum expect_kind */
    uint8_t index;
    uint32_t message;
};

struct injector {
    uint32_t number;
    struct net_conn *c; /* NULL: not connected */
    struct peer_lines said, heard;
    struct expect expects[EXPECT_MAX]; /* by their order in the connection */
    uint64_t expect_count, said_count, heard_count;
    uint32_t message;   /* the one it is at; 0: none */
    uint32_t in_session;
    uint32_t taken;     /* of its recipients */
    bool pipelines, failed, silent;
    uint64_t heard_ns;
    uint64_t session;   /* counts up: events of an earlier one are void */
};

struct sim_peers {
    struct injector *all;
    uint32_t busy; /* connected, or about to be */
};

static void dial_later(struct sim *s, struct injector *j, uint64_t delay_ns);
static void message_begin(struct sim *s, struct injector *j);

/* ---- saying ---- */

static void expect(struct injector *j, enum expect_kind kind, uint32_t index)
{
    MUST(j->expect_count - j->said_count < EXPECT_MAX &&
         j->expect_count - j->heard_count < EXPECT_MAX);
    j->expects[j->expect_count++ % EXPECT_MAX] =
        (struct expect){.kind = (uint8_t)kind, .index = (uint8_t)index, .message = j->message};
}

static void session_end(struct sim *s, struct injector *j)
{
    struct net_conn *c = j->c;

    j->c = NULL;
    j->session++;
    j->message = 0;
    bytes_free(s->arena, &j->said.bytes);
    bytes_free(s->arena, &j->heard.bytes);
    if (c != NULL && !c->peer_closed) {
        net_hang_up(s, c);
    }
    dial_later(s, j, sim_spread(s, CHANCE_PEER, SIM_MS, 2 * SIM_S));
}

static void speaks_again(struct sim *s, void *ctx, uint64_t session)
{
    struct injector *j = ctx;

    if (j->session == session && j->silent) {
        session_end(s, j); /* it has lost its patience */
    }
}

/* True when it says something else than it should: the session is over, or will be. */
static bool misbehaves(struct sim *s, struct injector *j)
{
    if (peer_fault(s, FAULT_INJECTOR_BREAKS)) {
        if (sim_below(s, CHANCE_PEER, 2) == 0) {
            net_break(s, j->c);
        } else {
            session_end(s, j);
        }
        return true;
    }
    if (peer_fault(s, FAULT_INJECTOR_STALLS)) {
        j->silent = true;
        sim_after(s, sim_spread(s, CHANCE_PEER, SIM_S, 400 * SIM_S), speaks_again, j, j->session);
        return true;
    }
    return false;
}

static void nonsense(struct sim *s, struct injector *j)
{
    static const char *const lines[] = {"XYZZY\r\n", "MAIL\r\n", "RCPT TO:<@@>\r\n",
                                        "\x01\x02\xff\r\n", "VRFY\r\n", "DATA now\r\n"};

    if (peer_fault(s, FAULT_INJECTOR_RUDE)) {
        expect(j, EXPECT_NONSENSE, 0);
        net_say(s, j->c, slice_str(lines[sim_below(s, CHANCE_PEER, 6)]));
    }
}

static void envelope_put(struct sim *s, struct injector *j, struct buf *out, uint32_t at)
{
    if (at == 0) {
        expect(j, EXPECT_MAIL, 0);
        BUF_LIT(out, "MAIL FROM:<");
        book_sender_put(s, j->message, out);
        BUF_LIT(out, ">\r\n");
    } else if (at <= book_recipients(s, j->message)) {
        expect(j, EXPECT_RCPT, at - 1);
        BUF_LIT(out, "RCPT TO:<");
        book_recipient_put(s, j->message, at - 1, out);
        BUF_LIT(out, ">\r\n");
    } else {
        expect(j, EXPECT_DATA, 0);
        BUF_LIT(out, "DATA\r\n");
    }
}

static void envelope_say(struct sim *s, struct injector *j, uint32_t at)
{
    uint32_t last = j->pipelines ? book_recipients(s, j->message) + 1 : at;
    struct buf out = {0};

    if (misbehaves(s, j)) {
        return;
    }
    for (uint32_t i = at; i <= last; i++) {
        envelope_put(s, j, &out, i);
    }
    net_say(s, j->c, buf_slice(&out));
    buf_free(&out);
}

static void content_say(struct sim *s, struct injector *j)
{
    struct buf content = {0}, out = {0};
    struct slice rest;

    if (misbehaves(s, j)) {
        return;
    }
    book_content_put(s, j->message, &content);
    for (rest = buf_slice(&content); rest.len > 0;) {
        struct slice line = slice_head(rest, slice_find_char(rest, '\n') + 1);

        buf_put(&out, line.ptr[0] == '.' ? SLICE(".") : SLICE(""));
        buf_put(&out, line);
        rest = slice_from(rest, line.len);
    }
    BUF_LIT(&out, ".\r\n");
    if (peer_fault(s, FAULT_INJECTOR_BREAKS)) {
        net_say(s, j->c, slice_head(buf_slice(&out), sim_below(s, CHANCE_PEER, out.len)));
        session_end(s, j);
    } else {
        book_complete(s, j->message);
        expect(j, EXPECT_DOT, 0);
        net_say(s, j->c, buf_slice(&out));
    }
    buf_free(&content);
    buf_free(&out);
}

static void next_due(struct sim *s, void *ctx, uint64_t session)
{
    struct injector *j = ctx;

    if (j->session == session && j->c != NULL) {
        message_begin(s, j);
    }
}

static void message_begin(struct sim *s, struct injector *j)
{
    nonsense(s, j);
    j->taken = 0;
    j->failed = false;
    j->pipelines = sim_below(s, CHANCE_PEER, 2) == 0;
    j->message = j->in_session++ < s->plan.per_session ? book_next(s) : 0;
    if (j->message != 0) {
        envelope_say(s, j, 0);
    } else if (!misbehaves(s, j)) {
        expect(j, EXPECT_QUIT, 0);
        net_say(s, j->c, SLICE("QUIT\r\n"));
    }
}

static void message_over(struct sim *s, struct injector *j)
{
    j->message = 0;
    sim_after(s, sim_spread(s, CHANCE_PEER, SIM_US, s->plan.gap_ns), next_due, j, j->session);
}

/* ---- hearing ---- */

/* The envelope goes on, or the transaction ends. */
static void on_envelope(struct sim *s, struct injector *j, const struct expect *e, uint32_t code)
{
    if (e->kind == EXPECT_RCPT && code == 250) {
        j->taken++;
        book_recipient_taken(s, e->message, e->index);
    } else if (e->kind == EXPECT_MAIL && code != 250) {
        j->failed = true;
    }
    if (e->kind == EXPECT_DATA) {
        if (code == 354) {
            content_say(s, j);
        } else {
            expect(j, EXPECT_RSET, 0);
            net_say(s, j->c, SLICE("RSET\r\n"));
        }
    } else if (!j->pipelines && j->failed) {
        message_over(s, j);
    } else if (!j->pipelines) {
        envelope_say(s, j, e->kind == EXPECT_MAIL ? 1 : e->index + 2u);
    }
}

static void on_reply(struct sim *s, struct injector *j, const struct expect *e, uint32_t code)
{
    switch ((enum expect_kind)e->kind) {
    case EXPECT_BANNER:
        if (code == 220 && !misbehaves(s, j)) {
            expect(j, EXPECT_EHLO, 0);
            net_say(s, j->c, SLICE("EHLO injector.sim\r\n"));
        } else if (code != 220) {
            session_end(s, j);
        }
        break;
    case EXPECT_EHLO:
        if (code == 250) {
            message_begin(s, j);
        } else {
            session_end(s, j);
        }
        break;
    case EXPECT_MAIL:
    case EXPECT_RCPT:
    case EXPECT_DATA:
        on_envelope(s, j, e, code);
        break;
    case EXPECT_DOT:
        book_heard(s, e->message, code);
        message_over(s, j);
        break;
    case EXPECT_RSET:
        message_over(s, j);
        break;
    case EXPECT_QUIT:
        session_end(s, j);
        break;
    case EXPECT_NONSENSE:
        break;
    }
}

static void injector_said(struct sim *s, struct net_conn *c, struct slice bytes)
{
    struct injector *j = c->peer_ctx;
    struct slice line;

    if (j->c != c) {
        return;
    }
    lines_put(s, &j->said, bytes);
    while (lines_next(&j->said, &line)) {
        uint32_t code = reply_code(line);

        if (code != 0 && code != 421 && j->said_count < j->expect_count) {
            const struct expect *e = &j->expects[j->said_count++ % EXPECT_MAX];

            if (e->kind == EXPECT_DOT) {
                book_said(s, e->message, code);
            }
        }
    }
}

static void injector_received(struct sim *s, struct net_conn *c, struct slice bytes)
{
    struct injector *j = c->peer_ctx;
    struct slice line;

    if (j->c != c) {
        return;
    }
    lines_put(s, &j->heard, bytes);
    j->heard_ns = s->now_ns;
    while (j->c == c && !j->silent && lines_next(&j->heard, &line)) {
        uint32_t code = reply_code(line);

        if (code == 421) {
            session_end(s, j);
        } else if (code != 0 && j->heard_count == j->expect_count) {
            sim_fail(s, "dialog", 0, "a reply that nobody waits for: %.*s", SLICE_ARG(line));
        } else if (code != 0) {
            struct expect e = j->expects[j->heard_count++ % EXPECT_MAX];

            on_reply(s, j, &e, code);
        }
    }
}

static void injector_ended(struct sim *s, struct net_conn *c, bool broken)
{
    struct injector *j = c->peer_ctx;

    if (j->c == c) {
        session_end(s, j);
    }
}

/* ---- sessions ---- */

static const struct net_peer injector_peer;

static void patience(struct sim *s, void *ctx, uint64_t session)
{
    struct injector *j = ctx;

    if (j->session != session || j->c == NULL) {
        return;
    }
    if (s->now_ns - j->heard_ns >= SILENCE_NS) {
        session_end(s, j);
    } else {
        sim_after(s, SILENCE_NS, patience, j, session);
    }
}

static void dial_due(struct sim *s, void *ctx, uint64_t arg)
{
    struct injector *j = ctx;
    struct ip_port from = {.ip = {.family = IP_V4,
                                  .bytes = {10, 1, (uint8_t)(j->number >> 8), (uint8_t)j->number}},
                           .port = (uint16_t)(1024 + j->session % 60000)};

    if (book_all_offered(s)) {
        s->peers->busy--;
        return;
    }
    j->expect_count = j->said_count = j->heard_count = 0;
    j->in_session = 0;
    j->silent = false;
    j->heard_ns = s->now_ns;
    expect(j, EXPECT_BANNER, 0);
    j->c = net_dial(s, from, listener_addr(), &injector_peer, j);
    sim_after(s, SILENCE_NS, patience, j, j->session);
}

static void dial_later(struct sim *s, struct injector *j, uint64_t delay_ns)
{
    sim_after(s, delay_ns, dial_due, j, 0);
}

static void injector_opened(struct sim *s, struct net_conn *c)
{
}

static const struct net_peer injector_peer = {
    .opened = injector_opened,
    .said = injector_said,
    .received = injector_received,
    .ended = injector_ended,
};

void injectors_start(struct sim *s)
{
    s->peers = sim_arena_take(s->arena, sizeof(*s->peers));
    s->peers->all = sim_arena_take(s->arena, s->plan.injectors * sizeof(*s->peers->all));
    s->peers->busy = s->plan.injectors;
    for (uint32_t i = 0; i < s->plan.injectors; i++) {
        s->peers->all[i].number = i + 1;
        dial_later(s, &s->peers->all[i], sim_spread(s, CHANCE_PEER, SIM_MS, SIM_S));
    }
}

bool injectors_idle(const struct sim *s)
{
    return s->peers->busy == 0;
}

/* Nobody has more to say: sessions under way end as they come to it. */
void peers_heal(struct sim *s)
{
    sim_note(s, SIM_LIFE, "%llu injectors are still at it", s->peers->busy, 0, 0);
}
