/*
 * crash_test - random work, random order of completion, a crash at a random point, recovery under
 * another number of shards; again and again on the same disk.
 *
 * What is checked after each recovery is the promise: every acknowledged record is found exactly
 * once unless it was settled or withdrawn, with its bytes; withdrawn never comes back; settled
 * never comes back once its settle was durable; a transaction that was not acknowledged is there
 * as a whole or not at all; a settle whose log record was not durable is reported.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "tests/unit/spool/spool_bench.h"

#define RECORDS_MAX 3u

enum fate {
    PUT_OPEN = 0,  /* submitted: unknown */
    LIVE,          /* acknowledged, or found */
    WITHDRAW_OPEN, /* submitted: unknown */
    SETTLE_OPEN,   /* submitted, not known to be durable */
    SETTLED,       /* durably */
    GONE,          /* withdrawn, refused or not found: never again */
};

struct record {
    enum fate fate;
    struct spool_ref ref;
    uint32_t shard;
    uint16_t attempts_acked, attempts_tried;
    uint16_t blob_acked, blob_tried; /* the blob's version */
    uint64_t sequence;               /* of its settle, in the life that made it */
    bool logged;                     /* its log record is durable: no report needed */
    bool unlogged_done;
    uint32_t seen;
    uint32_t reported;
    struct spool_change change;
    uint16_t change_attempts, change_blob;
    bool changing;
    char blob[48];
};

struct txn {
    struct spool_put put;
    struct spool_put_record put_records[RECORDS_MAX];
    struct record records[RECORDS_MAX];
    uint32_t record_count;
    uint32_t number;
    size_t body_len;
    char *body;
    uint32_t shard;
    bool open; /* the put has not been answered */
    struct spool_void v;
    struct spool_ref refs[RECORDS_MAX];
    char queue[32];
};

struct world {
    struct spool_bench bench;
    uint64_t seed, first_seed;
    struct txn **txns;
    uint32_t txn_count;
    uint64_t marked[BENCH_SHARDS_MAX];
    uint32_t step;
    bool dead;    /* answers of a crashed process do not count */
    bool faulty;  /* writes fail now and then, and so may calls */
    bool failing; /* right now */
    uint64_t fault_seed;
};

/* How often the rarer things happened, over all seeds: a test that never met them proves little. */
static struct {
    uint64_t found, unlogged, cleaned_segments, cleaned_bytes, changed, withdrawn, large;
    uint64_t refused, unsure, nameless;
} met;

static struct world *the_world;

#define CHECK(w, expr)                                                                             \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            print_error("replay: seed %llu\n", (unsigned long long)(w)->first_seed);               \
            assert_true(expr);                                                                     \
        }                                                                                          \
    } while (0)

static uint32_t pick(struct world *w, uint32_t n)
{
    return (uint32_t)(fake_random(&w->seed) % n);
}

/* ---- names: message ids carry number and index ---- */

static void id_make(uint32_t number, uint32_t index, uint8_t id[16])
{
    memset(id, 0xa5, 16);
    memcpy(id, &number, sizeof(number));
    memcpy(id + 4, &index, sizeof(index));
}

static struct record *record_of_id(struct world *w, const uint8_t id[16], struct txn **txn_out)
{
    uint32_t number, index;

    memcpy(&number, id, sizeof(number));
    memcpy(&index, id + 4, sizeof(index));
    CHECK(w, number < w->txn_count && index < w->txns[number]->record_count);
    *txn_out = w->txns[number];
    return &w->txns[number]->records[index];
}

/* ---- answers ---- */

static void put_done(struct spool_put *put, enum spool_err err)
{
    struct txn *t = CONTAINER_OF(put, struct txn, put);
    struct world *w = the_world;

    if (w->dead) {
        return;
    }
    CHECK(w, t->open);
    CHECK(w, err == SPOOL_OK || w->faulty);
    t->open = false;
    if (err != SPOOL_OK) {
        met.refused += err != SPOOL_E_UNSURE;
        met.unsure += err == SPOOL_E_UNSURE;
        for (uint32_t i = 0; i < t->record_count; i++) {
            /* A refusal is a promise too: the peer sends it again. */
            t->records[i].fate = err == SPOOL_E_UNSURE ? PUT_OPEN : GONE;
        }
        return;
    }
    met.large += t->body_len > 30000;
    for (uint32_t i = 0; i < t->record_count; i++) {
        t->records[i].ref = t->put_records[i].ref;
        t->records[i].shard = t->shard;
        t->records[i].fate = LIVE;
    }
}

