/* Parts and their encodings: RFC 2045 and 2046. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/attr.h"
#include "proto/mime.h"

static void entity(struct mime_entity *e, const char *type)
{
    *e = (struct mime_entity){.type = slice_str(type)};
}

static void types_are_compared_without_case_and_comments(void **state)
{
    struct mime_entity e;

    (void)state;
    entity(&e, "Multipart/REPORT; report-type=x");
    assert_true(mime_is(&e, SLICE("multipart/report")));
    entity(&e, "(a (nested\\)) one) multipart (x) / (y) report");
    assert_true(mime_is(&e, SLICE("multipart/report")));
    entity(&e, "multipart/reports");
    assert_false(mime_is(&e, SLICE("multipart/report")));
    entity(&e, "multipart");
    assert_false(mime_is(&e, SLICE("multipart/report")));
    entity(&e, "");
    assert_false(mime_is(&e, SLICE("multipart/report")));
}

static const struct param_row {
    const char *name, *type, *value; /* value NULL: there is none */
} params[] = {
    {"token", "a/b; boundary=xyz", "xyz"},
    {"quoted", "a/b; boundary=\"x;\\\"y \"", "x;\"y "},
    {"second", "a/b; other=\"boundary=no\"; Boundary=yes", "yes"},
    {"folded", "a/b;\r\n\tboundary\r\n =\r\n xyz", "xyz"},
    {"comment", "a/b; (boundary=no) boundary (b) = (c) xyz (d)", "xyz"},
    {"empty parameter", "a/b;; boundary=xyz", "xyz"},
    {"none", "a/b", NULL},
    {"no value", "a/b; boundary=", NULL},
    {"no equals sign", "a/b; boundary", NULL},
    {"quote without end", "a/b; boundary=\"xyz", NULL},
    {"escape at the end", "a/b; boundary=\"xyz\\", NULL},
    {"comment without end", "a/b; (boundary=xyz", NULL},
    {"no type", "; boundary=xyz", NULL},
};

static void parameters_are_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(params); i++) {
        struct mime_entity e;
        struct buf out = {0};
        bool ok;

        entity(&e, params[i].type);
        ok = mime_param_put(&e, SLICE("boundary"), &out);
        if (ok != (params[i].value != NULL) ||
            (ok && !slice_eq(buf_slice(&out), slice_str(params[i].value)))) {
            fail_msg("%s: %s \"%.*s\"", params[i].name, ok ? "found" : "not found", (int)out.len,
                     out.ptr != NULL ? out.ptr : "");
        }
        buf_free(&out);
    }
}

static const struct body_row {
    const char *name;
    enum mime_encoding encoding;
    const char *body, *text; /* text NULL: cannot be decoded */
} bodies[] = {
    {"as it is", MIME_AS_IT_IS, "a=3D\r\n", "a=3D\r\n"},
    {"base64 over lines", MIME_BASE64, "aGVs\r\nbG8=\r\n", "hello"},
    {"base64 without padding", MIME_BASE64, "aGVsbG8", "hello"},
    {"base64 that is none", MIME_BASE64, "aGV!", NULL},
    {"quoted-printable", MIME_QUOTED_PRINTABLE, "a=3db=3D\r\nc=\r\nd= \t\r\ne", "a=b=\r\ncde"},
    {"soft break at the end", MIME_QUOTED_PRINTABLE, "a=", "a"},
    {"LF line ends", MIME_QUOTED_PRINTABLE, "a=\nb", "ab"},
    {"escapes that are none", MIME_QUOTED_PRINTABLE, "a=zz=3 =", "a=zz=3 "},
};

static void bodies_are_decoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++) {
        struct mime_entity e = {.body = slice_str(bodies[i].body), .encoding = bodies[i].encoding};
        struct buf out = {0};
        bool ok = mime_body_put(&e, &out);

        if (ok != (bodies[i].text != NULL) ||
            (ok && !slice_eq(buf_slice(&out), slice_str(bodies[i].text)))) {
            fail_msg("%s: \"%.*s\"", bodies[i].name, (int)out.len, out.ptr != NULL ? out.ptr : "");
        }
        buf_free(&out);
    }
}

static const struct parts_row {
    const char *name, *message;
    const char *bodies[4];
} multiparts[] = {
    {"two parts", "Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\r\none"
                  "\r\n--b\r\nX: y\r\n\r\ntwo\r\n\r\n--b--\r\nepilogue\r\n--b\r\n\r\nno",
     {"one", "two\r\n"}},
    {"LF line ends", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n", {"one"}},
    {"no close delimiter", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n",
     {"one\r\n"}},
    {"blanks behind the delimiter",
     "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b \t\r\n\r\none\r\n--b-- \r\n", {"one"}},
    {"a longer boundary is another", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
                                     "--bb\r\n--b--x\r\n--b--\r\n",
     {"--bb\r\n--b--x"}},
    {"no delimiter at all", "Content-Type: multipart/mixed; boundary=b\r\n\r\ntext\r\n", {NULL}},
    {"an empty part", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b--\r\n", {""}},
    {"a part of headers alone",
     "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: y\r\n--b--\r\n", {""}},
    {"the delimiter ends the message", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b",
     {NULL}},
    {"nothing behind the header", "Content-Type: multipart/mixed; boundary=b\r\n", {NULL}},
};

static void multiparts_are_cut_at_their_delimiters(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(multiparts); i++) {
        struct mime_entity top, part;
        struct mime_parts p;
        size_t n = 0;

        mime_entity_cut(slice_str(multiparts[i].message), &top);
        assert_true(mime_parts_open(&p, &top));
        while (mime_parts_next(&p, &part)) {
            const char *wanted = n < ARRAY_COUNT(multiparts[i].bodies) ? multiparts[i].bodies[n]
                                                                       : NULL;

            if (wanted == NULL || !slice_eq(part.body, slice_str(wanted))) {
                fail_msg("%s: part %zu is \"%.*s\"", multiparts[i].name, n, (int)part.body.len,
                         part.body.ptr);
            }
            n++;
        }
        if (n < ARRAY_COUNT(multiparts[i].bodies) && multiparts[i].bodies[n] != NULL) {
            fail_msg("%s: %zu parts", multiparts[i].name, n);
        }
    }
}

static void what_has_no_usable_boundary_has_no_parts(void **state)
{
    struct mime_entity e;
    struct mime_parts p;
    struct buf type = {0};

    (void)state;
    entity(&e, "multipart/mixed");
    assert_false(mime_parts_open(&p, &e));
    entity(&e, "multipart/mixed; boundary=\"\"");
    assert_false(mime_parts_open(&p, &e));
    entity(&e, "text/plain; boundary=b");
    assert_false(mime_parts_open(&p, &e));
    BUF_LIT(&type, "multipart/mixed; boundary=");
    for (size_t i = 0; i <= MIME_BOUNDARY_MAX; i++) {
        buf_char(&type, 'x');
    }
    e.type = buf_slice(&type);
    assert_false(mime_parts_open(&p, &e));
    buf_free(&type);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_are_compared_without_case_and_comments),
        cmocka_unit_test(parameters_are_found),
        cmocka_unit_test(bodies_are_decoded),
        cmocka_unit_test(multiparts_are_cut_at_their_delimiters),
        cmocka_unit_test(what_has_no_usable_boundary_has_no_parts),
    };
    return cmocka_run_group_tests_name("proto/mime", tests, NULL, NULL);
}
