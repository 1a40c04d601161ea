#include "core/base/base64.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64_encode_as(struct buf *out, struct slice bytes, unsigned flags)
{
    const char *alphabet = (flags & BASE64_URL) != 0 ? url_safe : standard;
    const uint8_t *in = (const uint8_t *)bytes.ptr;
    size_t left = bytes.len;
    char *to;

    buf_reserve(out, bytes.len / 3 * 4 + 4);
    to = out->ptr + out->len;
    for (; left >= 3; left -= 3, in += 3) {
        *to++ = alphabet[in[0] >> 2];
        *to++ = alphabet[(in[0] & 3) << 4 | in[1] >> 4];
        *to++ = alphabet[(in[1] & 15) << 2 | in[2] >> 6];
        *to++ = alphabet[in[2] & 63];
    }
    if (left > 0) {
        *to++ = alphabet[in[0] >> 2];
        *to++ = alphabet[(in[0] & 3) << 4 | (left == 2 ? in[1] >> 4 : 0)];
        if (left == 2) {
            *to++ = alphabet[(in[1] & 15) << 2];
        }
        for (size_t i = left; i < 3 && (flags & BASE64_NO_PAD) == 0; i++) {
            *to++ = '=';
        }
    }
    out->len = (size_t)(to - out->ptr);
}

/* -1 for what is not in the alphabet. */
static int digit_of(char c, unsigned flags)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == ((flags & BASE64_URL) != 0 ? '-' : '+')) {
        return 62;
    }
    return c == ((flags & BASE64_URL) != 0 ? '_' : '/') ? 63 : -1;
}

/* Drops the padding; false when it is not what the length and the flags call for. */
static bool cut_padding(struct slice *text, unsigned flags)
{
    size_t whole = text->len, pad = 0;

    while (pad < 2 && pad < whole && text->ptr[whole - 1 - pad] == '=') {
        pad++;
    }
    text->len -= pad;
    if (text->len % 4 == 1 || (pad != 0 && ((flags & BASE64_NO_PAD) != 0 || whole % 4 != 0))) {
        return false;
    }
    return pad != 0 || text->len % 4 == 0 || (flags & (BASE64_NO_PAD | BASE64_PAD_OPTIONAL)) != 0;
}

bool base64_decode_as(struct buf *out, struct slice text, unsigned flags)
{
    size_t before = out->len;
    uint32_t bits = 0;
    unsigned bit_count = 0;

    if (!cut_padding(&text, flags)) {
        return false;
    }
    buf_reserve(out, text.len / 4 * 3 + 3);
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.ptr[i], flags);

        if (digit < 0) {
            out->len = before;
            return false;
        }
        bits = bits << 6 | (uint32_t)digit;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            out->ptr[out->len++] = (char)(bits >> bit_count);
            bits &= (1u << bit_count) - 1;
        }
    }
    if (bits != 0) {
        out->len = before;
        return false;
    }
    return true;
}