static void void_done(struct spool_void *v, enum spool_err err)
{
    struct txn *t = CONTAINER_OF(v, struct txn, v);

    if (the_world->dead) {
        return;
    }
    CHECK(the_world, err == SPOOL_OK || the_world->faulty);
    for (uint32_t i = 0; i < t->record_count && err == SPOOL_OK; i++) {
        met.withdrawn++;
        if (t->records[i].fate == WITHDRAW_OPEN) {
            t->records[i].fate = GONE;
        }
    }
}

static void change_done(struct spool_change *c, enum spool_err err)
{
    struct record *r = CONTAINER_OF(c, struct record, change);

    if (the_world->dead) {
        return;
    }
    CHECK(the_world, err == SPOOL_OK || the_world->faulty);
    met.changed++;
    r->changing = false;
    if (err != SPOOL_OK) {
        return;
    }
    r->attempts_acked = r->change_attempts;
    r->blob_acked = r->change_blob != 0 ? r->change_blob : r->blob_acked;
}

/* ---- doing ---- */

static size_t body_len_pick(struct world *w)
{
    switch (pick(w, 12)) {
    case 0:
        return 0;
    case 1:
        return 5000 + pick(w, 15000);
    case 2:
        return pick(w, 4) == 0 ? 30000 + pick(w, 60000) : 9000;
    default:
        return 100 + pick(w, 3000);
    }
}

static void blob_make(const struct txn *t, uint32_t index, uint16_t version, char out[48])
{
    snprintf(out, 48, "blob %u.%u version %u", t->number, index, version);
}

static void do_put(struct world *w)
{
    struct txn *t = MEM_NEW(struct txn);

    t->number = w->txn_count;
    w->txns = mem_grow(w->txns, (w->txn_count + 1) * sizeof(struct txn *));
    w->txns[w->txn_count++] = t;
    t->record_count = pick(w, 4) == 0 ? 1 + pick(w, RECORDS_MAX) : 1;
    t->body_len = body_len_pick(w);
    t->body = mem_take(t->body_len + 1);
    for (size_t i = 0; i < t->body_len; i++) {
        t->body[i] = (char)(t->number * 7 + i + i / 256);
    }
    snprintf(t->queue, sizeof(t->queue), "queue-%u", t->number % 7);
    t->open = true;
    t->shard = pick(w, w->bench.group.count);
    for (uint32_t i = 0; i < t->record_count; i++) {
        struct spool_put_record *r = &t->put_records[i];

        blob_make(t, i, 0, t->records[i].blob);
        r->meta = (struct spool_meta){.queue = slice_str(t->queue), .size = (uint32_t)t->body_len};
        id_make(t->number, i, r->meta.id);
        r->blob = slice_str(t->records[i].blob);
    }
    t->put = (struct spool_put){.body = slice_of(t->body, t->body_len),
                                .body_flags = t->number,
                                .records = t->put_records,
                                .record_count = t->record_count,
                                .done = put_done};
    spool_put(w->bench.spools[t->shard], &t->put);
}

static struct record *live_pick(struct world *w, struct txn **txn_out)
{
    for (uint32_t tries = 0; tries < 30 && w->txn_count > 0; tries++) {
        /* Mostly young ones, so that some grow old. */
        uint32_t reach = pick(w, 5) == 0 ? w->txn_count : 20;
        uint32_t back = pick(w, reach < w->txn_count ? reach : w->txn_count);
        struct txn *t = w->txns[w->txn_count - 1 - back];
        struct record *r = &t->records[pick(w, t->record_count)];

        if (r->fate == LIVE && !r->changing) {
            *txn_out = t;
            return r;
        }
    }
    return NULL;
}

