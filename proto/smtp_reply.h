/*
 * smtp_reply - replies of an SMTP server, cut off the front of what it sent.
 *
 * A reply is one or more lines "ddd-text" and a last one "ddd text"; lines end in CR LF and
 * nothing else. Parsing is in place: the text is joined only when somebody wants to keep it.
 *
 * Memory    none; slices point into the input.
 * Limits    SMTP_REPLY_LINE_MAX bytes a line without its CRLF, SMTP_REPLY_SIZE_MAX bytes in all.
 * Errors    smtp_reply_err.def; each of them ends the connection, since what follows it cannot
 *           be matched to a command any more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

#define SMTP_REPLY_LINE_MAX 4096u
#define SMTP_REPLY_SIZE_MAX (16u * 1024u)

enum smtp_reply_cut {
    SMTP_REPLY_OK = 0,
    SMTP_REPLY_MORE, /* a longer input could be a reply; nothing consumed */
#define SMTP_REPLY_ERR(name, text) SMTP_REPLY_##name,
#include "proto/smtp_reply_err.def"
#undef SMTP_REPLY_ERR
    SMTP_REPLY_CUT_COUNT
};

/* RFC 3463. class is 2, 4 or 5; 0 when the reply has none. */
struct smtp_enhanced {
    uint8_t class;
    uint16_t subject;
    uint16_t detail;
};

struct smtp_reply {
    uint16_t code;    /* 200 to 599 */
    struct slice raw; /* every line with its CRLF */
};

/* Where an incomplete reply was left, so that bytes that trickle in are looked at once. Zero it
 * before each reply, keep it while the answer is SMTP_REPLY_MORE. */
struct smtp_reply_scan {
    uint32_t line_at; /* start of the line that is incomplete */
    uint32_t seen;    /* no CRLF ends before this */
    uint16_t code;    /* of the first line; 0 before it */
};

/* `in` starts with the first byte of the reply. *used_out is set with SMTP_REPLY_OK only. With
 * an error out->raw is the offending line. */
NODISCARD enum smtp_reply_cut smtp_reply_cut(struct slice in, struct smtp_reply_scan *scan,
                                             struct smtp_reply *out, size_t *used_out);

/* "Malformed Response" and so on. */
const char *smtp_reply_err_text(enum smtp_reply_cut err);

/* The enhanced code of the first line. */
PURE struct smtp_enhanced smtp_reply_enhanced(const struct smtp_reply *reply);

/* Appends the text: codes cut off, the enhanced code cut off the first line and, where it is the
 * same, off the others; lines joined with '\n'. */
void smtp_reply_content_put(struct buf *out, const struct smtp_reply *reply);

/* for (size_t at = 0; smtp_reply_next_line(&reply, &at, &line);) - each line's text after its
 * code, nothing else removed. */
NODISCARD bool smtp_reply_next_line(const struct smtp_reply *reply, size_t *at,
                                    struct slice *line_out);

/* Reads "C.S.D " off the front of a text; *rest_out is what follows. False, and nothing set,
 * when there is none of class 2, 4 or 5. */
NODISCARD bool smtp_enhanced_cut(struct slice text, struct smtp_enhanced *out,
                                 struct slice *rest_out);

/* The same for a text whose lines end in '\n', without codes: one of our own replies. Answers its
 * enhanced code. */
struct smtp_enhanced smtp_text_content_put(struct buf *out, struct slice text);

/* Appends a content on one line: CRLF, LF or a lone CR become one space. */
void smtp_single_line_put(struct buf *out, struct slice content);

/* Appends "550 5.1.1 text", on one line. */
void smtp_reply_single_line_put(struct buf *out, uint16_t code, struct smtp_enhanced enhanced,
                                struct slice content);
