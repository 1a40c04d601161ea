/* Names, descriptors and calls. Bytes are in sim_disk_pages.c, faults in sim_disk_weather.c. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/check/book.h"
#include "tests/sim/sim_disk_private.h"

struct sim_disk *disk_new(struct sim *s)
{
    struct sim_disk *d = sim_arena_take(s->arena, sizeof(*d));

    s->disk = d;
    return d;
}

const struct sim_disk_counts *disk_counts(const struct sim_disk *d)
{
    return &d->counts;
}

/* ---- names ---- */

static struct disk_name *name_find(struct sim *s, const char *path)
{
    struct sim_disk *d = s->disk;

    for (uint32_t i = 0; i < d->name_count; i++) {
        if (strcmp(d->names[i].path, path) == 0) {
            return &d->names[i];
        }
    }
    return NULL;
}

static struct disk_name *name_take(struct sim *s, const char *path)
{
    struct sim_disk *d = s->disk;
    struct disk_name *n = name_find(s, path);

    if (n != NULL) {
        return n;
    }
    if (d->name_count == d->name_cap) {
        uint32_t cap = d->name_cap != 0 ? d->name_cap * 2 : 64;

        d->names = sim_arena_grow(s->arena, d->names, d->name_cap * sizeof(*d->names),
                              cap * sizeof(*d->names));
        d->name_cap = cap;
    }
    MUST(strlen(path) < DISK_PATH_MAX);
    n = &d->names[d->name_count++];
    *n = (struct disk_name){0};
    memcpy(n->path, path, strlen(path) + 1);
    return n;
}

static struct disk_inode *inode_new(struct sim *s, bool is_dir)
{
    struct disk_inode *node = sim_arena_take(s->arena, sizeof(*node));

    node->id = ++s->disk->inode_count;
    node->is_dir = is_dir;
    node->mode = is_dir ? 0700 : 0600;
    node->next = s->disk->inodes;
    s->disk->inodes = node;
    return node;
}

static bool is_named(const struct sim_disk *d, const struct disk_inode *node)
{
    for (uint32_t i = 0; i < d->name_count; i++) {
        if (d->names[i].now == node || d->names[i].kept == node) {
            return true;
        }
    }
    return false;
}

/* Names and files that nobody can reach any more. */
static void sweep(struct sim *s)
{
    struct sim_disk *d = s->disk;
    struct disk_inode **at = &d->inodes;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < d->name_count; i++) {
        if (d->names[i].now != NULL || d->names[i].kept != NULL) {
            d->names[kept++] = d->names[i];
        }
    }
    d->name_count = kept;
    while (*at != NULL) {
        struct disk_inode *node = *at;

        if (node->opened == 0 && !is_named(d, node)) {
            *at = node->next;
            inode_free(s, node);
        } else {
            at = &node->next;
        }
    }
}

static int dir_make(struct sim *s, const char *path)
{
    struct disk_name *n = name_take(s, path);

    if (n->now == NULL) {
        n->now = inode_new(s, true);
        n->kept = strchr(path + 1, '/') == NULL ? n->now : n->kept; /* came with the machine */
    }
    return n->now->is_dir ? 0 : -ENOTDIR;
}

int disk_mkdirs(struct sim *s, const char *path)
{
    char part[DISK_PATH_MAX];
    size_t len = strlen(path);
    int err = 0;

    MUST(len < sizeof(part));
    for (size_t at = 1; err == 0 && at <= len; at++) {
        if (path[at] == '/' || path[at] == '\0') {
            memcpy(part, path, at);
            part[at] = '\0';
            err = dir_make(s, part);
        }
    }
    return err;
}

void disk_put_dirs(struct sim *s, const char *path)
{
    MUST(disk_mkdirs(s, path) == 0);
    for (uint32_t i = 0; i < s->disk->name_count; i++) {
        s->disk->names[i].kept = s->disk->names[i].now;
    }
}

