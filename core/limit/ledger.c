/* The holder's half of a lease, and rates; what the owner counts is in ledger_owner.c. */
#include "core/limit/ledger_private.h"

#include "core/base/mem.h"

#define BATCH_MAX 64u

static struct slice lease_key(const struct hmap_node *node)
{
    const struct lease *ls = CONTAINER_OF(node, struct lease, node);

    return slice_of(ls->name, ls->name_len);
}

static struct slice counter_key(const struct hmap_node *node)
{
    const struct ledger_counter *c = CONTAINER_OF(node, struct ledger_counter, node);

    return slice_of(c->name, c->name_len);
}

struct ledger_mail *ledger_mail_new(enum ledger_mail_kind kind, struct slice name, uint32_t count,
                                    uint32_t limit)
{
    struct ledger_mail *m = mem_take_zero(sizeof(*m) + name.len);

    m->kind = (uint8_t)kind;
    m->count = count;
    m->limit = limit;
    m->name_len = (uint32_t)name.len;
    memcpy(m->name, name.ptr, name.len);
    return m;
}

void ledger_mail_send(struct ledger *l, uint32_t to, struct ledger_mail *m)
{
    mail_send(l->shard, to, MAIL_LEDGER, &m->item);
}

static void ledger_received(void *ctx, struct mail_item *item);

void ledger_init(struct ledger *l, struct shard *shard)
{
    l->shard = shard;
    hmap_init(&l->leases, lease_key, 0);
    hmap_init(&l->counters, counter_key, 0);
    throttles_init(&l->throttles, 0, THROTTLE_COUNT_MAX_DEFAULT);
    mail_on(shard, MAIL_LEDGER, ledger_received, l);
}

void ledger_end(struct ledger *l)
{
    l->ended = true;
}

void ledger_free(struct ledger *l)
{
    struct hmap_node *next;

    MUST(l->leases.count == 0);
    for (struct hmap_node *n = hmap_first(&l->counters); n != NULL; n = next) {
        next = hmap_next(&l->counters, n);
        ledger_counter_free(l, CONTAINER_OF(n, struct ledger_counter, node));
    }
    hmap_free(&l->leases);
    hmap_free(&l->counters);
    throttles_free(&l->throttles);
}

/* ---- places ---- */

static void lease_settle_batch(struct lease *ls)
{
    uint32_t share = ls->limit / (4u * ls->ledger->shard->group->count);

    ls->batch = share < 1 ? 1 : share > BATCH_MAX ? BATCH_MAX : share;
    if (ls->waits) {
        ls->batch = 1; /* a connection held for nothing is one that another shard lacks */
    }
}

void lease_open(struct lease *ls, struct ledger *l, struct slice name, uint32_t limit, bool waits)
{
    *ls = (struct lease){
        .ledger = l,
        .name = mem_copy(name.ptr, name.len),
        .name_len = (uint32_t)name.len,
        .owner = shard_of_name(l->shard->group, name),
        .limit = limit,
        .waits = waits,
    };
    dlist_init(&ls->waiters);
    lease_settle_batch(ls);
    hmap_insert(&l->leases, &ls->node);
}

static void lease_return(struct lease *ls, uint32_t count)
{
    struct ledger *l = ls->ledger;

    MUST(count <= ls->held - ls->used);
    ls->held -= count;
    if (l->ended) {
        return;
    }
    if (ls->owner == l->shard->index) {
        ledger_owner_returned(l, slice_of(ls->name, ls->name_len), l->shard->index, count);
    } else {
        ledger_mail_send(l, ls->owner,
                         ledger_mail_new(LEDGER_RETURN, slice_of(ls->name, ls->name_len), count,
                                         ls->limit));
    }
}

void lease_close(struct lease *ls)
{
    MUST(ls->used == 0 && dlist_empty(&ls->waiters));
    if (ls->held > 0) {
        lease_return(ls, ls->held);
    }
    hmap_remove(&ls->ledger->leases, &ls->node);
    MEM_FREE(&ls->name);
}

void lease_set_limit(struct lease *ls, uint32_t limit)
{
    ls->limit = limit;
    lease_settle_batch(ls);
}

static void lease_ask(struct lease *ls)
{
    ls->asking = true;
    ledger_mail_send(ls->ledger, ls->owner,
                     ledger_mail_new(ls->waits ? LEDGER_ASK_WAIT : LEDGER_ASK,
                                     slice_of(ls->name, ls->name_len), ls->batch, ls->limit));
}

enum lease_answer lease_take(struct lease *ls, struct lease_waiter *w)
{
    struct ledger *l = ls->ledger;

    MUST(w->fn != NULL && !dlist_linked(&w->link));
    if (ls->used < ls->held && dlist_empty(&ls->waiters)) {
        ls->used++;
        return LEASE_TAKEN;
    }
    if (ls->owner == l->shard->index && dlist_empty(&ls->waiters)) {
        enum lease_answer answer = ledger_owner_take(l, ls);

        if (answer != LEASE_PENDING) {
            return answer;
        }
    } else if (ls->owner != l->shard->index && !ls->asking) {
        lease_ask(ls);
    }
    dlist_push(&ls->waiters, &w->link);
    return LEASE_PENDING;
}

void lease_unwait(struct lease *ls, struct lease_waiter *w)
{
    if (dlist_linked(&w->link)) {
        dlist_remove(&w->link);
    }
}

/* A waiter may give its place back from inside the call; the next one then gets it here, so that
 * the stack does not grow with the waiters. */
