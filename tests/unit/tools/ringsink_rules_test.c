/* Rules by which the sink is difficult. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tools/ringsink_rules.h"

struct rule_case {
    const char *name;
    enum sink_action action;
    const char *text;
    bool ok;
    enum sink_stage stage;
    uint32_t share_ppm;
    uint64_t value; /* code or delay_ms */
};

static const struct rule_case cases[] = {
    {"a share of recipients", SINK_REPLY, "rcpt:5%:550 5.1.1 no such user", true, SINK_STAGE_RCPT,
     50000, 550},
    {"no share means all", SINK_REPLY, "dot:451 later", true, SINK_STAGE_DOT, 1000000, 451},
    {"a share with decimals", SINK_RESET, "data:0.25%", true, SINK_STAGE_DATA, 2500, 0},
    {"a reset of everyone", SINK_RESET, "connect", true, SINK_STAGE_CONNECT, 1000000, 0},
    {"a delay", SINK_DELAY, "dot:10%:500ms", true, SINK_STAGE_DOT, 100000, 500},
    {"a text with colons", SINK_REPLY, "mail:550 see: here", true, SINK_STAGE_MAIL, 1000000, 550},
    {"an unknown stage", SINK_REPLY, "body:550 no", false, 0, 0, 0},
    {"a code that is not a refusal", SINK_REPLY, "mail:250 fine", false, 0, 0, 0},
    {"a code without text", SINK_REPLY, "mail:550", false, 0, 0, 0},
    {"a second line in the text", SINK_REPLY, "mail:550 a\n250 b", false, 0, 0, 0},
    {"more than everyone", SINK_RESET, "mail:101%", false, 0, 0, 0},
    {"too many decimals", SINK_RESET, "mail:0.00001%", false, 0, 0, 0},
    {"a delay without time", SINK_DELAY, "mail:5%:", false, 0, 0, 0},
};

static void rules_are_read_or_refused(void **state)
{
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct rule_case *c = &cases[i];
        struct sink_rules rules = {.count = 0};
        struct buf why = {0};
        bool ok = sink_rule_add(&rules, c->action, slice_str(c->text), &why);
        const struct sink_rule *r = &rules.rules[0];

        if (ok != c->ok || (ok && (r->stage != c->stage || r->share_ppm != c->share_ppm ||
                                   r->code + r->delay_ms != c->value))) {
            print_error("%s: accepted %d, share %u\n", c->name, ok, r->share_ppm);
            wrong_count++;
        }
        buf_free(&why);
    }
    assert_int_equal(wrong_count, 0);
}

static void a_share_is_hit_about_that_often_and_the_same_again_with_the_same_seed(void **state)
{
    struct sink_rules rules = {.count = 0};
    struct buf why = {0};
    uint64_t a = 1, b = 1;
    uint32_t hits = 0;

    assert_true(sink_rule_add(&rules, SINK_RESET, SLICE("mail:10%"), &why));
    for (uint32_t i = 0; i < 10000; i++) {
        bool hit = sink_rule_pick(&rules, SINK_STAGE_MAIL, SINK_RESET, &a) != NULL;

        assert_int_equal(hit, sink_rule_pick(&rules, SINK_STAGE_MAIL, SINK_RESET, &b) != NULL);
        hits += hit;
    }
    assert_in_range(hits, 900, 1100);
    assert_null(sink_rule_pick(&rules, SINK_STAGE_RCPT, SINK_RESET, &a));
    assert_null(sink_rule_pick(&rules, SINK_STAGE_MAIL, SINK_REPLY, &a));
    buf_free(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_read_or_refused),
        cmocka_unit_test(a_share_is_hit_about_that_often_and_the_same_again_with_the_same_seed),
    };

    return cmocka_run_group_tests_name("tools/ringsink_rules", tests, NULL, NULL);
}
