/* Messages made from blocks of lines, so that a body costs a copy and a hash. */
#include "tools/tool_body.h"

#include <time.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

#define BLOCK_SIZE (128u * 1024u)
#define LINE_MAX 998u
#define MARK_NAME "X-Ringload: "
#define MARK_HASH_DIGITS 16u

static const struct {
    struct slice text;
    bool eight_bit;
} body_info[TOOL_BODY_COUNT] = {
#define TOOL_BODY(name, text, eight_bit, help) [TOOL_BODY_##name] = {SLICE_INIT(text), eight_bit},
#include "tools/tool_bodies.def"
#undef TOOL_BODY
};

bool tool_body_parse(struct slice text, enum tool_body_kind *out)
{
    for (uint32_t k = 0; k < TOOL_BODY_COUNT; k++) {
        if (slice_eq(body_info[k].text, text)) {
            *out = (enum tool_body_kind)k;
            return true;
        }
    }
    return false;
}

bool tool_body_is_eight_bit(enum tool_body_kind kind)
{
    return body_info[kind].eight_bit;
}

enum tool_body_kind tool_body_for(enum tool_body_kind kind, uint64_t sequence)
{
    return kind == TOOL_BODY_MIXED ? (enum tool_body_kind)(sequence % TOOL_BODY_MIXED) : kind;
}

/* ---- blocks ---- */

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void letters_put(struct buf *b, size_t count, uint64_t *random)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ "
                                  "0123456789";

    for (size_t i = 0; i < count; i++) {
        buf_char(b, letters[next_random(random) % (sizeof(letters) - 1)]);
    }
}

static void octets_put(struct buf *b, size_t count, uint64_t *random)
{
    for (size_t i = 0; i < count; i++) {
        char c = (char)(next_random(random) % 255 + 1);

        buf_char(b, c == '\r' || c == '\n' ? '.' : c);
    }
}

static void eight_bit_put(struct buf *b, uint64_t *random)
{
    letters_put(b, 20, random);
    BUF_LIT(b, "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x93\xac ");
    buf_char(b, (char)(0x80 + next_random(random) % 0x80)); /* on its own: not UTF-8 */
    letters_put(b, 20, random);
}

static void dots_put(struct buf *b, uint64_t *random)
{
    for (uint64_t dots = next_random(random) % 4; dots > 0; dots--) {
        buf_char(b, '.');
    }
    letters_put(b, next_random(random) % 3 * 10, random);
}

static void line_put(struct buf *b, enum tool_body_kind kind, uint64_t *random)
{
    switch (kind) {
    case TOOL_BODY_TEXT:
        letters_put(b, 76, random);
        break;
    case TOOL_BODY_EIGHT_BIT:
        eight_bit_put(b, random);
        break;
    case TOOL_BODY_DOTS:
        dots_put(b, random);
        break;
    case TOOL_BODY_LONG_LINES:
        letters_put(b, LINE_MAX, random);
        break;
    case TOOL_BODY_BINARYISH:
        octets_put(b, next_random(random) % (LINE_MAX + 1), random);
        break;
    case TOOL_BODY_EMPTY:
    case TOOL_BODY_MIXED:
    case TOOL_BODY_COUNT:
        MUST(!"a kind without lines");
    }
    BUF_LIT(b, "\r\n");
}

static void block_make(struct tool_block *block, enum tool_body_kind kind, uint64_t run)
{
    uint64_t random = hash64(&run, sizeof(run), (uint64_t)kind);
    uint32_t cap = 0;

    while (block->bytes.len < BLOCK_SIZE) {
        uint32_t start = (uint32_t)block->bytes.len;

        if (block->line_count == cap) {
            cap = cap != 0 ? cap * 2 : 256;
            block->line_starts = mem_grow(block->line_starts, cap * sizeof(uint32_t));
        }
        block->line_starts[block->line_count++] = start;
        line_put(&block->bytes, kind, &random);
        block->has_dots |= block->bytes.ptr[start] == '.';
    }
}

void tool_source_open(struct tool_source *src, uint64_t run, uint64_t wall_s)
{
    time_t seconds = (time_t)wall_s;
    struct tm tm;

    *src = (struct tool_source){.run = run};
    MUST(gmtime_r(&seconds, &tm) != NULL);
    MUST(strftime(src->date, sizeof(src->date), "%a, %d %b %Y %H:%M:%S +0000", &tm) > 0);
    for (uint32_t k = 0; k < TOOL_BODY_COUNT; k++) {
        if (k != TOOL_BODY_EMPTY && k != TOOL_BODY_MIXED) {
            block_make(&src->blocks[k], (enum tool_body_kind)k, run);
        }
    }
}

void tool_source_close(struct tool_source *src)
{
    for (uint32_t k = 0; k < TOOL_BODY_COUNT; k++) {
        buf_free(&src->blocks[k].bytes);
        MEM_FREE(&src->blocks[k].line_starts);
    }
}

/* ---- messages ---- */

/* Whole lines from a place the sequence chooses, going round; the last one is cut to fit. */
static void body_put(struct buf *out, const struct tool_block *block, uint64_t sequence,
                     uint64_t size)
{
    uint32_t line = (uint32_t)(hash64(&sequence, sizeof(sequence), 1) % block->line_count);
    size_t at = block->line_starts[line];

    while (size > 0) {
        struct slice piece = slice_head(slice_from(buf_slice(&block->bytes), at), size);

        buf_put(out, piece);
        size -= piece.len;
        at = 0;
    }
    if (!slice_ends(buf_slice(out), SLICE("\r\n"))) {
        if (out->ptr[out->len - 1] == '\r') {
            out->len--;
        }
        BUF_LIT(out, "\r\n");
    }
}

