#include "tests/unit/core/queue/queue_bench.h"

#include "core/base/mem.h"
#include "policy/api/api.h"

static void promote(void *ctx, struct message *m)
{
    struct queue_bench *b = ctx;

    MUST(b->promoted_count < PROMOTED_MAX);
    b->promoted[b->promoted_count++] = m;
}

static void forget(void *ctx, struct schedq *q)
{
    struct queue_bench *b = ctx;

    b->forgotten_count++;
    *schedq_slot(q) = NULL;
}

static const struct queue_promoter promoter = {.promote = promote, .forget = forget};

static void record_written(struct log_sink *sink, const struct log_record *r)
{
    struct queue_bench *b = CONTAINER_OF(sink, struct queue_bench, sink);

    buf_put(&b->records, log_type_info(r->type)->text);
    buf_printf(&b->records, " %u %u.%u.%u ", r->code, r->enhanced.class, r->enhanced.subject,
               r->enhanced.detail);
    buf_put(&b->records, r->content);
    buf_printf(&b->records, " [%.*s]\n", (int)r->site.len, r->site.ptr);
}

static void found(void *ctx, const struct spool_found *f)
{
    (void)ctx;
    (void)f;
}

static void unlogged(void *ctx, const struct spool_unlogged *u)
{
    (void)ctx;
    (void)u;
}

static void recovered(void *ctx, uint64_t record_count)
{
    (void)ctx;
    (void)record_count;
}

static void damaged(void *ctx, const uint8_t id[16], struct slice what)
{
    (void)ctx;
    (void)id;
    fail_msg("%.*s", (int)what.len, what.ptr);
}

static void health(void *ctx, struct slice why)
{
    (void)ctx;
    (void)why;
}

static void spool_start(struct queue_bench *b, struct buf *why)
{
    struct slice path = SLICE_INIT("/spool");
    const struct spool_params params = {.data_paths = &path,
                                        .data_path_count = 1,
                                        .meta_path = path,
                                        .segment_size = 128 * 1024,
                                        .reserve_segments = 1,
                                        .staging_bytes_max = 256 * 1024,
                                        .shard_count = 1};
    const struct spool_events events = {.ctx = b,
                                        .found = found,
                                        .unlogged = unlogged,
                                        .recovered = recovered,
                                        .damaged = damaged,
                                        .health = health};
    struct shard *sh = b->shards.list[0];

    MUST(spool_store_open(&sh->ring, &params, &b->store, why) == SPOOL_OK);
    MUST(spool_open(b->store, sh, &events, &b->spool) == SPOOL_OK);
    fake_ring_run(sh);
}

static void drained(void *ctx)
{
    *(bool *)ctx = true;
}

static void spool_stop(struct queue_bench *b)
{
    bool is_drained = false;

    spool_drain(b->spool, drained, &is_drained);
    while (!is_drained) {
        queue_bench_advance_ms(b, 50);
    }
    spool_close(&b->spool);
    spool_store_close(&b->store);
}

static uint64_t said_when(void *ctx)
{
    return 0;
}

static void said_what(void *ctx, struct slice line)
{
    struct queue_bench *b = ctx;

    buf_put(&b->said, slice_from(line, slice_find_char(line, ' ') + 1));
}

void queue_bench_open(struct queue_bench *b, const char *policy)
{
    static const uint8_t node[6] = {2, 0, 0, 0, 0, 1};
    const struct log_options options = {.node_id = SLICE_INIT("00000000-0000-0000-0000-0000000")};
    const struct vm_limits limits = {.states_max = 4};
    struct buf why = {0};
    struct shard *sh;

    *b = (struct queue_bench){0};
    shard_bench_open(&b->shards, 1, 1);
    sh = b->shards.list[0];
    if (!policy_load_library(api_library(), SLICE("policy.lua"), slice_str(policy), false,
                             &b->policy, &why) ||
        !vm_open(sh, b->policy, &limits, &b->vm, &why)) {
        fail_msg("%.*s", (int)why.len, why.ptr);
    }
    spool_start(b, &why);
    buf_free(&why);
    config_resolver_init(&b->configs, sh, b->vm);
    ledger_init(&b->ledger, sh);
    b->log = log_new(sh, &options);
    b->sink.write = record_written;
    log_add_sink(b->log, &b->sink);
    message_ids_init(&b->ids, 0, 0, node);
    diag_init(&b->diag, b, said_when, said_what);
    queue_mgr_init(&b->mgr, sh);
    b->mgr.diag = &b->diag;
    b->mgr.vm = b->vm;
    b->mgr.configs = &b->configs;
    b->mgr.spool = b->spool;
    b->mgr.log = b->log;
    b->mgr.ledger = &b->ledger;
    b->mgr.promoter = &promoter;
    b->mgr.promoter_ctx = b;
    queue_mgr_start(&b->mgr);
}

