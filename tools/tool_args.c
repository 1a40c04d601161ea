/* Parsing and --help from one option table. */
#include "tools/tool_args.h"

#include <string.h>

#define HELP_COLUMN 24u
#define HELP_WIDTH 92u

struct unit {
    struct slice name;
    uint64_t factor;
};

static bool scaled_parse(struct slice text, const struct unit *units, size_t unit_count,
                         uint64_t *out)
{
    size_t digits = 0;
    uint64_t number;

    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        digits++;
    }
    if (!slice_to_u64(slice_head(text, digits), &number)) {
        return false;
    }
    for (size_t i = 0; i < unit_count; i++) {
        if (slice_eq_nocase(slice_from(text, digits), units[i].name)) {
            return !__builtin_mul_overflow(number, units[i].factor, out);
        }
    }
    return false;
}

bool tool_bytes_parse(struct slice text, uint64_t *out)
{
    static const struct unit units[] = {{SLICE_INIT(""), 1},
                                        {SLICE_INIT("k"), UINT64_C(1) << 10},
                                        {SLICE_INIT("m"), UINT64_C(1) << 20},
                                        {SLICE_INIT("g"), UINT64_C(1) << 30}};

    return scaled_parse(text, units, ARRAY_COUNT(units), out);
}

bool tool_ms_parse(struct slice text, uint64_t *out)
{
    static const struct unit units[] = {{SLICE_INIT("ms"), 1},
                                        {SLICE_INIT(""), 1000},
                                        {SLICE_INIT("s"), 1000},
                                        {SLICE_INIT("m"), 60 * 1000},
                                        {SLICE_INIT("h"), 3600 * 1000}};

    return scaled_parse(text, units, ARRAY_COUNT(units), out);
}

static bool texts_add(struct tool_texts *texts, const char *text)
{
    if (texts->count == TOOL_TEXTS_MAX) {
        return false;
    }
    texts->at[texts->count++] = text;
    return true;
}

static bool value_set(const struct tool_option *o, void *values, const char *text)
{
    void *at = (char *)values + o->offset;
    struct slice s = slice_str(text);

    switch ((enum tool_arg_kind)o->kind) {
    case TOOL_HEADING:
        return true;
    case TOOL_SWITCH:
        *(bool *)at = true;
        return true;
    case TOOL_COUNT:
        return slice_to_u64(s, at);
    case TOOL_BYTES:
        return tool_bytes_parse(s, at);
    case TOOL_MS:
        return tool_ms_parse(s, at);
    case TOOL_TEXT:
        *(const char **)at = text;
        return true;
    case TOOL_TEXTS:
        return texts_add(at, text);
    case TOOL_ADDRESS:
        return ip_port_parse(s, at);
    }
    return false;
}

static const char *kind_expects(uint8_t kind)
{
    switch ((enum tool_arg_kind)kind) {
    case TOOL_COUNT:
        return "a whole number";
    case TOOL_BYTES:
        return "a size such as 4096, 4k or 64m";
    case TOOL_MS:
        return "a time such as 250ms, 2s or 5m";
    case TOOL_ADDRESS:
        return "ADDRESS:PORT";
    case TOOL_TEXTS:
        return "at most 16 of these";
    case TOOL_HEADING:
    case TOOL_SWITCH:
    case TOOL_TEXT:
        break;
    }
    return "a value";
}

static const struct tool_option *option_find(const struct tool_cli *cli, struct slice name)
{
    for (size_t i = 0; i < cli->option_count; i++) {
        const struct tool_option *o = &cli->options[i];

        if (o->kind != TOOL_HEADING && slice_eq(slice_str(o->name), name)) {
            return o;
        }
    }
    return NULL;
}

