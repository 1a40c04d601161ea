/*
 * meta - metadata of a message or connection: names to JSON values, kept as JSON text.
 *
 * One packed run of bytes, so that copying a connection's metadata into a message, and writing
 * a message's metadata to the spool, is one memcpy.
 *
 * Owner     whoever holds the struct. Memory: one growing buffer; meta_free() gives it back.
 * Limits    META_NAME_MAX bytes a name.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

#define META_NAME_MAX 65535u

struct meta {
    struct buf packed; /* (u16 name_len, u32 value_len, name, value)*, in order of first set */
};

void meta_free(struct meta *m);
void meta_copy(struct meta *to, const struct meta *from); /* replaces */

/* `json_text` is one valid JSON value on one line, not borrowed from `m`. Setting replaces in
 * place or appends. False, and nothing changes, when the name is too long. */
bool meta_set(struct meta *m, struct slice name, struct slice json_text);
bool meta_set_string(struct meta *m, struct slice name, struct slice text);
/* The JSON text, borrowed until the next change; len 0 when unset. */
struct slice meta_get(const struct meta *m, struct slice name);
/* A string value, decoded into `scratch` only where it has escapes; false when unset, null or
 * not a string (then *is_other tells the last case). */
NODISCARD bool meta_get_string(const struct meta *m, struct slice name, struct buf *scratch,
                               struct slice *out, bool *is_other);

struct meta_entry {
    struct slice name, value;
};
/* for (size_t at = 0; meta_next(m, &at, &e);) ... */
NODISCARD bool meta_next(const struct meta *m, size_t *at, struct meta_entry *out);
/* {"a":1,...} */
void meta_write_json(struct buf *out, const struct meta *m);
/* For the spool's blob. `from` is checked: false when it is not a packed run. */
NODISCARD bool meta_unpack(struct meta *m, struct slice from);
