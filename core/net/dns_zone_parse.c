/* Master file text to records: RFC 1035 5. */
#include "core/base/check.h"
#include "core/base/hex.h"
#include "core/base/ip.h"
#include "core/net/dns_name.h"
#include "core/net/dns_zone.h"
#include "core/net/dns_zone_private.h"
#include "proto/dns_answer.h"

#define TTL_DEFAULT_S 60u
#define STRING_MAX 255u

enum token { TOKEN_END = 0, TOKEN_LINE, TOKEN_WORD };

struct scanner {
    struct slice rest;
    uint32_t line;
    uint32_t depth;  /* open parentheses: line ends are blanks */
    bool line_start; /* nothing but blanks so far */
    bool indented;   /* the line began with a blank: the owner is the one before */
    struct buf word; /* of the last TOKEN_WORD, unescaped */
    bool quoted;
};

struct zone_parser {
    struct dns_zone *zone;
    struct scanner in;
    struct buf origin, owner, name; /* kept form */
    struct buf rdata;
    uint32_t ttl_s;
    struct buf *why;
};

static bool fail(struct zone_parser *p, const char *what)
{
    buf_printf(p->why, "zone line %u: %s", p->in.line, what);
    return false;
}

static void skip_comment(struct scanner *s)
{
    s->rest = slice_from(s->rest, slice_find_char(s->rest, '\n'));
}

static enum token scan_quoted(struct scanner *s)
{
    s->rest = slice_from(s->rest, 1);
    while (s->rest.len > 0 && s->rest.ptr[0] != '"') {
        if (s->rest.ptr[0] == '\\' && s->rest.len > 1) {
            s->rest = slice_from(s->rest, 1);
        }
        s->line += s->rest.ptr[0] == '\n';
        buf_char(&s->word, s->rest.ptr[0]);
        s->rest = slice_from(s->rest, 1);
    }
    s->rest = slice_from(s->rest, 1);
    s->quoted = true;
    return TOKEN_WORD;
}

static bool ends_word(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ';' || c == '(' || c == ')' ||
           c == '"';
}

static enum token scan_word(struct scanner *s)
{
    while (s->rest.len > 0 && !ends_word(s->rest.ptr[0])) {
        buf_char(&s->word, s->rest.ptr[0]);
        s->rest = slice_from(s->rest, 1);
    }
    return TOKEN_WORD;
}

static enum token scan(struct scanner *s)
{
    buf_clear(&s->word);
    s->quoted = false;
    while (s->rest.len > 0) {
        const char c = s->rest.ptr[0];

        if (c == ';') {
            skip_comment(s);
        } else if (c == '"') {
            s->line_start = false;
            return scan_quoted(s);
        } else if (!ends_word(c)) {
            s->line_start = false;
            return scan_word(s);
        } else {
            s->rest = slice_from(s->rest, 1);
            s->indented = s->indented || (s->line_start && (c == ' ' || c == '\t'));
            s->depth += c == '(';
            s->depth -= c == ')' && s->depth > 0;
            s->line += c == '\n';
            if (c == '\n' && s->depth == 0) {
                s->line_start = true;
                s->indented = false;
                return TOKEN_LINE;
            }
        }
    }
    return TOKEN_END;
}

/* "@", "name." or a name below the origin, in kept form. */
static bool name_put(struct zone_parser *p, struct buf *out)
{
    const struct slice word = buf_slice(&p->in.word);
    struct buf text = {0};
    bool ok;

    if (slice_eq(word, SLICE("@"))) {
        buf_put(out, buf_slice(&p->origin));
        return p->origin.len > 0;
    }
    if (slice_eq(word, SLICE("."))) {
        buf_char(out, '.');
        return true;
    }
    buf_put(&text, word);
    if (!slice_ends(word, SLICE("."))) {
        buf_char(&text, '.');
        buf_put(&text, buf_slice(&p->origin));
    }
    ok = dns_name_put(buf_slice(&text), out);
    buf_free(&text);
    return ok;
}

static bool rdata_name(struct zone_parser *p)
{
    buf_clear(&p->name);
    if (scan(&p->in) != TOKEN_WORD || !name_put(p, &p->name)) {
        return fail(p, "a name is missing or malformed");
    }
    zone_name_put(&p->rdata, buf_slice(&p->name));
    return true;
}

static bool rdata_number(struct zone_parser *p, unsigned bytes)
{
    uint64_t n;

    if (scan(&p->in) != TOKEN_WORD || !slice_to_u64(buf_slice(&p->in.word), &n) ||
        n >> (8 * bytes) != 0) {
        return fail(p, "a number is missing or out of range");
    }
    while (bytes-- > 0) {
        buf_char(&p->rdata, (char)(n >> (8 * bytes)));
    }
    return true;
}

static bool rdata_ip(struct zone_parser *p, enum ip_family family)
{
    struct ip ip;

    if (scan(&p->in) != TOKEN_WORD || !ip_parse(buf_slice(&p->in.word), &ip) ||
        ip.family != family) {
        return fail(p, "an address is missing or malformed");
    }
    buf_append(&p->rdata, ip.bytes, family == IP_V4 ? 4 : 16);
    return true;
}

/* Up to the end of the line; a string beyond 255 bytes becomes several of one record. */
static bool rdata_strings(struct zone_parser *p)
{
    bool any = false;

    for (;;) {
        const enum token t = scan(&p->in);
        struct slice left = buf_slice(&p->in.word);

        if (t != TOKEN_WORD) {
            return any || fail(p, "a string is missing");
        }
        do {
            const struct slice piece = slice_head(left, STRING_MAX);

            buf_char(&p->rdata, (char)piece.len);
            buf_put(&p->rdata, piece);
            left = slice_from(left, piece.len);
        } while (left.len > 0);
        any = true;
    }
}

