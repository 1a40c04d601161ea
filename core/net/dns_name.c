/* Names as they are asked for. */
#include "core/net/dns_name.h"

#include "proto/domain_idna.h"

#define LABEL_MAX 63u
#define TEXT_MAX 1024u /* no name that fits DNS_NAME_MAX is longer, however it is written */

static bool char_may_stand(char c)
{
    return c > ' ' && c < 0x7f && c != '\\';
}

/* `text` is ASCII. */
static bool ascii_name_put(struct slice text, struct buf *out)
{
    const size_t start = out->len;
    size_t label_len = 0;

    if (text.len > 0 && text.ptr[text.len - 1] == '.') {
        text.len--;
    }
    if (text.len == 0 || text.len > DNS_NAME_MAX - 2) {
        return false;
    }
    for (size_t i = 0; i <= text.len; i++) {
        const char c = i < text.len ? text.ptr[i] : '.';

        if (c == '.' ? label_len == 0 || label_len > LABEL_MAX : !char_may_stand(c)) {
            out->len = start;
            return false;
        }
        label_len = c == '.' ? 0 : label_len + 1;
        buf_char(out, char_lower(c));
    }
    return true;
}

bool dns_name_put(struct slice text, struct buf *out)
{
    bool ascii = true;

    if (text.len > TEXT_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        ascii = ascii && (unsigned char)text.ptr[i] < 0x80;
    }
    if (ascii) {
        return ascii_name_put(text, out);
    }

    struct buf puny = {0};
    const bool ok = domain_idna_put(text, &puny) && ascii_name_put(buf_slice(&puny), out);

    buf_free(&puny);
    return ok;
}

void dns_reverse_ip_put(struct buf *out, const struct ip *ip)
{
    if (ip->family == IP_V4) {
        buf_printf(out, "%u.%u.%u.%u", ip->bytes[3], ip->bytes[2], ip->bytes[1], ip->bytes[0]);
        return;
    }
    for (size_t i = 16; i-- > 0;) {
        buf_printf(out, "%x.%x%s", ip->bytes[i] & 0x0fu, ip->bytes[i] >> 4, i > 0 ? "." : "");
    }
}
