/* The owner's half of the ledger: who holds how many places of a limit, who waits for one. */
#include "core/limit/ledger_private.h"

#include "core/base/mem.h"

static struct ledger_counter *counter_get(struct ledger *l, struct slice name, uint32_t limit)
{
    struct hmap_node *node = hmap_find(&l->counters, name);
    struct ledger_counter *c;

    if (node != NULL) {
        c = CONTAINER_OF(node, struct ledger_counter, node);
    } else {
        c = mem_take_zero(sizeof(*c) + l->shard->group->count * sizeof(struct ledger_share));
        c->name = mem_copy(name.ptr, name.len);
        c->name_len = (uint32_t)name.len;
        hmap_insert(&l->counters, &c->node);
    }
    if (limit != 0) {
        c->limit = limit;
    }
    return c;
}

void ledger_counter_free(struct ledger *l, struct ledger_counter *c)
{
    hmap_remove(&l->counters, &c->node);
    mem_give(c->name);
    mem_give(c);
}

static void drop_if_unused(struct ledger *l, struct ledger_counter *c)
{
    if (c->granted > 0) {
        return;
    }
    for (uint32_t i = 0; i < l->shard->group->count; i++) {
        if (c->shares[i].asked > 0 || c->shares[i].recalling) {
            return;
        }
    }
    ledger_counter_free(l, c);
}

static void grant(struct ledger *l, struct ledger_counter *c, uint32_t to, uint32_t count)
{
    struct slice name = slice_of(c->name, c->name_len);

    c->granted += count;
    c->shares[to].granted += count;
    c->shares[to].asked = 0;
    MUST(count == 0 || c->granted <= c->limit);
    if (to == l->shard->index) {
        struct hmap_node *node = hmap_find(&l->leases, name);

        if (node == NULL) {
            c->granted -= count;
            c->shares[to].granted -= count;
        } else {
            ledger_lease_granted(CONTAINER_OF(node, struct lease, node), count);
        }
        return;
    }
    ledger_mail_send(l, to, ledger_mail_new(LEDGER_GRANT, name, count, 0));
}

static uint32_t free_places(const struct ledger_counter *c)
{
    return c->granted < c->limit ? c->limit - c->granted : 0;
}

static bool recall_from_others(struct ledger *l, struct ledger_counter *c, uint32_t asker)
{
    bool pending = false;

    for (uint32_t i = 0; i < l->shard->group->count; i++) {
        struct ledger_share *share = &c->shares[i];

        if (i != asker && i != l->shard->index && share->granted > 0 && !share->recalling) {
            share->recalling = true;
            ledger_mail_send(l, i,
                             ledger_mail_new(LEDGER_RECALL, slice_of(c->name, c->name_len), 0, 0));
        }
        pending = pending || share->recalling;
    }
    return pending;
}

/* Serves who waits, in turn, as far as places go; then tells the impatient that there are none,
 * once no recall is under way any more. */
static void serve(struct ledger *l, struct ledger_counter *c)
{
    uint32_t count = l->shard->group->count;
    bool recalling = false;

    for (uint32_t idle = 0; idle < count && free_places(c) > 0; idle++) {
        uint32_t at = c->turn;

        c->turn = (at + 1) % count;
        if (c->shares[at].asked > 0) {
            uint32_t places = free_places(c);

            grant(l, c, at, c->shares[at].asked < places ? c->shares[at].asked : places);
            idle = 0; /* it may ask again at once */
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        recalling = recalling || c->shares[i].recalling;
    }
    for (uint32_t i = 0; !recalling && i < count; i++) {
        if (c->shares[i].asked > 0 && !c->shares[i].asked_waits) {
            grant(l, c, i, 0);
        }
    }
}

static void ask(struct ledger *l, struct ledger_counter *c, uint32_t from, uint32_t count,
                bool waits)
{
    c->shares[from].asked = count;
    c->shares[from].asked_waits = waits;
    if (free_places(c) == 0) {
        (void)recall_from_others(l, c, from);
    }
    serve(l, c);
}

enum lease_answer ledger_owner_take(struct ledger *l, struct lease *ls)
{
    struct ledger_counter *c = counter_get(l, slice_of(ls->name, ls->name_len), ls->limit);
    struct ledger_share *own = &c->shares[l->shard->index];

    if (free_places(c) > 0) {
        c->granted++;
        own->granted++;
        ls->held++;
        ls->used++;
        return LEASE_TAKEN;
    }
    if (!recall_from_others(l, c, l->shard->index) && !ls->waits) {
        return LEASE_FULL;
    }
    own->asked = 1;
    own->asked_waits = ls->waits;
    return LEASE_PENDING;
}

void ledger_owner_want(struct ledger *l, struct lease *ls)
{
    struct ledger_counter *c = counter_get(l, slice_of(ls->name, ls->name_len), ls->limit);

    c->shares[l->shard->index].asked = 1;
    c->shares[l->shard->index].asked_waits = ls->waits;
}

void ledger_owner_asked(struct ledger *l, struct slice name, uint32_t from, uint32_t count,
                        uint32_t limit, bool waits)
{
    ask(l, counter_get(l, name, limit), from, count, waits);
}

void ledger_owner_returned(struct ledger *l, struct slice name, uint32_t from, uint32_t count)
{
    struct ledger_counter *c = counter_get(l, name, 0);

    MUST(c->shares[from].granted >= count && c->granted >= count);
    c->shares[from].granted -= count;
    c->granted -= count;
    serve(l, c);
    drop_if_unused(l, c);
}

void ledger_owner_recalled(struct ledger *l, struct slice name, uint32_t from, uint32_t count)
{
    counter_get(l, name, 0)->shares[from].recalling = false;
    ledger_owner_returned(l, name, from, count);
}
