/* Recursive descent over the whole text, at most JSON_DEPTH_MAX deep. */
#include "core/base/json_private.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/utf8.h"

struct parser {
    const char *start, *at, *end;
    unsigned flags;
    unsigned depth;
    bool refused; /* `why` has the first complaint */
    struct json_doc *doc;
    struct buf *why;
    struct buf scratch; /* decoded strings, terminated numbers */
};

static struct json *refuse(struct parser *p, const char *what)
{
    size_t line = 1, column = 0;

    for (const char *c = p->start; c < p->end && c <= p->at; c++) {
        column++;
        if (c < p->at && *c == '\n') {
            line++;
            column = 0;
        }
    }
    if (!p->refused) {
        p->refused = true;
        buf_printf(p->why, "%s at line %zu column %zu", what, line, column);
    }
    return NULL;
}

/* Where the text ends too early the complaint is about the end, else about the byte. */
static struct json *refuse_or_eof(struct parser *p, const char *what, const char *eof)
{
    return refuse(p, p->at == p->end ? eof : what);
}

/* Skips a comment if one starts here; false when a block comment does not end. */
static bool skip_comment(struct parser *p, bool *skipped)
{
    const char *end;

    *skipped = true;
    if (*p->at == '#' || (p->end - p->at >= 2 && p->at[0] == '/' && p->at[1] == '/')) {
        end = memchr(p->at, '\n', (size_t)(p->end - p->at));
        p->at = end != NULL ? end : p->end;
        return true;
    }
    if (p->end - p->at >= 2 && p->at[0] == '/' && p->at[1] == '*') {
        end = memmem(p->at + 2, (size_t)(p->end - p->at - 2), "*/", 2);
        if (end == NULL) {
            p->at = p->end;
            (void)refuse(p, "EOF while parsing a comment");
            return false;
        }
        p->at = end + 2;
        return true;
    }
    *skipped = false;
    return true;
}

static bool skip_space(struct parser *p)
{
    for (; p->at < p->end; p->at++) {
        bool skipped = true;

        while (p->at < p->end && skipped && (p->flags & JSON_COMMENTS) != 0) {
            if (!skip_comment(p, &skipped)) {
                return false;
            }
        }
        if (p->at == p->end ||
            (*p->at != ' ' && *p->at != '\t' && *p->at != '\n' && *p->at != '\r')) {
            return true;
        }
    }
    return true;
}

static bool hex4(struct parser *p, uint32_t *out)
{
    uint32_t value = 0;

    if (p->end - p->at < 4) {
        p->at = p->end;
        (void)refuse(p, "EOF while parsing a string");
        return false;
    }
    for (int i = 0; i < 4; i++, p->at++) {
        char c = char_lower(*p->at);

        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint32_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (uint32_t)(c - 'a' + 10);
        } else {
            (void)refuse(p, "invalid escape");
            return false;
        }
    }
    *out = value;
    return true;
}

