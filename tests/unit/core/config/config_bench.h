/*
 * config_bench - tables as JSON text, read through the table of any config object.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/json.h"
#include "core/config/option.h"

static inline bool bench_read(const struct option_table *t, const char *text, void *object,
                              struct buf *why)
{
    struct json_doc doc;
    struct buf parse_why = {0};
    bool ok;

    if (!json_parse(slice_str(text), 0, &doc, &parse_why)) {
        print_message("%s: %.*s\n", text, SLICE_ARG(buf_slice(&parse_why)));
        fail_msg("the test's own JSON is broken");
    }
    ok = option_read(t, doc.root, object, why);
    json_doc_free(&doc);
    buf_free(&parse_why);
    return ok;
}

/* Reads what must be good. */
static inline void bench_take(const struct option_table *t, const char *text, void *object)
{
    struct buf why = {0};
    bool ok = bench_read(t, text, object, &why);

    if (!ok) {
        print_message("%.*s\n", SLICE_ARG(buf_slice(&why)));
    }
    assert_true(ok);
    assert_int_equal(why.len, 0);
    buf_free(&why);
}

/* What an object says of itself, without its nulls. */
static inline void bench_put(const struct option_table *t, const void *object, struct buf *out)
{
    struct json_doc doc = {0};
    struct json *all = option_write(t, object, &doc);
    struct json *set = json_new(&doc, JSON_OBJECT);

    for (const struct json *v = all->first; v != NULL; v = v->next) {
        if (v->type != JSON_NULL) {
            json_object_add(&doc, set, v->key, json_clone(&doc, v));
        }
    }
    buf_clear(out);
    json_write(out, set);
    json_doc_free(&doc);
}
