/* Reading segments, sound and damaged; tests/fuzz/fuzz_spool_segment.c goes on where this ends. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/mem.h"
#include "tests/support/fake_disk.h"
#include "tests/unit/spool/segment_image.h"

struct seen {
    uint64_t offset;
    bool sound, whole;
    uint64_t seq;
};

struct collector {
    const struct segment_image *image;
    struct seen *seen;
    uint32_t count;
    uint64_t commit_count;
    uint64_t gap_count;
};

static void on_commit(void *ctx, const struct commit_head *head, uint64_t offset)
{
    (void)head;
    (void)offset;
    ((struct collector *)ctx)->commit_count++;
}

static void on_entry(void *ctx, const struct scan_entry *e)
{
    struct collector *c = ctx;

    c->seen = mem_grow(c->seen, (c->count + 1) * sizeof(*c->seen));
    c->seen[c->count++] = (struct seen){e->offset, e->sound, e->whole, e->seq};
    if (e->sound) { /* what the checksums let through is what was written */
        assert_memory_equal(&e->head, c->image->original + e->offset, sizeof(e->head));
        assert_memory_equal(e->payload.ptr, c->image->original + e->offset + sizeof(e->head),
                            e->payload.len);
    }
}

/* Windows of `window` bytes, or more when the scan asks for it. */
static void scan_all(struct collector *c, const struct segment_image *image, uint64_t window,
                     uint64_t end)
{
    struct scan s;

    *c = (struct collector){.image = image};
    scan_begin(&s, &image->ident);
    s.end = end;
    s.ctx = c;
    s.on_commit = on_commit;
    s.on_entry = on_entry;
    for (;;) {
        uint64_t to = s.at + window > s.need ? s.at + window : s.need;

        to = format_up(to, FORMAT_BLOCK);
        to = to < end ? to : end;
        if (s.at >= end || scan_window(&s, image->bytes + s.at, s.at, to - s.at)) {
            c->gap_count = s.gap_count;
            return;
        }
    }
}

static bool saw(const struct collector *c, uint64_t offset)
{
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->seen[i].offset == offset) {
            return c->seen[i].sound && c->seen[i].whole;
        }
    }
    return false;
}

static void a_sound_segment_gives_every_entry_and_nothing_of_its_former_life(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct segment_image image;
        struct collector c;

        segment_image_build(&image, seed);
        scan_all(&c, &image, IMAGE_SIZE, IMAGE_SIZE);
        assert_int_equal(c.count, image.entry_count);
        assert_int_equal(c.commit_count, image.commit_count);
        for (uint32_t i = 0; i < image.entry_count; i++) {
            assert_true(saw(&c, image.entries[i].offset));
        }
        mem_give(c.seen);
        segment_image_free(&image);
    }
}

static void the_size_of_the_windows_changes_nothing(void **state)
{
    static const uint64_t windows[] = {FORMAT_BLOCK, 3 * FORMAT_BLOCK, 64 * 1024};

    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct segment_image image;
        struct collector whole, cut;
        uint64_t random = seed;

        segment_image_build(&image, seed);
        for (uint32_t i = 0; i < seed % 20; i++) {
            segment_image_damage(&image, fake_random(&random) % IMAGE_SIZE,
                                 (uint8_t)fake_random(&random));
        }
        scan_all(&whole, &image, IMAGE_SIZE, IMAGE_SIZE);
        for (unsigned w = 0; w < 3; w++) {
            scan_all(&cut, &image, windows[w], IMAGE_SIZE);
            assert_int_equal(whole.count, cut.count);
            for (uint32_t i = 0; i < whole.count; i++) {
                assert_int_equal(whole.seen[i].offset, cut.seen[i].offset);
                assert_int_equal(whole.seen[i].seq, cut.seen[i].seq);
                assert_true(whole.seen[i].sound == cut.seen[i].sound &&
                            whole.seen[i].whole == cut.seen[i].whole);
            }
            mem_give(cut.seen);
        }
        mem_give(whole.seen);
        segment_image_free(&image);
    }
}

/* Damage is local: every commit that was not touched gives all it held. */
static void untouched_commits_are_found_around_damage(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct segment_image image;
        struct collector c;
        uint64_t random = seed * 31;

        segment_image_build(&image, seed % 10 + 1);
        for (uint32_t i = 0; i < 1 + seed % 8; i++) {
            segment_image_damage(&image, fake_random(&random) % image.end,
                                 (uint8_t)(1 + fake_random(&random) % 255));
        }
        scan_all(&c, &image, IMAGE_SIZE, IMAGE_SIZE);
        for (uint32_t i = 0; i < image.entry_count; i++) {
            if (!image.commits[image.entries[i].commit].touched) {
                assert_true(saw(&c, image.entries[i].offset));
            }
        }
        mem_give(c.seen);
        segment_image_free(&image);
    }
}

