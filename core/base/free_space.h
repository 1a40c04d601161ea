/*
 * free_space - how much of a file system must stay free: "10%" or a number of bytes (or inodes).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

struct free_space {
    uint64_t amount;
    bool percent;
};

#define FREE_SPACE_DEFAULT ((struct free_space){.amount = 10, .percent = true})

/* "N%" with N from 0 to 255, or an integer. */
NODISCARD bool free_space_parse(struct slice text, struct free_space *out, struct buf *why);
void free_space_put(struct buf *out, const struct free_space *fs);
/* Whether less than the wanted part of `total` is available; percentages are floored. */
PURE bool free_space_short(const struct free_space *fs, uint64_t available, uint64_t total);
