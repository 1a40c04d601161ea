#include "core/base/utf8.h"

#include "core/base/check.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* By lead byte: how long the sequence is, and what its second byte may be. The later ones are
 * 80..bf always. */
struct lead {
    uint8_t len; /* 0: no sequence starts like this */
    uint8_t second_min, second_max;
};

/* Lead bytes c0..ff. */
static const struct lead leads[64] = {
    [0x02 ... 0x1f] = {2, 0x80, 0xbf}, /* c2..df; c0 and c1 would be overlong */
    [0x20] = {3, 0xa0, 0xbf},          [0x21 ... 0x2c] = {3, 0x80, 0xbf},
    [0x2d] = {3, 0x80, 0x9f}, /* above are the surrogates */
    [0x2e ... 0x2f] = {3, 0x80, 0xbf}, [0x30] = {4, 0x90, 0xbf},
    [0x31 ... 0x33] = {4, 0x80, 0xbf}, [0x34] = {4, 0x80, 0x8f}, /* up to U+10FFFF */
};

size_t utf8_ascii_len(struct slice s)
{
    size_t at = 0;

    for (; s.len - at >= 32; at += 32) {
        uint64_t words[4];

        memcpy(words, s.ptr + at, 32);
        if (((words[0] | words[1] | words[2] | words[3]) & HIGH_BITS) != 0) {
            break;
        }
    }
    for (; s.len - at >= 8; at += 8) {
        uint64_t word;

        memcpy(&word, s.ptr + at, 8);
        if ((word & HIGH_BITS) != 0) {
            return at + (size_t)__builtin_ctzll(word & HIGH_BITS) / 8;
        }
    }
    while (at < s.len && (uint8_t)s.ptr[at] < 0x80) {
        at++;
    }
    return at;
}

bool utf8_step(struct slice s, size_t *len)
{
    const uint8_t *bytes = (const uint8_t *)s.ptr;
    const struct lead *lead;
    size_t have = 1;

    MUST_HOT(s.len > 0);
    *len = 1;
    if (bytes[0] < 0x80) {
        return true;
    }
    if (bytes[0] < 0xc0) {
        return false;
    }
    lead = &leads[bytes[0] - 0xc0];
    if (lead->len == 0 || s.len < 2 || bytes[1] < lead->second_min || bytes[1] > lead->second_max) {
        return false;
    }
    for (have = 2; have < lead->len && have < s.len && (bytes[have] & 0xc0) == 0x80;) {
        have++;
    }
    *len = have;
    return have == lead->len;
}

size_t utf8_valid_len(struct slice s)
{
    size_t at = 0, len;

    for (;;) {
        at += utf8_ascii_len(slice_from(s, at));
        /* Text that is not ASCII tends to stay so for a while. */
        while (at < s.len && (uint8_t)s.ptr[at] >= 0x80) {
            if (!utf8_step(slice_from(s, at), &len)) {
                return at;
            }
            at += len;
        }
        if (at == s.len) {
            return at;
        }
    }
}

void utf8_put(struct buf *out, uint32_t code)
{
    char bytes[4];
    size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t mark[5] = {0, 0, 0xc0, 0xe0, 0xf0};

    MUST(code <= 0x10ffff && (code < 0xd800 || code > 0xdfff));
    for (size_t i = len - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    bytes[0] = (char)(mark[len] | code);
    buf_append(out, bytes, len);
}

void utf8_put_lossy(struct buf *out, struct slice s)
{
    while (s.len > 0) {
        size_t len = utf8_valid_len(s);

        buf_append(out, s.ptr, len);
        s = slice_from(s, len);
        if (s.len > 0) {
            BUF_LIT(out, "\xef\xbf\xbd");
            (void)utf8_step(s, &len);
            s = slice_from(s, len);
        }
    }
}
