/* Room for large bodies coming in, which sessions share, and waiting for it.
 *
 * Above staging_bytes_max whoever has more than an atomic record's worth waits. If that were all,
 * many bodies half received would wait for each other for ever. So one of those that wait is always
 * favoured: it goes on to the end of its message, which makes room. A favour that is not used
 * passes to the next, lest a peer that trickles holds up the others. */
#include "core/ingress/session.h"

#include "core/log/log.h"

#define STARVED_RETRY_MS 10u
#define FAVOUR_MS 1000u         /* in which a favoured session takes in at least ... */
#define FAVOUR_BYTES_MIN 65536u /* ... this much, or loses the favour */

static void favour(struct session *s)
{
    struct ingress *in = s->ingress;

    in->favoured = s;
    in->favour_size = s->staged;
    in->favour_until_ms = shard_now_ms(in->shard) + FAVOUR_MS;
}

static void favour_judge(struct ingress *in)
{
    struct session *s = in->favoured;

    if (s == NULL || shard_now_ms(in->shard) < in->favour_until_ms) {
        return;
    }
    if (s->staged < in->favour_size + FAVOUR_BYTES_MIN) {
        in->favoured = NULL;
    } else {
        favour(s);
    }
}

static void starved_fired(struct timer *t);

/* Somebody waits for staging room or for the log's disk: look again soon. */
static void ingress_arm_starved(struct ingress *in)
{
    if (!timer_armed(&in->starved_timer)) {
        in->starved_timer.fn = starved_fired;
        timer_arm(&in->shard->timers, &in->starved_timer,
                  shard_now_ms(in->shard) + STARVED_RETRY_MS);
    }
}

static struct session *session_feed_next(struct ingress *in)
{
    struct session *s = CONTAINER_OF(dlist_pop(&in->starved), struct session, starved_link);

    conn_resume(&s->conn);
    session_arm_idle(s);
    return s;
}

void ingress_feed_starved(struct ingress *in)
{
    if (log_wants_pause(in->log)) {
        return;
    }
    while (in->staging_bytes <= in->staging_bytes_max && !dlist_empty(&in->starved)) {
        (void)session_feed_next(in);
    }
    if (in->favoured == NULL && !dlist_empty(&in->starved)) {
        favour(session_feed_next(in));
    }
}

static void starved_fired(struct timer *t)
{
    struct ingress *in = CONTAINER_OF(t, struct ingress, starved_timer);

    favour_judge(in);
    ingress_feed_starved(in);
    if (!dlist_empty(&in->starved)) {
        ingress_arm_starved(in);
    }
}

/* Whether it may take in more now. */
static bool session_has_room(struct session *s)
{
    struct ingress *in = s->ingress;

    if (in->staging_bytes <= in->staging_bytes_max || s->staged <= SPOOL_ATOMIC_MAX) {
        return true;
    }
    if (in->favoured == NULL) {
        favour(s);
    }
    return in->favoured == s;
}

void session_stage(struct session *s)
{
    struct ingress *in = s->ingress;
    size_t size = smtp_server_body_size(s->smtp);

    in->staging_bytes += size - s->staged;
    s->staged = size;
    if (in->favoured == s && size <= SPOOL_ATOMIC_MAX) {
        in->favoured = NULL; /* its message is through, or another has begun */
    }
    if (dlist_linked(&s->starved_link)) {
        return;
    }
    if (log_wants_pause(in->log) || !session_has_room(s)) {
        dlist_push(&in->starved, &s->starved_link);
        conn_pause(&s->conn);
        ingress_arm_starved(in);
    }
}

void session_unstage(struct session *s)
{
    struct ingress *in = s->ingress;

    in->staging_bytes -= s->staged;
    s->staged = 0;
    if (in->favoured == s) {
        in->favoured = NULL;
    }
    if (dlist_linked(&s->starved_link)) {
        dlist_remove(&s->starved_link);
    }
}
