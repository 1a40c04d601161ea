#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/spool/spool_bench.h"

static int setup(void **state)
{
    static struct spool_bench bench;

    bench_init(&bench);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    bench_free(*state);
    return 0;
}

static void an_accepted_message_is_found_after_a_stop(void **state)
{
    struct spool_bench *b = *state;
    struct spool_read r;

    bench_start(b, 1);
    struct bench_mail *m = bench_accept(b, "one", 4096);
    bench_run(b);
    assert_true(m->answered);
    assert_int_equal(m->err, SPOOL_OK);
    bench_stop(b);
    bench_start(b, 1);
    assert_int_equal(b->found_count, 1);
    assert_int_equal(bench_read(b, 0, b->found[0].ref, &r), SPOOL_OK);
    assert_int_equal(r.body.len, 4096);
    assert_memory_equal(r.body.ptr, m->body, 4096);
    assert_string_equal(b->found[0].queue, "q-one");
    buf_free(&r.body);
    buf_free(&r.blob);
    bench_mail_free(&m);
}

static void an_accepted_message_is_found_after_a_crash(void **state)
{
    struct spool_bench *b = *state;
    uint64_t seed = 3;

    bench_start(b, 1);
    struct bench_mail *m = bench_accept(b, "one", 4096);
    bench_run(b);
    assert_int_equal(m->err, SPOOL_OK);
    bench_crash(b, &seed);
    bench_start(b, 1);
    assert_int_equal(b->found_count, 1);
    assert_non_null(bench_find(b, "one"));
    bench_mail_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_accepted_message_is_found_after_a_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(an_accepted_message_is_found_after_a_crash, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("spool/put", tests, NULL, NULL);
}