void disk_put_file(struct sim *s, const char *path, struct slice bytes)
{
    struct disk_name *n = name_take(s, path);

    n->now = n->kept = inode_new(s, false);
    inode_write(s, n->now, bytes.ptr, bytes.len, 0, true);
}

/* The last part of a path that lies directly in `dir`; NULL when it does not. */
static const char *name_in(const char *dir, const char *path)
{
    size_t len = strlen(dir);

    if (strncmp(path, dir, len) != 0 || path[len] != '/' || strchr(path + len + 1, '/') != NULL) {
        return NULL;
    }
    return path + len + 1;
}

void disk_drop_below(struct sim *s, const char *dir)
{
    for (uint32_t i = 0; i < s->disk->name_count; i++) {
        if (name_in(dir, s->disk->names[i].path) != NULL) {
            s->disk->names[i].now = s->disk->names[i].kept = NULL;
        }
    }
    sweep(s);
}

int disk_list(struct sim *s, const char *path, ring_dir_fn *fn, void *arg)
{
    const struct disk_name *dir = name_find(s, path);

    if (dir == NULL || dir->now == NULL) {
        return -ENOENT;
    }
    for (uint32_t i = 0; i < s->disk->name_count; i++) {
        const char *last = name_in(path, s->disk->names[i].path);

        if (last != NULL && s->disk->names[i].now != NULL) {
            fn(arg, slice_str(last));
        }
    }
    return 0;
}

int disk_stat(struct sim *s, const char *path, struct ring_file_info *out)
{
    const struct disk_name *n = name_find(s, path);

    if (n == NULL || n->now == NULL) {
        return -ENOENT;
    }
    *out = (struct ring_file_info){.size = n->now->size,
                                   .is_dir = n->now->is_dir,
                                   .is_regular = !n->now->is_dir,
                                   .mode = n->now->mode};
    return 0;
}

/* ---- faults ---- */

static int trouble(struct sim *s, int err)
{
    struct sim_disk *d = s->disk;

    disk_trouble(d, s->now_ns);
    d->counts.errors += err == -EIO;
    d->counts.full += err == -ENOSPC;
    sim_note(s, SIM_DISK, "refuses: error %llu", (uint64_t)-err, 0, 0);
    return err;
}

/* What a change of the disk answers instead of being done; 0: it is done. */
static int change_fault(struct sim *s)
{
    if (s->faults_off) {
        return 0;
    }
    if (s->disk->dead || sim_chance(s, CHANCE_DISK, s->plan.faults[FAULT_WRITE_ERROR])) {
        return trouble(s, -EIO);
    }
    return 0;
}

static uint64_t bytes_used(const struct sim_disk *d)
{
    uint64_t used = d->filled;

    for (const struct disk_inode *node = d->inodes; node != NULL; node = node->next) {
        used += node->size;
    }
    return used;
}

static bool has_room(struct sim *s, const struct disk_inode *node, uint64_t size)
{
    return size <= node->size || bytes_used(s->disk) + size - node->size <= s->plan.disk_bytes;
}

void disk_space(struct sim *s, struct ring_space *out)
{
    uint64_t used = bytes_used(s->disk);

    *out = (struct ring_space){.total_bytes = s->plan.disk_bytes,
                               .free_bytes = s->plan.disk_bytes > used
                                                 ? s->plan.disk_bytes - used : 0,
                               .total_inodes = 1000000,
                               .free_inodes = 999000};
}

/* ---- calls ---- */

