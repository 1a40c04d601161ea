#include "core/daemon/setup.h"

#include <errno.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/daemon/daemon_private.h"
#include "core/daemon/engine.h"

/* The services' ctx is the engine whose policy calls. */
static struct setup *setup_of(void *ctx)
{
    return &((struct engine *)ctx)->daemon->setup;
}

void setup_init(struct setup *s, struct daemon *d)
{
    *s = (struct setup){.daemon = d, .dns = DNS_PARAMS_DEFAULT, .resolver = DNS_CONFIG_DEFAULT};
    s->logs_end = &s->logs;
    s->endpoints_end = &s->endpoints;
}

void setup_free(struct setup *s)
{
    while (s->logs != NULL) {
        struct setup_log *log = s->logs;

        s->logs = log->next;
        local_logs_config_free(&log->config);
        mem_give(log->patterns);
        mem_give(log);
    }
    while (s->endpoints != NULL) {
        struct setup_endpoint *e = s->endpoints;

        s->endpoints = e->next;
        listener_config_free(&e->endpoint.config);
        mem_give(e);
    }
    spool_config_free(&s->data);
    spool_config_free(&s->meta);
    dns_config_free(&s->resolver);
    buf_free(&s->said);
}

bool setup_check(const struct setup *s, struct buf *why)
{
    if (!s->has_data && !s->has_meta) {
        BUF_LIT(why, "No spools have been defined");
        return false;
    }
    if (!s->has_data || !s->has_meta) {
        buf_printf(why, "no spool named '%s' has been defined", s->has_data ? "meta" : "data");
        return false;
    }
    return true;
}

/* ---- what changes nothing ---- */

static void notice(void *ctx, struct slice name, struct slice reason)
{
    struct setup *s = setup_of(ctx);

    for (struct slice rest = buf_slice(&s->said); rest.len > 0;) {
        size_t end = slice_find_char(rest, '\n');

        if (slice_eq(slice_head(rest, end), name)) {
            return;
        }
        rest = slice_from(rest, end + 1);
    }
    buf_put(&s->said, name);
    buf_char(&s->said, '\n');
    diag_warn(&((struct engine *)ctx)->diag, "config", "%.*s: %.*s", SLICE_ARG(name),
              SLICE_ARG(reason));
}

enum setup_call { CALL_define_spool, CALL_start_esmtp_listener };

/* False of a switch is as good as not given. */
static bool gives(const struct json *params, const char *option)
{
    const struct json *value = json_get(params, slice_str(option));

    return value != NULL && value->type != JSON_NULL &&
           (value->type != JSON_BOOL || value->boolean);
}

static void say_idle_options(void *ctx, enum setup_call call, const struct json *params)
{
    static const struct {
        enum setup_call call;
        const char *option, *name, *why;
    } rows[] = {
#define IDLE_OPTION(call, option, why) {CALL_##call, #option, #call "." #option, why},
#include "core/daemon/idle_options.def"
#undef IDLE_OPTION
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (rows[i].call == call && gives(params, rows[i].option)) {
            notice(ctx, slice_str(rows[i].name), slice_str(rows[i].why));
        }
    }
}

/* ---- spool ---- */

static bool define_spool(void *ctx, const struct json *params, struct buf *why)
{
    struct setup *s = setup_of(ctx);
    struct spool_config config;

    if (!spool_config_read(params, &config, why)) {
        return false;
    }
    if (strcmp(config.name, "data") == 0 && !s->has_data) {
        s->data = config;
        s->has_data = true;
    } else if (strcmp(config.name, "meta") == 0 && !s->has_meta) {
        s->meta = config;
        s->has_meta = true;
    } else {
        buf_printf(why, "spool '%s': there is one 'data' and one 'meta' spool", config.name);
        spool_config_free(&config);
        return false;
    }
    say_idle_options(ctx, CALL_define_spool, params);
    return true;
}

/* Besides the data paths: meta, and the directories of all loggers. */
static void guards_set(const struct setup *s, struct spool_params *out)
{
    uint32_t count = 1;
    struct spool_guard *guards;

    for (const struct setup_log *l = s->logs; l != NULL; l = l->next) {
        count++;
    }
    guards = mem_take_zero(count * sizeof(*guards));
    out->guards = guards;
    out->guard_count = count;
    *guards++ = (struct spool_guard){.path = slice_str(s->meta.path.items[0]),
                                     .space = s->meta.min_free_space,
                                     .inodes = s->meta.min_free_inodes};
    for (const struct setup_log *l = s->logs; l != NULL; l = l->next) {
        *guards++ = (struct spool_guard){.path = slice_str(l->config.log_dir),
                                         .space = l->config.min_free_space,
                                         .inodes = l->config.min_free_inodes};
    }
}

