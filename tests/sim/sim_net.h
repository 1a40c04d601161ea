/*
 * sim_net - connections between the daemon and the peers of a run.
 *
 * A connection has two ends: a descriptor of the daemon, driven through its ring's operations,
 * and a peer, driven through struct net_peer. Bytes arrive late and in pieces; what one end does
 * not read fills a window, and then the other waits. The order within a stream is kept.
 *
 * Owner     the run; in its arena. What belongs to the daemon's end is of its life.
 */
#pragma once

#include "core/base/ip.h"
#include "core/shard/ring.h"
#include "tests/sim/sim.h"

struct net_conn;
struct sim_shard;

/* What a peer is told. The bytes are borrowed. */
struct net_peer {
    void (*opened)(struct sim *s, struct net_conn *c);
    /* The daemon hands bytes to its kernel: what it promises in them, it promises now. */
    void (*said)(struct sim *s, struct net_conn *c, struct slice bytes);
    void (*received)(struct sim *s, struct net_conn *c, struct slice bytes);
    /* Nothing more comes: the daemon closed, or the line broke. */
    void (*ended)(struct sim *s, struct net_conn *c, bool broken);
};

struct net_conn {
    uint32_t id;
    const struct net_peer *peer;
    void *peer_ctx;
    struct ip_port local, remote; /* as the daemon sees them */
    uint64_t delay_ns, window;
    /* ---- towards the daemon ---- */
    struct sim_bytes in;
    uint64_t in_total;  /* bytes the peer has sent */
    uint64_t in_read;   /* of them, bytes the daemon has read */
    bool in_pump, in_eof, broken;
    /* ---- towards the peer ---- */
    struct sim_bytes out;
    bool out_pump, out_eof, peer_closed;
    /* ---- the daemon's end ---- */
    struct sim_shard *shard; /* NULL: it has none any more */
    struct ring_op *recv, *send;
    uint32_t send_done;
    bool outbound, connected, accepted;
};

struct sim_net_counts {
    uint64_t inbound, outbound, refused, lost, resets, bytes_in, bytes_out;
};

struct sim_net *net_new(struct sim *s);
const struct sim_net_counts *net_counts(const struct sim_net *n);

/* ---- peers ---- */

/* Whoever connects to that address finds this peer; `ctx` is the connection's peer_ctx. */
void net_serve(struct sim *s, struct ip_port at, const struct net_peer *peer, void *ctx);
/* NULL: nobody listens. Otherwise opened() is called later. */
struct net_conn *net_dial(struct sim *s, struct ip_port from, struct ip_port to,
                          const struct net_peer *peer, void *ctx);
void net_say(struct sim *s, struct net_conn *c, struct slice bytes);
void net_hang_up(struct sim *s, struct net_conn *c); /* an orderly end */
void net_break(struct sim *s, struct net_conn *c);   /* a reset */
/* Connections of the daemon to that address, opened or on their way. */
uint32_t net_count_to(const struct sim *s, const struct ip_port *to);

/* ---- the daemon's operations ---- */

struct net_listener {
    struct net_listener *next;
    struct sim_shard *shard;
    struct ip_port addr;
    struct ring_op *accept;
    struct net_conn *backlog[64];
    uint32_t backlog_count;
};

/* True: the ring hears of it later. */
void net_listen(struct sim *s, struct net_listener *l);
void net_unlisten(struct sim *s, struct net_listener *l);
bool net_is_taken(const struct sim *s, const struct ip_port *addr);
void net_accept(struct sim *s, struct net_listener *l, struct ring_op *op);
struct net_conn *net_conn_new(struct sim *s, struct sim_shard *shard);
void net_connect(struct sim *s, struct net_conn *c, struct ring_op *op);
void net_recv(struct sim *s, struct net_conn *c, struct ring_op *op);
void net_send(struct sim *s, struct net_conn *c, struct ring_op *op);
void net_shutdown(struct sim *s, struct net_conn *c);
/* One op, or with NULL all of them; how many. */
int32_t net_cancel(struct net_conn *c, const struct ring_op *op);
void net_close(struct sim *s, struct net_conn *c);

/* The process has ended. With `cut` the machine has, too: peers hear nothing of it. */
void net_process_ended(struct sim *s, bool cut);
