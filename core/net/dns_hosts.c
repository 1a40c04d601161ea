/* The hosts file as a map from name to addresses. */
#include "core/net/dns_hosts.h"

#include <errno.h>
#include <fcntl.h>

#include "core/base/buf.h"
#include "core/base/check.h"
#include "core/base/ip.h"
#include "core/base/mem.h"
#include "core/net/dns_name.h"
#include "core/net/dns_set.h"
#include "core/shard/ring.h"

#define READ_SIZE 65536u

struct host {
    struct hmap_node node;
    struct buf ips; /* struct ip, in file order */
    uint32_t name_len;
    char name[];
};

static struct slice host_key(const struct hmap_node *node)
{
    const struct host *h = CONTAINER_OF(node, const struct host, node);

    return slice_of(h->name, h->name_len);
}

void dns_hosts_init(struct dns_hosts *h, uint64_t seed)
{
    hmap_init(&h->names, host_key, seed);
}

void dns_hosts_free(struct dns_hosts *h)
{
    struct hmap_node *next;

    for (struct hmap_node *n = hmap_first(&h->names); n != NULL; n = next) {
        struct host *host = CONTAINER_OF(n, struct host, node);

        next = hmap_next(&h->names, n);
        hmap_remove(&h->names, n);
        buf_free(&host->ips);
        mem_give(host);
    }
    hmap_free(&h->names);
}

static void host_add(struct dns_hosts *h, struct slice name, const struct ip *ip)
{
    struct hmap_node *node = hmap_find(&h->names, name);
    struct host *host;

    if (node != NULL) {
        host = CONTAINER_OF(node, struct host, node);
    } else {
        host = mem_take_zero(sizeof(*host) + name.len);
        host->name_len = (uint32_t)name.len;
        memcpy(host->name, name.ptr, name.len);
        hmap_insert(&h->names, &host->node);
    }
    if (host->ips.len / sizeof(*ip) < DNS_SET_RR_MAX) {
        buf_append(&host->ips, ip, sizeof(*ip));
    }
}

/* The first word of *line, which loses it. */
static struct slice word_cut(struct slice *line)
{
    size_t begin = 0, end;

    while (begin < line->len && (line->ptr[begin] == ' ' || line->ptr[begin] == '\t')) {
        begin++;
    }
    for (end = begin; end < line->len && line->ptr[end] != ' ' && line->ptr[end] != '\t'; end++) {
    }

    const struct slice word = slice_of(line->ptr + begin, end - begin);

    *line = slice_from(*line, end);
    return word;
}

static void line_parse(struct dns_hosts *h, struct slice line)
{
    struct ip ip;
    struct slice word;
    struct buf name = {0};

    line = slice_head(line, slice_find_char(line, '#'));
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
        line.len--;
    }
    if (!ip_parse(word_cut(&line), &ip)) {
        return;
    }
    while ((word = word_cut(&line)).len > 0) {
        buf_clear(&name);
        if (dns_name_put(word, &name)) {
            host_add(h, buf_slice(&name), &ip);
        }
    }
    buf_free(&name);
}

void dns_hosts_parse(struct dns_hosts *h, struct slice text)
{
    while (text.len > 0) {
        const size_t end = slice_find_char(text, '\n');

        line_parse(h, slice_head(text, end));
        text = slice_from(text, end + 1);
    }
}

bool dns_hosts_read(struct dns_hosts *h, struct ring *ring, const char *path)
{
    const struct ring_backend *io = ring->backend;
    int fd = io->fs_open(ring, path, O_RDONLY | O_CLOEXEC, 0);
    struct buf text = {0};
    int64_t got = 0;

    if (fd < 0) {
        return fd == -ENOENT;
    }
    while (text.len < DNS_HOSTS_SIZE_MAX) {
        buf_reserve(&text, READ_SIZE);
        got = io->fs_pread(ring, fd, text.ptr + text.len, READ_SIZE, text.len);
        if (got <= 0) {
            break;
        }
        text.len += (size_t)got;
    }
    io->fs_close(ring, fd);
    dns_hosts_parse(h, buf_slice(&text));
    buf_free(&text);
    return got >= 0;
}

static bool is_localhost(struct slice name)
{
    return slice_eq(name, SLICE("localhost.")) || slice_ends(name, SLICE(".localhost."));
}

static bool ip_add(struct dns_set_builder *b, const struct ip *ip, uint16_t type)
{
    if (ip->family != (type == DNS_A ? IP_V4 : IP_V6)) {
        return true;
    }
    return dns_set_add(b, 0, slice_of(ip->bytes, ip->family == IP_V4 ? 4 : 16));
}

struct dns_set *dns_hosts_find(const struct dns_hosts *h, struct slice name, uint16_t type)
{
    static const struct ip loopback[] = {
        {.family = IP_V4, .bytes = {127, 0, 0, 1}},
        {.family = IP_V6, .bytes = {[15] = 1}},
    };
    struct hmap_node *node = hmap_find(&h->names, name);
    const struct ip *ips = loopback;
    size_t count = ARRAY_COUNT(loopback);
    struct dns_set_builder b = {0};

    if (node != NULL) {
        const struct host *host = CONTAINER_OF(node, const struct host, node);

        ips = (const struct ip *)(const void *)host->ips.ptr;
        count = host->ips.len / sizeof(*ips);
    } else if (!is_localhost(name)) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        MUST(ip_add(&b, &ips[i], type));
    }

    struct dns_set *set = dns_set_build(&b, type);

    set->expires_ns = UINT64_MAX;
    return set;
}
