#include "proto/smtp_data.h"

#include "core/base/mem.h"
#include "proto/smtp_scan.h"

/* First room of a body, unless its first piece is larger: then just that, for it is nearly always
 * the only one. */
#define BODY_ROOM_FIRST 4096u

void smtp_data_begin(struct smtp_data *d, uint64_t size_max, size_t line_max)
{
    struct buf body = d->body;

    buf_clear(&body);
    *d = (struct smtp_data){.body = body, .size_max = size_max, .line_max = line_max};
}

void smtp_data_free(struct smtp_data *d)
{
    buf_free(&d->body);
    *d = (struct smtp_data){0};
}

static void copy(struct smtp_data *d, const char *bytes, size_t len)
{
    if (d->flags & SMTP_DATA_TOO_BIG) {
        return;
    }
    if (len > d->size_max - d->body.len) {
        d->flags |= SMTP_DATA_TOO_BIG;
        buf_free(&d->body);
        return;
    }
    if (d->body.cap == 0 && len != 0) {
        d->body.cap = len > BODY_ROOM_FIRST ? len : BODY_ROOM_FIRST;
        d->body.ptr = mem_take(d->body.cap);
    }
    buf_append(&d->body, bytes, len);
}

/* ---- one pass over text ---- */

/* A run of text on its way through the masks. Offsets count from the beginning of the run. */
struct run {
    const char *bytes;
    size_t len;
    size_t line_at;  /* where the current line began; wraps below 0 when before this run */
    uint64_t cr_in;  /* 1: the byte before the next block was a CR */
    uint64_t bol_in; /* 1: the next block begins a line */
};

/* The block at `at`; a short one is copied and filled up with a byte that does not matter. */
static inline struct smtp_scan block_scan(const struct run *r, size_t at, size_t take)
{
    char padded[SMTP_SCAN_SIZE];
    const char *bytes = r->bytes + at;

    if (UNLIKELY(take != SMTP_SCAN_SIZE)) {
        memset(padded, 'x', sizeof(padded));
        memcpy(padded, bytes, take);
        bytes = padded;
    }
    return smtp_scan(bytes);
}

/* Judges the lines that end in this block: the LFs of `ends` stand at block + bit. */
static void lines_end(struct smtp_data *d, struct run *r, size_t block, uint64_t ends)
{
    /* Between two ends within one block no line is longer than the block. */
    bool each = d->line_max < SMTP_SCAN_SIZE;

    while (ends != 0) {
        unsigned bit = (unsigned)__builtin_ctzll(ends);

        if (block + bit - 1 - r->line_at > d->line_max) {
            d->flags |= SMTP_DATA_LONG_LINE;
        }
        if (!each) {
            bit = 63u - (unsigned)__builtin_clzll(ends);
            ends = 0;
        }
        ends &= ends - 1;
        r->line_at = block + bit + 1;
    }
}

