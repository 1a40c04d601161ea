/*
 * check - three words for truth. Peers, disks and scripts can never trip MUST: they are inputs.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"

/* MUST: we wrote a bug if this is false. Checked in every build; prints and aborts. */
#define MUST(expr) (LIKELY(expr) ? (void)0 : check_failed(#expr, __FILE__, __LINE__))

/* MUST_HOT: same meaning, inside a per-byte or per-event loop. Debug, sim and fuzz builds. */
#ifdef CHECK_HOT
#define MUST_HOT(expr) MUST(expr)
#else
#define MUST_HOT(expr) ((void)sizeof(expr))
#endif

/* HOLDS: false is survivable. Counts and prints it; the caller must act on the answer. */
#define HOLDS(expr) (LIKELY(expr) ? true : check_noted(#expr, __FILE__, __LINE__))

NORETURN void check_failed(const char *expr, const char *file, int line);
NODISCARD bool check_noted(const char *expr, const char *file, int line); /* always false */
