#include "tests/sim/check/book.h"

#include <string.h>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "tests/sim/sim_daemon.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_net.h"

#define LIVES_MAX 4096u
/* From a peer's 250 to the durable settle: the way back, and what waits to share a commit. */
#define SETTLE_NS (3 * SIM_S)

struct book_recipient {
    const struct net_conn *conn; /* of the last delivery */
    uint64_t said_at;            /* where in it the peer's 250 ended */
    uint64_t at_ns;
    uint32_t life;
    uint32_t delivered;
    bool taken, refused;
};

struct book_message {
    struct book_recipient to[BOOK_RECIPIENTS_MAX];
    uint8_t recipient_count;
    bool complete, durable, promised, rejected;
};

struct book_life {
    uint64_t end_ns;
    bool crashed;
};

struct book {
    struct book_message *all; /* by number */
    uint32_t offered;
    uint32_t first_open;
    uint64_t promised, delivered, repeated;
    struct book_life lives[LIVES_MAX];
};

struct book *book_new(struct sim *s)
{
    struct book *b = sim_arena_take(s->arena, sizeof(*b));

    b->all = sim_arena_take(s->arena, (s->plan.messages + 1) * sizeof(*b->all));
    s->book = b;
    return b;
}

static struct book_message *message_of(const struct sim *s, uint32_t message)
{
    MUST(message > 0 && message <= s->plan.messages);
    return &s->book->all[message];
}

uint32_t book_next(struct sim *s)
{
    struct book *b = s->book;

    if (b->offered == s->plan.messages) {
        return 0;
    }
    b->offered++;
    b->all[b->offered].recipient_count =
        (uint8_t)(1 + sim_below(s, CHANCE_PEER, s->plan.recipients_most));
    return b->offered;
}

bool book_all_offered(const struct sim *s)
{
    return s->book->offered == s->plan.messages;
}

uint32_t book_recipients(const struct sim *s, uint32_t message)
{
    return message_of(s, message)->recipient_count;
}

/* ---- bringing it ---- */

void book_recipient_taken(struct sim *s, uint32_t message, uint32_t index)
{
    message_of(s, message)->to[index].taken = true;
}

void book_complete(struct sim *s, uint32_t message)
{
    message_of(s, message)->complete = true;
    sim_note_message(s, SIM_MAIL, "message %llu: all of it has left for the daemon", message, 0,
                     0);
}

void book_said(struct sim *s, uint32_t message, uint32_t code)
{
    struct book_message *m = message_of(s, message);

    sim_note_message(s, SIM_MAIL, "message %llu: the daemon says %llu", message, code, 0);
    if (code != 250) {
        m->rejected = true;
        return;
    }
    if (!m->complete) {
        sim_fail(s, "whole", message, "250 for a message that has not been sent in full");
    }
    if (!m->durable) {
        sim_fail(s, "durable", message, "250 before the message would survive a power cut");
    }
    m->promised = true;
    s->book->promised++;
    life_probe(s, message);
}

void book_heard(struct sim *s, uint32_t message, uint32_t code)
{
    sim_note_message(s, SIM_MAIL, "message %llu: its sender hears %llu", message, code, 0);
}

void book_durable(struct sim *s, struct slice bytes)
{
    const char *at = bytes.ptr, *end = bytes.ptr + bytes.len;
    const size_t mark = sizeof(BOOK_TOKEN) - 1;

    while ((at = memmem(at, (size_t)(end - at), BOOK_TOKEN, mark)) != NULL) {
        struct slice number = slice_head(slice_of(at + mark, (size_t)(end - at) - mark), 10);
        uint64_t message;

        at += mark;
        if (slice_to_u64(number, &message) && message > 0 && message <= s->plan.messages &&
            !s->book->all[message].durable) {
            s->book->all[message].durable = true;
            sim_note_message(s, SIM_MAIL, "message %llu is durable", message, 0, 0);
        }
    }
}

/* ---- its end ---- */

