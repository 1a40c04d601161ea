/*
 * domain_idna - internationalised domain names; the only user of libidn2.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

/* Appends the A-label form of a domain with at least one byte >= 0x80 (UTS 46, non-transitional).
 * What is appended is not checked against the domain grammar. False: nothing appended. */
NODISCARD bool domain_idna_put(struct slice domain, struct buf *out);
