/*
 * setup - what the policy's init has asked for: spools, listeners, logs, resolver.
 *
 * Filled on the main thread while init runs, read-only afterwards.
 */
#pragma once

#include "core/config/local_logs_config.h"
#include "core/config/spool_config.h"
#include "core/ingress/ingress.h"
#include "core/log/log.h"
#include "core/net/dns_config.h"
#include "core/net/dns_resolver.h"
#include "policy/api/services.h"

struct daemon;
struct engine;

struct setup_log {
    struct setup_log *next;
    struct local_logs_config config;
    struct log_params params; /* borrows from config */
    struct slice *patterns;   /* what params.capture points to */
};

struct setup_endpoint {
    struct setup_endpoint *next;
    struct ingress_endpoint endpoint;
};

struct setup {
    struct daemon *daemon;
    struct spool_config data, meta;
    bool has_data, has_meta;
    struct setup_log *logs;           /* in the order of the policy */
    struct setup_endpoint *endpoints; /* likewise */
    struct setup_log **logs_end;
    struct setup_endpoint **endpoints_end;
    struct dns_params dns;
    struct dns_config resolver;
    struct buf said;           /* names of options without effect, said once each */
};

void setup_init(struct setup *s, struct daemon *d);
void setup_free(struct setup *s);
/* Fills the function pointers; ctx is the engine whose policy calls. */
void setup_services(struct engine *e, struct api_services *out);
/* setup_dns.c: those of kumo.dns. */
void setup_dns_services(struct api_services *out);
/* setup_memory.c: kumo.set_memory_* and get_memory_*. */
void setup_memory_services(struct api_services *out);
/* Is everything there that a start needs? */
NODISCARD bool setup_check(const struct setup *s, struct buf *why);
/* The spool's parameters. They borrow from the setup; data_paths and guards are given back by the
 * caller. */
void setup_spool_params(const struct setup *s, uint32_t shards, struct spool_params *out);
/* The listeners that answer before mail is on stable storage (deferred_spool, their overlays'
 * included), ", " between; nothing when there is none. */
void setup_put_deferring(const struct setup *s, struct buf *out);
PURE bool setup_defers(const struct setup *s);
