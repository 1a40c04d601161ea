/*
 * smtp_disposition - what a reply means for a message, as a table (smtp_disposition.def).
 *
 * Applied to the code after the policy's rewrite. Pure values, no memory.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "proto/smtp_client.h"

enum smtp_disposition {
    SMTP_DELIVERED = 0,
    SMTP_TRANSIENT,
    SMTP_BOUNCE,
    /* The peer wants fewer recipients in one go: try this one again at once, without a record.
     * Where that is not possible it counts as SMTP_TRANSIENT. */
    SMTP_TOO_MANY,
    /* The same, if a classifier does not say otherwise and the recipient was not already tried in
     * the transaction straight before this one; else SMTP_TRANSIENT. */
    SMTP_MAYBE_TOO_MANY,
};

struct smtp_judged {
    uint16_t code; /* after the rewrite */
    struct smtp_enhanced enhanced;
    uint8_t command;   /* enum smtp_client_cmd the reply answers */
    bool rewritten;    /* a policy chose this code; it may then make anything a delivery */
    bool first_or_only; /* the first recipient of its transaction: never too many */
};

PURE enum smtp_disposition smtp_disposition(const struct smtp_judged *judged);
const char *smtp_disposition_name(enum smtp_disposition d);
