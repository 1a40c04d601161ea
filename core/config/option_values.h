/*
 * option_values - the value types that option tables are made of, beyond those of core/base.
 * Each owns what it points to; the struct that holds it frees it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/free_space.h"
#include "core/base/ip.h"
#include "core/base/json.h"
#include "core/base/limit_spec.h"
#include "core/base/slice.h"
#include "core/base/throttle_spec.h"

/* The words an option may be, in the order of its enum. */
struct option_names {
    const char *what; /* for messages: "tls mode" */
    const struct slice *words;
    uint32_t count;
};

/* A list of words is a macro of X(VALUE, "text") rows; enum and words come from the same rows. */
#define OPTION_WORD_VALUE(value, text) value,
#define OPTION_WORD_TEXT(value, text) SLICE_INIT(text),
#define OPTION_NAMES(var, about, ROWS)                                                             \
    static const struct slice var##_words[] = {ROWS(OPTION_WORD_TEXT)};                            \
    static const struct option_names var = {about, var##_words, ARRAY_COUNT(var##_words)}

struct string_list {
    char **items;
    uint32_t count;
};

struct cidr_list {
    struct ip_net *items;
    uint32_t count;
};

struct named_limit {
    char *name;
    struct limit_spec spec;
};

struct named_limits {
    struct named_limit *items;
    uint32_t count;
};

struct named_throttle {
    char *name;
    struct throttle_spec spec;
};

struct named_throttles {
    struct named_throttle *items;
    uint32_t count;
};

/* Where a key, certificate or password comes from. */
enum key_source_kind {
    KEY_SOURCE_NONE = 0,
    KEY_SOURCE_FILE,  /* text: the path */
    KEY_SOURCE_DATA,  /* text: the key itself, text_len bytes */
    KEY_SOURCE_VAULT, /* doc: vault_mount, vault_path, vault_address?, vault_token?, vault_key? */
    KEY_SOURCE_EVENT, /* text: the event; doc: event_args? */
};

struct key_source {
    uint8_t kind; /* enum key_source_kind */
    char *text;
    uint32_t text_len;
    struct json_doc doc; /* as it was written */
};

#define REFRESH_STRATEGIES(X)                                                                      \
    X(REFRESH_TTL, "Ttl")                                                                          \
    X(REFRESH_EPOCH, "Epoch")
enum refresh_strategy { REFRESH_STRATEGIES(OPTION_WORD_VALUE) };

/* What a waiting message gives up of its memory. */
#define SHRINK_POLICIES(X)                                                                         \
    X(SHRINK_DATA_AND_META, "ShrinkDataAndMeta")                                                   \
    X(SHRINK_DATA, "ShrinkData")                                                                   \
    X(SHRINK_NOTHING, "NoShrink")
enum shrink_policy { SHRINK_POLICIES(OPTION_WORD_VALUE) };

PURE bool cidr_list_has(const struct cidr_list *list, const struct ip *ip);
/* From text with blanks between the items; they are ours and valid. */
void cidr_list_init(struct cidr_list *list, struct slice text);
