#include "core/config/resolve.h"

#include "core/base/diag.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/shard/shard.h"
#include "policy/vm/vm.h"

#define SAY_AGAIN_MS 60000u

/* A config by name, for as long as its ttl says. */
struct named_config {
    struct hmap_node node;
    struct config *config;
    uint64_t expires_ms;
    uint32_t key_len;
    char key[];
};

static struct slice interned_key(const struct hmap_node *node)
{
    return buf_slice(&CONTAINER_OF(node, struct config, node)->text);
}

static struct slice named_key(const struct hmap_node *node)
{
    const struct named_config *n = CONTAINER_OF(node, struct named_config, node);

    return slice_of(n->key, n->key_len);
}

/* ---- the four kinds ---- */

static const struct kind_row {
    enum vm_hook hook;
    struct slice made_by;
    const char *unregistered; /* the error without a handler; NULL: defaults count */
} kinds[CONFIG_KIND_COUNT] = {
    [CONFIG_QUEUE] = {VM_HOOK_get_queue_config, SLICE_INIT("make_queue_config"), NULL},
    [CONFIG_POOL] = {VM_HOOK_get_egress_pool, SLICE_INIT("make_egress_pool"),
                     "Event get_egress_pool has not been registered"},
    [CONFIG_SOURCE] = {VM_HOOK_get_egress_source, SLICE_INIT("make_egress_source"),
                       "Event get_egress_source has not been registered"},
    [CONFIG_PATH] = {VM_HOOK_get_egress_path_config, SLICE_INIT("make_egress_path"), NULL},
};

static bool config_read(struct config *c, const struct json *from, struct buf *why)
{
    switch ((enum config_kind)c->kind) {
    case CONFIG_QUEUE:
        return queue_config_read(from, &c->queue, why);
    case CONFIG_POOL:
        return egress_pool_config_read(from, &c->pool, why);
    case CONFIG_SOURCE:
        return egress_source_config_read(from, &c->source, why);
    case CONFIG_PATH:
        return egress_path_config_read(from, &c->path, why);
    case CONFIG_KIND_COUNT:
        break;
    }
    MUST(!"a kind without a reader");
    return false;
}

static void config_clear(struct config *c)
{
    switch ((enum config_kind)c->kind) {
    case CONFIG_QUEUE:
        queue_config_free(&c->queue);
        break;
    case CONFIG_POOL:
        egress_pool_config_free(&c->pool);
        break;
    case CONFIG_SOURCE:
        egress_source_config_free(&c->source);
        break;
    case CONFIG_PATH:
        egress_path_config_free(&c->path);
        break;
    case CONFIG_KIND_COUNT:
        break;
    }
}

struct config *config_get(struct config *c)
{
    c->refs++;
    return c;
}

void config_put(struct config **cp)
{
    struct config *c = *cp;

    *cp = NULL;
    if (c == NULL || --c->refs > 0) {
        return;
    }
    hmap_remove(&c->owner->interned, &c->node);
    config_clear(c);
    buf_free(&c->text);
    mem_give(c);
}

/* The config for this answer: the one that exists already, or a fresh one. */
static struct config *config_intern(struct config_resolver *cr, enum config_kind kind,
                                    const struct json *answer, struct buf *why)
{
    struct config *c = MEM_NEW(struct config);
    struct hmap_node *same;

    c->owner = cr;
    c->kind = (uint8_t)kind;
    c->refs = 1;
    buf_char(&c->text, (char)('0' + kind));
    json_write(&c->text, answer);
    same = hmap_find(&cr->interned, buf_slice(&c->text));
    if (same != NULL) {
        buf_free(&c->text);
        mem_give(c);
        return config_get(CONTAINER_OF(same, struct config, node));
    }
    if (!config_read(c, answer, why)) {
        config_clear(c);
        buf_free(&c->text);
        mem_give(c);
        return NULL;
    }
    hmap_insert(&cr->interned, &c->node);
    return c;
}

/* What counts without a handler: every option at its default, named "unspecified". */
static struct config *config_default(struct config_resolver *cr, enum config_kind kind)
{
    if (cr->defaults[kind] == NULL) {
        struct json_doc doc = {0};
        struct json *object = json_new(&doc, JSON_OBJECT);
        struct buf why = {0};

        if (kind == CONFIG_POOL || kind == CONFIG_SOURCE) {
            json_object_set(&doc, object, SLICE("name"),
                            json_new_string(&doc, SLICE("unspecified")));
        }
        if (kind == CONFIG_POOL) {
            struct json *entries = json_new(&doc, JSON_ARRAY);
            struct json *entry = json_new(&doc, JSON_OBJECT);

            json_object_set(&doc, entry, SLICE("name"),
                            json_new_string(&doc, SLICE("unspecified")));
            json_array_add(entries, entry);
            json_object_set(&doc, object, SLICE("entries"), entries);
        }
        cr->defaults[kind] = config_intern(cr, kind, object, &why);
        MUST(cr->defaults[kind] != NULL);
        buf_free(&why);
        json_doc_free(&doc);
    }
    return config_get(cr->defaults[kind]);
}

