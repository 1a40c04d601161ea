/* ringspool - looks into a spool that nobody serves: what waits, what a message holds, what is
 * damaged. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "spool/table.h"
#include "tools/ringspool_read.h"
#include "tools/ringspool_verify.h"

static const char usage[] =
    "Usage: ringspool ls PATH...         the messages that wait, by their newest state\n"
    "       ringspool cat ID PATH...     the bytes of one message\n"
    "       ringspool verify PATH...     every segment's commits and entries; fails on damage\n"
    "\n"
    "PATH is a data path of a spool, one of its logs, or a segment. Nothing is changed.\n";

/* Records of different logs may have the same id: logs are told apart by the upper bits, which a
 * boot count never reaches. */
static uint64_t key_of(uint32_t log, uint64_t id)
{
    return id ^ (uint64_t)(log + 1) << 48;
}

/* ---- what all segments together say ---- */

struct seen_record {
    uint64_t key, next;
    uint64_t version;
    uint64_t body_key;
    struct spool_meta meta;
    char *queue;
    bool pending; /* real only with a manifest of its body */
};

struct seen_manifest {
    uint64_t key, next;
};

struct seen_settle {
    uint64_t key, next;
};

struct gather {
    struct table records; /* struct seen_record */
    struct table settles; /* struct seen_settle */
    struct table manifests; /* struct seen_manifest */
    uint32_t log;
};

static void key_seen(const struct gather *g, struct table *t, uint64_t id)
{
    uint64_t key = key_of(g->log, id);

    if (id != 0 && table_find(t, key) == TABLE_NONE) {
        (void)table_take(t, key);
    }
}

static void record_seen(struct gather *g, const struct scan_entry *e)
{
    uint64_t key = key_of(g->log, e->head.stamp);
    uint32_t index = table_find(&g->records, key);
    struct record_view view;
    struct seen_record *r;

    if (!record_parse(e->payload, true, &view)) {
        return;
    }
    r = table_at(&g->records, index != TABLE_NONE ? index : table_take(&g->records, key));
    if (r->version != 0 && e->head.version <= r->version) {
        return;
    }
    mem_give(r->queue);
    r->version = e->head.version;
    r->pending = (e->head.flags & ENTRY_PENDING) != 0;
    r->body_key = key_of(g->log, view.head.body_id);
    record_meta(&view, &r->meta);
    r->queue = mem_copy(view.queue.ptr, view.queue.len);
    r->meta.queue = slice_of(r->queue, view.queue.len);
}

static void gather_entry(void *ctx, const struct scan_entry *e)
{
    struct gather *g = ctx;

    if (e->head.kind == ENTRY_RECORD && e->sound && e->whole) {
        record_seen(g, e);
    } else if (e->head.kind == ENTRY_MANIFEST && e->sound) {
        key_seen(g, &g->manifests, e->head.stamp);
    } else if (e->head.kind == ENTRY_SETTLE && e->sound) {
        key_seen(g, &g->settles, e->head.stamp);
    } else if (e->head.kind == ENTRY_SETTLED_SET && e->sound) {
        for (size_t at = 0; at + sizeof(uint64_t) <= e->payload.len; at += sizeof(uint64_t)) {
            uint64_t id;

            memcpy(&id, e->payload.ptr + at, sizeof(id));
            key_seen(g, &g->settles, id);
        }
    }
}

static void gather_file(void *ctx, struct segment_file *f)
{
    struct gather *g = ctx;

    g->log = segment_file_log(f);
    if (segment_file_in_use(f) && !segment_file_scan(f, g, NULL, gather_entry)) {
        fprintf(stderr, "%s: header and footer are damaged\n", f->path);
    }
}

static bool gather_paths(struct gather *g, char **paths, int count)
{
    struct buf why = {0};
    bool done = true;

    table_init(&g->records, sizeof(struct seen_record));
    table_init(&g->settles, sizeof(struct seen_settle));
    table_init(&g->manifests, sizeof(struct seen_manifest));
    for (int i = 0; i < count; i++) {
        done &= segment_files_each(paths[i], gather_file, g, &why);
    }
    fprintf(stderr, "%.*s", (int)why.len, why.len != 0 ? why.ptr : "");
    buf_free(&why);
    return done;
}

static void gather_free(struct gather *g)
{
    for (uint32_t i = 0; i < g->records.used; i++) {
        mem_give(((struct seen_record *)table_at(&g->records, i))->queue);
    }
    table_free(&g->records);
    table_free(&g->settles);
    table_free(&g->manifests);
}

static bool waits(const struct gather *g, const struct seen_record *r)
{
    return r->key != 0 && table_find(&g->settles, r->key) == TABLE_NONE &&
           (!r->pending || table_find(&g->manifests, r->body_key) != TABLE_NONE);
}

static void id_text(const uint8_t id[16], char out[33])
{
    for (unsigned i = 0; i < 16; i++) {
        snprintf(out + i * 2, 3, "%02x", id[i]);
    }
}

