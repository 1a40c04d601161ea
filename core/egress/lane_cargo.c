/* A message in a lane's hands: its recipients, and those of the transaction under way. */
#include "core/base/mem.h"
#include "core/egress/lane.h"

void cargo_open(struct lane_cargo *cargo)
{
    uint32_t count = cargo->m->content->recipient_count;
    size_t each = 2 * sizeof(struct slice) + sizeof(uint32_t) + sizeof(uint8_t);
    struct slice addr;
    uint32_t i = 0;

    MUST(cargo->recipients == NULL);
    cargo->recipients = mem_take(count * each);
    cargo->batch_recipients = cargo->recipients + count;
    cargo->batch = (uint32_t *)(void *)(cargo->batch_recipients + count);
    cargo->recipient_state = (uint8_t *)(cargo->batch + count);
    memset(cargo->recipient_state, RECIPIENT_WAITS, count);
    cargo->flags = message_flags(cargo->m);
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
        .has_8bit = (cargo->flags & BODY_HAS_8BIT) != 0,
    };
}

void cargo_close(struct lane_cargo *cargo)
{
    MEM_FREE(&cargo->recipients);
    cargo->batch_recipients = NULL;
    cargo->batch = NULL;
    cargo->recipient_state = NULL;
    cargo->recipient_count = 0;
    cargo->batch_count = 0;
}
