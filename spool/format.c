#include "spool/format.h"

#include "core/base/check.h"
#include "core/base/hash.h"

#define HEAD_MAGIC 0x313047455353474eull /* NGSSEG01 */
#define FOOT_MAGIC 0x3130544f4f46474eull /* NGFOOT01 */
#define COMMIT_MAGIC 0x31435052u         /* RPC1 */
#define ENTRY_MAGIC 0x31455052u          /* RPE1 */
#define HEAD_SEED 0x52494e47504f5354ull  /* the header cannot be seeded by what it holds */

/* ---- header ---- */

static uint64_t head_sum(const struct segment_head *head)
{
    return hash64(head, offsetof(struct segment_head, sum), HEAD_SEED);
}

void segment_head_write(struct segment_head *head, void *to)
{
    head->magic = HEAD_MAGIC;
    head->version = FORMAT_VERSION;
    head->sum = head_sum(head);
    memset(to, 0, FORMAT_HEADER_SIZE);
    memcpy(to, head, sizeof(*head));
    memcpy((char *)to + FORMAT_BLOCK, head, sizeof(*head));
}

static bool head_sound(const struct segment_head *head)
{
    return head->magic == HEAD_MAGIC && head->sum == head_sum(head) &&
           (head->use == SEGMENT_USE_FREE || head->use == SEGMENT_USE_OPEN) &&
           head->size >= FORMAT_SEGMENT_MIN && head->size <= FORMAT_SEGMENT_MAX &&
           head->size % FORMAT_BLOCK == 0;
}

/* A header write that a crash cut short leaves one new and one old copy. The new one was only
 * written once the old content could go; of one life, "open" came after "free". */
static bool head_newer(const struct segment_head *a, const struct segment_head *b)
{
    return a->life != b->life ? a->life > b->life : a->use > b->use;
}

enum spool_err segment_head_read(const void *from, struct segment_head *out)
{
    struct segment_head copies[2];
    bool sound[2];

    for (unsigned i = 0; i < 2; i++) {
        memcpy(&copies[i], (const char *)from + i * FORMAT_BLOCK, sizeof(copies[i]));
        sound[i] = head_sound(&copies[i]);
    }
    if (!sound[0] && !sound[1]) {
        return SPOOL_E_CORRUPT;
    }
    *out = copies[!sound[0] || (sound[1] && head_newer(&copies[1], &copies[0])) ? 1 : 0];
    return out->version == FORMAT_VERSION ? SPOOL_OK : SPOOL_E_VERSION;
}

/* ---- commits ---- */

static uint64_t place_seed(const struct segment_ident *ident, uint64_t offset)
{
    return ident->nonce + offset * 0x9e3779b97f4a7c15ull;
}

static uint64_t commit_sum(const struct commit_head *head, const struct segment_ident *ident,
                           uint64_t offset)
{
    return hash64(head, offsetof(struct commit_head, sum), place_seed(ident, offset));
}

void commit_head_seal(struct commit_head *head, const struct segment_ident *ident, uint64_t offset)
{
    head->magic = COMMIT_MAGIC;
    head->version = FORMAT_VERSION;
    head->log = ident->log;
    head->segment_id = ident->id;
    head->life = ident->life;
    head->zero = 0;
    head->sum = commit_sum(head, ident, offset);
}

bool commit_head_valid(const struct commit_head *head, const struct segment_ident *ident,
                       uint64_t offset)
{
    return head->magic == COMMIT_MAGIC && head->version == FORMAT_VERSION &&
           head->log == ident->log && head->segment_id == ident->id && head->life == ident->life &&
           head->len >= sizeof(*head) && offset < ident->size &&
           head->len <= ident->size - offset && head->sum == commit_sum(head, ident, offset);
}

/* ---- entries ---- */

static uint64_t entry_sum(const struct entry_head *head, const struct segment_ident *ident,
                          uint64_t offset)
{
    return hash64(head, offsetof(struct entry_head, head_sum), place_seed(ident, offset));
}

