#include "proto/header.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Offset behind the LF that ends the line at `at`; the end when there is none. */
static size_t line_end(struct slice bytes, size_t at)
{
    const char *lf = memchr(bytes.ptr + at, '\n', bytes.len - at);

    return lf != NULL ? (size_t)(lf - bytes.ptr) + 1 : bytes.len;
}

/* Length of the empty line at `at`, its line end; 0 when the line is not empty. */
static size_t empty_line(struct slice bytes, size_t at)
{
    if (at < bytes.len && bytes.ptr[at] == '\n') {
        return 1;
    }
    return at + 1 < bytes.len && bytes.ptr[at] == '\r' && bytes.ptr[at + 1] == '\n' ? 2 : 0;
}

static struct slice without_line_end(struct slice s)
{
    if (s.len != 0 && s.ptr[s.len - 1] == '\n') {
        s.len--;
        if (s.len != 0 && s.ptr[s.len - 1] == '\r') {
            s.len--;
        }
    }
    return s;
}

bool header_next(struct slice bytes, size_t *at, struct header *out)
{
    size_t start = *at, end, colon, name_len;
    struct slice text;
    bool has_colon;

    if (start >= bytes.len || empty_line(bytes, start) != 0) {
        return false;
    }
    end = line_end(bytes, start);
    text = without_line_end(slice_of(bytes.ptr + start, end - start));
    colon = slice_find_char(text, ':'); /* a continuation never holds the name's colon */
    has_colon = colon < text.len;
    while (end < bytes.len && is_blank(bytes.ptr[end])) {
        end = line_end(bytes, end);
    }
    *at = end;
    out->field = slice_of(bytes.ptr + start, end - start);
    text = without_line_end(out->field);
    if (!has_colon) {
        out->name = text;
        out->raw_value = slice_from(text, text.len);
        return true;
    }
    name_len = colon;
    while (name_len != 0 && is_blank(text.ptr[name_len - 1])) {
        name_len--;
    }
    out->name = slice_head(text, name_len);
    do {
        colon++;
    } while (colon < text.len && text.ptr[colon] == ' ');
    out->raw_value = slice_from(text, colon);
    return true;
}

bool header_find(struct slice bytes, struct slice name, size_t *at, struct header *out)
{
    while (header_next(bytes, at, out)) {
        if (slice_eq_nocase(out->name, name)) {
            return true;
        }
    }
    return false;
}

bool header_block_end(struct slice message, size_t *at_out)
{
    size_t at = 0;

    while (at < message.len) {
        if (empty_line(message, at) != 0) {
            *at_out = at;
            return true;
        }
        at = line_end(message, at);
    }
    return false;
}

size_t header_block_size(struct slice message)
{
    size_t at;

    return header_block_end(message, &at) ? at + empty_line(message, at) : message.len;
}

bool header_name_matches(struct slice name, struct slice pattern)
{
    if (slice_ends(pattern, SLICE("*"))) {
        return slice_starts_nocase(name, slice_head(pattern, pattern.len - 1));
    }
    return slice_eq_nocase(name, pattern);
}

void header_unfold_put(struct buf *out, struct slice raw_value)
{
    bool in_blanks = false;

    buf_reserve(out, raw_value.len);
    for (size_t i = 0; i < raw_value.len; i++) {
        char c = raw_value.ptr[i];

        if (is_blank(c) || c == '\r' || c == '\n') {
            if (!in_blanks) {
                buf_char(out, ' ');
            }
            in_blanks = true;
        } else {
            buf_char(out, c);
            in_blanks = false;
        }
    }
}
