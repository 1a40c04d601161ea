/*
 * deferred - deferred_queue: the policy of a message runs after its 250.
 *
 * Such a message is stored into the internal queue QUEUE_DEFERRED_SMTP. When that promotes it,
 * smtp_server_message_deferred_inject decides: on to the queue that its metadata then name, a
 * bounce, or another try later. Handlers run from the loop, a bounded number at a time.
 *
 * Private to core/ingress.
 * Owner     the shard. A message is the deferral's from inject() until it is rebound, finished
 *           or given back.
 * Memory    waiting messages beyond DEFERRED_BYTES_MAX rest without their content.
 */
#pragma once

#include "core/ingress/ingress.h"

#define DEFERRED_RUNNING_MAX 32u
#define DEFERRED_BYTES_MAX (32u * 1024u * 1024u)

void deferrals_init(struct ingress *in);
/* The drain took too long: handlers under way are abandoned. */
void deferrals_cut(struct ingress *in);
void deferrals_free(struct ingress *in);
/* A message at its reception: it goes into the internal queue. */
void deferral_mark(struct message *m);
