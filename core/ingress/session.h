/*
 * session - one SMTP connection coming in: the driver of proto/smtp_server.
 *
 * Private to core/ingress. Bytes from the peer go into the protocol; its questions are answered
 * by policy, relay rules and the intake; replies go out when there is nothing left to do.
 *
 * Owner     its shard. Freed when the connection is closed and no question is open any more.
 */
#pragma once

#include "core/config/listener_domain_config.h"
#include "core/ingress/ingress.h"
#include "core/net/conn.h"
#include "policy/vm/vm.h"

#define SESSION_INPUT_MAX 65536u  /* kept while a question is open; then receiving stops */
#define SESSION_OUTPUT_MAX 65536u /* staged for a peer that does not read; then it is not read */
#define SESSION_FEED_MAX 8192u     /* of what is kept, at a time: then replies are looked at */
#define SESSION_TURN_WORK 32u      /* questions and the like in one turn; then it is others' turn */
#define SESSION_WORK_OUTPUT 256u   /* replies that are as much work as a question */

struct intake;
struct relay_memory;

/* What the open question waits for. */
enum session_phase {
    PHASE_NONE = 0,
    PHASE_DYNAMIC,   /* smtp_server_get_dynamic_parameters */
    PHASE_ACCEPTED,  /* smtp_server_connection_accepted */
    PHASE_EHLO,
    PHASE_MAIL,
    PHASE_SENDER_DOMAIN,    /* get_listener_domain, of the sender */
    PHASE_RECIPIENT_DOMAIN, /* get_listener_domain, of the recipient */
    PHASE_RCPT,
    PHASE_INTAKE,
    PHASE_REWRITE,
};

/* Parameters that smtp_server_get_dynamic_parameters has given. */
struct session_dynamic {
    struct session_dynamic *next;
    struct listener_params params;
};

struct session {
    struct dlist link;         /* in ingress.sessions */
    struct dlist starved_link; /* in ingress.starved */
    struct ingress *ingress;
    struct ingress_listener *listener;
    struct conn conn;
    struct smtp_server *smtp;
    const struct listener_params *config; /* the endpoint's, or own_config */
    struct listener_params *own_config;   /* overlays and dynamic parameters; NULL: none */
    struct session_dynamic *dynamic;
    struct smtp_server_limits *own_limits;
    struct meta meta;          /* conn_meta */
    struct timer idle;
    struct post go_on;         /* it has had its share of the turn and waits behind the others */
    uint64_t turn;             /* the turn that work_done is of */
    uint32_t work_done;
    uint32_t input_at;         /* what of the input is served */
    struct buf input;
    struct buf answer_text;
    struct vm_call *call;
    struct relay_memory *relay; /* NULL until the first RCPT */
    struct intake *intake;      /* NULL unless a message is being taken in */
    struct ip_port peer, local;
    uint64_t staged;           /* counted in ingress.staging_bytes */
    uint32_t rcpt_count;       /* RCPTs that passed relay and limits, whole connection */
    uint8_t id[16];            /* session_id, UUID version 4 */
    struct slice fresh;        /* received bytes not fed yet, while session_run() runs */
    uint8_t step;              /* enum smtp_server_step: what the protocol wants next */
    uint8_t phase;             /* enum session_phase */
    bool asked;                /* a question or a rewrite is open */
    bool hung_up;              /* the peer sends nothing more */
    bool peer_gone;            /* nor does it read replies */
    bool conn_closed;
    bool closing;
    bool running;              /* inside session_run() */
};

void session_open(struct ingress_listener *l, int fd);
/* The drain has begun, or the daemon cuts what is left. */
void session_shutdown(struct session *s);
void session_cut(struct session *s);

/* ---- between the session's files ---- */

/* Goes on from `step` until input or an answer is awaited. */
void session_run(struct session *s, enum smtp_server_step step);
/* The open question has its answer. */
void session_answer(struct session *s, const struct smtp_answer *answer);
/* One line for the operator. */
void session_complain(struct session *s, const char *what, struct slice detail);
/* Something failed that is nobody's reply: 421 technical difficulties. */
void session_fail(struct session *s, struct slice detail);
/* Answers with `code text`; the text is copied. */
void session_reply(struct session *s, uint16_t code, struct slice text);
void session_replyf(struct session *s, uint16_t code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* What a rejecting or failing handler means for the open question; false when it did neither. */
NODISCARD bool session_take_failure(struct session *s, const struct vm_result *result);
struct slice session_hostname(const struct session *s);

/* The peer has client_timeout again. */
void session_arm_idle(struct session *s);

/* staging.c: counts the body coming in; without room for more of it, receiving pauses. */
void session_stage(struct session *s);
/* The session is going away: neither does it hold room nor wait for any. */
void session_unstage(struct session *s);
/* Those that wait go on as far as there is room. */
void ingress_feed_starved(struct ingress *in);

/* session_ask.c: the questions. Each either answers or leaves the phase set. */
void session_ask(struct session *s);
void session_ask_rewrite(struct session *s);
void session_take_rewrite(struct session *s, const struct vm_result *result);
/* The last link of the RCPT chain: the policy. */
void session_ask_rcpt_hook(struct session *s, const struct smtp_question *q);
void session_ask_domain(struct session *s, enum session_phase phase, struct slice domain);
/* get_listener_domain for this domain, ready to run. */
struct vm_call *session_domain_call(struct session *s, struct slice domain);

/* Copies the options' metadata into the connection's. */
void session_add_meta(struct session *s);
/* The options of this session have changed: the protocol's limits follow. */
void session_set_limits(struct session *s);

/* refusal.c: records the reply that has just been written, if it is one that counts. */
void session_record_refusal(struct session *s);

/* overlay.c: options for this session alone, on top of the listener's. */
NODISCARD bool session_overlay(struct session *s, const struct json *table, struct buf *why);
void session_overlays_free(struct session *s);
/* The peer and via overlays of the listener, when one matches. */
void session_apply_overlays(struct session *s);

/* relay.c */
void relay_ask_rcpt(struct session *s, const struct smtp_question *q);
/* Whether the policy has to be asked first, and about which of the two domains. */
NODISCARD bool relay_unknown(const struct session *s, struct slice sender_domain,
                             struct slice recipient_domain, struct slice *out);
/* Keeps what get_listener_domain said. False: `why` is an error of the policy. */
NODISCARD bool relay_learn(struct session *s, struct slice domain, const struct vm_result *result,
                           struct buf *why);
/* Whether the peer may send from `sender` to `recipient`; both domains are known already. */
PURE bool relay_allowed(const struct session *s, struct slice sender_domain,
                        struct slice recipient_domain);
/* What the recipient's domain, which is known already, wants done with reports to it. */
void relay_report_wishes(const struct session *s, struct slice recipient_domain,
                         enum log_disposition *arf, enum log_disposition *oob);
PURE bool relay_peer_trusted(const struct session *s);
void relay_forget(struct session *s);
void relay_take_domain(struct session *s, enum session_phase phase,
                       const struct vm_result *result);

/* intake.c */
void intake_begin(struct session *s);
/* The session is going away; what is durable stays, what is not is dropped. */
void intake_orphan(struct intake *it);
