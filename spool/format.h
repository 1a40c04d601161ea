/*
 * format - the bytes of a segment: heads, checksums and the one judgement of validity that
 * writer, recovery, cleaner, readers and tools share. docs/formats/segment.md explains it.
 *
 * All integers are little-endian. A segment is
 *
 *   header (2 blocks, a copy in each) | commit | commit | ... | index | footer (last block)
 *
 * A commit starts at a block and is a head followed by entries, each aligned to 16 bytes. All
 * checksums behind the header are seeded with the header's nonce, drawn anew for every life
 * (incarnation) of the segment, and with the place: stale, moved or forged bytes are never valid.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/slice.h"
#include "spool/spool.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little-endian");

#define FORMAT_VERSION 1u
#define FORMAT_BLOCK 4096u
#define FORMAT_UNIT 16u
#define FORMAT_HEADER_SIZE (2 * FORMAT_BLOCK)
#define FORMAT_SEGMENT_MIN (64u * 1024u)
#define FORMAT_SEGMENT_MAX (1ull << 31)
#define FORMAT_QUEUE_MAX 4096u
/* The longest entry: a record with its longest blob and queue name. */
#define FORMAT_ENTRY_MAX (SPOOL_RECORD_MAX + FORMAT_QUEUE_MAX + 4096u)

enum segment_use { SEGMENT_USE_FREE = 1, SEGMENT_USE_OPEN = 2 };

struct segment_head {
    uint64_t magic;
    uint32_t version;
    uint32_t use; /* enum segment_use */
    uint32_t log;
    uint32_t id;
    uint32_t life; /* counts up; everything of a lower life is dead */
    uint32_t boot; /* of the process that wrote it: ids begin with it */
    uint64_t nonce;
    uint64_t size;
    uint64_t written_ms;  /* wall clock, for people */
    uint64_t logged_mark; /* as in commit_head */
    uint64_t durable_seq; /* as in commit_head */
    uint64_t sum;
};
_Static_assert(sizeof(struct segment_head) == 80, "on disk");
_Static_assert(sizeof(struct segment_head) <= 512, "a header copy is one sector: never torn");

struct commit_head {
    uint32_t magic;
    uint32_t version;
    uint32_t log;
    uint32_t segment_id;
    uint32_t life;
    uint32_t len; /* head and entries; the rest of the last block is zero */
    uint64_t seq; /* of the log; never repeats, grows over restarts */
    /* Every commit up to this one had completed when this one was written: damage there is
     * damage, while damage after the highest such number may be the tear of a crash. */
    uint64_t durable_seq;
    uint64_t logged_mark; /* log records of all settles up to here are durable */
    uint64_t zero;
    uint64_t sum;
};
_Static_assert(sizeof(struct commit_head) == 64, "on disk");

enum entry_kind {
    ENTRY_PAD = 1,     /* nothing: what was here was withdrawn before it was written */
    ENTRY_BODY,        /* stamp = body id, version = the caller's flags, count = records behind */
    ENTRY_CHUNK,       /* stamp = body id, count = index of the chunk */
    ENTRY_MANIFEST,    /* stamp = body id, version = the caller's flags, count = chunks */
    ENTRY_RECORD,      /* stamp = record id, version = snapshot; struct record_head, queue, blob */
    ENTRY_SETTLE,      /* stamp = record id, version = settle sequence; payload = outcome */
    ENTRY_SETTLED_SET, /* payload = count record ids, settled and logged */
    ENTRY_KIND_END
};

#define ENTRY_TXN (1u << 0)     /* one of a BODY and its records: all or none of them */
#define ENTRY_PENDING (1u << 1) /* real only if its body's manifest is there */
#define ENTRY_BLOB (1u << 2)    /* the record carries its blob */
#define ENTRY_VOID (1u << 3)    /* withdrawn: there is no outcome to log */
#define ENTRY_FLAGS_ALL 0x0fu

