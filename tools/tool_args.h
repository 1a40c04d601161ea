/*
 * tool_args - command lines of the tools, declared as one table per tool.
 *
 * A tool lists its options in a .def file (name, kind, argument, default, help). From the same
 * rows come the struct of values, the parser and --help, so that none can drift from another.
 * Accepted are "--name value", "--name=value", switches without value, and "--" before
 * positional arguments.
 *
 * Memory    texts point into argv or into the table; nothing is allocated.
 * Errors    a sentence in `why` that names the option and what was expected.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/ip.h"

#define TOOL_TEXTS_MAX 16u

struct tool_texts {
    const char *at[TOOL_TEXTS_MAX];
    uint32_t count;
};

/* The C type of each kind of option. */
#define TOOL_TYPE_SWITCH bool
#define TOOL_TYPE_COUNT uint64_t
#define TOOL_TYPE_BYTES uint64_t          /* 4096, 4k, 64m, 1g */
#define TOOL_TYPE_MS uint64_t             /* 250ms, 2s, 5m, 1h; a bare number is seconds */
#define TOOL_TYPE_TEXT const char *       /* NULL when not given */
#define TOOL_TYPE_TEXTS struct tool_texts /* may be given again and again */
#define TOOL_TYPE_ADDRESS struct ip_port

enum tool_arg_kind {
    TOOL_HEADING = 0, /* a line of --help, not an option */
    TOOL_SWITCH,
    TOOL_COUNT,
    TOOL_BYTES,
    TOOL_MS,
    TOOL_TEXT,
    TOOL_TEXTS,
    TOOL_ADDRESS,
};

struct tool_option {
    const char *name;     /* without the dashes; of a heading, its text */
    const char *arg;      /* NULL for switches and headings */
    const char *fallback; /* read by the same parser; NULL when there is none */
    const char *help;
    size_t offset; /* of the value in the struct of values */
    uint8_t kind;  /* enum tool_arg_kind */
};

struct tool_cli {
    const char *usage; /* one line after "Usage: " */
    const char *about; /* what the tool is for; wrapped by --help */
    const struct tool_option *options;
    size_t option_count;
};

enum tool_parsed { TOOL_PARSED = 0, TOOL_PARSED_HELP, TOOL_PARSED_BAD };

/* Fills `values` with defaults, then with what argv says. Positional arguments go to `rest`. */
NODISCARD enum tool_parsed tool_args_parse(const struct tool_cli *cli, int argc, char **argv,
                                           void *values, struct tool_texts *rest, struct buf *why);
void tool_args_help(const struct tool_cli *cli, struct buf *out);

/* The grammars by themselves. */
NODISCARD bool tool_bytes_parse(struct slice text, uint64_t *out);
NODISCARD bool tool_ms_parse(struct slice text, uint64_t *out);
