/*
 * egress_path_config - what kumo.make_egress_path takes: how one source may treat one site.
 */
#pragma once

#include "core/config/option.h"

#define TLS_MODES(X)                                                                               \
    X(TLS_OPPORTUNISTIC, "Opportunistic")                                                          \
    X(TLS_OPPORTUNISTIC_INSECURE, "OpportunisticInsecure")                                         \
    X(TLS_REQUIRED, "Required")                                                                    \
    X(TLS_REQUIRED_INSECURE, "RequiredInsecure")                                                   \
    X(TLS_DISABLED, "Disabled")
enum tls_mode { TLS_MODES(OPTION_WORD_VALUE) };

#define RECONNECT_STRATEGIES(X)                                                                    \
    X(RECONNECT_TERMINATE_SESSION, "TerminateSession")                                             \
    X(RECONNECT_SAME_HOST, "ReconnectSameHost")                                                    \
    X(RECONNECT_NEXT_HOST, "ConnectNextHost")
enum reconnect_strategy { RECONNECT_STRATEGIES(OPTION_WORD_VALUE) };

#define IP_LOOKUP_STRATEGIES(X)                                                                    \
    X(IP_LOOKUP_V4_AND_V6, "Ipv4AndIpv6")                                                          \
    X(IP_LOOKUP_V4_ONLY, "Ipv4Only")                                                               \
    X(IP_LOOKUP_V6_ONLY, "Ipv6Only")                                                               \
    X(IP_LOOKUP_V6_THEN_V4, "Ipv6ThenIpv4")                                                        \
    X(IP_LOOKUP_V4_THEN_V6, "Ipv4ThenIpv6")
enum ip_lookup_strategy { IP_LOOKUP_STRATEGIES(OPTION_WORD_VALUE) };

#define WAKEUP_STRATEGIES(X)                                                                       \
    X(WAKEUP_AGGRESSIVE, "Aggressive")                                                             \
    X(WAKEUP_RELAXED, "Relaxed")
enum wakeup_strategy { WAKEUP_STRATEGIES(OPTION_WORD_VALUE) };

struct egress_path_config {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/egress_path_config.def"
#undef OPTION
};

extern const struct option_table egress_path_config_options;

/* On failure `why` holds the whole "deserialize error: ..." and nothing is to be freed. */
NODISCARD bool egress_path_config_read(const struct json *from, struct egress_path_config *out,
                                       struct buf *why);
void egress_path_config_init(struct egress_path_config *c); /* the defaults */
void egress_path_config_free(struct egress_path_config *c);
/* Every option by its name, null where unset. */
struct json *egress_path_config_write(const struct egress_path_config *c, struct json_doc *doc);

/* Whether it asks for a protection that is not there to be given, so that delivering anyway would
 * break a promise to whoever configured it. Then `text` gets the reason. Opportunistic TLS makes
 * no promise: mail goes in clear. */
NODISCARD bool egress_path_unsupported(const struct egress_path_config *c, struct buf *text);
/* Grace for what is under way at shutdown, in ns: as configured, or the sum of the command
 * timeouts. */
PURE uint64_t egress_path_shutdown_timeout(const struct egress_path_config *c);
/* Silence after which an SMTP dispatcher counts as stuck, in ns. */
PURE uint64_t egress_path_watchdog_timeout(const struct egress_path_config *c);
