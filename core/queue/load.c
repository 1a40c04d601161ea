#include "core/queue/load.h"

static enum spool_err load_finish(struct message *m, struct spool_read *r)
{
    struct message_content *c = message_content_new();
    struct body *body = body_new_flags(&r->body, r->body_flags);

    if (!message_blob_load(c, buf_slice(&r->blob)) || !message_content_attach(c, body)) {
        body_put(&body);
        message_content_free(&c);
        return SPOOL_E_CORRUPT;
    }
    m->content = c;
    return SPOOL_OK;
}

static void load_done(struct spool_read *r, enum spool_err err)
{
    struct message_load *load = CONTAINER_OF(r, struct message_load, read);

    load->in_flight = false;
    if (err == SPOOL_OK) {
        err = load_finish(load->m, r);
    }
    buf_free(&r->blob);
    buf_free(&r->body);
    load->done(load, err);
}

void message_load(struct spool *spool, struct message_load *load, struct message *m,
                  void (*done)(struct message_load *load, enum spool_err err))
{
    MUST(m->content == NULL && (m->flags & MESSAGE_SPOOLED) != 0 && !load->in_flight);
    *load = (struct message_load){
        .read = {.ref = m->ref, .what = SPOOL_READ_BOTH, .id = m->id, .done = load_done},
        .m = m,
        .done = done,
        .in_flight = true,
    };
    spool_read(spool, &load->read);
}
