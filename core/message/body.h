/*
 * body - the bytes of a message as they were received, un-stuffed, shared by the recipients of
 * one transaction.
 *
 * Owner     counted references; the count is atomic because recipients may sit on several shards.
 *           The bytes never change after body_new().
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/slice.h"

#define BODY_NEEDS_STUFFING (1u << 0) /* some line begins with a dot */
#define BODY_HAS_8BIT (1u << 1)       /* some byte is >= 0x80 */
#define BODY_NOT_CANONICAL (1u << 2)  /* a CR or LF stands alone */
#define BODY_NO_FINAL_CRLF (1u << 3)  /* does not end in CRLF */

struct body {
    _Atomic uint32_t refs;
    uint32_t flags;       /* BODY_* */
    uint32_t header_size; /* bytes up to and with the empty line; all of it when there is none */
    struct buf bytes;
};

/* Takes over *bytes (left empty) and computes the flags. At most SPOOL_BODY_MAX bytes. */
struct body *body_new(struct buf *bytes);
/* The flags are known, from the spool. */
struct body *body_new_flags(struct buf *bytes, uint32_t flags);
struct body *body_get(struct body *b); /* one more reference; answers b */
void body_put(struct body **bp);       /* NULL is accepted; clears */
/* A lone CR or LF counts as a line end for BODY_NEEDS_STUFFING, since the way out makes it one. */
PURE uint32_t body_scan_flags(struct slice bytes);
