/*
 * dot_stuff - a message as it goes over the wire after DATA.
 *
 * Nearly every message needs no change: dot_scan() says so in one pass at memory speed, and then
 * head and body are written from where they are. The rest is copied by dot_stuff_put(). In either
 * form a bare CR or LF never leaves: where one relay sees a line end and another does not, the
 * two can be made to disagree about where a message ends.
 *
 * Memory    none, but for what is appended to the caller's buffer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/slice.h"

/* The bits of core/message's BODY_*. */
#define DOT_NEEDS_STUFFING (1u << 0) /* some line begins with a dot */
#define DOT_HAS_8BIT (1u << 1)       /* some byte is >= 0x80 */
#define DOT_NOT_CANONICAL (1u << 2)  /* a CR or LF stands alone */
#define DOT_NO_FINAL_CRLF (1u << 3)  /* bytes, but no CRLF at their end */

/* One message in several pieces: start with {0}, dot_scan_more() each, read dot_scan_flags(). */
struct dot_scan {
    uint32_t flags;
    char last; /* byte before the next one; 0: none yet */
    bool any;
    bool is_crlf; /* the last two bytes were CR LF */
};

void dot_scan_more(struct dot_scan *scan, struct slice piece);
uint32_t dot_scan_flags(const struct dot_scan *scan);

static inline uint32_t dot_scan(struct slice bytes)
{
    struct dot_scan scan = {0};

    dot_scan_more(&scan, bytes);
    return dot_scan_flags(&scan);
}

/* The pieces have to be copied with dot_stuff_put() before they can be sent. */
static inline bool dot_must_copy(uint32_t flags)
{
    return (flags & (DOT_NEEDS_STUFFING | DOT_NOT_CANONICAL)) != 0;
}

/* What ends a message that is sent as it is. */
static inline struct slice dot_terminator(uint32_t flags)
{
    return (flags & DOT_NO_FINAL_CRLF) != 0 ? SLICE("\r\n.\r\n") : SLICE(".\r\n");
}

/* Appends head and body as one text: lone CR and LF made CRLF, dots at line starts doubled, CRLF
 * at the end if there is anything at all. The terminating ".\r\n" is not included. */
void dot_stuff_put(struct buf *out, struct slice head, struct slice body);