void setup_spool_params(const struct setup *s, uint32_t shards, struct spool_params *out)
{
    static const enum spool_durability mode[] = {
        [DURABILITY_FSYNC_GROUP] = SPOOL_FSYNC_GROUP,
        [DURABILITY_OS_CACHE] = SPOOL_OS_CACHE,
        [DURABILITY_MEMORY] = SPOOL_MEMORY,
    };

    struct slice *paths = mem_take(s->data.path.count * sizeof(*paths));

    for (uint32_t i = 0; i < s->data.path.count; i++) {
        paths[i] = slice_str(s->data.path.items[i]);
    }
    *out = (struct spool_params){
        .data_paths = paths,
        .data_path_count = s->data.path.count,
        .meta_path = slice_str(s->meta.path.items[0]),
        .durability = mode[s->data.durability],
        .shard_count = shards,
    };
    guards_set(s, out);
    if (s->data.min_free_space.percent) {
        out->min_free_percent = (uint8_t)s->data.min_free_space.amount;
    } else {
        out->min_free_bytes = s->data.min_free_space.amount;
    }
    if (s->data.min_free_inodes.percent) {
        out->min_free_inodes_percent = (uint8_t)s->data.min_free_inodes.amount;
    } else {
        out->min_free_inodes = s->data.min_free_inodes.amount;
    }
}

/* ---- logs ---- */

static struct slice optional(const char *text)
{
    return text != NULL ? slice_str(text) : SLICE("");
}

static void per_record_fill(const struct log_record_params *from, struct log_per_record *out)
{
    *out = (struct log_per_record){
        .is_set = true,
        .disabled = !from->enable,
        .suffix = optional(from->suffix),
        .log_dir = optional(from->log_dir),
        .segment_header = optional(from->segment_header),
        .template = optional(from->template),
    };
}

static bool log_fill(struct setup_log *l, struct buf *why)
{
    const struct local_logs_config *c = &l->config;
    struct log_params *p = &l->params;
    uint32_t at = 0;

    l->patterns = mem_take((c->meta.count + c->headers.count) * sizeof(*l->patterns));
    *p = (struct log_params){
        .log_dir = slice_str(c->log_dir),
        .max_file_size = c->max_file_size,
        .max_segment_duration_ms =
            c->has_max_segment_duration ? c->max_segment_duration / 1000000u : 0,
        .compression_level = (int)c->compression_level,
        .back_pressure = (uint32_t)c->back_pressure,
        .filter_event = optional(c->filter_event),
    };
    p->capture.meta = l->patterns;
    p->capture.meta_count = c->meta.count;
    for (uint32_t i = 0; i < c->meta.count; i++) {
        l->patterns[at++] = slice_str(c->meta.items[i]);
    }
    p->capture.headers = l->patterns + at;
    p->capture.header_count = c->headers.count;
    for (uint32_t i = 0; i < c->headers.count; i++) {
        l->patterns[at++] = slice_str(c->headers.items[i]);
    }
    for (uint32_t i = 0; i < c->per_record.count; i++) {
        const struct per_record_entry *e = &c->per_record.items[i];
        enum log_type type;

        if (strcmp(e->type, "Any") == 0) {
            per_record_fill(&e->params, &p->any);
        } else if (log_type_parse(slice_str(e->type), &type)) {
            per_record_fill(&e->params, &p->per_record[type]);
        }
    }
    return log_params_check(p, why);
}

static bool configure_local_logs(void *ctx, const struct json *params, struct buf *why)
{
    struct setup *s = setup_of(ctx);
    struct setup_log *l = MEM_NEW(struct setup_log);

    if (!local_logs_config_read(params, &l->config, why)) {
        mem_give(l);
        return false;
    }
    if (!log_fill(l, why) ||
        (!s->daemon->options->validate && !log_prepare(daemon_ring(s->daemon), &l->params, why))) {
        local_logs_config_free(&l->config);
        mem_give(l->patterns);
        mem_give(l);
        return false;
    }
    *s->logs_end = l;
    s->logs_end = &l->next;
    return true;
}

/* ---- listeners ---- */

/* "host:port" with the host as an address, empty, "localhost" or the resolver's "0". */
static bool listen_parse(struct slice text, struct ip_port *out)
{
    struct slice host = text;
    size_t colon = text.len;
    uint64_t port;

    if (ip_port_parse(text, out)) {
        return true;
    }
    while (colon > 0 && text.ptr[colon - 1] != ':') {
        colon--;
    }
    if (colon == 0 || !slice_to_u64(slice_from(text, colon), &port) || port > UINT16_MAX) {
        return false;
    }
    host = slice_head(text, colon - 1);
    *out = (struct ip_port){.port = (uint16_t)port};
    if (slice_eq(host, SLICE("localhost"))) {
        return ip_parse(SLICE("127.0.0.1"), &out->ip);
    }
    if (slice_eq(host, SLICE("0"))) {
        return ip_parse(SLICE("0.0.0.0"), &out->ip);
    }
    return false;
}