static bool rdata_hex(struct zone_parser *p)
{
    if (scan(&p->in) != TOKEN_WORD || !hex_decode(&p->rdata, buf_slice(&p->in.word))) {
        return fail(p, "hex digits are missing or malformed");
    }
    return true;
}

static bool rdata_read(struct zone_parser *p, uint16_t type)
{
    buf_clear(&p->rdata);
    switch (type) {
    case DNS_A:
        return rdata_ip(p, IP_V4);
    case DNS_AAAA:
        return rdata_ip(p, IP_V6);
    case DNS_MX:
        return rdata_number(p, 2) && rdata_name(p);
    case DNS_TXT:
        return rdata_strings(p);
    case DNS_TLSA:
        return rdata_number(p, 1) && rdata_number(p, 1) && rdata_number(p, 1) && rdata_hex(p);
    case DNS_SOA:
        return rdata_name(p) && rdata_name(p) && rdata_number(p, 4) && rdata_number(p, 4) &&
               rdata_number(p, 4) && rdata_number(p, 4) && rdata_number(p, 4);
    default: /* CNAME, NS, PTR */
        return rdata_name(p);
    }
}

static uint16_t type_of(struct slice word)
{
    static const struct {
        struct slice name;
        uint16_t type;
    } types[] = {
        {SLICE_INIT("A"), DNS_A},         {SLICE_INIT("AAAA"), DNS_AAAA},
        {SLICE_INIT("CNAME"), DNS_CNAME}, {SLICE_INIT("MX"), DNS_MX},
        {SLICE_INIT("NS"), DNS_NS},       {SLICE_INIT("PTR"), DNS_PTR},
        {SLICE_INIT("SOA"), DNS_SOA},     {SLICE_INIT("TLSA"), DNS_TLSA},
        {SLICE_INIT("TXT"), DNS_TXT},
    };

    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        if (slice_eq_nocase(types[i].name, word)) {
            return types[i].type;
        }
    }
    return 0;
}

static bool directive_read(struct zone_parser *p)
{
    const bool is_origin = slice_eq_nocase(buf_slice(&p->in.word), SLICE("$ORIGIN"));
    uint64_t n;

    if (!is_origin && !slice_eq_nocase(buf_slice(&p->in.word), SLICE("$TTL"))) {
        return fail(p, "only $ORIGIN and $TTL are known");
    }
    if (scan(&p->in) != TOKEN_WORD) {
        return fail(p, "the directive has no value");
    }
    if (is_origin) {
        buf_clear(&p->name);
        if (!name_put(p, &p->name)) {
            return fail(p, "the origin is no name");
        }
        buf_clear(&p->origin);
        buf_put(&p->origin, buf_slice(&p->name));
        return true;
    }
    if (!slice_to_u64(buf_slice(&p->in.word), &n) || n > INT32_MAX) {
        return fail(p, "the TTL is no number of seconds");
    }
    p->ttl_s = (uint32_t)n;
    return true;
}

/* [TTL] [class] type data; TTL and class in either order. The first word has been scanned. */
static bool record_read(struct zone_parser *p)
{
    uint32_t ttl_s = p->ttl_s;
    uint16_t type;
    uint64_t n;

    while ((type = type_of(buf_slice(&p->in.word))) == 0) {
        if (slice_to_u64(buf_slice(&p->in.word), &n) && n <= INT32_MAX) {
            ttl_s = (uint32_t)n;
        } else if (!slice_eq_nocase(buf_slice(&p->in.word), SLICE("IN"))) {
            return fail(p, "the record has no known type");
        }
        if (scan(&p->in) != TOKEN_WORD) {
            return fail(p, "the record has no type");
        }
    }
    if (!rdata_read(p, type)) {
        return false;
    }
    if (!zone_record_add(p->zone, buf_slice(&p->owner), type, ttl_s, buf_slice(&p->rdata))) {
        return fail(p, "too many records");
    }
    return true;
}

static bool line_read(struct zone_parser *p)
{
    if (p->in.word.len > 0 && p->in.word.ptr[0] == '$' && !p->in.quoted) {
        return directive_read(p);
    }
    if (!p->in.indented) {
        buf_clear(&p->name);
        if (!name_put(p, &p->name)) {
            return fail(p, "the owner is no name");
        }
        buf_clear(&p->owner);
        buf_put(&p->owner, buf_slice(&p->name));
        if (scan(&p->in) != TOKEN_WORD) {
            return fail(p, "the record has no type");
        }
    }
    if (p->owner.len == 0) {
        return fail(p, "the record has no owner");
    }
    return record_read(p);
}

static bool line_ends(struct zone_parser *p)
{
    return p->in.line_start || scan(&p->in) != TOKEN_WORD || fail(p, "text after the record");
}

bool dns_zone_parse(struct dns_zone *z, struct slice text, struct buf *why)
{
    struct zone_parser p = {.zone = z,
                            .in = {.rest = text, .line = 1, .line_start = true},
                            .ttl_s = TTL_DEFAULT_S,
                            .why = why};
    enum token t;
    bool ok = true;

    while (ok && (t = scan(&p.in)) != TOKEN_END) {
        ok = t == TOKEN_LINE || (line_read(&p) && line_ends(&p));
    }
    buf_free(&p.in.word);
    buf_free(&p.origin);
    buf_free(&p.owner);
    buf_free(&p.name);
    buf_free(&p.rdata);
    return ok;
}
