#include "spool/scan.h"

#include "core/base/check.h"

/* A transaction of one commit is never longer than this: what has to be at hand to judge one
 * that is found outside a sound commit. */
#define SCAN_TXN_REACH (2u * SPOOL_ATOMIC_MAX)

struct window {
    const char *bytes;
    uint64_t from, to; /* offsets in the segment */
};

static const void *window_at(const struct window *w, uint64_t offset)
{
    return w->bytes + (offset - w->from);
}

void scan_begin(struct scan *s, const struct segment_ident *ident)
{
    s->ident = *ident;
    s->at = s->cursor = FORMAT_HEADER_SIZE;
    s->end = ident->size;
    s->need = s->at + FORMAT_BLOCK;
    s->commit_count = 0;
    s->entry_count = 0;
    s->unsound_count = 0;
    s->orphan_count = 0;
    s->gap_count = 0;
}

/* Copies a valid head out; false when there is none at `offset` before `to`. */
static bool head_at(const struct scan *s, const struct window *w, uint64_t offset, uint64_t to,
                    struct entry_head *out)
{
    if (offset + sizeof(*out) > to) {
        return false;
    }
    memcpy(out, window_at(w, offset), sizeof(*out));
    return entry_head_valid(out, &s->ident, offset);
}

/* The entry at `offset` is complete before `to` and its payload is sound. */
static bool entry_sound(const struct scan *s, const struct window *w, uint64_t offset, uint64_t to,
                        const struct entry_head *head)
{
    return offset + entry_size(head->len) <= to &&
           entry_payload_valid(window_at(w, offset), &s->ident);
}

/* Whether the BODY at `offset` and the records it announces are all there. */
static bool txn_whole(const struct scan *s, const struct window *w, uint64_t offset, uint64_t to,
                      struct entry_head head)
{
    uint64_t at = offset;
    const uint64_t body_id = head.stamp;

    if (!entry_sound(s, w, at, to, &head)) {
        return false;
    }
    for (uint32_t left = head.count; left > 0; left--) {
        struct record_head record;

        at += entry_size(head.len);
        if (!head_at(s, w, at, to, &head) || head.kind != ENTRY_RECORD ||
            (head.flags & ENTRY_TXN) == 0 || !entry_sound(s, w, at, to, &head)) {
            return false;
        }
        memcpy(&record, (const char *)window_at(w, at) + sizeof(head), sizeof(record));
        if (record.body_id != body_id) {
            return false;
        }
    }
    return true;
}

static void entry_emit(struct scan *s, const struct window *w, uint64_t offset, uint64_t seq,
                       bool sound, bool whole)
{
    struct scan_entry e = {.offset = offset, .seq = seq, .sound = sound, .whole = whole};

    memcpy(&e.head, window_at(w, offset), sizeof(e.head));
    e.payload = slice_of((const char *)window_at(w, offset) + sizeof(e.head), e.head.len);
    s->entry_count++;
    s->unsound_count += !sound;
    s->orphan_count += seq == 0;
    s->on_entry(s->ctx, &e);
}

/* Emits every entry in [from, to); seq 0: they stand outside any sound commit. */
static void entries_walk(struct scan *s, const struct window *w, uint64_t from, uint64_t to,
                         uint64_t seq)
{
    uint64_t at = from;
    uint64_t sound_to = from;
    uint32_t txn_left = 0;
    bool txn_sound = false;

    while (at + sizeof(struct entry_head) <= to) {
        struct entry_head head;

        if (!head_at(s, w, at, to, &head)) {
            at += FORMAT_UNIT;
            txn_left = 0;
            continue;
        }
        if (head.kind == ENTRY_BODY && (head.flags & ENTRY_TXN) != 0) {
            txn_left = head.count + 1;
            txn_sound = txn_whole(s, w, at, to, head);
        } else if (head.kind != ENTRY_RECORD || (head.flags & ENTRY_TXN) == 0) {
            txn_left = 0;
        }
        if (at + entry_size(head.len) > to) { /* cut by the commit's end: a lie or a tear */
            at += FORMAT_UNIT;
            txn_left = 0;
            continue;
        }
        entry_emit(s, w, at, seq, entry_sound(s, w, at, to, &head),
                   (head.flags & ENTRY_TXN) == 0 || (txn_left > 0 && txn_sound));
        s->gap_count += seq != 0 && at > sound_to;
        txn_left -= txn_left > 0;
        at += entry_size(head.len);
        sound_to = at;
    }
    s->gap_count += seq != 0 && sound_to < to;
}

