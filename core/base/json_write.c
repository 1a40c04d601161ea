/* Trees and strings to text. */
#include "core/base/json_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/utf8.h"

#define ONES UINT64_C(0x0101010101010101)
#define HIGH_BITS (ONES * 0x80)

/* The high bit of every byte that is zero; exact up to the first one. */
static inline uint64_t zero_bytes(uint64_t word)
{
    return (word - ONES) & ~word & HIGH_BITS;
}

/* The high bit of every byte below 0x20, '"' or '\\'; exact up to the first one, which is all
 * that is asked. */
static inline uint64_t special_bytes(uint64_t word)
{
    return ((word - ONES * 0x20) & ~word & HIGH_BITS) | zero_bytes(word ^ (ONES * '"')) |
           zero_bytes(word ^ (ONES * '\\'));
}

static inline bool is_special(uint8_t c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

/* How many of the eight bytes come before the first special one; with `high`, one above 0x7f counts
 * as special. */
static inline unsigned word_plain_len(const char *at, bool high)
{
    uint64_t word, hits;

    memcpy(&word, at, 8);
    hits = special_bytes(word) | (high ? word & HIGH_BITS : 0);
    return hits != 0 ? (unsigned)__builtin_ctzll(hits) / 8 : 8;
}

#define BLOCK_SIZE 16u

/* The same of a block. */
#ifdef __SSE2__
static inline unsigned block_plain_len(const char *at, bool high)
{
    __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
    /* The first compare is signed: bytes above 0x7f count as below 0x20. */
    __m128i low = high ? _mm_cmplt_epi8(block, _mm_set1_epi8(0x20))
                       : _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
    __m128i quoted = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                                  _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
    unsigned hits = (unsigned)_mm_movemask_epi8(_mm_or_si128(low, quoted));

    return (unsigned)__builtin_ctz(hits | 1u << BLOCK_SIZE);
}
#else
static inline unsigned block_plain_len(const char *at, bool high)
{
    unsigned len = word_plain_len(at, high);

    return len < 8 ? len : 8 + word_plain_len(at + 8, high);
}
#endif

static inline const char *plain_end(const char *at, const char *end, bool high)
{
    for (; end - at >= BLOCK_SIZE; at += BLOCK_SIZE) {
        unsigned len = block_plain_len(at, high);

        if (len < BLOCK_SIZE) {
            return at + len;
        }
    }
    if (end - at >= 8) {
        unsigned len = word_plain_len(at, high);

        if (len < 8) {
            return at + len;
        }
        at += 8;
    }
    while (at < end && !is_special((uint8_t)*at) && !(high && (uint8_t)*at >= 0x80)) {
        at++;
    }
    return at;
}

const char *json_plain_end(const char *at, const char *end)
{
    return plain_end(at, end, false);
}

static void put_escape(struct buf *out, uint8_t c)
{
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
    };
    static const char hex[] = "0123456789abcdef";

    if (c < 0x20 && letters[c] == 0) {
        char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 0xf]};

        buf_append(out, text, sizeof(text));
    } else {
        char text[2] = {'\\', c < 0x20 ? letters[c] : (char)c};

        buf_append(out, text, sizeof(text));
    }
}

/* Appends what is not plain all through. */
static void put_escaped(struct buf *out, struct slice s)
{
    const char *at = s.ptr, *end = at + s.len;

    while (at < end) {
        const char *stop = plain_end(at, end, true);
        size_t len;

        while (stop < end && (uint8_t)*stop >= 0x80 &&
               utf8_step(slice_of(stop, (size_t)(end - stop)), &len)) {
            stop += len;
        }
        buf_append(out, at, (size_t)(stop - at));
        at = stop;
        if (at == end) {
            break;
        }
        if ((uint8_t)*at >= 0x80) {
            (void)utf8_step(slice_of(at, (size_t)(end - at)), &len);
            BUF_LIT(out, "\xef\xbf\xbd");
            at += len;
        } else if (is_special((uint8_t)*at)) {
            put_escape(out, (uint8_t)*at);
            at++;
        }
    }
}

/* Appends the string with its quotes as if it were plain and answers how many of its bytes are:
 * most strings are short and plain, and a block of quotes at the end stops the look at any
 * of them. */
static size_t put_plain(struct buf *out, struct slice s)
{
    const char *at;
    char *text;
    unsigned len;

    buf_reserve(out, 1 + s.len + BLOCK_SIZE);
    text = out->ptr + out->len;
    *text++ = '"';
    if (s.len != 0) {
        memcpy(text, s.ptr, s.len);
    }
    memset(text + s.len, '"', BLOCK_SIZE);
    for (at = text; (len = block_plain_len(at, true)) == BLOCK_SIZE;) {
        at += BLOCK_SIZE;
    }
    return (size_t)(at - text) + len;
}

