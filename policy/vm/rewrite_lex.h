/*
 * rewrite_lex - the tokens of Lua 5.4, as far as the rewriter must tell them apart.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/base/slice.h"

enum token_kind {
    TOKEN_END = 0, /* of the text */
    TOKEN_NAME,    /* keywords included; see token_is() */
    TOKEN_VALUE,   /* number or string */
    TOKEN_OTHER,   /* operators and punctuation */
    TOKEN_BAD,     /* an unfinished string or comment */
};

struct token {
    enum token_kind kind;
    size_t from, to; /* in the text */
    int line;
};

struct lexer {
    struct slice text;
    size_t at;
    int line;
};

struct token lexer_next(struct lexer *lx);

static inline struct slice token_text(const struct lexer *lx, struct token t)
{
    return slice_of(lx->text.ptr + t.from, t.to - t.from);
}
