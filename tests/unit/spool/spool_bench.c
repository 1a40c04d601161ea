#include "tests/unit/spool/spool_bench.h"

#include <stdio.h>

#include "core/base/check.h"
#include "core/base/mem.h"

void bench_init(struct spool_bench *b)
{
    *b = (struct spool_bench){.seed = 1};
    b->disk = fake_disk_new();
    b->paths[0] = SLICE("/spool");
    b->params = (struct spool_params){.data_paths = b->paths,
                                      .data_path_count = 1,
                                      .meta_path = SLICE("/spool"),
                                      .segment_size = 128 * 1024,
                                      .reserve_segments = 1};
}

/* ---- events ---- */

static void text_copy(char *to, size_t size, struct slice from)
{
    size_t len = from.len < size - 1 ? from.len : size - 1;

    memset(to, 0, size);
    if (len > 0) {
        memcpy(to, from.ptr, len);
    }
}

static void on_found(void *ctx, const struct spool_found *found)
{
    struct bench_shard *c = ctx;
    struct spool_bench *b = c->bench;
    struct bench_found *f;

    if ((b->found_count & (b->found_count + 1)) == 0) {
        b->found = mem_grow(b->found, (size_t)(b->found_count + 1) * 2 * sizeof(*b->found));
    }
    f = &b->found[b->found_count++];
    *f = (struct bench_found){.ref = found->ref,
                              .due_ms = found->meta.due_ms,
                              .created_ms = found->meta.created_ms,
                              .size = found->meta.size,
                              .attempts = found->meta.attempts,
                              .shard = c->index};
    memcpy(f->id, found->meta.id, sizeof(f->id));
    text_copy(f->queue, sizeof(f->queue), found->meta.queue);
}

static void on_unlogged(void *ctx, const struct spool_unlogged *u)
{
    struct bench_shard *c = ctx;
    struct spool_bench *b = c->bench;
    struct bench_unlogged *to;

    b->unlogged = mem_grow(b->unlogged, (b->unlogged_count + 1) * sizeof(*b->unlogged));
    to = &b->unlogged[b->unlogged_count++];
    *to = (struct bench_unlogged){.ref = u->ref, .sequence = u->sequence, .shard = c->index};
    text_copy(to->outcome, sizeof(to->outcome), u->outcome);
}

static void on_damaged(void *ctx, const uint8_t id[16], struct slice what)
{
    struct bench_shard *c = ctx;
    struct spool_bench *b = c->bench;
    struct bench_damage *d;

    b->damage = mem_grow(b->damage, (b->damage_count + 1) * sizeof(*b->damage));
    d = &b->damage[b->damage_count++];
    memcpy(d->id, id, sizeof(d->id));
    text_copy(d->what, sizeof(d->what), what);
}

static void on_recovered(void *ctx, uint64_t count)
{
    struct bench_shard *c = ctx;

    c->bench->recovered_shards++;
    c->bench->recovered_records += count;
}

static void on_health(void *ctx, struct slice why)
{
    struct bench_shard *c = ctx;

    c->bench->health_count++;
    text_copy(c->bench->health, sizeof(c->bench->health), why);
}

void bench_forget(struct spool_bench *b)
{
    MEM_FREE(&b->found);
    MEM_FREE(&b->unlogged);
    MEM_FREE(&b->damage);
    b->found_count = b->unlogged_count = b->damage_count = 0;
    b->recovered_shards = 0;
    b->recovered_records = 0;
}

/* ---- life ---- */

void bench_open(struct spool_bench *b, uint32_t shard_count)
{
    struct buf why = {0};
    enum spool_err err;

    MUST(b->store == NULL && shard_count <= BENCH_SHARDS_MAX);
    bench_forget(b);
    b->group = (struct shard_group){.count = shard_count, .shards = b->shard_table};
    b->params.shard_count = shard_count;
    for (uint32_t i = 0; i < shard_count; i++) {
        b->shards[i] = (struct shard){0};
        fake_ring_open(&b->shards[i].ring, b->disk, b->seed++);
        shard_init(&b->shards[i], &b->group, i);
        b->contexts[i] = (struct bench_shard){.bench = b, .index = i};
    }
    err = spool_store_open(&b->shards[0].ring, &b->params, &b->store, &why);
    if (err != SPOOL_OK) {
        fprintf(stderr, "spool_store_open: %.*s\n", (int)why.len, why.ptr);
    }
    MUST(err == SPOOL_OK);
    buf_free(&why);
    for (uint32_t i = 0; i < shard_count; i++) {
        struct spool_events events = {.ctx = &b->contexts[i],
                                      .found = on_found,
                                      .unlogged = on_unlogged,
                                      .recovered = on_recovered,
                                      .damaged = on_damaged,
                                      .health = on_health};

        MUST(spool_open(b->store, &b->shards[i], &events, &b->spools[i]) == SPOOL_OK);
    }
}

void bench_run_now(struct spool_bench *b)
{
    for (uint32_t i = 0; i < b->group.count; i++) {
        fake_ring_turn(&b->shards[i]); /* reads the clock, whatever there is to do */
        fake_ring_run(&b->shards[i]);
    }
}

