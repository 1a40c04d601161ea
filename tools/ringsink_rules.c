/* Rules are few: a linear look at each stage costs nothing next to a system call. */
#include "tools/ringsink_rules.h"

#include "tools/tool_args.h"

static const struct slice stage_names[SINK_STAGE_COUNT] = {
#define STAGE(name, text) [SINK_STAGE_##name] = SLICE_INIT(text),
    SINK_STAGES(STAGE)
#undef STAGE
};

const char *sink_stage_name(enum sink_stage stage)
{
    return stage_names[stage].ptr;
}

/* The part before the first ':'; *rest is what follows it. */
static struct slice field_cut(struct slice text, struct slice *rest)
{
    size_t len = slice_find_char(text, ':');

    *rest = slice_from(text, len + 1);
    return slice_head(text, len);
}

/* "5", "0.25": percent with at most four decimals, as parts of a million. */
static bool percent_parse(struct slice text, uint32_t *out)
{
    size_t dot = slice_find_char(text, '.');
    struct slice decimals = slice_from(text, dot + 1);
    uint64_t whole, part = 0;

    if (!slice_to_u64(slice_head(text, dot), &whole) || whole > 100 || decimals.len > 4 ||
        (dot < text.len && !slice_to_u64(decimals, &part))) {
        return false;
    }
    for (size_t i = decimals.len; i < 4; i++) {
        part *= 10;
    }
    *out = (uint32_t)(whole * 10000 + part);
    return *out <= SINK_SHARE_ALL;
}

static bool action_parse(struct sink_rule *rule, struct slice text)
{
    uint64_t code = 0;

    switch ((enum sink_action)rule->action) {
    case SINK_REPLY:
        rule->text = text;
        if (text.len < 5 || text.ptr[3] != ' ' || !slice_to_u64(slice_head(text, 3), &code) ||
            code < 400 || code > 599 || slice_find_char(text, '\n') != text.len) {
            return false;
        }
        rule->code = (uint32_t)code;
        return true;
    case SINK_DELAY:
        return tool_ms_parse(text, &rule->delay_ms);
    case SINK_RESET:
        return text.len == 0;
    case SINK_ACTION_COUNT:
        break;
    }
    return false;
}

bool sink_rule_add(struct sink_rules *rules, enum sink_action action, struct slice text,
                   struct buf *why)
{
    static const char *const forms[SINK_ACTION_COUNT] = {
        [SINK_REPLY] = "STAGE:SHARE%:CODE TEXT with a code from 400 to 599",
        [SINK_DELAY] = "STAGE:SHARE%:TIME",
        [SINK_RESET] = "STAGE:SHARE%"};
    struct sink_rule rule = {
        .stage = SINK_STAGE_COUNT, .action = (uint8_t)action, .share_ppm = SINK_SHARE_ALL};
    struct slice rest, after;
    struct slice stage = field_cut(text, &rest);
    struct slice share = field_cut(rest, &after);

    for (uint32_t i = 0; i < SINK_STAGE_COUNT; i++) {
        if (slice_eq(stage, stage_names[i])) {
            rule.stage = (uint8_t)i;
        }
    }
    if (slice_ends(share, SLICE("%")) &&
        percent_parse(slice_head(share, share.len - 1), &rule.share_ppm)) {
        rest = after;
    }
    if (rule.stage == SINK_STAGE_COUNT || !action_parse(&rule, rest) ||
        rules->count == SINK_RULES_MAX) {
        buf_printf(why, "\"%.*s\" should be %s; stages are connect, ehlo, mail, rcpt, data, dot",
                   SLICE_ARG(text), forms[action]);
        return false;
    }
    rules->rules[rules->count++] = rule;
    return true;
}

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

const struct sink_rule *sink_rule_pick(const struct sink_rules *rules, enum sink_stage stage,
                                       enum sink_action action, uint64_t *random)
{
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct sink_rule *rule = &rules->rules[i];

        if (rule->stage == stage && rule->action == action &&
            next_random(random) % SINK_SHARE_ALL < rule->share_ppm) {
            return rule;
        }
    }
    return NULL;
}