/* ---- names ---- */

static uint64_t config_ttl_ms(const struct config *c)
{
    return (c->kind == CONFIG_POOL ? c->pool.ttl : c->source.ttl) / 1000000u;
}

static void named_drop(struct config_resolver *cr, struct named_config *n)
{
    hmap_remove(&cr->named, &n->node);
    config_put(&n->config);
    mem_give(n);
}

static void key_put(struct buf *out, enum config_kind kind, struct slice name)
{
    buf_char(out, (char)('0' + kind));
    buf_put(out, name);
}

static struct config *named_find(struct config_resolver *cr, struct slice key)
{
    struct hmap_node *node = hmap_find(&cr->named, key);
    struct named_config *n;

    if (node == NULL) {
        return NULL;
    }
    n = CONTAINER_OF(node, struct named_config, node);
    if (shard_now_ms(cr->shard) >= n->expires_ms) {
        named_drop(cr, n);
        return NULL;
    }
    return config_get(n->config);
}

static void named_keep(struct config_resolver *cr, struct slice key, struct config *c)
{
    struct hmap_node *old = hmap_find(&cr->named, key);
    struct named_config *n;

    if (old != NULL) {
        named_drop(cr, CONTAINER_OF(old, struct named_config, node));
    }
    n = mem_take_zero(sizeof(*n) + key.len);
    n->config = config_get(c);
    n->expires_ms = shard_now_ms(cr->shard) + config_ttl_ms(c);
    n->key_len = (uint32_t)key.len;
    memcpy(n->key, key.ptr, key.len);
    hmap_insert(&cr->named, &n->node);
}

/* ---- asking ---- */

static void ask_take_value(struct config_ask *ask, const struct vm_result *result)
{
    const struct kind_row *row = &kinds[ask->kind];
    const struct json *value = result->value_count > 0 ? result->values[0] : NULL;

    if (value == NULL || value->type == JSON_NULL) {
        if (ask->kind == CONFIG_QUEUE) { /* an explicit nil lets the defaults count */
            ask->config = config_default(ask->cr, CONFIG_QUEUE);
            return;
        }
        buf_printf(&ask->why, "event handler for %s returned nil, expected the result of kumo.%.*s",
                   vm_hook_name(row->hook), SLICE_ARG(row->made_by));
        return;
    }
    if (!slice_eq(result->made_by, row->made_by)) {
        buf_printf(&ask->why, "event handler for %s must return the result of kumo.%.*s",
                   vm_hook_name(row->hook), SLICE_ARG(row->made_by));
        return;
    }
    ask->config = config_intern(ask->cr, (enum config_kind)ask->kind, value, &ask->why);
}

/* The operator hears of it: records tell the reason to whoever reads them, by message. */
static void failure_say(const struct config_ask *ask)
{
    struct config_resolver *cr = ask->cr;
    uint64_t now_ms = shard_now_ms(cr->shard);
    bool again = slice_eq(buf_slice(&cr->said), buf_slice(&ask->why));

    if (cr->diag == NULL || (again && now_ms - cr->said_ms < SAY_AGAIN_MS)) {
        return;
    }
    buf_clear(&cr->said);
    buf_put(&cr->said, buf_slice(&ask->why));
    cr->said_ms = now_ms;
    diag_error(cr->diag, "config", "%s: %.*s", vm_hook_name(kinds[ask->kind].hook),
               SLICE_ARG(buf_slice(&ask->why)));
}

static void ask_take(struct config_ask *ask, const struct vm_result *result)
{
    switch (result->status) {
    case VM_NONE:
        if (ask->kind == CONFIG_QUEUE) {
            ask->config = config_default(ask->cr, CONFIG_QUEUE);
        } else {
            ask_take_value(ask, result);
        }
        break;
    case VM_RETURNED:
        ask_take_value(ask, result);
        break;
    case VM_REJECTED:
        buf_printf(&ask->why, "%u %.*s", result->code, SLICE_ARG(result->text));
        break;
    case VM_ERROR:
        buf_put(&ask->why, result->text);
        break;
    }
    if (ask->config != NULL && (ask->kind == CONFIG_POOL || ask->kind == CONFIG_SOURCE)) {
        named_keep(ask->cr, buf_slice(&ask->name), ask->config);
    }
    if (ask->config == NULL && ask->why.len == 0) {
        BUF_LIT(&ask->why, "no config");
    }
    if (ask->config == NULL) {
        failure_say(ask);
    }
    buf_free(&ask->name);
}

static void ask_answered(void *ctx, const struct vm_result *result)
{
    struct config_ask *ask = ctx;

    ask->in_flight = false;
    ask_take(ask, result);
    vm_call_end(&ask->call);
    ask->done(ask);
}

