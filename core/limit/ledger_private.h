/*
 * ledger_private - what the holder's and the owner's half of the ledger share.
 */
#pragma once

#include "core/limit/ledger.h"

enum ledger_mail_kind {
    LEDGER_ASK,          /* holder to owner: `count` places, answered with 0 when all are in use */
    LEDGER_ASK_WAIT,     /* the same, answered only with places */
    LEDGER_RETURN,       /* holder to owner: `count` places back */
    LEDGER_RECALLED,     /* the answer to RECALL: `count` places back, perhaps none */
    LEDGER_GRANT,        /* owner to holder */
    LEDGER_RECALL,       /* owner to holder: another shard is short */
    LEDGER_TOKEN_ASK,    /* holder to owner, which sends the same mail back ... */
    LEDGER_TOKEN_ANSWER, /* ... as this */
};

struct ledger_mail {
    struct mail_item item;
    uint8_t kind; /* enum ledger_mail_kind */
    uint32_t count;
    uint32_t limit;
    struct gcra_rate rate;
    uint64_t wait_ns;
    struct token_ask *ask;
    uint32_t name_len;
    char name[];
};

/* What one shard has of a limit, as its owner sees it. */
struct ledger_share {
    uint32_t granted;
    uint32_t asked;    /* places of its waiting request; 0 = none waits */
    bool asked_waits;  /* it waits until there is one */
    bool recalling;    /* a RECALL is on its way */
    bool doubtful;     /* may hold unused places: recalled once another share is short */
};

struct ledger_counter {
    struct hmap_node node;
    uint32_t limit;
    uint32_t granted; /* the sum over all shares; never raised above limit */
    uint32_t turn;    /* the share that is served next */
    bool serving;     /* waiters are being called: what they do is looked at afterwards */
    bool again;
    uint32_t name_len;
    char *name;
    struct ledger_share shares[]; /* by shard */
};

struct ledger_mail *ledger_mail_new(enum ledger_mail_kind kind, struct slice name, uint32_t count,
                                    uint32_t limit);
void ledger_mail_send(struct ledger *l, uint32_t to, struct ledger_mail *m);
void ledger_lease_granted(struct lease *ls, uint32_t count);
void ledger_counter_free(struct ledger *l, struct ledger_counter *c);

/* The owner's half. */
enum lease_answer ledger_owner_take(struct ledger *l, struct lease *ls);
/* The owner's own holder has more waiters. */
void ledger_owner_want(struct ledger *l, struct lease *ls);
void ledger_owner_asked(struct ledger *l, struct slice name, uint32_t from, uint32_t count,
                        uint32_t limit, bool waits);
void ledger_owner_returned(struct ledger *l, struct slice name, uint32_t from, uint32_t count);
void ledger_owner_recalled(struct ledger *l, struct slice name, uint32_t from, uint32_t count);
