#include "tests/unit/spool/segment_image.h"

#include "core/base/mem.h"
#include "tests/support/fake_disk.h"

static uint32_t pick(uint64_t *seed, uint32_t n)
{
    return (uint32_t)(fake_random(seed) % n);
}

static uint64_t entry_put(struct segment_image *image, uint64_t at, struct entry_head head,
                          const void *payload, uint64_t *seed)
{
    char *to = image->bytes + at;

    (void)seed;
    memcpy(to, &head, sizeof(head));
    if (head.len != 0) {
        memcpy(to + sizeof(head), payload, head.len);
    }
    entry_seal((struct entry_head *)to, &image->ident, at);
    image->entries[image->entry_count++] =
        (struct image_entry){.offset = at,
                             .size = (uint32_t)entry_size(head.len),
                             .commit = image->commit_count,
                             .settle_like = (head.flags & ENTRY_TXN) == 0};
    return at + entry_size(head.len);
}

static uint64_t record_put(struct segment_image *image, uint64_t at, uint64_t id, uint64_t body_id,
                           uint64_t *seed)
{
    char payload[sizeof(struct record_head) + 300];
    struct record_head record = {.body_id = body_id,
                                 .queue_len = (uint16_t)(1 + pick(seed, 40)),
                                 .blob_len = pick(seed, 200)};
    uint32_t len = (uint32_t)sizeof(record) + record.queue_len + record.blob_len;

    memset(payload, 'r', sizeof(payload));
    memcpy(payload, &record, sizeof(record));
    return entry_put(image, at,
                     (struct entry_head){.kind = ENTRY_RECORD,
                                         .flags = ENTRY_TXN | ENTRY_BLOB,
                                         .len = len,
                                         .stamp = id,
                                         .version = id},
                     payload, seed);
}

static uint64_t txn_put(struct segment_image *image, uint64_t at, uint64_t id, uint64_t *seed)
{
    char body[3000];
    uint32_t len = pick(seed, sizeof(body));
    uint32_t count = 1 + pick(seed, 3);

    memset(body, (char)id, sizeof(body));
    at = entry_put(
        image, at,
        (struct entry_head){
            .kind = ENTRY_BODY, .flags = ENTRY_TXN, .len = len, .count = count, .stamp = id},
        body, seed);
    for (uint32_t i = 0; i < count; i++) {
        at = record_put(image, at, id + i, id, seed);
    }
    return at;
}

static uint64_t other_put(struct segment_image *image, uint64_t at, uint64_t id, uint64_t *seed)
{
    uint64_t ids[16] = {0};
    uint32_t count = 1 + pick(seed, 16);

    switch (pick(seed, 3)) {
    case 0:
        memset(ids, 7, sizeof(ids));
        return entry_put(
            image, at,
            (struct entry_head){.kind = ENTRY_SETTLED_SET, .len = count * 8, .count = count}, ids,
            seed);
    case 1:
        return entry_put(image, at,
                         (struct entry_head){.kind = ENTRY_CHUNK,
                                             .flags = ENTRY_PENDING,
                                             .len = sizeof(ids),
                                             .count = count,
                                             .stamp = id},
                         ids, seed);
    default:
        return entry_put(
            image, at,
            (struct entry_head){.kind = ENTRY_SETTLE, .len = count, .stamp = id, .version = id},
            ids, seed);
    }
}

/* One commit at `at`; answers the block behind it. */
static uint64_t commit_put(struct segment_image *image, uint64_t at, uint64_t *id, uint64_t *seed)
{
    struct commit_head *head = (struct commit_head *)(image->bytes + at);
    uint64_t to = at + sizeof(*head);

    for (uint32_t left = 1 + pick(seed, 4); left > 0; left--, *id += 4) {
        to = pick(seed, 2) ? txn_put(image, to, *id, seed) : other_put(image, to, *id, seed);
    }
    *head = (struct commit_head){.len = (uint32_t)(to - at), .seq = *id, .durable_seq = 1};
    commit_head_seal(head, &image->ident, at);
    image->commits[image->commit_count++] =
        (struct image_commit){.offset = at, .len = (uint32_t)(to - at)};
    return format_up(to, FORMAT_BLOCK);
}

static void life_fill(struct segment_image *image, uint64_t *seed)
{
    uint64_t at = FORMAT_HEADER_SIZE;
    uint64_t id = 1;

    image->entry_count = image->commit_count = 0;
    while (at + 32 * 1024 < IMAGE_SIZE && image->commit_count < IMAGE_COMMITS_MAX &&
           image->entry_count + 32 < IMAGE_ENTRIES_MAX) {
        at = commit_put(image, at, &id, seed);
        if (pick(seed, 5) == 0) {
            at += FORMAT_BLOCK; /* a commit that a crash took */
        }
    }
    image->end = at;
}

void segment_image_build(struct segment_image *image, uint64_t seed)
{
    *image = (struct segment_image){
        .ident = {.log = 3, .id = 7, .life = 1, .nonce = fake_random(&seed), .size = IMAGE_SIZE}};
    image->bytes = mem_take_aligned(FORMAT_BLOCK, IMAGE_SIZE);
    image->original = mem_take_aligned(FORMAT_BLOCK, IMAGE_SIZE);
    life_fill(image, &seed); /* what is left of it shows through the holes of the next */
    image->ident.life = 2;
    image->ident.nonce = fake_random(&seed);
    life_fill(image, &seed);
    memcpy(image->original, image->bytes, IMAGE_SIZE);
}

void segment_image_free(struct segment_image *image)
{
    MEM_FREE(&image->bytes);
    MEM_FREE(&image->original);
}

void segment_image_damage(struct segment_image *image, uint64_t offset, uint8_t mask)
{
    if (mask == 0) {
        return;
    }
    image->bytes[offset] = (char)(image->bytes[offset] ^ (char)mask);
    for (uint32_t i = 0; i < image->commit_count; i++) {
        struct image_commit *c = &image->commits[i];

        c->touched |= offset >= c->offset && offset < c->offset + c->len;
    }
}

void segment_image_reseal(struct segment_image *image, uint32_t entry)
{
    uint64_t offset = image->entries[entry].offset;
    struct entry_head *head = (struct entry_head *)(image->bytes + offset);

    if (head->len <= IMAGE_SIZE - offset - sizeof(*head)) {
        entry_seal(head, &image->ident, offset);
    }
}
