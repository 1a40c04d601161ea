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
    if (c->granted > 0 || c->serving) {
        return;
    }
    for (uint32_t i = 0; i < l->shard->group->count; i++) {
        if (c->shares[i].asked > 0 || c->shares[i].recalling) {
            return;
        }
    }
    ledger_counter_free(l, c);
}

static struct lease *own_lease(struct ledger *l, const struct ledger_counter *c)
{
    struct hmap_node *node = hmap_find(&l->leases, slice_of(c->name, c->name_len));

    return node != NULL ? CONTAINER_OF(node, struct lease, node) : NULL;
}

/* With 0 it is the word that there are none. */
static void grant(struct ledger *l, struct ledger_counter *c, uint32_t to, uint32_t count)
{
    struct ledger_share *share = &c->shares[to];

    c->granted += count;
    share->granted += count;
    share->asked = 0;
    share->doubtful = share->doubtful || count > 0;
    MUST(count == 0 || c->granted <= c->limit);
    if (to == l->shard->index) {
        struct lease *ls = own_lease(l, c);

        if (ls == NULL) {
            c->granted -= count;
            share->granted -= count;
        } else {
            ledger_lease_granted(ls, count);
        }
        return;
    }
    ledger_mail_send(l, to,
                     ledger_mail_new(LEDGER_GRANT, slice_of(c->name, c->name_len), count, 0));
}

static uint32_t free_places(const struct ledger_counter *c)
{
    return c->granted < c->limit ? c->limit - c->granted : 0;
}

static bool recall_under_way(const struct ledger *l, const struct ledger_counter *c)
{
    for (uint32_t i = 0; i < l->shard->group->count; i++) {
        if (c->shares[i].recalling) {
            return true;
        }
    }
    return false;
}

/* The owner's own holder keeps nothing unused, but it can be asked to end some use. */
static void recall(struct ledger *l, struct ledger_counter *c, uint32_t from)
{
    c->shares[from].doubtful = false;
    if (from == l->shard->index) {
        struct lease *ls = own_lease(l, c);

        if (ls != NULL && ls->recall_fn != NULL) {
            ls->recall_fn(ls);
        }
        return;
    }
    c->shares[from].recalling = true;
    ledger_mail_send(l, from,
                     ledger_mail_new(LEDGER_RECALL, slice_of(c->name, c->name_len), 0, 0));
}

/* Somebody is short: whatever the others hold has to be looked at once more. */
static void doubt_others(struct ledger *l, struct ledger_counter *c, uint32_t asker)
{
    for (uint32_t i = 0; i < l->shard->group->count; i++) {
        c->shares[i].doubtful = c->shares[i].doubtful || (i != asker && c->shares[i].granted > 0);
    }
}

/* A share that was granted places while another waits is recalled too: it returns them as they
 * become free, instead of passing them on among its own. */
static void recall_for_waiting(struct ledger *l, struct ledger_counter *c, bool own_too)
{
    uint32_t waiting_count = 0;

    for (uint32_t i = 0; i < l->shard->group->count; i++) {
        waiting_count += c->shares[i].asked > 0;
    }
    for (uint32_t i = 0; i < l->shard->group->count; i++) {
        const struct ledger_share *share = &c->shares[i];

        if (share->doubtful && share->granted > 0 && !share->recalling &&
            waiting_count > (share->asked > 0) && (own_too || i != l->shard->index)) {
            recall(l, c, i);
        }
    }
}

static void grant_in_turn(struct ledger *l, struct ledger_counter *c)
{
    uint32_t count = l->shard->group->count;

    for (uint32_t idle_count = 0; idle_count < count && free_places(c) > 0;) {
        uint32_t at = c->turn, places = free_places(c);

        c->turn = (at + 1) % count;
        if (c->shares[at].asked == 0) {
            idle_count++;
            continue;
        }
        grant(l, c, at, c->shares[at].asked < places ? c->shares[at].asked : places);
        idle_count = 0; /* it may ask again at once */
    }
}

/* Serves who waits, in turn, as far as places go; then tells the impatient that there are none,
 * once no recall is under way any more. May free the counter. */
static void serve(struct ledger *l, struct ledger_counter *c)
{
    if (c->serving) {
        c->again = true; /* a waiter gave or took from inside its call */
        return;
    }
    c->serving = true;
    do {
        c->again = false;
        grant_in_turn(l, c);
        recall_for_waiting(l, c, true);
        for (uint32_t i = 0; i < l->shard->group->count; i++) {
            if (c->shares[i].asked > 0 && !c->shares[i].asked_waits && free_places(c) == 0 &&
                !recall_under_way(l, c)) {
                grant(l, c, i, 0);
            }
        }
    } while (c->again);
    c->serving = false;
    drop_if_unused(l, c);
}

static void ask(struct ledger *l, struct ledger_counter *c, uint32_t from, uint32_t count,
                bool waits)
{
    c->shares[from].asked = count;
    c->shares[from].asked_waits = waits;
    doubt_others(l, c, from);
    serve(l, c);
}

enum lease_answer ledger_owner_take(struct ledger *l, struct lease *ls)
{
    struct ledger_counter *c = counter_get(l, slice_of(ls->name, ls->name_len), ls->limit);
    const uint32_t self = l->shard->index;

    if (free_places(c) > 0) {
        c->granted++;
        c->shares[self].granted++;
        c->shares[self].doubtful = true;
        ls->held++;
        ls->used++;
        return LEASE_TAKEN;
    }
    doubt_others(l, c, self);
    c->shares[self].asked = 1;
    c->shares[self].asked_waits = ls->waits;
    recall_for_waiting(l, c, false); /* its recall_fn would be called from inside its take */
    if (!ls->waits && !recall_under_way(l, c)) {
        c->shares[self].asked = 0;
        drop_if_unused(l, c);
        return LEASE_FULL;
    }
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
}

void ledger_owner_recalled(struct ledger *l, struct slice name, uint32_t from, uint32_t count)
{
    counter_get(l, name, 0)->shares[from].recalling = false;
    ledger_owner_returned(l, name, from, count);
}
