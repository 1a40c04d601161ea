/*
 * smtp_data - takes in the bytes of one message: after DATA up to the lone dot, or as BDAT octets.
 *
 * The message ends at CR LF "." CR LF (or "." CR LF as the very first bytes) and at nothing else;
 * lines beginning ".." lose a dot. One pass over the input judges line lengths, lone CRs and LFs,
 * NUL, 8-bit and dot lines; accepted bytes are copied once, from the input into the body. However
 * the input is cut, the result is the same.
 *
 * Memory    the body, at most size_max bytes; given back at once when the message is too big.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

/* Where the decoder stands in the stream. */
enum smtp_data_at {
    SMTP_DATA_AT_BOL = 0, /* at the beginning of a line */
    SMTP_DATA_AT_DOT,     /* past a dot there, not yet copied */
    SMTP_DATA_AT_DOT_CR,  /* past a dot and a CR there, neither copied */
    SMTP_DATA_AT_TEXT,    /* inside a line */
};

/* What was found; the low bits are those of SMTP_BODY_* in smtp_server.h. */
#define SMTP_DATA_DOT_LINE (1u << 0)
#define SMTP_DATA_8BIT (1u << 1)
#define SMTP_DATA_BARE (1u << 2)
#define SMTP_DATA_NO_FINAL_CRLF (1u << 3)
#define SMTP_DATA_NUL (1u << 4)
#define SMTP_DATA_FIXED (1u << 5)
#define SMTP_DATA_LONG_LINE (1u << 6)
#define SMTP_DATA_TOO_BIG (1u << 7)

struct smtp_data {
    struct buf body;
    uint64_t size_max;
    size_t line_max;
    size_t line_len; /* bytes of the current line so far */
    uint32_t flags;  /* SMTP_DATA_* */
    uint8_t at;      /* enum smtp_data_at */
    bool after_cr;   /* the byte before was a CR, inside a line */
};

/* Begins a message; what an earlier one left is dropped. */
void smtp_data_begin(struct smtp_data *d, uint64_t size_max, size_t line_max);
/* Takes dot-stuffed bytes. True: the end was found, *used_out is just past it. */
NODISCARD bool smtp_data_take(struct smtp_data *d, struct slice in, size_t *used_out);
/* Takes bytes as they are. */
void smtp_data_take_raw(struct smtp_data *d, struct slice in);
/* All bytes are in: settles what only the end can tell. */
void smtp_data_finish(struct smtp_data *d);
/* Makes every lone CR and LF of a finished body a CRLF and finds the flags anew. */
void smtp_data_fix(struct smtp_data *d);
void smtp_data_free(struct smtp_data *d);
