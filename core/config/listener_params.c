#include "core/config/listener_params.h"

#include "core/config/option_refuse.h"

OPTION_NAMES(line_ending_rules, "line ending rule", LINE_ENDING_RULES);
OPTION_NAMES(batch_rules, "batch handling", BATCH_RULES);

static void trace_headers_config_defaults(void *object)
{
    struct trace_headers_config *c = object;

#define OPTION(kind, name, value, of, text) OPTION_INIT(kind, name, value, of)
#include "core/config/trace_headers_config.def"
#undef OPTION
}

static const struct option trace_headers_config_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, trace_headers_config, name, of)
#include "core/config/trace_headers_config.def"
#undef OPTION
};

const struct option_table trace_headers_config_options = {
    .type = "TraceHeaders",
    .rows = trace_headers_config_rows,
    .count = ARRAY_COUNT(trace_headers_config_rows),
    .size = sizeof(struct trace_headers_config),
    .defaults = trace_headers_config_defaults,
    .given_at = OPTION_ALWAYS,
};

static void listener_params_defaults(void *object)
{
    struct listener_params *c = object;

#define OPTION(kind, name, value, of, text) OPTION_INIT(kind, name, value, of)
#include "core/config/listener_params.def"
#undef OPTION
}

static const struct option listener_params_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, listener_params, name, of)
#include "core/config/listener_params.def"
#undef OPTION
};

const struct option_table listener_params_options = {
    .type = "EsmtpListenerParams",
    .rows = listener_params_rows,
    .count = ARRAY_COUNT(listener_params_rows),
    .size = sizeof(struct listener_params),
    .defaults = listener_params_defaults,
    .given_at = offsetof(struct listener_params, given),
};

bool listener_params_read(const struct json *from, struct listener_params *out, struct buf *why)
{
    return option_read(&listener_params_options, from, out, why);
}

void listener_params_init(struct listener_params *c)
{
    option_init(&listener_params_options, c);
}

void listener_params_free(struct listener_params *c)
{
    option_free(&listener_params_options, c);
}

struct json *listener_params_write(const struct listener_params *c, struct json_doc *doc)
{
    return option_write(&listener_params_options, c, doc);
}

/* ---- overlays: option kind ---- */

static void overlays_free(const struct option *o, void *object)
{
    struct listener_overlays *list = option_at(o, object);

    for (uint32_t i = 0; i < list->count; i++) {
        option_free(&listener_params_options, list->items[i].params);
        mem_give(list->items[i].params);
    }
    mem_give(list->items);
    *list = (struct listener_overlays){0};
}

static bool overlay_read(const struct json *from, struct listener_overlay *out, struct buf *why)
{
    size_t mark = why->len;

    if (!ip_net_parse(from->key, &out->net, why)) {
        buf_insert(why, mark, SLICE("invalid value: "));
        return false;
    }
    out->params = mem_take_zero(sizeof(*out->params));
    if (!option_read_inner(&listener_params_options, from, out->params, why)) {
        buf_insert(why, mark, SLICE(": "));
        buf_insert(why, mark, from->key);
        MEM_FREE(&out->params);
        return false;
    }
    return true;
}

static bool overlays_read(const struct option *o, const struct json *from, void *object,
                          struct buf *why)
{
    struct listener_overlays *list = option_at(o, object);

    if (from->type != JSON_OBJECT && (from->type != JSON_ARRAY || from->count != 0)) {
        return option_refuse_type(from, "a map of IP addresses and CIDR blocks", why);
    }
    list->items = mem_take_zero(from->count * sizeof(*list->items));
    for (const struct json *v = from->first; v != NULL; v = v->next) {
        if (!overlay_read(v, &list->items[list->count], why)) {
            overlays_free(o, object);
            return false;
        }
        list->count++;
    }
    return true;
}

static struct json *overlays_write(const struct option *o, const void *object, struct json_doc *doc)
{
    const struct listener_overlays *list = option_at_const(o, object);
    struct json *to = json_new(doc, JSON_OBJECT);
    struct buf net = {0};

    for (uint32_t i = 0; i < list->count; i++) {
        buf_clear(&net);
        ip_net_put(&net, &list->items[i].net);
        json_object_add(doc, to, buf_slice(&net),
                        option_write(&listener_params_options, list->items[i].params, doc));
    }
    buf_free(&net);
    return to;
}

const struct option_kind option_listener_overlays = {overlays_read, overlays_write, overlays_free};

/* ---- views ---- */

/* NULL when no prefix holds the address. */
static const struct listener_params *longest(const struct listener_overlays *list,
                                             const struct ip *ip)
{
    const struct listener_overlay *best = NULL;

    for (uint32_t i = 0; i < list->count; i++) {
        const struct listener_overlay *item = &list->items[i];

        if (ip_net_has(&item->net, ip) &&
            (best == NULL || item->net.prefix_len > best->net.prefix_len)) {
            best = item;
        }
    }
    return best != NULL ? best->params : NULL;
}

/* What a table adds beyond its own options. */
static void apply_rest(struct listener_params *view, const struct listener_params *over,
                       const struct listener_session *session)
{
    const struct listener_params *peer, *via;

    if (session->meta != NULL && over->meta.root != NULL) {
        for (const struct json *v = over->meta.root->first; v != NULL; v = v->next) {
            session->meta(session->ctx, v->key, v);
        }
    }
    peer = longest(&over->peer, &session->peer);
    if (peer != NULL) {
        listener_view_apply(view, peer, session);
    }
    via = longest(&over->via, &session->local);
    if (via != NULL) {
        listener_view_apply(view, via, session);
    }
}

void listener_view_open(struct listener_params *view, const struct listener_params *base,
                        const struct listener_session *session)
{
    *view = *base;
    apply_rest(view, base, session);
}

void listener_view_apply(struct listener_params *view, const struct listener_params *over,
                         const struct listener_session *session)
{
    option_overlay(&listener_params_options, view, over);
    apply_rest(view, over, session);
}
