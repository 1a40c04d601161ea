/* Segments come back, and nothing comes back with them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "spool/format.h"
#include "tests/unit/spool/spool_bench.h"

#define MAILS 60

static int setup(void **state)
{
    static struct spool_bench bench;

    bench_init(&bench);
    bench_start(&bench, 1);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    bench_free(*state);
    return 0;
}

static void poll(struct spool_bench *b)
{
    bench_advance_ms(b, 5100);
    bench_run(b);
}

/* `count` messages, each in a commit of its own; a segment takes about a dozen. */
static void fill(struct spool_bench *b, const char *prefix, struct spool_ref *refs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct bench_mail *m;
        char name[16];

        snprintf(name, sizeof(name), "%s%u", prefix, i);
        m = bench_accept(b, name, 5000);
        bench_run_now(b);
        assert_int_equal(m->err, SPOOL_OK);
        refs[i] = m->record.ref;
        bench_mail_free(&m);
    }
}

/* The same all at once: commits are full, and so are segments. */
static void burst(struct spool_bench *b, struct spool_ref *refs, uint32_t count)
{
    struct bench_mail *mails[MAILS];

    assert_true(count <= MAILS);
    for (uint32_t i = 0; i < count; i++) {
        mails[i] = bench_mail_new("burst", 5000);
        bench_put(b, 0, mails[i]);
    }
    bench_run_now(b);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(mails[i]->err, SPOOL_OK);
        refs[i] = mails[i]->record.ref;
        bench_mail_free(&mails[i]);
    }
}

static struct spool_counters counters(struct spool_bench *b)
{
    struct spool_counters c;

    spool_counters(b->spools[0], &c);
    return c;
}

static void a_segment_with_nothing_alive_is_used_again_without_copying(void **state)
{
    struct spool_bench *b = *state;
    struct spool_ref refs[MAILS];

    for (int round = 0; round < 10; round++) {
        uint64_t sequence = 0;

        burst(b, refs, MAILS);
        for (uint32_t i = 0; i < MAILS; i++) {
            sequence = spool_settle(b->spools[0], refs[i], SLICE("delivered"));
        }
        bench_run(b);
        spool_mark_logged(b->spools[0], sequence);
        bench_run(b);
    }
    assert_true(counters(b).cleaned_segment_count > 20);
    assert_int_equal(counters(b).cleaned_bytes, 0);
    assert_true(counters(b).segment_count < 16); /* of thirty that were filled */
}

static void nothing_is_given_back_before_its_log_record_is_durable(void **state)
{
    struct spool_bench *b = *state;
    struct spool_ref refs[MAILS];

    fill(b, "m", refs, MAILS);
    for (uint32_t i = 0; i < MAILS; i++) {
        (void)spool_settle(b->spools[0], refs[i], SLICE("delivered"));
    }
    bench_run(b);
    poll(b);
    assert_int_equal(counters(b).cleaned_segment_count, 0);
}

/* One in ten stays: its segments are emptied around it. */
static void the_few_that_stay_are_moved_together_and_keep_their_bytes(void **state)
{
    struct spool_bench *b = *state;
    struct spool_ref refs[MAILS];
    uint64_t sequence = 0;
    uint64_t before;

    fill(b, "m", refs, MAILS);
    before = counters(b).segment_count - counters(b).free_segment_count;
    for (uint32_t i = 0; i < MAILS; i++) {
        if (i % 10 != 3) {
            sequence = spool_settle(b->spools[0], refs[i], SLICE("delivered"));
        }
    }
    bench_run(b);
    spool_mark_logged(b->spools[0], sequence);
    for (int i = 0; i < 6; i++) {
        poll(b);
    }
    assert_true(counters(b).cleaned_bytes > 0);
    assert_true(counters(b).segment_count - counters(b).free_segment_count < before);
    for (uint32_t i = 3; i < MAILS; i += 10) {
        struct spool_read r;

        assert_int_equal(bench_read(b, 0, refs[i], &r), SPOOL_OK);
        assert_int_equal(r.body.len, 5000);
        buf_free(&r.body);
        buf_free(&r.blob);
    }
    bench_stop(b);
    bench_start(b, 1);
    assert_int_equal(b->found_count, MAILS / 10);
    assert_int_equal(b->damage_count, 0);
}

