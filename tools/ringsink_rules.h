/*
 * ringsink_rules - which answer a stage of the dialog gets, and how late.
 *
 * Memory    texts point into the command line.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"

#define SINK_STAGES(STAGE)                                                                         \
    STAGE(CONNECT, "connect")                                                                      \
    STAGE(EHLO, "ehlo")                                                                            \
    STAGE(MAIL, "mail")                                                                            \
    STAGE(RCPT, "rcpt")                                                                            \
    STAGE(DATA, "data")                                                                            \
    STAGE(DOT, "dot")

enum sink_stage {
#define STAGE(name, text) SINK_STAGE_##name,
    SINK_STAGES(STAGE)
#undef STAGE
        SINK_STAGE_COUNT
};

enum sink_action { SINK_REPLY = 0, SINK_DELAY, SINK_RESET, SINK_ACTION_COUNT };

#define SINK_RULES_MAX 48u
#define SINK_SHARE_ALL 1000000u

struct sink_rule {
    uint8_t stage, action;
    uint32_t share_ppm;
    uint32_t code;     /* SINK_REPLY */
    struct slice text; /* SINK_REPLY: code and text */
    uint64_t delay_ms; /* SINK_DELAY */
};

struct sink_rules {
    struct sink_rule rules[SINK_RULES_MAX];
    uint32_t count;
};

NODISCARD bool sink_rule_add(struct sink_rules *rules, enum sink_action action, struct slice text,
                             struct buf *why);
/* The first rule of that kind whose die falls; each has a die of its own. NULL when none does. */
const struct sink_rule *sink_rule_pick(const struct sink_rules *rules, enum sink_stage stage,
                                       enum sink_action action, uint64_t *random);
const char *sink_stage_name(enum sink_stage stage);