static inline uint64_t bits_below(size_t n)
{
    return n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

/* Judges one block of `take` bytes at `at`; answers how many of them belong to the run, which ends
 * before a dot that begins a line. */
static size_t block_judge(struct smtp_data *d, struct run *r, size_t at, size_t take)
{
    struct smtp_scan scan = block_scan(r, at, take);
    uint64_t after_cr = scan.cr << 1 | r->cr_in;
    uint64_t ends = scan.lf & after_cr;
    uint64_t dot_begins = scan.dot & (ends << 1 | r->bol_in);
    uint64_t own;

    if (UNLIKELY(dot_begins != 0)) {
        take = (size_t)__builtin_ctzll(dot_begins);
    }
    own = bits_below(take);
    ends &= own;
    if (UNLIKELY(((after_cr ^ scan.lf) & own) != 0)) {
        d->flags |= SMTP_DATA_BARE;
    }
    if (UNLIKELY(((scan.nul | scan.high) & own) != 0)) {
        d->flags |= (scan.nul & own) != 0 ? SMTP_DATA_NUL : 0;
        d->flags |= (scan.high & own) != 0 ? SMTP_DATA_8BIT : 0;
    }
    lines_end(d, r, at, ends);
    if (take != 0) {
        r->cr_in = scan.cr >> (take - 1) & 1;
        r->bol_in = ends >> (take - 1) & 1;
    }
    return take;
}

/* Passes over clean blocks from `at` (not 0: the byte before is looked at) as long as no line in
 * them can be too long; answers where it stopped. */
static size_t blocks_pass(const struct smtp_data *d, struct run *r, size_t at)
{
    size_t line_from = r->line_at; /* no later than where the current line begins */
    size_t lf_block = SIZE_MAX;
    size_t from = at;
    bool lf;

    while (r->len - at >= SMTP_SCAN_SIZE && smtp_scan_clean(r->bytes + at, &lf)) {
        if (lf) {
            if (at + SMTP_SCAN_SIZE - line_from > d->line_max) {
                break;
            }
            lf_block = at;
            line_from = at;
        }
        at += SMTP_SCAN_SIZE;
    }
    if (at != from) {
        r->cr_in = r->bytes[at - 1] == '\r';
        r->bol_in = r->bytes[at - 1] == '\n';
    }
    if (lf_block != SIZE_MAX) {
        const char *last_lf = memrchr(r->bytes + lf_block, '\n', SMTP_SCAN_SIZE);

        r->line_at = (size_t)(last_lf + 1 - r->bytes);
    }
    return at;
}

/* Takes bytes that begin inside a line, or at the beginning of one but not with a dot. Answers how
 * many: those before the next dot that begins a line, or all. */
static size_t text_take(struct smtp_data *d, struct slice in)
{
    struct run r = {
        .bytes = in.ptr,
        .len = in.len,
        .line_at = 0 - d->line_len,
        .cr_in = d->after_cr,
    };
    size_t at = 0;

    while (at < r.len) {
        size_t take = r.len - at < SMTP_SCAN_SIZE ? r.len - at : SMTP_SCAN_SIZE;
        size_t own = block_judge(d, &r, at, take);

        at += own;
        if (own != take) {
            break;
        }
        at = blocks_pass(d, &r, at);
    }
    copy(d, in.ptr, at);
    d->line_len = at - r.line_at;
    d->after_cr = r.cr_in != 0;
    d->at = r.bol_in != 0 ? SMTP_DATA_AT_BOL : SMTP_DATA_AT_TEXT;
    return at;
}

/* ---- the line beginnings of DATA ---- */

/* The pending bytes turn out to be text: copies them and goes on inside the line. */
static void pending_is_text(struct smtp_data *d, struct slice pending)
{
    d->flags |= SMTP_DATA_DOT_LINE;
    d->line_len = pending.len;
    d->after_cr = pending.ptr[pending.len - 1] == '\r';
    d->at = SMTP_DATA_AT_TEXT;
    copy(d, pending.ptr, pending.len);
}

/* One byte at the beginning of a line or after a dot there. True: it is used. */
static bool line_begins(struct smtp_data *d, char c)
{
    switch ((enum smtp_data_at)d->at) {
    case SMTP_DATA_AT_BOL:
        d->at = c == '.' ? SMTP_DATA_AT_DOT : SMTP_DATA_AT_TEXT;
        return c == '.';
    case SMTP_DATA_AT_DOT:
        if (c == '\r') {
            d->at = SMTP_DATA_AT_DOT_CR;
            return true;
        }
        pending_is_text(d, SLICE("."));
        return c == '.';
    case SMTP_DATA_AT_DOT_CR:
        pending_is_text(d, SLICE(".\r"));
        return false;
    case SMTP_DATA_AT_TEXT:
        break;
    }
    return false;
}

bool smtp_data_take(struct smtp_data *d, struct slice in, size_t *used_out)
{
    size_t at = 0;

    while (at < in.len) {
        if (d->at == SMTP_DATA_AT_TEXT) {
            at += text_take(d, slice_from(in, at));
        } else if (d->at == SMTP_DATA_AT_DOT_CR && in.ptr[at] == '\n') {
            *used_out = at + 1;
            return true;
        } else {
            at += line_begins(d, in.ptr[at]);
        }
    }
    *used_out = at;
    return false;
}

/* ---- octets ---- */

/* The same judgement; a dot line is one that begins with a dot, and nothing ends the message. */
void smtp_data_take_raw(struct smtp_data *d, struct slice in)
{
    size_t at = 0;

    while (at < in.len) {
        if (d->at == SMTP_DATA_AT_BOL && in.ptr[at] == '.') {
            pending_is_text(d, SLICE("."));
            at++;
        } else {
            at += text_take(d, slice_from(in, at));
        }
    }
}

/* ---- the end ---- */

/* Among lone CRs and LFs, lines may begin where the pass did not look for them. */
static bool dot_after_bare(struct slice body)
{
    for (size_t i = 1; i < body.len; i++) {
        if (body.ptr[i] == '.' && (body.ptr[i - 1] == '\n' || body.ptr[i - 1] == '\r')) {
            return true;
        }
    }
    return false;
}

void smtp_data_finish(struct smtp_data *d)
{
    if (d->after_cr) {
        d->flags |= SMTP_DATA_BARE;
        d->after_cr = false;
    }
    if (d->at == SMTP_DATA_AT_TEXT) {
        d->flags |= d->line_len != 0 ? SMTP_DATA_NO_FINAL_CRLF : 0;
        d->flags |= d->line_len > d->line_max ? SMTP_DATA_LONG_LINE : 0;
    }
    if ((d->flags & SMTP_DATA_BARE) && dot_after_bare(buf_slice(&d->body))) {
        d->flags |= SMTP_DATA_DOT_LINE;
    }
}

void smtp_data_fix(struct smtp_data *d)
{
    struct smtp_data fixed = {.size_max = UINT64_MAX, .line_max = SIZE_MAX};
    struct slice body = buf_slice(&d->body);
    size_t from = 0;

    for (size_t i = 0; i < body.len; i++) {
        bool pair = body.ptr[i] == '\r' && i + 1 < body.len && body.ptr[i + 1] == '\n';

        if (pair) {
            i++;
        } else if (body.ptr[i] == '\r' || body.ptr[i] == '\n') {
            smtp_data_take_raw(&fixed, slice_of(body.ptr + from, i - from));
            smtp_data_take_raw(&fixed, SLICE("\r\n"));
            from = i + 1;
        }
    }
    smtp_data_take_raw(&fixed, slice_from(body, from));
    smtp_data_finish(&fixed);
    buf_free(&d->body);
    d->body = fixed.body;
    d->flags = fixed.flags | SMTP_DATA_FIXED;
}
