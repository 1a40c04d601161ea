/* c-ares behind the resolver's seam: its sockets as polls of the ring, its clock as one timer. */
#include "core/net/dns_cares.h"

#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/net/dns_backend.h"
#include "core/shard/shard.h"

#define TIMEOUT_MS_DEFAULT 5000u
#define ATTEMPTS_DEFAULT 2u
#define EDNS_SIZE 1232 /* fits every path without fragments: DNS flag day 2020 */
#define NAME_TEXT_MAX 1024u /* 255 bytes of name, each escaped as \ddd, and a dot */
#define HEADER_SIZE 12u
#define FLAG_AD 0x20u /* in byte 3 of the header */
#define RCODE_FORMERR 1u
#define RCODE_SERVFAIL 2u
#define RCODE_NOTIMP 4u
#define RCODE_REFUSED 5u
#define CLASS_IN 1

struct cares;

/* A socket of the channel. c-ares says when it is done with it; the descriptor lives on until
 * no poll of the ring refers to it, so its number cannot come back under a poll's feet. */
struct cares_sock {
    struct dlist link;
    struct cares *owner;
    struct ring_op poll_in, poll_out;
    struct ring_op control; /* cancel, then close */
    int fd;
    bool want_in, want_out;
    bool closing;
    bool cancelled;
};

struct cares_query {
    struct dlist link; /* in cares.open, then perhaps in cares.refused */
    struct cares *owner;
    struct dns_query *query; /* NULL once cancelled */
    enum dns_status status;  /* while in cares.refused */
    uint16_t type;
    uint16_t id;     /* on the wire */
    uint8_t refusal; /* the last code a server declined with; 0: none did */
    bool edns;
    uint32_t name_len;
    char name[]; /* with a NUL */
};

struct cares {
    struct dns_backend backend;
    struct shard *shard;
    ares_channel channel;
    struct timer timer;
    struct dlist socks;   /* struct cares_sock */
    struct dlist open;    /* struct cares_query that c-ares has */
    struct dlist refused; /* those that failed while being asked */
    struct post post;     /* tells those */
    bool asking;          /* inside ares_send() */
    bool edns;
    bool ask_validated;
    bool closing;
};

static enum dns_status status_of(int ares_status)
{
    switch (ares_status) {
    case ARES_SUCCESS:
        return LOOKUP_OK;
    case ARES_ENODATA:
        return LOOKUP_NODATA;
    case ARES_EFORMERR:
        return LOOKUP_FORMERR;
    case ARES_ESERVFAIL:
        return LOOKUP_SERVFAIL;
    case ARES_ENOTFOUND:
        return LOOKUP_NXDOMAIN;
    case ARES_ENOTIMP:
        return LOOKUP_NOTIMP;
    case ARES_EREFUSED:
        return LOOKUP_REFUSED;
    case ARES_EBADQUERY:
    case ARES_EBADNAME:
    case ARES_EBADSTR:
        return LOOKUP_BAD_NAME;
    case ARES_EBADRESP:
        return LOOKUP_MALFORMED;
    case ARES_ETIMEOUT:
        return LOOKUP_TIMEOUT;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION:
        return LOOKUP_CANCELLED;
    default:
        return LOOKUP_NETWORK;
    }
}

/* Timer. */

static void timer_renew(struct cares *c)
{
    struct timeval tv;

    if (c->closing || ares_timeout(c->channel, NULL, &tv) == NULL) {
        timer_cancel(&c->shard->timers, &c->timer);
        return;
    }
    /* One more, because both clocks are cut to whole units somewhere on the way. */
    timer_arm(&c->shard->timers, &c->timer,
              shard_now_ms(c->shard) + (uint64_t)tv.tv_sec * 1000u +
                  (uint64_t)tv.tv_usec / 1000u + 1);
}

static void channel_process(struct cares *c, int fd_in, int fd_out)
{
    ares_process_fd(c->channel, fd_in, fd_out);
    timer_renew(c);
}