static void lease_hand_out(struct lease *ls)
{
    struct dlist *node;

    if (ls->handing) {
        return;
    }
    ls->handing = true;
    while (ls->used < ls->held && (node = dlist_pop(&ls->waiters)) != NULL) {
        struct lease_waiter *w = CONTAINER_OF(node, struct lease_waiter, link);

        ls->used++;
        w->fn(w, true);
    }
    ls->handing = false;
}

/* Asks for what is short and returns what is not to be kept. */
static void lease_settle(struct lease *ls)
{
    const bool owned_here = ls->owner == ls->ledger->shard->index;
    uint32_t spare = ls->held - ls->used;

    if (!dlist_empty(&ls->waiters)) {
        if (owned_here) {
            ledger_owner_want(ls->ledger, ls);
        } else if (!ls->asking) {
            lease_ask(ls);
        }
    }
    if (spare > (owned_here || ls->recalled ? 0 : ls->batch)) {
        lease_return(ls, spare);
    }
}

void lease_give(struct lease *ls)
{
    MUST(ls->used > 0);
    ls->used--;
    if (ls->handing) {
        return;
    }
    /* Whoever waits here comes first, unless another shard was promised the place. */
    if (ls->owner != ls->ledger->shard->index && !ls->recalled) {
        lease_hand_out(ls);
    }
    lease_settle(ls);
}

/* Places (or, with 0, the word that there are none) have come from the owner. */
void ledger_lease_granted(struct lease *ls, uint32_t count)
{
    struct dlist refused;
    struct dlist *node;

    ls->asking = false;
    ls->held += count;
    if (count > 0) {
        ls->recalled = false;
        lease_hand_out(ls);
        lease_settle(ls);
        return;
    }
    dlist_init(&refused); /* whoever asks again from inside the call waits for another answer */
    dlist_splice(&refused, &ls->waiters);
    while ((node = dlist_pop(&refused)) != NULL) {
        struct lease_waiter *w = CONTAINER_OF(node, struct lease_waiter, link);

        w->fn(w, false);
    }
}

static struct lease *lease_find(struct ledger *l, struct slice name)
{
    struct hmap_node *node = hmap_find(&l->leases, name);

    return node != NULL ? CONTAINER_OF(node, struct lease, node) : NULL;
}

static void holder_granted(struct ledger *l, struct ledger_mail *m, struct slice name)
{
    struct lease *ls = lease_find(l, name);

    if (ls != NULL) {
        ledger_lease_granted(ls, m->count);
    } else if (m->count > 0) { /* closed meanwhile */
        ledger_mail_send(l, m->item.from, ledger_mail_new(LEDGER_RETURN, name, m->count, 0));
    }
}

/* Answers every recall, with what is unused now; the rest follows as it becomes free. */
static void holder_recalled(struct ledger *l, struct ledger_mail *m, struct slice name)
{
    struct lease *ls = lease_find(l, name);
    uint32_t spare = 0;

    if (ls != NULL) {
        ls->recalled = true;
        spare = ls->held - ls->used;
        ls->held -= spare;
        if (ls->recall_fn != NULL && spare == 0) {
            ls->recall_fn(ls);
        }
    }
    ledger_mail_send(l, m->item.from, ledger_mail_new(LEDGER_RECALLED, name, spare, 0));
}

/* ---- rates ---- */

bool token_at_hand(const struct ledger *l, struct slice name)
{
    return shard_of_name(l->shard->group, name) == l->shard->index;
}

bool token_take(struct ledger *l, struct slice name, const struct gcra_rate *rate,
                struct token_ask *ask, uint64_t *wait_ns)
{
    uint32_t owner = shard_of_name(l->shard->group, name);
    struct ledger_mail *m;

    MUST(!ask->in_flight);
    if (owner == l->shard->index) {
        *wait_ns = throttle_take(&l->throttles, name, rate, ring_now_ns(&l->shard->ring), 1);
        return true;
    }
    m = ledger_mail_new(LEDGER_TOKEN_ASK, name, 1, 0);
    m->rate = *rate;
    m->ask = ask;
    ask->in_flight = true;
    ledger_mail_send(l, owner, m);
    return false;
}

static void token_asked(struct ledger *l, struct ledger_mail *m, struct slice name)
{
    m->wait_ns = throttle_take(&l->throttles, name, &m->rate, ring_now_ns(&l->shard->ring), 1);
    m->kind = LEDGER_TOKEN_ANSWER;
    ledger_mail_send(l, m->item.from, m);
}

static void ledger_received(void *ctx, struct mail_item *item)
{
    struct ledger *l = ctx;
    struct ledger_mail *m = CONTAINER_OF(item, struct ledger_mail, item);
    struct slice name = slice_of(m->name, m->name_len);

    switch ((enum ledger_mail_kind)m->kind) {
    case LEDGER_ASK:
    case LEDGER_ASK_WAIT:
        ledger_owner_asked(l, name, item->from, m->count, m->limit, m->kind == LEDGER_ASK_WAIT);
        break;
    case LEDGER_RETURN:
        ledger_owner_returned(l, name, item->from, m->count);
        break;
    case LEDGER_RECALLED:
        ledger_owner_recalled(l, name, item->from, m->count);
        break;
    case LEDGER_GRANT:
        holder_granted(l, m, name);
        break;
    case LEDGER_RECALL:
        holder_recalled(l, m, name);
        break;
    case LEDGER_TOKEN_ASK:
        token_asked(l, m, name);
        return; /* it is on its way back */
    case LEDGER_TOKEN_ANSWER:
        m->ask->in_flight = false;
        m->ask->fn(m->ask, m->wait_ns);
        break;
    }
    mem_give(m);
}
