#include "core/ingress/session.h"

#include "core/base/diag.h"
#include "core/base/mem.h"
#include "core/base/uuid.h"
#include "core/log/log.h"

static void session_free_if_done(struct session *s);

struct slice session_hostname(const struct session *s)
{
    return s->config->hostname != NULL ? slice_str(s->config->hostname) : s->ingress->hostname;
}

/* ---- life ---- */

static void session_received(struct conn *c, struct slice bytes);
static void session_sent(struct conn *c);
static void session_ended(struct conn *c, enum conn_end end);
static void session_conn_closed(struct conn *c);
static void session_idle(struct timer *t);
static void session_go_on(struct post *p);

static const struct conn_events session_events = {
    .received = session_received,
    .sent = session_sent,
    .ended = session_ended,
    .closed = session_conn_closed,
};

static void meta_set_addr(struct meta *m, struct slice name, const struct ip_port *addr)
{
    struct buf text = {0};

    ip_port_put(&text, addr);
    meta_set_string(m, name, buf_slice(&text));
    buf_free(&text);
}

/* The listener's own metadata, key by key. */
void session_add_meta(struct session *s)
{
    const struct json *root = s->config->meta.root;
    struct buf text = {0};

    for (const struct json *v = root != NULL ? root->first : NULL; v != NULL; v = v->next) {
        buf_clear(&text);
        json_write(&text, v);
        meta_set(&s->meta, v->key, buf_slice(&text));
    }
    buf_free(&text);
}

static void session_init_meta(struct session *s)
{
    meta_set_string(&s->meta, SLICE("reception_protocol"), SLICE("ESMTP"));
    meta_set_addr(&s->meta, SLICE("received_via"), &s->local);
    meta_set_addr(&s->meta, SLICE("received_from"), &s->peer);
    meta_set_string(&s->meta, SLICE("hostname"), session_hostname(s));
    session_add_meta(s);
}

void session_arm_idle(struct session *s)
{
    struct shard *sh = s->ingress->shard;

    timer_arm(&sh->timers, &s->idle,
              shard_now_ms(sh) + s->config->client_timeout / 1000000u);
}

void session_open(struct ingress_listener *l, int fd)
{
    struct ingress *in = l->ingress;
    struct ring *ring = &in->shard->ring;
    struct session *s = MEM_NEW(struct session);
    struct uuid id = uuid_v4(ring_random(ring), ring_random(ring));

    s->ingress = in;
    s->listener = l;
    s->config = &l->endpoint->config.params;
    s->idle.fn = session_idle;
    s->go_on.fn = session_go_on;
    memcpy(s->id, id.bytes, sizeof(s->id));
    (void)ring->backend->sock_names(ring, fd, &s->local, &s->peer);
    atomic_fetch_add_explicit(&l->endpoint->session_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&in->room->session_count, 1, memory_order_relaxed);
    in->session_count++;
    in->counters.session_count++;
    dlist_push(&in->sessions, &s->link);
    session_init_meta(s);
    s->smtp = smtp_server_new(&l->limits);
    session_apply_overlays(s);
    conn_open(&s->conn, in->shard, fd, RING_INGRESS, &session_events);
    session_arm_idle(s);
    session_run(s, smtp_server_start(s->smtp, conn_out(&s->conn)));
}

static void room_leave(struct ingress_room *room)
{
    uint32_t before = atomic_fetch_sub_explicit(&room->session_count, 1, memory_order_relaxed);

    if (before <= room->session_max / 2 &&
        atomic_load_explicit(&room->told, memory_order_relaxed)) {
        atomic_store_explicit(&room->told, false, memory_order_relaxed);
    }
}

static void session_free_if_done(struct session *s)
{
    struct ingress *in = s->ingress;

    if (!s->conn_closed || s->running || s->intake != NULL) {
        return;
    }
    timer_cancel(&in->shard->timers, &s->idle);
    shard_unpost(in->shard, &s->go_on);
    if (s->call != NULL) {
        vm_call_end(&s->call);
    }
    session_unstage(s);
    dlist_remove(&s->link);
    relay_forget(s);
    smtp_server_free(&s->smtp);
    meta_free(&s->meta);
    buf_free(&s->input);
    buf_free(&s->answer_text);
    session_overlays_free(s);
    MEM_FREE(&s->own_limits);
    atomic_fetch_sub_explicit(&s->listener->endpoint->session_count, 1, memory_order_relaxed);
    room_leave(in->room);
    in->session_count--;
    mem_give(s);
    ingress_drained_check(in);
}

static void session_close(struct session *s, bool now)
{
    if (!s->closing) {
        s->closing = true;
        /* A peer that does not read must not keep the session for ever. */
        session_arm_idle(s);
    }
    conn_close(&s->conn, now);
}

static void session_conn_closed(struct conn *c)
{
    struct session *s = CONTAINER_OF(c, struct session, conn);

    s->conn_closed = true;
    session_free_if_done(s);
}

