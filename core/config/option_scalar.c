/* The kinds that are one value. */
#include <math.h>
#include <stdio.h>

#include "core/base/check.h"
#include "core/config/option.h"
#include "core/config/option_refuse.h"

static struct json *write_buf(struct json_doc *doc, struct buf *text)
{
    struct json *v = json_new_string(doc, buf_slice(text));

    buf_free(text);
    return v;
}

/* ---- bool ---- */

static bool bool_read(const struct option *o, const struct json *from, void *object,
                      struct buf *why)
{
    if (from->type == JSON_STRING) {
        return option_refuse_value(from, "a boolean", why);
    }
    if (from->type != JSON_BOOL) {
        return option_refuse_type(from, "a boolean", why);
    }
    *(bool *)option_at(o, object) = from->boolean;
    return true;
}

static struct json *bool_write(const struct option *o, const void *object, struct json_doc *doc)
{
    return json_new_bool(doc, *(const bool *)option_at_const(o, object));
}

const struct option_kind option_boolean = {bool_read, bool_write, NULL};

/* ---- int ---- */

static const char *int_name(uint64_t max)
{
    return max == UINT8_MAX ? "u8" : max == UINT16_MAX ? "u16" : max == UINT32_MAX ? "u32" : "u64";
}

static bool int_read(const struct option *o, const struct json *from, void *object, struct buf *why)
{
    uint64_t *at = option_at(o, object);

    if (from->type == JSON_INT && from->integer >= 0) {
        *at = (uint64_t)from->integer;
    } else if (from->type == JSON_UINT) {
        *at = from->uinteger;
    } else if (from->type == JSON_DOUBLE && from->number == floor(from->number) &&
               from->number >= 0 && from->number < 0x1p64) {
        *at = (uint64_t)from->number;
    } else if (from->type == JSON_INT) {
        return option_refuse_value(from, int_name(o->max), why);
    } else {
        return option_refuse_type(from, int_name(o->max), why);
    }
    if (*at > o->max) {
        *at = 0;
        return option_refuse_value(from, int_name(o->max), why);
    }
    return true;
}

static struct json *int_write(const struct option *o, const void *object, struct json_doc *doc)
{
    return json_new_uint(doc, *(const uint64_t *)option_at_const(o, object));
}

const struct option_kind option_int = {int_read, int_write, NULL};

/* ---- duration ---- */

#define DURATION_EXPECTED "a duration: a number of seconds or a string such as '1m 30s'"

