#include "core/queue/queue_name.h"

void queue_name_parse(struct slice name, struct queue_name *out)
{
    struct slice domain = name;
    size_t at = slice_find_char(name, '@');
    size_t bang;

    *out = (struct queue_name){0};
    if (at < name.len) {
        struct slice left = slice_head(name, at);
        size_t colon = slice_find_char(left, ':');

        domain = slice_from(name, at + 1);
        out->has_tenant = true;
        out->has_campaign = colon < left.len;
        if (out->has_campaign) {
            out->campaign = slice_head(left, colon);
            left = slice_from(left, colon + 1);
        }
        out->tenant = left;
    }
    bang = slice_find_char(domain, '!');
    out->domain = slice_head(domain, bang);
    out->has_routing_domain = bang < domain.len;
    if (out->has_routing_domain) {
        out->routing_domain = slice_from(domain, bang + 1);
    }
}