static void timer_due(struct timer *t)
{
    channel_process(CONTAINER_OF(t, struct cares, timer), ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

/* Sockets. */

static struct cares_sock *sock_find(struct cares *c, int fd)
{
    for (struct dlist *n = c->socks.next; n != &c->socks; n = n->next) {
        struct cares_sock *s = CONTAINER_OF(n, struct cares_sock, link);

        if (s->fd == fd && !s->closing) {
            return s;
        }
    }
    return NULL;
}

static void sock_arm(struct cares_sock *s)
{
    struct ring *ring = &s->owner->shard->ring;

    if (s->want_in && !s->poll_in.in_flight) {
        ring_poll(ring, &s->poll_in, s->fd, POLLIN);
    }
    if (s->want_out && !s->poll_out.in_flight) {
        ring_poll(ring, &s->poll_out, s->fd, POLLOUT);
    }
}

static void cares_free_if_idle(struct cares *c)
{
    if (c->closing && dlist_empty(&c->socks)) {
        mem_give(c);
    }
}

static void sock_closed(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct cares_sock *s = CONTAINER_OF(op, struct cares_sock, control);
    struct cares *c = s->owner;

    dlist_remove(&s->link);
    mem_give(s);
    cares_free_if_idle(c);
}

/* Once no poll is left the descriptor goes. */
static void sock_release(struct cares_sock *s)
{
    if (s->poll_in.in_flight || s->poll_out.in_flight || s->control.in_flight) {
        return;
    }
    s->control.done = sock_closed;
    ring_close_fd(&s->owner->shard->ring, &s->control, s->fd);
}

static void sock_cancel_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    sock_release(CONTAINER_OF(op, struct cares_sock, control));
}

/* A poll that fails is not repeated: the questions on that socket end by their timeouts. */
static void poll_in_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct cares_sock *s = CONTAINER_OF(op, struct cares_sock, poll_in);

    if (!s->closing && res >= 0) {
        channel_process(s->owner, s->fd, ARES_SOCKET_BAD);
    }
    if (s->closing) {
        sock_release(s);
    } else if (res >= 0) {
        sock_arm(s);
    }
}

static void poll_out_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct cares_sock *s = CONTAINER_OF(op, struct cares_sock, poll_out);

    if (!s->closing && res >= 0) {
        channel_process(s->owner, ARES_SOCKET_BAD, s->fd);
    }
    if (s->closing) {
        sock_release(s);
    } else if (res >= 0) {
        sock_arm(s);
    }
}

static void sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct cares_sock *s = sock_find(arg, fd);

    if (s != NULL) {
        s->want_in = readable != 0;
        s->want_out = writable != 0;
        sock_arm(s);
    }
}

static ares_socket_t sock_open(int family, int type, int protocol, void *arg)
{
    struct cares *c = arg;
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    const int on = 1;

    if (fd < 0) {
        return ARES_SOCKET_BAD;
    }
    if (type == SOCK_STREAM) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }

    struct cares_sock *s = MEM_NEW(struct cares_sock);

    s->owner = c;
    s->fd = fd;
    s->poll_in.done = poll_in_done;
    s->poll_out.done = poll_out_done;
    dlist_push(&c->socks, &s->link);
    return fd;
}

static int sock_close(ares_socket_t fd, void *arg)
{
    struct cares *c = arg;
    struct cares_sock *s = sock_find(c, fd);

    MUST(s != NULL);
    s->closing = true;
    if (s->poll_in.in_flight || s->poll_out.in_flight) {
        s->control.done = sock_cancel_done;
        ring_cancel_fd(&c->shard->ring, &s->control, fd);
    } else {
        sock_release(s);
    }
    return 0;
}

static int sock_connect(ares_socket_t fd, const struct sockaddr *addr, ares_socklen_t len,
                        void *arg)
{
    return connect(fd, addr, len);
}

/* A server that declines makes c-ares go on to the next and forget the code. It is noted here, so
 * that the error says "SERVFAIL" and not that nobody could be reached; it decides nothing. */
static void refusal_note(struct cares *c, const uint8_t *bytes)
{
    const uint16_t id = (uint16_t)(bytes[0] << 8 | bytes[1]);
    const uint8_t rcode = bytes[3] & 0x0fu;

    if (rcode != RCODE_SERVFAIL && rcode != RCODE_NOTIMP && rcode != RCODE_REFUSED) {
        return;
    }
    for (struct dlist *n = c->open.next; n != &c->open; n = n->next) {
        struct cares_query *cq = CONTAINER_OF(n, struct cares_query, link);

        if (cq->id == id) {
            cq->refusal = rcode;
        }
    }
}

