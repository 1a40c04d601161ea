/*
 * tool_body - messages that can be recognised again, byte for byte.
 *
 * A message is a function of (run, sequence, size, kind). Its header
 *     X-Ringload: <run>:<sequence>:<hash of every byte after this line>
 * lets a receiver prove that nothing after that line was changed, whatever trace headers were
 * put on top on the way.
 *
 * Memory    a source keeps one block of lines per kind; messages are appended to the caller's
 *           buffer. Neither side of the check allocates.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"

enum tool_body_kind {
#define TOOL_BODY(name, text, eight_bit, help) TOOL_BODY_##name,
#include "tools/tool_bodies.def"
#undef TOOL_BODY
    TOOL_BODY_COUNT
};

struct tool_block {
    struct buf bytes; /* whole lines */
    uint32_t *line_starts;
    uint32_t line_count;
    bool has_dots; /* some line begins with a dot */
};

struct tool_source {
    uint64_t run;
    char date[40]; /* of the run, RFC 5322 */
    struct tool_block blocks[TOOL_BODY_COUNT];
};

struct tool_message {
    uint64_t sequence;
    uint64_t size_bytes; /* aimed at, headers included; never less than the headers need */
    enum tool_body_kind kind;
    struct slice from, to; /* addresses for the header */
    struct slice extra;    /* complete header lines put on top, outside the hash */
    bool dot_stuffed;      /* as DATA wants it; the hash is of the bytes before stuffing */
};

NODISCARD bool tool_body_parse(struct slice text, enum tool_body_kind *out);
bool tool_body_is_eight_bit(enum tool_body_kind kind);
/* MIXED stands for each of the others in turn. */
enum tool_body_kind tool_body_for(enum tool_body_kind kind, uint64_t sequence);

void tool_source_open(struct tool_source *src, uint64_t run, uint64_t wall_s);
void tool_source_close(struct tool_source *src);
/* Appends the message, ending in CRLF and without the final dot. */
void tool_message_put(struct buf *out, const struct tool_source *src, const struct tool_message *m);

enum tool_checked { TOOL_INTACT = 0, TOOL_FOREIGN, TOOL_CORRUPT };

struct tool_mark {
    uint64_t run, sequence, hash;
};

/* FOREIGN: no header of ours. CORRUPT: the header is ours, the bytes after it are not. */
NODISCARD enum tool_checked tool_message_check(struct slice message, struct tool_mark *out);
/* Removes the dots that DATA added, in place; answers the new length. */
size_t tool_unstuff(char *bytes, size_t len);
