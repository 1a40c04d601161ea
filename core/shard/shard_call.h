/*
 * shard_call - a function run on another shard, for the daemon's own affairs: phases of a drain,
 * reload, inspection. Not for anything that happens per message.
 *
 * Owner     a field of the sender's object; the receiver owns it from shard_call() until its
 *           function returns or sends it back.
 */
#pragma once

#include "core/shard/shard.h"

struct shard_call {
    struct mail_item item;
    void (*fn)(struct shard *sh, struct shard_call *call);
};

/* Registers the receiver; once per shard, before it runs. */
void shard_call_init(struct shard *sh);
/* call->fn runs on shard `to`, from its loop. */
void shard_call(struct shard *from, uint32_t to, struct shard_call *call);
