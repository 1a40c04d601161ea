/*
 * queue_config - what kumo.make_queue_config takes: how long messages of a scheduled queue wait,
 * how often they are tried and through what.
 */
#pragma once

#include "core/config/option.h"
#include "core/config/queue_protocol.h"

/* Accepted for compatibility; one structure serves all. */
#define QUEUE_STRATEGIES(X)                                                                        \
    X(QUEUE_TIMER_WHEEL, "TimerWheel")                                                             \
    X(QUEUE_SKIP_LIST, "SkipList")                                                                 \
    X(QUEUE_SINGLETON_TIMER_WHEEL, "SingletonTimerWheel")                                          \
    X(QUEUE_SINGLETON_TIMER_WHEEL_V2, "SingletonTimerWheelV2")
enum queue_strategy { QUEUE_STRATEGIES(OPTION_WORD_VALUE) };

struct shrink_step {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/shrink_step.def"
#undef OPTION
};

extern const struct option_table shrink_step_options;

struct queue_config {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/queue_config.def"
#undef OPTION
};

extern const struct option_table queue_config_options;

/* On failure `why` holds the whole "deserialize error: ..." and nothing is to be freed. */
NODISCARD bool queue_config_read(const struct json *from, struct queue_config *out,
                                 struct buf *why);
void queue_config_init(struct queue_config *c); /* the defaults */
void queue_config_free(struct queue_config *c);
/* Every option by its name, null where unset. */
struct json *queue_config_write(const struct queue_config *c, struct json_doc *doc);
