/*
 * dns_zone - answers from zone texts instead of name servers, for policies under test.
 *
 * A zone is RFC 1035 master file text: $ORIGIN, $TTL, comments, parentheses, quoted strings, and
 * the types A, AAAA, CNAME, MX, NS, PTR, SOA, TLSA and TXT. A name without records does not
 * exist; one in the servfail list fails.
 *
 * Owner     one shard. Memory: the records; nothing grows after open.
 * Blocking  never; answers come from the loop.
 * Limits    ZONE_RECORDS_MAX records, ZONE_CHAIN_MAX aliases in a row.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

struct dns_backend;
struct json;
struct shard;
struct dns_zone;

#define ZONE_RECORDS_MAX 65536u
#define ZONE_CHAIN_MAX 8u

/* {"zones": ["text", ...], "servfail": ["name", ...]}, as define_resolver's Test takes it; a bare
 * array is the list of zones. On failure `why` names the line. */
NODISCARD bool dns_zone_open(struct shard *shard, const struct json *spec,
                             struct dns_backend **out, struct buf *why);

/* The pieces, for tests. */
struct dns_zone *dns_zone_new(void);
void dns_zone_free(struct dns_zone **zp);
NODISCARD bool dns_zone_parse(struct dns_zone *z, struct slice text, struct buf *why);
NODISCARD bool zone_fail_add(struct dns_zone *z, struct slice name);
/* Appends a raw answer, id 0. `name` in any form. */
void zone_answer_put(const struct dns_zone *z, struct slice name, uint16_t type, struct buf *out);
