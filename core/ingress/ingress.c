#include "core/ingress/ingress.h"

#include "core/base/mem.h"
#include "core/ingress/deferred.h"
#include "core/ingress/session.h"
#include "policy/vm/vm.h"

#define STAGING_BYTES_MAX (256u * 1024u * 1024u)

void ingress_init(struct ingress *in, struct shard *shard)
{
    *in = (struct ingress){.shard = shard, .staging_bytes_max = STAGING_BYTES_MAX};
    dlist_init(&in->sessions);
    dlist_init(&in->starved);
    deferrals_init(in);
}

void ingress_room_init(struct ingress_room *room, uint64_t descriptor_max)
{
    uint64_t most = descriptor_max / 4 * 3;

    room->session_max = most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
}

static void endpoint_accepted(struct listener *l, int fd)
{
    session_open(CONTAINER_OF(l, struct ingress_listener, listener), fd);
}

static void endpoint_closed(struct listener *l)
{
    struct ingress *in = CONTAINER_OF(l, struct ingress_listener, listener)->ingress;

    in->open_listener_count--;
    ingress_drained_check(in);
}

static void limits_fill(struct smtp_server_limits *limits, const struct listener_params *cfg,
                        const struct ingress *in)
{
    *limits = (struct smtp_server_limits){
        .hostname = cfg->hostname != NULL ? slice_str(cfg->hostname) : in->hostname,
        .banner = slice_str(cfg->banner),
        .max_message_size = cfg->max_message_size,
        .line_length_hard_limit = (uint32_t)cfg->line_length_hard_limit,
        .invalid_line_endings = cfg->invalid_line_endings,
        .rewrite_replies = vm_has(in->vm, VM_HOOK_smtp_server_rewrite_response),
        .report_refusals = true,
    };
}

void session_set_limits(struct session *s)
{
    if (s->own_limits == NULL) {
        s->own_limits = MEM_NEW(struct smtp_server_limits);
    }
    limits_fill(s->own_limits, s->config, s->ingress);
    smtp_server_set_limits(s->smtp, s->own_limits);
}

int ingress_listen(struct ingress *in, struct ingress_endpoint *endpoint)
{
    struct ingress_listener *l = MEM_NEW(struct ingress_listener);
    int res = listener_bind(&l->listener, in->shard, &endpoint->addr, in->shard->index != 0);

    if (res < 0) {
        mem_give(l);
        return res;
    }
    endpoint->addr.port = l->listener.addr.port;
    l->listener.accepted = endpoint_accepted;
    l->listener.closed = endpoint_closed;
    l->ingress = in;
    l->endpoint = endpoint;
    limits_fill(&l->limits, &endpoint->config.params, in);
    l->next = in->listeners;
    in->listeners = l;
    in->open_listener_count++;
    return 0;
}

void ingress_unlisten(struct ingress *in, const struct ingress_endpoint *endpoint)
{
    struct ingress_listener *l = in->listeners;

    if (l != NULL && l->endpoint == endpoint) {
        in->listeners = l->next;
        in->open_listener_count--;
        listener_unbind(&l->listener);
        mem_give(l);
    }
}

void ingress_start(struct ingress *in)
{
    for (struct ingress_listener *l = in->listeners; l != NULL; l = l->next) {
        l->listener.diag = in->diag;
        listener_start(&l->listener);
    }
}

void ingress_drain(struct ingress *in, void (*drained)(void *ctx), void *ctx)
{
    struct dlist *next;

    in->draining = true;
    in->drained = drained;
    in->drained_ctx = ctx;
    for (struct ingress_listener *l = in->listeners; l != NULL; l = l->next) {
        listener_close(&l->listener);
    }
    for (struct dlist *n = in->sessions.next; n != &in->sessions; n = next) {
        next = n->next;
        session_shutdown(CONTAINER_OF(n, struct session, link));
    }
    ingress_drained_check(in);
}

void ingress_cut(struct ingress *in)
{
    struct dlist *next;

    for (struct dlist *n = in->sessions.next; n != &in->sessions; n = next) {
        next = n->next;
        session_cut(CONTAINER_OF(n, struct session, link));
    }
    deferrals_cut(in);
}

void ingress_drained_check(struct ingress *in)
{
    if (in->draining && in->drained != NULL && in->session_count == 0 &&
        in->open_listener_count == 0) {
        void (*drained)(void *ctx) = in->drained;

        in->drained = NULL;
        drained(in->drained_ctx);
    }
}

void ingress_free(struct ingress *in)
{
    deferrals_free(in);
    while (in->listeners != NULL) {
        struct ingress_listener *l = in->listeners;

        in->listeners = l->next;
        mem_give(l);
    }
    buf_free(&in->scratch);
    buf_free(&in->json);
    buf_free(&in->reply);
}
