#include "core/message/insert_context.h"

#include "core/message/message.h"

#define REASON_BITS 5u
#define REASON_MASK ((UINT64_C(1) << REASON_BITS) - 1)
_Static_assert(INSERT_REASON_COUNT <= REASON_MASK, "a reason fits its bits, plus one");
_Static_assert(INSERT_CONTEXT_MAX * REASON_BITS <= MESSAGE_CONTEXT_BYTES * 8, "all of them fit");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the last bytes are the upper ones");

/* The list as a number: reason + 1, the oldest lowest. */
static uint64_t context_read(const struct message *m)
{
    uint64_t bits = 0;

    memcpy(&bits, m->context, sizeof(m->context));
    return bits;
}

static void context_write(struct message *m, uint64_t bits)
{
    memcpy(m->context, &bits, sizeof(m->context));
}

static unsigned count_of(uint64_t bits)
{
    return bits == 0 ? 0 : (63u - (unsigned)__builtin_clzll(bits)) / REASON_BITS + 1;
}

static enum insert_reason reason_at(uint64_t bits, unsigned index)
{
    return (enum insert_reason)((bits >> (index * REASON_BITS) & REASON_MASK) - 1);
}

static uint64_t with_reason(uint64_t bits, unsigned index, enum insert_reason reason)
{
    bits &= ~(REASON_MASK << (index * REASON_BITS));
    return bits | ((uint64_t)reason + 1) << (index * REASON_BITS);
}

void insert_context_clear(struct message *m)
{
    context_write(m, 0);
}

void insert_context_add(struct message *m, enum insert_reason reason)
{
    const unsigned last = INSERT_CONTEXT_MAX - 1;
    uint64_t bits = context_read(m);
    unsigned count = count_of(bits);

    MUST(reason < INSERT_REASON_COUNT && count <= INSERT_CONTEXT_MAX);
    if (count != 0 && reason_at(bits, count - 1) == reason) {
        return;
    }
    if (count < INSERT_CONTEXT_MAX) {
        context_write(m, with_reason(bits, count, reason));
        return;
    }
    if (reason_at(bits, last) == INSERT_LOGGED_TRANSIENT_FAILURE) {
        bits = with_reason(bits, last - 1, INSERT_LOGGED_TRANSIENT_FAILURE);
    }
    context_write(m, with_reason(bits, last, reason));
}

bool insert_context_has(const struct message *m, enum insert_reason reason)
{
    uint64_t bits = context_read(m);

    for (unsigned i = 0; i < count_of(bits); i++) {
        if (reason_at(bits, i) == reason) {
            return true;
        }
    }
    return false;
}

bool insert_context_is(const struct message *m, enum insert_reason reason)
{
    return context_read(m) == with_reason(0, 0, reason);
}

bool insert_context_quiet(const struct message *m)
{
    return insert_context_is(m, INSERT_ENUMERATED) ||
           insert_context_has(m, INSERT_LOGGED_TRANSIENT_FAILURE);
}

const char *insert_reason_text(enum insert_reason reason)
{
    static const char *const texts[INSERT_REASON_COUNT] = {
#define INSERT_REASON(name, text) [INSERT_##name] = text,
#include "core/message/insert_context.def"
#undef INSERT_REASON
    };

    MUST(reason < INSERT_REASON_COUNT);
    return texts[reason];
}

uint32_t insert_context_list(const struct message *m, struct slice out[INSERT_CONTEXT_MAX])
{
    uint64_t bits = context_read(m);
    uint32_t count = count_of(bits);

    for (unsigned i = 0; i < count; i++) {
        out[i] = slice_str(insert_reason_text(reason_at(bits, i)));
    }
    return count;
}

void insert_context_put(const struct message *m, struct buf *out)
{
    struct slice texts[INSERT_CONTEXT_MAX];
    uint32_t count = insert_context_list(m, texts);

    for (uint32_t i = 0; i < count; i++) {
        if (i != 0) {
            BUF_LIT(out, ", ");
        }
        buf_put(out, texts[i]);
    }
}
