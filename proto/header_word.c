/* RFC 2047: encoded words in header values, both ways.
 *     encoded-word = "=?" charset [ "*" language ] "?" encoding "?" encoded-text "?=" */
#include <string.h>

#include "core/base/base64.h"
#include "core/base/hex.h"
#include "core/base/utf8.h"
#include "proto/charset.h"
#include "proto/header.h"

#define FOLD_SOFT 75u
#define FOLD_HARD 900u
#define WORD_PREFIX "=?UTF-8?q?"
#define WORD_SUFFIX "?="
#define WORD_TEXT_MAX (72u - (sizeof(WORD_PREFIX) - 1) - (sizeof(WORD_SUFFIX) - 1))

/* ---- decoding ---- */

struct encoded_word {
    struct slice whole;
    struct slice charset;
    struct slice text;
    char encoding; /* 'b' or 'q' */
};

/* Cuts what stands before the next '?' off; false when a blank or the end comes first. */
static bool cut_part(struct slice *s, struct slice *out)
{
    for (size_t i = 0; i < s->len; i++) {
        if (s->ptr[i] == '?') {
            *out = slice_head(*s, i);
            *s = slice_from(*s, i + 1);
            return true;
        }
        if ((uint8_t)s->ptr[i] <= ' ') {
            return false;
        }
    }
    return false;
}

static bool cut_word(struct slice s, struct encoded_word *out)
{
    struct slice rest, encoding;

    if (!slice_starts(s, SLICE("=?"))) {
        return false;
    }
    rest = slice_from(s, 2);
    if (!cut_part(&rest, &out->charset) || !cut_part(&rest, &encoding) ||
        !cut_part(&rest, &out->text) || rest.len == 0 || rest.ptr[0] != '=' ||
        encoding.len != 1) {
        return false;
    }
    out->charset = slice_head(out->charset, slice_find_char(out->charset, '*'));
    out->encoding = char_lower(encoding.ptr[0]);
    out->whole = slice_head(s, (size_t)(rest.ptr + 1 - s.ptr));
    return out->charset.len != 0 && (out->encoding == 'b' || out->encoding == 'q');
}

static void decode_q(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '=' && i + 2 < text.len && hex_digit(text.ptr[i + 1]) >= 0 &&
            hex_digit(text.ptr[i + 2]) >= 0) {
            buf_char(out, (char)(hex_digit(text.ptr[i + 1]) << 4 | hex_digit(text.ptr[i + 2])));
            i += 2;
        } else {
            buf_char(out, text.ptr[i] == '_' ? ' ' : text.ptr[i]);
        }
    }
}

static bool decode_bytes(struct buf *out, const struct encoded_word *word)
{
    if (word->encoding == 'q') {
        decode_q(out, word->text);
        return true;
    }
    return base64_decode_as(out, word->text, BASE64_PAD_OPTIONAL);
}

/* Words that stand side by side in the same character set are one text: encoders cut in the
 * middle of a character. */
struct run {
    struct slice charset;
    struct slice whole; /* from the first word to the last, as written */
    struct buf bytes;
};

/* False: it was no text after all and stands there as written. */
static bool run_flush(struct run *run, struct buf *out)
{
    bool ok = run->whole.len == 0 ||
              charset_to_utf8(out, run->charset, buf_slice(&run->bytes));

    if (!ok) {
        header_unfold_put(out, run->whole);
    }
    run->whole.len = 0;
    buf_clear(&run->bytes);
    return ok;
}

/* Blanks between two encoded words are not part of the text. */
static size_t blank_len(struct slice s)
{
    size_t n = 0;

    while (n < s.len && (s.ptr[n] == ' ' || s.ptr[n] == '\t' || s.ptr[n] == '\r' ||
                         s.ptr[n] == '\n')) {
        n++;
    }
    return n;
}

static void run_add(struct run *run, const struct encoded_word *word, bool after_blank,
                    struct buf *out)
{
    struct buf bytes = {0};
    bool is_text = decode_bytes(&bytes, word);
    bool goes_on = is_text && run->whole.len != 0 && slice_eq_nocase(run->charset, word->charset);

