/*
 * json_private - what json.c, json_parse.c and json_write.c share.
 */
#pragma once

#include "core/base/json.h"

/* A copy of `s` in the doc's arena. */
struct slice json_arena_copy(struct json_doc *doc, struct slice s);
/* json_object_add() with a key that is in the arena already. */
void json_object_adopt(struct json *object, struct slice key, struct json *item);

/* The first byte in [at, end) that cannot stand in a JSON string as it is: a quote, a backslash
 * or one below 0x20. Or end. */
PURE const char *json_plain_end(const char *at, const char *end);
