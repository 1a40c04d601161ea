#include "proto/mime.h"

#include "core/base/base64.h"
#include "proto/header.h"

/* ---- structured values ---- */

struct cursor {
    struct slice text;
    size_t at;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_token(char c)
{
    return (unsigned char)c > ' ' && c != 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* Blanks, folding and comments. */
static void skip(struct cursor *c)
{
    size_t depth = 0;

    while (c->at < c->text.len) {
        char now = c->text.ptr[c->at];

        if (now == '(') {
            depth++;
        } else if (depth > 0 && now == ')') {
            depth--;
        } else if (depth > 0 && now == '\\' && c->at + 1 < c->text.len) {
            c->at++;
        } else if (depth == 0 && !is_blank(now)) {
            return;
        }
        c->at++;
    }
}

static bool take_char(struct cursor *c, char wanted)
{
    skip(c);
    if (c->at == c->text.len || c->text.ptr[c->at] != wanted) {
        return false;
    }
    c->at++;
    return true;
}

static struct slice take_token(struct cursor *c)
{
    size_t start;

    skip(c);
    start = c->at;
    while (c->at < c->text.len && is_token(c->text.ptr[c->at])) {
        c->at++;
    }
    return slice_of(c->text.ptr + start, c->at - start);
}

/* A token or a quoted string; false when it is neither. out may be NULL. */
static bool take_value(struct cursor *c, struct buf *out)
{
    if (!take_char(c, '"')) {
        struct slice token = take_token(c);

        if (out != NULL) {
            buf_put(out, token);
        }
        return token.len > 0;
    }
    while (c->at < c->text.len && c->text.ptr[c->at] != '"') {
        char now = c->text.ptr[c->at++];

        if (now == '\\' && c->at < c->text.len) {
            now = c->text.ptr[c->at++];
        }
        if (out != NULL && now != '\r' && now != '\n') {
            buf_char(out, now);
        }
    }
    return take_char(c, '"');
}

/* ---- entities ---- */

static enum mime_encoding parse_encoding(struct slice raw_value)
{
    struct cursor c = {.text = raw_value};
    struct slice word = take_token(&c);

    if (slice_eq_nocase(word, SLICE("base64"))) {
        return MIME_BASE64;
    }
    return slice_eq_nocase(word, SLICE("quoted-printable")) ? MIME_QUOTED_PRINTABLE
                                                            : MIME_AS_IT_IS;
}

void mime_entity_cut(struct slice bytes, struct mime_entity *out)
{
    struct header h;
    size_t end, at = 0;

    *out = (struct mime_entity){.type = SLICE_INIT("")};
    if (!header_block_end(bytes, &end)) {
        end = bytes.len;
    }
    out->head = slice_head(bytes, end);
    out->body = slice_from(bytes, header_block_size(bytes));
    if (header_find(out->head, SLICE("Content-Type"), &at, &h)) {
        out->type = h.raw_value;
    }
    at = 0;
    if (header_find(out->head, SLICE("Content-Transfer-Encoding"), &at, &h)) {
        out->encoding = parse_encoding(h.raw_value);
    }
}

bool mime_is(const struct mime_entity *e, struct slice type)
{
    size_t slash = slice_find_char(type, '/');
    struct cursor c = {.text = e->type};

    return slice_eq_nocase(take_token(&c), slice_head(type, slash)) && take_char(&c, '/') &&
           slice_eq_nocase(take_token(&c), slice_from(type, slash + 1));
}

bool mime_param_put(const struct mime_entity *e, struct slice name, struct buf *out)
{
    struct cursor c = {.text = e->type};

    (void)take_token(&c);
    if (!take_char(&c, '/')) {
        return false;
    }
    (void)take_token(&c);
    while (take_char(&c, ';')) {
        struct slice found = take_token(&c);
        bool wanted = slice_eq_nocase(found, name);

        if (found.len == 0) {
            continue;
        }
        if (!take_char(&c, '=')) {
            return false;
        }
        if (!take_value(&c, wanted ? out : NULL)) {
            return false;
        }
        if (wanted) {
            return true;
        }
    }
    return false;
}

/* ---- transfer encodings ---- */

static bool put_base64(struct slice body, struct buf *out)
{
    struct buf packed = {0};
    bool ok;

    buf_reserve(&packed, body.len);
    for (size_t i = 0; i < body.len; i++) {
        if (!is_blank(body.ptr[i])) {
            packed.ptr[packed.len++] = body.ptr[i];
        }
    }
    ok = base64_decode_as(out, buf_slice(&packed), BASE64_PAD_OPTIONAL);
    buf_free(&packed);
    return ok;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* What follows '=' when that ends a line softly: blanks and the line end; 0 when it does not. */
static size_t soft_break(struct slice rest)
{
    size_t at = 0;

    while (at < rest.len && (rest.ptr[at] == ' ' || rest.ptr[at] == '\t')) {
        at++;
    }
    if (at < rest.len && rest.ptr[at] == '\r') {
        at++;
    }
    return at < rest.len && rest.ptr[at] == '\n' ? at + 1 : at == rest.len ? at : 0;
}

/* What is no escape stays as it is. */
static void put_quoted_printable(struct slice body, struct buf *out)
{
    buf_reserve(out, body.len);
    for (size_t i = 0; i < body.len; i++) {
        struct slice rest = slice_from(body, i + 1);
        int high, low;

        if (body.ptr[i] != '=') {
            buf_char(out, body.ptr[i]);
            continue;
        }
        if (rest.len >= 2 && (high = hex_value(rest.ptr[0])) >= 0 &&
            (low = hex_value(rest.ptr[1])) >= 0) {
            buf_char(out, (char)(high << 4 | low));
            i += 2;
        } else if (rest.len == 0 || soft_break(rest) > 0) {
            i += soft_break(rest);
        } else {
            buf_char(out, '=');
        }
    }
}

bool mime_body_put(const struct mime_entity *e, struct buf *out)
{
    switch (e->encoding) {
    case MIME_BASE64:
        return put_base64(e->body, out);
    case MIME_QUOTED_PRINTABLE:
        put_quoted_printable(e->body, out);
        return true;
    case MIME_AS_IT_IS:
        buf_put(out, e->body);
        return true;
    }
    return false;
}

/* ---- multiparts ---- */

enum line_kind { LINE_TEXT = 0, LINE_DELIMITER, LINE_CLOSE };

static size_t line_end(struct slice s, size_t at)
{
    const char *lf = memchr(s.ptr + at, '\n', s.len - at);

    return lf != NULL ? (size_t)(lf - s.ptr) + 1 : s.len;
}

static enum line_kind line_judge(const struct mime_parts *p, struct slice line)
{
    enum line_kind kind = LINE_DELIMITER;

    if (!slice_starts(line, SLICE("--"))) {
        return LINE_TEXT;
    }
    line = slice_from(line, 2);
    if (!slice_starts(line, p->boundary)) {
        return LINE_TEXT;
    }
    line = slice_from(line, p->boundary.len);
    if (slice_starts(line, SLICE("--"))) {
        kind = LINE_CLOSE;
        line = slice_from(line, 2);
    }
    for (size_t i = 0; i < line.len; i++) {
        if (!is_blank(line.ptr[i])) {
            return LINE_TEXT;
        }
    }
    return kind;
}

/* Goes to the next delimiter: p->at behind it. Answers where its line begins; the end of the body
 * when there is none, and then, or when it closes, p->ended. */
static size_t next_delimiter(struct mime_parts *p)
{
    while (p->at < p->body.len) {
        size_t start = p->at;
        enum line_kind kind;

        p->at = line_end(p->body, start);
        kind = line_judge(p, slice_of(p->body.ptr + start, p->at - start));
        if (kind != LINE_TEXT) {
            p->ended = kind == LINE_CLOSE;
            return start;
        }
    }
    p->ended = true;
    return p->body.len;
}

bool mime_parts_open(struct mime_parts *p, const struct mime_entity *multipart)
{
    struct cursor c = {.text = multipart->type};
    struct buf boundary = {0};
    bool ok = slice_eq_nocase(take_token(&c), SLICE("multipart")) &&
              mime_param_put(multipart, SLICE("boundary"), &boundary) && boundary.len > 0 &&
              boundary.len <= MIME_BOUNDARY_MAX;

    if (ok) {
        p->body = multipart->body;
        memcpy(p->boundary_text, boundary.ptr, boundary.len);
        p->boundary = slice_of(p->boundary_text, boundary.len);
        p->at = 0;
        p->ended = false;
        (void)next_delimiter(p); /* what stands before it is for readers without MIME */
    }
    buf_free(&boundary);
    return ok;
}

bool mime_parts_next(struct mime_parts *p, struct mime_entity *out)
{
    size_t start = p->at, end;

    if (p->ended || start == p->body.len) {
        return false;
    }
    end = next_delimiter(p);
    if (end < p->body.len) { /* the line end before a delimiter belongs to it */
        end -= end > start && p->body.ptr[end - 1] == '\n';
        end -= end > start && p->body.ptr[end - 1] == '\r';
    }
    mime_entity_cut(slice_of(p->body.ptr + start, end - start), out);
    return true;
}
