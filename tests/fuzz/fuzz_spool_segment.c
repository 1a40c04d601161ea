/*
 * fuzz_spool_segment - a damaged segment against the reader that recovery and cleaner share.
 *
 * Strategy
 *   The first byte seeds a sound segment, the second says what is done to it. Each following
 *   group of three bytes damages it: an offset and a mask, or, in the second mode, an entry and a
 *   lie in its head that is then sealed with sound checksums, as no disk but a hostile writer
 *   would. In the third mode the file is cut as well.
 *
 * Invariants
 *   - without lies, an entry that is called sound is, byte for byte, one that was written there;
 *   - an entry never reaches beyond the segment, and what a row is made from parses;
 *   - without lies, every entry of a commit that no damage touched is found, whole: the reader
 *     resynchronises;
 *   - the size of the windows it is read through changes nothing.
 */
#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/row.h"
#include "tests/unit/spool/segment_image.h"

enum mode { MODE_DAMAGE = 0, MODE_LIES, MODE_CUT, MODE_COUNT };

struct reader {
    const struct segment_image *image;
    bool honest;
    uint64_t fingerprint; /* of everything emitted, in order */
    uint8_t *found;       /* by entry of the image */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_commit(void *ctx, const struct commit_head *head, uint64_t offset)
{
    struct reader *r = ctx;

    MUST(offset % FORMAT_BLOCK == 0 && offset + head->len <= IMAGE_SIZE);
    r->fingerprint = r->fingerprint * 31 + offset;
}

static void mark_found(struct reader *r, const struct scan_entry *e)
{
    for (uint32_t i = 0; i < r->image->entry_count; i++) {
        if (r->image->entries[i].offset == e->offset) {
            r->found[i] = e->sound && e->whole;
        }
    }
}

static void on_entry(void *ctx, const struct scan_entry *e)
{
    struct reader *r = ctx;
    struct row row;

    MUST(e->offset % FORMAT_UNIT == 0 && e->offset >= FORMAT_HEADER_SIZE);
    MUST(e->offset + sizeof(e->head) + e->payload.len <= IMAGE_SIZE);
    r->fingerprint = r->fingerprint * 31 + e->offset * 4 + e->sound * 2u + e->whole;
    if (row_from_entry(&e->head, e->offset, e->payload, e->sound, &row)) {
        struct buf index = {0};
        struct row again;
        size_t at = 0;

        row_put(&index, &row);
        MUST(row_next(buf_slice(&index), &at, &again) && at == index.len);
        MUST(again.head.stamp == row.head.stamp && slice_eq(again.extra, row.extra));
        buf_free(&index);
    }
    if (r->honest && e->sound) {
        const char *was = r->image->original + e->offset;

        MUST(memcmp(&e->head, was, sizeof(e->head)) == 0);
        MUST(slice_eq(e->payload, slice_of(was + sizeof(e->head), e->payload.len)));
    }
    mark_found(r, e);
}

static void read_through(struct reader *r, uint64_t window, uint64_t end)
{
    struct scan s;

    scan_begin(&s, &r->image->ident);
    s.end = end;
    s.ctx = r;
    s.on_commit = on_commit;
    s.on_entry = on_entry;
    r->fingerprint = 0;
    while (s.at < end) {
        uint64_t to = s.at + window > s.need ? s.at + window : s.need;

        to = format_up(to, FORMAT_BLOCK);
        to = to < end ? to : end;
        if (scan_window(&s, r->image->bytes + s.at, s.at, to - s.at)) {
            break;
        }
    }
}

static void lie(struct segment_image *image, const uint8_t bytes[3])
{
    uint32_t at = (bytes[0] | (uint32_t)(bytes[1] & 3) << 8) % image->entry_count;
    struct entry_head *head = (struct entry_head *)(image->bytes + image->entries[at].offset);

    switch (bytes[1] >> 2 & 7) {
    case 0:
        head->len = bytes[2] * 16u;
        break;
    case 1:
        head->count = bytes[2] == 255 ? UINT32_MAX : bytes[2];
        break;
    case 2:
        head->kind = bytes[2];
        break;
    case 3:
        head->flags = bytes[2];
        break;
    case 4:
        head->stamp = bytes[2];
        break;
    case 5: /* the record's queue length */
        ((uint8_t *)(head + 1))[46] = bytes[2];
        break;
    default:
        head->len += bytes[2];
        break;
    }
    segment_image_reseal(image, at);
}

static void damage(struct segment_image *image, enum mode mode, const uint8_t *data, size_t size)
{
    for (; size >= 3; data += 3, size -= 3) {
        if (mode == MODE_LIES) {
            lie(image, data);
        } else {
            segment_image_damage(image, (data[0] | (uint64_t)data[1] << 8) % image->end, data[2]);
        }
    }
}

static void check_resynchronised(const struct segment_image *image, const struct reader *r,
                                 uint64_t end)
{
    for (uint32_t i = 0; i < image->entry_count; i++) {
        const struct image_commit *c = &image->commits[image->entries[i].commit];

        MUST(c->touched || c->offset + c->len > end || r->found[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct segment_image image;
    struct reader r = {.image = &image};
    uint64_t end = IMAGE_SIZE;
    uint64_t fingerprint;
    enum mode mode;

    if (size < 4) {
        return 0;
    }
    segment_image_build(&image, data[0]);
    mode = (enum mode)(data[1] % MODE_COUNT);
    if (mode == MODE_CUT) {
        end = FORMAT_HEADER_SIZE + (data[2] | (uint64_t)data[3] << 8) % IMAGE_SIZE;
        end = end < IMAGE_SIZE ? end : IMAGE_SIZE;
    }
    damage(&image, mode, data + 4, size - 4);
    r.honest = mode != MODE_LIES;
    r.found = mem_take_zero(image.entry_count);
    read_through(&r, FORMAT_BLOCK, end);
    fingerprint = r.fingerprint;
    read_through(&r, IMAGE_SIZE, end);
    MUST(r.fingerprint == fingerprint);
    if (r.honest) {
        check_resynchronised(&image, &r, end);
    }
    mem_give(r.found);
    segment_image_free(&image);
    return 0;
}
