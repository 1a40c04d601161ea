/* Version-1 UUIDs: RFC 9562 5.1. */
#include "core/base/digits.h"
#include "core/base/hex.h"
#include "core/message/message.h"

#define TICKS_1582_TO_1970 UINT64_C(0x01B21DD213814000) /* of 100 ns */
#define BOOT_BITS 6u

void message_ids_init(struct message_ids *ids, uint32_t shard, uint32_t boot,
                      const uint8_t node[6])
{
    *ids = (struct message_ids){
        .clock_seq = (uint16_t)((shard & 0xff) << BOOT_BITS | (boot & ((1u << BOOT_BITS) - 1))),
    };
    memcpy(ids->node, node, sizeof(ids->node));
}

static void put_be(uint8_t *to, uint64_t value, size_t count)
{
    while (count > 0) {
        to[--count] = (uint8_t)value;
        value >>= 8;
    }
}

static uint64_t get_be(const uint8_t *from, size_t count)
{
    uint64_t value = 0;

    for (size_t i = 0; i < count; i++) {
        value = value << 8 | from[i];
    }
    return value;
}

void message_id_next(struct message_ids *ids, uint64_t wall_ns, uint8_t out[16])
{
    uint64_t ticks = wall_ns / 100 + TICKS_1582_TO_1970;

    if (ticks <= ids->last_ticks) {
        ticks = ids->last_ticks + 1;
    }
    ids->last_ticks = ticks;
    put_be(out, ticks & 0xffffffff, 4);
    put_be(out + 4, ticks >> 32 & 0xffff, 2);
    put_be(out + 6, (ticks >> 48 & 0x0fff) | 0x1000, 2);
    put_be(out + 8, ids->clock_seq | 0x8000, 2);
    memcpy(out + 10, ids->node, sizeof(ids->node));
}

void message_id_text(const uint8_t id[16], char out[MESSAGE_ID_TEXT])
{
    (void)digits_put_hex(out, id, 16);
}

bool message_id_parse(struct slice text, uint8_t out[16])
{
    if (text.len != MESSAGE_ID_TEXT) {
        return false;
    }
    for (size_t i = 0; i < 16; i++) {
        int high = hex_digit(text.ptr[2 * i]), low = hex_digit(text.ptr[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

uint64_t message_id_wall_ns(const uint8_t id[16])
{
    uint64_t ticks = get_be(id, 4) | get_be(id + 4, 2) << 32 | (get_be(id + 6, 2) & 0x0fff) << 48;

    return ticks > TICKS_1582_TO_1970 ? (ticks - TICKS_1582_TO_1970) * 100 : 0;
}