static uint64_t payload_sum(const struct entry_head *head, const struct segment_ident *ident)
{
    return hash64(head + 1, head->len, ident->nonce);
}

void entry_seal(struct entry_head *head, const struct segment_ident *ident, uint64_t offset)
{
    MUST_HOT(offset % FORMAT_UNIT == 0);
    head->magic = ENTRY_MAGIC;
    head->payload_sum = payload_sum(head, ident);
    head->head_sum = entry_sum(head, ident, offset);
}

bool entry_head_valid(const struct entry_head *head, const struct segment_ident *ident,
                      uint64_t offset)
{
    return head->magic == ENTRY_MAGIC && head->head_sum == entry_sum(head, ident, offset) &&
           head->kind >= ENTRY_PAD && head->kind < ENTRY_KIND_END &&
           (head->flags & ~ENTRY_FLAGS_ALL) == 0 && head->len <= FORMAT_ENTRY_MAX &&
           offset < ident->size && entry_size(head->len) <= ident->size - offset;
}

bool entry_payload_valid(const struct entry_head *head, const struct segment_ident *ident)
{
    struct record_view view;

    if (head->payload_sum != payload_sum(head, ident)) {
        return false;
    }
    switch (head->kind) {
    case ENTRY_RECORD:
        return record_parse(slice_of(head + 1, head->len), true, &view) && head->stamp != 0 &&
               view.head.body_id != 0;
    case ENTRY_MANIFEST:
        return head->len == sizeof(struct manifest_body) && head->stamp != 0;
    case ENTRY_SETTLED_SET:
        return head->len == (uint64_t)head->count * sizeof(uint64_t);
    case ENTRY_PAD:
        return true;
    default:
        return head->stamp != 0;
    }
}

bool record_parse(struct slice payload, bool with_blob, struct record_view *out)
{
    if (payload.len < sizeof(out->head)) {
        return false;
    }
    memcpy(&out->head, payload.ptr, sizeof(out->head));

    struct slice rest = slice_from(payload, sizeof(out->head));

    if (rest.len < out->head.queue_len) {
        return false;
    }
    out->queue = slice_head(rest, out->head.queue_len);
    rest = slice_from(rest, out->head.queue_len);
    out->blob = with_blob ? rest : slice_of(NULL, 0);
    return with_blob ? rest.len == out->head.blob_len : rest.len < FORMAT_UNIT;
}

void record_meta(const struct record_view *view, struct spool_meta *out)
{
    memcpy(out->id, view->head.id, sizeof(out->id));
    out->queue = view->queue;
    out->due_ms = view->head.due_ms;
    out->created_ms = view->head.created_ms;
    out->size = view->head.size;
    out->attempts = view->head.attempts;
}

/* ---- footer ---- */

static uint64_t foot_sum(const struct segment_foot *foot)
{
    return hash64(foot, offsetof(struct segment_foot, sum), foot->nonce);
}

void segment_foot_write(struct segment_foot *foot, void *block)
{
    foot->magic = FOOT_MAGIC;
    foot->version = FORMAT_VERSION;
    foot->sum = foot_sum(foot);
    memset(block, 0, FORMAT_BLOCK);
    memcpy(block, foot, sizeof(*foot));
}

bool segment_foot_read(const void *block, struct segment_foot *out)
{
    memcpy(out, block, sizeof(*out));
    return out->magic == FOOT_MAGIC && out->version == FORMAT_VERSION &&
           out->sum == foot_sum(out) && out->size >= FORMAT_SEGMENT_MIN &&
           out->size <= FORMAT_SEGMENT_MAX && out->index_offset % FORMAT_BLOCK == 0 &&
           out->index_offset >= FORMAT_HEADER_SIZE &&
           out->index_offset <= out->size - FORMAT_BLOCK &&
           out->index_len <= out->size - FORMAT_BLOCK - out->index_offset;
}

uint64_t index_sum(const void *index, size_t len, uint64_t nonce)
{
    return hash64(index, len, ~nonce);
}
