#include "core/egress/shared_limit.h"

#include "core/base/mem.h"
#include "core/egress/lane.h"

struct slice shared_limit_key(const struct hmap_node *node)
{
    return slice_str(CONTAINER_OF(node, struct shared_limit, node)->name);
}

static struct readyq *find_user(const struct shared_limit *limit, bool idle)
{
    for (struct dlist *n = limit->uses.next; n != &limit->uses; n = n->next) {
        struct readyq *rq = CONTAINER_OF(n, struct limit_use, link)->set->rq;

        if (idle ? !dlist_empty(&rq->idle) : rq->lane_count > 0) {
            return rq;
        }
    }
    return NULL;
}

void shared_limit_nudge(struct shared_limit *limit)
{
    struct readyq *rq = find_user(limit, true);

    if (rq != NULL) {
        lane_recall_one(rq);
    }
}

/* Another shard is short and every place held here is in use. */
static void shared_limit_recalled(struct lease *ls)
{
    struct shared_limit *limit = CONTAINER_OF(ls, struct shared_limit, lease);
    struct readyq *rq = find_user(limit, true);

    if (rq == NULL) {
        rq = find_user(limit, false);
    }
    if (rq != NULL) {
        lane_recall_one(rq);
    }
}

static struct shared_limit *shared_limit_get(struct egress *eg, const struct named_limit *spec)
{
    struct hmap_node *node = hmap_find(&eg->limits, slice_str(spec->name));
    struct shared_limit *limit;

    if (node != NULL) {
        limit = CONTAINER_OF(node, struct shared_limit, node);
        lease_set_limit(&limit->lease, (uint32_t)spec->spec.limit);
        return limit;
    }
    limit = MEM_NEW(struct shared_limit);
    limit->eg = eg;
    limit->name = mem_copy(spec->name, strlen(spec->name) + 1);
    dlist_init(&limit->uses);
    hmap_insert(&eg->limits, &limit->node);
    buf_clear(&eg->scratch);
    BUF_LIT(&eg->scratch, "kumomta.additional_connection_limit.");
    buf_put(&eg->scratch, slice_str(spec->name));
    lease_open(&limit->lease, eg->ledger, buf_slice(&eg->scratch), (uint32_t)spec->spec.limit,
               true);
    limit->lease.recall_fn = shared_limit_recalled;
    return limit;
}

static void shared_limit_free(struct shared_limit *limit)
{
    hmap_remove(&limit->eg->limits, &limit->node);
    lease_close(&limit->lease);
    mem_give(limit->name);
    mem_give(limit);
}

static bool comes_before(const struct named_limit *a, const struct named_limit *b)
{
    return a->spec.limit != b->spec.limit ? a->spec.limit < b->spec.limit
                                          : strcmp(a->name, b->name) < 0;
}

struct limit_set *limit_set_make(struct readyq *rq, const struct named_limits *limits)
{
    struct limit_set *set =
        mem_take_zero(sizeof(*set) + limits->count * sizeof(struct limit_use));

    set->refs = 1;
    set->count = limits->count;
    set->rq = rq;
    for (uint32_t i = 0; i < limits->count; i++) {
        struct limit_use *use;
        uint32_t rank = 0;

        for (uint32_t other = 0; other < limits->count; other++) {
            rank += comes_before(&limits->items[other], &limits->items[i]) ? 1 : 0;
        }
        use = &set->uses[rank];
        use->set = set;
        use->limit = shared_limit_get(rq->eg, &limits->items[i]);
        dlist_push(&use->limit->uses, &use->link);
    }
    return set;
}

struct limit_set *limit_set_ref(struct limit_set *set)
{
    set->refs++;
    return set;
}

void limit_set_put(struct limit_set **setp)
{
    struct limit_set *set = *setp;

    *setp = NULL;
    if (set == NULL || --set->refs > 0) {
        return;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        struct shared_limit *limit = set->uses[i].limit;

        dlist_remove(&set->uses[i].link);
        if (dlist_empty(&limit->uses)) {
            shared_limit_free(limit);
        }
    }
    mem_give(set);
}

bool limit_set_wanted(const struct limit_set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct lease *ls = &set->uses[i].limit->lease;

        if (ls->recalled || !dlist_empty(&ls->waiters)) {
            return true;
        }
    }
    return false;
}