/* A peer that has sent all it had may still read what comes of it. */
static void session_ended(struct conn *c, enum conn_end end)
{
    struct session *s = CONTAINER_OF(c, struct session, conn);

    s->hung_up = true;
    s->peer_gone = end != CONN_PEER_EOF;
    if (s->asked && (s->intake != NULL || !s->peer_gone)) {
        return; /* session_step() closes after the answer */
    }
    if (dlist_linked(&s->go_on.link) && !s->peer_gone) {
        return; /* and after what it has sent is served */
    }
    session_close(s, s->peer_gone);
}

void session_cut(struct session *s)
{
    s->peer_gone = true;
    session_close(s, true);
}

/* ---- the loop ---- */

/* Bytes that were kept and not served yet. */
static struct slice session_kept(const struct session *s)
{
    return slice_from(buf_slice(&s->input), s->input_at);
}

static void session_keep(struct session *s, struct slice bytes)
{
    if (s->input_at > s->input.len / 2) { /* moves each byte once, on the average */
        buf_consume(&s->input, s->input_at);
        s->input_at = 0;
    }
    buf_put(&s->input, bytes);
}

static void session_kept_served(struct session *s, size_t used)
{
    s->input_at += (uint32_t)used;
    if (s->input_at == s->input.len) {
        buf_clear(&s->input);
        s->input_at = 0;
    }
}

/* Feeds what is there, kept bytes first; the protocol may stop in the middle with a question. */
static enum smtp_server_step session_feed(struct session *s)
{
    struct slice kept = slice_head(session_kept(s), SESSION_FEED_MAX);
    size_t used = 0;
    enum smtp_server_step step =
        smtp_server_feed(s->smtp, kept.len > 0 ? kept : s->fresh, &used, conn_out(&s->conn));

    if (kept.len > 0) {
        session_kept_served(s, used);
    } else {
        s->fresh = slice_from(s->fresh, used);
    }
    return step;
}

static bool session_has_input(const struct session *s)
{
    return s->input.len > 0 || s->fresh.len > 0;
}

/* One peer with megabytes of commands must not keep the others waiting. What takes time is
 * questions and replies; the bytes of a message cost next to nothing. */
static bool session_has_had_its_share(struct session *s)
{
    const struct shard *sh = s->ingress->shard;

    if (s->turn != sh->turn_count) {
        s->turn = sh->turn_count;
        s->work_done = 0;
    }
    return s->work_done >= SESSION_TURN_WORK;
}

/* The peer does not read its replies: no command of its is carried out before it does. */
static bool session_is_clogged(struct session *s)
{
    if (conn_out(&s->conn)->len <= SESSION_OUTPUT_MAX) {
        return false;
    }
    conn_flush(&s->conn);
    return conn_out(&s->conn)->len > SESSION_OUTPUT_MAX;
}

/* There is nothing to feed: true when the session ends because of that. */
static bool session_starve(struct session *s)
{
    if (s->closing) {
        return false;
    }
    if (s->hung_up) {
        session_close(s, s->peer_gone);
    } else if (s->ingress->draining && !session_has_input(s)) {
        s->step = (uint8_t)smtp_server_shutdown(s->smtp, conn_out(&s->conn));
        return true;
    }
    return false;
}

/* It goes on behind the others; or ends here: a drain does not wait for a peer that says more and
 * more. True when the session ends. */
static bool session_queue_up(struct session *s)
{
    if (s->ingress->draining) {
        s->step = (uint8_t)smtp_server_shutdown(s->smtp, conn_out(&s->conn));
        return true;
    }
    shard_post(s->ingress->shard, &s->go_on);
    return false;
}

/* Feeds, and counts the work that came of it. */
static void session_feed_counted(struct session *s)
{
    size_t staged = conn_out(&s->conn)->len;

    s->step = (uint8_t)session_feed(s);
    s->work_done += (uint32_t)((conn_out(&s->conn)->len - staged) / SESSION_WORK_OUTPUT);
    s->work_done += s->step != SMTP_SERVER_FEED ? 1 : 0;
}

/* One step; false when input or an answer has to come first. */
static bool session_step(struct session *s)
{
    enum smtp_server_step step = s->step;

    switch (step) {
    case SMTP_SERVER_FEED:
        if (session_is_clogged(s) || !session_has_input(s)) {
            return session_starve(s);
        }
        if (session_has_had_its_share(s)) {
            return session_queue_up(s);
        }
        session_feed_counted(s);
        return true;
    case SMTP_SERVER_REFUSED:
        session_record_refusal(s);
        s->step = (uint8_t)session_feed(s);
        return true;
    case SMTP_SERVER_ASK:
        s->asked = true;
        session_ask(s);
        return !s->asked;
    case SMTP_SERVER_REWRITE:
        s->asked = true;
        session_ask_rewrite(s);
        return !s->asked;
    case SMTP_SERVER_CLOSE:
        session_close(s, s->peer_gone);
        return false;
    }
    return false;
}