void bench_advance_ms(struct spool_bench *b, uint64_t ms)
{
    fake_disk_advance(b->disk, ms * 1000000u);
}

void bench_run(struct spool_bench *b)
{
    bench_run_now(b);
    bench_advance_ms(b, 50);
    bench_run_now(b);
}

void bench_start(struct spool_bench *b, uint32_t shard_count)
{
    bench_open(b, shard_count);
    bench_run(b);
    MUST(b->recovered_shards == shard_count);
}

static void count_drained(void *ctx)
{
    ++*(uint32_t *)ctx;
}

static void shards_free(struct spool_bench *b)
{
    for (uint32_t i = 0; i < b->group.count; i++) {
        spool_close(&b->spools[i]);
    }
    spool_store_close(&b->store);
    for (uint32_t i = 0; i < b->group.count; i++) {
        mail_free(&b->shards[i]);
        ring_close(&b->shards[i].ring);
    }
    b->group.count = 0;
}

void bench_stop(struct spool_bench *b)
{
    uint32_t drained = 0;
    uint32_t count = b->group.count;

    for (uint32_t i = 0; i < count; i++) {
        spool_drain(b->spools[i], count_drained, &drained);
    }
    bench_run(b);
    MUST(drained == count);
    shards_free(b);
}

void bench_crash(struct spool_bench *b, uint64_t *seed)
{
    for (uint32_t i = 0; i < b->group.count; i++) {
        fake_ring_crash(&b->shards[i].ring, seed);
    }
    shards_free(b);
    fake_disk_crash(b->disk, seed);
}

void bench_free(struct spool_bench *b)
{
    if (b->store != NULL) {
        uint64_t seed = 1;

        bench_crash(b, &seed);
    }
    bench_forget(b);
    fake_disk_free(&b->disk);
}

/* ---- mail ---- */

static void put_done(struct spool_put *put, enum spool_err err)
{
    struct bench_mail *m = CONTAINER_OF(put, struct bench_mail, put);

    MUST(!m->answered);
    m->answered = true;
    m->err = err;
}

struct bench_mail *bench_mail_new(const char *name, size_t body_len)
{
    struct bench_mail *m = MEM_NEW(struct bench_mail);
    size_t name_len = strlen(name);

    m->body = mem_take(body_len + 1);
    for (size_t i = 0; i < body_len; i++) {
        m->body[i] = (char)(name[i % name_len] + (char)(i / 251));
    }
    memcpy(m->id, name, name_len < 16 ? name_len : 16);
    snprintf(m->queue, sizeof(m->queue), "q-%s", name);
    m->record = (struct spool_put_record){
        .meta = {.queue = slice_str(m->queue),
                 .due_ms = 1000 + name_len,
                 .created_ms = 7,
                 .size = (uint32_t)body_len,
                 .attempts = 0},
        .blob = slice_of(m->queue, strlen(m->queue)),
    };
    memcpy(m->record.meta.id, m->id, 16);
    m->put = (struct spool_put){.body = slice_of(m->body, body_len),
                                .body_flags = 5,
                                .records = &m->record,
                                .record_count = 1,
                                .done = put_done};
    return m;
}

void bench_mail_free(struct bench_mail **mp)
{
    mem_give((*mp)->body);
    MEM_FREE(mp);
}

void bench_put(struct spool_bench *b, uint32_t shard, struct bench_mail *m)
{
    spool_put(b->spools[shard], &m->put);
}

void bench_change_done(struct spool_change *c, enum spool_err err)
{
    struct bench_mail *m = CONTAINER_OF(c, struct bench_mail, change);

    m->changed = true;
    m->change_err = err;
}

struct bench_mail *bench_accept(struct spool_bench *b, const char *name, size_t body_len)
{
    struct bench_mail *m = bench_mail_new(name, body_len);

    bench_put(b, 0, m);
    fake_ring_turn(&b->shards[0]);
    return m;
}

static void read_done(struct spool_read *r, enum spool_err err)
{
    r->phase = (uint32_t)err + 1000;
}

enum spool_err bench_read(struct spool_bench *b, uint32_t shard, struct spool_ref ref,
                          struct spool_read *out)
{
    *out = (struct spool_read){.ref = ref, .what = SPOOL_READ_BOTH, .done = read_done};
    spool_read(b->spools[shard], out);
    bench_run_now(b);
    MUST(out->phase >= 1000);
    return (enum spool_err)(out->phase - 1000);
}

const struct bench_found *bench_find(const struct spool_bench *b, const char *name)
{
    char id[16] = {0};

    memcpy(id, name, strlen(name) < 16 ? strlen(name) : 16);
    for (uint32_t i = 0; i < b->found_count; i++) {
        if (memcmp(b->found[i].id, id, 16) == 0) {
            return &b->found[i];
        }
    }
    return NULL;
}

uint32_t bench_writes(const struct spool_bench *b)
{
    return fake_ring_count(&b->shards[0].ring, RING_WRITE);
}
