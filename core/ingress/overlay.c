/* Options for one session: what peer, via and the policy lay over the listener's own. */
#include "core/base/mem.h"
#include "core/ingress/session.h"

#define OVERLAY_DEPTH_MAX 8u

/* The params of the session as its own, starting as a copy of the listener's. */
static struct listener_params *session_own(struct session *s)
{
    if (s->own_config == NULL) {
        s->own_config = MEM_NEW(struct listener_params);
        *s->own_config = *s->config; /* borrows what it points to: the listener lives longer */
        s->config = s->own_config;
    }
    return s->own_config;
}

static const struct listener_params *overlay_find(const struct listener_overlays *all,
                                                  const struct ip *ip)
{
    const struct listener_overlay *best = NULL;

    for (uint32_t i = 0; i < all->count; i++) {
        const struct listener_overlay *o = &all->items[i];

        if (ip_net_has(&o->net, ip) &&
            (best == NULL || o->net.prefix_len > best->net.prefix_len)) {
            best = o;
        }
    }
    return best != NULL ? best->params : NULL;
}

static bool overlay_apply(struct session *s, const struct listener_params *p, uint32_t depth)
{
    const struct listener_params *peer = overlay_find(&p->peer, &s->peer.ip);
    const struct listener_params *via = overlay_find(&p->via, &s->local.ip);
    bool changed = false;

    if (depth == OVERLAY_DEPTH_MAX) {
        return false;
    }
    if (peer != NULL) {
        option_overlay(&listener_params_options, session_own(s), peer);
        (void)overlay_apply(s, peer, depth + 1);
        changed = true;
    }
    if (via != NULL) {
        option_overlay(&listener_params_options, session_own(s), via);
        (void)overlay_apply(s, via, depth + 1);
        changed = true;
    }
    return changed;
}

static void overlay_took(struct session *s)
{
    meta_set_string(&s->meta, SLICE("hostname"), session_hostname(s));
    session_add_meta(s);
    session_set_limits(s);
}

void session_apply_overlays(struct session *s)
{
    if (overlay_apply(s, &s->listener->endpoint->config.params, 0)) {
        overlay_took(s);
    }
}

bool session_overlay(struct session *s, const struct json *table, struct buf *why)
{
    struct session_dynamic *d = MEM_NEW(struct session_dynamic);

    if (!listener_params_read(table, &d->params, why)) {
        mem_give(d);
        return false;
    }
    d->next = s->dynamic; /* kept: the session borrows what it points to */
    s->dynamic = d;
    option_overlay(&listener_params_options, session_own(s), &d->params);
    (void)overlay_apply(s, &d->params, 1);
    overlay_took(s);
    return true;
}

void session_overlays_free(struct session *s)
{
    while (s->dynamic != NULL) {
        struct session_dynamic *d = s->dynamic;

        s->dynamic = d->next;
        listener_params_free(&d->params);
        mem_give(d);
    }
    MEM_FREE(&s->own_config); /* borrowed everything */
}
