/*
 * domain - the domain grammar of SMTP: host names in ASCII or UTF-8, and address literals.
 *
 * A label begins with a letter, digit or UTF-8, and goes on with these, '-' and '_'. Kept form:
 * lower case, punycoded, no trailing dot. Literals [1.2.3.4], [IPv6:...] (written canonically) and
 * [tag:content] keep their brackets.
 *
 * Limits    DOMAIN_SIZE_MAX bytes, 63 a label, both after punycode.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

#define DOMAIN_SIZE_MAX 255u
#define DOMAIN_LABEL_SIZE_MAX 63u

/* Cuts a domain or literal off the front of `in` and appends its kept form. Answers how many bytes
 * it took; 0: not a domain, nothing appended. */
NODISCARD size_t domain_cut(struct slice in, struct buf *out);

/* The same for the whole of `text`. */
NODISCARD bool domain_put(struct slice text, struct buf *out);
