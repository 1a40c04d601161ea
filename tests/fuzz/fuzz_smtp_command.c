/*
 * fuzz_smtp_command - the parsers of one command line: domain, address, path, parameters.
 *
 * Strategy
 *   The first byte of the input chooses the parser, the rest is its text, handed over in a block of
 *   exactly its size.
 *
 * Invariants
 *   - what is taken is a part of the input; what is refused leaves the output as it was;
 *   - the domain of what is kept is printable ASCII without upper case (but in a literal), and all
 *     of it parses again to itself;
 *   - the parts of a kept address make up its text;
 *   - every parameter takes at least two bytes, so the loop over them ends;
 *   - .user never grows.
 */
#include "core/base/mem.h"
#include "core/base/utf8.h"
#include "proto/address.h"
#include "proto/domain.h"
#include "proto/smtp_param.h"
#include "proto/smtp_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_domain_kept(struct slice domain)
{
    struct buf again = {0};

    for (size_t i = 0; i < domain.len; i++) {
        char c = domain.ptr[i];

        MUST(c > ' ' && c < 0x7f);
        MUST(domain.ptr[0] == '[' || c < 'A' || c > 'Z');
    }
    MUST(domain_put(domain, &again));
    MUST(slice_eq(buf_slice(&again), domain));
    buf_free(&again);
}

static void check_address_kept(struct slice text)
{
    struct address a = address_split(text);
    struct buf again = {0};
    struct buf user = {0};

    MUST(address_parse(text, ADDRESS_NULL | ADDRESS_POSTMASTER, &again));
    MUST(slice_eq(buf_slice(&again), text));
    if (text.len != 0 && !slice_eq(text, SLICE("Postmaster"))) {
        MUST(a.local.len + 1 + a.domain.len == text.len && text.ptr[a.local.len] == '@');
        check_domain_kept(a.domain);
    }
    address_user_put(&a, &user);
    MUST(user.len <= text.len);
    buf_free(&user);
    buf_free(&again);
}

static void fuzz_domain(struct slice in, struct buf *out)
{
    size_t used = domain_cut(in, out);

    MUST(used <= in.len && (used != 0) == (out->len != 1));
    if (used != 0) {
        check_domain_kept(slice_from(buf_slice(out), 1));
    }
}

static void fuzz_address(struct slice in, struct buf *out)
{
    if (address_parse(in, ADDRESS_NULL | ADDRESS_POSTMASTER, out)) {
        check_address_kept(slice_from(buf_slice(out), 1));
    } else {
        MUST(out->len == 1);
    }
}

static void fuzz_path(struct slice in, enum smtp_path_kind kind, struct buf *out)
{
    struct slice rest = {0};
    struct smtp_param param;

    if (!utf8_valid(in)) {
        return;
    }
    if (!smtp_path_cut(in, kind, out, &rest)) {
        MUST(out->len == 1);
        return;
    }
    check_address_kept(slice_from(buf_slice(out), 1));
    MUST(rest.ptr + rest.len == in.ptr + in.len);
    for (size_t left = rest.len; smtp_param_next(&rest, &param) == SMTP_PARAM_OK; left = rest.len) {
        MUST(rest.len + 2 <= left && param.key.len != 0);
        MUST(param.value.ptr == NULL || param.value.len != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy;
    struct slice in;
    struct buf out = {0};

    if (size == 0) {
        return 0;
    }
    copy = mem_take(size - 1 != 0 ? size - 1 : 1);
    memcpy(copy, data + 1, size - 1);
    in = slice_of(copy, size - 1);
    buf_char(&out, '#');
    switch (data[0] % 4) {
    case 0:
        fuzz_domain(in, &out);
        break;
    case 1:
        fuzz_address(in, &out);
        break;
    case 2:
        fuzz_path(in, SMTP_PATH_REVERSE, &out);
        break;
    default:
        fuzz_path(in, SMTP_PATH_FORWARD, &out);
        break;
    }
    MUST(out.ptr[0] == '#');
    buf_free(&out);
    mem_give(copy);
    return 0;
}