static void do_settle(struct world *w)
{
    struct txn *t;
    struct record *r = live_pick(w, &t);
    char outcome[700] = {0};

    if (r == NULL) {
        return;
    }
    /* Of the length of a log record, so that a crash often tears it. */
    snprintf(outcome, sizeof(outcome), "outcome %u.%u", t->number, (uint32_t)(r - t->records));
    r->sequence = spool_settle(w->bench.spools[r->shard], r->ref,
                               slice_of(outcome, 50 + pick(w, sizeof(outcome) - 50)));
    CHECK(w, r->sequence != 0);
    r->fate = SETTLE_OPEN;
    r->logged = false;
    r->unlogged_done = false;
}

static void do_change(struct world *w)
{
    struct txn *t;
    struct record *r = live_pick(w, &t);
    uint32_t index;

    if (r == NULL) {
        return;
    }
    index = (uint32_t)(r - t->records);
    r->change_attempts = ++r->attempts_tried;
    r->change_blob = 0; /* the blob stays whatever it is */
    r->change = (struct spool_change){.ref = r->ref, .done = change_done};
    r->change.meta = (struct spool_meta){.queue = slice_str(t->queue),
                                         .size = (uint32_t)t->body_len,
                                         .attempts = r->change_attempts};
    id_make(t->number, index, r->change.meta.id);
    if (pick(w, 2) == 0) {
        r->change_blob = ++r->blob_tried;
        blob_make(t, index, r->change_blob, r->blob);
        r->change.blob = slice_str(r->blob);
    }
    r->changing = true;
    spool_change(w->bench.spools[r->shard], &r->change);
}

static void do_withdraw(struct world *w)
{
    struct txn *t;
    struct record *r = live_pick(w, &t);
    uint32_t count = 0;

    if (r == NULL) {
        return;
    }
    for (uint32_t i = 0; i < t->record_count; i++) {
        if (t->records[i].fate != LIVE || t->records[i].changing ||
            t->records[i].shard != r->shard) {
            return; /* only whole transactions are withdrawn */
        }
    }
    for (uint32_t i = 0; i < t->record_count; i++) {
        t->refs[count++] = t->records[i].ref;
        t->records[i].fate = WITHDRAW_OPEN;
    }
    t->v = (struct spool_void){.refs = t->refs, .ref_count = count, .done = void_done};
    spool_withdraw(w->bench.spools[r->shard], &t->v);
}

static void do_mark(struct world *w)
{
    uint32_t shard = pick(w, w->bench.group.count);
    uint64_t mark = 0;

    for (uint32_t i = 0; i < w->txn_count; i++) {
        for (uint32_t k = 0; k < w->txns[i]->record_count; k++) {
            struct record *r = &w->txns[i]->records[k];

            if ((r->fate == SETTLE_OPEN || r->fate == SETTLED) && !r->logged && r->shard == shard &&
                r->sequence != 0 && pick(w, 4) != 0 && r->sequence > mark) {
                mark = r->sequence;
            }
        }
    }
    if (mark <= w->marked[shard]) {
        return;
    }
    w->marked[shard] = mark;
    spool_mark_logged(w->bench.spools[shard], mark);
    for (uint32_t i = 0; i < w->txn_count; i++) {
        for (uint32_t k = 0; k < w->txns[i]->record_count; k++) {
            struct record *r = &w->txns[i]->records[k];

            if (r->shard == shard && r->sequence != 0 && r->sequence <= mark) {
                r->logged = true;
            }
        }
    }
}

static void progress(struct world *w, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct shard *sh = &w->bench.shards[pick(w, w->bench.group.count)];

        if (pick(w, 3) == 0) {
            fake_ring_turn(sh);
        } else {
            (void)fake_ring_finish_any(&sh->ring, &w->seed);
        }
    }
    if (pick(w, 6) == 0) {
        bench_advance_ms(&w->bench, 1 + pick(w, 40));
    }
}