void queue_bench_close(struct queue_bench *b)
{
    struct message *m;

    while ((m = queue_bench_take(b)) != NULL) {
        schedq_leave(m);
        message_free(&m);
    }
    queue_mgr_drain(&b->mgr);
    spool_stop(b);
    queue_mgr_free(&b->mgr);
    log_remove_sink(b->log, &b->sink);
    log_free(&b->log);
    config_resolver_free(&b->configs);
    ledger_free(&b->ledger);
    vm_close(&b->vm);
    policy_free(&b->policy);
    buf_free(&b->records);
    buf_free(&b->text);
    buf_free(&b->said);
    diag_free(&b->diag);
    shard_bench_close(&b->shards);
}

void queue_bench_advance_ms(struct queue_bench *b, uint64_t ms)
{
    shard_bench_advance_ms(&b->shards, ms);
    shard_bench_turn(&b->shards); /* the clock is read */
    fake_ring_run(b->shards.list[0]);
}

struct message *queue_bench_message(struct queue_bench *b, const char *recipient)
{
    struct message *m = message_new();

    m->content = message_content_new();
    message_set_sender(m, SLICE("sender@a.example"));
    message_add_recipient(m, slice_str(recipient));
    message_id_next(&b->ids, ring_wall_ns(&b->shards.list[0]->ring), m->id);
    insert_context_add(m, INSERT_RECEIVED);
    return m;
}

struct message *queue_bench_insert(struct queue_bench *b, const char *queue)
{
    struct message *m = queue_bench_message(b, "user@b.example");
    struct queue_insert ins = {0};
    struct slice why = {0};

    assert_int_equal(queue_insert(&b->mgr, m, slice_str(queue), &ins, &why), QUEUE_TAKEN);
    return m;
}

static void rest_done(struct spool_put *put, enum spool_err err)
{
    MUST(err == SPOOL_OK);
    put->done = NULL;
}

void queue_bench_rest(struct queue_bench *b, struct message *m)
{
    struct buf blob = {0};
    struct spool_put_record record = {.meta = {.queue = SLICE_INIT("-"),
                                               .due_ms = m->due_ms,
                                               .created_ms = message_id_wall_ns(m->id) / 1000000u}};
    struct spool_put put = {.body = SLICE_INIT("Subject: x\r\n\r\nbody\r\n"),
                            .records = &record,
                            .record_count = 1,
                            .done = rest_done};

    message_blob_put(m, &blob);
    memcpy(record.meta.id, m->id, sizeof(m->id));
    record.blob = buf_slice(&blob);
    spool_put(b->spool, &put);
    while (put.done != NULL) {
        fake_ring_run(b->shards.list[0]);
    }
    m->ref = record.ref;
    m->flags |= MESSAGE_SPOOLED;
    message_content_free(&m->content);
    buf_free(&blob);
}

struct message *queue_bench_take(struct queue_bench *b)
{
    struct message *m;

    if (b->promoted_count == 0) {
        return NULL;
    }
    m = b->promoted[0];
    b->promoted_count--;
    memmove(b->promoted, b->promoted + 1, b->promoted_count * sizeof(b->promoted[0]));
    return m;
}

uint64_t queue_bench_wall_ms(const struct queue_bench *b)
{
    return ring_wall_ns(&b->shards.list[0]->ring) / 1000000u;
}

const char *queue_bench_records(struct queue_bench *b)
{
    buf_clear(&b->text);
    buf_put(&b->text, buf_slice(&b->records));
    buf_char(&b->text, '\0');
    buf_clear(&b->records);
    return b->text.ptr;
}