int disk_open(struct sim *s, const char *path, int flags, struct disk_file **out)
{
    struct disk_name *n = name_find(s, path);
    struct disk_file *f;

    if (n == NULL || n->now == NULL) {
        int err = (flags & O_CREAT) == 0 ? -ENOENT : change_fault(s);

        if (err != 0) {
            return err;
        }
        n = name_take(s, path);
        n->now = inode_new(s, false);
        sim_note(s, SIM_DISK, "file %llu is made", n->now->id, 0, 0);
        sim_trace(s, SIM_DISK, "file %u is %s", n->now->id, path);
    } else if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
        return -EEXIST;
    }
    if (((flags & O_DIRECTORY) != 0) != n->now->is_dir) {
        return n->now->is_dir ? -EISDIR : -ENOTDIR;
    }
    if ((flags & O_TRUNC) != 0) {
        inode_truncate(s, n->now);
    }
    f = MEM_NEW(struct disk_file);
    f->inode = n->now;
    f->flags = flags;
    memcpy(f->path, n->path, sizeof(f->path));
    f->inode->opened++;
    *out = f;
    return 0;
}

void disk_close(struct disk_file *f)
{
    f->inode->opened--;
    if ((f->flags & O_ACCMODE) == O_RDWR) {
        f->inode->locked_life = 0;
    }
    mem_give(f);
}

int disk_unlink(struct sim *s, const char *path)
{
    struct disk_name *n = name_find(s, path);
    int err = change_fault(s);

    if (err != 0) {
        return err;
    }
    if (n == NULL || n->now == NULL) {
        return -ENOENT;
    }
    sim_note(s, SIM_DISK, "file %llu is removed", n->now->id, 0, 0);
    n->now = NULL;
    return 0;
}

int disk_rename(struct sim *s, const char *from, const char *to)
{
    struct disk_name *a = name_find(s, from);
    struct disk_inode *node;
    int err = change_fault(s);

    if (err != 0) {
        return err;
    }
    if (a == NULL || a->now == NULL) {
        return -ENOENT;
    }
    node = a->now;
    a->now = NULL;
    name_take(s, to)->now = node;
    return 0;
}

int disk_chmod(struct sim *s, const char *path, unsigned mode)
{
    struct disk_name *n = name_find(s, path);

    if (n == NULL || n->now == NULL) {
        return -ENOENT;
    }
    n->now->mode = mode;
    return 0;
}

int disk_allocate(struct sim *s, struct disk_file *f, uint64_t size)
{
    int err = change_fault(s);

    if (err != 0) {
        return err;
    }
    if (!has_room(s, f->inode, size)) {
        return trouble(s, -ENOSPC);
    }
    inode_write(s, f->inode, "", 0, size, false);
    return 0;
}

int64_t disk_read(struct sim *s, struct disk_file *f, void *to, uint64_t len, uint64_t offset)
{
    uint64_t left = offset < f->inode->size ? f->inode->size - offset : 0;

    s->disk->counts.reads++;
    len = len < left ? len : left;
    inode_read(f->inode, to, len, offset);
    return (int64_t)len;
}

/* What fails may have come through in part. */
static int64_t write_fails(struct sim *s, struct disk_file *f, const char *from, uint64_t len,
                           uint64_t offset, int err)
{
    if (sim_below(s, CHANCE_DISK, 2) == 0 && offset + len <= f->inode->size) {
        disk_tear(s, f, from, len, offset);
    }
    return err;
}

int64_t disk_write(struct sim *s, struct disk_file *f, const void *from, uint64_t len,
                   uint64_t offset, bool durable)
{
    struct sim_disk *d = s->disk;
    int err = change_fault(s);

    MUST((f->flags & O_DIRECT) == 0 ||
         (offset % DISK_SECTOR == 0 && len % DISK_SECTOR == 0 &&
          (uintptr_t)from % DISK_SECTOR == 0));
    if (err == 0 && !has_room(s, f->inode, offset + len)) {
        err = trouble(s, -ENOSPC);
    }
    if (err != 0) {
        return write_fails(s, f, from, len, offset, err);
    }
    if (!s->faults_off && len > DISK_SECTOR &&
        sim_chance(s, CHANCE_DISK, s->plan.faults[FAULT_SHORT_WRITE])) {
        len = (1 + sim_below(s, CHANCE_DISK, len / DISK_SECTOR)) * DISK_SECTOR;
        d->counts.short_writes++;
        disk_trouble(d, s->now_ns);
    }
    d->counts.writes++;
    d->counts.bytes_written += len;
    inode_write(s, f->inode, from, len, offset, durable);
    if (durable) {
        book_durable(s, slice_of(from, len));
    }
    sim_note(s, SIM_DISK, "file %llu: %llu bytes at %llu", f->inode->id, len, offset);
    return (int64_t)len;
}

