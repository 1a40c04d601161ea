/* A reply that refuses something is recorded as a Rejection. */
#include "core/ingress/session.h"
#include "core/log/log.h"
#include "proto/smtp_reply.h"

void session_record_refusal(struct session *s)
{
    struct smtp_server_reply reply = smtp_server_reply(s->smtp);
    struct log_record r = {.type = LOG_REJECTION};
    struct slice recipient = smtp_server_last_recipient(s->smtp);
    struct smtp_enhanced enhanced;
    struct buf content = {0};
    char peer[IP_TEXT_MAX];

    if (reply.code < 400 || (reply.code == 421 && slice_starts(reply.text, SLICE("4.3.2 ")))) {
        return;
    }
    s->ingress->counters.refusal_count++;
    enhanced = smtp_text_content_put(&content, reply.text);
    r.event_ns = ring_wall_ns(&s->ingress->shard->ring);
    r.sender = smtp_server_sender(s->smtp);
    if (r.sender.ptr == NULL) {
        r.sender = SLICE("");
    }
    r.recipients = &recipient;
    r.recipient_count = 1;
    r.code = reply.code;
    r.enhanced = (struct log_enhanced){enhanced.class, enhanced.subject, enhanced.detail};
    r.content = buf_slice(&content);
    r.command = reply.command;
    r.peer_name = smtp_server_helo(s->smtp);
    r.peer_addr = ip_text(&s->peer.ip, peer);
    r.meta = &s->meta;
    r.session_id = s->id;
    log_submit(s->ingress->log, &r);
    buf_free(&content);
}
