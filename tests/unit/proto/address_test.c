/* Addresses and domains - RFC 5321 4.1.2 and 4.1.3, RFC 6531 3.3, RFC 5891. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/address.h"
#include "proto/domain.h"

#define A9 "aaaaaaaaa"
#define A63 A9 A9 A9 A9 A9 A9 A9
#define U4 "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
#define U12 U4 U4 U4

struct text_case {
    struct slice in;
    const char *want; /* NULL: refused */
};

typedef bool parse_fn(struct slice in, struct buf *out);

static void check(const struct text_case *cases, size_t count, parse_fn *parse)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < count; i++) {
        struct buf out = {0};
        bool good;

        BUF_LIT(&out, "#");
        good = parse(cases[i].in, &out);
        if (good != (cases[i].want != NULL) || (!good && out.len != 1) ||
            (good && !slice_eq(slice_from(buf_slice(&out), 1), slice_str(cases[i].want)))) {
            print_error("%.*s: %d %.*s\n", SLICE_ARG(cases[i].in), good, SLICE_ARG(out));
            wrong++;
        }
        buf_free(&out);
    }
    assert_int_equal(wrong, 0);
}

static void domains_are_lower_case_a_labels(void **state)
{
    static const struct text_case cases[] = {
        {SLICE_INIT("EXAMPLE.com"), "example.com"},
        {SLICE_INIT("a"), "a"},
        {SLICE_INIT("AZaz09-_AZ.MNOPQRSTUVWXYZ.0"), "azaz09-_az.mnopqrstuvwxyz.0"},
        {SLICE_INIT("1.2.3.4"), "1.2.3.4"},
        {SLICE_INIT("a_b-c.d-"), "a_b-c.d-"},
        {SLICE_INIT("B\xc3\x9c"
                    "cher.Example"),
         "xn--bcher-kva.example"},
        {SLICE_INIT("stra\xc3\x9f"
                    "e.de"),
         "xn--strae-oqa.de"},
        {SLICE_INIT("\xe4\xbe\x8b\xe3\x80\x82\xe4\xbe\x8b"), "xn--fsq.xn--fsq"},
        {SLICE_INIT(A63 "." A63), A63 "." A63},
        {SLICE_INIT("xn--bcher-KVA"), "xn--bcher-kva"},
        {SLICE_INIT(""), NULL},
        {SLICE_INIT("."), NULL},
        {SLICE_INIT("a."), NULL},
        {SLICE_INIT(".a"), NULL},
        {SLICE_INIT("a..b"), NULL},
        {SLICE_INIT("-a"), NULL},
        {SLICE_INIT("_a"), NULL},
        {SLICE_INIT("a.-b"), NULL},
        {SLICE_INIT("a b"), NULL},
        {SLICE_INIT("a:25"), NULL},
        {SLICE_INIT("a\0b"), NULL},
        {SLICE_INIT(A63 "a.b"), NULL},
        {SLICE_INIT("b." A63 "a"), NULL},
        {SLICE_INIT(A63 "." A63 "." A63 "." A63 ".a"), NULL},
        {SLICE_INIT(U12 U12 U12 U12 U12 U12 ".de"), NULL},
        {SLICE_INIT("\xc3"), NULL},
        {SLICE_INIT("\xe2\x81\xa4"), NULL}, /* U+2064 is mapped to nothing */
        {SLICE_INIT("a\xe2\x80\xae.b"), NULL},
    };

    check(cases, ARRAY_COUNT(cases), domain_put);
}

static void literals_keep_their_brackets(void **state)
{
    static const struct text_case cases[] = {
        {SLICE_INIT("[1.2.3.4]"), "[1.2.3.4]"},
        {SLICE_INIT("[ipv6:0:0:0:0:0:0:0:1]"), "[IPv6:::1]"},
        {SLICE_INIT("[tag:content!]"), "[tag:content!]"},
        {SLICE_INIT("[x-y:a:b]"), "[x-y:a:b]"},
        {SLICE_INIT("[1.2.3]"), NULL},
        {SLICE_INIT("[1.2.3.256]"), NULL},
        {SLICE_INIT("[::1]"), NULL},
        {SLICE_INIT("[IPv6:1.2.3.4]"), NULL},
        {SLICE_INIT("[IPv6:xyz]"), NULL},
        {SLICE_INIT("[IPv6:]"), NULL},
        {SLICE_INIT("[]"), NULL},
        {SLICE_INIT("["), NULL},
        {SLICE_INIT("[1.2.3.4"), NULL},
        {SLICE_INIT("[1.2.3.4]x"), NULL},
        {SLICE_INIT("[tag:]"), NULL},
        {SLICE_INIT("[:x]"), NULL},
        {SLICE_INIT("[x-:a]"), NULL},
        {SLICE_INIT("[t g:a]"), NULL},
        {SLICE_INIT("[tag:a b]"), NULL},
        {SLICE_INIT("[tag:a[b]"), NULL},
    };

    check(cases, ARRAY_COUNT(cases), domain_put);
}