static bool listen_everywhere(struct setup *s, struct ingress_endpoint *e, struct buf *why)
{
    struct daemon *d = s->daemon;

    for (uint32_t i = 0; i < d->shard_count; i++) {
        int res = ingress_listen(&d->engines[i]->ingress, e);

        if (res < 0) {
            buf_printf(why, "failed to bind to %s: %s", e->config.listen, strerror(-res));
            while (i > 0) { /* the policy may catch the error and go on */
                ingress_unlisten(&d->engines[--i]->ingress, e);
            }
            return false;
        }
    }
    return true;
}

/* Options whose effect is not there yet and whose absence would let in what they keep out. */
static bool listener_supported(const struct listener_params *p, struct buf *why)
{
    const char *option = p->require_proxy_protocol ? "require_proxy_protocol"
                         : p->tls_required_client_ca.kind != KEY_SOURCE_NONE
                             ? "tls_required_client_ca"
                             : NULL;

    for (uint32_t i = 0; option == NULL && i < p->peer.count; i++) {
        if (!listener_supported(p->peer.items[i].params, why)) {
            return false;
        }
    }
    for (uint32_t i = 0; option == NULL && i < p->via.count; i++) {
        if (!listener_supported(p->via.items[i].params, why)) {
            return false;
        }
    }
    if (option != NULL) {
        buf_printf(why, "listener option %s is not supported yet", option);
    }
    return option == NULL;
}

static bool start_esmtp_listener(void *ctx, const struct json *params, struct buf *why)
{
    struct setup *s = setup_of(ctx);
    struct setup_endpoint *e = MEM_NEW(struct setup_endpoint);

    if (!listener_config_read(params, &e->endpoint.config, why)) {
        mem_give(e);
        return false;
    }
    if (!listen_parse(slice_str(e->endpoint.config.listen), &e->endpoint.addr)) {
        buf_printf(why, "failed to bind to %s: it is not an address and a port",
                   e->endpoint.config.listen);
    } else if (listener_supported(&e->endpoint.config.params, why) &&
               (s->daemon->options->validate || listen_everywhere(s, &e->endpoint, why))) {
        *s->endpoints_end = e;
        s->endpoints_end = &e->next;
        say_idle_options(ctx, CALL_start_esmtp_listener, params);
        return true;
    }
    listener_config_free(&e->endpoint.config);
    mem_give(e);
    return false;
}

static bool listener_defers(const struct listener_params *p)
{
    bool defers = p->deferred_spool;

    for (uint32_t i = 0; !defers && i < p->peer.count; i++) {
        defers = listener_defers(p->peer.items[i].params);
    }
    for (uint32_t i = 0; !defers && i < p->via.count; i++) {
        defers = listener_defers(p->via.items[i].params);
    }
    return defers;
}

bool setup_defers(const struct setup *s)
{
    const struct setup_endpoint *e = s->endpoints;

    while (e != NULL && !listener_defers(&e->endpoint.config.params)) {
        e = e->next;
    }
    return e != NULL;
}

void setup_put_deferring(const struct setup *s, struct buf *out)
{
    size_t start = out->len;

    for (const struct setup_endpoint *e = s->endpoints; e != NULL; e = e->next) {
        if (listener_defers(&e->endpoint.config.params)) {
            buf_put(out, out->len > start ? SLICE(", ") : SLICE(""));
            ip_port_put(out, &e->endpoint.addr);
        }
    }
}

/* ---- diagnostics ---- */

static bool set_filter(void *ctx, struct slice filter, struct buf *why)
{
    struct engine *e = ctx;
    struct daemon *d = e->daemon;
    bool ok = diag_set_filter(&e->diag, filter, why);

    /* While init runs no other shard does; later each shard hears of it in its own handler. */
    for (uint32_t i = 0; ok && !e->started && i < d->shard_count; i++) {
        ok = diag_set_filter(&d->engines[i]->diag, filter, why);
    }
    return ok;
}

/* kumo.log_*; the line says where in the policy it came from. */
static void say(void *ctx, enum vm_log_level level, struct slice line)
{
    static const enum diag_level levels[] = {
        [VM_LOG_ERROR] = DIAG_ERROR,
        [VM_LOG_WARN] = DIAG_WARN,
        [VM_LOG_INFO] = DIAG_INFO,
        [VM_LOG_DEBUG] = DIAG_DEBUG,
    };
    struct engine *e = ctx;

    diag_say(&e->diag, levels[level], "lua", "%.*s", SLICE_ARG(line));
}

void setup_services(struct engine *e, struct api_services *out)
{
    *out = (struct api_services){
        .ctx = e,
        .define_spool = define_spool,
        .start_esmtp_listener = start_esmtp_listener,
        .configure_local_logs = configure_local_logs,
        .notice = notice,
        .log = say,
        .set_log_filter = set_filter,
    };
    setup_dns_services(out);
    setup_memory_services(out);
}
