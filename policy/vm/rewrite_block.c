/* Statements and blocks: attributes of locals, and what <close> does to the rest of a block. */
#include <stdio.h>

#include "core/base/mem.h"
#include "policy/vm/rewrite_private.h"

static void block(struct rewriter *rw, bool of_repeat);

/* ---- names ---- */

static void name_add(struct rewriter *rw, struct slice name, bool read_only)
{
    if (rw->name_count == rw->name_room) {
        rw->name_room = rw->name_room != 0 ? rw->name_room * 2 : 64;
        rw->names = mem_grow(rw->names, rw->name_room * sizeof(rw->names[0]));
    }
    rw->names[rw->name_count++] = (struct local_name){name, read_only};
}

static void check_assignable(struct rewriter *rw, struct slice name)
{
    for (size_t i = rw->name_count; name.len != 0 && i-- > 0;) {
        if (slice_eq(rw->names[i].name, name)) {
            if (rw->names[i].read_only) {
                char text[160];

                (void)snprintf(text, sizeof(text), "attempt to assign to const variable '%.*s'",
                               (int)(name.len < 80 ? name.len : 80), name.ptr);
                rewrite_fail(rw, text);
            }
            return;
        }
    }
}

/* ---- leaving a scope that was made a function ---- */

static void statement_return(struct rewriter *rw)
{
    struct close_scope *closing = rw->fn->closing;
    bool has_values;

    rewrite_want(rw, "return");
    has_values = rw->now.kind != TOKEN_END && !rewrite_at(rw, "end") && !rewrite_at(rw, "else") &&
                 !rewrite_at(rw, "elseif") && !rewrite_at(rw, "until") && !rewrite_at(rw, ";");
    if (closing != NULL) {
        rewrite_edit(rw, EDIT_CLOSE, rw->last_to, 0, has_values ? " 1," : " 1");
        closing->returns = true;
    }
    if (has_values) {
        rewrite_expr_list(rw);
    }
    (void)rewrite_take(rw, ";");
}

static void statement_break(struct rewriter *rw)
{
    struct close_scope *closing = rw->fn->closing;

    if (closing != NULL && closing->loop_depth == rw->fn->loop_depth) {
        rewrite_edit(rw, EDIT_TOKEN, rw->now.from, 5, "do return 2 end");
        closing->breaks = true;
    }
    rewrite_step(rw);
}

/* Behind the function that the rest of the block became: go on leaving, if it was left. */
static void close_scope_end(struct rewriter *rw, struct close_scope *cs)
{
    struct close_scope *outer = cs->outer;
    char text[256];

    rewrite_edit(rw, EDIT_CLOSE, rw->last_to, 0, rw->fn->is_vararg ? " end, ...)" : " end)");
    if (cs->returns) {
        (void)snprintf(text, sizeof(text),
                       " if __close%u and __close%u[1] == 1 then "
                       "return %s(\"\").__op_results(__close%u) end",
                       cs->id, cs->id, outer != NULL ? "1, " : "", cs->id);
        rewrite_edit(rw, EDIT_CLOSE, rw->last_to, 0, text);
        if (outer != NULL) {
            outer->returns = true;
        }
    }
    if (cs->breaks) {
        bool leaves_outer = outer != NULL && outer->loop_depth == cs->loop_depth;

        (void)snprintf(text, sizeof(text), " if __close%u and __close%u[1] == 2 then %s end",
                       cs->id, cs->id, leaves_outer ? "return 2" : "break");
        rewrite_edit(rw, EDIT_CLOSE, rw->last_to, 0, text);
        if (leaves_outer) {
            outer->breaks = true;
        }
    }
}

/* ---- statements ---- */

/* `<const>` or `<close>` behind a name; blanked out. */
static struct slice attribute(struct rewriter *rw)
{
    size_t from = rw->now.from;
    struct slice name;

    if (!rewrite_take(rw, "<")) {
        return (struct slice){0};
    }
    name = rewrite_want_name(rw);
    if (!slice_eq(name, SLICE("const")) && !slice_eq(name, SLICE("close"))) {
        rewrite_fail(rw, "unknown attribute");
        return name;
    }
    rewrite_want(rw, ">");
    /* Line breaks between the tokens of an attribute would be lost: nobody writes that. */
    rewrite_edit(rw, EDIT_TOKEN, from, rw->last_to - from, "");
    return name;
}

