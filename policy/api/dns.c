/* kumo.dns: lookups that suspend the handler. */
#include "core/base/mem.h"
#include "core/net/dns_addr.h"
#include "core/net/dns_mx.h"
#include "core/net/dns_resolver.h"
#include "policy/api/api_private.h"

/* One lookup of any kind. */
struct lookup {
    struct vm_wait wait;
    struct resolver *resolver;
    struct dns_wait rr;           /* TXT, PTR */
    struct dns_addr_wait addr;
    struct dns_mx_wait mx;
    struct dns_set *set;          /* what came */
    struct dns_mx *mx_result;
    struct buf ips;               /* struct ip, one after the other */
    struct buf name;              /* as asked, for the error */
    const char *what;             /* "TXT" */
    enum dns_status status;
};

static void lookup_free(struct vm_wait *w)
{
    struct lookup *l = CONTAINER_OF(w, struct lookup, wait);

    dns_set_unref(l->set);
    dns_mx_unref(l->mx_result);
    buf_free(&l->ips);
    buf_free(&l->name);
    mem_give(l);
}

static void lookup_cancel(struct vm_wait *w)
{
    struct lookup *l = CONTAINER_OF(w, struct lookup, wait);

    resolver_unask(l->resolver, &l->rr);
    dns_addr_unask(&l->addr);
    dns_mx_unask(&l->mx);
}

static void rr_came(struct dns_wait *w, struct dns_set *set)
{
    struct lookup *l = CONTAINER_OF(w, struct lookup, rr);

    l->set = dns_set_ref(set);
    l->status = (enum dns_status)set->status;
    vm_wait_complete(&l->wait);
}

static void addrs_came(struct dns_addr_wait *w, const struct dns_addrs *addrs)
{
    struct lookup *l = CONTAINER_OF(w, struct lookup, addr);

    l->status = addrs->status;
    buf_append(&l->ips, addrs->ips, addrs->count * sizeof(addrs->ips[0]));
    vm_wait_complete(&l->wait);
}

static void mx_came(struct dns_mx_wait *w, struct dns_mx *mx)
{
    struct lookup *l = CONTAINER_OF(w, struct lookup, mx);

    l->mx_result = dns_mx_ref(mx);
    vm_wait_complete(&l->wait);
}

/* The resolver and view that the argument at idx names. Raises before anything is allocated. */
static struct resolver *resolver_arg(lua_State *L, int idx, uint8_t *view)
{
    struct api_services *s = api_services_of(L, "kumo.dns");
    struct slice name = vm_opt_string(L, idx, (struct slice){0});

    if (s->resolver == NULL) {
        vm_raise(L, "kumo.dns cannot look anything up before the daemon serves");
    }
    *view = resolver_view_find(s->resolver, name);
    if (*view == DNS_VIEW_NONE) {
        vm_raise(L, "resolver %.*s is not defined", SLICE_ARG(name));
    }
    vm_wait_check(L, "kumo.dns");
    return s->resolver;
}

static struct lookup *lookup_new(struct resolver *r, const char *what, struct slice name)
{
    struct lookup *l = MEM_NEW(struct lookup);

    l->wait.free = lookup_free;
    l->wait.cancel = lookup_cancel;
    l->resolver = r;
    l->rr.fn = rr_came;
    l->addr.fn = addrs_came;
    l->mx.fn = mx_came;
    l->what = what;
    buf_put(&l->name, name);
    return l;
}

static struct lookup *lookup_finished(lua_State *L)
{
    return CONTAINER_OF(vm_wait_finished(L), struct lookup, wait);
}

/* No such name and no such record are empty answers; anything else that is not OK raises. */
static void check_status(lua_State *L, const struct lookup *l)
{
    if (l->status == LOOKUP_OK || l->status == LOOKUP_NXDOMAIN || l->status == LOOKUP_NODATA) {
        return;
    }
    vm_raise(L, "%s lookup for %.*s failed: %s", l->what, SLICE_ARG(buf_slice(&l->name)),
             dns_status_text(l->status));
}

/* ---- lookup_mx ---- */

static int mx_start(lua_State *L)
{
    struct slice name = vm_check_string(L, 1);
    uint8_t view;
    struct resolver *r = resolver_arg(L, 2, &view);
    struct lookup *l = lookup_new(r, "MX", name);

    dns_mx_ask(r, view, name, &l->mx);
    return vm_wait_start(L, &l->wait);
}

static void set_text(lua_State *L, const char *field, struct slice text)
{
    vm_push_slice(L, text);
    lua_setfield(L, -2, field);
}

static void set_bool(lua_State *L, const char *field, bool v)
{
    lua_pushboolean(L, v);
    lua_setfield(L, -2, field);
}

static int mx_finish(lua_State *L)
{
    const struct dns_mx *mx = lookup_finished(L)->mx_result;

    if (mx->status != LOOKUP_OK && !mx->is_null) {
        vm_raise_slice(L, mx->error);
    }
    lua_newtable(L);
    set_text(L, "domain_name", mx->domain_name);
    set_text(L, "site_name", mx->site_name);
    set_bool(L, "is_domain_literal", mx->is_domain_literal);
    set_bool(L, "is_secure", mx->is_secure);
    set_bool(L, "is_mx", mx->is_mx);
    vm_array_new(L, mx->host_count);
    lua_newtable(L); /* by_pref */
    for (uint32_t i = 0; i < mx->host_count; i++) {
        vm_push_slice(L, mx->hosts[i].name);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -4, (int)i + 1);
        lua_rawgeti(L, -2, mx->hosts[i].pref);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            vm_array_new(L, 1);
            lua_pushvalue(L, -1);
            lua_rawseti(L, -4, mx->hosts[i].pref);
        }
        lua_insert(L, -2);
        lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
        lua_pop(L, 1);
    }
    lua_setfield(L, -3, "by_pref");
    lua_setfield(L, -2, "hosts");
    return 1;
}