static void ask_begin(struct config_resolver *cr, struct config_ask *ask, enum config_kind kind)
{
    MUST(!ask->in_flight && ask->done != NULL);
    ask->cr = cr;
    ask->kind = (uint8_t)kind;
    ask->config = NULL;
    ask->call = NULL;
    buf_clear(&ask->why);
    buf_clear(&ask->name);
}

/* True when the question needs no handler: answered from the defaults or refused. */
static bool ask_without_handler(struct config_ask *ask)
{
    const struct kind_row *row = &kinds[ask->kind];

    if (vm_has(ask->cr->vm, row->hook)) {
        return false;
    }
    if (row->unregistered != NULL) {
        buf_put(&ask->why, slice_str(row->unregistered));
        failure_say(ask);
    } else {
        ask->config = config_default(ask->cr, (enum config_kind)ask->kind);
    }
    return true;
}

static bool ask_run(struct config_ask *ask)
{
    const struct vm_result *result = vm_call_run(ask->call, ask_answered, ask);

    if (result == NULL) {
        ask->in_flight = true;
        return false;
    }
    ask_take(ask, result);
    vm_call_end(&ask->call);
    return true;
}

static bool config_ask_named(struct config_resolver *cr, struct config_ask *ask,
                             enum config_kind kind, struct slice name)
{
    ask_begin(cr, ask, kind);
    if (slice_eq(name, SLICE("unspecified"))) {
        ask->config = config_default(cr, kind);
        return true;
    }
    key_put(&ask->name, kind, name);
    ask->config = named_find(cr, buf_slice(&ask->name));
    if (ask->config != NULL || ask_without_handler(ask)) {
        buf_free(&ask->name);
        return true;
    }
    ask->call = vm_call_begin(cr->vm, kinds[kind].hook);
    vm_push_string(ask->call, name);
    return ask_run(ask);
}

bool config_ask_pool(struct config_resolver *cr, struct config_ask *ask, struct slice name)
{
    return config_ask_named(cr, ask, CONFIG_POOL, name);
}

bool config_ask_source(struct config_resolver *cr, struct config_ask *ask, struct slice name)
{
    return config_ask_named(cr, ask, CONFIG_SOURCE, name);
}

bool config_ask_queue(struct config_resolver *cr, struct config_ask *ask,
                      const struct config_queue_key *key)
{
    ask_begin(cr, ask, CONFIG_QUEUE);
    if (ask_without_handler(ask)) {
        return true;
    }
    ask->call = vm_call_begin(cr->vm, VM_HOOK_get_queue_config);
    vm_push_string(ask->call, key->domain);
    vm_push_optional(ask->call, key->tenant, key->has_tenant);
    vm_push_optional(ask->call, key->campaign, key->has_campaign);
    vm_push_optional(ask->call, key->routing_domain, key->has_routing_domain);
    return ask_run(ask);
}

bool config_ask_path(struct config_resolver *cr, struct config_ask *ask,
                     struct slice routing_domain, struct slice source, struct slice site_name)
{
    ask_begin(cr, ask, CONFIG_PATH);
    if (ask_without_handler(ask)) {
        return true;
    }
    ask->call = vm_call_begin(cr->vm, VM_HOOK_get_egress_path_config);
    vm_push_string(ask->call, routing_domain);
    vm_push_string(ask->call, source);
    vm_push_string(ask->call, site_name);
    return ask_run(ask);
}

struct config *config_queue_retrying(struct config_resolver *cr, struct slice retry_interval)
{
    struct json_doc doc = {0};
    struct json *object = json_new(&doc, JSON_OBJECT);
    struct buf why = {0};
    struct config *c;

    json_object_set(&doc, object, SLICE("retry_interval"), json_new_string(&doc, retry_interval));
    c = config_intern(cr, CONFIG_QUEUE, object, &why);
    MUST(c != NULL);
    buf_free(&why);
    json_doc_free(&doc);
    return c;
}

void config_ask_abandon(struct config_ask *ask)
{
    if (ask->in_flight) {
        vm_call_end(&ask->call);
        ask->in_flight = false;
    }
    config_put(&ask->config);
    buf_free(&ask->name);
}

/* ---- life ---- */

void config_resolver_init(struct config_resolver *cr, struct shard *shard, struct vm *vm)
{
    *cr = (struct config_resolver){.shard = shard, .vm = vm};
    hmap_init(&cr->interned, interned_key, ring_random(&shard->ring));
    hmap_init(&cr->named, named_key, ring_random(&shard->ring));
}

void config_resolver_free(struct config_resolver *cr)
{
    struct hmap_node *next;

    for (struct hmap_node *n = hmap_first(&cr->named); n != NULL; n = next) {
        next = hmap_next(&cr->named, n);
        named_drop(cr, CONTAINER_OF(n, struct named_config, node));
    }
    for (uint32_t kind = 0; kind < CONFIG_KIND_COUNT; kind++) {
        config_put(&cr->defaults[kind]);
    }
    hmap_free(&cr->named);
    hmap_free(&cr->interned);
    buf_free(&cr->said);
}
