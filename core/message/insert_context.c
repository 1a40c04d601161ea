#include "core/message/insert_context.h"

#include "core/message/message.h"

#define REASON_BITS 5u
#define REASON_MASK ((UINT64_C(1) << REASON_BITS) - 1)
_Static_assert(INSERT_REASON_COUNT <= REASON_MASK, "a reason fits its bits");
_Static_assert(INSERT_CONTEXT_MAX * REASON_BITS <= 64, "all reasons fit the field");

static enum insert_reason reason_at(const struct message *m, unsigned index)
{
    return (enum insert_reason)(m->context >> (index * REASON_BITS) & REASON_MASK);
}

static void reason_write(struct message *m, unsigned index, enum insert_reason reason)
{
    m->context &= ~(REASON_MASK << (index * REASON_BITS));
    m->context |= (uint64_t)reason << (index * REASON_BITS);
}

void insert_context_clear(struct message *m)
{
    m->context = 0;
    m->context_count = 0;
}

void insert_context_add(struct message *m, enum insert_reason reason)
{
    unsigned last = INSERT_CONTEXT_MAX - 1;

    MUST(reason < INSERT_REASON_COUNT && m->context_count <= INSERT_CONTEXT_MAX);
    if (m->context_count != 0 && reason_at(m, m->context_count - 1u) == reason) {
        return;
    }
    if (m->context_count < INSERT_CONTEXT_MAX) {
        reason_write(m, m->context_count++, reason);
        return;
    }
    if (reason_at(m, last) == INSERT_LOGGED_TRANSIENT_FAILURE) {
        reason_write(m, last - 1, INSERT_LOGGED_TRANSIENT_FAILURE);
    }
    reason_write(m, last, reason);
}

bool insert_context_has(const struct message *m, enum insert_reason reason)
{
    for (unsigned i = 0; i < m->context_count; i++) {
        if (reason_at(m, i) == reason) {
            return true;
        }
    }
    return false;
}

bool insert_context_is(const struct message *m, enum insert_reason reason)
{
    return m->context_count == 1 && reason_at(m, 0) == reason;
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
    for (unsigned i = 0; i < m->context_count; i++) {
        out[i] = slice_str(insert_reason_text(reason_at(m, i)));
    }
    return m->context_count;
}

void insert_context_put(const struct message *m, struct buf *out)
{
    for (unsigned i = 0; i < m->context_count; i++) {
        if (i != 0) {
            BUF_LIT(out, ", ");
        }
        buf_put(out, slice_str(insert_reason_text(reason_at(m, i))));
    }
}
