#include "proto/address.h"

#include "core/base/utf8.h"
#include "proto/domain.h"
#include "proto/smtp_chars.h"

static const struct slice postmaster = SLICE_INIT("Postmaster");

size_t address_cut(struct slice in, struct buf *out)
{
    size_t mark = out->len;
    size_t local_len = chars_word(in, true);
    size_t domain_len;

    if (local_len == 0 || local_len >= in.len || in.ptr[local_len] != '@') {
        return 0;
    }
    buf_append(out, in.ptr, local_len + 1);
    domain_len = domain_cut(slice_from(in, local_len + 1), out);
    if (domain_len == 0 || out->len - mark > ADDRESS_SIZE_MAX) {
        out->len = mark;
        return 0;
    }
    return local_len + 1 + domain_len;
}

bool address_parse(struct slice text, unsigned flags, struct buf *out)
{
    size_t mark = out->len;

    if (text.len >= 2 && text.ptr[0] == '<' && text.ptr[text.len - 1] == '>') {
        text = slice_of(text.ptr + 1, text.len - 2);
    }
    if (text.len == 0) {
        return (flags & ADDRESS_NULL) != 0;
    }
    if ((flags & ADDRESS_POSTMASTER) && slice_eq_nocase(text, postmaster)) {
        buf_put(out, postmaster);
        return true;
    }
    if (!utf8_valid(text) || address_cut(text, out) != text.len) {
        out->len = mark;
        return false;
    }
    return true;
}

struct address address_split(struct slice text)
{
    size_t quoted;
    size_t at;

    if (text.len == 0) {
        return (struct address){0};
    }
    quoted = chars_quoted(text);
    at = quoted + slice_find_char(slice_from(text, quoted), '@');
    return (struct address){
        .text = text,
        .local = slice_head(text, at),
        .domain = slice_from(text, at + 1),
    };
}

void address_user_put(const struct address *a, struct buf *out)
{
    struct slice local = a->local;

    if (a->domain.len == 0 && slice_eq_nocase(local, postmaster)) {
        BUF_LIT(out, "postmaster");
        return;
    }
    if (local.len < 2 || local.ptr[0] != '"' || local.ptr[local.len - 1] != '"') {
        buf_put(out, local);
        return;
    }
    for (size_t i = 1; i + 1 < local.len; i++) {
        if (local.ptr[i] == '\\' && i + 2 < local.len) {
            i++;
        }
        buf_char(out, local.ptr[i]);
    }
}
