/* RFC 5321 4.2:
 *     reply-line = *( code "-" [ textstring ] CRLF ) code [ SP textstring ] CRLF
 * A code without text and without the space is accepted, as 4.2 asks of clients. */
#include "proto/smtp_reply.h"

#include <string.h>

#include "core/base/utf8.h"

static const char *const err_text[SMTP_REPLY_CUT_COUNT] = {
#define SMTP_REPLY_ERR(name, text) [SMTP_REPLY_##name] = text,
#include "proto/smtp_reply_err.def"
#undef SMTP_REPLY_ERR
};

const char *smtp_reply_err_text(enum smtp_reply_cut err)
{
    MUST(err < SMTP_REPLY_CUT_COUNT && err_text[err] != NULL);
    return err_text[err];
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The code at the front of a line without its CRLF; 0 when the line is none of a reply. A first
 * digit outside 2 to 5 means nothing to a client, so it is no reply either. */
static uint16_t line_code(struct slice line)
{
    const char *p = line.ptr;

    if (line.len < 3 || p[0] < '2' || p[0] > '5' || !is_digit(p[1]) || !is_digit(p[2])) {
        return 0;
    }
    if (line.len > 3 && p[3] != ' ' && p[3] != '-') {
        return 0;
    }
    return (uint16_t)((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
}

/* Offset of the first CR LF at or after `from`; in.len when there is none. */
static size_t find_crlf(struct slice in, size_t from)
{
    while (from < in.len) {
        const char *lf = memchr(in.ptr + from, '\n', in.len - from);

        if (lf == NULL) {
            break;
        }
        if (lf > in.ptr && lf[-1] == '\r') {
            return (size_t)(lf - in.ptr) - 1;
        }
        from = (size_t)(lf - in.ptr) + 1;
    }
    return in.len;
}

static enum smtp_reply_cut incomplete(struct slice in, struct smtp_reply_scan *scan)
{
    /* A CR at the end may be the first half of the line's end. */
    size_t len = in.len != 0 && in.ptr[in.len - 1] == '\r' ? in.len - 1 : in.len;

    if (len > scan->line_at + SMTP_REPLY_LINE_MAX || len > SMTP_REPLY_SIZE_MAX) {
        return SMTP_REPLY_TOO_LONG;
    }
    scan->seen = (uint32_t)in.len;
    return SMTP_REPLY_MORE;
}

enum smtp_reply_cut smtp_reply_cut(struct slice in, struct smtp_reply_scan *scan,
                                   struct smtp_reply *out, size_t *used_out)
{
    struct slice line;
    uint16_t code;
    bool is_last;

    do {
        size_t end = find_crlf(in, scan->seen > scan->line_at ? scan->seen : scan->line_at);

        if (end == in.len) {
            return incomplete(in, scan);
        }
        line = slice_of(in.ptr + scan->line_at, end - scan->line_at);
        out->raw = line;
        if (line.len > SMTP_REPLY_LINE_MAX || end > SMTP_REPLY_SIZE_MAX) {
            return SMTP_REPLY_TOO_LONG;
        }
        if (!utf8_valid(line)) {
            return SMTP_REPLY_NOT_UTF8;
        }
        code = line_code(line);
        if (code == 0 || (scan->code != 0 && scan->code != code)) {
            return SMTP_REPLY_MALFORMED;
        }
        is_last = line.len == 3 || line.ptr[3] == ' ';
        scan->code = code;
        scan->line_at = (uint32_t)end + 2;
    } while (!is_last);

    *used_out = scan->line_at;
    *out = (struct smtp_reply){.code = code, .raw = slice_head(in, scan->line_at)};
    return SMTP_REPLY_OK;
}

bool smtp_reply_next_line(const struct smtp_reply *reply, size_t *at, struct slice *line_out)
{
    size_t end;

    if (*at >= reply->raw.len) {
        return false;
    }
    end = find_crlf(reply->raw, *at);
    *line_out = slice_from(slice_of(reply->raw.ptr + *at, end - *at), 4);
    *at = end + 2;
    return true;
}

/* Up to five digits that fit sixteen bits, then `stop`; both are consumed. */
static bool cut_number(struct slice *s, char stop, uint16_t *out)
{
    uint32_t value = 0;
    size_t i = 0;

    while (i < s->len && i < 5 && is_digit(s->ptr[i])) {
        value = value * 10 + (uint32_t)(s->ptr[i] - '0');
        i++;
    }
    if (i == 0 || i == s->len || s->ptr[i] != stop || value > UINT16_MAX) {
        return false;
    }
    *out = (uint16_t)value;
    *s = slice_from(*s, i + 1);
    return true;
}

bool smtp_enhanced_cut(struct slice text, struct smtp_enhanced *out, struct slice *rest_out)
{
    struct smtp_enhanced enhanced;

    if (text.len < 6 || text.ptr[1] != '.' ||
        (text.ptr[0] != '2' && text.ptr[0] != '4' && text.ptr[0] != '5')) {
        return false;
    }
    enhanced.class = (uint8_t)(text.ptr[0] - '0');
    text = slice_from(text, 2);
    if (!cut_number(&text, '.', &enhanced.subject) || !cut_number(&text, ' ', &enhanced.detail)) {
        return false;
    }
    *out = enhanced;
    *rest_out = text;
    return true;
}

struct smtp_enhanced smtp_reply_enhanced(const struct smtp_reply *reply)
{
    struct smtp_enhanced enhanced = {0};
    struct slice rest;

    /* No need to look for the end of the first line: an enhanced code does not go past it. */
    (void)!smtp_enhanced_cut(slice_from(reply->raw, 4), &enhanced, &rest);
    return enhanced;
}

/* The lines of a text, one after the other. */
struct content {
    struct slice prefix; /* what is cut off each line that begins with it */
    struct smtp_enhanced enhanced;
    bool begun;
};

static void content_line_put(struct content *c, struct buf *out, struct slice line)
{
    struct slice rest;

    if (c->begun) {
        buf_char(out, '\n');
    } else if (smtp_enhanced_cut(line, &c->enhanced, &rest)) {
        c->prefix = slice_head(line, line.len - rest.len);
    }
    buf_put(out, slice_starts(line, c->prefix) ? slice_from(line, c->prefix.len) : line);
    c->begun = true;
}

void smtp_reply_content_put(struct buf *out, const struct smtp_reply *reply)
{
    struct content c = {0};
    struct slice line;

    buf_reserve(out, reply->raw.len);
    for (size_t at = 0; smtp_reply_next_line(reply, &at, &line);) {
        content_line_put(&c, out, line);
    }
}

struct smtp_enhanced smtp_text_content_put(struct buf *out, struct slice text)
{
    struct content c = {0};

    for (bool more = true; more;) {
        size_t end = slice_find_char(text, '\n');

        content_line_put(&c, out, slice_head(text, end));
        more = end < text.len;
        text = slice_from(text, more ? end + 1 : end);
    }
    return c.enhanced;
}

void smtp_single_line_put(struct buf *out, struct slice content)
{
    buf_reserve(out, content.len);
    for (size_t i = 0; i < content.len; i++) {
        char c = content.ptr[i];

        if (c == '\r' && i + 1 < content.len && content.ptr[i + 1] == '\n') {
            continue;
        }
        buf_char(out, c == '\r' || c == '\n' ? ' ' : c);
    }
}

void smtp_reply_single_line_put(struct buf *out, uint16_t code, struct smtp_enhanced enhanced,
                                struct slice content)
{
    buf_u64(out, code);
    buf_char(out, ' ');
    if (enhanced.class != 0) {
        buf_u64(out, enhanced.class);
        buf_char(out, '.');
        buf_u64(out, enhanced.subject);
        buf_char(out, '.');
        buf_u64(out, enhanced.detail);
        buf_char(out, ' ');
    }
    smtp_single_line_put(out, content);
}
