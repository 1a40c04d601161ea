/* Reports coming in: bounces from elsewhere (OOB) and complaints (Feedback). */
#include "core/base/mem.h"
#include "core/ingress/intake.h"
#include "core/log/log.h"
#include "proto/arf.h"
#include "proto/dsn.h"
#include "proto/mime.h"

static bool is_content_type(void *arg, struct slice name, struct slice raw_value)
{
    struct mime_entity *e = arg;

    if (!slice_eq_nocase(name, SLICE("Content-Type"))) {
        return true;
    }
    e->type = raw_value;
    return false;
}

/* Most mail is told by its first header lines, without a copy of its text. */
static bool may_be_report(const struct message *m)
{
    struct mime_entity e = {.type = SLICE("")};

    message_each_header(m, is_content_type, &e);
    return mime_is(&e, SLICE("multipart/report"));
}

static struct dsn *dsn_read(struct slice text)
{
    struct dsn *d = MEM_NEW(struct dsn);

    if (!dsn_parse(text, d)) {
        MEM_FREE(&d);
    }
    return d;
}

void intake_classify(struct intake *it, struct intake_item *item, struct slice first_domain)
{
    enum log_disposition arf, oob;
    struct buf text = {0};

    relay_report_wishes(it->session, first_domain, &arf, &oob);
    if ((arf == LOG_IGNORE && oob == LOG_IGNORE) || item->m->content->recipient_count == 0 ||
        !may_be_report(item->m)) {
        return;
    }
    message_data_put(item->m, &text);
    if (arf != LOG_IGNORE && arf_put_json(buf_slice(&text), &item->feedback)) {
        item->relay = arf == LOG_THEN_RELAY;
        it->report_count++;
    } else if (oob != LOG_IGNORE && (item->dsn = dsn_read(buf_slice(&text))) != NULL) {
        item->relay = oob == LOG_THEN_RELAY;
        it->report_count++;
    }
    buf_free(&text);
}

static void record_recipient(struct intake *it, const struct intake_item *item,
                             const struct dsn_recipient *failed, struct slice peer_ip)
{
    const struct dsn_value *mta = &item->dsn->fields[DSN_REPORTING_MTA];
    struct slice recipient = dsn_recipient_address(failed);
    struct slice first = SLICE("");
    size_t at = 0;
    struct log_record r = {
        .type = LOG_OOB,
        .event_ns = failed->has_attempt ? failed->attempt_ns
                                        : ring_wall_ns(&it->ingress->shard->ring),
        .message = item->m,
        .recipients = &recipient,
        .recipient_count = 1,
        .queue = item->queue_name,
        .enhanced = {failed->class, failed->subject, failed->detail},
        .peer_name = mta->text,
        .peer_addr = peer_ip,
        .session_id = it->session->id,
    };

    if (message_next_recipient(item->m, &at, &first)) {
        r.sender = first; /* who gets the report is who sent what it is about */
    }
    r.code = dsn_response(failed, &r.content);
    log_submit(it->ingress->log, &r);
}

void intake_record_report(struct intake *it, const struct intake_item *item)
{
    char room[IP_TEXT_MAX];
    struct slice peer;

    if (item->dsn == NULL) {
        return;
    }
    peer = ip_text(&it->session->peer.ip, room);
    for (uint32_t i = 0; i < item->dsn->recipient_count; i++) {
        if (item->dsn->recipients[i].failed) {
            record_recipient(it, item, &item->dsn->recipients[i], peer);
        }
    }
}

void intake_report_free(struct intake_item *item)
{
    buf_free(&item->feedback);
    if (item->dsn != NULL) {
        dsn_free(item->dsn);
        MEM_FREE(&item->dsn);
    }
}
