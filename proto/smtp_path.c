#include "proto/smtp_path.h"

#include "proto/address.h"
#include "proto/domain.h"
#include "proto/smtp_chars.h"

/* Length of the source route "@a,@b:" at the front of `in`; 0 when there is none, SIZE_MAX when it
 * is malformed. `scratch` is left as it was. */
static size_t route_span(struct slice in, struct buf *scratch)
{
    size_t mark = scratch->len;
    size_t at = 0;

    if (in.len == 0 || in.ptr[0] != '@') {
        return 0;
    }
    while (at < in.len && in.ptr[at] == '@') {
        size_t domain = domain_cut(slice_from(in, at + 1), scratch);

        scratch->len = mark;
        at += 1 + domain;
        if (domain == 0 || at >= in.len) {
            return SIZE_MAX;
        }
        if (in.ptr[at] == ':') {
            return at + 1;
        }
        if (in.ptr[at] != ',') {
            return SIZE_MAX;
        }
        at++;
    }
    return SIZE_MAX;
}

/* What stands between < and >. Answers the bytes it took with the '>'; 0: malformed. */
static size_t bracketed_cut(struct slice in, enum smtp_path_kind kind, struct buf *out)
{
    static const struct slice postmaster = SLICE_INIT("Postmaster");
    size_t mark = out->len;
    size_t route;
    size_t address;

    if (kind == SMTP_PATH_REVERSE && in.len != 0 && in.ptr[0] == '>') {
        return 1;
    }
    if (kind == SMTP_PATH_FORWARD && in.len > postmaster.len && in.ptr[postmaster.len] == '>' &&
        slice_starts_nocase(in, postmaster)) {
        buf_put(out, postmaster);
        return postmaster.len + 1;
    }
    route = route_span(in, out);
    if (route == SIZE_MAX) {
        return 0;
    }
    in = slice_from(in, route);
    address = address_cut(in, out);
    if (address == 0 || address >= in.len || in.ptr[address] != '>') {
        out->len = mark;
        return 0;
    }
    return route + address + 1;
}

bool smtp_path_cut(struct slice in, enum smtp_path_kind kind, struct buf *out,
                   struct slice *rest_out)
{
    size_t mark = out->len;
    size_t used;
    size_t blanks;

    in = slice_from(in, chars_span(in, CHAR_BLANK));
    if (in.len == 0) {
        return false;
    }
    if (in.ptr[0] == '<') {
        in = slice_from(in, 1);
        used = bracketed_cut(in, kind, out);
    } else {
        used = address_cut(in, out);
    }
    *rest_out = slice_from(in, used);
    blanks = chars_span(*rest_out, CHAR_BLANK);
    if (used == 0 || (rest_out->len != 0 && (blanks == 0 || blanks == rest_out->len))) {
        out->len = mark;
        return false;
    }
    return true;
}
