/* Who may send what to whom: relay_hosts, listener domains, and the limits on recipients. */
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/config/listener_domain_config.h"
#include "core/ingress/session.h"

#define RELAY_DOMAINS_MAX 16u

struct relay_domain {
    char *domain;
    uint32_t domain_len;
    bool known; /* the policy has an opinion: config counts */
    struct listener_domain_config config;
};

/* What get_listener_domain said in this session; the oldest answer makes room for the newest. */
struct relay_memory {
    struct relay_domain domains[RELAY_DOMAINS_MAX];
    uint32_t count, next;
};

static bool relay_asks(const struct session *s)
{
    return vm_has(s->ingress->vm, VM_HOOK_get_listener_domain);
}

static const struct relay_domain *relay_find(const struct session *s, struct slice domain)
{
    for (uint32_t i = 0; s->relay != NULL && i < s->relay->count; i++) {
        const struct relay_domain *d = &s->relay->domains[i];

        if (slice_eq(slice_of(d->domain, d->domain_len), domain)) {
            return d;
        }
    }
    return NULL;
}

static void relay_domain_clear(struct relay_domain *d)
{
    if (d->known) {
        listener_domain_config_free(&d->config);
    }
    mem_give(d->domain);
    *d = (struct relay_domain){0};
}

void relay_forget(struct session *s)
{
    for (uint32_t i = 0; s->relay != NULL && i < s->relay->count; i++) {
        relay_domain_clear(&s->relay->domains[i]);
    }
    MEM_FREE(&s->relay);
}

static struct relay_domain *relay_add(struct session *s, struct slice domain)
{
    struct relay_domain *d;

    if (s->relay == NULL) {
        s->relay = MEM_NEW(struct relay_memory);
    }
    d = &s->relay->domains[s->relay->next];
    relay_domain_clear(d);
    s->relay->next = (s->relay->next + 1) % RELAY_DOMAINS_MAX;
    if (s->relay->count < RELAY_DOMAINS_MAX) {
        s->relay->count++;
    }
    d->domain = mem_copy(domain.ptr, domain.len);
    d->domain_len = (uint32_t)domain.len;
    return d;
}

bool relay_peer_trusted(const struct session *s)
{
    for (uint32_t i = 0; i < s->config->relay_hosts.count; i++) {
        if (ip_net_has(&s->config->relay_hosts.items[i], &s->peer.ip)) {
            return true;
        }
    }
    return false;
}

static bool nets_have(const struct ip_net *nets, uint32_t count, const struct ip *ip)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ip_net_has(&nets[i], ip)) {
            return true;
        }
    }
    return false;
}

bool relay_allowed(const struct session *s, struct slice sender_domain,
                   struct slice recipient_domain)
{
    const struct relay_domain *from = relay_find(s, sender_domain);
    const struct relay_domain *to = relay_find(s, recipient_domain);

    return relay_peer_trusted(s) ||
           (from != NULL && from->known &&
            nets_have(from->config.relay_from.items, from->config.relay_from.count, &s->peer.ip)) ||
           (to != NULL && to->known && to->config.relay_to);
}

void relay_report_wishes(const struct session *s, struct slice recipient_domain,
                         enum log_disposition *arf, enum log_disposition *oob)
{
    const struct relay_domain *to = relay_find(s, recipient_domain);
    const bool known = to != NULL && to->known;

    *arf = known ? (enum log_disposition)to->config.log_arf : LOG_IGNORE;
    *oob = known ? (enum log_disposition)to->config.log_oob : LOG_IGNORE;
}

static bool relay_takes_reports(const struct session *s, struct slice recipient_domain)
{
    const struct relay_domain *to = relay_find(s, recipient_domain);

    return to != NULL && to->known &&
           (to->config.log_oob != LOG_IGNORE || to->config.log_arf != LOG_IGNORE);
}

/* ---- the RCPT chain ---- */

static struct slice sender_domain(const struct session *s)
{
    return address_split(smtp_server_sender(s->smtp)).domain;
}

static void relay_decide(struct session *s, const struct smtp_question *q, struct slice sender)
{
    uint32_t accepted = smtp_server_recipient_count(s->smtp);

    if (!relay_allowed(s, sender, q->address.domain) &&
        !relay_takes_reports(s, q->address.domain)) {
        char room[IP_PORT_TEXT_MAX];
        struct slice peer = ip_port_text(&s->peer, room);

        session_replyf(s, 550, "5.7.1 relaying not permitted for %.*s", SLICE_ARG(peer));
    } else if (accepted >= s->config->max_recipients_per_message) {
        session_reply(s, 452, SLICE("4.5.3 too many recipients"));
    } else if (s->rcpt_count >= s->config->max_messages_per_connection && accepted == 0) {
        session_replyf(s, 421, "4.5.3 %.*s too many recipients on this connection",
                       SLICE_ARG(session_hostname(s)));
    } else if (s->rcpt_count >= s->config->max_messages_per_connection) {
        session_reply(s, 452, SLICE("4.5.3 too many recipients on this connection"));
    } else {
        session_ask_rcpt_hook(s, q);
    }
}

bool relay_unknown(const struct session *s, struct slice sender_domain,
                   struct slice recipient_domain, struct slice *out)
{
    if (!relay_asks(s)) {
        return false;
    }
    *out = relay_find(s, sender_domain) == NULL ? sender_domain : recipient_domain;
    return relay_find(s, *out) == NULL;
}

bool relay_learn(struct session *s, struct slice domain, const struct vm_result *result,
                 struct buf *why)
{
    const struct json *value = result->value_count > 0 ? result->values[0] : NULL;
    struct listener_domain_config config;
    struct relay_domain *d;
    bool known = value != NULL && value->type != JSON_NULL;

    if (result->status == VM_REJECTED || result->status == VM_ERROR) {
        buf_put(why, result->text); /* a reject here is no answer to the peer */
        return false;
    }
    if (known && !listener_domain_config_read(value, &config, why)) {
        return false;
    }
    d = relay_add(s, domain);
    d->known = known;
    if (known) {
        d->config = config;
    }
    return true;
}

void relay_ask_rcpt(struct session *s, const struct smtp_question *q)
{
    struct slice sender = sender_domain(s);
    struct slice domain;

    if (!relay_unknown(s, sender, q->address.domain, &domain)) {
        relay_decide(s, q, sender);
    } else if (slice_eq(domain, sender)) {
        session_ask_domain(s, PHASE_SENDER_DOMAIN, domain);
    } else {
        session_ask_domain(s, PHASE_RECIPIENT_DOMAIN, domain);
    }
}

void relay_take_domain(struct session *s, enum session_phase phase,
                       const struct vm_result *result)
{
    struct smtp_question q = smtp_server_question(s->smtp);
    struct slice domain = phase == PHASE_SENDER_DOMAIN ? sender_domain(s) : q.address.domain;
    struct buf why = {0};

    if (relay_learn(s, domain, result, &why)) {
        relay_ask_rcpt(s, &q);
    } else {
        session_fail(s, buf_slice(&why));
    }
    buf_free(&why);
}
