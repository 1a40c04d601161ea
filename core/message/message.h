/*
 * message - one message for its recipients: envelope, metadata, content, schedule.
 *
 * A message belongs to exactly one shard, the one whose log holds its record. What always stays
 * in memory is struct message; what can be read back from the spool hangs off `content` and is
 * dropped when memory is short or the message has to wait.
 *
 * Memory    struct message is exactly 96 bytes (asserted), a size that allocators have a class
 *           of; content has no bound of its own, it is counted in message_content_size() and
 *           bounded by its holders.
 * Owner     that shard.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/slice.h"
#include "core/message/body.h"
#include "core/message/meta.h"
#include "core/shard/timer.h"
#include "spool/spool.h"

#define MESSAGE_ID_TEXT 32u /* lower-case hex, no NUL */
#define MESSAGE_ADDRESS_MAX 65535u

struct schedule; /* schedule.h: restrictions on when it may be tried */

/* The part that may be dropped and read back. */
struct message_content {
    struct buf sender;        /* "user@domain", empty for the null sender */
    struct buf recipients;    /* (u16 length, "user@domain")*, in order */
    uint32_t recipient_count;
    struct meta meta;
    struct body *body;        /* NULL when only envelope and metadata are loaded */
    struct buf head;          /* goes out before the body ... */
    uint32_t unsaved_bytes;   /* what core/queue counts it with while it is MESSAGE_UNSAVED */
    uint32_t body_from;       /* ... which starts here: 0, or at the empty line that ends its
                               * header block, when head has taken that over */
    struct schedule *schedule; /* NULL when there is none */
    bool envelope_dirty;      /* envelope, metadata or schedule differ from the spool */
    bool data_dirty;          /* body or head differ from the spool */
};

#define MESSAGE_SPOOLED (1u << 0)  /* ref names a durable record */
#define MESSAGE_UNSAVED (1u << 1)  /* deferred_spool: to be written when it has to wait */
#define MESSAGE_NEW (1u << 2)      /* not attempted or delayed yet */
#define MESSAGE_SAVE (1u << 3)     /* the policy wants it written, deferred_spool or not */
#define MESSAGE_MOVED (1u << 4)    /* from another queue; this one has not judged its age */

#define MESSAGE_CONTEXT_BYTES 7u

struct message {
    struct timer timer;     /* due, when it waits; its link also serves queues' lists */
    uint64_t due_ms;        /* wall clock; 0 = at once */
    struct message_content *content; /* NULL: read it back first */
    void *owner;            /* the queue or lane that holds it; meaning is the holder's */
    uint8_t id[16];         /* UUID version 1 */
    struct spool_ref ref;
    uint16_t attempts;
    uint32_t size;          /* bytes of the whole message, for records */
    uint8_t flags;          /* MESSAGE_* */
    uint8_t context[MESSAGE_CONTEXT_BYTES]; /* insert_context.h: since it was last queued */
};
_Static_assert(sizeof(struct message) == 96, "a waiting message must stay small");

struct message *message_new(void);
void message_free(struct message **mp); /* content included */
struct message_content *message_content_new(void);
void message_content_free(struct message_content **cp);
/* All buffers; a shared body counts in full. It changes with edits: who adds it to a sum keeps
 * the number to subtract. NULL is 0. */
PURE size_t message_content_size(const struct message_content *c);

/* ---- identity ---- */

/* Makes version-1 ids: 100 ns time, never the same twice; a clock sequence of 8 bits shard and
 * 6 bits boot count, so that no two shards, nor the lives before and after a clock set back,
 * collide; the node. */
struct message_ids {
    uint64_t last_ticks;
    uint16_t clock_seq;
    uint8_t node[6];
};
void message_ids_init(struct message_ids *ids, uint32_t shard, uint32_t boot,
                      const uint8_t node[6]);
void message_id_next(struct message_ids *ids, uint64_t wall_ns, uint8_t out[16]);
void message_id_text(const uint8_t id[16], char out[MESSAGE_ID_TEXT]);
NODISCARD bool message_id_parse(struct slice text, uint8_t out[16]);
PURE uint64_t message_id_wall_ns(const uint8_t id[16]); /* the creation time inside it */

/* ---- envelope; content must be loaded ---- */

struct slice message_sender(const struct message *m);
void message_set_sender(struct message *m, struct slice addr);
void message_add_recipient(struct message *m, struct slice addr);
void message_clear_recipients(struct message *m);
/* An address has at most MESSAGE_ADDRESS_MAX bytes; callers refuse longer ones.
 * for (size_t at = 0; message_next_recipient(m, &at, &addr);) ... */
NODISCARD bool message_next_recipient(const struct message *m, size_t *at, struct slice *out);
/* The domain of the first recipient, lower-cased, appended; nothing for Postmaster. */
void message_domain_put(const struct message *m, struct buf *out);
/* The queue that metadata and first recipient name, appended: "campaign:tenant@domain!routing",
 * or `queue` as it is. On failure `why` gets e.g. "expected 'tenant' to be a string value" and
 * nothing is appended. */
NODISCARD bool message_queue_name(const struct message *m, struct buf *out, struct buf *why);

/* ---- content ---- */

/* The whole text, appended. */
void message_data_put(const struct message *m, struct buf *out);
void message_set_data(struct message *m, struct buf *bytes); /* takes over *bytes */
size_t message_data_size(const struct message *m);
/* Headers: RFC 5322 fields of `head` plus the body's header block. Prepending touches `head`
 * alone; the other edits move the header block into it. Name and value are written as given. */
void message_prepend_header(struct message *m, struct slice name, struct slice value);
/* After the last header; false when no empty line ends the header block. */
NODISCARD bool message_append_header(struct message *m, struct slice name, struct slice value);
/* Calls fn for each header in order until it answers false. raw_value keeps folding and ends
 * before the line end. What is not a header (a line that only continues nothing) is passed over. */
typedef bool message_header_fn(void *arg, struct slice name, struct slice raw_value);
void message_each_header(const struct message *m, message_header_fn *fn, void *arg);
/* Removes every header for which fn answers true; answers how many. */
size_t message_remove_headers(struct message *m, message_header_fn *fn, void *arg);
/* Flags of what would go out now: BODY_NEEDS_STUFFING and so on, head included. */
uint32_t message_flags(const struct message *m);

/* ---- the spool's blob: sender, recipients, metadata, head, body_from, schedule ---- */

void message_blob_put(const struct message *m, struct buf *out);
/* Fills a fresh content (without body; body_from is to be checked against it by
 * message_content_attach). False when the bytes are not such a blob; free the content then. */
NODISCARD bool message_blob_load(struct message_content *c, struct slice blob);
/* Gives loaded content its body (takes over the reference). False, body still the caller's, when
 * the two do not belong together: body_from is beyond the body. */
NODISCARD bool message_content_attach(struct message_content *c, struct body *body);
