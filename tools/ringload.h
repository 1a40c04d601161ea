/*
 * ringload - the parts of the SMTP load generator.
 *
 *   ringload.c         options, threads, the line of JSON at the end
 *   ringload_worker.c  one thread: sequence numbers, pacing, starting connections
 *   ringload_conn.c    one connection's bytes and lifetime
 *   ringload_smtp.c    what is said and what is understood
 *
 * Owner     a worker and its connections belong to one thread. The plan is shared: constant
 *           while threads run, save for its atomics.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/list.h"
#include "tools/tool_args.h"
#include "tools/tool_body.h"
#include "tools/tool_hist.h"
#include "tools/tool_journal.h"
#include "tools/tool_loop.h"
#include "tools/tool_pattern.h"

struct load_options {
#define HEADING(text)
#define OPTION(field, kind, name, arg, fallback, help) TOOL_TYPE_##kind field;
#include "tools/ringload_options.def"
#undef OPTION
#undef HEADING
};

/* Where a refusal happened. */
#define LOAD_STAGES(STAGE)                                                                         \
    STAGE(CONNECT, "connect")                                                                      \
    STAGE(EHLO, "ehlo")                                                                            \
    STAGE(MAIL, "mail")                                                                            \
    STAGE(RCPT, "rcpt")                                                                            \
    STAGE(DATA, "data")                                                                            \
    STAGE(DOT, "dot")

enum load_stage {
#define STAGE(name, text) LOAD_STAGE_##name,
    LOAD_STAGES(STAGE)
#undef STAGE
        LOAD_STAGE_COUNT
};

#define LOAD_CODE_MIN 400u
#define LOAD_CODE_COUNT 200u /* 400 .. 599 */

struct load_totals {
    uint64_t accepted, recipients_accepted;
    uint64_t refused;    /* messages that did not get their 250 but an answer */
    uint64_t unanswered; /* ... whose connection ended first */
    uint64_t bytes;      /* of accepted messages */
    uint64_t connects, connects_failed, connections_lost;
    uint64_t codes[LOAD_STAGE_COUNT][LOAD_CODE_COUNT];
    struct tool_hist latency; /* end of data to 250 */
};

struct load_plan {
    struct load_options options;
    struct ip_port target;
    enum tool_body_kind body;
    bool pipeline;
    struct tool_pattern from, to, headers[TOOL_TEXTS_MAX];
    struct tool_source source;
    struct tool_stop stop;
    uint64_t sequence_end; /* one past the last; UINT64_MAX without --messages */
    _Atomic uint64_t sequence_next;
    _Atomic uint64_t accepted, refused, idle_up; /* for --progress */
    uint64_t start_ns, end_ns;                   /* monotonic; end_ns 0 without --seconds */
};

struct load_worker {
    struct tool_loop loop;
    struct load_plan *plan;
    uint32_t index;
    pthread_t thread;
    struct load_conn *conns;
    uint32_t conn_count; /* senders first, then idle ones */
    uint32_t sender_count;
    uint32_t senders_finished;
    uint32_t connecting_count;
    uint32_t start_next;  /* connections before this were started */
    struct dlist waiting; /* load_conn.link: for their turn under --rate */
    struct timer rate_timer, sweep_timer, progress_timer;
    uint64_t due_ns;      /* of the next message under --rate */
    uint64_t drain_by_ns; /* set once no new message may start */
    uint64_t progress_accepted;
    struct tool_journal accepted;
    struct load_totals totals;
    struct buf why;
    bool failed;
};

/* What a connection waits for. */
enum load_step {
    LOAD_DOWN = 0, /* not connected; a timer may start it again */
    LOAD_CONNECTING,
    LOAD_BANNER,
    LOAD_EHLO,
    LOAD_READY, /* its turn to send */
    LOAD_MAIL,
    LOAD_RCPT,
    LOAD_DATA,
    LOAD_DOT,
    LOAD_RSET,
    LOAD_QUIT,
    LOAD_IDLE,
    LOAD_CLOSING, /* ops to drain */
    LOAD_FINISHED,
};

#define LOAD_LINE_MAX 512u
#define LOAD_SLOW_READ_BYTES 16u
#define LOAD_SLOW_WRITE_BYTES 64u

struct load_conn {
    struct load_worker *worker;
    struct dlist link; /* worker->waiting */
    struct ring_op connect_op, recv_op, send_op, cancel_op, close_op;
    struct timer pause, write_pace, read_pace;
    int fd; /* -1 when down */
    uint8_t step;
    bool is_idle, is_slow;
    bool pipelining, chunking, eight_bit_mime; /* the peer's offer */
    bool mail_ok;                              /* the running transaction's MAIL was accepted */
    bool abandoned;                            /* its final dot is sent only to end it */
    bool has_sequence;                         /* `sequence` is on its way */
    bool reopen;     /* connect again as soon as this connection has ended */
    bool stop_after; /* its end was asked for: stay down */
    uint64_t sequence;
    uint64_t message_size;
    uint64_t sent_count; /* transactions over this connection */
    uint64_t dot_sent_ns;
    uint64_t heard_ns;
    uint64_t retry_until_ns; /* of --reconnect; 0 while all is well */
    uint32_t rcpt_index, rcpt_accepted;
    uint32_t chunks_left; /* BDAT replies still to come before the last */
    struct buf sending, next;
    size_t sending_done; /* slow writers send in pieces */
    char slow_bytes[LOAD_SLOW_READ_BYTES];
    char line[LOAD_LINE_MAX];
    uint32_t line_len;
};

/* ringload_worker.c */
bool load_worker_run(struct load_worker *w);
/* A number to send; false when there is nothing left to start. */
NODISCARD bool load_sequence_take(struct load_worker *w, uint64_t *out);
/* False: the connection was put in line and load_smtp_begin() comes later. */
NODISCARD bool load_turn_take(struct load_worker *w, struct load_conn *c);
void load_conn_established(struct load_worker *w);
void load_conn_finished(struct load_worker *w, struct load_conn *c);

/* ringload_conn.c */
void load_conn_init(struct load_conn *c, struct load_worker *w, bool is_idle, bool is_slow);
void load_conn_start(struct load_conn *c);
void load_conn_flush(struct load_conn *c);
/* Ends the connection; `lost` counts it and what was on its way. */
void load_conn_close(struct load_conn *c, bool lost);
void load_conn_free(struct load_conn *c);

/* ringload_smtp.c: feed with one reply line without its CRLF; answers go to c->next. */
void load_smtp_line(struct load_conn *c, struct slice line);
/* Starts a transaction, or QUITs when nothing is left to send. */
void load_smtp_begin(struct load_conn *c);
