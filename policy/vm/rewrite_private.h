/*
 * rewrite_private - what the rewriter's files share: the tokens in hand, the edits so far, and
 * the names in scope.
 */
#pragma once

#include "core/base/buf.h"
#include "policy/vm/rewrite_lex.h"

/* At one place of the text: first what closes, then what opens, then what takes a token's place. */
enum edit_rank { EDIT_CLOSE = 0, EDIT_OPEN, EDIT_TOKEN };

struct edit {
    size_t at, drop; /* in the source */
    enum edit_rank rank;
    size_t seq;
    size_t text_from, text_len; /* in rewriter.inserted */
};

struct local_name {
    struct slice name;
    bool read_only;
};

/* The rest of a block behind a <close> variable: it became the body of a function. */
struct close_scope {
    struct close_scope *outer; /* in the same function */
    uint32_t id;
    uint32_t loop_depth; /* when it began: a break at this depth leaves the scope */
    bool returns, breaks;
};

struct function_scope {
    bool is_vararg;
    uint32_t loop_depth;
    struct close_scope *closing;
};

struct rewriter {
    struct lexer lx;
    struct token now, ahead;
    size_t last_to; /* where the token before `now` ends */
    struct buf *why;
    bool failed;
    int fail_line;
    uint32_t depth;
    struct edit *edits;
    size_t edit_count, edit_room;
    struct buf inserted;
    struct local_name *names;
    size_t name_count, name_room;
    struct function_scope *fn;
    uint32_t close_count;
};

void rewrite_edit(struct rewriter *rw, enum edit_rank rank, size_t at, size_t drop,
                  const char *text);
bool rewrite_at(const struct rewriter *rw, const char *text);
bool rewrite_take(struct rewriter *rw, const char *text);
void rewrite_want(struct rewriter *rw, const char *text);
void rewrite_step(struct rewriter *rw);
struct slice rewrite_want_name(struct rewriter *rw);
bool rewrite_is_keyword(struct slice s);
void rewrite_fail(struct rewriter *rw, const char *text);
bool rewrite_deeper(struct rewriter *rw); /* false: too deep; the caller gives back rw->depth */

void rewrite_chunk(struct rewriter *rw);

/* rewrite_expr.c */
void rewrite_expr(struct rewriter *rw);
void rewrite_expr_list(struct rewriter *rw);
/* name, name.x, name(...)...; answers the name when it is nothing but one, else empty. *is_call
 * says whether it ended in a call. */
struct slice rewrite_suffixed(struct rewriter *rw, bool *is_call);

/* rewrite_block.c */
void rewrite_function_body(struct rewriter *rw, bool is_method);
