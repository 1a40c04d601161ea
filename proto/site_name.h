/*
 * site_name - one short name for all hosts a domain's mail may go to, so that domains with the
 * same hosts in the same order share a ready queue. Not a regular expression, not reversible.
 *
 * Memory    appended to the caller's buffer; scratch is taken and given back within the call.
 */
#pragma once

#include <stddef.h>

#include "core/base/buf.h"
#include "core/base/slice.h"

/* `hosts` in resolution order, each "name" or "name:port", with or without a final dot:
 * mta5.am0.yahoodns.net., mta6.am0.yahoodns.net. -> (mta5|mta6).am0.yahoodns.net */
void site_name_put(struct buf *out, const struct slice *hosts, size_t host_count);

/* For a configured list, names as written: "mx_list:smart.host.local:2025,10.0.0.1". */
void site_name_mx_list_put(struct buf *out, const struct slice *entries, size_t entry_count);
