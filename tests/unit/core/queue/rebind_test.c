/* A message changes its queue after the policy has looked at it: spec "Inbound SMTP", 13.2. */
#include "tests/unit/core/queue/queue_bench.h"

#include <errno.h>

#include "core/queue/load.h"
#include "core/queue/rebind.h"

static struct queue_bench b;
static struct message *injected;

static const char policy[] =
    "local kumo = require 'kumo'\n"
    "kumo.on('get_queue_config', function(domain)\n"
    "  if domain == 'slow.example' then kumo.sleep(5) end\n"
    "  if domain == 'slowly-broken.example' then kumo.sleep(5) error('broken') end\n"
    "  if domain == 'broken.example' then error('broken') end\n"
    "  if domain == 'deferred_smtp_inject.kumomta.internal' then error('not asked') end\n"
    "  return kumo.make_queue_config{}\n"
    "end)\n";

static void inject(void *ctx, struct message *m)
{
    (void)ctx;
    injected = m;
}

static const struct queue_injector injector = {.inject = inject};

struct asked {
    struct queue_rebind rebind;
    uint32_t done_count;
    bool ok;
};

static void rebind_done(struct queue_rebind *r, bool ok, struct slice why)
{
    struct asked *a = CONTAINER_OF(r, struct asked, rebind);

    (void)why;
    a->done_count++;
    a->ok = ok;
}

static const struct record_outcome outcome = {
    .type = LOG_DEFERRED_INJECTION_REBIND, .code = 250, .content = SLICE_INIT("ok")};
static const struct record_session session = {.site = SLICE_INIT("here")};

static int set_up(void **state)
{
    (void)state;
    queue_bench_open(&b, policy);
    b.mgr.injector = &injector;
    injected = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (injected != NULL) {
        queue_discard(&b.mgr, injected);
    }
    queue_bench_close(&b);
    return 0;
}

static void read_back(struct message_load *load, enum spool_err err)
{
    assert_int_equal(err, SPOOL_OK);
    (void)load;
}

static void load(struct message *m)
{
    struct message_load op = {0};

    message_load(b.spool, &op, m, read_back);
    queue_bench_advance_ms(&b, 1);
    assert_non_null(m->content);
}

/* A stored message in the internal queue, given to the injector, its content loaded. */
static struct message *stored(void)
{
    struct message *m = queue_bench_message(&b, "user@b.example");

    meta_set_string(&m->content->meta, SLICE("queue"), QUEUE_DEFERRED_SMTP);
    queue_bench_rest(&b, m);
    queue_insert_found(&b.mgr, m, QUEUE_DEFERRED_SMTP);
    assert_ptr_equal(injected, m);
    load(m);
    return m;
}

static void rebind(struct asked *a, struct message *m, const char *queue)
{
    if (queue != NULL) {
        meta_set_string(&m->content->meta, SLICE("queue"), slice_str(queue));
    } else {
        meta_set(&m->content->meta, SLICE("queue"), SLICE("null"));
    }
    m->content->envelope_dirty = true;
    *a = (struct asked){.rebind = {.done = rebind_done,
                                   .outcome = &outcome,
                                   .session = &session,
                                   .body_replaced = a->rebind.body_replaced}};
    queue_rebind(&b.mgr, m, &a->rebind);
}

/* Settled records take their slot until the log has caught up; these are the others. */
static uint64_t live_count(void)
{
    struct spool_counters c;

    spool_counters(b.spool, &c);
    return c.put_record_count - c.settle_count;
}

static void the_internal_queue_has_a_config_of_its_own(void **state)
{
    const struct schedq *q;

    (void)state;
    q = message_queue(stored());
    assert_true(schedq_config(q)->retry_interval == UINT64_C(60) * 1000000000u);
    assert_true(schedq_config(q)->max_age == UINT64_C(7) * 86400 * 1000000000u);
    assert_int_equal(schedq_source_count(q), 1);
    assert_int_equal(b.promoted_count, 0);
}

static void it_goes_on_to_the_queue_its_metadata_name(void **state)
{
    struct message *m = stored();
    struct asked a = {0};

    (void)state;
    meta_set_string(&m->content->meta, SLICE("tenant"), SLICE("acme"));
    rebind(&a, m, NULL);
    assert_true(a.ok);
    assert_ptr_equal(queue_bench_take(&b), m);
    injected = NULL;
    assert_true(slice_eq(schedq_name(message_queue(m)), SLICE("acme@b.example")));
    assert_string_equal(queue_bench_records(&b), "DeferredInjectionRebind 250 0.0.0 ok [here]\n");
    queue_bench_advance_ms(&b, 100); /* the change is written */
    message_content_free(&m->content);
    load(m);
    assert_true(slice_eq(meta_get(&m->content->meta, SLICE("tenant")), SLICE("\"acme\"")));
    assert_true(slice_eq(meta_get(&m->content->meta, SLICE("queue")), SLICE("null")));
    queue_discard(&b.mgr, m);
}