/* Nothing more can be done now: send what there is, receive if more is wanted. */
static void session_rest(struct session *s)
{
    struct ingress *in = s->ingress;

    if (s->fresh.len > 0) {
        session_keep(s, s->fresh);
        s->fresh = SLICE("");
    }
    if (s->closing) {
        return;
    }
    session_stage(s);
    conn_flush(&s->conn);
    if (session_kept(s).len > SESSION_INPUT_MAX || session_is_clogged(s)) {
        conn_pause(&s->conn);
    } else if (!dlist_linked(&s->starved_link)) {
        if (s->input.len == 0 && s->input.cap > 0) {
            buf_free(&s->input);
        }
        conn_resume(&s->conn);
    }
    if (!dlist_empty(&in->starved)) {
        ingress_feed_starved(in);
    }
}

/* Iterates, never recurses: a peer that pipelines thousands of commands costs no stack. */
void session_run(struct session *s, enum smtp_server_step step)
{
    s->step = (uint8_t)step;
    s->asked = false;
    if (s->running) {
        return; /* the loop below is further up on the stack and goes on */
    }
    s->running = true;
    while (session_step(s)) {
    }
    s->running = false;
    session_rest(s);
    session_free_if_done(s);
}

static void session_received(struct conn *c, struct slice bytes)
{
    struct session *s = CONTAINER_OF(c, struct session, conn);

    if (s->closing) {
        return;
    }
    session_arm_idle(s);
    if (s->asked || dlist_linked(&s->go_on.link)) { /* a question is open, or it is others' turn */
        session_keep(s, bytes);
        if (session_kept(s).len > SESSION_INPUT_MAX) {
            conn_pause(&s->conn);
        }
        return;
    }
    s->fresh = bytes;
    session_run(s, SMTP_SERVER_FEED);
}

/* Everybody else has been served: on with what is kept. */
static void session_go_on(struct post *p)
{
    struct session *s = CONTAINER_OF(p, struct session, go_on);

    if (!s->closing && !s->asked) {
        s->work_done = 0;
        session_run(s, SMTP_SERVER_FEED);
    }
}

static void session_sent(struct conn *c)
{
    struct session *s = CONTAINER_OF(c, struct session, conn);

    if (!s->closing && !s->asked && s->conn.paused && !dlist_linked(&s->starved_link)) {
        session_arm_idle(s);
        session_run(s, SMTP_SERVER_FEED);
    }
}

/* ---- answers ---- */

void session_answer(struct session *s, const struct smtp_answer *answer)
{
    s->phase = PHASE_NONE;
    session_run(s, smtp_server_answer(s->smtp, answer, conn_out(&s->conn)));
}

void session_reply(struct session *s, uint16_t code, struct slice text)
{
    const struct smtp_answer answer = {.code = code, .text = text};

    session_answer(s, &answer);
}

void session_replyf(struct session *s, uint16_t code, const char *fmt, ...)
{
    va_list ap;

    buf_clear(&s->answer_text);
    va_start(ap, fmt);
    buf_vprintf(&s->answer_text, fmt, ap);
    va_end(ap);
    session_reply(s, code, buf_slice(&s->answer_text));
}

void session_complain(struct session *s, const char *what, struct slice detail)
{
    struct buf peer = {0};

    if (s->ingress->diag != NULL) {
        ip_port_put(&peer, &s->peer);
        diag_error(s->ingress->diag, "smtp_server", "%.*s: %s: %.*s", SLICE_ARG(buf_slice(&peer)),
                   what, SLICE_ARG(detail));
        buf_free(&peer);
    }
}

void session_fail(struct session *s, struct slice detail)
{
    session_complain(s, "Error in SmtpServerSession", detail);
    s->phase = PHASE_NONE;
    session_run(s, smtp_server_fail(s->smtp, detail, conn_out(&s->conn)));
}

bool session_take_failure(struct session *s, const struct vm_result *result)
{
    static const uint8_t after[] = {
        [VM_IF_421] = SMTP_AFTER_STAY,
        [VM_FORCE_DISCONNECT] = SMTP_AFTER_CLOSE,
        [VM_FOLLOW_WITH_421] = SMTP_AFTER_CLOSE_421,
    };

    if (result->status == VM_REJECTED) {
        const struct smtp_answer answer = {
            .code = result->code, .text = result->text, .after = after[result->disconnect]};

        session_answer(s, &answer);
        return true;
    }
    if (result->status == VM_ERROR) {
        session_fail(s, result->text);
        return true;
    }
    return false;
}

/* ---- endings ---- */

static void session_idle(struct timer *t)
{
    struct session *s = CONTAINER_OF(t, struct session, idle);

    if (s->closing) {
        conn_close(&s->conn, true);
    } else if (s->asked || dlist_linked(&s->starved_link) || dlist_linked(&s->go_on.link)) {
        session_arm_idle(s); /* the peer waits for us, not we for it */
    } else {
        session_run(s, smtp_server_idle(s->smtp, conn_out(&s->conn)));
    }
}

void session_shutdown(struct session *s)
{
    if (!s->closing && !s->asked) {
        session_run(s, SMTP_SERVER_FEED);
    }
}