struct entry_head {
    uint32_t magic;
    uint8_t kind;
    uint8_t flags;
    uint16_t zero;
    uint32_t len; /* of the payload behind this head */
    uint32_t count;
    uint64_t stamp;
    uint64_t version;
    uint64_t payload_sum;
    uint64_t head_sum; /* over the above */
};
_Static_assert(sizeof(struct entry_head) == 48, "on disk");
_Static_assert(sizeof(struct entry_head) % FORMAT_UNIT == 0, "payloads are aligned too");

struct record_head {
    uint64_t body_id;
    uint8_t id[16];
    uint64_t due_ms;
    uint64_t created_ms;
    uint32_t size;
    uint16_t attempts;
    uint16_t queue_len;
    uint32_t blob_len;
    uint32_t zero;
};
_Static_assert(sizeof(struct record_head) == 56, "on disk");

struct manifest_body {
    uint64_t body_len;
    uint32_t record_count;
    uint32_t zero;
};
_Static_assert(sizeof(struct manifest_body) == 16, "on disk");

struct segment_foot {
    uint64_t magic;
    uint32_t version;
    uint32_t log;
    uint32_t id;
    uint32_t life;
    uint64_t nonce;
    uint64_t size;
    uint64_t index_offset;
    uint64_t index_len;
    uint64_t index_sum;
    uint64_t durable_seq;
    uint64_t logged_mark;
    uint64_t first_id, last_id;           /* record ids first written here; 0, 0 = none */
    uint64_t settled_first, settled_last; /* record ids settled here; 0, 0 = none */
    uint64_t settle_seq_last;
    uint64_t sum;
};
_Static_assert(sizeof(struct segment_foot) == 128, "on disk");

/* What a reader must know of a segment to judge its bytes. */
struct segment_ident {
    uint32_t log;
    uint32_t id;
    uint32_t life;
    uint64_t nonce;
    uint64_t size;
};

static inline uint64_t format_up(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

/* Head and payload, as they take room. */
static inline uint64_t entry_size(uint64_t payload_len)
{
    return format_up(sizeof(struct entry_head) + payload_len, FORMAT_UNIT);
}

/* ---- the header: two copies, judged together ---- */

/* Fills magic, version and sum, and both blocks of `to` (FORMAT_HEADER_SIZE bytes). */
void segment_head_write(struct segment_head *head, void *to);
/* The living one of the two copies. SPOOL_E_CORRUPT when neither is sound, SPOOL_E_VERSION when
 * a sound one is of another format (*out holds it). */
NODISCARD enum spool_err segment_head_read(const void *from, struct segment_head *out);

/* ---- commits and entries; `offset` is from the start of the segment ---- */

void commit_head_seal(struct commit_head *head, const struct segment_ident *ident, uint64_t offset);
NODISCARD bool commit_head_valid(const struct commit_head *head, const struct segment_ident *ident,
                                 uint64_t offset);
void entry_seal(struct entry_head *head, const struct segment_ident *ident, uint64_t offset);
/* The head alone, including that the payload ends inside the segment. */
NODISCARD bool entry_head_valid(const struct entry_head *head, const struct segment_ident *ident,
                                uint64_t offset);
/* Checksum and shape of the payload behind a valid head. */
NODISCARD bool entry_payload_valid(const struct entry_head *head,
                                   const struct segment_ident *ident);

struct record_view {
    struct record_head head;
    struct slice queue;
    struct slice blob;
};
/* `payload` of an ENTRY_RECORD; with_blob false when it ends behind the queue name. */
NODISCARD bool record_parse(struct slice payload, bool with_blob, struct record_view *out);
void record_meta(const struct record_view *view, struct spool_meta *out);

/* ---- the footer ---- */

void segment_foot_write(struct segment_foot *foot, void *block);
NODISCARD bool segment_foot_read(const void *block, struct segment_foot *out);
PURE uint64_t index_sum(const void *index, size_t len, uint64_t nonce);
