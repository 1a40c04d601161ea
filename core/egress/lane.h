/*
 * lane - one delivery session of a ready queue: at most one connection at a time, one message at
 * a time, the addresses of the site tried in their order. Where the peer does PIPELINING and there
 * is a backlog, the envelope of the next message is on its way while this one's fate is heard.
 *
 * Private to core/egress. A lane holds one place of the connection limit for its whole life.
 *
 * Owner     its ready queue, until lane_end(); memory goes when the last operation has ended.
 */
#pragma once

#include "core/egress/readyq.h"
#include "core/limit/ledger.h"
#include "core/net/addr_plan.h"
#include "core/net/conn.h"
#include "core/queue/load.h"
#include "core/queue/records.h"
#include "proto/smtp_client.h"

enum lane_state {
#define LANE_STATE(name, waits) LANE_##name,
#include "core/egress/lane_states.def"
#undef LANE_STATE
    LANE_STATE_COUNT
};

/* A message in the lane's hands, and how far its recipients have got. */
struct lane_cargo {
    struct message *m;
    struct slice *recipients; /* of m, borrowed from its content; all of them; NULL until opened */
    struct slice *batch_recipients; /* this one and the next two lie behind recipients */
    uint32_t *batch;          /* indexes of the transaction under way */
    uint8_t *recipient_state; /* enum lane_recipient */
    uint32_t recipient_count;
    uint32_t batch_count;
    uint32_t flags;           /* message_flags(), once opened */
};

struct lane {
    struct dlist link;      /* in readyq.lanes */
    struct dlist idle_link; /* in readyq.idle while IDLE */
    struct readyq *rq;
    struct post resume;     /* goes on with the next message */
    struct timer timer;     /* whatever the state waits for at most */
    struct conn conn;
    struct ring_op connect;
    struct ring_op cancel;       /* of connect */
    struct ring_op unused_close; /* closes a socket that never became a connection */
    struct smtp_client client;
    struct smtp_client_params client_params;
    struct lane_cargo now;
    struct lane_cargo next; /* reserved in rq; the peer has its envelope, behind the dot of now */
    struct message_load load;
    struct addr_planner planner;
    struct addr_plan plan;  /* this session's addresses, tried in order */
    const struct addr_target *target; /* in plan: the one being tried or talked to */
    struct ip_port address; /* its address, with the port that counts */
    struct timer grace;     /* while draining: then what is under way is cut */
    struct limit_set *limits; /* shared limits of which it holds a place */
    struct token_ask token;
    struct vm_call *verdict; /* while JUDGING */
    struct buf verdicts;     /* lane_judge.c: what the policy made of this batch's replies */
    uint32_t verdict_next;   /* of the batch: whose reply is looked at next */
    uint32_t rate_asked, rate_paid; /* index into the path's message rates, for what begins next */
    struct buf stuffed;     /* the message in its wire form, when it differs from what is stored */
    struct buf failures;    /* why candidates failed, ", " between */
    struct buf texts;       /* scratch of records */
    struct buf groups;      /* lane_outcome.c: room for the next batch's records */
    struct buf outcomes;    /* likewise */
    uint32_t failure_count;
    uint32_t unplumbed_count; /* of them: the source's address is not ours */
    uint64_t opened_ms;
    uint64_t began_ms;      /* the transaction under way */
    uint32_t delivered_this_connection;
    uint32_t attempted_count; /* transactions begun in this session */
    uint64_t class_ms[SMTP_TIMEOUT_COUNT];
    uint64_t await_until_ms; /* the pending write or reply has to be through by then */
    uint32_t await_reply, await_line; /* number of that reply, and the line of it that is due */
    bool await_write;       /* the write is what is pending */
    int fd;                 /* while connecting */
    uint8_t session_id[16]; /* UUID version 4 */
    char peer_addr[IP_PORT_TEXT_MAX]; /* "ip:port" */
    char peer_ip[IP_TEXT_MAX];
    char source_addr[IP_PORT_TEXT_MAX];
    struct ip_port source_ip; /* the same */
    uint8_t state;          /* enum lane_state; written by lane_enter() alone */
    bool conn_open;         /* conn is in use: its closed() has not run */
    bool planned;
    bool conn_rate_paid;    /* a token of max_connection_rate is in hand */
    bool broken;            /* the connection ended while a batch was under way */
    bool timed_out;         /* and it was us who lost patience */
    bool next_host;         /* what was not sent goes to the next host of this session */
    bool recalled;          /* another shard is short of connections */
    bool cut;               /* the drain is over: end now */
    bool tried_again;       /* the batch before this one was told of too many recipients */
};

enum lane_recipient { RECIPIENT_WAITS = 0, RECIPIENT_SETTLED, RECIPIENT_TRANSIENT };

