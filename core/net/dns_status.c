/* The texts of dns_status.def. */
#include "core/base/check.h"
#include "core/net/dns_backend.h"

static const struct {
    const char *text;
    bool transient;
} status_info[LOOKUP_STATUS_COUNT] = {
#define DNS_STATUS(name, words, again) [LOOKUP_##name] = {.text = words, .transient = again},
#include "core/net/dns_status.def"
#undef DNS_STATUS
};

const char *dns_status_text(enum dns_status status)
{
    MUST(status < LOOKUP_STATUS_COUNT);
    return status_info[status].text;
}

bool dns_status_transient(enum dns_status status)
{
    MUST(status < LOOKUP_STATUS_COUNT);
    return status_info[status].transient;
}
