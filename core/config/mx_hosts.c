#include "core/config/mx_hosts.h"

#include "core/config/option_refuse.h"

#define EXPECTED "a host name, an address, either with a port, or a socket path"

static bool port_parse(struct slice text, uint16_t *port)
{
    uint64_t number;

    if (!slice_to_u64(text, &number) || number == 0 || number > UINT16_MAX) {
        return false;
    }
    *port = (uint16_t)number;
    return true;
}

/* "[" [ "IPv6:" ] address "]" [ ":" port ] */
static bool bracketed(struct slice text, struct mx_host *out)
{
    size_t close = slice_find_char(text, ']');
    struct slice inner = slice_of(text.ptr + 1, close - 1), rest = slice_from(text, close + 1);

    if (close == text.len) {
        return false;
    }
    if (slice_starts_nocase(inner, SLICE("IPv6:"))) {
        inner = slice_from(inner, 5);
    }
    out->kind = MX_HOST_IP;
    return ip_parse(inner, &out->ip) &&
           (rest.len == 0 || (rest.ptr[0] == ':' && port_parse(slice_from(rest, 1), &out->port)));
}

static bool host_parse(struct slice text, struct mx_host *out)
{
    size_t colon = slice_find_char(text, ':');
    struct slice host = slice_head(text, colon);

    if (text.len == 0 || slice_find_char(text, '\0') != text.len) {
        return false;
    }
    if (text.ptr[0] == '/') {
        out->kind = MX_HOST_UNIX;
        out->host = mem_copy(text.ptr, text.len);
        return true;
    }
    if (text.ptr[0] == '[') {
        return bracketed(text, out);
    }
    if (ip_parse(text, &out->ip)) {
        out->kind = MX_HOST_IP;
        return true;
    }
    if (host.len == 0 ||
        (colon < text.len && !port_parse(slice_from(text, colon + 1), &out->port))) {
        return false;
    }
    if (ip_parse(host, &out->ip)) {
        out->kind = MX_HOST_IP;
        return true;
    }
    out->host = mem_copy(host.ptr, host.len);
    return true;
}

static void host_free(struct mx_host *h)
{
    mem_give(h->label);
    mem_give(h->host);
    *h = (struct mx_host){0};
}

static bool table_key_known(const struct json *v)
{
    return slice_eq(v->key, SLICE("name")) || slice_eq(v->key, SLICE("addr")) ||
           slice_eq(v->key, SLICE("is_secure"));
}

static bool table_read(const struct json *from, struct mx_host *out, struct buf *why)
{
    static const struct slice keys[] = {SLICE_INIT("name"), SLICE_INIT("addr"),
                                        SLICE_INIT("is_secure")};
    const struct json *name = json_get(from, keys[0]), *addr = json_get(from, keys[1]),
                      *secure = json_get(from, keys[2]);

    for (const struct json *v = from->first; v != NULL; v = v->next) {
        if (!table_key_known(v)) {
            buf_printf(why, "unknown field `%.*s`, expected ", SLICE_ARG(slice_head(v->key, 256)));
            option_put_choice(why, keys, ARRAY_COUNT(keys));
            return false;
        }
    }
    if (name == NULL || addr == NULL) {
        buf_printf(why, "missing field `%s`", name == NULL ? "name" : "addr");
        return false;
    }
    if (name->type != JSON_STRING || addr->type != JSON_STRING) {
        return option_refuse_type(name->type != JSON_STRING ? name : addr, "a string", why);
    }
    if (secure != NULL && secure->type != JSON_BOOL) {
        return option_refuse_type(secure, "a boolean", why);
    }
    if (slice_find_char(name->string, '\0') != name->string.len ||
        !host_parse(addr->string, out) || (out->kind == MX_HOST_NAME)) {
        return option_refuse_value(addr, "an address, with or without port, or a socket path", why);
    }
    out->is_table = true;
    out->is_secure = secure != NULL && secure->boolean;
    out->label = mem_copy(name->string.ptr, name->string.len);
    return true;
}

static bool item_read(const struct json *from, struct mx_host *out, struct buf *why)
{
    if (from->type == JSON_OBJECT) {
        return table_read(from, out, why);
    }
    if (from->type != JSON_STRING) {
        return option_refuse_type(from, EXPECTED, why);
    }
    if (!host_parse(from->string, out)) {
        return option_refuse_value(from, EXPECTED, why);
    }
    out->label = mem_copy(from->string.ptr, from->string.len);
    return true;
}

static void mx_list_free(const struct option *o, void *object)
{
    struct mx_hosts *list = option_at(o, object);

    for (uint32_t i = 0; i < list->count; i++) {
        host_free(&list->items[i]);
    }
    mem_give(list->items);
    *list = (struct mx_hosts){0};
}

static bool mx_list_read(const struct option *o, const struct json *from, void *object,
                         struct buf *why)
{
    struct mx_hosts *list = option_at(o, object);

    if (from->type != JSON_ARRAY && (from->type != JSON_OBJECT || from->count != 0)) {
        return option_refuse_type(from, "a list of hosts", why);
    }
    list->items = mem_take_zero(from->count * sizeof(*list->items));
    for (const struct json *v = from->first; v != NULL; v = v->next) {
        list->count++;
        if (!item_read(v, &list->items[list->count - 1], why)) {
            mx_list_free(o, object);
            return false;
        }
    }
    return true;
}

static void addr_put(struct buf *out, const struct mx_host *h)
{
    if (h->kind == MX_HOST_UNIX) {
        buf_put(out, slice_str(h->host));
    } else if (h->port != 0) {
        ip_port_put(out, &(struct ip_port){.ip = h->ip, .port = h->port});
    } else {
        ip_put(out, &h->ip);
    }
}

static struct json *host_write(const struct mx_host *h, struct json_doc *doc)
{
    struct json *to;
    struct buf addr = {0};

    if (!h->is_table) {
        return json_new_string(doc, slice_str(h->label));
    }
    to = json_new(doc, JSON_OBJECT);
    addr_put(&addr, h);
    json_object_add(doc, to, SLICE("name"), json_new_string(doc, slice_str(h->label)));
    json_object_add(doc, to, SLICE("addr"), json_new_string(doc, buf_slice(&addr)));
    json_object_add(doc, to, SLICE("is_secure"), json_new_bool(doc, h->is_secure));
    buf_free(&addr);
    return to;
}

static struct json *mx_list_write(const struct option *o, const void *object,
                                  struct json_doc *doc)
{
    const struct mx_hosts *list = option_at_const(o, object);
    struct json *to = json_new(doc, JSON_ARRAY);

    for (uint32_t i = 0; i < list->count; i++) {
        json_array_add(to, host_write(&list->items[i], doc));
    }
    return to;
}

const struct option_kind option_mx_hosts = {mx_list_read, mx_list_write, mx_list_free};
