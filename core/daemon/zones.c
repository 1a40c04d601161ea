#include "core/daemon/zones.h"

#include <fcntl.h>

#include "core/base/mem.h"
#include "core/message/zone.h"
#include "core/shard/ring.h"

struct known_zone {
    struct hmap_node node;
    struct zone *zone; /* NULL: there is none of that name */
    char *name;
    uint32_t name_len;
};

static struct slice zone_key(const struct hmap_node *node)
{
    const struct known_zone *k = CONTAINER_OF(node, struct known_zone, node);

    return slice_of(k->name, k->name_len);
}

/* Letters, digits and "_+-/", no part of it ".." or hidden: it becomes a path. */
static bool name_is_safe(struct slice name)
{
    if (name.len == 0 || name.len >= SCHEDULE_ZONE_MAX || name.ptr[0] == '/') {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '+' || c == '-' || c == '/')) {
            return false;
        }
    }
    return true;
}

static struct zone *zone_read(struct ring *ring, struct slice name)
{
    struct buf path = {0}, bytes = {0};
    struct zone *zone = NULL;
    int64_t got;
    int fd;

    BUF_LIT(&path, ZONE_DIR);
    buf_put(&path, name);
    buf_char(&path, '\0');
    fd = ring->backend->fs_open(ring, path.ptr, O_RDONLY, 0);
    if (fd >= 0) {
        buf_reserve(&bytes, ZONE_FILE_MAX);
        got = ring->backend->fs_pread(ring, fd, bytes.ptr, ZONE_FILE_MAX, 0);
        ring->backend->fs_close(ring, fd);
        if (got <= 0 || !zone_parse(slice_of(bytes.ptr, (size_t)got), &zone)) {
            zone = NULL;
        }
    }
    buf_free(&path);
    buf_free(&bytes);
    return zone;
}

static const struct zone *zones_find(void *ctx, struct slice name)
{
    struct zones *z = ctx;
    struct hmap_node *node = hmap_find(&z->known, name);
    struct known_zone *k;

    if (node == NULL) {
        if (!name_is_safe(name)) {
            return NULL;
        }
        k = MEM_NEW(struct known_zone);
        k->name = mem_copy(name.ptr, name.len);
        k->name_len = (uint32_t)name.len;
        k->zone = zone_read(z->ring, name);
        hmap_insert(&z->known, &k->node);
        node = &k->node;
    }
    return CONTAINER_OF(node, struct known_zone, node)->zone;
}

void zones_init(struct zones *z, struct ring *ring)
{
    *z = (struct zones){.ring = ring};
    hmap_init(&z->known, zone_key, 0);
    z->finder = (struct zone_finder){.ctx = z, .find = zones_find};
}

void zones_free(struct zones *z)
{
    struct hmap_node *next;

    for (struct hmap_node *n = hmap_first(&z->known); n != NULL; n = next) {
        struct known_zone *k = CONTAINER_OF(n, struct known_zone, node);

        next = hmap_next(&z->known, n);
        zone_free(&k->zone);
        mem_give(k->name);
        mem_give(k);
    }
    hmap_free(&z->known);
}