static bool parse_plain(struct slice in, struct buf *out)
{
    return address_parse(in, 0, out);
}

static bool parse_any(struct slice in, struct buf *out)
{
    return address_parse(in, ADDRESS_NULL | ADDRESS_POSTMASTER, out);
}

static void addresses_keep_their_local_part(void **state)
{
    static const struct text_case cases[] = {
        {SLICE_INIT("User.Name+tag@EXAMPLE.com"), "User.Name+tag@example.com"},
        {SLICE_INIT("<a@b>"), "a@b"},
        {SLICE_INIT("!#$%&'*+-/=?^_`{|}~@x"), "!#$%&'*+-/=?^_`{|}~@x"},
        {SLICE_INIT("\"a b\"@x"), "\"a b\"@x"},
        {SLICE_INIT("\"a\\\"@\\\\\"@x"), "\"a\\\"@\\\\\"@x"},
        {SLICE_INIT("\"\"@x"), "\"\"@x"},
        {SLICE_INIT("\xc3\xa9@x"), "\xc3\xa9@x"},
        {SLICE_INIT("a@[1.2.3.4]"), "a@[1.2.3.4]"},
        {SLICE_INIT(""), NULL},
        {SLICE_INIT("<>"), NULL},
        {SLICE_INIT("Postmaster"), NULL},
        {SLICE_INIT("a"), NULL},
        {SLICE_INIT("@b"), NULL},
        {SLICE_INIT("a@"), NULL},
        {SLICE_INIT("a@b@c"), NULL},
        {SLICE_INIT(".a@b"), NULL},
        {SLICE_INIT("a.@b"), NULL},
        {SLICE_INIT("a..b@c"), NULL},
        {SLICE_INIT("a b@c"), NULL},
        {SLICE_INIT(" a@b"), NULL},
        {SLICE_INIT("a@b "), NULL},
        {SLICE_INIT("a,b@c"), NULL},
        {SLICE_INIT("\"a@x"), NULL},
        {SLICE_INIT("\"a\"b@x"), NULL},
        {SLICE_INIT("\"a\\\"@x"), NULL},
        {SLICE_INIT("\"a\nb\"@x"), NULL},
        {SLICE_INIT("\"a\\\nb\"@x"), NULL},
        {SLICE_INIT("\"a\\\x7f"
                    "b\"@x"),
         NULL},
        {SLICE_INIT("\"a\x7f"
                    "b\"@x"),
         NULL},
        {SLICE_INIT("a\0@x"), NULL},
        {SLICE_INIT("\xc3@x"), NULL},
        {SLICE_INIT("a@b>"), NULL},
    };

    check(cases, ARRAY_COUNT(cases), parse_plain);
}

static void null_and_postmaster_where_they_are_allowed(void **state)
{
    static const struct text_case cases[] = {
        {SLICE_INIT(""), ""},
        {SLICE_INIT("<>"), ""},
        {SLICE_INIT("POSTMASTER"), "Postmaster"},
        {SLICE_INIT("<postmaster>"), "Postmaster"},
        {SLICE_INIT("postmaster@B"), "postmaster@b"},
        {SLICE_INIT("joe"), NULL},
    };

    check(cases, ARRAY_COUNT(cases), parse_any);
}

static void a_kept_address_has_user_and_domain(void **state)
{
    static const struct {
        struct slice text;
        const char *user;
        const char *domain;
    } rows[] = {
        {SLICE_INIT(""), "", ""},
        {SLICE_INIT("Postmaster"), "postmaster", ""},
        {SLICE_INIT("Joe@x.test"), "Joe", "x.test"},
        {SLICE_INIT("\"a@b\"@x.test"), "a@b", "x.test"},
        {SLICE_INIT("\"a\\\"\\\\b c\"@x.test"), "a\"\\b c", "x.test"},
        {SLICE_INIT("\"\"@x.test"), "", "x.test"},
        {SLICE_INIT("a@[tag:x@y]"), "a", "[tag:x@y]"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct address a = address_split(rows[i].text);
        struct buf user = {0};

        address_user_put(&a, &user);
        buf_char(&user, '\0');
        assert_string_equal(user.ptr, rows[i].user);
        assert_true(slice_eq(a.domain, slice_str(rows[i].domain)));
        assert_true(slice_eq(a.text, rows[i].text));
        buf_free(&user);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains_are_lower_case_a_labels),
        cmocka_unit_test(literals_keep_their_brackets),
        cmocka_unit_test(addresses_keep_their_local_part),
        cmocka_unit_test(null_and_postmaster_where_they_are_allowed),
        cmocka_unit_test(a_kept_address_has_user_and_domain),
    };

    return cmocka_run_group_tests_name("proto/address", tests, NULL, NULL);
}
