#include "core/message/body.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "core/base/mem.h"
#include "proto/header.h"
#include "spool/spool.h"

struct body *body_new_flags(struct buf *bytes, uint32_t flags)
{
    struct body *b = mem_take(sizeof(*b));

    MUST(bytes->len <= SPOOL_BODY_MAX);
    atomic_init(&b->refs, 1);
    b->flags = flags;
    b->bytes = *bytes;
    b->header_size = (uint32_t)header_block_size(buf_slice(bytes));
    *bytes = (struct buf){0};
    return b;
}

struct body *body_new(struct buf *bytes)
{
    return body_new_flags(bytes, body_scan_flags(buf_slice(bytes)));
}

struct body *body_get(struct body *b)
{
    uint32_t before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);

    MUST(before != 0 && before != UINT32_MAX);
    return b;
}

void body_put(struct body **bp)
{
    struct body *b = *bp;

    *bp = NULL;
    if (b != NULL && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1) {
        buf_free(&b->bytes);
        mem_give(b);
    }
}

/* What the scan carries from one byte to the next. */
struct scan {
    uint32_t flags;
    bool after_cr;
    bool after_line; /* after a CR, an LF, or at the start */
};

static void scan_bytes(struct scan *s, const char *ptr, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool cr = ptr[i] == '\r', lf = ptr[i] == '\n';

        if (s->after_cr != lf) {
            s->flags |= BODY_NOT_CANONICAL;
        }
        if (ptr[i] == '.' && s->after_line) {
            s->flags |= BODY_NEEDS_STUFFING;
        }
        if ((unsigned char)ptr[i] >= 0x80) {
            s->flags |= BODY_HAS_8BIT;
        }
        s->after_cr = cr;
        s->after_line = cr || lf;
    }
}

#if defined(__SSE2__)
/* Sixteen bytes at a time, each beside the byte before it: every body is scanned once, and byte
 * by byte costs as much as all the rest of its reception. `ptr` has a byte before it. Answers the
 * bytes done. */
static size_t scan_blocks(struct scan *s, const char *ptr, size_t len)
{
    const __m128i cr = _mm_set1_epi8('\r'), lf = _mm_set1_epi8('\n'), dot = _mm_set1_epi8('.');
    __m128i high = _mm_setzero_si128(), lone = high, stuffing = high;
    size_t at = 0;

    for (; at + 16 <= len; at += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(ptr + at));
        __m128i before = _mm_loadu_si128((const __m128i *)(const void *)(ptr + at - 1));
        __m128i after_cr = _mm_cmpeq_epi8(before, cr);
        __m128i after_line = _mm_or_si128(after_cr, _mm_cmpeq_epi8(before, lf));

        high = _mm_or_si128(high, v);
        lone = _mm_or_si128(lone, _mm_xor_si128(after_cr, _mm_cmpeq_epi8(v, lf)));
        stuffing = _mm_or_si128(stuffing, _mm_and_si128(after_line, _mm_cmpeq_epi8(v, dot)));
    }
    s->flags |= (_mm_movemask_epi8(high) ? BODY_HAS_8BIT : 0) |
                (_mm_movemask_epi8(lone) ? BODY_NOT_CANONICAL : 0) |
                (_mm_movemask_epi8(stuffing) ? BODY_NEEDS_STUFFING : 0);
    if (at != 0) {
        s->after_cr = ptr[at - 1] == '\r';
        s->after_line = s->after_cr || ptr[at - 1] == '\n';
    }
    return at;
}
#else
static size_t scan_blocks(struct scan *s, const char *ptr, size_t len)
{
    return 0;
}
#endif

uint32_t body_scan_flags(struct slice bytes)
{
    struct scan s = {.after_line = true};
    size_t done = 1;

    if (bytes.len == 0) {
        return BODY_NO_FINAL_CRLF;
    }
    scan_bytes(&s, bytes.ptr, done);
    done += scan_blocks(&s, bytes.ptr + done, bytes.len - done);
    scan_bytes(&s, bytes.ptr + done, bytes.len - done);
    if (s.after_cr) {
        s.flags |= BODY_NOT_CANONICAL;
    }
    if (!slice_ends(bytes, SLICE("\r\n"))) {
        s.flags |= BODY_NO_FINAL_CRLF;
    }
    return s.flags;
}
