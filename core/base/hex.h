/*
 * hex - bytes as lower-case hex digits, appended to a buffer.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

void hex_encode(struct buf *out, struct slice bytes);
/* Digits of either case, an even number of them. On failure nothing is appended. */
NODISCARD bool hex_decode(struct buf *out, struct slice text);
/* The value of one digit, or -1. */
PURE int hex_digit(char c);
