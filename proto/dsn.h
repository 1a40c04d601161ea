/*
 * dsn - delivery status reports (RFC 3464), read from a whole message.
 *
 * Strict where a wrong reading would name the wrong recipient: a field that stands twice, a
 * required one that is missing, an action, status, date or address that is none, make the whole
 * message no report.
 *
 * Memory    struct dsn owns the decoded part; its slices point into it.
 * Limits    REPORT_PART_MAX bytes of report, DSN_RECIPIENTS_MAX recipients.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/slice.h"
#include "proto/report_field.h"

#define DSN_RECIPIENTS_MAX 4096u

enum dsn_block { DSN_MESSAGE = 0, DSN_RECIPIENT };

enum dsn_field_id {
#define DSN_FIELD(block, id, name, kind, required) DSN_##id,
#include "proto/dsn_fields.def"
#undef DSN_FIELD
    DSN_FIELD_COUNT
};

/* ptr of text is NULL when the field is not there. */
struct dsn_value {
    struct slice type; /* of "type; text" */
    struct slice text; /* of ADDRESS without < and > */
};

struct dsn_recipient {
    struct dsn_value fields[DSN_FIELD_COUNT]; /* of the recipient's block */
    bool failed;                              /* Action: failed */
    uint8_t class;                            /* Status */
    uint16_t subject, detail;
    bool has_attempt;                         /* Last-Attempt-Date */
    uint64_t attempt_ns;
};

struct dsn {
    struct report_text text;
    struct dsn_value fields[DSN_FIELD_COUNT]; /* of the message's block */
    struct dsn_recipient *recipients;
    uint32_t recipient_count;
};

/* `message` is a whole message, headers first. dsn_free() is only needed after true. */
NODISCARD bool dsn_parse(struct slice message, struct dsn *out);
void dsn_free(struct dsn *d);
/* The original recipient if the report names it, else the final one. */
struct slice dsn_recipient_address(const struct dsn_recipient *r);
/* What the remote said: the code of an SMTP diagnostic and its text, else 550 and all of it. */
uint16_t dsn_response(const struct dsn_recipient *r, struct slice *content);
