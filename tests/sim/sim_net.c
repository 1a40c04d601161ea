#include "tests/sim/sim_net.h"

#include <errno.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/sim_shard.h"

#define SERVED_MAX 64u
#define LOST_NS (130 * SIM_S) /* when a kernel gives up on a peer that is silent */

struct served {
    struct ip_port at;
    const struct net_peer *peer;
    void *ctx;
};

struct sim_net {
    struct served served[SERVED_MAX];
    uint32_t served_count;
    struct net_conn **conns; /* with an end at the daemon */
    uint32_t conn_count, conn_cap;
    uint32_t conn_id;
    struct net_listener *listeners; /* of the life */
    struct sim_net_counts counts;
};

struct sim_net *net_new(struct sim *s)
{
    s->net = sim_arena_take(s->arena, sizeof(*s->net));
    return s->net;
}

const struct sim_net_counts *net_counts(const struct sim_net *n)
{
    return &n->counts;
}

static void breaks(struct sim *s, void *ctx, uint64_t arg)
{
    net_break(s, ctx);
}

/* Neither end looks at its bytes any more. */
static void conn_rest(struct sim *s, struct net_conn *c)
{
    if (c->shard == NULL && c->peer_closed) {
        bytes_free(s->arena, &c->in);
        bytes_free(s->arena, &c->out);
    }
}

static uint64_t hop_ns(struct sim *s, const struct net_conn *c)
{
    return c->delay_ns / 2 + sim_below(s, CHANCE_NET, c->delay_ns + 1);
}

static bool same(const struct ip_port *a, const struct ip_port *b)
{
    return a->port == b->port && ip_eq(&a->ip, &b->ip);
}

struct net_conn *net_conn_new(struct sim *s, struct sim_shard *shard)
{
    struct sim_net *n = s->net;
    struct net_conn *c = sim_arena_take(s->arena, sizeof(*c));

    if (n->conn_count == n->conn_cap) {
        uint32_t cap = n->conn_cap != 0 ? n->conn_cap * 2 : 64;

        n->conns = sim_arena_grow(s->arena, n->conns, n->conn_cap * sizeof(*n->conns),
                              cap * sizeof(*n->conns));
        n->conn_cap = cap;
    }
    n->conns[n->conn_count++] = c;
    c->id = ++n->conn_id;
    c->shard = shard;
    c->delay_ns = s->plan.net_delay_us * SIM_US;
    c->window = UINT64_C(4096) << sim_below(s, CHANCE_NET, 8);
    return c;
}

static void conn_forget(struct sim_net *n, struct net_conn *c)
{
    for (uint32_t i = 0; i < n->conn_count; i++) {
        if (n->conns[i] == c) {
            n->conns[i] = n->conns[--n->conn_count];
            return;
        }
    }
}

/* ---- towards the daemon ---- */

static void recv_end(struct net_conn *c, int32_t res)
{
    struct ring_op *op = c->recv;

    c->recv = NULL;
    shard_complete(c->shard, op, res, 0);
}

/* A piece of what has arrived; false: there is no buffer for it. */
static bool recv_piece(struct sim *s, struct net_conn *c)
{
    struct slice got = bytes_slice(&c->in);
    struct ring_op *op = c->recv;
    uint32_t flags;
    size_t n = got.len < RING_BUFFER_SIZE ? got.len : RING_BUFFER_SIZE;

    if (n > 1 && sim_below(s, CHANCE_NET, 3) == 0) {
        n = 1 + sim_below(s, CHANCE_NET, n);
    }
    if (!shard_buffer_take(c->shard, op->group, slice_head(got, n), &flags)) {
        return false;
    }
    if (!sim_chance(s, CHANCE_NET, s->plan.faults[FAULT_RECV_ENDS])) {
        flags |= RING_MORE;
    } else {
        c->recv = NULL;
    }
    bytes_drop(&c->in, n);
    c->in_read += n;
    s->net->counts.bytes_in += n;
    sim_note(s, SIM_NET, "conn %llu: daemon reads %llu, %llu left", c->id, n, c->in.len);
    shard_complete(c->shard, op, (int32_t)n, flags);
    return true;
}

static void in_pump(struct sim *s, struct net_conn *c, uint64_t delay_ns);

