/*
 * dns_name - names in the form the resolver asks for and caches them.
 *
 * The kept form is ASCII, lower case, absolute: "mx.example.com.". Relaxed: labels may hold any
 * printable character but a backslash, since "_dmarc" and worse are asked for.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/ip.h"
#include "core/base/slice.h"

#define DNS_NAME_MAX 255u /* of the kept form, root dot included */

/* Appends the kept form. False: not a name; nothing appended. */
NODISCARD bool dns_name_put(struct slice text, struct buf *out);

/* Appends "4.3.2.1", or the nibbles of an IPv6 address: for block lists. */
void dns_reverse_ip_put(struct buf *out, const struct ip *ip);