static void edits_of_the_head_are_kept_on_disk(void **state)
{
    struct message *m = stored();
    struct asked a = {0};
    struct buf text = {0};

    (void)state;
    message_prepend_header(m, SLICE("X-New"), SLICE("1"));
    rebind(&a, m, NULL);
    assert_false(m->content->data_dirty);
    queue_bench_advance_ms(&b, 100);
    message_content_free(&m->content);
    load(m);
    message_data_put(m, &text);
    assert_true(slice_starts(buf_slice(&text), SLICE("X-New: 1\r\nSubject: x\r\n")));
    buf_free(&text);
    injected = NULL;
    assert_ptr_equal(queue_bench_take(&b), m);
    queue_discard(&b.mgr, m);
}

static void a_new_body_is_stored_before_it_goes_on(void **state)
{
    struct message *m = stored();
    struct asked a = {.rebind.body_replaced = true};
    struct buf fresh = {0}, text = {0};
    struct spool_ref old = m->ref;

    (void)state;
    BUF_LIT(&fresh, "Subject: y\r\n\r\nother\r\n");
    message_set_data(m, &fresh);
    rebind(&a, m, NULL);
    assert_int_equal(a.done_count, 0);
    queue_bench_advance_ms(&b, 100);
    assert_true(a.ok);
    injected = NULL;
    assert_ptr_equal(queue_bench_take(&b), m);
    assert_int_equal(live_count(), 1); /* the old one is settled */
    assert_true(old.slot != m->ref.slot || old.generation != m->ref.generation);
    message_content_free(&m->content);
    load(m);
    message_data_put(m, &text);
    assert_true(slice_eq(buf_slice(&text), SLICE("Subject: y\r\n\r\nother\r\n")));
    buf_free(&text);
    queue_discard(&b.mgr, m);
}

static int64_t writes_fail(void *ctx, enum fake_io io, const char *path, uint64_t offset,
                           uint64_t len)
{
    (void)ctx;
    (void)path;
    (void)offset;
    (void)len;
    return io == FAKE_WRITE ? -EIO : 0;
}

static void a_new_body_that_cannot_be_stored_leaves_everything_as_it_was(void **state)
{
    struct message *m = stored();
    struct asked a = {.rebind.body_replaced = true};
    struct buf fresh = {0};

    (void)state;
    BUF_LIT(&fresh, "Subject: y\r\n\r\nother\r\n");
    message_set_data(m, &fresh);
    fake_disk_set_fault(b.shards.disk, writes_fail, NULL);
    rebind(&a, m, NULL);
    for (uint32_t n = 0; n < 50 && a.done_count == 0; n++) {
        queue_bench_advance_ms(&b, 100);
    }
    fake_disk_set_fault(b.shards.disk, NULL, NULL);
    assert_int_equal(a.done_count, 1);
    assert_false(a.ok);
    assert_true(m->content->data_dirty);
    assert_true(slice_eq(schedq_name(message_queue(m)), QUEUE_DEFERRED_SMTP));
    for (uint32_t n = 0; n < 100; n++) {
        queue_bench_advance_ms(&b, 100);
    }
    assert_int_equal(live_count(), 1);
}

static void the_null_queue_swallows_it(void **state)
{
    struct message *m = stored();
    struct asked a = {0};

    (void)state;
    rebind(&a, m, "null");
    injected = NULL;
    assert_true(a.ok);
    queue_bench_advance_ms(&b, 100);
    assert_int_equal(live_count(), 0);
    assert_string_equal(queue_bench_records(&b), "DeferredInjectionRebind 250 0.0.0 ok [here]\n");
}

static void a_queue_that_is_refused_leaves_it_where_it_was(void **state)
{
    static const char *const refused[] = {"broken.example", "slowly-broken.example",
                                          "deferred_smtp_inject.kumomta.internal"};
    struct message *m = stored();
    struct asked a = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        rebind(&a, m, refused[i]);
        queue_bench_advance_ms(&b, 5100);
        assert_int_equal(a.done_count, 1);
        assert_false(a.ok);
        assert_true(slice_eq(schedq_name(message_queue(m)), QUEUE_DEFERRED_SMTP));
        assert_int_equal(message_queue(m)->message_count, 1);
    }
    assert_string_equal(queue_bench_records(&b), "");
}

