/*
 * mx_hosts - the hosts a queue names instead of the MX records of its domain.
 *
 *     "name"  "name:25"  "10.0.0.1"  "[10.0.0.1]:25"  "[IPv6:::1]"  "[::1]:25"  "/run/lmtp.sock"
 *     {name="label", addr="10.0.0.1:25", is_secure=true}
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/config/option.h"

enum mx_host_kind {
    MX_HOST_NAME = 0, /* to be resolved */
    MX_HOST_IP,
    MX_HOST_UNIX,
};

struct mx_host {
    uint8_t kind; /* enum mx_host_kind */
    bool is_secure;
    bool is_table;
    uint16_t port;  /* 0: the usual one */
    struct ip ip;   /* MX_HOST_IP */
    char *label;    /* the string as written, or the name of the table */
    char *host;     /* MX_HOST_NAME: without port; MX_HOST_UNIX: the path */
};

struct mx_hosts {
    struct mx_host *items;
    uint32_t count;
};

extern const struct option_kind option_mx_hosts;
