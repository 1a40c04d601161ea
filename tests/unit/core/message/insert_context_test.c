#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/message/insert_context.h"
#include "core/message/message.h"

static void expect_text(const struct message *m, const char *want)
{
    struct buf out = {0};

    insert_context_put(m, &out);
    buf_char(&out, '\0');
    assert_string_equal(out.ptr, want);
    buf_free(&out);
}

static void reasons_keep_their_order_and_merge_repeats(void **state)
{
    struct message m = {0};

    expect_text(&m, "");
    insert_context_add(&m, INSERT_RECEIVED);
    insert_context_add(&m, INSERT_RECEIVED);
    insert_context_add(&m, INSERT_SOURCE_IS_UNHEALTHY_AND_SUSPENDED);
    insert_context_add(&m, INSERT_RECEIVED);
    expect_text(&m, "Received, SourceIsUnhealthyAndSuspended, Received");
    assert_true(insert_context_has(&m, INSERT_RECEIVED));
    assert_false(insert_context_has(&m, INSERT_ENUMERATED));
    assert_false(insert_context_is(&m, INSERT_RECEIVED));

    insert_context_clear(&m);
    expect_text(&m, "");
    insert_context_add(&m, INSERT_RECEIVED);
    assert_true(insert_context_is(&m, INSERT_RECEIVED));
}

static void a_delay_is_quiet_after_a_logged_failure_or_a_mere_restart(void **state)
{
    struct message m = {0};

    assert_false(insert_context_quiet(&m));
    insert_context_add(&m, INSERT_ENUMERATED);
    assert_true(insert_context_quiet(&m));
    insert_context_add(&m, INSERT_MESSAGE_RATE_THROTTLE);
    assert_false(insert_context_quiet(&m));
    insert_context_add(&m, INSERT_LOGGED_TRANSIENT_FAILURE);
    assert_true(insert_context_quiet(&m));
}

static void an_overfull_context_still_knows_of_the_logged_failure(void **state)
{
    struct message m = {0};
    struct slice texts[INSERT_CONTEXT_MAX];

    for (unsigned i = 0; i < INSERT_CONTEXT_MAX - 1; i++) {
        insert_context_add(&m, (enum insert_reason)(i % 2));
    }
    insert_context_add(&m, INSERT_LOGGED_TRANSIENT_FAILURE);
    insert_context_add(&m, INSERT_ADMIN_REBIND);
    insert_context_add(&m, INSERT_SPOOL_UNHEALTHY);
    assert_int_equal(insert_context_list(&m, texts), INSERT_CONTEXT_MAX);
    assert_true(insert_context_has(&m, INSERT_LOGGED_TRANSIENT_FAILURE));
    assert_true(insert_context_has(&m, INSERT_SPOOL_UNHEALTHY));
    assert_false(insert_context_has(&m, INSERT_ADMIN_REBIND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reasons_keep_their_order_and_merge_repeats),
        cmocka_unit_test(a_delay_is_quiet_after_a_logged_failure_or_a_mere_restart),
        cmocka_unit_test(an_overfull_context_still_knows_of_the_logged_failure),
    };
    return cmocka_run_group_tests_name("core/message/insert_context", tests, NULL, NULL);
}
