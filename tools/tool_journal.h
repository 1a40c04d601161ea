/*
 * tool_journal - lines in a file that survive the reader's doubts about us.
 *
 * Lines gather in memory and reach the file (one write, whole lines, O_APPEND) before the loop
 * sleeps again, so a test that kills the other side may trust what it finds.
 *
 * Owner     one loop; several journals may share one path.
 * Errors    a failed write is printed and ends the program: a journal with holes is worse.
 */
#pragma once

#include "core/base/buf.h"

struct tool_journal {
    int fd; /* -1: nothing is kept */
    struct buf pending;
};

/* path NULL: every call is legal and keeps nothing. */
NODISCARD bool tool_journal_open(struct tool_journal *j, const char *path, struct buf *why);
void tool_journal_close(struct tool_journal *j);
void tool_journal_flush(struct tool_journal *j);

static inline bool tool_journal_on(const struct tool_journal *j)
{
    return j->fd >= 0;
}
