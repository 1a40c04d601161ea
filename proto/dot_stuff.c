#include "proto/dot_stuff.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* ---- scanning ---- */

/* Both neighbours of a position matter: a dot after CR or LF begins a line, an LF must follow a
 * CR and a CR must be followed by an LF. A block is therefore four 64-bit masks, compared with
 * themselves shifted by one; one bit is carried from block to block. */
struct masks {
    uint64_t cr, lf, dot;
    uint64_t high; /* not 0: some byte is >= 0x80 */
};

#define BLOCK 64u

#ifdef __SSE2__
static inline uint64_t join(__m128i a, __m128i b, __m128i c, __m128i d)
{
    uint64_t low = (uint32_t)_mm_movemask_epi8(a) | (uint32_t)_mm_movemask_epi8(b) << 16;
    uint64_t high = (uint32_t)_mm_movemask_epi8(c) | (uint32_t)_mm_movemask_epi8(d) << 16;

    return low | high << 32;
}

static inline struct masks block_masks(const char *p)
{
    const __m128i *from = (const __m128i *)(const void *)p;
    const __m128i cr = _mm_set1_epi8('\r'), lf = _mm_set1_epi8('\n'), dot = _mm_set1_epi8('.');
    __m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1);
    __m128i c = _mm_loadu_si128(from + 2), d = _mm_loadu_si128(from + 3);

    return (struct masks){
        .cr = join(_mm_cmpeq_epi8(a, cr), _mm_cmpeq_epi8(b, cr), _mm_cmpeq_epi8(c, cr),
                   _mm_cmpeq_epi8(d, cr)),
        .lf = join(_mm_cmpeq_epi8(a, lf), _mm_cmpeq_epi8(b, lf), _mm_cmpeq_epi8(c, lf),
                   _mm_cmpeq_epi8(d, lf)),
        .dot = join(_mm_cmpeq_epi8(a, dot), _mm_cmpeq_epi8(b, dot), _mm_cmpeq_epi8(c, dot),
                    _mm_cmpeq_epi8(d, dot)),
        .high = (uint64_t)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d))),
    };
}
#else
static struct masks block_masks(const char *p)
{
    struct masks m = {0};

    for (unsigned i = 0; i < BLOCK; i++) {
        m.cr |= (uint64_t)(p[i] == '\r') << i;
        m.lf |= (uint64_t)(p[i] == '\n') << i;
        m.dot |= (uint64_t)(p[i] == '.') << i;
        m.high |= (uint64_t)((p[i] & 0x80) != 0);
    }
    return m;
}
#endif

void dot_scan_more(struct dot_scan *scan, struct slice piece)
{
    uint64_t after_cr = scan->any && scan->last == '\r';
    uint64_t at_start = !scan->any || scan->last == '\r' || scan->last == '\n';
    uint64_t stuffing = 0, stray = 0, high = 0;
    char tail[BLOCK];
    size_t at = 0;

    if (piece.len == 0) {
        return;
    }
    while (at < piece.len) {
        size_t len = piece.len - at;
        struct masks m;

        uint64_t valid = UINT64_MAX;

        if (len >= BLOCK) {
            m = block_masks(piece.ptr + at);
        } else {
            memset(tail, 0, sizeof(tail));
            memcpy(tail, piece.ptr + at, len);
            m = block_masks(tail);
            valid = (UINT64_C(1) << len) - 1; /* what follows a last CR is not known yet */
        }
        stray |= ((m.cr << 1 | after_cr) ^ m.lf) & valid;
        stuffing |= m.dot & ((m.cr | m.lf) << 1 | at_start);
        high |= m.high;
        after_cr = m.cr >> 63;
        at_start = (m.cr | m.lf) >> 63;
        at += BLOCK;
    }
    scan->flags |= (stuffing != 0 ? DOT_NEEDS_STUFFING : 0) | (high != 0 ? DOT_HAS_8BIT : 0) |
                   (stray != 0 ? DOT_NOT_CANONICAL : 0);
    scan->is_crlf = piece.ptr[piece.len - 1] == '\n' &&
                    (piece.len > 1 ? piece.ptr[piece.len - 2] == '\r'
                                   : scan->any && scan->last == '\r');
    scan->last = piece.ptr[piece.len - 1];
    scan->any = true;
}

uint32_t dot_scan_flags(const struct dot_scan *scan)
{
    uint32_t flags = scan->flags;

    if (scan->any && scan->last == '\r') {
        flags |= DOT_NOT_CANONICAL;
    }
    if (scan->any && !scan->is_crlf) {
        flags |= DOT_NO_FINAL_CRLF;
    }
    return flags;
}

/* ---- copying ---- */

struct copier {
    struct buf *out;
    bool at_start;
    bool after_cr; /* a CR was made CRLF; an LF that follows belongs to it */
};

/* Length of the run before the first CR or LF. No memchr for each of the two: a text with many of
 * one and none of the other would be searched to its end every time. */
static size_t plain_len(struct slice s)
{
    size_t n = 0;

    while (n < s.len && s.ptr[n] != '\r' && s.ptr[n] != '\n') {
        n++;
    }
    return n;
}

static void copy(struct copier *to, struct slice s)
{
    if (s.len != 0 && to->after_cr) {
        to->after_cr = false;
        if (s.ptr[0] == '\n') {
            s = slice_from(s, 1);
        }
    }
    while (s.len != 0) {
        size_t n = plain_len(s);

        if (n != 0) {
            if (to->at_start && s.ptr[0] == '.') {
                buf_char(to->out, '.');
            }
            buf_append(to->out, s.ptr, n);
            to->at_start = false;
            s = slice_from(s, n);
        }
        if (s.len == 0) {
            break;
        }
        BUF_LIT(to->out, "\r\n");
        to->at_start = true;
        if (s.ptr[0] == '\r') {
            to->after_cr = s.len == 1;
            s = slice_from(s, s.len > 1 && s.ptr[1] == '\n' ? 2 : 1);
        } else {
            s = slice_from(s, 1);
        }
    }
}

void dot_stuff_put(struct buf *out, struct slice head, struct slice body)
{
    struct copier to = {.out = out, .at_start = true};

    buf_reserve(out, head.len + body.len + (head.len + body.len) / 64 + 2);
    copy(&to, head);
    copy(&to, body);
    if (!to.at_start) {
        BUF_LIT(out, "\r\n");
    }
}
