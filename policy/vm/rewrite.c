/* A recursive descent over the grammar of Lua 5.4 that collects edits: what to insert where. */
#include "policy/vm/rewrite.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "policy/vm/rewrite_private.h"

/* ---- edits ---- */

void rewrite_edit(struct rewriter *rw, enum edit_rank rank, size_t at, size_t drop,
                  const char *text)
{
    if (rw->edit_count == rw->edit_room) {
        rw->edit_room = rw->edit_room != 0 ? rw->edit_room * 2 : 64;
        rw->edits = mem_grow(rw->edits, rw->edit_room * sizeof(rw->edits[0]));
    }
    struct edit *e = &rw->edits[rw->edit_count];

    *e = (struct edit){.at = at, .drop = drop, .rank = rank, .seq = rw->edit_count};
    e->text_from = rw->inserted.len;
    buf_put(&rw->inserted, slice_str(text));
    e->text_len = rw->inserted.len - e->text_from;
    rw->edit_count++;
}

static int edit_order(const void *pa, const void *pb)
{
    const struct edit *a = pa;
    const struct edit *b = pb;

    if (a->at != b->at) {
        return a->at < b->at ? -1 : 1;
    }
    if (a->rank != b->rank) {
        return a->rank < b->rank ? -1 : 1;
    }
    if (a->rank == EDIT_OPEN) { /* the outer operator was seen later and opens first */
        return a->seq > b->seq ? -1 : 1;
    }
    return a->seq < b->seq ? -1 : 1;
}

static void apply_edits(struct rewriter *rw, struct buf *out)
{
    struct slice text = rw->lx.text;
    size_t at = 0;

    if (rw->edit_count > 0) {
        qsort(rw->edits, rw->edit_count, sizeof(rw->edits[0]), edit_order);
    }
    for (size_t i = 0; i < rw->edit_count; i++) {
        const struct edit *e = &rw->edits[i];

        buf_append(out, text.ptr + at, e->at - at);
        buf_put(out, slice_head(slice_from(buf_slice(&rw->inserted), e->text_from), e->text_len));
        at = e->at + e->drop;
    }
    buf_append(out, text.ptr + at, text.len - at);
}

/* ---- tokens ---- */

bool rewrite_at(const struct rewriter *rw, const char *text)
{
    return (rw->now.kind == TOKEN_NAME || rw->now.kind == TOKEN_OTHER) &&
           slice_eq(token_text(&rw->lx, rw->now), slice_str(text));
}

void rewrite_fail(struct rewriter *rw, const char *text)
{
    if (!rw->failed) {
        rw->failed = true;
        rw->fail_line = rw->now.line;
        buf_put(rw->why, slice_str(text));
        if (rw->now.kind == TOKEN_END) {
            BUF_LIT(rw->why, " near <eof>");
        } else {
            struct slice near = slice_head(token_text(&rw->lx, rw->now), 40);

            buf_printf(rw->why, " near '%.*s'", SLICE_ARG(near));
        }
    }
    rw->now.kind = TOKEN_END; /* every loop ends */
}

void rewrite_step(struct rewriter *rw)
{
    rw->last_to = rw->now.to;
    rw->now = rw->ahead;
    rw->ahead = lexer_next(&rw->lx);
    if (rw->failed) {
        rw->now.kind = TOKEN_END;
    } else if (rw->now.kind == TOKEN_BAD) {
        rewrite_fail(rw, "unfinished string or comment");
    }
}

bool rewrite_take(struct rewriter *rw, const char *text)
{
    if (!rewrite_at(rw, text)) {
        return false;
    }
    rewrite_step(rw);
    return true;
}

void rewrite_want(struct rewriter *rw, const char *text)
{
    if (!rewrite_take(rw, text)) {
        char what[48];

        (void)snprintf(what, sizeof(what), "'%s' expected", text);
        rewrite_fail(rw, what);
    }
}

bool rewrite_is_keyword(struct slice s)
{
    static const char *const keywords[] = {
        "and",   "break",  "do",     "else", "elseif", "end",   "false", "for",
        "function", "goto", "if",    "in",   "local",  "nil",   "not",   "or",
        "repeat", "return", "then",  "true", "until",  "while",
    };

    for (size_t i = 0; i < ARRAY_COUNT(keywords); i++) {
        if (slice_eq(s, slice_str(keywords[i]))) {
            return true;
        }
    }
    return false;
}

struct slice rewrite_want_name(struct rewriter *rw)
{
    struct slice name = token_text(&rw->lx, rw->now);

    if (rw->now.kind != TOKEN_NAME || rewrite_is_keyword(name)) {
        rewrite_fail(rw, "<name> expected");
        return (struct slice){0};
    }
    rewrite_step(rw);
    return name;
}

bool rewrite_deeper(struct rewriter *rw)
{
    if (++rw->depth > REWRITE_DEPTH_MAX) {
        rewrite_fail(rw, "chunk has too many syntax levels");
        return false;
    }
    return true;
}

/* ---- whether there is anything to do ---- */

static bool is_new_operator(struct slice s)
{
    return slice_eq(s, SLICE("//")) || slice_eq(s, SLICE("&")) || slice_eq(s, SLICE("|")) ||
           slice_eq(s, SLICE("~")) || slice_eq(s, SLICE("<<")) || slice_eq(s, SLICE(">>"));
}

/* Also true for some texts without, such as `a <const> b`: the parser then finds nothing to do. */
static bool has_new_tokens(struct slice text)
{
    struct lexer lx = {.text = text, .line = 1};
    bool after_less = false;

    for (;;) {
        struct token t = lexer_next(&lx);
        struct slice s = token_text(&lx, t);

        if (t.kind == TOKEN_END || t.kind == TOKEN_BAD) {
            return false; /* LuaJIT's own message says what is wrong with it */
        }
        if (t.kind == TOKEN_OTHER && is_new_operator(s)) {
            return true;
        }
        if (after_less && (slice_eq(s, SLICE("const")) || slice_eq(s, SLICE("close")))) {
            return true;
        }
        after_less = t.kind == TOKEN_OTHER && slice_eq(s, SLICE("<"));
    }
}

enum rewrite rewrite_source(struct slice text, struct buf *out, struct buf *why, int *line)
{
    struct rewriter rw = {.lx = {.text = text, .line = 1}, .why = why};

    if (!has_new_tokens(text)) {
        return REWRITE_SAME;
    }
    rw.ahead = lexer_next(&rw.lx);
    rewrite_step(&rw);
    rewrite_chunk(&rw);
    if (!rw.failed && rw.edit_count > 0) {
        apply_edits(&rw, out);
    }
    *line = rw.fail_line;
    mem_give(rw.edits);
    mem_give(rw.names);
    buf_free(&rw.inserted);
    return rw.failed ? REWRITE_BAD : rw.edit_count > 0 ? REWRITE_DONE : REWRITE_SAME;
}