/* The two headers that say where it has been, and no third one. */
static bool is_trace(struct slice text)
{
    static const char by[] = "\r\nReceived: from injector.sim (10.1.";
    const char *received = memmem(text.ptr, text.len, by, sizeof(by) - 1);
    const char *end = text.ptr + text.len;

    if (!slice_starts(text, SLICE("X-KumoRef: ")) || received == NULL ||
        !slice_ends(text, SLICE("\r\n"))) {
        return false;
    }
    while ((received = memchr(received + 2, '\n', (size_t)(end - received) - 2)) != NULL) {
        if (received + 1 < end && received[1] != ' ') {
            return false;
        }
        if (received + 2 >= end) {
            break;
        }
    }
    return true;
}

static void content_check(struct sim *s, uint32_t message, struct slice content)
{
    struct buf want = {0};
    struct slice trace;

    book_content_put(s, message, &want);
    if (!slice_ends(content, buf_slice(&want))) {
        sim_fail(s, "content", message, "%zu bytes arrive that do not end in the %zu accepted",
                 content.len, want.len);
    }
    trace = slice_head(content, content.len - want.len);
    if (!is_trace(trace)) {
        sim_fail(s, "content", message, "these are not the trace headers, before the content: %.*s",
                 SLICE_ARG(trace));
    }
    buf_free(&want);
}

/* Why a delivery may come again: nobody can have known that the first one succeeded. */
static bool was_in_doubt(const struct sim *s, const struct book_recipient *r,
                         const struct net_conn *c)
{
    const struct book_life *life = &s->book->lives[r->life % LIVES_MAX];

    if (r->conn->in_read < r->said_at || c->shard == NULL) {
        return true; /* the daemon has given up one of the two connections */
    }
    if (r->life == s->life) {
        return false;
    }
    return (life->crashed && life->end_ns - r->at_ns < SETTLE_NS) ||
           disk_troubled_since(s->disk, r->at_ns);
}

void book_delivered(struct sim *s, uint32_t message, uint32_t index, struct slice content,
                    const struct net_conn *c, uint64_t said_at)
{
    struct book_message *m = message_of(s, message);
    struct book_recipient *r = &m->to[index];

    sim_note_message(s, SIM_MAIL, "message %llu: delivered to recipient %llu on conn %llu",
                     message, index, c->id);
    if (!m->complete || m->rejected) {
        sim_fail(s, "refused", message, "delivered, and was %s",
                 m->rejected ? "refused" : "never complete");
    }
    if (!r->taken) {
        sim_fail(s, "recipient", message, "delivered to recipient %u, who was refused", index);
    }
    content_check(s, message, content);
    if (r->delivered > 0 && !was_in_doubt(s, r, c)) {
        sim_fail(s, "once", message,
                 "recipient %u gets it again; the first time, %llu ms before in life %u, was known "
                 "to have succeeded", index,
                 (unsigned long long)((s->now_ns - r->at_ns) / SIM_MS), r->life);
    }
    s->book->repeated += r->delivered > 0;
    s->book->delivered += r->delivered == 0;
    r->delivered++;
    r->conn = c;
    r->said_at = said_at;
    r->at_ns = s->now_ns;
    r->life = s->life;
}

void book_refused(struct sim *s, uint32_t message, uint32_t index)
{
    sim_note_message(s, SIM_MAIL, "message %llu: recipient %llu refused for ever", message, index,
                     0);
    message_of(s, message)->to[index].refused = true;
}

/* ---- lives, and the end ---- */

void book_life_ended(struct sim *s, bool crashed)
{
    s->book->lives[s->life % LIVES_MAX] = (struct book_life){s->now_ns, crashed};
}

uint32_t book_offered(const struct sim *s)
{
    return s->book->offered;
}

uint64_t book_promised(const struct sim *s)
{
    return s->book->promised;
}

uint64_t book_delivered_count(const struct sim *s)
{
    return s->book->delivered;
}

uint64_t book_repeated_count(const struct sim *s)
{
    return s->book->repeated;
}

uint32_t book_first_open(const struct sim *s)
{
    for (uint32_t i = 1; i <= s->book->offered; i++) {
        const struct book_message *m = &s->book->all[i];

        for (uint32_t k = 0; m->promised && k < m->recipient_count; k++) {
            if (m->to[k].taken && m->to[k].delivered == 0 && !m->to[k].refused) {
                return i;
            }
        }
    }
    return 0;
}

void book_check_end(struct sim *s)
{
    uint32_t open = book_first_open(s);

    if (open != 0) {
        sim_fail(s, "lost", open, "promised, and neither delivered nor refused, nor queued");
    }
}
