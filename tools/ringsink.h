/*
 * ringsink - the parts of the SMTP sink.
 *
 *   ringsink.c         options, threads, the line of JSON at the end
 *   ringsink_worker.c  one thread: accepting, refusing, progress, the end
 *   ringsink_conn.c    one connection's bytes and lifetime
 *   ringsink_smtp.c    commands and answers
 *   ringsink_body.c    message bytes: the final dot, BDAT, the check
 *
 * Owner     a worker and its connections belong to one thread. The plan is shared: constant
 *           while threads run, save for its atomics and the table of what has arrived.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/list.h"
#include "tools/ringsink_rules.h"
#include "tools/ringsink_seen.h"
#include "tools/tool_args.h"
#include "tools/tool_body.h"
#include "tools/tool_journal.h"
#include "tools/tool_loop.h"

struct sink_options {
#define HEADING(text)
#define OPTION(field, kind, name, arg, fallback, help) TOOL_TYPE_##kind field;
#include "tools/ringsink_options.def"
#undef OPTION
#undef HEADING
};

#define SINK_CODE_MIN 400u
#define SINK_CODE_COUNT 200u

struct sink_totals {
    uint64_t connections, connections_peak, connections_refused;
    uint64_t messages, recipients, bytes; /* answered 250 */
    uint64_t intact, corrupt, foreign, oversize;
    uint64_t delayed, resets, lost; /* lost: ended after our 250 before the peer went on */
    uint64_t first_ns, last_ns;     /* of accepted messages; monotonic */
    uint64_t codes[SINK_STAGE_COUNT][SINK_CODE_COUNT];
};

enum sink_refuse { SINK_REFUSE_NO = 0, SINK_REFUSE_CONNECT, SINK_REFUSE_CLOSE };

struct sink_plan {
    struct sink_options options;
    struct buf ehlo; /* the whole answer to EHLO */
    struct sink_rules rules;
    enum sink_refuse refuse;
    struct sink_seen seen;
    struct tool_stop stop;
    _Atomic uint64_t messages; /* of all threads, for --progress and --stop-after */
};

struct sink_worker {
    struct tool_loop loop;
    struct sink_plan *plan;
    uint32_t index;
    pthread_t thread;
    struct ip_port listen;
    int listen_fd; /* -1: not listening yet */
    struct ring_op accept_op;
    struct dlist conns; /* sink_conn.link */
    uint32_t conn_count;
    bool refusing;
    uint32_t usr1_seen;
    uint64_t random;
    uint64_t end_by_ns;
    struct timer progress_timer;
    uint64_t progress_messages;
    struct tool_journal received;
    struct sink_totals totals;
    struct buf why;
    bool failed;
};

/* What the bytes that arrive are. */
enum sink_step {
    SINK_COMMAND = 0,
    SINK_BODY, /* until the final dot */
    SINK_BDAT, /* bdat_left bytes */
    SINK_CLOSING,
};

#define SINK_LINE_MAX 4096u

struct sink_conn {
    struct sink_worker *worker;
    struct dlist link;
    struct ring_op recv_op, send_op, cancel_op, close_op;
    struct timer hold;
    int fd;
    uint8_t step;
    uint8_t held_stage; /* whose answer waits for the hold timer */
    uint8_t dot_match;  /* bytes of CR LF . CR LF seen in a row */
    bool held;
    bool close_after_send;
    bool mail_given, bdat_last, oversize;
    uint8_t checked;       /* enum tool_checked of the message just received */
    bool body_complete;    /* received in full; waits for the dot's answer */
    struct tool_mark mark; /* of it */
    uint64_t bdat_left;
    uint64_t body_size;    /* bytes on the wire */
    uint64_t rcpt_pending; /* recipient index of the RCPT being judged */
    struct buf rcpts;      /* uint64_t: recipient indexes accepted in this transaction */
    struct buf told;       /* uint64_t: recipients of the message whose 250 the peer may not know */
    uint64_t told_sequence;
    bool told_sent;
    struct buf in;   /* input that has to wait */
    struct buf body; /* with --verify */
    struct buf sending, next;
};

/* ringsink_worker.c */
bool sink_worker_run(struct sink_worker *w);
/* Another connection's worth of life has ended. */
void sink_conn_gone(struct sink_worker *w, struct sink_conn *c);
void sink_message_counted(struct sink_worker *w);

/* ringsink_conn.c */
void sink_conn_open(struct sink_worker *w, int fd);
void sink_conn_close(struct sink_conn *c);
void sink_conn_reset(struct sink_conn *c);
/* The hold is over: input that waited goes on. */
void sink_conn_resume(struct sink_conn *c);
void sink_conn_free(struct sink_conn *c);
/* "MILLISECONDS EVENT SEQUENCE RECIPIENT" for everything in c->told. */
void sink_told_log(struct sink_conn *c, const char *event);

/* ringsink_smtp.c: a stage was reached; rules are asked, then it is answered. */
void sink_smtp_stage(struct sink_conn *c, enum sink_stage stage);
void sink_smtp_answer(struct sink_conn *c, enum sink_stage stage);
void sink_smtp_line(struct sink_conn *c, struct slice line);

/* ringsink_body.c */
void sink_body_begin(struct sink_conn *c);
/* Answers how many bytes of `in` belong to the message; c->step leaves BODY or BDAT at its end. */
size_t sink_body_feed(struct sink_conn *c, struct slice in);
