#include "core/base/free_space.h"

bool free_space_parse(struct slice text, struct free_space *out, struct buf *why)
{
    bool percent = text.len > 0 && text.ptr[text.len - 1] == '%';
    uint64_t amount;

    if (!slice_to_u64(slice_head(text, text.len - percent), &amount) ||
        (percent && amount > UINT8_MAX)) {
        buf_printf(why, "expected an integer or a percentage like '10%%', got '%.*s'",
                   SLICE_ARG(slice_head(text, 128)));
        return false;
    }
    *out = (struct free_space){.amount = amount, .percent = percent};
    return true;
}

void free_space_put(struct buf *out, const struct free_space *fs)
{
    buf_u64(out, fs->amount);
    if (fs->percent) {
        buf_char(out, '%');
    }
}

bool free_space_short(const struct free_space *fs, uint64_t available, uint64_t total)
{
    if (!fs->percent) {
        return available < fs->amount;
    }
    /* A file system that counts none of these (inodes on some) has no shortage of them. */
    return total != 0 && (uint64_t)((unsigned __int128)available * 100 / total) < fs->amount;
}
