/*
 * fuzz_dns_answer - arbitrary bytes as a DNS answer.
 *
 * Strategy
 *   The input is parsed as it is, once into a fresh answer and once into one that held another
 *   answer before, then again with bytes behind it.
 *
 * Invariants
 *   - an answer does not depend on what its buffers held before, nor on bytes behind the packet;
 *   - texts lie within the answer's buffer; names are lower case, printable, and end in a dot;
 *   - addresses have the family asked for;
 *   - an error leaves an empty answer.
 */
#include <string.h>

#include "core/base/check.h"
#include "proto/dns_answer.h"

#define NAME_TEXT_MAX (4u * 255u) /* every byte as \ddd */

static void check_name(struct slice name)
{
    MUST(name.len != 0 && name.len <= NAME_TEXT_MAX);
    MUST(name.ptr[name.len - 1] == '.');
    for (size_t i = 0; i < name.len; i++) {
        MUST(name.ptr[i] > ' ' && name.ptr[i] < 0x7f && char_lower(name.ptr[i]) == name.ptr[i]);
    }
}

static void check_record(const struct dns_answer *a, const struct dns_record *r)
{
    MUST((size_t)r->text_at + r->text_len <= a->text.len);
    switch (a->type) {
    case DNS_A:
        MUST(r->ip.family == IP_V4);
        break;
    case DNS_AAAA:
        MUST(r->ip.family == IP_V6);
        break;
    case DNS_MX:
    case DNS_NS:
    case DNS_CNAME:
    case DNS_PTR:
        check_name(dns_answer_text(a, r));
        break;
    default:
        break;
    }
}

static void check_answer(const struct dns_answer *a, enum dns_answer_err err)
{
    if (err != DNS_ANSWER_OK) {
        MUST(dns_answer_count(a) == 0 && a->text.len == 0 && dns_answer_name(a).len == 0);
        return;
    }
    if (dns_answer_name(a).len != 0) {
        check_name(dns_answer_name(a));
        check_name(dns_answer_canonical(a));
    }
    MUST(a->ttl_s <= INT32_MAX || a->ttl_s == 0);
    for (size_t i = 0; i < dns_answer_count(a); i++) {
        check_record(a, dns_answer_record(a, i));
    }
}

static void check_same(const struct dns_answer *a, const struct dns_answer *b)
{
    MUST(slice_eq(buf_slice(&a->text), buf_slice(&b->text)));
    MUST(slice_eq(buf_slice(&a->records), buf_slice(&b->records)));
    MUST(a->ttl_s == b->ttl_s && a->rcode == b->rcode && a->type == b->type);
    MUST(slice_eq(dns_answer_canonical(a), dns_answer_canonical(b)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char other[] = "\0\1\x81\x80\0\1\0\1\0\0\0\0\1x\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\1"
                                "\0\4\1\2\3\4";
    struct dns_answer fresh = {0}, used = {0};
    struct buf longer = {0};
    enum dns_answer_err err;

    MUST(dns_answer_parse(slice_of(other, sizeof(other) - 1), &used) == DNS_ANSWER_OK);
    MUST(dns_answer_count(&used) == 1);
    err = dns_answer_parse(slice_of(data, size), &fresh);
    check_answer(&fresh, err);
    MUST(dns_answer_parse(slice_of(data, size), &used) == err);
    check_same(&fresh, &used);
    if (err == DNS_ANSWER_OK) {
        buf_append(&longer, data, size);
        BUF_LIT(&longer, "\xc0\x0c\0\1\0\1trailing");
        MUST(dns_answer_parse(buf_slice(&longer), &used) == DNS_ANSWER_OK);
        check_same(&fresh, &used);
    }
    buf_free(&longer);
    dns_answer_free(&fresh);
    dns_answer_free(&used);
    return 0;
}
