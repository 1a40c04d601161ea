/*
 * listener_params - what a listener table says about sessions: its options, and overlays of them
 * for certain peers and local addresses.
 *
 * Overlays nest. For a session they are flattened into a view: a struct listener_params that
 * borrows all it points to from the tables it was made of, and is never freed.
 *
 *     listener_view_open(&view, &listener->params, &session);  the listener's table
 *     listener_view_apply(&view, &dynamic, &session);          what the policy adds for this peer
 *
 * Each step takes the table's own options, then its meta, then the longest prefix in peer that
 * holds the peer, then the same for via and the local address, so that via wins.
 */
#pragma once

#include "core/config/option.h"

#define LINE_ENDING_RULES(X)                                                                       \
    X(LINE_ENDING_DENY, "Deny")                                                                    \
    X(LINE_ENDING_ALLOW, "Allow")                                                                  \
    X(LINE_ENDING_FIX, "Fix")
enum line_ending_rule { LINE_ENDING_RULES(OPTION_WORD_VALUE) };

#define BATCH_RULES(X)                                                                             \
    X(BATCH_BIFURCATE_ALWAYS, "BifurcateAlways")                                                   \
    X(BATCH_BY_DOMAIN, "BatchByDomain")
enum batch_rule { BATCH_RULES(OPTION_WORD_VALUE) };

struct listener_params;

struct listener_overlay {
    struct ip_net net;
    struct listener_params *params;
};

struct listener_overlays {
    struct listener_overlay *items;
    uint32_t count;
};

extern const struct option_kind option_listener_overlays;

struct trace_headers_config {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/trace_headers_config.def"
#undef OPTION
};

extern const struct option_table trace_headers_config_options;

struct listener_params {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/listener_params.def"
#undef OPTION
    uint64_t given; /* bit i: row i of the table was given */
};

extern const struct option_table listener_params_options;

/* On failure `why` holds the whole "deserialize error: ..." and nothing is to be freed. */
NODISCARD bool listener_params_read(const struct json *from, struct listener_params *out,
                                    struct buf *why);
void listener_params_init(struct listener_params *c); /* the defaults */
void listener_params_free(struct listener_params *c);
/* Every option by its name, null where unset. */
struct json *listener_params_write(const struct listener_params *c, struct json_doc *doc);

/* For whom a view is made. */
struct listener_session {
    struct ip peer, local; /* IP_NONE matches no overlay */
    /* Called for each member of each meta on the way; later ones replace. May be NULL. */
    void (*meta)(void *ctx, struct slice key, const struct json *value);
    void *ctx;
};

void listener_view_open(struct listener_params *view, const struct listener_params *base,
                        const struct listener_session *session);
void listener_view_apply(struct listener_params *view, const struct listener_params *over,
                         const struct listener_session *session);