static ares_ssize_t sock_recvfrom(ares_socket_t fd, void *to, size_t len, int flags,
                                  struct sockaddr *from, ares_socklen_t *from_len, void *arg)
{
    const ssize_t got = recvfrom(fd, to, len, flags, from, from_len);

    if (got >= (ssize_t)HEADER_SIZE && from != NULL) { /* a datagram: TCP passes no address */
        refusal_note(arg, to);
    }
    return got;
}

/* Not writev(): a server that hangs up must not raise SIGPIPE. */
static ares_ssize_t sock_sendv(ares_socket_t fd, const struct iovec *iov, int count, void *arg)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};

    return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static const struct ares_socket_functions sock_functions = {
    .asocket = sock_open,
    .aclose = sock_close,
    .aconnect = sock_connect,
    .arecvfrom = sock_recvfrom,
    .asendv = sock_sendv,
};

/* Queries. */

static void query_send(struct cares_query *cq);

static void query_end(struct cares_query *cq, enum dns_status status, struct slice message)
{
    struct dns_query *q = cq->query;

    if (dlist_linked(&cq->link)) {
        dlist_remove(&cq->link);
    }
    mem_give(cq);
    if (q != NULL) {
        q->pending = NULL;
        q->done(q, status, message);
    }
}

static void query_refuse(struct cares_query *cq, enum dns_status status)
{
    struct cares *c = cq->owner;

    cq->status = status;
    dlist_remove(&cq->link);
    dlist_push(&c->refused, &cq->link);
    shard_post(c->shard, &c->post);
}

static void refused_tell(struct post *p)
{
    struct cares *c = CONTAINER_OF(p, struct cares, post);
    struct dlist batch;
    struct dlist *node;

    dlist_init(&batch);
    dlist_splice(&batch, &c->refused);
    while ((node = dlist_pop(&batch)) != NULL) {
        struct cares_query *cq = CONTAINER_OF(node, struct cares_query, link);

        query_end(cq, cq->status, (struct slice){NULL, 0});
    }
}

static void query_answered(void *arg, int ares_status, int timeouts, unsigned char *bytes, int len)
{
    struct cares_query *cq = arg;
    struct cares *c = cq->owner;
    const struct slice message = slice_of(bytes, bytes != NULL && len > 0 ? (size_t)len : 0);
    enum dns_status status = status_of(ares_status);

    if (status == LOOKUP_OK && message.len < HEADER_SIZE) {
        status = LOOKUP_MALFORMED;
    } else if (status == LOOKUP_NETWORK && cq->refusal != 0) {
        status = cq->refusal == RCODE_SERVFAIL ? LOOKUP_SERVFAIL
                 : cq->refusal == RCODE_NOTIMP ? LOOKUP_NOTIMP
                                               : LOOKUP_REFUSED;
    }
    if (c->asking || c->closing) { /* it ended inside query(): done() has to wait for the loop */
        query_refuse(cq, status != LOOKUP_OK ? status : LOOKUP_NETWORK);
        return;
    }
    /* c-ares retries without EDNS once per channel; a second such server is up to us. */
    if (status == LOOKUP_OK && cq->edns && cq->query != NULL &&
        ((uint8_t)message.ptr[3] & 0x0f) == RCODE_FORMERR) {
        cq->edns = false;
        query_send(cq);
        return;
    }
    query_end(cq, status, message);
}

static void query_send(struct cares_query *cq)
{
    struct cares *c = cq->owner;
    const bool was_asking = c->asking;
    unsigned char *bytes = NULL;
    int len = 0, err;

    cq->id = (uint16_t)ring_random(&c->shard->ring);
    err = ares_create_query(cq->name, CLASS_IN, cq->type, cq->id, 1, &bytes, &len,
                            cq->edns ? EDNS_SIZE : 0);
    c->asking = true;
    if (err != ARES_SUCCESS) {
        query_answered(cq, err, 0, NULL, 0);
    } else {
        if (c->ask_validated) {
            bytes[3] |= FLAG_AD;
        }
        ares_send(c->channel, bytes, len, query_answered, cq);
        ares_free_string(bytes);
    }
    c->asking = was_asking;
    timer_renew(c);
}

static void cares_query(struct dns_backend *b, struct slice name, uint16_t type,
                        struct dns_query *q)
{
    struct cares *c = CONTAINER_OF(b, struct cares, backend);
    const bool fits = name.len > 0 && name.len <= NAME_TEXT_MAX &&
                      memchr(name.ptr, 0, name.len) == NULL;
    const size_t name_len = fits ? name.len : 0;
    struct cares_query *cq = mem_take_zero(sizeof(*cq) + name_len + 1);