static void dir_sync(struct sim *s, const char *path)
{
    for (uint32_t i = 0; i < s->disk->name_count; i++) {
        if (name_in(path, s->disk->names[i].path) != NULL) {
            s->disk->names[i].kept = s->disk->names[i].now;
        }
    }
}

int disk_sync(struct sim *s, struct disk_file *f)
{
    int err = change_fault(s);

    if (err != 0) {
        return err;
    }
    s->disk->counts.syncs++;
    sim_note(s, SIM_DISK, "file %llu: synced", f->inode->id, 0, 0);
    if (f->inode->is_dir) {
        dir_sync(s, f->path);
    } else {
        inode_sync(s, f->inode);
    }
    return 0;
}

int disk_lock(struct sim *s, struct disk_file *f)
{
    if (f->inode->locked_life == s->life) {
        return -EWOULDBLOCK;
    }
    f->inode->locked_life = s->life;
    return 0;
}

/* ---- ends ---- */

void disk_tear(struct sim *s, struct disk_file *f, const char *from, uint64_t len, uint64_t offset)
{
    bool kept = sim_below(s, CHANCE_DISK, 2) == 0;

    for (uint64_t at = 0; at < len; at += DISK_SECTOR) {
        uint64_t n = len - at < DISK_SECTOR ? len - at : DISK_SECTOR;

        if (sim_below(s, CHANCE_DISK, 2) == 0) {
            inode_write(s, f->inode, from + at, n, offset + at, kept);
            s->disk->counts.torn++;
        }
    }
}

static bool parent_lost(struct sim *s, const char *path)
{
    char dir[DISK_PATH_MAX];
    const char *slash = strrchr(path, '/');
    const struct disk_name *parent;

    if (slash == NULL || slash == path) {
        return false;
    }
    memcpy(dir, path, (size_t)(slash - path));
    dir[slash - path] = '\0';
    parent = name_find(s, dir);
    return parent != NULL && parent->now == NULL;
}

/* What stood in a folder that is gone is gone with it. */
static void orphans_drop(struct sim *s)
{
    bool again = true;

    while (again) {
        again = false;
        for (uint32_t i = 0; i < s->disk->name_count; i++) {
            struct disk_name *n = &s->disk->names[i];

            if (n->now != NULL && parent_lost(s, n->path)) {
                n->now = n->kept = NULL;
                again = true;
            }
        }
    }
}

void disk_power_cut(struct sim *s, enum disk_keep keep)
{
    struct sim_disk *d = s->disk;

    for (struct disk_inode *node = d->inodes; node != NULL; node = node->next) {
        if (!node->is_dir) {
            inode_power_cut(s, node, keep);
        }
    }
    for (uint32_t i = 0; i < d->name_count; i++) {
        struct disk_name *n = &d->names[i];

        if (n->now != n->kept && keep == DISK_KEEP_ANY && sim_below(s, CHANCE_DISK, 2) == 0) {
            n->kept = n->now;
        }
        if (n->now != n->kept) {
            sim_note(s, SIM_DISK, "file %llu has a name again that was taken, file %llu loses it",
                     n->kept != NULL ? n->kept->id : 0, n->now != NULL ? n->now->id : 0, 0);
        }
        n->now = n->kept;
    }
    orphans_drop(s);
}

void disk_process_ended(struct sim *s)
{
    for (struct disk_inode *node = s->disk->inodes; node != NULL; node = node->next) {
        node->opened = 0;
        node->locked_life = 0;
    }
    sweep(s);
}