/* ---- lookup_addr ---- */

static int addr_start(lua_State *L)
{
    struct slice name = vm_check_string(L, 1);
    struct slice how = vm_opt_string(L, 3, SLICE("Ipv4AndIpv6"));
    enum ip_strategy strategy;
    uint8_t view;
    struct resolver *r;
    struct lookup *l;

    if (!ip_strategy_parse(how, &strategy)) {
        vm_raise(L, "invalid IP lookup strategy '%.*s'", SLICE_ARG(slice_head(how, 64)));
    }
    r = resolver_arg(L, 2, &view);
    l = lookup_new(r, "A/AAAA", name);
    dns_addr_ask(r, view, name, strategy, &l->addr);
    return vm_wait_start(L, &l->wait);
}

static int addr_finish(lua_State *L)
{
    const struct lookup *l = lookup_finished(L);
    size_t count = l->ips.len / sizeof(struct ip);
    struct buf *text;

    check_status(L, l);
    vm_array_new(L, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        struct ip ip;

        memcpy(&ip, l->ips.ptr + i * sizeof(ip), sizeof(ip));
        text = vm_scratch(L);
        ip_put(text, &ip);
        vm_push_slice(L, buf_slice(text));
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/* ---- lookup_txt, lookup_ptr ---- */

static int txt_start(lua_State *L)
{
    struct slice name = vm_check_string(L, 1);
    uint8_t view;
    struct resolver *r = resolver_arg(L, 2, &view);
    struct lookup *l = lookup_new(r, "TXT", name);
    struct dns_question question = {.name = buf_slice(&l->name), .type = DNS_TXT, .view = view};

    resolver_ask(r, &question, &l->rr);
    return vm_wait_start(L, &l->wait);
}

static int ptr_start(lua_State *L)
{
    struct slice text = vm_check_string(L, 1);
    struct resolver *r;
    struct lookup *l;
    struct ip ip;
    uint8_t view;

    if (!ip_parse(text, &ip)) {
        vm_raise(L, "'%.*s' is not an IP address", SLICE_ARG(slice_head(text, 64)));
    }
    r = resolver_arg(L, 2, &view);
    l = lookup_new(r, "PTR", text);
    dns_ptr_ask(r, view, &ip, &l->rr);
    return vm_wait_start(L, &l->wait);
}

static int push_records(lua_State *L, bool final_dot)
{
    const struct lookup *l = lookup_finished(L);

    check_status(L, l);
    vm_array_new(L, l->set->rr_count);
    for (uint32_t i = 0; i < l->set->rr_count; i++) {
        struct buf *text = vm_scratch(L);

        buf_put(text, dns_rr_bytes(l->set, i));
        if (final_dot && !slice_ends(buf_slice(text), SLICE("."))) {
            buf_char(text, '.');
        }
        vm_push_slice(L, buf_slice(text));
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

static int txt_finish(lua_State *L)
{
    return push_records(L, false);
}

static int ptr_finish(lua_State *L)
{
    return push_records(L, true);
}

/* ---- names of addresses ---- */

static void put_reversed(struct buf *out, const struct ip *ip)
{
    if (ip->family == IP_V4) {
        buf_printf(out, "%u.%u.%u.%u", ip->bytes[3], ip->bytes[2], ip->bytes[1], ip->bytes[0]);
        return;
    }
    for (int i = 15; i >= 0; i--) {
        buf_printf(out, "%x.%x%s", ip->bytes[i] & 15u, ip->bytes[i] >> 4, i > 0 ? "." : "");
    }
}

static struct buf *reversed_arg(lua_State *L, struct ip *ip)
{
    struct slice text = vm_check_string(L, 1);
    struct buf *out = vm_scratch(L);

    if (!ip_parse(text, ip)) {
        vm_raise(L, "'%.*s' is not an IP address", SLICE_ARG(slice_head(text, 64)));
    }
    put_reversed(out, ip);
    return out;
}

static int dns_reverse_ip(lua_State *L)
{
    struct ip ip;

    vm_push_slice(L, buf_slice(reversed_arg(L, &ip)));
    return 1;
}

static int dns_ptr_host(lua_State *L)
{
    struct ip ip;
    struct buf *out = reversed_arg(L, &ip);

    buf_put(out, ip.family == IP_V4 ? SLICE(".in-addr.arpa") : SLICE(".ip6.arpa"));
    vm_push_slice(L, buf_slice(out));
    return 1;
}

void api_dns_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"ptr_host", dns_ptr_host}, {"reverse_ip", dns_reverse_ip}, {NULL, NULL}};

    api_module(L, "dns");
    luaL_register(L, NULL, functions);
    vm_wait_register(L, "lookup_mx", mx_start, mx_finish);
    vm_wait_register(L, "lookup_addr", addr_start, addr_finish);
    vm_wait_register(L, "lookup_txt", txt_start, txt_finish);
    vm_wait_register(L, "lookup_ptr", ptr_start, ptr_finish);
    lua_pop(L, 1);
}
