#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/message/message.h"

static struct message *message_with(const char *recipient)
{
    struct message *m = message_new();

    m->content = message_content_new();
    if (recipient != NULL) {
        message_add_recipient(m, slice_str(recipient));
    }
    return m;
}

struct name_case {
    const char *name;
    const char *recipient;
    const char *queue, *campaign, *tenant, *routing; /* JSON, NULL = unset */
    const char *want, *why;
};

static const struct name_case name_cases[] = {
    {"only the domain", "u@Example.COM", NULL, NULL, NULL, NULL, "example.com", ""},
    {"tenant", "u@d.test", NULL, NULL, "\"Acme\"", NULL, "Acme@d.test", ""},
    {"campaign and tenant", "u@d.test", NULL, "\"C\"", "\"t\"", NULL, "C:t@d.test", ""},
    {"campaign alone keeps both separators", "u@d.test", NULL, "\"c\"", NULL, NULL, "c:@d.test",
     ""},
    {"routing domain keeps its case", "u@d.test", NULL, NULL, NULL, "\"R:25\"", "d.test!R:25", ""},
    {"all of them", "u@d.test", NULL, "\"c\"", "\"t\"", "\"r\"", "c:t@d.test!r", ""},
    {"queue wins and stands as it is", "u@d.test", "\"A b@C\"", "\"c\"", "\"t\"", "\"r\"",
     "A b@C", ""},
    {"null counts as unset", "u@d.test", "null", "null", "null", "null", "d.test", ""},
    {"the last at sign begins the domain", "\"a@b\"@D.test", NULL, NULL, NULL, NULL, "d.test", ""},
    {"a name without domain", "postmaster", NULL, NULL, "\"t\"", NULL, "t@", ""},
    {"queue needs no recipient", NULL, "\"q\"", NULL, NULL, NULL, "q", ""},
    {"an escaped name is decoded", "u@d.test", NULL, NULL, "\"a\\u0062\"", NULL, "ab@d.test", ""},
    {"a number is no tenant", "u@d.test", NULL, NULL, "1", NULL, "",
     "expected 'tenant' to be a string value"},
    {"nor is an object a queue", "u@d.test", "{}", NULL, NULL, NULL, "",
     "expected 'queue' to be a string value"},
    {"a bad routing domain", "u@d.test", NULL, "\"c\"", NULL, "true", "",
     "expected 'routing_domain' to be a string value"},
    {"no recipient, no domain", NULL, NULL, NULL, NULL, NULL, "",
     "message has no recipient to take the queue's domain from"},
};

static void set(struct message *m, const char *name, const char *json)
{
    if (json != NULL) {
        meta_set(&m->content->meta, slice_str(name), slice_str(json));
    }
}

static void the_queue_name_is_composed_of_metadata_and_domain(void **state)
{
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(name_cases); i++) {
        const struct name_case *c = &name_cases[i];
        struct message *m = message_with(c->recipient);
        struct buf out = {0}, why = {0};

        set(m, "x_other", "1");
        set(m, "routing_domain", c->routing);
        set(m, "tenant", c->tenant);
        set(m, "campaign", c->campaign);
        set(m, "queue", c->queue);
        bool ok = message_queue_name(m, &out, &why);

        if (ok != (c->why[0] == '\0') || !slice_eq(buf_slice(&out), slice_str(c->want)) ||
            !slice_eq(buf_slice(&why), slice_str(c->why))) {
            print_error("%s: got %.*s (%.*s)\n", c->name, SLICE_ARG(buf_slice(&out)),
                        SLICE_ARG(buf_slice(&why)));
            wrong_count++;
        }
        buf_free(&out);
        buf_free(&why);
        message_free(&m);
    }
    assert_int_equal(wrong_count, 0);
}

static void recipients_come_back_in_order(void **state)
{
    struct message *m = message_with(NULL);
    struct slice got;
    size_t at = 0;

    message_add_recipient(m, SLICE("a@x"));
    message_add_recipient(m, SLICE(""));
    message_add_recipient(m, SLICE("c@z"));
    assert_int_equal(m->content->recipient_count, 3);
    assert_true(message_next_recipient(m, &at, &got) && slice_eq(got, SLICE("a@x")));
    assert_true(message_next_recipient(m, &at, &got) && got.len == 0);
    assert_true(message_next_recipient(m, &at, &got) && slice_eq(got, SLICE("c@z")));
    assert_false(message_next_recipient(m, &at, &got));

    message_clear_recipients(m);
    at = 0;
    assert_false(message_next_recipient(m, &at, &got));
    assert_int_equal(m->content->recipient_count, 0);
    message_free(&m);
}

