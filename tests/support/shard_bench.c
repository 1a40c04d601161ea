#include "tests/support/shard_bench.h"

#include "core/base/mem.h"

void shard_bench_open(struct shard_bench *b, uint32_t count, uint64_t seed)
{
    MUST(count <= SHARD_BENCH_MAX);
    *b = (struct shard_bench){.disk = fake_disk_new()};
    b->group = (struct shard_group){.count = count, .shards = b->list};
    for (uint32_t i = 0; i < count; i++) {
        struct shard *sh = MEM_NEW(struct shard);

        fake_ring_open(&sh->ring, b->disk, seed + i);
        shard_init(sh, &b->group, i);
    }
}

void shard_bench_close(struct shard_bench *b)
{
    for (uint32_t i = 0; i < b->group.count; i++) {
        mail_free(b->list[i]);
        ring_close(&b->list[i]->ring);
        MEM_FREE(&b->list[i]);
    }
    fake_disk_free(&b->disk);
}

void shard_bench_turn(struct shard_bench *b)
{
    for (uint32_t i = 0; i < b->group.count; i++) {
        fake_ring_turn(b->list[i]);
    }
}

static bool at_rest(const struct shard_bench *b)
{
    uint64_t sent_count = 0, received_count = 0;

    for (uint32_t i = 0; i < b->group.count; i++) {
        sent_count += b->list[i]->mail.sent_count;
        received_count += b->list[i]->mail.received_count;
        if (!dlist_empty(&b->list[i]->posted)) {
            return false;
        }
    }
    return sent_count == received_count;
}

void shard_bench_settle(struct shard_bench *b)
{
    do {
        shard_bench_turn(b);
    } while (!at_rest(b));
}

void shard_bench_advance_ms(struct shard_bench *b, uint64_t ms)
{
    fake_disk_advance(b->disk, ms * 1000000u);
}

struct slice shard_bench_name(const struct shard_bench *b, const char *stem, uint32_t owner,
                              struct buf *out)
{
    for (unsigned number = 0;; number++) {
        buf_clear(out);
        buf_printf(out, "%s%u", stem, number);
        if (shard_of_name(&b->group, buf_slice(out)) == owner) {
            return buf_slice(out);
        }
    }
}
