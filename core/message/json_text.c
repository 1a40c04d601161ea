#include "core/message/json_text.h"

#include "core/base/hex.h"
#include "core/base/utf8.h"

static bool cut_hex4(struct slice s, size_t at, uint32_t *out)
{
    *out = 0;
    if (at + 4 > s.len) {
        return false;
    }
    for (size_t i = at; i < at + 4; i++) {
        int digit = hex_digit(s.ptr[i]);

        if (digit < 0) {
            return false;
        }
        *out = *out << 4 | (uint32_t)digit;
    }
    return true;
}

/* \uXXXX, or a pair of them, at `at`; answers the bytes used, 0 when malformed. */
static size_t put_unicode_escape(struct buf *out, struct slice s, size_t at)
{
    uint32_t first, second;

    if (!cut_hex4(s, at + 2, &first)) {
        return 0;
    }
    if (first >= 0xd800 && first < 0xdc00 && at + 12 <= s.len && s.ptr[at + 6] == '\\' &&
        s.ptr[at + 7] == 'u' && cut_hex4(s, at + 8, &second) && second >= 0xdc00 &&
        second < 0xe000) {
        utf8_put(out, 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
        return 12;
    }
    utf8_put(out, first >= 0xd800 && first < 0xe000 ? 0xfffd : first);
    return 6;
}

/* One escape at `at`; answers the bytes used, 0 when malformed. */
static size_t put_unescaped(struct buf *out, struct slice s, size_t at)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *hit;

    if (at + 1 >= s.len) {
        return 0;
    }
    if (s.ptr[at + 1] == 'u') {
        return put_unicode_escape(out, s, at);
    }
    hit = memchr(from, s.ptr[at + 1], sizeof(from) - 1);
    if (hit == NULL) {
        return 0;
    }
    buf_char(out, to[hit - from]);
    return 2;
}

bool json_text_get(struct slice json, struct buf *scratch, struct slice *out)
{
    struct slice s;
    size_t at = 0;

    if (!json_text_is_string(json) || json.ptr[json.len - 1] != '"') {
        return false;
    }
    s = slice_of(json.ptr + 1, json.len - 2);
    if (slice_find_char(s, '\\') == s.len) {
        *out = s;
        return true;
    }
    buf_clear(scratch);
    while (at < s.len) {
        size_t run = slice_find_char(slice_from(s, at), '\\');

        buf_append(scratch, s.ptr + at, run);
        at += run;
        if (at < s.len) {
            size_t used = put_unescaped(scratch, s, at);

            if (used == 0) {
                return false;
            }
            at += used;
        }
    }
    *out = buf_slice(scratch);
    return true;
}
