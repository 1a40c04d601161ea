/*
 * queue_name - the parts of a scheduled queue's name: campaign:tenant@domain!routing_domain.
 *
 * Pure; slices point into the name. Composition is message_queue_name().
 */
#pragma once

#include <stdbool.h>

#include "core/base/slice.h"

struct queue_name {
    struct slice campaign, tenant, domain, routing_domain;
    bool has_campaign, has_tenant, has_routing_domain;
};

/* Where mail of listeners with deferred_queue waits for its policy. Its config is built in. */
#define QUEUE_DEFERRED_SMTP SLICE("deferred_smtp_inject.kumomta.internal")
/* What is put there is dropped. */
#define QUEUE_NULL SLICE("null")

/* Never fails: without '@' the whole name is the domain part. "campaign:@d" has a tenant, the
 * empty one. */
void queue_name_parse(struct slice name, struct queue_name *out);

/* What MX resolution, the site and the path event see. */
static inline struct slice queue_name_routing(const struct queue_name *n)
{
    return n->has_routing_domain ? n->routing_domain : n->domain;
}
