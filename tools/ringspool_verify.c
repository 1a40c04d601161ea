#include "tools/ringspool_verify.h"

#include <stdio.h>

#include "core/base/mem.h"
#include "spool/store.h"
#include "spool/table.h"
#include "tools/ringspool_read.h"

/* The highest sequence that had completed, of one boot in one log. */
struct durable {
    uint64_t key, next;
    uint64_t seq;
};

/* Of one segment. Judged when all have been read. */
struct verdict {
    struct verdict *next;
    struct buf line; /* what is to be said in any case */
    uint32_t log;
    bool sealed; /* was only sealed when all its commits had completed */
    bool unreadable;
    uint64_t *suspects; /* sequences of the commits with something wrong; 0: not known */
    uint32_t suspect_count, suspect_cap;
    /* While it is read: */
    struct verifier *verifier;
    const struct segment_file *file;
    uint64_t kinds[ENTRY_KIND_END];
    uint64_t seq;       /* of the commit under way; 0: none yet */
    uint64_t gaps_seen; /* of the scan's */
    uint64_t orphans;   /* entries outside a commit since the last one */
};

struct verifier {
    struct table durables; /* struct durable */
    struct verdict *first, **tail;
};

static uint64_t boot_key(uint32_t log, uint64_t seq)
{
    return (uint64_t)(log + 1) << 32 | (seq >> STORE_BOOT_SHIFT);
}

/* ---- what had completed ---- */

static void durable_note(struct verifier *v, uint32_t log, uint64_t seq)
{
    uint64_t key = boot_key(log, seq);
    uint32_t index = table_find(&v->durables, key);
    struct durable *d;

    d = table_at(&v->durables, index != TABLE_NONE ? index : table_take(&v->durables, key));
    d->seq = seq > d->seq ? seq : d->seq;
}

static bool had_completed(const struct verifier *v, uint32_t log, uint64_t seq)
{
    uint32_t index = table_find(&v->durables, boot_key(log, seq));

    return index != TABLE_NONE &&
           seq <= ((const struct durable *)table_at(&v->durables, index))->seq;
}

/* ---- reading a segment ---- */

static void suspect_add(struct verdict *v, uint64_t count, uint64_t seq)
{
    for (; count > 0; count--) {
        if (v->suspect_count == v->suspect_cap) {
            v->suspect_cap = v->suspect_cap != 0 ? v->suspect_cap * 2 : 16;
            v->suspects = mem_grow(v->suspects, v->suspect_cap * sizeof(*v->suspects));
        }
        v->suspects[v->suspect_count++] = seq;
    }
}

static void commit_over(struct verdict *v)
{
    suspect_add(v, v->file->scan.gap_count - v->gaps_seen, v->seq);
    v->gaps_seen = v->file->scan.gap_count;
}

static void verify_commit(void *ctx, const struct commit_head *head, uint64_t offset)
{
    struct verdict *v = ctx;

    (void)offset;
    durable_note(v->verifier, v->log, head->durable_seq);
    commit_over(v);
    suspect_add(v, v->orphans, head->seq - 1); /* places are given out in order */
    v->orphans = 0;
    v->seq = head->seq;
}

static void verify_entry(void *ctx, const struct scan_entry *e)
{
    struct verdict *v = ctx;

    v->kinds[e->head.kind]++;
    if (e->seq == 0) {
        v->orphans++;
    } else if (!e->sound || !e->whole) {
        suspect_add(v, 1, e->seq);
    }
}

static bool never_used(const struct segment_file *f)
{
    return f->len == 0 || (f->bytes[0] == 0 && memcmp(f->bytes, f->bytes + 1, f->len - 1) == 0);
}

static void describe(struct verdict *v, const struct segment_file *f)
{
    buf_printf(&v->line, "life %u, %s, %llu commits, %llu bodies, %llu records, %llu chunks, "
               "%llu settles", f->head_sound ? f->head.life : f->foot.life,
               f->index_sound  ? "sealed"
               : f->foot_sound ? "sealed, its index is unsound and no loss"
                               : "not sealed",
               (unsigned long long)f->scan.commit_count,
               (unsigned long long)(v->kinds[ENTRY_BODY] + v->kinds[ENTRY_MANIFEST]),
               (unsigned long long)v->kinds[ENTRY_RECORD],
               (unsigned long long)v->kinds[ENTRY_CHUNK],
               (unsigned long long)(v->kinds[ENTRY_SETTLE] + v->kinds[ENTRY_SETTLED_SET]));
    if (!f->head_sound) {
        buf_printf(&v->line, ", header DAMAGED");
        v->unreadable = true;
    } else if (f->len < f->head.size) {
        buf_printf(&v->line, ", cut short at %llu of %llu bytes: DAMAGED",
                   (unsigned long long)f->len, (unsigned long long)f->head.size);
        v->unreadable = true;
    }
}

static void content_verify(struct verdict *v, struct segment_file *f)
{
    if (!f->head_sound && !f->foot_sound && never_used(f)) {
        buf_printf(&v->line, "never used");
    } else if (!segment_file_scan(f, v, verify_commit, verify_entry)) {
        buf_printf(&v->line, "header and footer DAMAGED");
        v->unreadable = true;
    } else {
        commit_over(v);
        suspect_add(v, v->orphans, 0);
        describe(v, f);
    }
}

static void verify_file(void *ctx, struct segment_file *f)
{
    struct verifier *verifier = ctx;
    struct verdict *v = MEM_NEW(struct verdict);

    v->verifier = verifier;
    v->file = f;
    v->log = segment_file_log(f);
    v->sealed = f->foot_sound;
    *verifier->tail = v;
    verifier->tail = &v->next;
    buf_printf(&v->line, "%s: ", f->path);
    if (f->head_sound) {
        durable_note(verifier, v->log, f->head.durable_seq);
    }
    if (f->foot_sound) {
        durable_note(verifier, v->log, f->foot.durable_seq);
    }
    if (segment_file_in_use(f)) {
        content_verify(v, f);
    } else {
        buf_printf(&v->line, "free, life %u", f->head.life);
    }
}

/* ---- judging ---- */

/* Says it; false on damage. */
static bool verdict_say(const struct verifier *verifier, const struct verdict *v)
{
    uint32_t damaged = 0;

    for (uint32_t i = 0; i < v->suspect_count; i++) {
        uint64_t seq = v->suspects[i];

        damaged += v->sealed || (seq != 0 && had_completed(verifier, v->log, seq));
    }
    printf("%.*s", (int)v->line.len, v->line.ptr);
    if (v->suspect_count > damaged) {
        printf(", %u torn by a crash and promised to nobody", v->suspect_count - damaged);
    }
    if (damaged > 0) {
        printf(", %u DAMAGED", damaged);
    }
    printf("\n");
    return damaged == 0 && !v->unreadable;
}

bool ringspool_verify(char **paths, int count)
{
    struct verifier v = {.tail = &v.first};
    struct verdict *verdict;
    struct buf why = {0};
    bool sound = true;

    table_init(&v.durables, sizeof(struct durable));
    for (int i = 0; i < count; i++) {
        sound &= segment_files_each(paths[i], verify_file, &v, &why);
    }
    while ((verdict = v.first) != NULL) {
        v.first = verdict->next;
        sound &= verdict_say(&v, verdict);
        buf_free(&verdict->line);
        mem_give(verdict->suspects);
        mem_give(verdict);
    }
    fprintf(stderr, "%.*s", (int)why.len, why.len != 0 ? why.ptr : "");
    buf_free(&why);
    table_free(&v.durables);
    return sound;
}
