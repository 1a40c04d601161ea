/* The two images of a file's pages. */
#include <string.h>

#include "tests/sim/sim_disk_private.h"

static const char zeros[DISK_PAGE];

static char *page_new(struct sim *s, const char *like)
{
    char *page = sim_arena_take(s->arena, DISK_PAGE);

    if (like != NULL) {
        memcpy(page, like, DISK_PAGE);
    }
    return page;
}

static void page_free(struct sim *s, char *page)
{
    sim_arena_give(s->arena, page, DISK_PAGE);
}

static const char *bytes_of(const char *page)
{
    return page != NULL ? page : zeros;
}

/* One image again when both say the same. */
static void page_settle(struct sim *s, struct disk_page *p)
{
    if (p->seen != p->kept && memcmp(bytes_of(p->seen), bytes_of(p->kept), DISK_PAGE) == 0) {
        if (p->kept == NULL) {
            page_free(s, p->seen);
            p->seen = NULL;
        } else {
            page_free(s, p->kept);
            p->kept = p->seen;
        }
    }
}

static void page_sync(struct sim *s, struct disk_page *p)
{
    if (p->seen != p->kept) {
        page_free(s, p->kept);
        p->kept = p->seen;
    }
}

static void page_put(struct sim *s, struct disk_page *p, const char *from, uint64_t at, uint64_t n,
                     bool durable)
{
    if (memcmp(bytes_of(p->seen) + at, from, n) != 0) {
        if (p->seen == p->kept) {
            p->seen = page_new(s, p->kept);
        }
        memcpy(p->seen + at, from, n);
    }
    if (!durable || p->seen == p->kept) {
        return;
    }
    if (n == DISK_PAGE) {
        page_sync(s, p);
        return;
    }
    if (memcmp(bytes_of(p->kept) + at, from, n) != 0) {
        if (p->kept == NULL) {
            p->kept = page_new(s, NULL);
        }
        memcpy(p->kept + at, from, n);
    }
    page_settle(s, p);
}

static void inode_reserve(struct sim *s, struct disk_inode *node, uint64_t size)
{
    uint64_t count = (size + DISK_PAGE - 1) / DISK_PAGE;

    if (count > node->page_count) {
        uint64_t cap = count > node->page_count * 2 ? count : node->page_count * 2;

        node->pages = sim_arena_grow(s->arena, node->pages, node->page_count * sizeof(*node->pages),
                                 cap * sizeof(*node->pages));
        node->page_count = cap;
    }
}

void inode_read(const struct disk_inode *node, char *to, uint64_t len, uint64_t offset)
{
    while (len > 0) {
        uint64_t at = offset % DISK_PAGE;
        uint64_t n = len < DISK_PAGE - at ? len : DISK_PAGE - at;
        uint64_t index = offset / DISK_PAGE;
        const char *page = index < node->page_count ? node->pages[index].seen : NULL;

        memcpy(to, bytes_of(page) + at, n);
        to += n;
        offset += n;
        len -= n;
    }
}

void inode_write(struct sim *s, struct disk_inode *node, const char *from, uint64_t len,
                 uint64_t offset, bool durable)
{
    uint64_t end = offset + len;

    inode_reserve(s, node, end);
    while (offset < end) {
        uint64_t at = offset % DISK_PAGE;
        uint64_t n = end - offset < DISK_PAGE - at ? end - offset : DISK_PAGE - at;

        page_put(s, &node->pages[offset / DISK_PAGE], from, at, n, durable);
        from += n;
        offset += n;
    }
    node->size = end > node->size ? end : node->size;
    if (durable) {
        node->kept_size = node->size;
    }
}

void inode_sync(struct sim *s, struct disk_inode *node)
{
    for (uint64_t i = 0; i < node->page_count; i++) {
        page_sync(s, &node->pages[i]);
    }
    node->kept_size = node->size;
}

static void page_power_cut(struct sim *s, struct disk_page *p, enum disk_keep keep)
{
    char mixed[DISK_PAGE];

    memcpy(mixed, bytes_of(p->kept), DISK_PAGE);
    for (uint32_t at = 0; keep == DISK_KEEP_ANY && at < DISK_PAGE; at += DISK_SECTOR) {
        if (sim_below(s, CHANCE_DISK, 2) == 0) {
            memcpy(mixed + at, bytes_of(p->seen) + at, DISK_SECTOR);
        }
    }
    page_put(s, p, mixed, 0, DISK_PAGE, true);
}

void inode_power_cut(struct sim *s, struct disk_inode *node, enum disk_keep keep)
{
    for (uint64_t i = 0; i < node->page_count; i++) {
        if (node->pages[i].seen != node->pages[i].kept) {
            page_power_cut(s, &node->pages[i], keep);
        }
    }
    if (node->size != node->kept_size && keep == DISK_KEEP_ANY &&
        sim_below(s, CHANCE_DISK, 2) == 0) {
        node->kept_size = node->size;
    }
    node->size = node->kept_size;
}

void inode_truncate(struct sim *s, struct disk_inode *node)
{
    for (uint64_t i = 0; i < node->page_count; i++) {
        page_put(s, &node->pages[i], zeros, 0, DISK_PAGE, false);
    }
    node->size = 0;
}

void inode_free(struct sim *s, struct disk_inode *node)
{
    for (uint64_t i = 0; i < node->page_count; i++) {
        if (node->pages[i].seen != node->pages[i].kept) {
            page_free(s, node->pages[i].seen);
        }
        page_free(s, node->pages[i].kept);
    }
    sim_arena_give(s->arena, node->pages, node->page_count * sizeof(*node->pages));
    sim_arena_give(s->arena, node, sizeof(*node));
}