static int64_t fault(void *ctx, enum fake_io io, const char *path, uint64_t offset, uint64_t len)
{
    struct world *w = ctx;

    (void)offset;
    (void)len;
    if (!w->failing || strstr(path, "seg-") == NULL) {
        return 0;
    }
    switch (io) {
    case FAKE_WRITE: /* what a failed write leaves behind is anyone's guess */
        if (fake_random(&w->fault_seed) % 25 == 0) {
            return fake_random(&w->fault_seed) % 2 == 0 ? -EIO : FAKE_STORED(-EIO);
        }
        return 0;
    case FAKE_SYNC:
    case FAKE_UNLINK:
        return fake_random(&w->fault_seed) % 25 == 0 ? -EIO : 0;
    case FAKE_OPEN:
    case FAKE_ALLOCATE:
        return fake_random(&w->fault_seed) % 10 == 0 ? -ENOSPC : 0;
    default:
        return 0;
    }
}

/* The disk is sound again, and every retry timer fires. */
static void heal(struct world *w)
{
    w->failing = false;
    for (uint32_t i = 0; i < 4; i++) {
        bench_advance_ms(&w->bench, 1100);
        bench_run_now(&w->bench);
    }
}

/* Everything submitted has completed: settles are durable. */
static void quiesce(struct world *w)
{
    bench_run(&w->bench);
    if (w->faulty) {
        heal(w);
    }
    for (uint32_t i = 0; i < w->bench.group.count; i++) {
        CHECK(w, spool_accepting(w->bench.spools[i]) == SPOOL_OK);
    }
    for (uint32_t i = 0; i < w->txn_count; i++) {
        struct txn *t = w->txns[i];

        CHECK(w, !t->open);
        for (uint32_t k = 0; k < t->record_count; k++) {
            if (t->records[k].fate == SETTLE_OPEN) {
                t->records[k].fate = SETTLED;
            }
            CHECK(w, (t->records[k].fate != WITHDRAW_OPEN || w->faulty) && !t->records[k].changing);
        }
    }
}

/* ---- checking ---- */

static void check_bytes(struct world *w, struct txn *t, struct record *r, struct spool_ref ref,
                        uint32_t shard)
{
    struct spool_read read;
    char blob[48];
    bool known = false;
    enum spool_err err = bench_read(&w->bench, shard, ref, &read);

    CHECK(w, err == SPOOL_OK);
    CHECK(w, read.body.len == t->body_len && read.body_flags == t->number);
    CHECK(w, t->body_len == 0 || memcmp(read.body.ptr, t->body, t->body_len) == 0);
    for (uint16_t v = r->blob_acked; v <= r->blob_tried; v++) {
        blob_make(t, (uint32_t)(r - t->records), v, blob);
        if (slice_eq(buf_slice(&read.blob), slice_str(blob))) {
            known = true;
            r->blob_acked = r->blob_tried = v;
            break;
        }
    }
    CHECK(w, known);
    buf_free(&read.body);
    buf_free(&read.blob);
}

static void check_found(struct world *w)
{
    for (uint32_t i = 0; i < w->bench.found_count; i++) {
        const struct bench_found *f = &w->bench.found[i];
        struct txn *t;
        struct record *r = record_of_id(w, f->id, &t);

        met.found++;
        r->seen++;
        CHECK(w, r->seen == 1);
        CHECK(w, r->fate != SETTLED && r->fate != GONE);
        CHECK(w, f->attempts >= r->attempts_acked && f->attempts <= r->attempts_tried);
        CHECK(w, strcmp(f->queue, t->queue) == 0);
        r->attempts_acked = r->attempts_tried = f->attempts;
        r->ref = f->ref;
        r->shard = f->shard;
        if (pick(w, 2) == 0) {
            check_bytes(w, t, r, f->ref, f->shard);
        }
    }
}

/* Whose settle it is: its outcome says so, or, when a disk was away for too long to keep that, the
 * record itself. False: it was logged and is gone. */
static bool unlogged_name(struct world *w, const struct bench_unlogged *u, unsigned *number,
                          unsigned *index)
{
    struct spool_read r;

    if (u->outcome[0] != '\0') {
        CHECK(w, sscanf(u->outcome, "outcome %u.%u", number, index) == 2);
        return true;
    }
    CHECK(w, w->bench.params.backlog_commits_max != 0);
    met.nameless++;
    if (u->ref.generation == 0) {
        return false;
    }
    CHECK(w, bench_read(&w->bench, u->shard, u->ref, &r) == SPOOL_OK);
    buf_char(&r.blob, '\0');
    CHECK(w, sscanf(r.blob.ptr, "blob %u.%u", number, index) == 2);
    buf_free(&r.blob);
    buf_free(&r.body);
    return true;
}

