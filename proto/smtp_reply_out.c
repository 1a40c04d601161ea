#include "proto/smtp_reply_out.h"

/* Of eight bytes, marks those below 0x20 and 0x7f by their high bits; some others too, so this may
 * suspect a byte that is no control but passes none that is. */
static inline uint64_t suspects(const char *bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t eight;
    uint64_t del;

    memcpy(&eight, bytes, sizeof(eight));
    del = eight ^ ones * 0x7f;
    return ((eight - ones * ' ') | ((del - ones) & ~del)) & (ones * 0x80);
}

/* Texts hold control bytes next to never, so a cheap test goes first. */
static bool maybe_control(const char *bytes, size_t len)
{
    uint64_t found = 0;

    if (len < 8) {
        return true;
    }
    for (size_t i = 0; i + 8 <= len; i += 8) {
        found |= suspects(bytes + i);
    }
    return (found | suspects(bytes + len - 8)) != 0;
}

static void controls_to_spaces(char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (((uint8_t)bytes[i] < ' ' && bytes[i] != '\t') || bytes[i] == 0x7f) {
            bytes[i] = ' ';
        }
    }
}

static void line_put(struct buf *out, uint16_t code, char separator, struct slice line)
{
    char *to;

    if (line.len != 0 && line.ptr[line.len - 1] == '\r') {
        line.len--;
    }
    buf_reserve(out, line.len + 6);
    to = out->ptr + out->len;
    *to++ = (char)('0' + code / 100);
    *to++ = (char)('0' + code / 10 % 10);
    *to++ = (char)('0' + code % 10);
    *to++ = separator;
    if (line.len != 0) {
        memcpy(to, line.ptr, line.len);
        if (maybe_control(to, line.len)) {
            controls_to_spaces(to, line.len);
        }
        to += line.len;
    }
    *to++ = '\r';
    *to++ = '\n';
    out->len = (size_t)(to - out->ptr);
}

void smtp_reply_put(struct buf *out, uint16_t code, struct slice text)
{
    code = smtp_reply_code(code);
    for (;;) {
        size_t len = slice_find_char(text, '\n');

        if (len == text.len) {
            line_put(out, code, ' ', text);
            return;
        }
        line_put(out, code, '-', slice_head(text, len));
        text = slice_from(text, len + 1);
    }
}
