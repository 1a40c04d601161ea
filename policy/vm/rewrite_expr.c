/* Expressions: operators that LuaJIT lacks become calls around their operands. The calls stand in
 * parentheses, so that none is a tail call and errors name the line of the operator. */
#include "policy/vm/rewrite_private.h"

struct binary {
    const char *text;
    uint8_t left, right; /* priorities; right below left: right associative */
    const char *call;    /* NULL: LuaJIT has it */
};

static const struct binary binaries[] = {
    {"or", 1, 1, NULL},
    {"and", 2, 2, NULL},
    {"<", 3, 3, NULL},
    {">", 3, 3, NULL},
    {"<=", 3, 3, NULL},
    {">=", 3, 3, NULL},
    {"~=", 3, 3, NULL},
    {"==", 3, 3, NULL},
    {"|", 4, 4, "((\"\").__op_bor("},
    {"~", 5, 5, "((\"\").__op_bxor("},
    {"&", 6, 6, "((\"\").__op_band("},
    {"<<", 7, 7, "((\"\").__op_shl("},
    {">>", 7, 7, "((\"\").__op_shr("},
    {"..", 9, 8, NULL},
    {"+", 10, 10, NULL},
    {"-", 10, 10, NULL},
    {"*", 11, 11, NULL},
    {"/", 11, 11, NULL},
    {"//", 11, 11, "((\"\").__op_idiv("},
    {"%", 11, 11, NULL},
    {"^", 14, 13, NULL},
};

#define UNARY_PRIORITY 12u

static void expr_above(struct rewriter *rw, uint32_t limit);

static const struct binary *binary_here(const struct rewriter *rw)
{
    for (size_t i = 0; i < ARRAY_COUNT(binaries); i++) {
        if (rewrite_at(rw, binaries[i].text)) {
            return &binaries[i];
        }
    }
    return NULL;
}

static void table_constructor(struct rewriter *rw)
{
    rewrite_want(rw, "{");
    while (!rewrite_at(rw, "}") && !rw->failed) {
        if (rewrite_take(rw, "[")) {
            rewrite_expr(rw);
            rewrite_want(rw, "]");
            rewrite_want(rw, "=");
        } else if (rw->now.kind == TOKEN_NAME && rw->ahead.kind == TOKEN_OTHER &&
                   slice_eq(token_text(&rw->lx, rw->ahead), SLICE("="))) {
            (void)rewrite_want_name(rw);
            rewrite_want(rw, "=");
        }
        rewrite_expr(rw);
        if (!rewrite_take(rw, ",") && !rewrite_take(rw, ";")) {
            break;
        }
    }
    rewrite_want(rw, "}");
}

static bool at_string(const struct rewriter *rw)
{
    char c = rw->now.kind == TOKEN_VALUE ? rw->lx.text.ptr[rw->now.from] : '\0';

    return c == '"' || c == '\'' || c == '[';
}

/* False: no call here. */
static bool call_arguments(struct rewriter *rw)
{
    if (at_string(rw)) {
        rewrite_step(rw);
    } else if (rewrite_at(rw, "{")) {
        table_constructor(rw);
    } else if (rewrite_take(rw, "(")) {
        if (!rewrite_at(rw, ")")) {
            rewrite_expr_list(rw);
        }
        rewrite_want(rw, ")");
    } else {
        return false;
    }
    return true;
}

struct slice rewrite_suffixed(struct rewriter *rw, bool *is_call)
{
    struct slice name = {0};

    *is_call = false;
    if (rewrite_take(rw, "(")) {
        rewrite_expr(rw);
        rewrite_want(rw, ")");
    } else {
        name = rewrite_want_name(rw);
    }
    while (!rw->failed) {
        if (rewrite_take(rw, ".")) {
            (void)rewrite_want_name(rw);
            *is_call = false;
        } else if (rewrite_take(rw, "[")) {
            rewrite_expr(rw);
            rewrite_want(rw, "]");
            *is_call = false;
        } else if (rewrite_take(rw, ":")) {
            (void)rewrite_want_name(rw);
            if (!call_arguments(rw)) {
                rewrite_fail(rw, "function arguments expected");
            }
            *is_call = true;
        } else if (call_arguments(rw)) {
            *is_call = true;
        } else {
            break;
        }
        name = (struct slice){0};
    }
    return name;
}

static void simple_expr(struct rewriter *rw)
{
    bool is_call;

    if (rw->now.kind == TOKEN_VALUE || rewrite_at(rw, "nil") || rewrite_at(rw, "true") ||
        rewrite_at(rw, "false") || rewrite_at(rw, "...")) {
        rewrite_step(rw);
    } else if (rewrite_at(rw, "{")) {
        table_constructor(rw);
    } else if (rewrite_take(rw, "function")) {
        rewrite_function_body(rw, false);
    } else if (rewrite_at(rw, "(") || rw->now.kind == TOKEN_NAME) {
        (void)rewrite_suffixed(rw, &is_call);
    } else {
        rewrite_fail(rw, "unexpected symbol");
    }
}

static void unary_expr(struct rewriter *rw)
{
    if (rewrite_at(rw, "~")) {
        rewrite_edit(rw, EDIT_TOKEN, rw->now.from, 1, "((\"\").__op_bnot(");
        rewrite_step(rw);
        expr_above(rw, UNARY_PRIORITY);
        rewrite_edit(rw, EDIT_CLOSE, rw->last_to, 0, "))");
    } else if (rewrite_take(rw, "not") || rewrite_take(rw, "-") || rewrite_take(rw, "#")) {
        expr_above(rw, UNARY_PRIORITY);
    } else {
        simple_expr(rw);
    }
}

/* An expression of operators that bind tighter than `limit`. */
static void expr_above(struct rewriter *rw, uint32_t limit)
{
    size_t from = rw->now.from;
    const struct binary *op;

    if (!rewrite_deeper(rw)) {
        return;
    }
    unary_expr(rw);
    while ((op = binary_here(rw)) != NULL && op->left > limit) {
        if (op->call != NULL) {
            rewrite_edit(rw, EDIT_OPEN, from, 0, op->call);
            rewrite_edit(rw, EDIT_TOKEN, rw->now.from, rw->now.to - rw->now.from, ",");
        }
        rewrite_step(rw);
        expr_above(rw, op->right);
        if (op->call != NULL) {
            rewrite_edit(rw, EDIT_CLOSE, rw->last_to, 0, "))");
        }
    }
    rw->depth--;
}

void rewrite_expr(struct rewriter *rw)
{
    expr_above(rw, 0);
}

void rewrite_expr_list(struct rewriter *rw)
{
    do {
        rewrite_expr(rw);
    } while (rewrite_take(rw, ","));
}