static void check_unlogged(struct world *w)
{
    bool all = pick(w, 2) == 0; /* then the marks may move on */

    for (uint32_t i = 0; i < w->bench.unlogged_count; i++) {
        const struct bench_unlogged *u = &w->bench.unlogged[i];
        unsigned number, index;
        struct txn *t;
        struct record *r;

        if (!unlogged_name(w, u, &number, &index)) {
            spool_unlogged_done(w->bench.spools[u->shard], u->ref);
            continue;
        }
        t = w->txns[number];
        r = &t->records[index];
        CHECK(w, r->fate == SETTLED || r->fate == SETTLE_OPEN);
        met.unlogged++;
        CHECK(w, ++r->reported == 1);
        if (!r->logged && !r->unlogged_done) {
            CHECK(w, u->ref.generation != 0);
            check_bytes(w, t, r, u->ref, u->shard);
        }
        if (all || pick(w, 3) != 0) {
            spool_unlogged_done(w->bench.spools[u->shard], u->ref);
            r->unlogged_done = true;
        }
    }
}

static void check_record(struct world *w, struct txn *t, struct record *r)
{
    switch (r->fate) {
    case LIVE:
        CHECK(w, r->seen == 1);
        break;
    case PUT_OPEN: /* all of a transaction or nothing */
        CHECK(w, r->seen == t->records[0].seen);
        break;
    case SETTLED:
    case SETTLE_OPEN:
        CHECK(w, r->seen + r->reported <= 1);
        CHECK(w, r->seen == 1 || r->reported == 1 || r->logged || r->unlogged_done);
        break;
    default:
        break;
    }
}

/* What is known after a recovery that ran to its end. */
static void check(struct world *w)
{
    for (uint32_t i = 0; i < w->bench.damage_count; i++) {
        print_error("damage: %s\n", w->bench.damage[i].what);
    }
    CHECK(w, w->bench.damage_count == 0);
    check_found(w);
    check_unlogged(w);
    for (uint32_t i = 0; i < w->txn_count; i++) {
        struct txn *t = w->txns[i];

        for (uint32_t k = 0; k < t->record_count; k++) {
            check_record(w, t, &t->records[k]);
        }
        t->open = false;
        for (uint32_t k = 0; k < t->record_count; k++) {
            struct record *r = &t->records[k];

            if (r->fate == SETTLE_OPEN && r->seen == 0) {
                r->fate = SETTLED;
            } else if (r->seen == 1) {
                r->fate = LIVE;
                r->sequence = 0;
            } else if (r->fate != SETTLED) {
                r->fate = GONE;
            }
            /* Sequences of an earlier life are below every mark of this one. */
            r->sequence = r->fate == SETTLED ? 0 : r->sequence;
            r->changing = false;
            r->seen = r->reported = 0;
        }
    }
}

/* ---- */

static void counters_add(struct world *w)
{
    for (uint32_t i = 0; i < w->bench.group.count; i++) {
        struct spool_counters c;

        spool_counters(w->bench.spools[i], &c);
        met.cleaned_segments += c.cleaned_segment_count;
        met.cleaned_bytes += c.cleaned_bytes;
    }
}

static void crash(struct world *w)
{
    counters_add(w);
    w->dead = true;
    bench_crash(&w->bench, &w->seed);
    w->dead = false;
    memset(w->marked, 0, sizeof(w->marked));
}

static void work(struct world *w, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        uint32_t what = pick(w, 100);

        if (what < 30) {
            do_put(w);
        } else if (what < 52) {
            do_settle(w);
        } else if (what < 60) {
            do_change(w);
        } else if (what < 63) {
            do_withdraw(w);
        } else if (what < 68) {
            do_mark(w);
        } else {
            progress(w, 1 + pick(w, 12));
        }
        if (pick(w, 150) == 0) {
            quiesce(w);
        }
        if (w->faulty && pick(w, 40) == 0) {
            w->failing = !w->failing;
        }
    }
}

