/*
 * diag - the daemon's own diagnostics, one line each:
 *
 *     2026-02-02T02:40:03.120458711Z  WARN spool: /var/spool/a: no space left
 *
 * Clock and output come as functions, so that any layer can speak and tests can listen. The text
 * may hold what a peer said: control characters are spelled \xNN, so nobody forges a line.
 *
 * Owner     whoever composes a shard makes one struct diag for it; layers keep a pointer. A NULL
 *           pointer is legal everywhere and says nothing.
 * Filter    "target=level,level,..." as the reference's: the last directive that names an area
 *           wins; "kumod" and "ringpost" name every area but "lua" that has no directive of its
 *           own; a bare level is for all that is left, "error" when there is none.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

enum diag_level {
    DIAG_OFF = 0,
    DIAG_ERROR,
    DIAG_WARN,
    DIAG_INFO,
    DIAG_DEBUG,
    DIAG_TRACE,
    DIAG_LEVEL_COUNT,
};

#define DIAG_FILTER_DEFAULT "kumod=info,lua=info"

struct diag_filter {
    struct buf text;     /* the directives, checked */
    enum diag_level max; /* the highest level any of them lets through */
};

struct diag {
    void *ctx;
    uint64_t (*wall_ns)(void *ctx);
    void (*write)(void *ctx, struct slice line); /* with its line end */
    struct diag_filter filter;
    uint64_t count[DIAG_LEVEL_COUNT]; /* lines said or filtered out, by level */
    struct buf line;                  /* scratch */
};

/* Starts with DIAG_FILTER_DEFAULT. */
void diag_init(struct diag *d, void *ctx, uint64_t (*wall_ns)(void *ctx),
               void (*write)(void *ctx, struct slice line));
void diag_free(struct diag *d);
/* Replaces the filter. On failure `why` says which directive is wrong and the filter stays. */
NODISCARD bool diag_set_filter(struct diag *d, struct slice text, struct buf *why);

/* Whether a line would be written: ask before work that only serves the line. */
PURE bool diag_on(const struct diag *d, enum diag_level level, const char *area);
void diag_say(struct diag *d, enum diag_level level, const char *area, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void diag_vsay(struct diag *d, enum diag_level level, const char *area, const char *fmt,
               va_list ap);

#define diag_error(d, area, ...) diag_say((d), DIAG_ERROR, (area), __VA_ARGS__)
#define diag_warn(d, area, ...) diag_say((d), DIAG_WARN, (area), __VA_ARGS__)
#define diag_info(d, area, ...) diag_say((d), DIAG_INFO, (area), __VA_ARGS__)
/* Arguments are not evaluated when nobody listens. */
#define diag_debug(d, area, ...)                                                                   \
    do {                                                                                           \
        if (diag_on((d), DIAG_DEBUG, (area))) {                                                    \
            diag_say((d), DIAG_DEBUG, (area), __VA_ARGS__);                                        \
        }                                                                                          \
    } while (0)
