/*
 * trace - the header fields that tell where a message came from, written once per message.
 *
 * Memory    appended to the caller's buffer.
 * Input     trusted to hold no CR, LF or NUL: it comes from parsed addresses, names and our own
 *           configuration.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/slice.h"

struct trace_received {
    struct slice ehlo;        /* what the peer greeted with; empty: "unspecified" */
    struct slice peer_ip;
    struct slice hostname;
    struct slice local_ip;
    struct slice tls_version; /* "TLSv1_3"; empty without TLS */
    struct slice tls_cipher;  /* "TLS13_AES_256_GCM_SHA384" */
    bool is_authenticated;
    struct slice id;          /* 32 hex digits */
    struct slice recipient;   /* the first of the batch */
    struct slice date;        /* RFC 2822, once per transaction */
};

/* Four lines, the last CRLF included. */
void trace_received_put(struct buf *out, const struct trace_received *t);

/* One key of include_meta_names with its value. */
struct trace_meta {
    struct slice name;
    struct slice json; /* "null" when the message has no such metadata */
};

struct trace_supplemental {
    struct slice header_name;
    const struct slice *recipients;
    size_t recipient_count;
    const struct trace_meta *metas; /* ascending by the bytes of name, no name twice */
    size_t meta_count;
};

/* "X-KumoRef: <base64>" and CRLF. The value is base64 of compact JSON with the keys in byte order,
 * in pieces of 75 with CRLF TAB between them. `scratch` is cleared and used for the JSON. */
void trace_supplemental_put(struct buf *out, const struct trace_supplemental *t,
                            struct buf *scratch);
