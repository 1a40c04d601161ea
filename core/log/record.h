/*
 * record - one log record: what happened to a message or a peer, and its JSON line.
 *
 * Everything in a record is borrowed from the caller for the duration of the call it is given
 * to. Field order, presence and spelling of the line are an interface: consumers parse it.
 *
 * Owner     struct record_writer: one shard (it caches the text of the last second).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/civil.h"
#include "core/base/ip.h"
#include "core/base/slice.h"
#include "core/message/message.h"

enum log_type {
#define LOG_TYPE(name, text, final, classified, has_message) LOG_##name,
#include "core/log/log_types.def"
#undef LOG_TYPE
    LOG_TYPE_COUNT
};

struct log_type_info {
    struct slice text;
    bool final;       /* the recipients it names are done with */
    bool classified;  /* the bounce classifier is asked */
    bool has_message; /* a message stands behind it */
};
const struct log_type_info *log_type_info(enum log_type type);
NODISCARD bool log_type_parse(struct slice text, enum log_type *out);

/* class is 0 when there is none. */
struct log_enhanced {
    uint8_t class;
    uint16_t subject, detail;
};

/* A slice with ptr NULL is unknown; the line then says null or leaves the key out. */
struct log_record {
    enum log_type type;
    uint64_t event_ns; /* wall clock */
    /* The message: id, envelope, metadata and headers are taken from it where not given below.
     * Its content must be loaded. For OOB the report, which gives no size; NULL for Rejection. */
    const struct message *message;
    const uint8_t *id;       /* 16 bytes; NULL: the message's; "" without either */
    struct slice sender;     /* unknown: the message's */
    const struct slice *recipients; /* NULL: the message's */
    uint32_t recipient_count;
    uint64_t size;           /* 0: the message's */
    uint16_t num_attempts;   /* before this one */

    struct slice queue, site; /* unknown is "" */
    uint16_t code;
    struct log_enhanced enhanced;
    struct slice content;    /* without the enhanced code; unknown is "" */
    struct slice command;
    struct slice peer_name, peer_addr; /* peer_addr unknown: no peer */
    struct ip peer_ip;       /* what peer_addr is the text of; IP_NONE: it says so alone */
    bool peer_is_secure;
    struct slice bounce_classification; /* unknown is "Uncategorized" */
    struct slice egress_pool, egress_source;
    struct slice source_address, source_server, source_protocol;
    struct ip_port source_ip; /* what source_address is the text of; likewise */
    struct slice feedback_report; /* JSON text */
    const struct meta *meta; /* NULL: the message's */
    struct slice delivery_protocol;
    struct slice reception_protocol; /* unknown: from meta, but for Rejection */
    struct slice tls_cipher, tls_protocol_version;
    struct slice tls_peer_subject_name; /* JSON text: an array */
    struct slice provider_name;
    const uint8_t *session_id; /* 16 bytes or NULL */

    uint64_t settle_sequence; /* what spool_settle() answered; 0: none */
};

/* Which metadata and headers go into a line. Patterns: a name, or a prefix and '*'. */
struct log_capture {
    const struct slice *meta;
    uint32_t meta_count;
    const struct slice *headers;
    uint32_t header_count;
};
/* Whether that metadata entry is captured; names match case-sensitively, and only a wildcard
 * takes a null. */
PURE bool log_capture_takes_meta(const struct log_capture *c, struct slice name, struct slice json);

struct record_second {
    int64_t s;
    char text[CIVIL_TEXT];
    bool is_set;
};

struct record_writer {
    struct slice node_id; /* dashed, lower case; borrowed */
    struct record_second event, created;
    struct buf scratch;
};
void record_writer_free(struct record_writer *w);

/* Appends the line, with its LF. */
void record_write_json(struct record_writer *w, const struct log_record *r,
                       const struct log_capture *c, struct buf *out);

/* ---- what the record says once the message's own values have taken the place of unknowns ---- */

const uint8_t *log_record_id(const struct log_record *r); /* or NULL */
PURE uint64_t log_record_created_ns(const struct log_record *r);
const struct meta *log_record_meta(const struct log_record *r); /* or NULL */
struct slice log_record_sender(const struct log_record *r);
/* for (size_t at = 0; log_record_next_recipient(r, &at, &addr);) ... */
NODISCARD bool log_record_next_recipient(const struct log_record *r, size_t *at, struct slice *out);
uint32_t log_record_recipient_count(const struct log_record *r);
