/*
 * dns_resolver_private - what the files of the resolver share among themselves.
 */
#pragma once

#include "core/net/dns_resolver.h"
#include "core/shard/mail.h"

/* A question on its way to the owner of its name, and back with the answer. */
struct dns_ask {
    struct mail_item item; /* first: mail hands this pointer around */
    struct dns_set *set;   /* the answer; the asker's from MAIL_DNS_ANSWER on */
    uint32_t key_len;
    char key[]; /* dns_question_key_put() */
};

/* A question under way on this shard. */
struct dns_flight {
    struct hmap_node node;
    struct resolver *resolver;
    struct dlist lane_link;  /* linked while it waits for a turn */
    struct dlist waits;      /* struct dns_wait */
    struct slist_queue asks; /* struct dns_ask of other shards */
    struct timer timer;      /* owner only */
    struct dns_query query;
    uint64_t began_ns;
    uint16_t type;
    uint8_t view;
    bool running; /* counted in its lane */
    uint32_t key_len;
    char key[];
};

#define DNS_KEY_NAME_AT 3u /* view, type, then the name */

static inline struct slice dns_flight_name(const struct dns_flight *f)
{
    return slice_of(f->key + DNS_KEY_NAME_AT, f->key_len - DNS_KEY_NAME_AT);
}

/* w->fn runs from the loop with `set`, whose reference goes over. */
void resolver_answer_later(struct resolver *r, struct dns_wait *w, struct dns_set *set);

/* dns_mail.c: the way between shards. */
void dns_mail_init(struct resolver *r);
void dns_mail_ask(struct resolver *r, uint32_t owner, struct slice key);
/* Sends `ask` back with an answer of its own. */
void dns_mail_answer(struct resolver *r, struct dns_ask *ask, const struct dns_set *set);

/* The flight for a key, made when there is none; NULL when there are too many. */
struct dns_flight *dns_flight_get(struct resolver *r, struct slice key);
struct dns_flight *dns_flight_find(const struct resolver *r, struct slice key);
/* Everybody who waits gets `set`, whose reference goes over; the flight is gone after it. */
void dns_flight_land(struct dns_flight *f, struct dns_set *set);
void dns_flight_drop(struct dns_flight *f); /* nobody is told */
