/*
 * per_record - what a logger does differently by record type.
 */
#pragma once

#include "core/config/option.h"

struct log_record_params {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/log_record_params.def"
#undef OPTION
};

extern const struct option_table log_record_params_options;

struct per_record_entry {
    char *type; /* "Delivery", or "Any" */
    struct log_record_params params;
};

struct per_record {
    struct per_record_entry *items;
    uint32_t count;
};

/* The entry of a type, else that of "Any", else NULL: written with the defaults. */
const struct log_record_params *per_record_find(const struct per_record *pr, struct slice type);

extern const struct option_kind option_per_record;
