#include "tests/sim/world/peers.h"

#include <string.h>

#include "tests/sim/check/book.h"

struct ip_port sink_addr(uint32_t index)
{
    return (struct ip_port){.ip = {.family = IP_V4, .bytes = {10, 9, 0, (uint8_t)(index + 1)}},
                            .port = 25};
}

struct ip_port listener_addr(void)
{
    return (struct ip_port){.ip = {.family = IP_V4, .bytes = {10, 0, 0, 1}}, .port = 25};
}

void peers_start(struct sim *s)
{
    sinks_start(s);
    injectors_start(s);
}

bool peers_done(const struct sim *s)
{
    return book_all_offered(s) && injectors_idle(s);
}

bool peers_idle(const struct sim *s)
{
    return injectors_idle(s);
}

bool peer_fault(struct sim *s, enum sim_fault fault)
{
    return !s->faults_off && sim_chance(s, CHANCE_PEER, s->plan.faults[fault]);
}

/* ---- lines ---- */

void lines_put(struct sim *s, struct peer_lines *l, struct slice bytes)
{
    bytes_put(s->arena, &l->bytes, bytes);
}

bool lines_next(struct peer_lines *l, struct slice *out)
{
    struct slice all = bytes_slice(&l->bytes);
    const char *end = all.len > 0 ? memmem(all.ptr, all.len, "\r\n", 2) : NULL;

    if (end == NULL) {
        return false;
    }
    *out = slice_head(all, (size_t)(end - all.ptr));
    bytes_drop(&l->bytes, out->len + 2); /* the bytes stay where they are */
    return true;
}

uint32_t reply_code(struct slice line)
{
    uint64_t code;

    if (line.len < 3 || (line.len > 3 && line.ptr[3] == '-') ||
        !slice_to_u64(slice_head(line, 3), &code)) {
        return 0;
    }
    return (uint32_t)code;
}
