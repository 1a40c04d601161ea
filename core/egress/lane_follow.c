/* The next message's envelope goes out with the end of the one before it (docs/decisions/0007).
 *
 * Until the message before has its outcome the next one is only reserved: it keeps its slot and
 * its share of memory, and whatever ends the connection puts it back where it was. */
#include "core/egress/lane.h"

/* A next message for each lane: with fewer, another lane would be idle before this one is done;
 * unless that makes no difference. */
static bool has_backlog(const struct readyq *rq)
{
    return rq->ready_count + rq->reserved_count >= rq->lane_count || readyq_is_prompt(rq);
}

static bool lane_may_follow(const struct lane *l)
{
    const struct message *m = readyq_peek(l->rq);

    return l->next.m == NULL && m != NULL && m->content != NULL && has_backlog(l->rq) &&
           /* or the rest of this message comes first */
           l->now.batch_count == l->now.recipient_count &&
           !lane_must_stop(l) && !queue_holds_back(l->rq->eg->queue, m) &&
           smtp_client_may_follow(&l->client);
}

void lane_follow(struct lane *l)
{
    struct smtp_transaction tx;

    if (!lane_may_follow(l) || !lane_pay_message_rates_now(l)) {
        return;
    }
    l->next.m = readyq_reserve(l->rq);
    cargo_open(&l->next);
    cargo_pick(&l->next, readyq_path(l->rq)->max_recipients_per_batch);
    tx = cargo_transaction(&l->next);
    if (!smtp_client_follow(&l->client, &tx)) {
        lane_drop_next(l); /* its turn comes, tokens in hand */
        return;
    }
    l->rate_paid = PATH_RATES_BEGIN;
    buf_put(conn_out(&l->conn), smtp_client_out(&l->client));
}

void lane_go_on(struct lane *l)
{
    MUST(l->state == LANE_NEXT && l->now.m == NULL && l->next.m != NULL);
    l->now = l->next;
    l->next = (struct lane_cargo){0};
    readyq_claim(l->rq, l->now.m);
    l->attempted_count++;
    l->delivered_this_connection++;
    lane_transact(l);
    lane_act(l, smtp_client_go_on(&l->client));
}

void lane_drop_next(struct lane *l)
{
    struct message *m = l->next.m;

    if (m != NULL) {
        cargo_close(&l->next);
        l->next.m = NULL;
        readyq_put_back(l->rq, m);
    }
}
