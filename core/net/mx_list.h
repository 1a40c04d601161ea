/*
 * mx_list - the hosts a queue's config names instead of a domain's MX records.
 *
 * Owner     whoever holds the struct. Memory: one text buffer and one array.
 * Limits    MX_LIST_COUNT_MAX entries.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/ip.h"
#include "core/base/slice.h"

#define MX_LIST_COUNT_MAX 1024u

struct mx_list_entry {
    uint32_t label_at, label_len; /* as it stands in the site name */
    uint32_t name_at, name_len;   /* what is looked up, or what an address is called */
    struct ip ip;                 /* IP_NONE: look the name up */
    uint16_t port;
    bool has_port;
    bool is_secure; /* a table's is_secure */
};

struct mx_list {
    struct mx_list_entry *entries;
    uint32_t count;
    struct buf text;
};

void mx_list_free(struct mx_list *list);

/* "name", "name:port", "ip", "ip:port", "[ip]", "[ip]:port", "[IPv6:addr]", "[IPv6:addr]:port".
 * On failure nothing is added and `why` says what is wrong; a path of a unix socket is refused
 * by name. */
NODISCARD bool mx_list_add(struct mx_list *list, struct slice text, struct buf *why);
/* {name=, addr="ip" | "ip:port" | "[v6]:port", is_secure=}. */
NODISCARD bool mx_list_add_table(struct mx_list *list, struct slice name, struct slice addr,
                                 bool is_secure, struct buf *why);

struct slice mx_list_label(const struct mx_list *list, uint32_t i);
struct slice mx_list_name(const struct mx_list *list, uint32_t i);
/* Appends "mx_list:smart.host.local:2025,10.0.0.1". */
void mx_list_site_put(struct buf *out, const struct mx_list *list);
