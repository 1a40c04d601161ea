#include "proto/domain.h"

#include "core/base/ip.h"
#include "proto/domain_idna.h"
#include "proto/smtp_chars.h"

/* More UTF-8 than this cannot become DOMAIN_SIZE_MAX bytes of A-labels. */
#define NAME_RAW_SIZE_MAX (4u * DOMAIN_SIZE_MAX)

/* Length of the dotted name at the front of `in`, 0 when there is none; tells of UTF-8 in it. Label
 * lengths are judged where no punycode will change them. */
static size_t name_span(struct slice in, bool *utf8_out)
{
    size_t i = 0;
    uint8_t high = 0;

    for (;;) {
        if (i == in.len || !char_is(in.ptr[i], CHAR_LABEL) || in.ptr[i] == '-' ||
            in.ptr[i] == '_') {
            return 0;
        }
        while (i < in.len && char_is(in.ptr[i], CHAR_LABEL)) {
            high |= (uint8_t)in.ptr[i];
            i++;
        }
        if (i == in.len || in.ptr[i] != '.') {
            *utf8_out = (high & 0x80) != 0;
            return i;
        }
        i++;
    }
}

static bool labels_fit(struct slice name)
{
    while (name.len > DOMAIN_LABEL_SIZE_MAX) {
        size_t label = slice_find_char(name, '.');

        if (label > DOMAIN_LABEL_SIZE_MAX) {
            return false;
        }
        name = slice_from(name, label + 1);
    }
    return true;
}

/* Lower-cases ASCII, eight bytes at a time: a byte's high bit is set by the first sum when it is
 * 'A' or above, by the second when it is above 'Z'. */
static void lower(char *bytes, size_t len)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t eight;

    for (; len >= sizeof(eight); len -= sizeof(eight), bytes += sizeof(eight)) {
        memcpy(&eight, bytes, sizeof(eight));
        uint64_t from_a = eight + ones * (0x80 - 'A');
        uint64_t past_z = eight + ones * (0x80 - 'Z' - 1);

        eight |= (from_a & ~past_z & (ones * 0x80)) >> 2;
        memcpy(bytes, &eight, sizeof(eight));
    }
    for (; len != 0; len--, bytes++) {
        *bytes = char_lower(*bytes);
    }
}

static bool ascii_put(struct slice name, struct buf *out)
{
    if (name.len > DOMAIN_SIZE_MAX || !labels_fit(name)) {
        return false;
    }
    buf_put(out, name);
    lower(out->ptr + out->len - name.len, name.len);
    return true;
}

/* UTS 46 may map a character to a dot, to nothing or to something outside the grammar, so its
 * result is judged like what the peer wrote. */
static bool utf8_put(struct slice name, struct buf *out)
{
    size_t mark = out->len;
    struct slice mapped;
    bool utf8 = false;

    if (name.len > NAME_RAW_SIZE_MAX || !domain_idna_put(name, out) || out->len == mark) {
        return false;
    }
    mapped = slice_of(out->ptr + mark, out->len - mark);
    if (name_span(mapped, &utf8) != mapped.len || utf8 || mapped.len > DOMAIN_SIZE_MAX ||
        !labels_fit(mapped)) {
        out->len = mark;
        return false;
    }
    return true;
}

static size_t name_cut(struct slice in, struct buf *out)
{
    bool utf8 = false;
    size_t len = name_span(in, &utf8);
    struct slice name = slice_head(in, len);

    if (len == 0 || !(utf8 ? utf8_put(name, out) : ascii_put(name, out))) {
        return 0;
    }
    return len;
}

/* [tag:content]; the tag is letters, digits and inner hyphens. */
static bool tagged_put(struct slice inside, struct buf *out)
{
    size_t tag = slice_find_char(inside, ':');
    struct slice content = slice_from(inside, tag + 1);

    if (tag == 0 || content.len == 0 || inside.ptr[tag - 1] == '-' ||
        chars_span(content, CHAR_DCONTENT) != content.len) {
        return false;
    }
    for (size_t i = 0; i < tag; i++) {
        if (inside.ptr[i] != '-' && !char_is(inside.ptr[i], CHAR_ALNUM)) {
            return false;
        }
    }
    buf_char(out, '[');
    buf_put(out, inside);
    buf_char(out, ']');
    return true;
}

static bool ip_literal_put(struct slice text, enum ip_family family, struct buf *out)
{
    struct ip ip;

    if (!ip_parse(text, &ip) || ip.family != family) {
        return false;
    }
    buf_char(out, '[');
    if (family == IP_V6) {
        BUF_LIT(out, "IPv6:");
    }
    ip_put(out, &ip);
    buf_char(out, ']');
    return true;
}

static size_t literal_cut(struct slice in, struct buf *out)
{
    static const struct slice v6_tag = SLICE_INIT("IPv6:");
    size_t close = slice_find_char(in, ']');
    struct slice inside;
    bool good;

    if (close == in.len || close > DOMAIN_SIZE_MAX) {
        return 0;
    }
    inside = slice_of(in.ptr + 1, close - 1);
    if (slice_starts_nocase(inside, v6_tag)) {
        good = ip_literal_put(slice_from(inside, v6_tag.len), IP_V6, out);
    } else if (slice_find_char(inside, ':') != inside.len) {
        good = tagged_put(inside, out);
    } else {
        good = ip_literal_put(inside, IP_V4, out);
    }
    return good ? close + 1 : 0;
}

size_t domain_cut(struct slice in, struct buf *out)
{
    return in.len != 0 && in.ptr[0] == '[' ? literal_cut(in, out) : name_cut(in, out);
}

bool domain_put(struct slice text, struct buf *out)
{
    size_t mark = out->len;

    if (text.len == 0 || domain_cut(text, out) != text.len) {
        out->len = mark;
        return false;
    }
    return true;
}