    if (!goes_on) {
        bool had_run = run->whole.len != 0;
        bool was_text = run_flush(run, out);

        /* Between two words the blank goes; between a word and plain text it stays. */
        if (after_blank && !(had_run && was_text && is_text)) {
            buf_char(out, ' ');
        }
        run->charset = word->charset;
        run->whole = slice_head(word->whole, 0);
    }
    if (is_text) {
        run->whole.len = (size_t)(word->whole.ptr + word->whole.len - run->whole.ptr);
        buf_put(&run->bytes, buf_slice(&bytes));
    } else {
        buf_put(out, word->whole);
    }
    buf_free(&bytes);
}

bool header_decode_put(struct buf *out, struct slice raw_value)
{
    struct run run = {0};
    struct encoded_word word;

    if (!utf8_valid(raw_value)) {
        buf_put(out, raw_value);
        return false;
    }
    while (raw_value.len != 0) {
        size_t blanks = blank_len(raw_value);
        struct slice next = slice_from(raw_value, blanks);

        if (cut_word(next, &word)) {
            run_add(&run, &word, blanks != 0, out);
            raw_value = slice_from(next, word.whole.len);
            continue;
        }
        (void)run_flush(&run, out);
        if (blanks != 0) {
            buf_char(out, ' ');
            raw_value = next;
        } else {
            buf_char(out, raw_value.ptr[0]);
            raw_value = slice_from(raw_value, 1);
        }
    }
    (void)run_flush(&run, out);
    buf_free(&run.bytes);
    return true;
}

/* ---- encoding ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

/* What has to happen before the next word or piece of one. */
struct folding {
    struct buf *out;
    size_t line_len; /* of the line under way, indentation not counted */
};

static void fold(struct folding *f)
{
    BUF_LIT(f->out, "\r\n\t");
    f->line_len = 0;
}

static void fold_word(struct folding *f, struct slice word)
{
    if (f->line_len + word.len < FOLD_SOFT) {
        if (f->line_len != 0) {
            buf_char(f->out, ' ');
            f->line_len++;
        }
    } else if (f->line_len != 0) {
        fold(f);
    }
    while (word.len > FOLD_HARD) {
        buf_put(f->out, slice_head(word, FOLD_HARD));
        fold(f);
        word = slice_from(word, FOLD_HARD);
    }
    buf_put(f->out, word);
    f->line_len += word.len;
}

static void fold_put(struct buf *out, struct slice text)
{
    struct folding f = {.out = out};

    while (text.len != 0) {
        size_t n = 0;

        while (n < text.len && !is_space(text.ptr[n])) {
            n++;
        }
        if (n != 0) {
            fold_word(&f, slice_head(text, n));
        }
        text = slice_from(text, n + 1);
    }
}

static bool passes_plain(char c)
{
    return c > ' ' && c < 0x7f && c != '?' && c != '=' && c != '_';
}

static void encode_words(struct buf *out, struct slice text)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t line_len = 0;

    BUF_LIT(out, WORD_PREFIX);
    while (text.len != 0) {
        size_t len, need;
        bool is_plain = passes_plain(text.ptr[0]) || text.ptr[0] == ' ';

        (void)utf8_step(text, &len);
        need = is_plain ? 1 : len * 3;
        if (need > WORD_TEXT_MAX - line_len) {
            BUF_LIT(out, WORD_SUFFIX "\r\n\t" WORD_PREFIX);
            line_len = 0;
        }
        if (is_plain) {
            buf_char(out, text.ptr[0] == ' ' ? '_' : text.ptr[0]);
        } else {
            for (size_t i = 0; i < len; i++) {
                buf_char(out, '=');
                buf_char(out, digits[(uint8_t)text.ptr[i] >> 4]);
                buf_char(out, digits[(uint8_t)text.ptr[i] & 15]);
            }
        }
        line_len += need;
        text = slice_from(text, len);
    }
    BUF_LIT(out, WORD_SUFFIX);
}

void header_encode_put(struct buf *out, struct slice text)
{
    if (utf8_ascii_len(text) == text.len || !utf8_valid(text)) {
        fold_put(out, text);
    } else {
        encode_words(out, text);
    }
}
