/*
 * smtp_scan - where the bytes that matter stand in the next 64 bytes of a message.
 *
 * smtp_scan(): bit i of a mask speaks of byte i.
 * smtp_scan_clean(): true when the block holds plain lines, as nearly every block does: each LF
 * comes after a CR, each CR (the byte before the block included, the last one not) before an LF,
 * no LF before a dot, no NUL, nothing above 0x7f. *lf_out tells whether a line ends in it.
 *
 * x86-64 compares 16 bytes at a time; elsewhere (and with
 * SMTP_SCAN_SCALAR, for tests) a plain loop gives the same answer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#if defined(__SSE2__) && !defined(SMTP_SCAN_SCALAR)
#include <emmintrin.h>
#endif

#define SMTP_SCAN_SIZE 64u

struct smtp_scan {
    uint64_t cr;
    uint64_t lf;
    uint64_t dot;
    uint64_t nul;
    uint64_t high; /* >= 0x80 */
};

#if defined(__SSE2__) && !defined(SMTP_SCAN_SCALAR)

#define SMTP_SCAN_INLINE static inline __attribute__((always_inline))

struct smtp_scan_block {
    __m128i a, b, c, d;
};

SMTP_SCAN_INLINE uint64_t smtp_scan_bits(__m128i a, __m128i b, __m128i c, __m128i d)
{
    uint64_t low = (uint32_t)_mm_movemask_epi8(a) | (uint32_t)_mm_movemask_epi8(b) << 16;
    uint64_t high = (uint32_t)_mm_movemask_epi8(c) | (uint32_t)_mm_movemask_epi8(d) << 16;

    return low | high << 32;
}

SMTP_SCAN_INLINE uint64_t smtp_scan_eq(struct smtp_scan_block v, char c)
{
    __m128i want = _mm_set1_epi8(c);

    return smtp_scan_bits(_mm_cmpeq_epi8(v.a, want), _mm_cmpeq_epi8(v.b, want),
                          _mm_cmpeq_epi8(v.c, want), _mm_cmpeq_epi8(v.d, want));
}

SMTP_SCAN_INLINE __m128i smtp_scan_load(const char *bytes)
{
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

/* NUL and 8-bit are rare: their masks are made when a cheaper test says that they are needed. */
SMTP_SCAN_INLINE struct smtp_scan smtp_scan(const char *bytes)
{
    struct smtp_scan_block v = {smtp_scan_load(bytes), smtp_scan_load(bytes + 16),
                                smtp_scan_load(bytes + 32), smtp_scan_load(bytes + 48)};
    __m128i all = _mm_or_si128(_mm_or_si128(v.a, v.b), _mm_or_si128(v.c, v.d));
    __m128i least = _mm_min_epu8(_mm_min_epu8(v.a, v.b), _mm_min_epu8(v.c, v.d));
    __m128i rare = _mm_or_si128(all, _mm_cmpeq_epi8(least, _mm_setzero_si128()));
    struct smtp_scan scan = {
        .cr = smtp_scan_eq(v, '\r'),
        .lf = smtp_scan_eq(v, '\n'),
        .dot = smtp_scan_eq(v, '.'),
    };

    if (__builtin_expect(_mm_movemask_epi8(rare) != 0, 0)) {
        scan.high = smtp_scan_bits(v.a, v.b, v.c, v.d);
        scan.nul = smtp_scan_eq(v, '\0');
    }
    return scan;
}

/* The clean test of one quarter of a block, added to what the others said: `wrong` gets a non-zero
 * byte where a CR and an LF do not come as a pair or a dot follows an LF. */
SMTP_SCAN_INLINE __m128i smtp_scan_quarter(const char *bytes, __m128i *wrong, __m128i *lfs)
{
    __m128i here = smtp_scan_load(bytes);
    __m128i before = smtp_scan_load(bytes - 1);
    __m128i lf = _mm_cmpeq_epi8(here, _mm_set1_epi8('\n'));
    __m128i after_cr = _mm_cmpeq_epi8(before, _mm_set1_epi8('\r'));
    __m128i after_lf = _mm_cmpeq_epi8(before, _mm_set1_epi8('\n'));
    __m128i dot = _mm_cmpeq_epi8(here, _mm_set1_epi8('.'));

    *wrong = _mm_or_si128(*wrong, _mm_xor_si128(lf, after_cr));
    *wrong = _mm_or_si128(*wrong, _mm_and_si128(dot, after_lf));
    *lfs = _mm_or_si128(*lfs, lf);
    return here;
}

SMTP_SCAN_INLINE bool smtp_scan_clean(const char *bytes, bool *lf_out)
{
    __m128i wrong = _mm_setzero_si128();
    __m128i lfs = _mm_setzero_si128();
    __m128i a = smtp_scan_quarter(bytes, &wrong, &lfs);
    __m128i b = smtp_scan_quarter(bytes + 16, &wrong, &lfs);
    __m128i c = smtp_scan_quarter(bytes + 32, &wrong, &lfs);
    __m128i d = smtp_scan_quarter(bytes + 48, &wrong, &lfs);
    __m128i all = _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d));
    __m128i least = _mm_min_epu8(_mm_min_epu8(a, b), _mm_min_epu8(c, d));

    *lf_out = _mm_movemask_epi8(lfs) != 0;
    wrong = _mm_or_si128(wrong, _mm_cmpeq_epi8(least, _mm_setzero_si128()));
    return _mm_movemask_epi8(_mm_or_si128(wrong, all)) == 0;
}

#else

static inline struct smtp_scan smtp_scan(const char *bytes)
{
    struct smtp_scan scan = {0};

    for (unsigned i = 0; i < SMTP_SCAN_SIZE; i++) {
        uint64_t bit = UINT64_C(1) << i;
        uint8_t c = (uint8_t)bytes[i];

        scan.cr |= c == '\r' ? bit : 0;
        scan.lf |= c == '\n' ? bit : 0;
        scan.dot |= c == '.' ? bit : 0;
        scan.nul |= c == 0 ? bit : 0;
        scan.high |= c >= 0x80 ? bit : 0;
    }
    return scan;
}

static inline bool smtp_scan_clean(const char *bytes, bool *lf_out)
{
    struct smtp_scan here = smtp_scan(bytes);
    struct smtp_scan before = smtp_scan(bytes - 1);

    *lf_out = here.lf != 0;
    return ((here.lf ^ before.cr) | (here.dot & before.lf) | here.nul | here.high) == 0;
}

#endif