    MUST(q->pending == NULL && q->done != NULL && !c->closing);
    cq->owner = c;
    cq->query = q;
    cq->type = type;
    cq->edns = c->edns;
    cq->name_len = (uint32_t)name_len;
    if (name_len > 0) {
        memcpy(cq->name, name.ptr, name_len);
    }
    q->pending = cq;
    dlist_push(&c->open, &cq->link);
    if (fits) {
        query_send(cq);
    } else {
        query_refuse(cq, LOOKUP_BAD_NAME);
    }
}

/* c-ares can only cancel everything; so one question goes on with nobody listening. */
static void cares_cancel(struct dns_backend *b, struct dns_query *q)
{
    struct cares_query *cq = q->pending;

    if (cq != NULL) {
        cq->query = NULL;
        q->pending = NULL;
    }
}

/* Life. */

static void cares_close(struct dns_backend *b)
{
    struct cares *c = CONTAINER_OF(b, struct cares, backend);

    c->closing = true;
    ares_destroy(c->channel);
    c->channel = NULL;
    timer_cancel(&c->shard->timers, &c->timer);
    shard_unpost(c->shard, &c->post);
    for (struct dlist *node; (node = dlist_pop(&c->refused)) != NULL;) {
        struct cares_query *cq = CONTAINER_OF(node, struct cares_query, link);

        MUST(cq->query == NULL);
        mem_give(cq);
    }
    ares_library_cleanup();
    cares_free_if_idle(c);
}

static int channel_open(struct cares *c, const struct dns_cares_params *params)
{
    struct ares_options options = {
        .flags = (params->edns_off ? 0 : ARES_FLAG_EDNS) |
                 (params->tcp_only ? ARES_FLAG_USEVC : 0) | ARES_FLAG_NOSEARCH |
                 ARES_FLAG_NOALIASES,
        .timeout = (int)(params->timeout_ms != 0 ? params->timeout_ms : TIMEOUT_MS_DEFAULT),
        .tries = (int)(params->attempts != 0 ? params->attempts : ATTEMPTS_DEFAULT),
        .ednspsz = EDNS_SIZE,
        .sock_state_cb = sock_state,
        .sock_state_cb_data = c,
        .resolvconf_path = (char *)(uintptr_t)params->resolv_conf,
    };
    const int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
                     ARES_OPT_SOCK_STATE_CB |
                     (params->rotate ? ARES_OPT_ROTATE : ARES_OPT_NOROTATE) |
                     (params->resolv_conf != NULL ? ARES_OPT_RESOLVCONF : 0);
    struct buf csv = {0};
    int err = ares_init_options(&c->channel, &options, mask);

    if (err != ARES_SUCCESS || params->servers.len == 0) {
        return err;
    }
    buf_put(&csv, params->servers);
    buf_char(&csv, '\0');
    err = ares_set_servers_ports_csv(c->channel, csv.ptr);
    buf_free(&csv);
    if (err != ARES_SUCCESS) {
        ares_destroy(c->channel);
    }
    return err;
}

bool dns_cares_open(struct shard *shard, const struct dns_cares_params *params,
                    struct dns_backend **out, struct buf *why)
{
    struct cares *c = MEM_NEW(struct cares);
    int err = ares_library_init(ARES_LIB_INIT_ALL);

    c->shard = shard;
    c->timer.fn = timer_due;
    c->post.fn = refused_tell;
    c->edns = !params->edns_off;
    c->ask_validated = params->ask_validated;
    c->backend = (struct dns_backend){"c-ares", cares_query, cares_cancel, cares_close};
    dlist_init(&c->socks);
    dlist_init(&c->open);
    dlist_init(&c->refused);
    if (err == ARES_SUCCESS && (err = channel_open(c, params)) != ARES_SUCCESS) {
        ares_library_cleanup();
    }
    if (err != ARES_SUCCESS) {
        buf_printf(why, "name servers `%.*s`: %s", SLICE_ARG(params->servers), ares_strerror(err));
        mem_give(c);
        return false;
    }
    ares_set_socket_functions(c->channel, &sock_functions, c);
    *out = &c->backend;
    return true;
}
