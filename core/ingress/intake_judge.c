/* The second part: supplemental headers, queue names, whether each message is relayed. */
#include "core/ingress/intake.h"
#include "proto/trace.h"

/* ---- headers and names ---- */

/* The metadata that trace_headers asks for, in the order of names, each name once. */
static size_t supplemental_metas(const struct string_list *names, const struct meta *meta,
                                 struct trace_meta *out)
{
    size_t count = 0;

    for (uint32_t i = 0; i < names->count; i++) {
        struct slice name = slice_str(names->items[i]);
        size_t at = count;

        while (at > 0 && slice_cmp(out[at - 1].name, name) >= 0) {
            at--;
        }
        if (at < count && slice_eq(out[at].name, name)) {
            continue;
        }
        memmove(&out[at + 1], &out[at], (count - at) * sizeof(*out));
        out[at] = (struct trace_meta){.name = name, .json = meta_get(meta, name)};
        if (out[at].json.len == 0) {
            out[at].json = SLICE("null");
        }
        count++;
    }
    return count;
}

static void supplemental_put(struct intake *it, struct message *m)
{
    const struct trace_headers_config *cfg = &it->session->config->trace_headers;
    struct trace_supplemental t = {.header_name = slice_str(cfg->header_name)};
    struct buf *text = &it->ingress->scratch;
    struct slice *recipients;
    struct trace_meta *metas;
    uint32_t i = 0;

    if (!cfg->supplemental_header) {
        return;
    }
    recipients = arena_take(&it->arena, m->content->recipient_count * sizeof(*recipients));
    metas = arena_take(&it->arena, cfg->include_meta_names.count * sizeof(*metas));
    for (size_t at = 0; i < m->content->recipient_count &&
                        message_next_recipient(m, &at, &recipients[i]);) {
        i++;
    }
    t.recipients = recipients;
    t.recipient_count = i;
    t.metas = metas;
    t.meta_count = supplemental_metas(&cfg->include_meta_names, &m->content->meta, metas);
    buf_reuse(text);
    buf_reuse(&it->ingress->json);
    trace_supplemental_put(text, &t, &it->ingress->json);
    buf_insert(&m->content->head, 0, buf_slice(text));
}

/* The domains of sender and first recipient as the policy has left them. */
static void item_domains(const struct intake_item *item, struct slice *sender, struct slice *first)
{
    struct slice addr = SLICE("");
    size_t at = 0;

    *sender = address_split(message_sender(item->m)).domain;
    *first = message_next_recipient(item->m, &at, &addr) ? address_split(addr).domain : SLICE("");
}

/* Queue name and fate of a message; false when it has no name and the transaction is over. */
static bool item_judge(struct intake *it, struct intake_item *item)
{
    struct slice sender, first;
    struct buf *name = &it->ingress->scratch;
    struct buf why = {0};

    item->intake = it;
    buf_reuse(name);
    if (!message_queue_name(item->m, name, &why)) {
        intake_fail(it, buf_slice(&why));
        buf_free(&why);
        return false;
    }
    item->queue_name = arena_copy(&it->arena, buf_slice(name));
    supplemental_put(it, item->m);
    item->m->size = (uint32_t)message_data_size(item->m);
    item_domains(item, &sender, &first);
    item->relay = item->m->content->recipient_count > 0 &&
                  relay_allowed(it->session, sender, first);
    intake_classify(it, item, first);
    item->black_hole = slice_eq(item->queue_name, SLICE("null"));
    it->relayed_count += item->relay && !item->black_hole;
    it->black_hole_count += item->black_hole;
    item->kept = item->relay && !item->black_hole;
    return true;
}

/* ---- the relay decision again, for what the policy made of sender and first recipient ---- */

static bool intake_take_domain(struct intake *it, const struct vm_result *result)
{
    struct vm_call *call = it->call;
    struct slice sender, first, domain;
    struct buf why = {0};
    bool ok;

    it->call = NULL;
    item_domains(&it->items[it->item_next], &sender, &first);
    ok = !relay_unknown(it->session, sender, first, &domain) ||
         relay_learn(it->session, domain, result, &why);
    vm_call_end(&call);
    if (!ok) {
        intake_fail(it, buf_slice(&why));
    }
    buf_free(&why);
    return ok;
}

static void domain_known_later(void *ctx, const struct vm_result *result)
{
    struct intake *it = ctx;

    if (intake_take_domain(it, result)) {
        intake_judge(it);
    }
}

/* Iterates over the items, as their handlers did. */
void intake_judge(struct intake *it)
{
    while (it->item_next < it->item_count) {
        const struct vm_result *result;
        struct slice sender, first, domain;

        item_domains(&it->items[it->item_next], &sender, &first);
        if (relay_unknown(it->session, sender, first, &domain)) {
            it->call = session_domain_call(it->session, domain);
            result = vm_call_run(it->call, domain_known_later, it);
            if (result == NULL || !intake_take_domain(it, result)) {
                return;
            }
            continue;
        }
        if (!item_judge(it, &it->items[it->item_next])) {
            return;
        }
        it->item_next++;
    }
    intake_resolve(it);
}
