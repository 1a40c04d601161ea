#include "tests/sim/sim_dns.h"

#include "core/base/buf.h"
#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/net/dns_backend.h"
#include "core/net/dns_zone.h"
#include "core/shard/shard.h"
#include "tests/sim/sim_shard.h"

struct sim_dns {
    struct dns_backend backend;
    struct shard *shard;
    struct dns_zone *zone;
    struct dlist answered;
    struct post post;
};

struct sim_question {
    struct dlist link; /* of those answered */
    struct sim_dns *dns;
    struct dns_query *q; /* NULL: nobody wants to know any more */
    enum dns_status status;
    struct buf name;
    uint16_t type;
};

/* On the shard, from its loop. */
static void answers_tell(struct post *p)
{
    struct sim_dns *dns = CONTAINER_OF(p, struct sim_dns, post);
    struct dlist *node;

    while ((node = dlist_pop(&dns->answered)) != NULL) {
        struct sim_question *qn = CONTAINER_OF(node, struct sim_question, link);
        struct dns_query *q = qn->q;
        struct buf answer = {0};

        if (q != NULL) {
            q->pending = NULL;
            if (qn->status == LOOKUP_OK) {
                zone_answer_put(dns->zone, buf_slice(&qn->name), qn->type, &answer);
            }
            q->done(q, qn->status, buf_slice(&answer));
            buf_free(&answer);
        }
        buf_free(&qn->name);
        mem_give(qn);
    }
}

static void answer_due(struct sim *s, void *ctx, uint64_t arg)
{
    struct sim_question *qn = ctx;
    struct sim_dns *dns = qn->dns;

    dlist_push(&dns->answered, &qn->link);
    shard_post(dns->shard, &dns->post);
    shard_rouse(shard_of_ring(&dns->shard->ring), 0);
}

static void sim_dns_query(struct dns_backend *b, struct slice name, uint16_t type,
                          struct dns_query *q)
{
    struct sim_dns *dns = CONTAINER_OF(b, struct sim_dns, backend);
    struct sim *s = shard_of_ring(&dns->shard->ring)->s;
    struct sim_question *qn = MEM_NEW(struct sim_question);
    uint64_t delay_ns = sim_spread(s, CHANCE_NET, 100 * SIM_US, 50 * SIM_MS);
    enum dns_status status = LOOKUP_OK;

    if (!s->faults_off && sim_chance(s, CHANCE_NET, s->plan.faults[FAULT_DNS_ERROR])) {
        status = sim_below(s, CHANCE_NET, 2) == 0 ? LOOKUP_TIMEOUT : LOOKUP_SERVFAIL;
        delay_ns = status == LOOKUP_TIMEOUT ? 20 * SIM_S : delay_ns;
    }
    qn->dns = dns;
    qn->q = q;
    qn->type = type;
    buf_put(&qn->name, name);
    q->pending = qn;
    qn->status = status;
    sim_note(s, SIM_DNS, "question of type %llu, name's hash %llx, status %llu", type,
             hash64_slice(name, 0), status);
    sim_after_here(s, delay_ns, answer_due, qn, 0);
}

static void sim_dns_cancel(struct dns_backend *b, struct dns_query *q)
{
    struct sim_question *qn = q->pending;

    if (qn != NULL) {
        qn->q = NULL;
        q->pending = NULL;
    }
}

/* What was asked and forgotten still comes back to it: the process ends soon and frees it. */
static void sim_dns_close(struct dns_backend *b)
{
    struct sim_dns *dns = CONTAINER_OF(b, struct sim_dns, backend);

    shard_unpost(dns->shard, &dns->post);
    dns_zone_free(&dns->zone);
}

struct dns_backend *sim_dns_open(struct sim *s, struct shard *shard)
{
    struct sim_dns *dns = MEM_NEW(struct sim_dns);
    struct buf text = {0}, why = {0};

    dns->backend = (struct dns_backend){"sim", sim_dns_query, sim_dns_cancel, sim_dns_close};
    dns->shard = shard;
    dns->post.fn = answers_tell;
    dlist_init(&dns->answered);
    dns->zone = dns_zone_new();
    BUF_LIT(&text, "$ORIGIN sim.\n$TTL 300\n");
    for (uint32_t i = 0; i < s->plan.domains; i++) {
        buf_printf(&text, "d%u MX 10 mx%u\nmx%u A 10.9.0.%u\n", i, i, i, i + 1);
    }
    MUST(dns_zone_parse(dns->zone, buf_slice(&text), &why));
    buf_free(&text);
    buf_free(&why);
    return &dns->backend;
}