/* Asks for a window that begins at the block of `at` and reaches `need`. */
static bool scan_more(struct scan *s, uint64_t at, uint64_t need)
{
    s->cursor = at;
    s->at = at / FORMAT_BLOCK * FORMAT_BLOCK;
    s->need = need < s->end ? need : s->end;
    return false;
}

/* How far the orphan at `at` and what belongs to it may reach. */
static uint64_t orphan_reach(const struct entry_head *head, uint64_t at)
{
    uint64_t own = at + entry_size(head->len);
    bool txn = head->kind == ENTRY_BODY && (head->flags & ENTRY_TXN) != 0;

    return txn && at + SCAN_TXN_REACH > own ? at + SCAN_TXN_REACH : own;
}

/* The end of the orphan, with the rest of its transaction when it begins a whole one. */
static uint64_t orphan_end(const struct scan *s, const struct window *w, uint64_t at,
                           struct entry_head head)
{
    uint64_t end = at + entry_size(head.len);

    if (head.kind == ENTRY_BODY && (head.flags & ENTRY_TXN) != 0 &&
        txn_whole(s, w, at, w->to, head)) {
        for (uint32_t left = head.count; left > 0; left--) {
            memcpy(&head, window_at(w, end), sizeof(head));
            end += entry_size(head.len);
        }
    }
    return end;
}

/* A sound commit at `at`: its entries, and *at moves to the block behind it. False when it reaches
 * beyond the window: *need says how far. */
static bool commit_take(struct scan *s, const struct window *w, const struct commit_head *commit,
                        uint64_t *at, uint64_t *need)
{
    uint64_t end = *at + commit->len;

    if (end > w->to && w->to < s->end) {
        *need = end;
        return false;
    }
    end = end < w->to ? end : w->to;
    s->commit_count++;
    s->on_commit(s->ctx, commit, *at);
    entries_walk(s, w, *at + sizeof(*commit), end, commit->seq);
    *at = format_up(end, FORMAT_BLOCK);
    return true;
}

/* No sound commit begins at `at`: perhaps an entry does. Answers as commit_take(). */
static bool orphan_take(struct scan *s, const struct window *w, uint64_t *at, uint64_t *need)
{
    struct entry_head entry;
    uint64_t end;

    if (*at + sizeof(entry) > w->to && w->to < s->end) {
        *need = *at + FORMAT_BLOCK;
        return false;
    }
    if (!head_at(s, w, *at, w->to, &entry)) {
        *at += FORMAT_UNIT;
        return true;
    }
    if (orphan_reach(&entry, *at) > w->to && w->to < s->end) {
        *need = orphan_reach(&entry, *at);
        return false;
    }
    end = orphan_end(s, w, *at, entry);
    if (end > w->to) { /* cut by the end of the file */
        *at += FORMAT_UNIT;
        return true;
    }
    entries_walk(s, w, *at, end, 0);
    *at = end;
    return true;
}

bool scan_window(struct scan *s, const void *bytes, uint64_t offset, uint64_t len)
{
    const struct window w = {bytes, offset, offset + len < s->end ? offset + len : s->end};
    uint64_t at = s->cursor;
    uint64_t need = 0;

    MUST(offset <= at && offset % FORMAT_BLOCK == 0);
    MUST(w.to == s->end || w.to >= s->need);
    while (at < w.to) {
        struct commit_head commit;
        bool sound = false;

        if (at % FORMAT_BLOCK == 0 && at + sizeof(commit) <= w.to) {
            memcpy(&commit, window_at(&w, at), sizeof(commit));
            sound = commit_head_valid(&commit, &s->ident, at);
        }
        if (!(sound ? commit_take(s, &w, &commit, &at, &need) : orphan_take(s, &w, &at, &need))) {
            return scan_more(s, at, need);
        }
    }
    if (w.to < s->end) {
        return scan_more(s, at, at + FORMAT_BLOCK);
    }
    s->at = s->cursor = s->end;
    return true;
}
