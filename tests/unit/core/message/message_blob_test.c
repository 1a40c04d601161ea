#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/mem.h"
#include "core/message/message.h"
#include "core/message/schedule.h"

static struct message *full_message(void)
{
    struct message *m = message_new();
    struct buf bytes = {0};

    m->content = message_content_new();
    message_set_sender(m, SLICE("news@brand.test"));
    message_add_recipient(m, SLICE("ann@inbox.test"));
    message_add_recipient(m, SLICE("bob@inbox.test"));
    meta_set_string(&m->content->meta, SLICE("tenant"), SLICE("acme"));
    buf_put(&bytes, SLICE("A: 1\r\n\r\nbody\r\n"));
    message_set_data(m, &bytes);
    assert_true(message_append_header(m, SLICE("B"), SLICE("2")));
    m->content->schedule = MEM_NEW(struct schedule);
    *m->content->schedule = (struct schedule){
        .has_expires = true,
        .expires = {.s = 1770000000, .ns = 5, .offset_min = -90},
        .has_window = true,
        .days = 0x1f,
        .start_s = 9 * 3600,
        .end_s = 17 * 3600,
        .zone = "Europe/Berlin",
        .zone_len = 13,
    };
    return m;
}

static void a_message_reads_back_as_it_was_written(void **state)
{
    struct message *m = full_message();
    struct message back = {.content = message_content_new()};
    struct buf blob = {0}, data = {0}, want = {0};
    struct slice got;
    size_t at = 0;

    message_blob_put(m, &blob);
    assert_true(message_blob_load(back.content, buf_slice(&blob)));
    assert_true(message_content_attach(back.content, body_get(m->content->body)));

    assert_true(slice_eq(message_sender(&back), SLICE("news@brand.test")));
    assert_int_equal(back.content->recipient_count, 2);
    assert_true(message_next_recipient(&back, &at, &got) && slice_eq(got, SLICE("ann@inbox.test")));
    assert_true(message_next_recipient(&back, &at, &got) && slice_eq(got, SLICE("bob@inbox.test")));
    assert_true(slice_eq(meta_get(&back.content->meta, SLICE("tenant")), SLICE("\"acme\"")));
    message_data_put(m, &want);
    message_data_put(&back, &data);
    assert_true(slice_eq(buf_slice(&data), buf_slice(&want)));
    assert_int_equal(back.content->schedule->expires.offset_min, -90);
    assert_int_equal(back.content->schedule->days, 0x1f);
    assert_string_equal(back.content->schedule->zone, "Europe/Berlin");
    assert_false(back.content->envelope_dirty);

    message_content_free(&back.content);
    message_free(&m);
    buf_free(&blob);
    buf_free(&data);
    buf_free(&want);
}

static void an_empty_message_reads_back_too(void **state)
{
    struct message m = {.content = message_content_new()};
    struct message_content *back = message_content_new();
    struct buf blob = {0};

    message_blob_put(&m, &blob);
    assert_true(message_blob_load(back, buf_slice(&blob)));
    assert_int_equal(back->recipient_count, 0);
    assert_null(back->schedule);
    message_content_free(&m.content);
    message_content_free(&back);
    buf_free(&blob);
}

static void a_blob_that_is_cut_or_longer_is_refused(void **state)
{
    struct message *m = full_message();
    struct buf blob = {0};

    message_blob_put(m, &blob);
    for (size_t len = 0; len < blob.len; len++) {
        struct message_content *c = message_content_new();

        assert_false(message_blob_load(c, slice_of(blob.ptr, len)));
        message_content_free(&c);
    }
    struct message_content *c = message_content_new();

    buf_char(&blob, 'x');
    assert_false(message_blob_load(c, buf_slice(&blob)));
    message_content_free(&c);
    message_free(&m);
    buf_free(&blob);
}

/* Any single damaged byte is either refused or gives a message that can be walked. */
static void a_damaged_blob_never_leads_outside_it(void **state)
{
    struct message *m = full_message();
    struct buf blob = {0};

    message_blob_put(m, &blob);
    for (size_t i = 0; i < blob.len; i++) {
        for (unsigned flip = 1; flip < 256; flip += 7) {
            struct message back = {.content = message_content_new()};
            struct meta_entry e;
            struct slice addr;
            unsigned count = 0;

            blob.ptr[i] = (char)(blob.ptr[i] ^ (char)flip);
            if (message_blob_load(back.content, buf_slice(&blob))) {
                for (size_t at = 0; message_next_recipient(&back, &at, &addr);) {
                    count++;
                }
                assert_int_equal(count, back.content->recipient_count);
                for (size_t at = 0; meta_next(&back.content->meta, &at, &e);) {
                    assert_true(e.value.len != 0);
                }
            }
            blob.ptr[i] = (char)(blob.ptr[i] ^ (char)flip);
            message_content_free(&back.content);
        }
    }
    message_free(&m);
    buf_free(&blob);
}

static void a_body_too_short_for_its_edits_is_not_attached(void **state)
{
    struct message *m = full_message();
    struct message_content *back = message_content_new();
    struct buf blob = {0}, bytes = {0};

    message_blob_put(m, &blob);
    assert_true(message_blob_load(back, buf_slice(&blob)));
    buf_put(&bytes, SLICE("A: 1"));
    struct body *other = body_new(&bytes);

    assert_false(message_content_attach(back, other));
    body_put(&other);
    message_content_free(&back);
    message_free(&m);
    buf_free(&blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_reads_back_as_it_was_written),
        cmocka_unit_test(an_empty_message_reads_back_too),
        cmocka_unit_test(a_blob_that_is_cut_or_longer_is_refused),
        cmocka_unit_test(a_damaged_blob_never_leads_outside_it),
        cmocka_unit_test(a_body_too_short_for_its_edits_is_not_attached),
    };
    return cmocka_run_group_tests_name("core/message/message_blob", tests, NULL, NULL);
}
