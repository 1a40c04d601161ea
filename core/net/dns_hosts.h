/*
 * dns_hosts - names that this host knows by itself: the hosts file, and localhost.
 *
 * A name that stands in the file is never asked for in DNS; the family it has no address of is
 * empty. "localhost" and names below it are loopback even without a file (RFC 6761 6.3).
 *
 * Owner     one shard.
 * Blocking  dns_hosts_read() reads a file; for start-up only.
 * Limits    DNS_HOSTS_SIZE_MAX bytes of file; lines that make no sense are skipped.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/hmap.h"
#include "core/base/slice.h"

struct dns_set;
struct ring;

#define DNS_HOSTS_SIZE_MAX (4u << 20)

struct dns_hosts {
    struct hmap names; /* struct host, in dns_hosts.c */
};

void dns_hosts_init(struct dns_hosts *h, uint64_t seed);
void dns_hosts_free(struct dns_hosts *h);

/* Adds the lines of a hosts file: address, then names, then a comment. */
void dns_hosts_parse(struct dns_hosts *h, struct slice text);
/* A file that is not there adds nothing. False: it is there and cannot be read. */
bool dns_hosts_read(struct dns_hosts *h, struct ring *ring, const char *path);

/* A fresh set for A or AAAA with one reference and no expiry, or NULL when the name is unknown
 * here. `name` in kept form. */
struct dns_set *dns_hosts_find(const struct dns_hosts *h, struct slice name, uint16_t type);
