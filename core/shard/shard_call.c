#include "core/shard/shard_call.h"

#include "core/base/check.h"

static void shard_called(void *ctx, struct mail_item *item)
{
    struct shard_call *call = CONTAINER_OF(item, struct shard_call, item);

    call->fn(ctx, call);
}

void shard_call_init(struct shard *sh)
{
    mail_on(sh, MAIL_CALL, shard_called, sh);
}

void shard_call(struct shard *from, uint32_t to, struct shard_call *call)
{
    MUST(call->fn != NULL);
    mail_send(from, to, MAIL_CALL, &call->item);
}