static bool duration_read_number(const struct json *from, uint64_t *ns)
{
    switch ((enum json_type)from->type) {
    case JSON_INT:
        return from->integer >= 0 &&
               !__builtin_mul_overflow((uint64_t)from->integer, DURATION_S, ns);
    case JSON_DOUBLE:
        return duration_from_seconds(from->number, ns);
    case JSON_NULL:
    case JSON_BOOL:
    case JSON_UINT:
    case JSON_STRING:
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return false;
}

static bool duration_read(const struct option *o, const struct json *from, void *object,
                          struct buf *why)
{
    uint64_t *at = option_at(o, object);
    struct buf reason = {0};
    bool ok;

    if (from->type == JSON_INT || from->type == JSON_UINT || from->type == JSON_DOUBLE) {
        ok = duration_read_number(from, at);
        if (!ok) {
            *at = 0;
            (void)option_refuse_value(from, DURATION_EXPECTED, why);
        }
        return ok;
    }
    if (from->type != JSON_STRING) {
        return option_refuse_type(from, DURATION_EXPECTED, why);
    }
    ok = duration_parse(from->string, at, &reason);
    if (!ok) {
        *at = 0;
        (void)option_refuse_because(from, buf_slice(&reason), why);
    }
    buf_free(&reason);
    return ok;
}

static struct json *duration_write(const struct option *o, const void *object, struct json_doc *doc)
{
    struct buf text = {0};

    duration_put(&text, *(const uint64_t *)option_at_const(o, object));
    return write_buf(doc, &text);
}

const struct option_kind option_duration = {duration_read, duration_write, NULL};

/* ---- string ---- */

static bool string_read(const struct option *o, const struct json *from, void *object,
                        struct buf *why)
{
    if (from->type != JSON_STRING) {
        return option_refuse_type(from, "a string", why);
    }
    if (from->string.len != 0 && memchr(from->string.ptr, '\0', from->string.len) != NULL) {
        return option_refuse_value(from, "a string without NUL", why);
    }
    *(char **)option_at(o, object) = mem_copy(from->string.ptr, from->string.len);
    return true;
}

static struct json *string_write(const struct option *o, const void *object, struct json_doc *doc)
{
    const char *text = *(char *const *)option_at_const(o, object);

    return text != NULL ? json_new_string(doc, slice_str(text)) : json_new(doc, JSON_NULL);
}

static void string_free(const struct option *o, void *object)
{
    mem_give(*(char **)option_at(o, object));
}

const struct option_kind option_string = {string_read, string_write, string_free};

/* ---- host_port: string ---- */

static bool is_host_port(struct slice text)
{
    struct ip_port addr;
    uint64_t port;
    size_t colon;

    if (ip_port_parse(text, &addr)) {
        return true;
    }
    colon = slice_find_char(text, ':');
    return colon > 0 && text.ptr[0] != '[' && slice_to_u64(slice_from(text, colon + 1), &port) &&
           port <= UINT16_MAX;
}

static bool host_port_read(const struct option *o, const struct json *from, void *object,
                           struct buf *why)
{
    if (from->type == JSON_STRING && !is_host_port(from->string)) {
        return option_refuse_value(from, "ip:port, [ipv6]:port or name:port", why);
    }
    return string_read(o, from, object, why);
}

const struct option_kind option_host_port = {host_port_read, string_write, string_free};

/* ---- ip ---- */

static bool ip_read(const struct option *o, const struct json *from, void *object, struct buf *why)
{
    if (from->type != JSON_STRING) {
        return option_refuse_type(from, "IP address", why);
    }
    if (!ip_parse(from->string, option_at(o, object))) {
        return option_refuse_because(from, SLICE("invalid IP address syntax"), why);
    }
    return true;
}

static struct json *ip_write(const struct option *o, const void *object, struct json_doc *doc)
{
    const struct ip *ip = option_at_const(o, object);
    struct buf text = {0};

    if (ip->family == IP_NONE) {
        return json_new(doc, JSON_NULL);
    }
    ip_put(&text, ip);
    return write_buf(doc, &text);
}

const struct option_kind option_ip = {ip_read, ip_write, NULL};

/* ---- enum and bool_or_word ---- */

static bool enum_read(const struct option *o, const struct json *from, void *object,
                      struct buf *why)
{
    const struct option_names *names = o->of;

    if (from->type != JSON_STRING) {
        char expected[64];

        (void)snprintf(expected, sizeof(expected), "string naming a %s", names->what);
        return option_refuse_type(from, expected, why);
    }
    for (uint32_t i = 0; i < names->count; i++) {
        if (slice_eq(from->string, names->words[i])) {
            *(uint8_t *)option_at(o, object) = (uint8_t)i;
            return true;
        }
    }
    return option_refuse_word(from->string, names, why);
}

static struct json *enum_write(const struct option *o, const void *object, struct json_doc *doc)
{
    const struct option_names *names = o->of;
    uint8_t value = *(const uint8_t *)option_at_const(o, object);

    MUST(value < names->count);
    return json_new_string(doc, names->words[value]);
}

const struct option_kind option_enum = {enum_read, enum_write, NULL};

static bool bool_or_word_read(const struct option *o, const struct json *from, void *object,
                              struct buf *why)
{
    const struct option_names *names = o->of;
    struct buf expected = {0};
    bool known = from->type == JSON_BOOL;

    if (known) {
        *(uint8_t *)option_at(o, object) = from->boolean ? (uint8_t)(names->count - 1) : 0;
        return true;
    }
    for (uint32_t i = 0; from->type == JSON_STRING && i < names->count; i++) {
        if (slice_eq(from->string, names->words[i])) {
            *(uint8_t *)option_at(o, object) = (uint8_t)i;
            return true;
        }
    }
    BUF_LIT(&expected, "a boolean value or ");
    option_put_choice(&expected, names->words, names->count);
    buf_char(&expected, '\0');
    if (from->type == JSON_STRING) {
        (void)option_refuse_value(from, expected.ptr, why);
    } else {
        (void)option_refuse_type(from, expected.ptr, why);
    }
    buf_free(&expected);
    return false;
}

const struct option_kind option_bool_or_word = {bool_or_word_read, enum_write, NULL};

/* ---- free_space ---- */

static bool free_space_read(const struct option *o, const struct json *from, void *object,
                            struct buf *why)
{
    struct free_space *at = option_at(o, object);
    struct buf reason = {0};
    bool ok = true;

    if (from->type == JSON_STRING) {
        ok = free_space_parse(from->string, at, &reason);
        if (!ok) {
            *at = (struct free_space){0};
            (void)option_refuse_because(from, buf_slice(&reason), why);
        }
        buf_free(&reason);
        return ok;
    }
    if (from->type == JSON_INT && from->integer >= 0) {
        at->amount = (uint64_t)from->integer;
        return true;
    }
    return option_refuse_type(from, "an integer or a percentage such as '10%'", why);
}

static struct json *free_space_write(const struct option *o, const void *object,
                                     struct json_doc *doc)
{
    const struct free_space *fs = option_at_const(o, object);
    struct buf text = {0};

    if (!fs->percent) {
        return json_new_uint(doc, fs->amount);
    }
    free_space_put(&text, fs);
    return write_buf(doc, &text);
}

const struct option_kind option_free_space = {free_space_read, free_space_write, NULL};
