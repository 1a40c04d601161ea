/*
 * option_refuse - the words in which a value is refused. Policy helpers tell "no such option"
 * from "a bad value" by them, so their shapes are interface. Each appends to `why` and answers
 * false.
 */
#pragma once

#include <stdbool.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/slice.h"
#include "core/config/option_values.h"

/* invalid type: map, expected a boolean */
bool option_refuse_type(const struct json *v, const char *expected, struct buf *why);
/* invalid value: integer `-1`, expected u64 */
bool option_refuse_value(const struct json *v, const char *expected, struct buf *why);
/* invalid value: string "10/parsec": unknown period quantity parsec */
bool option_refuse_because(const struct json *v, struct slice reason, struct buf *why);
/* invalid value: unknown variant `x`, expected one of `a`, `b` */
bool option_refuse_word(struct slice word, const struct option_names *names, struct buf *why);

/* "`a`"; "`a` or `b`"; "one of `a`, `b`, `c`" */
void option_put_choice(struct buf *out, const struct slice *words, uint32_t count);