/* ---- ls ---- */

static int run_ls(char **paths, int count)
{
    struct gather g = {0};
    bool done = gather_paths(&g, paths, count);

    for (uint32_t i = 0; i < g.records.used; i++) {
        const struct seen_record *r = table_at(&g.records, i);
        char id[33];

        if (waits(&g, r)) {
            id_text(r->meta.id, id);
            printf("%s size=%u attempts=%u created=%llu due=%llu queue=%.*s\n", id, r->meta.size,
                   r->meta.attempts, (unsigned long long)r->meta.created_ms,
                   (unsigned long long)r->meta.due_ms, SLICE_ARG(r->meta.queue));
        }
    }
    gather_free(&g);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- cat ---- */

struct body_search {
    uint64_t body_key;
    uint32_t log;
    bool found;
    struct buf body;
    struct buf *chunks;
    uint32_t chunk_count;
    uint32_t chunks_due;
};

static void body_entry(void *ctx, const struct scan_entry *e)
{
    struct body_search *s = ctx;

    if (!e->sound || key_of(s->log, e->head.stamp) != s->body_key) {
        return;
    }
    if (e->head.kind == ENTRY_BODY) {
        s->found = true;
        buf_clear(&s->body);
        buf_put(&s->body, e->payload);
    } else if (e->head.kind == ENTRY_MANIFEST) {
        s->found = true;
        s->chunks_due = e->head.count;
    } else if (e->head.kind == ENTRY_CHUNK && e->head.count < SPOOL_BODY_MAX / FORMAT_BLOCK) {
        while (s->chunk_count <= e->head.count) {
            s->chunks = mem_grow(s->chunks, (s->chunk_count + 1) * sizeof(*s->chunks));
            s->chunks[s->chunk_count++] = (struct buf){0};
        }
        buf_clear(&s->chunks[e->head.count]);
        buf_put(&s->chunks[e->head.count], e->payload);
    }
}

static void body_file(void *ctx, struct segment_file *f)
{
    struct body_search *s = ctx;

    s->log = segment_file_log(f);
    if (segment_file_in_use(f) && !segment_file_scan(f, s, NULL, body_entry)) {
        fprintf(stderr, "%s: header and footer are damaged\n", f->path);
    }
}

static bool body_print(struct body_search *s)
{
    bool whole = s->found && s->chunks_due <= s->chunk_count;

    for (uint32_t i = 0; whole && i < s->chunks_due; i++) {
        whole = s->chunks[i].len > 0;
    }
    if (whole && s->body.len > 0) {
        (void)fwrite(s->body.ptr, 1, s->body.len, stdout);
    }
    for (uint32_t i = 0; i < s->chunk_count; i++) {
        if (whole && i < s->chunks_due) {
            (void)fwrite(s->chunks[i].ptr, 1, s->chunks[i].len, stdout);
        }
        buf_free(&s->chunks[i]);
    }
    mem_give(s->chunks);
    buf_free(&s->body);
    return whole;
}

static const struct seen_record *record_by_id(const struct gather *g, const char *text)
{
    const struct seen_record *pick = NULL;

    for (uint32_t i = 0; i < g->records.used; i++) {
        const struct seen_record *r = table_at(&g->records, i);
        char id[33];

        id_text(r->meta.id, id);
        if (r->key != 0 && strcmp(id, text) == 0 && (pick == NULL || waits(g, r))) {
            pick = r;
        }
    }
    return pick;
}

static int run_cat(const char *id, char **paths, int count)
{
    struct gather g = {0};
    bool done = gather_paths(&g, paths, count);
    const struct seen_record *r = record_by_id(&g, id);
    struct body_search s = {0};
    struct buf why = {0};

    if (r == NULL) {
        fprintf(stderr, "ringspool: no message %s\n", id);
        gather_free(&g);
        return EXIT_FAILURE;
    }
    if (!waits(&g, r)) {
        fprintf(stderr, "ringspool: %s has its outcome, or was never complete\n", id);
    }
    s.body_key = r->body_key;
    for (int i = 0; i < count; i++) {
        done &= segment_files_each(paths[i], body_file, &s, &why);
    }
    buf_free(&why);
    gather_free(&g);
    if (!body_print(&s)) {
        fprintf(stderr, "ringspool: the bytes of %s are damaged or gone\n", id);
        return EXIT_FAILURE;
    }
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "ls") == 0) {
        return run_ls(argv + 2, argc - 2);
    }
    if (argc >= 4 && strcmp(argv[1], "cat") == 0) {
        return run_cat(argv[2], argv + 3, argc - 3);
    }
    if (argc >= 3 && strcmp(argv[1], "verify") == 0) {
        return ringspool_verify(argv + 2, argc - 2) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    fputs(usage, argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
    return argc == 2 && strcmp(argv[1], "--help") == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
