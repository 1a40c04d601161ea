/* Parsing of configured hosts. */
#include "core/net/mx_list.h"

#include "core/base/mem.h"
#include "core/net/dns_name.h"
#include "proto/route_domain.h"
#include "proto/site_name.h"

void mx_list_free(struct mx_list *list)
{
    MEM_FREE(&list->entries);
    buf_free(&list->text);
    list->count = 0;
}

static bool room_for_one(const struct mx_list *list, struct buf *why)
{
    if (list->count < MX_LIST_COUNT_MAX) {
        return true;
    }
    buf_printf(why, "mx_list has more than %u entries", MX_LIST_COUNT_MAX);
    return false;
}

static void entry_add(struct mx_list *list, struct mx_list_entry e, struct slice label,
                      struct slice name)
{
    e.label_at = (uint32_t)list->text.len;
    e.label_len = (uint32_t)label.len;
    buf_put(&list->text, label);
    e.name_at = (uint32_t)list->text.len;
    e.name_len = (uint32_t)name.len;
    buf_put(&list->text, name);
    list->entries = mem_grow(list->entries, (list->count + 1) * sizeof(e));
    list->entries[list->count++] = e;
}

static bool is_unix_path(struct slice text)
{
    return slice_find_char(text, '/') < text.len;
}

static bool unix_refused(struct slice text, struct buf *why)
{
    buf_printf(why, "mx_list entry `%.*s`: unix domain sockets are not supported",
               SLICE_ARG(text));
    return false;
}

/* "10.0.0.1", "::1", "10.0.0.1:25", "[::1]:25". */
static bool address_parse(struct slice text, struct mx_list_entry *e)
{
    struct ip_port with_port;

    if (ip_parse(text, &e->ip)) {
        return true;
    }
    if (ip_port_parse(text, &with_port)) {
        e->ip = with_port.ip;
        e->port = with_port.port;
        e->has_port = true;
        return true;
    }
    return false;
}

static bool name_is_valid(struct slice name)
{
    struct buf kept = {0};
    const bool ok = dns_name_put(name, &kept);

    buf_free(&kept);
    return ok;
}

bool mx_list_add(struct mx_list *list, struct slice text, struct buf *why)
{
    struct mx_list_entry e = {0};
    struct route_domain route;
    const char *reason = "not a host name, address or address literal";

    if (!room_for_one(list, why)) {
        return false;
    }
    if (is_unix_path(text)) {
        return unix_refused(text, why);
    }
    if (address_parse(text, &e)) {
        entry_add(list, e, text, text);
        return true;
    }
    if (!route_domain_parse(text, &route, &reason) ||
        (!route.is_literal && !name_is_valid(route.name))) {
        buf_printf(why, "mx_list entry `%.*s`: %s", SLICE_ARG(text), reason);
        return false;
    }
    e.has_port = route.has_port;
    e.port = route.port;
    if (route.is_literal) {
        e.ip = route.ip;
    }
    entry_add(list, e, text, route.is_literal ? text : route.name);
    return true;
}

bool mx_list_add_table(struct mx_list *list, struct slice name, struct slice addr, bool is_secure,
                       struct buf *why)
{
    struct mx_list_entry e = {.is_secure = is_secure};

    if (!room_for_one(list, why)) {
        return false;
    }
    if (is_unix_path(addr)) {
        return unix_refused(addr, why);
    }
    if (!address_parse(addr, &e)) {
        buf_printf(why, "mx_list entry `%.*s`: addr `%.*s` is not an address", SLICE_ARG(name),
                   SLICE_ARG(addr));
        return false;
    }
    entry_add(list, e, addr, name);
    return true;
}

struct slice mx_list_label(const struct mx_list *list, uint32_t i)
{
    return slice_of(list->text.ptr + list->entries[i].label_at, list->entries[i].label_len);
}

struct slice mx_list_name(const struct mx_list *list, uint32_t i)
{
    return slice_of(list->text.ptr + list->entries[i].name_at, list->entries[i].name_len);
}

void mx_list_site_put(struct buf *out, const struct mx_list *list)
{
    struct slice *labels = mem_take_zero((list->count + 1) * sizeof(*labels));

    for (uint32_t i = 0; i < list->count; i++) {
        labels[i] = mx_list_label(list, i);
    }
    site_name_mx_list_put(out, labels, list->count);
    mem_give(labels);
}