static void in_pumped(struct sim *s, void *ctx, uint64_t arg)
{
    struct net_conn *c = ctx;

    c->in_pump = false;
    if (c->shard == NULL || c->recv == NULL) {
        return;
    }
    if (c->broken) {
        recv_end(c, -ECONNRESET);
    } else if (c->in.len > 0) {
        if (!recv_piece(s, c)) {
            in_pump(s, c, SIM_MS); /* no buffer: when one comes back */
            return;
        }
    } else if (c->in_eof) {
        recv_end(c, 0);
    }
    if (c->in.len > 0 || c->in_eof) {
        in_pump(s, c, hop_ns(s, c) / 4);
    }
}

static void in_pump(struct sim *s, struct net_conn *c, uint64_t delay_ns)
{
    if (!c->in_pump) {
        c->in_pump = true;
        sim_after(s, delay_ns, in_pumped, c, 0);
    }
}

void net_recv(struct sim *s, struct net_conn *c, struct ring_op *op)
{
    MUST(c->recv == NULL);
    c->recv = op;
    if (c->in.len > 0 || c->in_eof || c->broken) {
        in_pump(s, c, SIM_US);
    }
}

void net_say(struct sim *s, struct net_conn *c, struct slice bytes)
{
    if (c->broken || c->peer_closed || c->in_eof) {
        return;
    }
    if (!s->faults_off && sim_chance(s, CHANCE_NET, s->plan.faults[FAULT_NET_RESET])) {
        bytes = slice_head(bytes, sim_below(s, CHANCE_NET, bytes.len + 1));
        sim_after(s, hop_ns(s, c), breaks, c, 0);
    }
    bytes_put(s->arena, &c->in, bytes);
    c->in_total += bytes.len;
    in_pump(s, c, hop_ns(s, c));
}

void net_hang_up(struct sim *s, struct net_conn *c)
{
    c->in_eof = c->peer_closed = true;
    in_pump(s, c, hop_ns(s, c));
}

/* ---- towards the peer ---- */

static void out_pump(struct sim *s, struct net_conn *c, uint64_t delay_ns);

static void send_end(struct net_conn *c, int32_t res)
{
    struct ring_op *op = c->send;

    c->send = NULL;
    shard_complete(c->shard, op, res, 0);
}

/* The bytes of an op from `at` on, as far as they lie in one piece. */
static struct slice send_piece(const struct ring_op *op, uint32_t at)
{
    const struct msghdr *msg = op->ptr;

    if (op->kind == RING_SEND) {
        return slice_of((const char *)op->ptr + at, op->len - at);
    }
    for (size_t i = 0; i < msg->msg_iovlen; i++) {
        if (at < msg->msg_iov[i].iov_len) {
            return slice_of((const char *)msg->msg_iov[i].iov_base + at,
                            msg->msg_iov[i].iov_len - at);
        }
        at -= (uint32_t)msg->msg_iov[i].iov_len;
    }
    return SLICE("");
}

static void send_progress(struct sim *s, struct net_conn *c)
{
    while (c->send != NULL && c->send_done < c->send->len && c->out.len < c->window) {
        struct slice piece = slice_head(send_piece(c->send, c->send_done),
                                        c->window - c->out.len);

        bytes_put(s->arena, &c->out, piece);
        c->send_done += (uint32_t)piece.len;
    }
    if (c->send != NULL && c->send_done == c->send->len) {
        send_end(c, (int32_t)c->send->len);
    }
    if (c->out.len > 0) {
        out_pump(s, c, hop_ns(s, c));
    }
}

void net_send(struct sim *s, struct net_conn *c, struct ring_op *op)
{
    MUST(c->send == NULL);
    c->send = op;
    c->send_done = 0;
    s->net->counts.bytes_out += op->len;
    if (c->broken || c->out_eof) {
        send_end(c, -EPIPE);
        return;
    }
    for (uint32_t at = 0; at < op->len;) {
        struct slice piece = send_piece(op, at);

        c->peer->said(s, c, piece);
        at += (uint32_t)piece.len;
    }
    send_progress(s, c);
}

static void out_pumped(struct sim *s, void *ctx, uint64_t arg)
{
    struct net_conn *c = ctx;
    size_t n = c->out.len;

    c->out_pump = false;
    if (c->peer_closed || c->broken) {
        bytes_drop(&c->out, n);
    } else if (n > 0) {
        struct sim_bytes piece = {0};

        n = sim_below(s, CHANCE_NET, 3) == 0 ? 1 + sim_below(s, CHANCE_NET, n) : n;
        bytes_put(s->arena, &piece, slice_head(bytes_slice(&c->out), n));
        bytes_drop(&c->out, n);
        c->peer->received(s, c, bytes_slice(&piece));
        bytes_free(s->arena, &piece);
    }
    if (c->shard != NULL && c->send != NULL) {
        send_progress(s, c);
    }
    if (c->out.len > 0) {
        out_pump(s, c, hop_ns(s, c) / 4);
    } else if (c->out_eof && !c->peer_closed && !c->broken) {
        c->peer_closed = true;
        c->peer->ended(s, c, false);
    }
    conn_rest(s, c);
}