/* From here to the end of the block: a function, run under protection, then __close. */
static void close_rest(struct rewriter *rw, struct slice name, bool of_repeat)
{
    struct close_scope cs = {.outer = rw->fn->closing,
                             .id = ++rw->close_count,
                             .loop_depth = rw->fn->loop_depth};
    char text[512];

    if (of_repeat) {
        rewrite_fail(rw, "a to-be-closed variable directly in a repeat block is not supported");
        return;
    }
    if (name.len > 100) {
        rewrite_fail(rw, "name of a to-be-closed variable is too long");
        return;
    }
    (void)snprintf(text, sizeof(text),
                   ";(\"\").__op_close(%.*s, \"%.*s\") local __close%u = (\"\").__op_scope(%.*s, "
                   "function(%s) ",
                   SLICE_ARG(name), SLICE_ARG(name), cs.id, SLICE_ARG(name),
                   rw->fn->is_vararg ? "..." : "");
    rewrite_edit(rw, EDIT_CLOSE, rw->last_to, 0, text);
    if (rewrite_deeper(rw)) {
        rw->fn->closing = &cs;
        block(rw, false);
        rw->fn->closing = cs.outer;
        close_scope_end(rw, &cs);
    }
    rw->depth--;
}

#define LOCALS_MAX 200u

static void statement_local(struct rewriter *rw, bool of_repeat)
{
    struct slice names[LOCALS_MAX], closing = {0};
    bool read_only[LOCALS_MAX];
    size_t count = 0;

    if (rewrite_take(rw, "function")) {
        name_add(rw, rewrite_want_name(rw), false);
        rewrite_function_body(rw, false);
        return;
    }
    do {
        if (count == LOCALS_MAX) {
            rewrite_fail(rw, "too many local variables");
            return;
        }
        names[count] = rewrite_want_name(rw);
        struct slice mark = attribute(rw);

        read_only[count] = mark.len != 0;
        if (slice_eq(mark, SLICE("close"))) {
            if (closing.len != 0) {
                rewrite_fail(rw, "multiple to-be-closed variables in local list");
            }
            closing = names[count];
        }
        count++;
    } while (rewrite_take(rw, ","));
    if (rewrite_take(rw, "=")) {
        rewrite_expr_list(rw);
    }
    for (size_t i = 0; i < count; i++) {
        name_add(rw, names[i], read_only[i]);
    }
    if (closing.len != 0 && !rw->failed) {
        close_rest(rw, closing, of_repeat);
    }
}

static void loop_block(struct rewriter *rw)
{
    rw->fn->loop_depth++;
    rewrite_want(rw, "do");
    block(rw, false);
    rewrite_want(rw, "end");
    rw->fn->loop_depth--;
}

static void statement_for(struct rewriter *rw)
{
    size_t scope = rw->name_count;
    size_t count = 0;

    rewrite_step(rw);
    do {
        name_add(rw, rewrite_want_name(rw), false);
        count++;
    } while (rewrite_take(rw, ","));
    if (count != 1 || !rewrite_take(rw, "=")) {
        rewrite_want(rw, "in");
    }
    rewrite_expr_list(rw);
    loop_block(rw);
    rw->name_count = scope;
}

static void statement_if(struct rewriter *rw)
{
    do {
        rewrite_step(rw); /* if, elseif */
        rewrite_expr(rw);
        rewrite_want(rw, "then");
        block(rw, false);
    } while (rewrite_at(rw, "elseif"));
    if (rewrite_take(rw, "else")) {
        block(rw, false);
    }
    rewrite_want(rw, "end");
}

static void statement_repeat(struct rewriter *rw)
{
    size_t scope = rw->name_count;

    rewrite_step(rw);
    rw->fn->loop_depth++;
    block(rw, true);
    rewrite_want(rw, "until");
    rewrite_expr(rw);
    rw->fn->loop_depth--;
    rw->name_count = scope;
}

