#include "proto/report_field.h"

#include "core/base/check.h"
#include "proto/header.h"

bool report_text_open(struct report_text *t, const struct mime_entity *part)
{
    *t = (struct report_text){0};
    if (part->body.len > REPORT_PART_MAX || !mime_body_put(part, &t->decoded)) {
        return false;
    }
    buf_reserve(&t->unfolded, t->decoded.len + 1);
    return true;
}

void report_text_free(struct report_text *t)
{
    buf_free(&t->decoded);
    buf_free(&t->unfolded);
}

bool report_next_field(struct report_text *t, size_t *at, struct report_field *out)
{
    const char *home = t->unfolded.ptr;
    size_t start = t->unfolded.len;
    struct header h;

    if (!header_next(buf_slice(&t->decoded), at, &h)) {
        return false;
    }
    header_unfold_put(&t->unfolded, h.raw_value);
    MUST(t->unfolded.ptr == home);
    out->name = slice_trim(h.name);
    out->value = slice_trim(slice_of(home + start, t->unfolded.len - start));
    return true;
}

bool report_next_block(const struct report_text *t, size_t *at)
{
    while (*at < t->decoded.len &&
           (t->decoded.ptr[*at] == '\n' || t->decoded.ptr[*at] == '\r')) {
        (*at)++;
    }
    return *at < t->decoded.len;
}

void report_split(struct slice value, struct slice *type, struct slice *text)
{
    size_t at = slice_find_char(value, ';');

    *type = at < value.len ? slice_trim(slice_head(value, at)) : SLICE("");
    *text = at < value.len ? slice_trim(slice_from(value, at + 1)) : value;
}

struct slice report_bare(struct slice address)
{
    if (address.len >= 2 && address.ptr[0] == '<' && address.ptr[address.len - 1] == '>') {
        return slice_of(address.ptr + 1, address.len - 2);
    }
    return address;
}

static bool is_one_of(const struct mime_entity *e, const struct slice *types, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (mime_is(e, types[i])) {
            return true;
        }
    }
    return false;
}

bool report_open(struct slice message, const struct slice *types, size_t type_count,
                 struct mime_entity *top, struct report_parts *out)
{
    static const struct slice originals[] = {SLICE_INIT("message/rfc822"),
                                             SLICE_INIT("text/rfc822-headers")};
    struct mime_parts parts;
    struct mime_entity part;

    *out = (struct report_parts){0};
    mime_entity_cut(message, top);
    if (!mime_is(top, SLICE("multipart/report")) || !mime_parts_open(&parts, top)) {
        return false;
    }
    while (mime_parts_next(&parts, &part)) {
        if (!out->has_report && is_one_of(&part, types, type_count)) {
            out->report = part;
            out->has_report = true;
        } else if (is_one_of(&part, originals, ARRAY_COUNT(originals))) {
            out->original = part;
            out->has_original = true;
        }
    }
    return out->has_report;
}
