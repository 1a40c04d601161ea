/* Blocking writes are meant: the loop may not go on before they are done. */
#include "tools/tool_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool tool_journal_open(struct tool_journal *j, const char *path, struct buf *why)
{
    *j = (struct tool_journal){.fd = -1};
    if (path == NULL) {
        return true;
    }
    j->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (j->fd < 0) {
        buf_printf(why, "cannot open %s: %s", path, strerror(errno));
        return false;
    }
    return true;
}

void tool_journal_flush(struct tool_journal *j)
{
    size_t done = 0;

    while (done < j->pending.len) {
        ssize_t put = write(j->fd, j->pending.ptr + done, j->pending.len - done);

        if (put < 0 && errno != EINTR) {
            fprintf(stderr, "cannot write the journal: %s\n", strerror(errno));
            exit(1);
        }
        done += put > 0 ? (size_t)put : 0;
    }
    buf_clear(&j->pending);
}

void tool_journal_close(struct tool_journal *j)
{
    if (j->fd >= 0) {
        tool_journal_flush(j);
        close(j->fd);
        j->fd = -1;
    }
    buf_free(&j->pending);
}
