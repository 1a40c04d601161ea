#include "core/base/limit_spec.h"

/* Longer than any count that fits, with a separator after each digit. */
#define COUNT_TEXT_MAX 64u

bool count_parse(struct slice text, uint64_t *out, struct buf *why)
{
    char digits[COUNT_TEXT_MAX];
    size_t len = 0;
    const char *reason;

    for (size_t i = 0; i < text.len && len < sizeof(digits); i++) {
        if (text.ptr[i] != ',' && text.ptr[i] != '_') {
            digits[len++] = text.ptr[i];
        }
    }
    if (len < sizeof(digits) && slice_to_u64(slice_of(digits, len), out)) {
        return true;
    }
    reason = len == 0 ? "cannot parse integer from empty string"
                      : "number too large to fit in target type";
    for (size_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9') {
            reason = "invalid digit found in string";
        }
    }
    buf_printf(why, "invalid limit '%.*s': %s", SLICE_ARG(slice_head(text, 128)), reason);
    return false;
}

bool limit_spec_parse(struct slice text, struct limit_spec *out, struct buf *why)
{
    static const struct slice local = SLICE_INIT("local:");

    *out = (struct limit_spec){.force_local = slice_starts(text, local)};
    text = slice_from(text, out->force_local ? local.len : 0);
    if (!count_parse(text, &out->limit, why)) {
        return false;
    }
    if (out->limit == 0) {
        buf_printf(why, "invalid LimitSpec `%.*s`: limit must be greater than 0!",
                   SLICE_ARG(slice_head(text, 128)));
        return false;
    }
    return true;
}

bool limit_spec_from_int(int64_t value, struct limit_spec *out, struct buf *why)
{
    *out = (struct limit_spec){0};
    if (value <= 0) {
        BUF_LIT(why, "limit must be 1 or larger");
        return false;
    }
    out->limit = (uint64_t)value;
    return true;
}

void limit_spec_put(struct buf *out, const struct limit_spec *spec)
{
    if (spec->force_local) {
        BUF_LIT(out, "local:");
    }
    buf_u64(out, spec->limit);
}