static void the_sender_can_be_changed_and_emptied(void **state)
{
    struct message *m = message_with(NULL);

    message_set_sender(m, SLICE("a@b"));
    message_set_sender(m, SLICE("someone.longer@example.com"));
    assert_true(slice_eq(message_sender(m), SLICE("someone.longer@example.com")));
    assert_true(m->content->envelope_dirty);
    message_set_sender(m, SLICE(""));
    assert_int_equal(message_sender(m).len, 0);
    message_free(&m);
}

static void ids_carry_their_time_and_never_repeat(void **state)
{
    struct message_ids ids, other;
    const uint8_t node[6] = {2, 0x42, 0xac, 0x11, 0, 2};
    const uint64_t t = UINT64_C(1770000001884213400);
    uint8_t a[16], b[16], c[16], d[16], back[16];
    char text[MESSAGE_ID_TEXT];

    message_ids_init(&ids, 3, 7, node);
    message_ids_init(&other, 4, 7, node);
    message_id_next(&ids, t, a);
    message_id_next(&ids, t, b);
    message_id_next(&ids, t - 1000000, c); /* the clock went back */
    message_id_next(&other, t, d);

    assert_int_equal(message_id_wall_ns(a), t);
    assert_int_equal(message_id_wall_ns(b), t + 100);
    assert_int_equal(message_id_wall_ns(c), t + 200);
    assert_memory_not_equal(a, d, 16);
    assert_int_equal(a[6] >> 4, 1);    /* version */
    assert_int_equal(a[8] >> 6, 2);    /* variant */
    assert_memory_equal(a + 10, node, 6);

    message_id_text(a, text);
    assert_true(message_id_parse(slice_of(text, sizeof(text)), back));
    assert_memory_equal(a, back, 16);
    assert_false(message_id_parse(slice_of(text, 31), back));
    text[5] = 'g';
    assert_false(message_id_parse(slice_of(text, sizeof(text)), back));
}

/* The example of RFC 9562 A.1. */
static void an_id_is_a_version_1_uuid(void **state)
{
    uint8_t id[16];

    assert_true(message_id_parse(SLICE("C232AB00941411ECB3C89F6BDECED846"), id));
    assert_int_equal(message_id_wall_ns(id), UINT64_C(1645557742000000000));
}

static void restarts_and_shards_have_sequences_of_their_own(void **state)
{
    const uint8_t node[6] = {0};
    bool seen[1u << 14] = {false};

    for (uint32_t shard = 0; shard < 256; shard++) {
        for (uint32_t boot = 100; boot < 164; boot++) {
            struct message_ids ids;
            uint8_t id[16];

            message_ids_init(&ids, shard, boot, node);
            message_id_next(&ids, 1, id);
            unsigned seq = (unsigned)(id[8] & 0x3f) << 8 | id[9];

            assert_false(seen[seq]);
            seen[seq] = true;
        }
    }
}

static void content_counts_all_its_buffers(void **state)
{
    struct message *m = message_with("a@b.test");
    size_t before = message_content_size(m->content);
    struct buf text = {0};

    assert_int_equal(message_content_size(NULL), 0);
    buf_put(&text, SLICE("A: 1\r\n\r\nx\r\n"));
    size_t text_cap = text.cap;

    message_set_data(m, &text);
    assert_true(message_content_size(m->content) >= before + text_cap);
    message_free(&m);
    message_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_queue_name_is_composed_of_metadata_and_domain),
        cmocka_unit_test(recipients_come_back_in_order),
        cmocka_unit_test(the_sender_can_be_changed_and_emptied),
        cmocka_unit_test(ids_carry_their_time_and_never_repeat),
        cmocka_unit_test(an_id_is_a_version_1_uuid),
        cmocka_unit_test(restarts_and_shards_have_sequences_of_their_own),
        cmocka_unit_test(content_counts_all_its_buffers),
    };
    return cmocka_run_group_tests_name("core/message/message", tests, NULL, NULL);
}