static void a_damaged_commit_head_costs_nothing_but_the_head(void **state)
{
    struct segment_image image;
    struct collector c;

    (void)state;
    segment_image_build(&image, 5);
    for (uint32_t i = 0; i < image.commit_count; i++) {
        segment_image_damage(&image, image.commits[i].offset + 17, 1);
    }
    scan_all(&c, &image, IMAGE_SIZE, IMAGE_SIZE);
    assert_int_equal(c.commit_count, 0);
    for (uint32_t i = 0; i < image.entry_count; i++) {
        assert_true(saw(&c, image.entries[i].offset));
    }
    for (uint32_t i = 0; i < c.count; i++) {
        assert_int_equal(c.seen[i].seq, 0);
    }
    mem_give(c.seen);
    segment_image_free(&image);
}

static void a_transaction_with_one_bad_record_is_not_whole(void **state)
{
    struct segment_image image;
    struct collector c;
    uint32_t bad = 0;

    (void)state;
    segment_image_build(&image, 6);
    for (uint32_t i = 1; i < image.entry_count && bad == 0; i++) {
        bad = !image.entries[i].settle_like && !image.entries[i - 1].settle_like ? i : 0;
    }
    assert_int_not_equal(bad, 0);
    segment_image_damage(&image, image.entries[bad].offset + sizeof(struct entry_head) + 20, 4);
    scan_all(&c, &image, IMAGE_SIZE, IMAGE_SIZE);
    for (uint32_t i = 0; i < c.count; i++) {
        if (c.seen[i].offset == image.entries[bad - 1].offset) {
            assert_true(c.seen[i].sound);
            assert_false(c.seen[i].whole);
        }
    }
    mem_give(c.seen);
    segment_image_free(&image);
}

static void an_unreadable_entry_leaves_a_gap_in_its_commit(void **state)
{
    struct segment_image image;
    struct collector c;

    (void)state;
    segment_image_build(&image, 7);
    scan_all(&c, &image, IMAGE_SIZE, IMAGE_SIZE);
    assert_int_equal(c.gap_count, 0);
    mem_give(c.seen);
    for (uint32_t i = 0; i < image.entry_count; i++) {
        segment_image_damage(&image, image.entries[i].offset + 5, 1);
        scan_all(&c, &image, IMAGE_SIZE, IMAGE_SIZE);
        assert_int_equal(c.gap_count, 1); /* wherever it stands: first, last, in between */
        segment_image_damage(&image, image.entries[i].offset + 5, 1);
        mem_give(c.seen);
    }
    segment_image_free(&image);
}

static void a_cut_file_is_read_to_its_end(void **state)
{
    (void)state;
    for (uint64_t end = FORMAT_HEADER_SIZE; end < IMAGE_SIZE; end += 1711) {
        struct segment_image image;
        struct collector c;

        segment_image_build(&image, 3);
        scan_all(&c, &image, 64 * 1024, end);
        for (uint32_t i = 0; i < image.entry_count; i++) {
            const struct image_commit *commit = &image.commits[image.entries[i].commit];

            if (commit->offset + commit->len <= end) {
                assert_true(saw(&c, image.entries[i].offset));
            }
        }
        mem_give(c.seen);
        segment_image_free(&image);
    }
}

static void a_header_torn_between_two_lives_means_the_newer_one(void **state)
{
    struct segment_head old = {
        .use = SEGMENT_USE_OPEN, .id = 1, .life = 4, .nonce = 11, .size = IMAGE_SIZE};
    struct segment_head new = {
        .use = SEGMENT_USE_FREE, .id = 1, .life = 5, .nonce = 12, .size = IMAGE_SIZE};
    char a[FORMAT_HEADER_SIZE], b[FORMAT_HEADER_SIZE], torn[FORMAT_HEADER_SIZE];
    struct segment_head out;

    (void)state;
    segment_head_write(&old, a);
    segment_head_write(&new, b);
    memcpy(torn, a, sizeof(torn));
    memcpy(torn, b, FORMAT_BLOCK);
    assert_int_equal(segment_head_read(torn, &out), SPOOL_OK);
    assert_int_equal(out.life, 5);
    memcpy(torn, a, FORMAT_BLOCK);
    memcpy(torn + FORMAT_BLOCK, b + FORMAT_BLOCK, FORMAT_BLOCK);
    assert_int_equal(segment_head_read(torn, &out), SPOOL_OK);
    assert_int_equal(out.life, 5);
    torn[3] ^= 1;
    torn[FORMAT_BLOCK + 3] ^= 1;
    assert_int_equal(segment_head_read(torn, &out), SPOOL_E_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_segment_gives_every_entry_and_nothing_of_its_former_life),
        cmocka_unit_test(the_size_of_the_windows_changes_nothing),
        cmocka_unit_test(untouched_commits_are_found_around_damage),
        cmocka_unit_test(a_damaged_commit_head_costs_nothing_but_the_head),
        cmocka_unit_test(a_transaction_with_one_bad_record_is_not_whole),
        cmocka_unit_test(an_unreadable_entry_leaves_a_gap_in_its_commit),
        cmocka_unit_test(a_cut_file_is_read_to_its_end),
        cmocka_unit_test(a_header_torn_between_two_lives_means_the_newer_one),
    };
    return cmocka_run_group_tests_name("spool/scan", tests, NULL, NULL);
}