static void round_run(struct world *w)
{
    w->failing = false;
    bench_open(&w->bench, 1 + pick(w, 3));
    if (pick(w, 5) == 0) { /* a crash while recovery runs */
        progress(w, pick(w, 60));
        crash(w);
        bench_open(&w->bench, 1 + pick(w, 3));
    }
    bench_run(&w->bench);
    CHECK(w, w->bench.recovered_shards == w->bench.group.count);
    check(w);
    work(w, 20 + pick(w, 300));
    if (pick(w, 8) == 0) {
        quiesce(w);
        bench_stop(&w->bench);
    } else {
        crash(w);
    }
}

static void world_run(uint64_t seed, uint32_t rounds, bool faulty)
{
    struct world *w = MEM_NEW(struct world);

    the_world = w;
    w->seed = w->first_seed = seed;
    bench_init(&w->bench);
    w->bench.seed = seed;
    w->bench.params.segment_size = 64 * 1024 << pick(w, 3);
    w->bench.params.staging_bytes_max = 256 * 1024;
    w->bench.params.backlog_commits_max = faulty ? pick(w, 4) : 0;
    if (pick(w, 2) == 0) {
        w->bench.paths[0] = SLICE("/mnt/disk-a/spool");
        w->bench.paths[1] = SLICE("/mnt/disk-b/spool");
        w->bench.params.data_path_count = 1 + pick(w, 2);
        w->bench.params.meta_path = SLICE("/var/spool/ringpost");
    }
    w->faulty = faulty;
    w->fault_seed = seed;
    fake_disk_set_fault(w->bench.disk, fault, w);
    for (uint32_t i = 0; i < rounds; i++) {
        round_run(w);
    }
    w->failing = false;
    bench_start(&w->bench, 2);
    check(w);
    bench_free(&w->bench);
    for (uint32_t i = 0; i < w->txn_count; i++) {
        mem_give(w->txns[i]->body);
        mem_give(w->txns[i]);
    }
    mem_give(w->txns);
    mem_give(w);
}

static uint64_t environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

static void no_acknowledged_message_is_lost_and_no_settled_one_returns(void **state)
{
    uint64_t first = environment("SPOOL_SEED", 1);
    uint64_t count = environment("SPOOL_SEEDS", 25);

    (void)state;
    for (uint64_t seed = first; seed < first + count; seed++) {
        world_run(seed, 12, false);
    }
    print_message("found %llu, unlogged %llu, segments cleaned %llu with %llu bytes copied, "
                  "changes %llu, withdrawals %llu, long %llu\n",
                  (unsigned long long)met.found, (unsigned long long)met.unlogged,
                  (unsigned long long)met.cleaned_segments, (unsigned long long)met.cleaned_bytes,
                  (unsigned long long)met.changed, (unsigned long long)met.withdrawn,
                  (unsigned long long)met.large);
    if (count >= 20) {
        assert_true(met.found > 0 && met.unlogged > 0 && met.cleaned_segments > 0 &&
                    met.cleaned_bytes > 0 && met.changed > 0 && met.withdrawn > 0 && met.large > 0);
    }
}

/* The same on a disk whose writes fail in bursts. What was refused must not come back, what was
 * acknowledged must not get lost, and all of it goes on when the disk does. */
static void a_failing_disk_breaks_no_promise(void **state)
{
    uint64_t first = environment("SPOOL_SEED", 1);
    uint64_t count = environment("SPOOL_SEEDS", 25);

    (void)state;
    for (uint64_t seed = first; seed < first + count; seed++) {
        world_run(seed, 12, true);
    }
    print_message("refused %llu, unsure %llu, settled without outcome %llu\n",
                  (unsigned long long)met.refused, (unsigned long long)met.unsure,
                  (unsigned long long)met.nameless);
    if (count >= 20) {
        assert_true(met.refused > 0 && met.unsure > 0 && met.nameless > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failing_disk_breaks_no_promise),
        cmocka_unit_test(no_acknowledged_message_is_lost_and_no_settled_one_returns),
    };
    return cmocka_run_group_tests_name("spool/crash", tests, NULL, NULL);
}