/* The connection's places are taken; the lane goes to work from the loop. */
void lane_open(struct readyq *rq, struct limit_set *limits);
/* One idle lane takes the next message; false when none is idle. */
bool lane_wake_one(struct readyq *rq);
/* One lane of the queue ends as soon as it can. */
void lane_recall_one(struct readyq *rq);
/* Ends idle lanes and tells the others to end after their message; `cut`: at once. */
void lanes_stop(struct readyq *rq, bool cut);
/* Calls eg->drained when no lane is left. */
void lanes_drained_check(struct egress *eg);

/* ---- between the lane's files ---- */

void lane_enter(struct lane *l, enum lane_state next);
/* Takes the next message, or waits for one, or ends. */
void lane_next(struct lane *l);
/* Nothing is held any more: QUIT if connected, then the end. */
void lane_finish(struct lane *l);
void lane_end(struct lane *l);
void lane_arm(struct lane *l, uint64_t after_ms);

/* lane_cargo.c: the message's content is loaded. Lists its recipients; all of them wait. */
void cargo_open(struct lane_cargo *cargo);
/* The recipients of the next transaction: of those that wait, `max` at most. */
void cargo_pick(struct lane_cargo *cargo, uint32_t max);
/* What was picked, borrowed. */
struct smtp_transaction cargo_transaction(const struct lane_cargo *cargo);
/* Forgets the recipients, not the message. */
void cargo_close(struct lane_cargo *cargo);

/* lane_connect.c: a message is held, its content loaded, no connection is open. */
void lane_connect(struct lane *l);
void lane_connect_timer(struct lane *l);
/* The connection (attempt) failed; the next candidate is tried, or the message given back. */
void lane_candidate_failed(struct lane *l, struct slice why);
/* Closes the connection; plan according to reconnect_strategy. */
void lane_disconnect(struct lane *l);

/* Takes a token of the bucket named in l->texts; true when *wait_ns is known at once. */
bool lane_take_token(struct lane *l, const struct throttle_spec *spec, uint64_t *wait_ns);
/* A rate says to wait: in `state` holding the message while that is short, otherwise everything
 * in the ready queue goes back with that delay. */
void lane_throttled(struct lane *l, uint64_t wait_ns, enum lane_state state,
                    enum insert_reason reason);

PURE bool lane_must_stop(const struct lane *l);

/* lane_send.c: a message is held and the connection is ready for it. */
void lane_send(struct lane *l);
/* A transaction begins: nothing is known of its end. */
void lane_transact(struct lane *l);
/* Takes the tokens for what begins next, if that needs no waiting. Those taken stay in hand. */
bool lane_pay_message_rates_now(struct lane *l);
void lane_act(struct lane *l, enum smtp_client_step step);
void lane_received(struct conn *c, struct slice bytes);
void lane_send_timer(struct lane *l);
/* The timer of what the client waits for. Pieces of a line do not put it off, nor do lines the
 * end of the reply: a peer that answers byte by byte has no more time than any other. */
void lane_await(struct lane *l);

/* lane_follow.c: the end of a message is about to be written; the next one's envelope goes with it
 * if that is possible now. */
void lane_follow(struct lane *l);
/* The message before has its outcome, and the next one's turn has come. */
void lane_go_on(struct lane *l);
/* Its turn will not come here. */
void lane_drop_next(struct lane *l);

/* lane_outcome.c */
void lane_session_facts(const struct lane *l, struct record_session *out);
enum lane_after {
    LANE_GIVE_BACK = 0, /* what was not sent goes back to the scheduled queue */
    LANE_SAME_HOST,     /* another batch may follow on this connection */
    LANE_NEXT_HOST,     /* what was not sent is tried with the next host */
};

/* Every recipient of the batch has an outcome. Records them; the message is settled, retried, or
 * has recipients left for another batch (true). */
bool lane_settle_batch(struct lane *l, enum lane_after after);
/* The room that settling keeps from batch to batch. */
void lane_settle_free(struct lane *l);
/* The message fails as a whole without having been sent. */
void lane_fail_message(struct lane *l, uint16_t code, struct slice content);
void lane_forget_message(struct lane *l);
void lane_forget_recipients(struct lane *l);
/* Held and not sent: back for another choice of path, nobody is charged. */
void lane_return_message(struct lane *l);
/* The peer hung up between transactions. */
void lane_lost_between(struct lane *l);

/* lane_judge.c: the batch has its replies; the policy may rewrite them; then lane_judged(). */
void lane_judge(struct lane *l);
/* No time is left for the policy. */
void lane_judge_cut(struct lane *l);
/* The code that counts. */
PURE uint16_t lane_verdict_code(const struct lane *l, const struct smtp_outcome *o);

/* lane_send.c */
void lane_judged(struct lane *l);
