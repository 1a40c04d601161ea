#include "policy/vm/rewrite_lex.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char peek(const struct lexer *lx, size_t ahead)
{
    return lx->at + ahead < lx->text.len ? lx->text.ptr[lx->at + ahead] : '\0';
}

/* At '[': the level of a long bracket, or -1. */
static int long_level(const struct lexer *lx)
{
    size_t i = 1;

    while (peek(lx, i) == '=') {
        i++;
    }
    return peek(lx, i) == '[' ? (int)i - 1 : -1;
}

/* Behind the closing bracket; false when there is none. */
static bool skip_long(struct lexer *lx, int level)
{
    lx->at += (size_t)level + 2;
    while (lx->at < lx->text.len) {
        char c = lx->text.ptr[lx->at++];

        if (c == '\n') {
            lx->line++;
        } else if (c == ']') {
            size_t i = 0;

            while (peek(lx, i) == '=') {
                i++;
            }
            if ((int)i == level && peek(lx, i) == ']') {
                lx->at += i + 1;
                return true;
            }
        }
    }
    return false;
}

static bool skip_comment(struct lexer *lx)
{
    lx->at += 2;
    if (peek(lx, 0) == '[') {
        int level = long_level(lx);

        if (level >= 0) {
            return skip_long(lx, level);
        }
    }
    while (lx->at < lx->text.len && lx->text.ptr[lx->at] != '\n') {
        lx->at++;
    }
    return true;
}

static bool skip_string(struct lexer *lx)
{
    char quote = lx->text.ptr[lx->at++];

    while (lx->at < lx->text.len) {
        char c = lx->text.ptr[lx->at++];

        if (c == quote) {
            return true;
        }
        if (c == '\n') {
            return false;
        }
        if (c != '\\' || lx->at == lx->text.len) {
            continue;
        }
        c = lx->text.ptr[lx->at++];
        if (c == '\n') {
            lx->line++;
        } else if (c == 'z') { /* skips blanks, lines included */
            while (lx->at < lx->text.len && strchr(" \t\r\n\f\v", lx->text.ptr[lx->at]) != NULL &&
                   lx->text.ptr[lx->at] != '\0') {
                lx->line += lx->text.ptr[lx->at++] == '\n';
            }
        }
    }
    return false;
}

static void skip_number(struct lexer *lx)
{
    bool hex = peek(lx, 0) == '0' && (peek(lx, 1) | 0x20) == 'x';

    for (;;) {
        char c = peek(lx, 0);

        if ((((c | 0x20) == 'e' && !hex) || ((c | 0x20) == 'p' && hex)) &&
            (peek(lx, 1) == '+' || peek(lx, 1) == '-')) {
            lx->at += 2;
        } else if (is_letter(c) || is_digit(c) || c == '.') {
            lx->at++;
        } else {
            return;
        }
    }
}

static size_t operator_size(const struct lexer *lx)
{
    static const char *const operators[] = {"...", "..", "==", "~=", "<=", ">=",
                                            "//",  "::", "<<", ">>"};

    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        size_t len = strlen(operators[i]);

        if (slice_starts(slice_from(lx->text, lx->at), slice_of(operators[i], len))) {
            return len;
        }
    }
    return 1;
}

/* False: a comment has no end. */
static bool skip_blank(struct lexer *lx)
{
    while (lx->at < lx->text.len) {
        char c = lx->text.ptr[lx->at];

        if (c == '\n') {
            lx->line++;
            lx->at++;
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v') {
            lx->at++;
        } else if (c == '-' && peek(lx, 1) == '-') {
            if (!skip_comment(lx)) {
                return false;
            }
        } else {
            return true;
        }
    }
    return true;
}

struct token lexer_next(struct lexer *lx)
{
    struct token t = {.kind = TOKEN_BAD};
    bool whole = skip_blank(lx);
    char c = peek(lx, 0);

    t.from = lx->at;
    t.line = lx->line;
    if (whole && lx->at == lx->text.len) {
        t.kind = TOKEN_END;
    } else if (whole && is_letter(c)) {
        t.kind = TOKEN_NAME;
        while (is_letter(peek(lx, 0)) || is_digit(peek(lx, 0))) {
            lx->at++;
        }
    } else if (whole && (is_digit(c) || (c == '.' && is_digit(peek(lx, 1))))) {
        t.kind = TOKEN_VALUE;
        skip_number(lx);
    } else if (whole && (c == '"' || c == '\'')) {
        t.kind = skip_string(lx) ? TOKEN_VALUE : TOKEN_BAD;
    } else if (whole && c == '[' && long_level(lx) >= 0) {
        t.kind = skip_long(lx, long_level(lx)) ? TOKEN_VALUE : TOKEN_BAD;
    } else if (whole) {
        t.kind = TOKEN_OTHER;
        lx->at += operator_size(lx);
    }
    t.to = lx->at;
    return t;
}