void json_write_string(struct buf *out, struct slice s)
{
    size_t plain_len = put_plain(out, s);

    out->len += 1 + plain_len;
    if (plain_len < s.len) {
        put_escaped(out, slice_from(s, plain_len));
    }
    buf_char(out, '"');
}

/* "1e-05" and "1e+300" lose what no reader needs. */
static size_t trim_exponent(char *text, size_t len)
{
    char *e = memchr(text, 'e', len);
    size_t digits;

    if (e == NULL) {
        return len;
    }
    digits = (size_t)(e + 1 - text) + (e[1] == '-');
    size_t from = (size_t)(e + 2 - text);
    while (from + 1 < len && text[from] == '0') {
        from++;
    }
    memmove(text + digits, text + from, len - from);
    return digits + (len - from);
}

void json_write_double(struct buf *out, double v)
{
    char text[40];
    int len;

    if (!isfinite(v)) {
        BUF_LIT(out, "null");
        return;
    }
    if (v == floor(v) && fabs(v) < 1e16) {
        len = snprintf(text, sizeof(text), "%.0f", v);
        buf_append(out, text, (size_t)len);
        return;
    }
    /* The fewest digits that read back as the same number. */
    for (int precision = 15; precision <= 17; precision++) {
        len = snprintf(text, sizeof(text), "%.*g", precision, v);
        if (strtod(text, NULL) == v) {
            break;
        }
    }
    buf_append(out, text, trim_exponent(text, (size_t)len));
}

static void put_int(struct buf *out, int64_t v)
{
    if (v < 0) {
        buf_char(out, '-');
    }
    buf_u64(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

/* What nothing nests in. */
static void write_scalar(struct buf *out, const struct json *v)
{
    switch ((enum json_type)v->type) {
    case JSON_BOOL:
        buf_put(out, v->boolean ? SLICE("true") : SLICE("false"));
        break;
    case JSON_INT:
        put_int(out, v->integer);
        break;
    case JSON_UINT:
        buf_u64(out, v->uinteger);
        break;
    case JSON_DOUBLE:
        json_write_double(out, v->number);
        break;
    case JSON_STRING:
        json_write_string(out, v->string);
        break;
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT:
        BUF_LIT(out, "null");
        break;
    }
}

static void write_compact(struct buf *out, const struct json *v, unsigned depth)
{
    bool object = v->type == JSON_OBJECT;

    MUST(depth <= JSON_DEPTH_MAX);
    if (!object && v->type != JSON_ARRAY) {
        write_scalar(out, v);
        return;
    }
    buf_char(out, object ? '{' : '[');
    for (const struct json *item = v->first; item != NULL; item = item->next) {
        if (item != v->first) {
            buf_char(out, ',');
        }
        if (object) {
            json_write_string(out, item->key);
            buf_char(out, ':');
        }
        write_compact(out, item, depth + 1);
    }
    buf_char(out, object ? '}' : ']');
}

void json_write(struct buf *out, const struct json *v)
{
    write_compact(out, v, 0);
}

static int by_key(const void *a, const void *b)
{
    const struct json *x = *(const struct json *const *)a, *y = *(const struct json *const *)b;

    return slice_cmp(x->key, y->key);
}

static void indent(struct buf *out, unsigned depth)
{
    buf_char(out, '\n');
    for (unsigned i = 0; i < depth; i++) {
        BUF_LIT(out, "  ");
    }
}

static void write_pretty(struct buf *out, const struct json *v, unsigned depth)
{
    bool object = v->type == JSON_OBJECT;
    const struct json **items;
    size_t count = 0;

    MUST(depth <= JSON_DEPTH_MAX);
    if ((!object && v->type != JSON_ARRAY) || v->count == 0) {
        write_compact(out, v, depth);
        return;
    }
    items = mem_take(v->count * sizeof(struct json *));
    for (const struct json *item = v->first; item != NULL; item = item->next) {
        items[count++] = item;
    }
    if (object) {
        qsort(items, count, sizeof(struct json *), by_key);
    }
    buf_char(out, object ? '{' : '[');
    for (size_t i = 0; i < count; i++) {
        if (i != 0) {
            buf_char(out, ',');
        }
        indent(out, depth + 1);
        if (object) {
            json_write_string(out, items[i]->key);
            BUF_LIT(out, ": ");
        }
        write_pretty(out, items[i], depth + 1);
    }
    mem_give(items);
    indent(out, depth);
    buf_char(out, object ? '}' : ']');
}

void json_write_pretty(struct buf *out, const struct json *v)
{
    write_pretty(out, v, 0);
}
