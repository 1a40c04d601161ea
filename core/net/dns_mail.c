/* The way between shards: a question to the owner of its name, the answer back. */
#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/net/dns_resolver_private.h"

#define NS_PER_MS 1000000u

void dns_mail_ask(struct resolver *r, uint32_t owner, struct slice key)
{
    struct dns_ask *ask = mem_take_zero(sizeof(*ask) + key.len);

    ask->key_len = (uint32_t)key.len;
    memcpy(ask->key, key.ptr, key.len);
    mail_send(r->shard, owner, MAIL_DNS_ASK, &ask->item);
}

void dns_mail_answer(struct resolver *r, struct dns_ask *ask, const struct dns_set *set)
{
    const uint32_t asker = ask->item.from; /* mail_send() writes our own there */

    r->counters.answered_by_mail++;
    ask->set = dns_set_copy(set);
    mail_send(r->shard, asker, MAIL_DNS_ANSWER, &ask->item);
}

static void asked(void *ctx, struct mail_item *item)
{
    struct resolver *r = ctx;
    struct dns_ask *ask = CONTAINER_OF(item, struct dns_ask, item);
    const struct slice key = slice_of(ask->key, ask->key_len);
    struct dns_set *set = dns_cache_get(&r->cache, key, ring_now_ns(&r->shard->ring));
    struct dns_flight *f;

    MUST((uint8_t)ask->key[0] < r->view_count);
    if (set != NULL) {
        dns_mail_answer(r, ask, set);
    } else if ((f = dns_flight_get(r, key)) != NULL) {
        slist_push(&f->asks, &ask->item.link);
    } else {
        uint16_t type;

        memcpy(&type, ask->key + 1, sizeof(type));
        set = dns_set_empty(type, LOOKUP_BUSY);
        dns_mail_answer(r, ask, set);
        dns_set_unref(set);
    }
}

static void answered(void *ctx, struct mail_item *item)
{
    struct resolver *r = ctx;
    struct dns_ask *ask = CONTAINER_OF(item, struct dns_ask, item);
    struct dns_flight *f = dns_flight_find(r, slice_of(ask->key, ask->key_len));
    struct dns_set *set = ask->set;
    const uint64_t keep_until_ns =
        ring_now_ns(&r->shard->ring) + (uint64_t)r->params.copy_ttl_ms * NS_PER_MS;

    if (set->expires_ns > keep_until_ns) {
        set->expires_ns = keep_until_ns;
    }
    mem_give(ask);
    MUST(f != NULL); /* one question per flight, and it stays until the answer */
    dns_flight_land(f, set);
}

void dns_mail_init(struct resolver *r)
{
    mail_on(r->shard, MAIL_DNS_ASK, asked, r);
    mail_on(r->shard, MAIL_DNS_ANSWER, answered, r);
}