static void headers_put(struct buf *out, const struct tool_source *src,
                        const struct tool_message *m, enum tool_body_kind kind)
{
    buf_printf(out,
               "From: <%.*s>\r\nTo: <%.*s>\r\nSubject: ringload %llu\r\nDate: %s\r\n"
               "Message-ID: <%llu.%016llx@ringload.test>\r\nMIME-Version: 1.0\r\n"
               "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n",
               SLICE_ARG(m->from), SLICE_ARG(m->to), (unsigned long long)m->sequence, src->date,
               (unsigned long long)m->sequence, (unsigned long long)src->run,
               body_info[kind].eight_bit ? "8bit" : "7bit");
}

static void hash_write(char *at, uint64_t hash)
{
    static const char digits[] = "0123456789abcdef";

    for (uint32_t i = 0; i < MARK_HASH_DIGITS; i++) {
        at[i] = digits[hash >> (60 - 4 * i) & 15];
    }
}

static bool dot_at_line_start(const struct buf *b, size_t from, size_t at)
{
    return b->ptr[at] == '.' && (at == from || b->ptr[at - 1] == '\n');
}

/* Doubles the dots at line starts from `from` on: backwards, so that each byte moves once. */
static void stuff(struct buf *out, size_t from)
{
    size_t dots = 0;

    for (size_t at = from; at < out->len; at++) {
        dots += dot_at_line_start(out, from, at);
    }
    buf_reserve(out, dots);
    out->len += dots;
    for (size_t at = out->len - dots; dots > 0;) {
        at--;
        out->ptr[at + dots] = out->ptr[at];
        if (dot_at_line_start(out, from, at)) {
            dots--;
            out->ptr[at + dots] = '.';
        }
    }
}

void tool_message_put(struct buf *out, const struct tool_source *src, const struct tool_message *m)
{
    enum tool_body_kind kind = tool_body_for(m->kind, m->sequence);
    const struct tool_block *block = &src->blocks[kind];
    size_t start = out->len;
    size_t hash_at, hashed_from;

    buf_reserve(out, m->size_bytes + 1024);
    buf_put(out, m->extra);
    buf_printf(out, MARK_NAME "%016llx:%llu:", (unsigned long long)src->run,
               (unsigned long long)m->sequence);
    hash_at = out->len;
    BUF_LIT(out, "0123456789abcdef\r\n");
    hashed_from = out->len;
    headers_put(out, src, m, kind);
    if (kind != TOOL_BODY_EMPTY && out->len - start < m->size_bytes) {
        body_put(out, block, m->sequence, m->size_bytes - (out->len - start));
    }
    hash_write(out->ptr + hash_at, hash64(out->ptr + hashed_from, out->len - hashed_from, 0));
    if (m->dot_stuffed && block->has_dots) {
        stuff(out, start);
    }
}

/* ---- the other end ---- */

/* The first line of the header section that carries our mark, without its CRLF. */
static bool mark_line_find(struct slice message, struct slice *line_out, struct slice *after_out)
{
    while (message.len != 0) {
        size_t len = slice_find_char(message, '\n');
        struct slice line = slice_head(message, len);

        message = slice_from(message, len + 1);
        if (line.len != 0 && line.ptr[line.len - 1] == '\r') {
            line.len--;
        }
        if (line.len == 0) {
            return false;
        }
        if (slice_starts(line, SLICE(MARK_NAME))) {
            *line_out = slice_from(line, sizeof(MARK_NAME) - 1);
            *after_out = message;
            return true;
        }
    }
    return false;
}

static bool hex_parse(struct slice s, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c >= '0' && c <= '9') {
            *out = *out << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            *out = *out << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    return s.len == MARK_HASH_DIGITS;
}

enum tool_checked tool_message_check(struct slice message, struct tool_mark *out)
{
    struct slice mark, after, rest, sequence;

    if (!mark_line_find(message, &mark, &after)) {
        return TOOL_FOREIGN;
    }
    rest = slice_from(mark, slice_find_char(mark, ':') + 1);
    sequence = slice_head(rest, slice_find_char(rest, ':'));
    if (!hex_parse(slice_head(mark, slice_find_char(mark, ':')), &out->run) ||
        !slice_to_u64(sequence, &out->sequence) ||
        !hex_parse(slice_from(rest, sequence.len + 1), &out->hash)) {
        return TOOL_FOREIGN;
    }
    return hash64_slice(after, 0) == out->hash ? TOOL_INTACT : TOOL_CORRUPT;
}

size_t tool_unstuff(char *bytes, size_t len)
{
    size_t put = 0;

    for (size_t at = 0; at < len;) {
        const char *end = memchr(bytes + at, '\n', len - at);
        size_t line_end = end != NULL ? (size_t)(end - bytes) + 1 : len;

        if (bytes[at] == '.') {
            at++;
        }
        memmove(bytes + put, bytes + at, line_end - at);
        put += line_end - at;
        at = line_end;
    }
    return put;
}
