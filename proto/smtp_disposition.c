#include "proto/smtp_disposition.h"

#include "core/base/check.h"

/* Beyond the commands of smtp_client_cmd.def: */
#define SMTP_CLIENT_CMD_ANY 0xfe
#define SMTP_CLIENT_CMD_REWRITE 0xff /* any, if a policy has chosen the code */

#define ENHANCED_ANY {.class = 0xff}
#define ENHANCED_NONE {.class = 0}
#define ENHANCED_IS(c, s, d) {c, s, d}

static const struct row {
    uint8_t command;
    uint16_t code_first, code_last;
    struct smtp_enhanced enhanced;
    uint8_t verdict, alone;
} rows[] = {
#define SMTP_DISPOSITION(command, first, last, enhanced, verdict, alone)                           \
    {SMTP_CLIENT_CMD_##command, first, last, ENHANCED_##enhanced, SMTP_##verdict, SMTP_##alone},
#include "proto/smtp_disposition.def"
#undef SMTP_DISPOSITION
};

static bool row_matches(const struct row *row, const struct smtp_judged *judged)
{
    if (judged->code < row->code_first || judged->code > row->code_last) {
        return false;
    }
    if (row->command != SMTP_CLIENT_CMD_ANY && row->command != judged->command &&
        !(row->command == SMTP_CLIENT_CMD_REWRITE && judged->rewritten)) {
        return false;
    }
    return row->enhanced.class == 0xff || (row->enhanced.class == judged->enhanced.class &&
                                           row->enhanced.subject == judged->enhanced.subject &&
                                           row->enhanced.detail == judged->enhanced.detail);
}

enum smtp_disposition smtp_disposition(const struct smtp_judged *judged)
{
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (row_matches(&rows[i], judged)) {
            return (enum smtp_disposition)(judged->first_or_only ? rows[i].alone
                                                                 : rows[i].verdict);
        }
    }
    MUST(!"the last row matches everything");
    return SMTP_TRANSIENT;
}

const char *smtp_disposition_name(enum smtp_disposition d)
{
    static const char *const names[] = {"Delivery", "TransientFailure", "Bounce",
                                        "TransientFailure", "TransientFailure"};

    MUST((size_t)d < ARRAY_COUNT(names));
    return names[d];
}
