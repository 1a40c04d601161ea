#include "core/base/hex.h"

#include "core/base/digits.h"

void hex_encode(struct buf *out, struct slice bytes)
{
    buf_reserve(out, bytes.len * 2);
    (void)digits_put_hex(out->ptr + out->len, (const uint8_t *)bytes.ptr, bytes.len);
    out->len += bytes.len * 2;
}

int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = char_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(struct buf *out, struct slice text)
{
    size_t before = out->len;

    if (text.len % 2 != 0) {
        return false;
    }
    buf_reserve(out, text.len / 2);
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hex_digit(text.ptr[i]), low = hex_digit(text.ptr[i + 1]);

        if (high < 0 || low < 0) {
            out->len = before;
            return false;
        }
        out->ptr[out->len++] = (char)(high << 4 | low);
    }
    return true;
}
