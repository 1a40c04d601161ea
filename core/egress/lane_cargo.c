/* A message in a lane's hands: its recipients, and those of the transaction under way. */
#include "core/base/mem.h"
#include "core/egress/lane.h"

void cargo_open(struct lane_cargo *cargo)
{
    uint32_t count = cargo->m->content->recipient_count;
    struct slice addr;
    uint32_t i = 0;

    MUST(cargo->recipients == NULL);
    cargo->recipients = mem_take((size_t)count * sizeof(*cargo->recipients));
    cargo->recipient_state = mem_take_zero(count);
    cargo->batch = mem_take((size_t)count * sizeof(*cargo->batch));
    cargo->batch_recipients = mem_take((size_t)count * sizeof(*cargo->batch_recipients));
    for (size_t at = 0; i < count && message_next_recipient(cargo->m, &at, &addr);) {
        cargo->recipients[i++] = addr;
    }
    cargo->recipient_count = i;
}

void cargo_pick(struct lane_cargo *cargo, uint32_t max)
{
    cargo->batch_count = 0;
    for (uint32_t i = 0; i < cargo->recipient_count && cargo->batch_count < max; i++) {
        if (cargo->recipient_state[i] == RECIPIENT_WAITS) {
            cargo->batch[cargo->batch_count] = i;
            cargo->batch_recipients[cargo->batch_count++] = cargo->recipients[i];
        }
    }
    MUST(cargo->batch_count > 0);
}

struct smtp_transaction cargo_transaction(const struct lane_cargo *cargo)
{
    return (struct smtp_transaction){
        .sender = message_sender(cargo->m),
        .recipients = cargo->batch_recipients,
        .recipient_count = cargo->batch_count,
        .has_8bit = (message_flags(cargo->m) & BODY_HAS_8BIT) != 0,
    };
}

void cargo_close(struct lane_cargo *cargo)
{
    MEM_FREE(&cargo->recipients);
    MEM_FREE(&cargo->recipient_state);
    MEM_FREE(&cargo->batch);
    MEM_FREE(&cargo->batch_recipients);
    cargo->recipient_count = 0;
    cargo->batch_count = 0;
}