static void statement_function(struct rewriter *rw)
{
    struct slice name;
    bool is_method = false, is_field = false;

    rewrite_step(rw);
    name = rewrite_want_name(rw);
    while (rewrite_take(rw, ".")) {
        (void)rewrite_want_name(rw);
        is_field = true;
    }
    if (rewrite_take(rw, ":")) {
        (void)rewrite_want_name(rw);
        is_method = true;
    }
    if (!is_method && !is_field) {
        check_assignable(rw, name);
    }
    rewrite_function_body(rw, is_method);
}

static void statement_expr(struct rewriter *rw)
{
    bool is_call;
    struct slice name = rewrite_suffixed(rw, &is_call);

    if (!rewrite_at(rw, ",") && !rewrite_at(rw, "=")) {
        if (!is_call) {
            rewrite_fail(rw, "syntax error");
        }
        return;
    }
    check_assignable(rw, name);
    while (rewrite_take(rw, ",")) {
        check_assignable(rw, rewrite_suffixed(rw, &is_call));
    }
    rewrite_want(rw, "=");
    rewrite_expr_list(rw);
}

static void statement(struct rewriter *rw, bool of_repeat)
{
    if (rewrite_take(rw, ";")) {
        return;
    }
    if (rewrite_at(rw, "if")) {
        statement_if(rw);
    } else if (rewrite_take(rw, "while")) {
        rewrite_expr(rw);
        loop_block(rw);
    } else if (rewrite_take(rw, "do")) {
        block(rw, false);
        rewrite_want(rw, "end");
    } else if (rewrite_at(rw, "for")) {
        statement_for(rw);
    } else if (rewrite_at(rw, "repeat")) {
        statement_repeat(rw);
    } else if (rewrite_at(rw, "function")) {
        statement_function(rw);
    } else if (rewrite_take(rw, "local")) {
        statement_local(rw, of_repeat);
    } else if (rewrite_take(rw, "::")) {
        (void)rewrite_want_name(rw);
        rewrite_want(rw, "::");
    } else if (rewrite_at(rw, "break")) {
        statement_break(rw);
    } else if (rewrite_at(rw, "goto") && rw->ahead.kind == TOKEN_NAME) {
        rewrite_step(rw);
        (void)rewrite_want_name(rw);
    } else {
        statement_expr(rw);
    }
}

static bool block_ends(const struct rewriter *rw)
{
    return rw->now.kind == TOKEN_END || rewrite_at(rw, "end") || rewrite_at(rw, "else") ||
           rewrite_at(rw, "elseif") || rewrite_at(rw, "until");
}

/* The locals of a repeat block live on in its condition; the caller forgets them. */
static void block(struct rewriter *rw, bool of_repeat)
{
    size_t scope = rw->name_count;

    if (!rewrite_deeper(rw)) {
        return;
    }
    while (!block_ends(rw)) {
        if (rewrite_at(rw, "return")) {
            statement_return(rw);
            break;
        }
        statement(rw, of_repeat);
    }
    if (!of_repeat) {
        rw->name_count = scope;
    }
    rw->depth--;
}

/* From the parameter list to `end`. */
void rewrite_function_body(struct rewriter *rw, bool is_method)
{
    struct function_scope fn = {0};
    struct function_scope *outer = rw->fn;
    size_t scope = rw->name_count;

    rw->fn = &fn;
    if (is_method) {
        name_add(rw, SLICE("self"), false);
    }
    rewrite_want(rw, "(");
    while (!rewrite_at(rw, ")") && !rw->failed) {
        if (rewrite_take(rw, "...")) {
            fn.is_vararg = true;
            break;
        }
        name_add(rw, rewrite_want_name(rw), false);
        if (!rewrite_take(rw, ",")) {
            break;
        }
    }
    rewrite_want(rw, ")");
    block(rw, false);
    rewrite_want(rw, "end");
    rw->fn = outer;
    rw->name_count = scope;
}

void rewrite_chunk(struct rewriter *rw)
{
    struct function_scope fn = {.is_vararg = true};

    rw->fn = &fn;
    block(rw, false);
    if (rw->now.kind != TOKEN_END) {
        rewrite_fail(rw, "'<eof>' expected");
    }
    rw->fn = NULL;
}
