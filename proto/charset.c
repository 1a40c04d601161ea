#include "proto/charset.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>

#include "core/base/utf8.h"

#define CHARSET_NAME_MAX 40u /* longer than any name iconv knows */

/* windows-1252 0x80 to 0x9f; 0 where the set has no character. */
static const uint16_t windows_1252_high[32] = {
    0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017d, 0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178,
};

static bool single_byte_to_utf8(struct buf *out, struct slice bytes, const uint16_t *high)
{
    size_t len_before = out->len;

    for (size_t i = 0; i < bytes.len; i++) {
        uint32_t point = (uint8_t)bytes.ptr[i];

        if (high != NULL && point >= 0x80 && point < 0xa0) {
            point = high[point - 0x80];
            if (point == 0) {
                out->len = len_before;
                return false;
            }
        }
        utf8_put(out, point);
    }
    return true;
}

/* iconv is asked for one run at a time; its state never outlives the call. */
static bool iconv_to_utf8(struct buf *out, struct slice name, struct slice bytes)
{
    char name_z[CHARSET_NAME_MAX + 1];
    size_t len_before = out->len;
    char *in = (char *)(uintptr_t)bytes.ptr;
    size_t in_left = bytes.len;
    bool ok;
    iconv_t cd;

    /* "//" would be iconv's own options, "" the process's locale. */
    if (name.len == 0 || name.len > CHARSET_NAME_MAX || memchr(name.ptr, '/', name.len) != NULL ||
        memchr(name.ptr, 0, name.len) != NULL) {
        return false;
    }
    memcpy(name_z, name.ptr, name.len);
    name_z[name.len] = 0;
    cd = iconv_open("UTF-8", name_z);
    if (cd == (iconv_t)-1) {
        return false;
    }
    do {
        char *to;
        size_t room, n;

        buf_reserve(out, in_left + 16);
        to = out->ptr + out->len;
        room = out->cap - out->len;
        n = iconv(cd, in_left != 0 ? &in : NULL, &in_left, &to, &room);
        out->len = (size_t)(to - out->ptr);
        ok = n != (size_t)-1;
    } while ((ok && in_left != 0) || (!ok && errno == E2BIG));
    (void)iconv_close(cd);
    if (!ok) {
        out->len = len_before;
    }
    return ok;
}

bool charset_to_utf8(struct buf *out, struct slice name, struct slice bytes)
{
    if (slice_eq_nocase(name, SLICE("utf-8")) || slice_eq_nocase(name, SLICE("utf8"))) {
        if (!utf8_valid(bytes)) {
            return false;
        }
        buf_put(out, bytes);
        return true;
    }
    if (slice_eq_nocase(name, SLICE("us-ascii")) || slice_eq_nocase(name, SLICE("ascii"))) {
        if (utf8_ascii_len(bytes) != bytes.len) {
            return false;
        }
        buf_put(out, bytes);
        return true;
    }
    if (slice_eq_nocase(name, SLICE("iso-8859-1")) || slice_eq_nocase(name, SLICE("latin1"))) {
        return single_byte_to_utf8(out, bytes, NULL);
    }
    if (slice_eq_nocase(name, SLICE("windows-1252")) || slice_eq_nocase(name, SLICE("cp1252"))) {
        return single_byte_to_utf8(out, bytes, windows_1252_high);
    }
    return iconv_to_utf8(out, name, bytes);
}