static void out_pump(struct sim *s, struct net_conn *c, uint64_t delay_ns)
{
    if (!c->out_pump) {
        c->out_pump = true;
        sim_after(s, delay_ns, out_pumped, c, 0);
    }
}

void net_shutdown(struct sim *s, struct net_conn *c)
{
    c->out_eof = true;
    out_pump(s, c, hop_ns(s, c));
}

/* Both ends hear of it, each in its time. */
void net_break(struct sim *s, struct net_conn *c)
{
    if (c->broken) {
        return;
    }
    c->broken = true;
    s->net->counts.resets++;
    sim_note(s, SIM_NET, "conn %llu breaks", c->id, 0, 0);
    bytes_drop(&c->in, c->in.len);
    bytes_drop(&c->out, c->out.len);
    if (c->shard != NULL && c->send != NULL) {
        send_end(c, -ECONNRESET);
    }
    if (c->recv != NULL) {
        in_pump(s, c, hop_ns(s, c));
    }
    if (!c->peer_closed) {
        c->peer_closed = true;
        c->peer->ended(s, c, true);
    }
    conn_rest(s, c);
}

int32_t net_cancel(struct net_conn *c, const struct ring_op *op)
{
    int32_t count = 0;

    if (c->recv != NULL && (op == NULL || op == c->recv)) {
        recv_end(c, -ECANCELED);
        count++;
    }
    if (c->send != NULL && (op == NULL || op == c->send)) {
        send_end(c, -ECANCELED);
        count++;
    }
    return count;
}

void net_close(struct sim *s, struct net_conn *c)
{
    MUST(c->recv == NULL && c->send == NULL);
    sim_note(s, SIM_NET, "conn %llu: the daemon closes", c->id, 0, 0);
    c->shard = NULL;
    conn_forget(s->net, c);
    if (c->peer == NULL) {
        return; /* never connected */
    }
    if (c->in.len > 0) {
        net_break(s, c); /* what was not read: the kernel answers with a reset */
    } else {
        net_shutdown(s, c);
    }
}

/* ---- connections to the daemon ---- */

void net_listen(struct sim *s, struct net_listener *l)
{
    l->next = s->net->listeners;
    s->net->listeners = l;
}

void net_unlisten(struct sim *s, struct net_listener *l)
{
    struct net_listener **at = &s->net->listeners;

    while (*at != l) {
        at = &(*at)->next;
    }
    *at = l->next;
    for (uint32_t i = 0; i < l->backlog_count; i++) {
        conn_forget(s->net, l->backlog[i]);
        net_break(s, l->backlog[i]);
    }
}

bool net_is_taken(const struct sim *s, const struct ip_port *addr)
{
    const struct net_listener *l = s->net->listeners;

    while (l != NULL && !same(&l->addr, addr)) {
        l = l->next;
    }
    return l != NULL;
}

static void accept_progress(struct sim *s, struct net_listener *l)
{
    while (l->accept != NULL && l->backlog_count > 0) {
        struct net_conn *c = l->backlog[0];

        memmove(&l->backlog[0], &l->backlog[1], --l->backlog_count * sizeof(struct net_conn *));
        c->accepted = true;
        c->shard = l->shard;
        s->net->counts.inbound++;
        sim_note(s, SIM_NET, "conn %llu: accepted by shard %llu", c->id, l->shard->index, 0);
        shard_complete(l->shard, l->accept, shard_fd_conn(l->shard, c), RING_MORE);
        c->peer->opened(s, c);
    }
}

void net_accept(struct sim *s, struct net_listener *l, struct ring_op *op)
{
    l->accept = op;
    accept_progress(s, l);
}

