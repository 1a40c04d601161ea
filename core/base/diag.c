#include "core/base/diag.h"

#include "core/base/time_text.h"

static const struct slice level_names[DIAG_LEVEL_COUNT] = {
    [DIAG_OFF] = SLICE_INIT("off"),     [DIAG_ERROR] = SLICE_INIT("error"),
    [DIAG_WARN] = SLICE_INIT("warn"),   [DIAG_INFO] = SLICE_INIT("info"),
    [DIAG_DEBUG] = SLICE_INIT("debug"), [DIAG_TRACE] = SLICE_INIT("trace"),
};

/* One directive of a filter. */
struct directive {
    struct slice target; /* empty: for everything */
    enum diag_level level;
    bool for_spans; /* target[span{field=value}]: accepted, but there are no spans to match */
};

static bool level_parse(struct slice text, enum diag_level *out)
{
    for (size_t i = 0; i < DIAG_LEVEL_COUNT; i++) {
        if (slice_eq_nocase(text, level_names[i])) {
            *out = (enum diag_level)i;
            return true;
        }
    }
    return false;
}

static bool target_valid(struct slice target)
{
    for (size_t i = 0; i < target.len; i++) {
        char c = char_lower(target.ptr[i]);

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != ':' &&
            c != '-' && c != '.' && c != '/') {
            return false;
        }
    }
    return target.len != 0;
}

static bool directive_parse(struct slice text, struct directive *out)
{
    size_t bracket = slice_find_char(text, '[');
    size_t eq = slice_find_char(text, '=');

    *out = (struct directive){.level = DIAG_TRACE};
    if (bracket < eq) {
        const char *close = memrchr(text.ptr, ']', text.len);

        if (close == NULL) {
            return false;
        }
        out->for_spans = true;
        out->target = slice_head(text, bracket);
        text = slice_from(text, (size_t)(close - text.ptr) + 1);
        if (bracket != 0 && !target_valid(out->target)) {
            return false;
        }
        return text.len == 0 ||
               (text.ptr[0] == '=' && level_parse(slice_from(text, 1), &out->level));
    }
    if (eq == text.len) {
        if (level_parse(text, &out->level)) {
            return true;
        }
        out->target = text;
        return target_valid(text);
    }
    out->target = slice_trim(slice_head(text, eq));
    return target_valid(out->target) &&
           level_parse(slice_trim(slice_from(text, eq + 1)), &out->level);
}

/* Cuts the text of the next directive; commas inside brackets belong to it. */
static struct slice directive_cut(struct slice *text)
{
    size_t len = 0, depth = 0;
    struct slice cut;

    for (; len < text->len && (text->ptr[len] != ',' || depth != 0); len++) {
        char c = text->ptr[len];

        depth += c == '[' || c == '{';
        depth -= (c == ']' || c == '}') && depth != 0;
    }
    cut = slice_head(*text, len);
    *text = slice_from(*text, len + 1);
    return slice_trim(cut);
}

bool diag_set_filter(struct diag *d, struct slice text, struct buf *why)
{
    enum diag_level max = DIAG_ERROR;
    struct slice left = text;

    while (left.len != 0) {
        struct slice part = directive_cut(&left);
        struct directive dir;

        if (part.len == 0) {
            continue;
        }
        if (!directive_parse(part, &dir)) {
            buf_printf(why, "invalid filter directive '%.*s'", SLICE_ARG(part));
            return false;
        }
        if (!dir.for_spans && dir.level > max) {
            max = dir.level;
        }
    }
    buf_clear(&d->filter.text);
    buf_put(&d->filter.text, text);
    d->filter.max = max;
    return true;
}

void diag_init(struct diag *d, void *ctx, uint64_t (*wall_ns)(void *ctx),
               void (*write)(void *ctx, struct slice line))
{
    struct buf why = {0};

    *d = (struct diag){.ctx = ctx, .wall_ns = wall_ns, .write = write};
    MUST(diag_set_filter(d, SLICE(DIAG_FILTER_DEFAULT), &why));
    buf_free(&why);
}

void diag_free(struct diag *d)
{
    if (d != NULL) {
        buf_free(&d->filter.text);
        buf_free(&d->line);
    }
}

/* How closely a directive names an area: the area or what it is part of, the daemon, all. */
static unsigned closeness(const struct directive *dir, struct slice area)
{
    if (dir->for_spans) {
        return 0;
    }
    if (dir->target.len == 0) {
        return 1;
    }
    if (slice_eq(dir->target, SLICE("kumod")) || slice_eq(dir->target, SLICE("ringpost"))) {
        return slice_eq(area, SLICE("lua")) ? 0 : 2;
    }
    if (!slice_starts(area, dir->target) ||
        (area.len > dir->target.len && area.ptr[dir->target.len] != ':' &&
         area.ptr[dir->target.len] != '.')) {
        return 0;
    }
    return 3 + (unsigned)dir->target.len;
}

bool diag_on(const struct diag *d, enum diag_level level, const char *area)
{
    enum diag_level allowed = DIAG_ERROR;
    struct slice name = slice_str(area);
    unsigned closest = 0;
    struct slice left;

    if (d == NULL || level > d->filter.max || level == DIAG_OFF) {
        return false;
    }
    left = buf_slice(&d->filter.text);
    while (left.len != 0) {
        struct slice part = directive_cut(&left);
        struct directive dir;

        if (part.len != 0 && directive_parse(part, &dir)) {
            unsigned close = closeness(&dir, name);

            if (close != 0 && close >= closest) {
                closest = close;
                allowed = dir.level;
            }
        }
    }
    return level <= allowed;
}

static void put_visible(struct buf *out, struct slice text)
{
    static const char hex[] = "0123456789abcdef";

    buf_reserve(out, text.len);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c >= 0x20 && c != 0x7f) {
            buf_char(out, (char)c);
        } else {
            BUF_LIT(out, "\\x");
            buf_char(out, hex[c >> 4]);
            buf_char(out, hex[c & 15]);
        }
    }
}

void diag_vsay(struct diag *d, enum diag_level level, const char *area, const char *fmt, va_list ap)
{
    static const char *const labels[DIAG_LEVEL_COUNT] = {
        "  OFF ", " ERROR ", "  WARN ", "  INFO ", " DEBUG ", " TRACE "};
    struct buf text = {0};

    if (d == NULL) {
        return;
    }
    MUST(level < DIAG_LEVEL_COUNT);
    d->count[level]++;
    if (!diag_on(d, level, area)) {
        return;
    }
    buf_clear(&d->line);
    time_put_rfc3339(&d->line, d->wall_ns(d->ctx));
    buf_put(&d->line, slice_str(labels[level]));
    buf_put(&d->line, slice_str(area));
    BUF_LIT(&d->line, ": ");
    buf_vprintf(&text, fmt, ap);
    put_visible(&d->line, buf_slice(&text));
    buf_char(&d->line, '\n');
    buf_free(&text);
    d->write(d->ctx, buf_slice(&d->line));
}

void diag_say(struct diag *d, enum diag_level level, const char *area, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    diag_vsay(d, level, area, fmt, ap);
    va_end(ap);
}