static void it_waits_for_a_queue_that_is_being_asked_for(void **state)
{
    struct message *m = stored();
    struct asked a = {0};

    (void)state;
    rebind(&a, m, "slow.example");
    assert_int_equal(a.done_count, 0);
    queue_bench_advance_ms(&b, 5100);
    assert_true(a.ok);
    injected = NULL;
    assert_ptr_equal(queue_bench_take(&b), m);
    queue_discard(&b.mgr, m);
}

static void who_cannot_wait_gets_it_back(void **state)
{
    struct message *m = stored();
    struct asked a = {0};

    (void)state;
    rebind(&a, m, "slow.example");
    assert_true(queue_rebind_abandon(&a.rebind));
    assert_true(slice_eq(schedq_name(message_queue(m)), QUEUE_DEFERRED_SMTP));
    assert_int_equal(message_queue(m)->message_count, 1);
    queue_bench_advance_ms(&b, 5100);
    assert_int_equal(a.done_count, 0);
    assert_int_equal(b.promoted_count, 0);
}

static void what_the_policy_wants_saved_is_stored_on_the_way(void **state)
{
    struct message *m = queue_bench_message(&b, "user@b.example");
    struct queue_insert ins = {0};
    struct slice why;
    struct asked a = {0};

    (void)state;
    queue_defer(&b.mgr, m);
    assert_int_equal(queue_insert(&b.mgr, m, QUEUE_DEFERRED_SMTP, &ins, &why), QUEUE_TAKEN);
    assert_ptr_equal(injected, m);
    m->flags |= MESSAGE_SAVE;
    rebind(&a, m, NULL);
    queue_bench_advance_ms(&b, 100);
    assert_true(a.ok);
    assert_int_equal(live_count(), 1);
    assert_int_equal(b.mgr.unsaved_count, 0);
    injected = NULL;
    assert_ptr_equal(queue_bench_take(&b), m);
    queue_discard(&b.mgr, m);
}

static void rebind_was_the_last_work(struct queue_rebind *r, bool ok, struct slice why)
{
    rebind_done(r, ok, why);
    queue_work_end(&b.mgr);
}

static void note_unsaved(void *ctx)
{
    *(uint32_t *)ctx = b.mgr.unsaved_count;
}

static void a_drain_waits_until_its_new_queue_has_written_it(void **state)
{
    struct message *m = queue_bench_message(&b, "user@b.example");
    uint32_t unsaved_in_the_end = UINT32_MAX;
    struct queue_insert ins = {0};
    struct asked a = {0};
    struct slice why;

    (void)state;
    queue_defer(&b.mgr, m);
    assert_int_equal(queue_insert(&b.mgr, m, QUEUE_DEFERRED_SMTP, &ins, &why), QUEUE_TAKEN);
    queue_work_begin(&b.mgr);
    rebind(&a, m, "slow.example");
    a.rebind.done = rebind_was_the_last_work;
    queue_mgr_drain(&b.mgr);
    queue_mgr_settled(&b.mgr, note_unsaved, &unsaved_in_the_end);
    queue_bench_advance_ms(&b, 5100);
    queue_bench_advance_ms(&b, 100);
    assert_true(a.ok);
    injected = NULL;
    assert_int_equal(unsaved_in_the_end, 0);
    assert_int_equal(live_count(), 1);
}

#define ON_QUEUE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_QUEUE(the_internal_queue_has_a_config_of_its_own),
        ON_QUEUE(it_goes_on_to_the_queue_its_metadata_name),
        ON_QUEUE(edits_of_the_head_are_kept_on_disk),
        ON_QUEUE(a_new_body_is_stored_before_it_goes_on),
        ON_QUEUE(a_new_body_that_cannot_be_stored_leaves_everything_as_it_was),
        ON_QUEUE(the_null_queue_swallows_it),
        ON_QUEUE(a_queue_that_is_refused_leaves_it_where_it_was),
        ON_QUEUE(it_waits_for_a_queue_that_is_being_asked_for),
        ON_QUEUE(who_cannot_wait_gets_it_back),
        ON_QUEUE(what_the_policy_wants_saved_is_stored_on_the_way),
        ON_QUEUE(a_drain_waits_until_its_new_queue_has_written_it),
    };
    return cmocka_run_group_tests_name("core/queue/rebind", tests, NULL, NULL);
}
