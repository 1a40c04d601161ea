/* spool_found - recovers a spool as the daemon would, reads everything that is alive in it, and
 * says so; then ends without a word to the disk.
 *
 *     spool_found META DATA
 *
 *     found ID SIZE HASH  alive, and its parts can be read; of its body
 *     unlogged ID         settled, and its log record is to be written again
 *     unreadable ID WHY   alive, but not all there
 *     damaged ID WHY      reported as damaged
 *     recovered N         the last line
 */
#include <stdio.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/queue/records.h"
#include "core/shard/shard.h"
#include "core/shard/shard_call.h"
#include "spool/spool.h"

struct finder {
    struct shard shard;
    struct spool *spool;
    uint64_t reads_open;
    uint64_t recovered;
    bool over;
};

struct found {
    struct spool_read read;
    struct finder *finder;
    uint8_t id[16];
};

static void say(const char *what, const uint8_t id[16], struct slice why)
{
    printf("%s ", what);
    for (size_t i = 0; i < 16; i++) {
        printf("%02x", id[i]);
    }
    printf("%s%.*s\n", why.len > 0 ? " " : "", SLICE_ARG(why));
}

static void read_done(struct spool_read *read, enum spool_err err)
{
    struct found *f = CONTAINER_OF(read, struct found, read);

    if (err == SPOOL_OK) {
        struct buf text = {0};

        buf_printf(&text, "%zu %016llx", read->body.len,
                   (unsigned long long)hash64_slice(buf_slice(&read->body), 0));
        say("found", f->id, buf_slice(&text));
        buf_free(&text);
    } else {
        say("unreadable", f->id, slice_str(spool_err_text(err)));
    }
    buf_free(&read->blob);
    buf_free(&read->body);
    f->finder->reads_open--;
    mem_give(f);
}

static void on_found(void *ctx, const struct spool_found *what)
{
    struct finder *finder = ctx;
    struct found *f = MEM_NEW(struct found);

    f->finder = finder;
    f->read.ref = what->ref;
    f->read.what = SPOOL_READ_BOTH;
    f->read.done = read_done;
    memcpy(f->id, what->meta.id, sizeof(f->id));
    finder->reads_open++;
    spool_read(finder->spool, &f->read);
}

static void on_unlogged(void *ctx, const struct spool_unlogged *unlogged)
{
    struct settled_message settled;

    (void)ctx;
    if (unlogged->outcome.len >= sizeof(settled)) {
        memcpy(&settled, unlogged->outcome.ptr, sizeof(settled));
        say("unlogged", settled.id, SLICE(""));
    }
}

static void on_recovered(void *ctx, uint64_t record_count)
{
    struct finder *finder = ctx;

    finder->recovered = record_count;
    finder->over = true;
}

static void on_damaged(void *ctx, const uint8_t id[16], struct slice what)
{
    (void)ctx;
    say("damaged", id, what);
}

static void on_health(void *ctx, struct slice why)
{
    (void)ctx;
    (void)why;
}

int main(int argc, char **argv)
{
    const struct ring_params ring = {.sq_entries = 1024, .cq_entries = 4096,
                                     .ingress_buffers = 1, .egress_buffers = 1, .workers = 1};
    struct finder *f = MEM_NEW(struct finder);
    struct shard *shards[] = {&f->shard};
    struct shard_group group = {.count = 1, .shards = shards};
    struct slice data = slice_str(argc > 2 ? argv[2] : "");
    const struct spool_params params = {.data_paths = &data,
                                        .data_path_count = 1,
                                        .meta_path = slice_str(argc > 1 ? argv[1] : ""),
                                        .shard_count = 1};
    const struct spool_events events = {.ctx = f,
                                        .found = on_found,
                                        .unlogged = on_unlogged,
                                        .recovered = on_recovered,
                                        .damaged = on_damaged,
                                        .health = on_health};
    struct spool_store *store;
    struct buf why = {0};

    if (argc != 3) {
        fprintf(stderr, "Usage: spool_found META DATA\n");
        return 2;
    }
    if (ring_uring_open(&f->shard.ring, &ring, &why) < 0) {
        fprintf(stderr, "spool_found: %.*s\n", (int)why.len, why.ptr);
        return 2;
    }
    shard_init(&f->shard, &group, 0);
    shard_call_init(&f->shard);
    if (spool_store_open(&f->shard.ring, &params, &store, &why) != SPOOL_OK ||
        ring_uring_enable(&f->shard.ring) < 0 ||
        spool_open(store, &f->shard, &events, &f->spool) != SPOOL_OK) {
        fprintf(stderr, "spool_found: %.*s\n", (int)why.len, why.ptr);
        return 2;
    }
    while (!f->over || f->reads_open > 0) {
        shard_turn(&f->shard, UINT64_MAX);
    }
    printf("recovered %llu\n", (unsigned long long)f->recovered);
    fflush(stdout);
    _exit(0); /* as a crash would: the next one finds what this one found */
}
