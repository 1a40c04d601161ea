/* Expectations: RFC 4648 section 10 and RFC 9562; strictness from the AUTH rules. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/base64.h"
#include "core/base/hex.h"
#include "core/base/uuid.h"

#define assert_buf(b, lit) assert_true(slice_eq(buf_slice(b), SLICE(lit)))

struct base64_case {
    const char *name;
    struct slice bytes, padded, bare;
};

static const struct base64_case base64_cases[] = {
    {"nothing", SLICE_INIT(""), SLICE_INIT(""), SLICE_INIT("")},
    {"one byte", SLICE_INIT("f"), SLICE_INIT("Zg=="), SLICE_INIT("Zg")},
    {"two bytes", SLICE_INIT("fo"), SLICE_INIT("Zm8="), SLICE_INIT("Zm8")},
    {"three bytes", SLICE_INIT("foo"), SLICE_INIT("Zm9v"), SLICE_INIT("Zm9v")},
    {"six bytes", SLICE_INIT("foobar"), SLICE_INIT("Zm9vYmFy"), SLICE_INIT("Zm9vYmFy")},
    {"a NUL and high bytes", SLICE_INIT("\0\xff\xfe"), SLICE_INIT("AP/+"), SLICE_INIT("AP/+")},
};

static void base64_goes_there_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(base64_cases); i++) {
        const struct base64_case *c = &base64_cases[i];
        struct buf text = {0}, bytes = {0};

        print_message("%s\n", c->name);
        base64_encode_as(&text, c->bytes, 0);
        assert_true(slice_eq(buf_slice(&text), c->padded));
        assert_true(base64_decode_as(&bytes, c->padded, 0));
        assert_true(slice_eq(buf_slice(&bytes), c->bytes));
        buf_clear(&text);
        buf_clear(&bytes);
        base64_encode_as(&text, c->bytes, BASE64_NO_PAD);
        assert_true(slice_eq(buf_slice(&text), c->bare));
        assert_true(base64_decode_as(&bytes, c->bare, BASE64_NO_PAD));
        assert_true(base64_decode_as(&bytes, c->bare, BASE64_PAD_OPTIONAL));
        assert_true(base64_decode_as(&bytes, c->padded, BASE64_PAD_OPTIONAL));
        assert_int_equal(bytes.len, c->bytes.len * 3);
        buf_free(&text);
        buf_free(&bytes);
    }
}

static void loose_base64_is_refused_and_appends_nothing(void **state)
{
    static const struct slice bad[] = {
        SLICE_INIT("="),        SLICE_INIT("Zg"),    SLICE_INIT("Zg="),  SLICE_INIT("Zg==="),
        SLICE_INIT("Z==="),     SLICE_INIT("Zh=="),  SLICE_INIT("Zm9="), SLICE_INIT("Zm9v\n"),
        SLICE_INIT("Zm 9v"),    SLICE_INIT("Zm9v="), SLICE_INIT("AP_-"), SLICE_INIT("Z"),
        SLICE_INIT("Zg==Zg=="),
    };
    struct buf out = {0};

    (void)state;
    BUF_LIT(&out, "kept");
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_false(base64_decode_as(&out, bad[i], 0));
        assert_buf(&out, "kept");
    }
    assert_false(base64_decode_as(&out, SLICE("Zg=="), BASE64_NO_PAD));
    assert_false(base64_decode_as(&out, SLICE("Zg="), BASE64_PAD_OPTIONAL));
    assert_true(base64_decode_as(&out, SLICE("AP_-"), BASE64_URL));
    assert_buf(&out, "kept\0\xff\xfe");
    buf_free(&out);
}

static void hex_goes_there_and_back(void **state)
{
    struct buf out = {0};

    (void)state;
    hex_encode(&out, SLICE("\x00\x7f\xAb"));
    assert_buf(&out, "007fab");
    buf_clear(&out);
    assert_true(hex_decode(&out, SLICE("007fAB")));
    assert_buf(&out, "\x00\x7f\xab");
    assert_false(hex_decode(&out, SLICE("0")));
    assert_false(hex_decode(&out, SLICE("000g")));
    assert_buf(&out, "\x00\x7f\xab");
    buf_free(&out);
}

static void a_uuid_is_read_in_every_spelling(void **state)
{
    static const struct slice good[] = {
        SLICE_INIT("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        SLICE_INIT("6BA7B810-9DAD-11D1-80B4-00C04FD430C8"),
        SLICE_INIT("6ba7b8109dad11d180b400c04fd430c8"),
        SLICE_INIT("{6ba7b810-9dad-11d1-80b4-00c04fd430c8}"),
        SLICE_INIT("urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    };
    static const struct slice bad[] = {
        SLICE_INIT(""),
        SLICE_INIT("6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"),
        SLICE_INIT("6ba7b8109-dad-11d1-80b4-00c04fd430c8"),
        SLICE_INIT("6ba7b8109dad11d180b400c04fd430c"),
        SLICE_INIT("6ba7b810-9dad-11d1-80b4-00c04fd430cg"),
    };
    struct buf out = {0};
    struct uuid u;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        assert_true(uuid_parse(good[i], &u));
        buf_clear(&out);
        uuid_put(&out, &u);
        assert_buf(&out, "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
        buf_clear(&out);
        uuid_put_simple(&out, &u);
        assert_buf(&out, "6ba7b8109dad11d180b400c04fd430c8");
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_false(uuid_parse(bad[i], &u));
    }
    buf_free(&out);
}

static void a_random_uuid_says_version_4(void **state)
{
    struct uuid ones = uuid_v4(UINT64_MAX, UINT64_MAX), zeros = uuid_v4(0, 0);
    struct buf out = {0};

    (void)state;
    uuid_put(&out, &ones);
    assert_buf(&out, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    buf_clear(&out);
    uuid_put(&out, &zeros);
    assert_buf(&out, "00000000-0000-4000-8000-000000000000");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_goes_there_and_back),
        cmocka_unit_test(loose_base64_is_refused_and_appends_nothing),
        cmocka_unit_test(hex_goes_there_and_back),
        cmocka_unit_test(a_uuid_is_read_in_every_spelling),
        cmocka_unit_test(a_random_uuid_says_version_4),
    };
    return cmocka_run_group_tests_name("core/base/base64_hex_uuid", tests, NULL, NULL);
}
