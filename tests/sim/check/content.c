/* What a message looks like: all of it from the seed and its number. */
#include "core/base/prng.h"
#include "tests/sim/check/book.h"

static struct prng prng_of(const struct sim *s, uint32_t message)
{
    return prng_from_seed(s->plan.seed * UINT64_C(0x9e3779b97f4a7c15) + message);
}

void book_sender_put(const struct sim *s, uint32_t message, struct buf *out)
{
    buf_printf(out, "from%u@t%u.sim", message, message % 3);
}

void book_recipient_put(const struct sim *s, uint32_t message, uint32_t index, struct buf *out)
{
    buf_printf(out, "m%ur%u@d%u.sim", message, index, (message * 7 + index) % s->plan.domains);
}

bool book_address_read(const struct sim *s, struct slice address, uint32_t *message,
                       uint32_t *index)
{
    size_t r = slice_find_char(address, 'r'), at = slice_find_char(address, '@');
    struct buf same = {0};
    uint64_t m, i;
    bool ok;

    if (!slice_starts(address, SLICE("m")) || r >= at || at >= address.len ||
        !slice_to_u64(slice_head(slice_from(address, 1), r - 1), &m) ||
        !slice_to_u64(slice_head(slice_from(address, r + 1), at - r - 1), &i) || m == 0 ||
        m > s->plan.messages || i >= BOOK_RECIPIENTS_MAX) {
        return false;
    }
    book_recipient_put(s, (uint32_t)m, (uint32_t)i, &same);
    ok = slice_eq(address, buf_slice(&same));
    buf_free(&same);
    *message = (uint32_t)m;
    *index = (uint32_t)i;
    return ok;
}

/* Short lines and long ones, empty ones, and those that begin with dots. */
static void line_put(struct prng *p, struct buf *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz 0123456789.";
    uint64_t len = prng_below(p, 8) == 0 ? prng_below(p, 900) : prng_below(p, 70);

    for (uint64_t i = prng_below(p, 6) == 0 ? prng_below(p, 4) : 0; i > 0; i--) {
        buf_char(out, '.');
    }
    while (len-- > 0) {
        buf_char(out, letters[prng_below(p, sizeof(letters) - 1)]);
    }
    BUF_LIT(out, "\r\n");
}

void book_content_put(const struct sim *s, uint32_t message, struct buf *out)
{
    struct prng p = prng_of(s, message);
    uint64_t size = prng_below(&p, s->plan.body_most + 1);
    size_t start;

    buf_printf(out, "X-Token: " BOOK_TOKEN "%010u\r\nSubject: message %u\r\n\r\n", message,
               message);
    start = out->len;
    while (out->len - start < size) {
        line_put(&p, out);
    }
}
