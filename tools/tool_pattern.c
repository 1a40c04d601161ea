/* Patterns are compiled once and filled in for every message. */
#include "tools/tool_pattern.h"

static bool piece_add(struct tool_pattern *p, enum tool_piece_kind kind, struct slice text)
{
    if (kind == TOOL_PIECE_TEXT && text.len == 0) {
        return true;
    }
    if (p->count == TOOL_PATTERN_PIECES_MAX) {
        return false;
    }
    p->pieces[p->count++] = (struct tool_piece){.text = text, .kind = (uint8_t)kind};
    return true;
}

/* The last '@', or 0 in a text without one: a header's %d is the domain's number. */
static size_t local_part_end(struct slice text)
{
    for (size_t i = text.len; i > 0; i--) {
        if (text.ptr[i - 1] == '@') {
            return i - 1;
        }
    }
    return 0;
}

static bool letter_kind(char letter, bool local_part, enum tool_piece_kind *out)
{
    switch (letter) {
    case 's':
        *out = TOOL_PIECE_SEQUENCE;
        return true;
    case 'r':
        *out = TOOL_PIECE_RECIPIENT;
        return true;
    case 'u':
        *out = TOOL_PIECE_USER;
        return true;
    case 'd':
        *out = local_part ? TOOL_PIECE_USER : TOOL_PIECE_DOMAIN;
        return true;
    case 'v':
        *out = TOOL_PIECE_VERP;
        return true;
    case '%':
        *out = TOOL_PIECE_TEXT;
        return true;
    default:
        return false;
    }
}

bool tool_pattern_parse(struct slice text, struct tool_pattern *out, struct buf *why)
{
    size_t local_end = local_part_end(text);
    size_t from = 0;

    *out = (struct tool_pattern){.count = 0};
    for (size_t i = 0; i < text.len; i++) {
        enum tool_piece_kind kind;

        if (text.ptr[i] != '%') {
            continue;
        }
        if (i + 1 == text.len || !letter_kind(text.ptr[i + 1], i < local_end, &kind)) {
            buf_printf(why, "\"%.*s\": after %% comes one of s r u d v %%", SLICE_ARG(text));
            return false;
        }
        if (!piece_add(out, TOOL_PIECE_TEXT, slice_of(text.ptr + from, i - from)) ||
            !piece_add(out, kind, slice_of(text.ptr + i, 1))) {
            break;
        }
        from = ++i + 1;
    }
    if (!piece_add(out, TOOL_PIECE_TEXT, slice_from(text, from)) ||
        out->count == TOOL_PATTERN_PIECES_MAX) {
        buf_printf(why, "\"%.*s\" has too many parts", SLICE_ARG(text));
        return false;
    }
    return true;
}

static void verp_put(struct buf *out, struct slice address)
{
    size_t at = local_part_end(address);

    buf_put(out, slice_head(address, at));
    if (at < address.len) {
        buf_char(out, '=');
        buf_put(out, slice_from(address, at + 1));
    }
}

void tool_pattern_put(struct buf *out, const struct tool_pattern *p, const struct tool_numbers *n)
{
    for (uint32_t i = 0; i < p->count; i++) {
        const struct tool_piece *piece = &p->pieces[i];

        switch ((enum tool_piece_kind)piece->kind) {
        case TOOL_PIECE_TEXT:
            buf_put(out, piece->text);
            break;
        case TOOL_PIECE_SEQUENCE:
            buf_u64(out, n->sequence);
            break;
        case TOOL_PIECE_RECIPIENT:
            buf_u64(out, n->recipient);
            break;
        case TOOL_PIECE_USER:
            buf_u64(out, n->user);
            break;
        case TOOL_PIECE_DOMAIN:
            buf_u64(out, n->domain);
            break;
        case TOOL_PIECE_VERP:
            verp_put(out, n->first_recipient);
            break;
        }
    }
}
