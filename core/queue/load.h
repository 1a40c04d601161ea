/*
 * load - reads a message's content back from the spool.
 *
 * Owner     the caller owns the struct until done(), which comes from the loop, never inline.
 */
#pragma once

#include "core/message/message.h"
#include "spool/spool.h"

struct message_load {
    struct spool_read read;
    struct message *m;
    void (*done)(struct message_load *load, enum spool_err err);
    bool in_flight;
};

/* m->content must be NULL. With SPOOL_OK it is complete, body included. */
void message_load(struct spool *spool, struct message_load *load, struct message *m,
                  void (*done)(struct message_load *load, enum spool_err err));
