#include "proto/smtp_line.h"

/* Index of the first CR LF, or in.len. */
static size_t crlf_find(struct slice in)
{
    size_t at = 0;

    for (;;) {
        at += slice_find_char(slice_from(in, at), '\n');
        if (at == in.len) {
            return at;
        }
        if (at != 0 && in.ptr[at - 1] == '\r') {
            return at - 1;
        }
        at++;
    }
}

static void held_clear(struct smtp_line *l)
{
    buf_clear(&l->held);
    l->spent = false;
    if (l->held.cap > SMTP_LINE_KEEP_CAP) {
        buf_free(&l->held);
    }
}

static enum smtp_line_result skip(struct smtp_line *l, struct slice in, size_t *used_out)
{
    size_t at;

    if (l->skipped_cr && in.ptr[0] == '\n') {
        l->skipping = false;
        *used_out = 1;
        return SMTP_LINE_TOO_LONG;
    }
    at = crlf_find(in);
    if (at == in.len) {
        l->skipped_cr = in.ptr[in.len - 1] == '\r';
        *used_out = in.len;
        return SMTP_LINE_MORE;
    }
    l->skipping = false;
    *used_out = at + 2;
    return SMTP_LINE_TOO_LONG;
}

/* No end in sight: holds what came, or starts to pass over it once it cannot fit any more. A last
 * CR may belong to the line's end. */
static enum smtp_line_result hold(struct smtp_line *l, struct slice in, size_t size_max,
                                  size_t *used_out)
{
    bool cr = in.ptr[in.len - 1] == '\r';

    *used_out = in.len;
    if (l->held.len + in.len - cr > size_max) {
        l->skipping = true;
        l->skipped_cr = cr;
        held_clear(l);
    } else {
        buf_put(&l->held, in);
    }
    return SMTP_LINE_MORE;
}

static enum smtp_line_result join(struct smtp_line *l, struct slice in, size_t size_max,
                                  struct slice *line_out, size_t *used_out)
{
    size_t at;

    if (l->held.ptr[l->held.len - 1] == '\r' && in.ptr[0] == '\n') {
        l->held.len--;
        *used_out = 1;
    } else {
        at = crlf_find(in);
        if (at == in.len) {
            return hold(l, in, size_max, used_out);
        }
        *used_out = at + 2;
        if (l->held.len + at > size_max) {
            held_clear(l);
            return SMTP_LINE_TOO_LONG;
        }
        buf_append(&l->held, in.ptr, at);
    }
    l->spent = true;
    *line_out = buf_slice(&l->held);
    return SMTP_LINE_OK;
}

enum smtp_line_result smtp_line_cut(struct smtp_line *l, struct slice in, size_t size_max,
                                    struct slice *line_out, size_t *used_out)
{
    size_t at;

    *used_out = 0;
    if (l->spent) {
        held_clear(l);
    }
    if (in.len == 0) {
        return SMTP_LINE_MORE;
    }
    if (l->skipping) {
        return skip(l, in, used_out);
    }
    if (l->held.len != 0) {
        return join(l, in, size_max, line_out, used_out);
    }
    at = crlf_find(in);
    if (at == in.len) {
        return hold(l, in, size_max, used_out);
    }
    *used_out = at + 2;
    *line_out = slice_head(in, at);
    return at > size_max ? SMTP_LINE_TOO_LONG : SMTP_LINE_OK;
}

void smtp_line_keep(struct smtp_line *l, struct slice *line)
{
    const char *held = l->held.ptr;

    if (l->spent && held != NULL && line->ptr >= held && line->ptr <= held + l->held.len) {
        return;
    }
    buf_clear(&l->held);
    buf_put(&l->held, *line);
    l->spent = true;
    line->ptr = l->held.ptr;
}

void smtp_line_free(struct smtp_line *l)
{
    buf_free(&l->held);
    *l = (struct smtp_line){0};
}