static void dialled(struct sim *s, void *ctx, uint64_t arg)
{
    struct net_conn *c = ctx;
    struct net_listener *all[SHARD_COUNT_MAX];
    uint32_t count = 0;

    for (struct net_listener *l = s->net->listeners; s->alive && l != NULL; l = l->next) {
        if (same(&l->addr, &c->local) && l->backlog_count < ARRAY_COUNT(l->backlog)) {
            all[count++] = l;
        }
    }
    if (count == 0) {
        conn_forget(s->net, c);
        c->peer_closed = c->broken = true;
        c->peer->ended(s, c, true);
        return;
    }
    struct net_listener *l = all[sim_below(s, CHANCE_NET, count)];

    l->backlog[l->backlog_count++] = c;
    accept_progress(s, l);
}

struct net_conn *net_dial(struct sim *s, struct ip_port from, struct ip_port to,
                          const struct net_peer *peer, void *ctx)
{
    struct net_conn *c = net_conn_new(s, NULL);

    c->local = to;
    c->remote = from;
    c->peer = peer;
    c->peer_ctx = ctx;
    sim_after(s, hop_ns(s, c), dialled, c, 0);
    return c;
}

/* ---- connections of the daemon ---- */

void net_serve(struct sim *s, struct ip_port at, const struct net_peer *peer, void *ctx)
{
    MUST(s->net->served_count < SERVED_MAX);
    s->net->served[s->net->served_count++] = (struct served){at, peer, ctx};
}

static const struct served *served_find(const struct sim_net *n, const struct ip_port *to)
{
    for (uint32_t i = 0; i < n->served_count; i++) {
        if (same(&n->served[i].at, to)) {
            return &n->served[i];
        }
    }
    return NULL;
}

static void connected(struct sim *s, void *ctx, uint64_t res)
{
    struct net_conn *c = ctx;
    const struct served *at;

    if (c->send == NULL) {
        return; /* given up meanwhile */
    }
    at = served_find(s->net, &c->remote);
    if (res == 0 && at != NULL) {
        c->connected = true;
        c->peer = at->peer;
        c->peer_ctx = at->ctx;
        send_end(c, 0);
        c->peer->opened(s, c);
    } else {
        send_end(c, res != 0 ? (int32_t)res : -ECONNREFUSED);
    }
}

/* The op waits in c->send: nothing is sent before it completes. */
void net_connect(struct sim *s, struct net_conn *c, struct ring_op *op)
{
    int64_t res = 0;
    uint64_t delay_ns = hop_ns(s, c) * 2;

    MUST(c->send == NULL);
    c->send = op;
    c->outbound = true;
    c->remote = *(const struct ip_port *)op->ptr;
    if (net_count_to(s, &c->remote) > s->plan.connection_limit) {
        sim_fail(s, "limit", 0, "%u connections to one site, %u are allowed",
                 net_count_to(s, &c->remote), s->plan.connection_limit);
    }
    s->net->counts.outbound++;
    if (!s->faults_off && sim_chance(s, CHANCE_NET, s->plan.faults[FAULT_CONNECT_REFUSED])) {
        res = -ECONNREFUSED;
        s->net->counts.refused++;
    } else if (!s->faults_off && sim_chance(s, CHANCE_NET, s->plan.faults[FAULT_CONNECT_LOST])) {
        res = -ETIMEDOUT;
        delay_ns = LOST_NS;
        s->net->counts.lost++;
    }
    sim_note(s, SIM_NET, "conn %llu: the daemon connects to port %llu, result %llu", c->id,
             c->remote.port, (uint64_t)-res);
    sim_after_here(s, delay_ns, connected, c, (uint64_t)res);
}

uint32_t net_count_to(const struct sim *s, const struct ip_port *to)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < s->net->conn_count; i++) {
        const struct net_conn *c = s->net->conns[i];

        count += c->outbound && same(&c->remote, to);
    }
    return count;
}

/* ---- the end ---- */

void net_process_ended(struct sim *s, bool cut)
{
    struct sim_net *n = s->net;

    n->listeners = NULL;
    while (n->conn_count > 0) {
        struct net_conn *c = n->conns[--n->conn_count];

        c->shard = NULL;
        c->recv = c->send = NULL;
        if (c->peer == NULL) {
            continue;
        }
        if (!cut) { /* its kernel closes what it had */
            c->out_eof = true;
            out_pump(s, c, hop_ns(s, c));
        } else {
            c->in_eof = true; /* and nothing of what waits in its machine leaves it */
            bytes_drop(&c->out, c->out.len);
            sim_after(s, sim_spread(s, CHANCE_NET, SIM_MS, LOST_NS), breaks, c, 0);
        }
    }
}
