/*
 * smtp_param - the parameters after the path of MAIL and RCPT: (blank+ KEY ["=" VALUE])*.
 */
#pragma once

#include "core/base/attr.h"
#include "core/base/slice.h"

struct smtp_param {
    struct slice key;   /* letters, digits, '-' */
    struct slice value; /* ptr NULL: no '=' */
};

enum smtp_param_result { SMTP_PARAM_END = 0, SMTP_PARAM_OK, SMTP_PARAM_BAD };

/* Cuts the next parameter off the front of *rest. */
NODISCARD enum smtp_param_result smtp_param_next(struct slice *rest, struct smtp_param *out);