/* One "--name", "--name=value" or "--name value"; *at moves past the value it used. */
static enum tool_parsed option_take(const struct tool_cli *cli, int argc, char **argv, int *at,
                                    void *values, struct buf *why)
{
    struct slice word = slice_str(argv[*at] + 2);
    size_t name_len = slice_find_char(word, '=');
    const struct tool_option *o = option_find(cli, slice_head(word, name_len));
    const char *value = name_len < word.len ? word.ptr + name_len + 1 : NULL;

    if (slice_eq(word, SLICE("help"))) {
        return TOOL_PARSED_HELP;
    }
    if (o == NULL) {
        buf_printf(why, "--%.*s is not an option of this tool; see --help", (int)name_len,
                   word.ptr);
        return TOOL_PARSED_BAD;
    }
    if (o->kind == TOOL_SWITCH && value != NULL) {
        buf_printf(why, "--%s is a switch and takes no value", o->name);
        return TOOL_PARSED_BAD;
    }
    if (o->kind != TOOL_SWITCH && value == NULL) {
        value = *at + 1 < argc ? argv[++*at] : NULL;
    }
    if ((o->kind != TOOL_SWITCH && value == NULL) || !value_set(o, values, value)) {
        buf_printf(why, "--%s wants %s, not \"%s\"", o->name, kind_expects(o->kind),
                   value != NULL ? value : "");
        return TOOL_PARSED_BAD;
    }
    return TOOL_PARSED;
}

enum tool_parsed tool_args_parse(const struct tool_cli *cli, int argc, char **argv, void *values,
                                 struct tool_texts *rest, struct buf *why)
{
    bool options_ended = false;

    for (size_t i = 0; i < cli->option_count; i++) {
        const struct tool_option *o = &cli->options[i];

        MUST(o->fallback == NULL || value_set(o, values, o->fallback));
    }
    for (int at = 1; at < argc; at++) {
        bool is_option = !options_ended && strncmp(argv[at], "--", 2) == 0;
        enum tool_parsed parsed;

        if (is_option && argv[at][2] == '\0') {
            options_ended = true;
        } else if (is_option) {
            if ((parsed = option_take(cli, argc, argv, &at, values, why)) != TOOL_PARSED) {
                return parsed;
            }
        } else if (!texts_add(rest, argv[at])) {
            buf_printf(why, "too many arguments: \"%s\"", argv[at]);
            return TOOL_PARSED_BAD;
        }
    }
    return TOOL_PARSED;
}

/* Words of `text`, broken before HELP_WIDTH, each new line starting at `column`. */
static void wrap_put(struct buf *out, size_t at, size_t column, const char *text)
{
    struct slice rest = slice_str(text);

    while (rest.len != 0) {
        struct slice word = slice_head(rest, slice_find_char(rest, ' '));

        if (at + word.len + 1 > HELP_WIDTH) {
            buf_printf(out, "\n%*s", (int)column, "");
            at = column;
        }
        if (at > column) {
            buf_char(out, ' ');
            at++;
        }
        buf_put(out, word);
        at += word.len;
        rest = slice_from(rest, word.len + 1);
    }
    buf_char(out, '\n');
}

static void option_help(const struct tool_option *o, struct buf *out)
{
    struct buf text = {0};
    size_t start = out->len;

    buf_printf(out, "  --%s%s%s ", o->name, o->arg != NULL ? " " : "",
               o->arg != NULL ? o->arg : "");
    if (out->len - start > HELP_COLUMN) {
        buf_char(out, '\n');
        start = out->len;
    }
    buf_printf(out, "%*s", (int)(HELP_COLUMN - (out->len - start)), "");
    buf_printf(&text, "%s", o->help);
    if (o->fallback != NULL) {
        buf_printf(&text, " (default %s)", o->fallback);
    }
    buf_char(&text, '\0');
    wrap_put(out, HELP_COLUMN, HELP_COLUMN, text.ptr);
    buf_free(&text);
}

void tool_args_help(const struct tool_cli *cli, struct buf *out)
{
    buf_printf(out, "Usage: %s\n\n", cli->usage);
    wrap_put(out, 0, 0, cli->about);
    for (size_t i = 0; i < cli->option_count; i++) {
        const struct tool_option *o = &cli->options[i];

        if (o->kind == TOOL_HEADING) {
            buf_printf(out, "\n%s\n", o->name);
        } else {
            option_help(o, out);
        }
    }
    buf_printf(out, "  %-*sthis text\n", (int)(HELP_COLUMN - 2), "--help");
}
