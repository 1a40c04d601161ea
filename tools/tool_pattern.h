/*
 * tool_pattern - addresses and header lines with numbers in them.
 *
 *   %s   the message's sequence number
 *   %r   the recipient's index within the message
 *   %u   the user number
 *   %d   the domain number; left of the last '@' the user number, so that user%d@dst%d.test
 *        reads as one expects
 *   %v   the first recipient with '=' for '@' (senders only: VERP)
 *   %%   a percent sign
 *
 * Memory    pieces point into the text the pattern was made from.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"

#define TOOL_PATTERN_PIECES_MAX 16u

enum tool_piece_kind {
    TOOL_PIECE_TEXT = 0,
    TOOL_PIECE_SEQUENCE,
    TOOL_PIECE_RECIPIENT,
    TOOL_PIECE_USER,
    TOOL_PIECE_DOMAIN,
    TOOL_PIECE_VERP,
};

struct tool_piece {
    struct slice text; /* of TOOL_PIECE_TEXT */
    uint8_t kind;      /* enum tool_piece_kind */
};

struct tool_pattern {
    struct tool_piece pieces[TOOL_PATTERN_PIECES_MAX];
    uint32_t count;
};

struct tool_numbers {
    uint64_t sequence;
    uint64_t recipient;
    uint64_t user;
    uint64_t domain;
    struct slice first_recipient; /* for %v */
};

NODISCARD bool tool_pattern_parse(struct slice text, struct tool_pattern *out, struct buf *why);
void tool_pattern_put(struct buf *out, const struct tool_pattern *p, const struct tool_numbers *n);
