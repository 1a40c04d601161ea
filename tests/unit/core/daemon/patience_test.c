/* When a shard lets others go on that run on its core. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/daemon/daemon_private.h"

static void a_shard_is_patient_while_many_peers_are_at_work(void **state)
{
    static const struct {
        const char *name;
        uint64_t turns, events;
        bool was, want;
    } rows[] = {
        {.name = "idle", .turns = 4, .events = 40},
        {.name = "idle again", .turns = 99, .events = 990, .was = true},
        {.name = "one connection", .turns = 4000, .events = 6000},
        {.name = "a load begins", .turns = 4000, .events = 12000, .want = true},
        {.name = "a load goes on", .turns = 4000, .events = 9000, .was = true, .want = true},
        {.name = "not yet a load", .turns = 4000, .events = 9000},
        {.name = "a load is over", .turns = 4000, .events = 7999, .was = true},
    };
    unsigned wrong_count = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (engine_patience(rows[i].was, rows[i].turns, rows[i].events) != rows[i].want) {
            print_error("%s\n", rows[i].name);
            wrong_count++;
        }
    }
    assert_int_equal(wrong_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_is_patient_while_many_peers_are_at_work),
    };

    return cmocka_run_group_tests_name("core/daemon/patience", tests, NULL, NULL);
}