/* After "\u". A surrogate counts only as half of a pair. */
static bool unicode_escape(struct parser *p)
{
    uint32_t code, low;

    if (!hex4(p, &code)) {
        return false;
    }
    if (code >= 0xdc00 && code <= 0xdfff) {
        (void)refuse(p, "lone leading surrogate in hex escape");
        return false;
    }
    if (code >= 0xd800 && code <= 0xdbff) {
        if (p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u') {
            (void)refuse(p, "unexpected end of hex escape");
            return false;
        }
        p->at += 2;
        if (!hex4(p, &low)) {
            return false;
        }
        if (low < 0xdc00 || low > 0xdfff) {
            (void)refuse(p, "lone leading surrogate in hex escape");
            return false;
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    utf8_put(&p->scratch, code);
    return true;
}

static bool escape(struct parser *p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *hit;
    char c;

    if (p->at == p->end) {
        (void)refuse(p, "EOF while parsing a string");
        return false;
    }
    c = *p->at;
    if (c == 'u') {
        p->at++;
        return unicode_escape(p);
    }
    hit = c != '\0' ? strchr(from, c) : NULL;
    if (hit == NULL) {
        (void)refuse(p, "invalid escape");
        return false;
    }
    p->at++;
    buf_char(&p->scratch, to[hit - from]);
    return true;
}

/* The string whose opening quote is under the cursor: borrowed from the text, or from scratch
 * where it has escapes. */
static bool string(struct parser *p, struct slice *out)
{
    const char *run = ++p->at;
    bool escaped = false;

    for (;;) {
        const char *stop = json_plain_end(p->at, p->end);

        p->at = stop;
        if (stop == p->end) {
            (void)refuse(p, "EOF while parsing a string");
            return false;
        }
        if (*stop == '"') {
            break;
        }
        if (*stop != '\\') {
            (void)refuse(p, "control character (\\u0000-\\u001F) found while parsing a string");
            return false;
        }
        if (!escaped) {
            escaped = true;
            buf_clear(&p->scratch);
        }
        buf_append(&p->scratch, run, (size_t)(stop - run));
        p->at = stop + 1;
        if (!escape(p)) {
            return false;
        }
        run = p->at;
    }
    *out = slice_of(run, (size_t)(p->at - run));
    if (escaped) {
        buf_put(&p->scratch, *out);
        *out = buf_slice(&p->scratch);
    }
    p->at++;
    return true;
}

static size_t skip_digits(struct parser *p)
{
    const char *from = p->at;

    while (p->at < p->end && *p->at >= '0' && *p->at <= '9') {
        p->at++;
    }
    return (size_t)(p->at - from);
}

/* number = [ "-" ] int [ frac ] [ exp ]   RFC 8259 6; moves the cursor over it */
static bool number_shape(struct parser *p, bool *integral)
{
    const char *digits;
    size_t count;

    *integral = true;
    p->at += *p->at == '-';
    digits = p->at;
    count = skip_digits(p);
    if (count > 1 && *digits == '0') {
        p->at = digits + 1;
        return false;
    }
    if (count == 0) {
        return false;
    }
    if (p->at < p->end && *p->at == '.') {
        *integral = false;
        p->at++;
        if (skip_digits(p) == 0) {
            return false;
        }
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        *integral = false;
        p->at++;
        p->at += p->at < p->end && (*p->at == '+' || *p->at == '-');
        return skip_digits(p) != 0;
    }
    return true;
}

/* Integers that 64 bits hold stay exact; "-0" is a double. */
static struct json *integer(struct parser *p, struct slice text)
{
    bool negative = text.ptr[0] == '-';
    uint64_t magnitude;

    if (!slice_to_u64(slice_from(text, negative), &magnitude)) {
        return NULL;
    }
    if (!negative) {
        return json_new_uint(p->doc, magnitude);
    }
    if (magnitude == 0 || magnitude > (uint64_t)INT64_MAX + 1) {
        return NULL;
    }
    return json_new_int(p->doc, -(int64_t)(magnitude - 1) - 1);
}

static struct json *number(struct parser *p)
{
    const char *from = p->at;
    bool integral;
    struct json *v = NULL;
    double value;

    if (!number_shape(p, &integral)) {
        return refuse_or_eof(p, "invalid number", "EOF while parsing a value");
    }
    if (integral) {
        v = integer(p, slice_of(from, (size_t)(p->at - from)));
    }
    if (v != NULL) {
        return v;
    }
    buf_clear(&p->scratch);
    buf_append(&p->scratch, from, (size_t)(p->at - from));
    buf_char(&p->scratch, '\0');
    value = strtod(p->scratch.ptr, NULL);
    return isfinite(value) ? json_new_double(p->doc, value) : refuse(p, "number out of range");
}

static struct json *word(struct parser *p, struct slice name, struct json *v)
{
    if (!slice_starts(slice_of(p->at, (size_t)(p->end - p->at)), name)) {
        return refuse_or_eof(p, "expected ident", "EOF while parsing a value");
    }
    p->at += name.len;
    return v;
}

static struct json *value(struct parser *p);

static struct json *array(struct parser *p)
{
    struct json *v = json_new(p->doc, JSON_ARRAY);

    p->at++;
    if (!skip_space(p)) {
        return NULL;
    }
    if (p->at < p->end && *p->at == ']') {
        p->at++;
        return v;
    }
    for (;;) {
        struct json *item = value(p);

        if (item == NULL || !skip_space(p)) {
            return NULL;
        }
        json_array_add(v, item);
        if (p->at == p->end || (*p->at != ',' && *p->at != ']')) {
            return refuse_or_eof(p, "expected `,` or `]`", "EOF while parsing a list");
        }
        if (*p->at++ == ']') {
            return v;
        }
    }
}

static bool member(struct parser *p, struct json *object)
{
    struct slice key;
    struct json *item;

    if (!skip_space(p)) {
        return false;
    }
    if (p->at == p->end || *p->at != '"') {
        (void)refuse_or_eof(p, "key must be a string", "EOF while parsing an object");
        return false;
    }
    if (!string(p, &key)) {
        return false;
    }
    key = json_arena_copy(p->doc, key);
    if (!skip_space(p)) {
        return false;
    }
    if (p->at == p->end || *p->at != ':') {
        (void)refuse_or_eof(p, "expected `:`", "EOF while parsing an object");
        return false;
    }
    p->at++;
    item = value(p);
    if (item == NULL) {
        return false;
    }
    json_object_adopt(object, key, item);
    return true;
}

static struct json *object(struct parser *p)
{
    struct json *v = json_new(p->doc, JSON_OBJECT);

    p->at++;
    if (!skip_space(p)) {
        return NULL;
    }
    if (p->at < p->end && *p->at == '}') {
        p->at++;
        return v;
    }
    for (;;) {
        if (!member(p, v) || !skip_space(p)) {
            return NULL;
        }
        if (p->at == p->end || (*p->at != ',' && *p->at != '}')) {
            return refuse_or_eof(p, "expected `,` or `}`", "EOF while parsing an object");
        }
        if (*p->at++ == '}') {
            return v;
        }
    }
}

static struct json *container(struct parser *p)
{
    struct json *v;

    if (p->depth == JSON_DEPTH_MAX) {
        return refuse(p, "recursion limit exceeded");
    }
    p->depth++;
    v = *p->at == '[' ? array(p) : object(p);
    p->depth--;
    return v;
}

static struct json *value(struct parser *p)
{
    struct slice text;

    if (!skip_space(p)) {
        return NULL;
    }
    if (p->at == p->end) {
        return refuse(p, "EOF while parsing a value");
    }
    switch (*p->at) {
    case '{':
    case '[':
        return container(p);
    case '"':
        return string(p, &text) ? json_new_string(p->doc, text) : NULL;
    case 't':
        return word(p, SLICE("true"), json_new_bool(p->doc, true));
    case 'f':
        return word(p, SLICE("false"), json_new_bool(p->doc, false));
    case 'n':
        return word(p, SLICE("null"), json_new(p->doc, JSON_NULL));
    default:
        if (*p->at != '-' && (*p->at < '0' || *p->at > '9')) {
            return refuse(p, "expected value");
        }
        return number(p);
    }
}

bool json_parse(struct slice text, unsigned flags, struct json_doc *out, struct buf *why)
{
    struct parser p = {
        .start = text.ptr,
        .at = text.ptr,
        .end = text.ptr + text.len,
        .flags = flags,
        .doc = out,
        .why = why,
    };
    size_t valid = utf8_valid_len(text);

    *out = (struct json_doc){0};
    if (valid != text.len) {
        p.at = text.ptr + valid;
        (void)refuse(&p, "invalid unicode code point");
    } else {
        out->root = value(&p);
        if (out->root != NULL && (!skip_space(&p) || p.at != p.end)) {
            out->root = refuse(&p, "trailing characters");
        }
    }
    buf_free(&p.scratch);
    if (out->root == NULL) {
        json_doc_free(out);
        return false;
    }
    return true;
}
