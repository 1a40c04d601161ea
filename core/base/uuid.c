#include "core/base/uuid.h"

#include "core/base/digits.h"
#include "core/base/hex.h"

#define UUID_TEXT 36u

struct uuid uuid_v4(uint64_t random_high, uint64_t random_low)
{
    struct uuid u;

    memcpy(u.bytes, &random_high, 8);
    memcpy(u.bytes + 8, &random_low, 8);
    u.bytes[6] = (uint8_t)((u.bytes[6] & 0x0f) | 0x40);
    u.bytes[8] = (uint8_t)((u.bytes[8] & 0x3f) | 0x80);
    return u;
}

static bool starts_group(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

bool uuid_parse(struct slice text, struct uuid *out)
{
    static const struct slice urn = SLICE_INIT("urn:uuid:");
    bool hyphens;
    size_t at = 0;

    if (slice_starts_nocase(text, urn)) {
        text = slice_from(text, urn.len);
    } else if (text.len == 38 && text.ptr[0] == '{' && text.ptr[37] == '}') {
        text = slice_of(text.ptr + 1, 36);
    }
    if (text.len != 32 && text.len != 36) {
        return false;
    }
    hyphens = text.len == 36;
    for (size_t i = 0; i < 16; i++, at += 2) {
        int high, low;

        if (hyphens && starts_group(i) && text.ptr[at++] != '-') {
            return false;
        }
        high = hex_digit(text.ptr[at]);
        low = hex_digit(text.ptr[at + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void uuid_put(struct buf *out, const struct uuid *u)
{
    char *to;

    buf_reserve(out, UUID_TEXT);
    to = digits_put_hex(out->ptr + out->len, u->bytes, 4);
    for (size_t i = 4; i < 10; i += 2) {
        *to++ = '-';
        to = digits_put_hex(to, u->bytes + i, 2);
    }
    *to++ = '-';
    (void)digits_put_hex(to, u->bytes + 10, 6);
    out->len += UUID_TEXT;
}

void uuid_put_simple(struct buf *out, const struct uuid *u)
{
    hex_encode(out, slice_of(u->bytes, 16));
}
