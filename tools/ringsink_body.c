/* Message bytes as they arrive. */
#include "tools/ringsink.h"

#include "core/base/mem.h"

static bool body_kept(const struct sink_conn *c)
{
    return c->worker->plan->options.verify && !c->oversize;
}

void sink_body_begin(struct sink_conn *c)
{
    c->dot_match = 2; /* the DATA line's own CR LF counts */
    c->body_size = 0;
    c->oversize = false;
    c->body_complete = false;
    buf_clear(&c->body);
}

static void body_append(struct sink_conn *c, struct slice bytes)
{
    c->body_size += bytes.len;
    if (c->body_size > c->worker->plan->options.size_max) {
        c->oversize = true;
        buf_free(&c->body);
    } else if (body_kept(c)) {
        buf_put(&c->body, bytes);
    }
}

static void body_check(struct sink_conn *c, bool stuffed)
{
    c->body_complete = true;
    c->checked = TOOL_FOREIGN;
    if (!body_kept(c)) {
        return;
    }
    if (stuffed) {
        c->body.len -= 3; /* the final dot's line */
        c->body.len = tool_unstuff(c->body.ptr, c->body.len);
    }
    c->checked = (uint8_t)tool_message_check(buf_slice(&c->body), &c->mark);
}

/* How far the message goes: one look per line end, since no other byte can begin the end. */
static size_t dot_find(struct sink_conn *c, struct slice in, bool *ended)
{
    static const char end[] = "\r\n.\r\n";
    size_t at = 0;

    *ended = false;
    while (at < in.len) {
        if (c->dot_match == 0) {
            at += slice_find_char(slice_from(in, at), '\r');
            if (at >= in.len) {
                break;
            }
        }
        char byte = in.ptr[at++];

        c->dot_match = byte == end[c->dot_match] ? (uint8_t)(c->dot_match + 1) : byte == '\r';
        if (c->dot_match == sizeof(end) - 1) {
            *ended = true;
            break;
        }
    }
    return at;
}

static size_t data_feed(struct sink_conn *c, struct slice in)
{
    bool ended;
    size_t used = dot_find(c, in, &ended);

    body_append(c, slice_head(in, used));
    if (ended) {
        body_check(c, true);
        c->step = SINK_COMMAND;
        sink_smtp_stage(c, SINK_STAGE_DOT);
    }
    return used;
}

static size_t bdat_feed(struct sink_conn *c, struct slice in)
{
    struct slice chunk = slice_head(in, c->bdat_left);

    body_append(c, chunk);
    c->bdat_left -= chunk.len;
    if (c->bdat_left > 0) {
        return chunk.len;
    }
    c->step = SINK_COMMAND;
    if (c->bdat_last) {
        body_check(c, false);
        sink_smtp_stage(c, SINK_STAGE_DOT);
    } else {
        BUF_LIT(&c->next, "250 2.0.0 chunk taken\r\n");
    }
    return chunk.len;
}

size_t sink_body_feed(struct sink_conn *c, struct slice in)
{
    MUST_HOT(c->step == SINK_BODY || c->step == SINK_BDAT);
    return c->step == SINK_BODY ? data_feed(c, in) : bdat_feed(c, in);
}
