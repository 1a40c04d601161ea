#include "policy/api/header_address_parse.h"

#include "proto/header.h"

struct parser {
    struct slice in;
    size_t at;
    struct buf *name, *local;
    header_address_fn *emit;
    void *arg;
};

static char here(const struct parser *p)
{
    return p->at < p->in.len ? p->in.ptr[p->at] : '\0';
}

static bool ended(const struct parser *p)
{
    return p->at >= p->in.len;
}

static bool is_special(char c)
{
    return memchr("()<>[]:;@\\,\"", c, 12) != NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Blanks and comments. False: a comment does not end. */
static bool skip_blank(struct parser *p)
{
    uint32_t depth = 0;

    for (; !ended(p); p->at++) {
        char c = here(p);

        if (c == '(') {
            if (++depth > HEADER_COMMENT_DEPTH_MAX) {
                return false;
            }
        } else if (depth > 0 && c == ')') {
            depth--;
        } else if (depth > 0 && c == '\\') {
            p->at++;
        } else if (depth == 0 && !is_blank(c)) {
            return true;
        }
    }
    return depth == 0;
}

static struct slice take_atom(struct parser *p)
{
    size_t from = p->at;

    while (!ended(p) && !is_special(here(p)) && !is_blank(here(p))) {
        p->at++;
    }
    return slice_of(p->in.ptr + from, p->at - from);
}

/* At a quote. Appends the text to `text`, the whole as written to `raw`. */
static bool take_quoted(struct parser *p, struct buf *text, struct buf *raw)
{
    size_t from = p->at++;

    while (!ended(p) && here(p) != '"') {
        if (here(p) == '\\' && p->at + 1 < p->in.len) {
            p->at++;
        }
        buf_char(text, here(p));
        p->at++;
    }
    if (ended(p)) {
        return false;
    }
    p->at++;
    buf_append(raw, p->in.ptr + from, p->at - from);
    return true;
}

/* Words up to something that is none: as a display name in p->name, run together in p->local. */
static bool take_words(struct parser *p, bool *any)
{
    buf_clear(p->name);
    buf_clear(p->local);
    *any = false;
    for (;;) {
        if (!skip_blank(p)) {
            return false;
        }
        char c = here(p);

        if (ended(p) || (is_special(c) && c != '"')) {
            return true;
        }
        if (*any) {
            buf_char(p->name, ' ');
        }
        *any = true;
        if (c == '"') {
            if (!take_quoted(p, p->name, p->local)) {
                return false;
            }
        } else {
            struct slice atom = take_atom(p);

            buf_put(p->name, atom);
            buf_put(p->local, atom);
        }
    }
}

/* The display name, encoded words decoded behind the raw text in the same buffer. */
static struct slice decoded_name(struct parser *p)
{
    struct slice raw = buf_slice(p->name);
    size_t len = p->name->len;

    if (memmem(raw.ptr, raw.len, "=?", 2) == NULL) {
        return raw;
    }
    struct buf tail = {0};

    (void)header_decode_put(&tail, raw);
    buf_put(p->name, buf_slice(&tail));
    buf_free(&tail);
    return slice_from(buf_slice(p->name), len);
}

/* Behind the @: a domain or literal. */
static bool take_domain(struct parser *p, struct slice *out)
{
    size_t from;

    if (!skip_blank(p)) {
        return false;
    }
    from = p->at;
    if (here(p) == '[') {
        while (!ended(p) && here(p) != ']') {
            p->at++;
        }
        if (ended(p)) {
            return false;
        }
        p->at++;
        *out = slice_of(p->in.ptr + from, p->at - from);
    } else {
        *out = take_atom(p);
    }
    return out->len > 0 && skip_blank(p);
}

/* Behind the <: an optional route, then local@domain and >. */
static bool take_angle(struct parser *p, struct header_address *a)
{
    if (!skip_blank(p)) {
        return false;
    }
    if (here(p) == '@') {
        while (!ended(p) && here(p) != ':' && here(p) != '>') {
            p->at++;
        }
        p->at += here(p) == ':';
    }
    buf_clear(p->local);
    for (;;) { /* words of the local part; blanks between them are obsolete and dropped */
        if (!skip_blank(p)) {
            return false;
        }
        if (here(p) == '"') {
            struct buf text = {0};
            bool whole = take_quoted(p, &text, p->local);

            buf_free(&text);
            if (!whole) {
                return false;
            }
        } else if (ended(p) || is_special(here(p))) {
            break;
        } else {
            buf_put(p->local, take_atom(p));
        }
    }
    if (here(p) != '@' || p->local->len == 0) {
        return false;
    }
    p->at++;
    if (!take_domain(p, &a->domain) || here(p) != '>') {
        return false;
    }
    p->at++;
    a->local = buf_slice(p->local);
    return skip_blank(p);
}

/* One mailbox, or the head of a group if that may begin here. */
static bool take_address(struct parser *p, bool in_group, bool *group_begins)
{
    struct header_address a = {.kind = HEADER_MAILBOX};
    bool any;

    *group_begins = false;
    if (!take_words(p, &any)) {
        return false;
    }
    switch (here(p)) {
    case '<':
        p->at++;
        a.has_name = any;
        a.name = any ? decoded_name(p) : (struct slice){0};
        if (!take_angle(p, &a)) {
            return false;
        }
        break;
    case '@':
        p->at++;
        if (!any || !take_domain(p, &a.domain)) {
            return false;
        }
        a.local = buf_slice(p->local);
        break;
    case ':':
        if (in_group || !any) {
            return false;
        }
        p->at++;
        a.kind = HEADER_GROUP_BEGIN;
        a.has_name = true;
        a.name = decoded_name(p);
        *group_begins = true;
        break;
    default:
        return false;
    }
    p->emit(p->arg, &a);
    return true;
}

static bool take_group(struct parser *p)
{
    bool nested;

    for (;;) {
        if (!skip_blank(p)) {
            return false;
        }
        if (here(p) == ';') {
            p->at++;
            p->emit(p->arg, &(struct header_address){.kind = HEADER_GROUP_END});
            return skip_blank(p);
        }
        if (here(p) == ',') {
            p->at++;
        } else if (!take_address(p, true, &nested)) {
            return false;
        }
    }
}

bool header_address_parse(struct slice value, struct buf *name, struct buf *local,
                          header_address_fn *emit, void *arg)
{
    struct parser p = {.in = value, .name = name, .local = local, .emit = emit, .arg = arg};
    bool group_begins;

    for (;;) {
        if (!skip_blank(&p)) {
            return false;
        }
        if (ended(&p)) {
            return true;
        }
        if (here(&p) == ',') { /* empty elements are obsolete, and harmless */
            p.at++;
            continue;
        }
        if (!take_address(&p, false, &group_begins) || (group_begins && !take_group(&p))) {
            return false;
        }
        if (!ended(&p) && here(&p) != ',') {
            return false;
        }
    }
}