/* Writes of headers that wait: segments whose life is about to end. */
static uint32_t endings(struct spool_bench *b)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < bench_writes(b); i++) {
        const struct ring_op *op = fake_ring_op(&b->shards[0].ring, RING_WRITE, i);

        count += op->offset == 0 && ((const struct segment_head *)op->ptr)->use == SEGMENT_USE_FREE;
    }
    return count;
}

/* Two dead segments, the second with the settles of the first. Until the end of the first is
 * durable, a crash may bring its records back, so the second must not end at the same time: a
 * crash that keeps one header and loses the other would resurrect what was settled. */
static void a_settle_outlives_the_segment_whose_end_is_not_yet_durable(void **state)
{
    struct spool_bench *b = *state;
    struct spool_ref first[14], second[14];
    uint64_t sequence = 0;

    fill(b, "a", first, 14); /* one segment */
    for (uint32_t i = 0; i < 14; i++) {
        sequence = spool_settle(b->spools[0], first[i], SLICE("delivered"));
    }
    fill(b, "b", second, 14); /* the next, with the settles of the first */
    for (uint32_t i = 0; i < 14; i++) {
        sequence = spool_settle(b->spools[0], second[i], SLICE("delivered"));
    }
    bench_run(b);
    fill(b, "c", first, 12); /* those are sealed now */
    bench_run(b);

    spool_mark_logged(b->spools[0], sequence);
    for (int i = 0; i < 5; i++) {
        bench_advance_ms(b, 20);
        fake_ring_turn(&b->shards[0]);
        assert_true(endings(b) <= 1);
    }
    assert_int_equal(endings(b), 1);
    poll(b);
    assert_true(counters(b).cleaned_segment_count >= 2);
}

/* A message that was tried again and again has snapshots in many segments. When it is settled, the
 * settle must live as long as the last of them. */
static void a_changed_record_stays_settled_however_its_segments_are_recycled(void **state)
{
    struct spool_bench *b = *state;
    struct spool_ref refs[12];
    struct bench_mail *old = bench_accept(b, "old", 3000);
    uint64_t sequence;
    uint64_t seed = 3;

    bench_run(b);
    for (uint32_t round = 0; round < 8; round++) {
        char prefix[4] = {(char)('a' + round), 0};

        old->change = (struct spool_change){.ref = old->record.ref, .meta = old->record.meta};
        old->change.meta.attempts = (uint16_t)(round + 1);
        old->change.done = bench_change_done;
        spool_change(b->spools[0], &old->change);
        fill(b, prefix, refs, 12);
        for (uint32_t i = 0; i < 12; i++) {
            if (round == 7 && i == 11) {
                (void)spool_settle(b->spools[0], old->record.ref, SLICE("at last"));
            }
            sequence = spool_settle(b->spools[0], refs[i], SLICE("delivered"));
        }
        bench_run(b);
    }
    spool_mark_logged(b->spools[0], sequence);
    for (int i = 0; i < 8; i++) {
        fill(b, "x", refs, 12);
        for (uint32_t k = 0; k < 12; k++) {
            sequence = spool_settle(b->spools[0], refs[k], SLICE("delivered"));
        }
        bench_run(b);
        spool_mark_logged(b->spools[0], sequence);
        poll(b);
        bench_crash(b, &seed);
        bench_start(b, 1);
        assert_int_equal(b->found_count, 0);
        assert_int_equal(b->damage_count, 0);
    }
    bench_mail_free(&old);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_segment_with_nothing_alive_is_used_again_without_copying),
        T(nothing_is_given_back_before_its_log_record_is_durable),
        T(the_few_that_stay_are_moved_together_and_keep_their_bytes),
        T(a_settle_outlives_the_segment_whose_end_is_not_yet_durable),
        T(a_changed_record_stays_settled_however_its_segments_are_recycled),
    };
    return cmocka_run_group_tests_name("spool/cleaner", tests, NULL, NULL);
}
