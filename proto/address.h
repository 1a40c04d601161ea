/*
 * address - one mail address in the form the engine keeps: "local@domain", "Postmaster", or
 * nothing for the null sender.
 *
 * The domain is lower-cased and punycoded, a literal keeps its brackets; the local part is kept
 * as it was written, quotes included.
 *
 * Memory    what is parsed is appended to the caller's buf; struct address borrows.
 * Limits    ADDRESS_SIZE_MAX bytes, so that a u16 can hold the length of any address.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

#define ADDRESS_SIZE_MAX 65535u

/* A kept address and where its parts are. All empty for the null sender. */
struct address {
    struct slice text;   /* .email */
    struct slice local;  /* as written; "Postmaster" for Postmaster */
    struct slice domain; /* .domain; empty for Postmaster */
};

#define ADDRESS_NULL (1u << 0)       /* nothing, or <>, is an address too */
#define ADDRESS_POSTMASTER (1u << 1) /* so is Postmaster, in any case */

/* The whole of `text`, with or without <>, as policy and HTTP bodies give addresses. Appends the
 * kept form. False: not an address, nothing appended. */
NODISCARD bool address_parse(struct slice text, unsigned flags, struct buf *out);

/* Cuts local@domain off the front of `in` and appends its kept form. Answers how many bytes it
 * took; 0: not an address, nothing appended. `in` must be UTF-8. */
NODISCARD size_t address_cut(struct slice in, struct buf *out);

/* The parts of a kept address. */
struct address address_split(struct slice text);

/* .user, appended: the local part without quotes and escapes; "postmaster" for Postmaster. */
void address_user_put(const struct address *a, struct buf *out);
