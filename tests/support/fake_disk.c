#include "tests/support/fake_disk.h"

#include <errno.h>
#include <fcntl.h>

#include "core/base/check.h"
#include "core/base/mem.h"

#define FD_FIRST 100000

struct inode {
    struct inode *next; /* of all */
    char *seen, *kept;  /* what a reader sees; what survives */
    uint64_t size, kept_size, cap;
    bool is_dir;
    unsigned mode;
    int locked_by; /* descriptor, 0 = nobody */
};

struct name {
    char *path;
    struct inode *now, *kept; /* NULL: no such name */
};

struct open_file {
    struct inode *inode; /* NULL: closed */
    char *path;
    int flags;
};

struct fake_disk {
    struct inode *inodes;
    struct name *names;
    uint32_t name_count;
    struct open_file *files;
    uint32_t file_count;
    fake_fault_fn *fault;
    void *fault_ctx;
    bool no_direct;
    uint64_t capacity, inodes_total, inodes_free;
    uint64_t now_ns;
};

struct fake_disk *fake_disk_new(void)
{
    struct fake_disk *d = MEM_NEW(struct fake_disk);

    d->now_ns = 1000000000ull;
    return d;
}

static void files_close(struct fake_disk *d)
{
    for (uint32_t i = 0; i < d->file_count; i++) {
        mem_give(d->files[i].path);
    }
    MEM_FREE(&d->files);
    d->file_count = 0;
}

void fake_disk_free(struct fake_disk **dp)
{
    struct fake_disk *d = *dp;

    files_close(d);
    for (uint32_t i = 0; i < d->name_count; i++) {
        mem_give(d->names[i].path);
    }
    mem_give(d->names);
    while (d->inodes != NULL) {
        struct inode *node = d->inodes;

        d->inodes = node->next;
        mem_give(node->seen);
        mem_give(node->kept);
        mem_give(node);
    }
    MEM_FREE(dp);
}

void fake_disk_set_fault(struct fake_disk *d, fake_fault_fn *fn, void *ctx)
{
    d->fault = fn;
    d->fault_ctx = ctx;
}

void fake_disk_refuse_direct(struct fake_disk *d)
{
    d->no_direct = true;
}

void fake_disk_set_capacity(struct fake_disk *d, uint64_t bytes)
{
    d->capacity = bytes;
}

void fake_disk_set_inodes(struct fake_disk *d, uint64_t total, uint64_t free)
{
    d->inodes_total = total;
    d->inodes_free = free;
}

uint64_t fake_disk_now_ns(const struct fake_disk *d)
{
    return d->now_ns;
}

void fake_disk_advance(struct fake_disk *d, uint64_t ns)
{
    d->now_ns += ns;
}

static int64_t fault(const struct fake_disk *d, enum fake_io io, const char *path, uint64_t offset,
                     uint64_t len)
{
    return d->fault != NULL ? d->fault(d->fault_ctx, io, path, offset, len) : 0;
}

/* ---- names ---- */

static struct name *name_find(const struct fake_disk *d, const char *path)
{
    for (uint32_t i = 0; i < d->name_count; i++) {
        if (strcmp(d->names[i].path, path) == 0) {
            return &d->names[i];
        }
    }
    return NULL;
}

static struct name *name_take(struct fake_disk *d, const char *path)
{
    struct name *n = name_find(d, path);

    if (n == NULL) {
        d->names = mem_grow(d->names, (d->name_count + 1) * sizeof(*d->names));
        n = &d->names[d->name_count++];
        *n = (struct name){.path = mem_copy(path, strlen(path))};
    }
    return n;
}

static struct inode *inode_new(struct fake_disk *d, bool is_dir)
{
    struct inode *node = MEM_NEW(struct inode);

    node->is_dir = is_dir;
    node->mode = is_dir ? 0700 : 0600;
    node->next = d->inodes;
    d->inodes = node;
    return node;
}

static void inode_reserve(struct inode *node, uint64_t size)
{
    if (size > node->cap) {
        uint64_t cap = size > node->cap * 2 ? size : node->cap * 2;

        node->seen = mem_grow(node->seen, cap);
        node->kept = mem_grow(node->kept, cap);
        memset(node->seen + node->cap, 0, cap - node->cap);
        memset(node->kept + node->cap, 0, cap - node->cap);
        node->cap = cap;
    }
}

static struct open_file *file_of(const struct fake_disk *d, int fd)
{
    MUST(fake_disk_has(d, fd));
    return &d->files[fd - FD_FIRST];
}

bool fake_disk_has(const struct fake_disk *d, int fd)
{
    return fd >= FD_FIRST && (uint32_t)(fd - FD_FIRST) < d->file_count &&
           d->files[fd - FD_FIRST].inode != NULL;
}

int fake_disk_open(struct fake_disk *d, const char *path, int flags)
{
    struct name *n = name_find(d, path);
    int64_t err = fault(d, FAKE_OPEN, path, 0, 0);

    if (err != 0) {
        return (int)err;
    }
    if ((flags & O_DIRECT) != 0 && d->no_direct) {
        return -EINVAL;
    }
    if (n == NULL || n->now == NULL) {
        if ((flags & O_CREAT) == 0) {
            return -ENOENT;
        }
        n = name_take(d, path);
        n->now = inode_new(d, false);
    } else if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
        return -EEXIST;
    }
    if (((flags & O_DIRECTORY) != 0) != n->now->is_dir) {
        return n->now->is_dir ? -EISDIR : -ENOTDIR;
    }
    if ((flags & O_TRUNC) != 0 && n->now->size > 0) {
        memset(n->now->seen, 0, n->now->size);
        n->now->size = 0;
    }
    d->files = mem_grow(d->files, (d->file_count + 1) * sizeof(*d->files));
    d->files[d->file_count] =
        (struct open_file){.inode = n->now, .path = mem_copy(path, strlen(path)), .flags = flags};
    return FD_FIRST + (int)d->file_count++;
}

void fake_disk_close(struct fake_disk *d, int fd)
{
    struct open_file *f;

    if (!fake_disk_has(d, fd)) {
        return; /* a descriptor from before a crash */
    }
    f = file_of(d, fd);
    if (f->inode->locked_by == fd) {
        f->inode->locked_by = 0;
    }
    f->inode = NULL;
}

static int dir_make(struct fake_disk *d, const char *path, bool in_root)
{
    struct name *n = name_take(d, path);

    if (n->now == NULL) {
        n->now = inode_new(d, true);
        n->kept = in_root ? n->now : n->kept; /* the machine came with those */
    }
    return n->now->is_dir ? 0 : -ENOTDIR;
}

int fake_disk_mkdirs(struct fake_disk *d, const char *path)
{
    int err = 0;

    for (size_t at = 1; err == 0 && path[0] != '\0'; at++) {
        if (path[at] == '/' || path[at] == '\0') {
            char *part = mem_copy(path, at);

            err = dir_make(d, part, strchr(part + 1, '/') == NULL);
            mem_give(part);
        }
        if (path[at] == '\0') {
            break;
        }
    }
    return err;
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

int fake_disk_list(struct fake_disk *d, const char *path, ring_dir_fn *fn, void *arg)
{
    const struct name *dir = name_find(d, path);

    if (dir == NULL || dir->now == NULL) {
        return -ENOENT;
    }
    for (uint32_t i = 0; i < d->name_count; i++) {
        const char *last = name_in(path, d->names[i].path);

        if (last != NULL && d->names[i].now != NULL) {
            fn(arg, slice_str(last));
        }
    }
    return 0;
}

int fake_disk_stat(struct fake_disk *d, const char *path, struct ring_file_info *out)
{
    const struct name *n = name_find(d, path);

    if (n == NULL || n->now == NULL) {
        return -ENOENT;
    }
    *out = (struct ring_file_info){.size = n->now->size,
                                   .is_dir = n->now->is_dir,
                                   .is_regular = !n->now->is_dir,
                                   .mode = n->now->mode};
    return 0;
}

int fake_disk_unlink(struct fake_disk *d, const char *path)
{
    struct name *n = name_find(d, path);
    int64_t err = fault(d, FAKE_UNLINK, path, 0, 0);

    if (err != 0) {
        return (int)err;
    }
    if (n == NULL || n->now == NULL) {
        return -ENOENT;
    }
    n->now = NULL;
    return 0;
}

int fake_disk_rename(struct fake_disk *d, const char *from, const char *to)
{
    struct name *a = name_find(d, from);
    struct inode *node;
    int64_t err = fault(d, FAKE_RENAME, from, 0, 0);

    if (err != 0) {
        return (int)err;
    }
    if (a == NULL || a->now == NULL) {
        return -ENOENT;
    }
    node = a->now;
    a->now = NULL;
    name_take(d, to)->now = node;
    return 0;
}

int fake_disk_chmod(struct fake_disk *d, const char *path, unsigned mode)
{
    struct name *n = name_find(d, path);

    if (n == NULL || n->now == NULL) {
        return -ENOENT;
    }
    n->now->mode = mode;
    return 0;
}

/* ---- bytes ---- */

static uint64_t bytes_used(const struct fake_disk *d)
{
    uint64_t used = 0;

    for (uint32_t i = 0; i < d->name_count; i++) {
        used += d->names[i].now != NULL ? d->names[i].now->size : 0;
    }
    return used;
}

int fake_disk_allocate(struct fake_disk *d, int fd, uint64_t size)
{
    struct open_file *f = file_of(d, fd);
    int64_t err = fault(d, FAKE_ALLOCATE, f->path, 0, size);

    if (err != 0) {
        return (int)err;
    }
    if (d->capacity != 0 && size > f->inode->size &&
        bytes_used(d) + (size - f->inode->size) > d->capacity) {
        return -ENOSPC;
    }
    inode_reserve(f->inode, size);
    f->inode->size = size > f->inode->size ? size : f->inode->size;
    return 0;
}

int64_t fake_disk_read(struct fake_disk *d, int fd, void *to, uint64_t len, uint64_t offset)
{
    const struct open_file *f = file_of(d, fd);
    int64_t limit = fault(d, FAKE_READ, f->path, offset, len);
    uint64_t left = offset < f->inode->size ? f->inode->size - offset : 0;

    if (limit < 0) {
        return limit;
    }
    len = len < left ? len : left;
    len = limit > 0 && (uint64_t)limit < len ? (uint64_t)limit : len;
    if (len > 0) {
        memcpy(to, f->inode->seen + offset, len);
    }
    return (int64_t)len;
}

int64_t fake_disk_write(struct fake_disk *d, int fd, const void *from, uint64_t len,
                        uint64_t offset, bool durable)
{
    const struct open_file *f = file_of(d, fd);
    struct inode *node = f->inode;
    int64_t limit = fault(d, FAKE_WRITE, f->path, offset, len);

    MUST((f->flags & O_DIRECT) == 0 || (offset % FAKE_SECTOR == 0 && len % FAKE_SECTOR == 0 &&
                                        (uintptr_t)from % FAKE_SECTOR == 0));
    if (limit < 0 && limit > FAKE_STORED(0)) {
        return limit;
    }
    len = limit > 0 && (uint64_t)limit < len ? (uint64_t)limit : len;
    inode_reserve(node, offset + len);
    memcpy(node->seen + offset, from, len);
    node->size = offset + len > node->size ? offset + len : node->size;
    if (durable) {
        memcpy(node->kept + offset, from, len);
        node->kept_size = node->size;
    }
    return limit < 0 ? limit - FAKE_STORED(0) : (int64_t)len;
}

void fake_disk_tear(struct fake_disk *d, int fd, const void *from, uint64_t len, uint64_t offset,
                    uint64_t *seed)
{
    struct inode *node;

    if (!fake_disk_has(d, fd)) {
        return;
    }
    node = file_of(d, fd)->inode;
    inode_reserve(node, offset + len);
    for (uint64_t at = 0; at < len; at += FAKE_SECTOR) {
        uint64_t n = len - at < FAKE_SECTOR ? len - at : FAKE_SECTOR;

        if (fake_random(seed) & 1) {
            memcpy(node->seen + offset + at, (const char *)from + at, n);
            memcpy(node->kept + offset + at, (const char *)from + at, n);
            if (offset + at + n > node->size) {
                node->size = offset + at + n;
                node->kept_size = node->size;
            }
        }
    }
}

int fake_disk_sync(struct fake_disk *d, int fd)
{
    struct open_file *f = file_of(d, fd);
    int64_t err = fault(d, FAKE_SYNC, f->path, 0, 0);

    if (err != 0) {
        return (int)err;
    }
    if (f->inode->is_dir) {
        for (uint32_t i = 0; i < d->name_count; i++) {
            if (name_in(f->path, d->names[i].path) != NULL) {
                d->names[i].kept = d->names[i].now;
            }
        }
        return 0;
    }
    if (f->inode->size > 0) {
        memcpy(f->inode->kept, f->inode->seen, f->inode->size);
    }
    f->inode->kept_size = f->inode->size;
    return 0;
}

int fake_disk_lock(struct fake_disk *d, int fd)
{
    struct inode *node = file_of(d, fd)->inode;

    if (node->locked_by != 0 && node->locked_by != fd) {
        return -EWOULDBLOCK;
    }
    node->locked_by = fd;
    return 0;
}

int fake_disk_space(struct fake_disk *d, struct ring_space *out)
{
    uint64_t used = bytes_used(d);

    *out = (struct ring_space){.total_bytes = d->capacity != 0 ? d->capacity : 1ull << 40,
                               .total_inodes = d->inodes_total,
                               .free_inodes = d->inodes_free};
    out->free_bytes = out->total_bytes > used ? out->total_bytes - used : 0;
    return 0;
}

/* ---- crashing ---- */

static void inode_crash(struct inode *node, uint64_t *seed)
{
    uint64_t end = node->size > node->kept_size ? node->size : node->kept_size;

    for (uint64_t at = 0; at < end; at += FAKE_SECTOR) {
        uint64_t n = end - at < FAKE_SECTOR ? end - at : FAKE_SECTOR;

        if (memcmp(node->seen + at, node->kept + at, n) == 0) {
            continue;
        }
        if (fake_random(seed) & 1) {
            memcpy(node->kept + at, node->seen + at, n);
        } else {
            memcpy(node->seen + at, node->kept + at, n);
        }
    }
    if (node->size != node->kept_size && (fake_random(seed) & 1) != 0) {
        node->kept_size = node->size;
    }
    node->size = node->kept_size;
    node->locked_by = 0;
}

static bool parent_lost(const struct fake_disk *d, const char *path)
{
    const char *slash = strrchr(path, '/');
    const struct name *parent;
    char *dir;

    if (slash == NULL || slash == path) {
        return false;
    }
    dir = mem_copy(path, (size_t)(slash - path));
    parent = name_find(d, dir);
    mem_give(dir);
    return parent != NULL && parent->now == NULL;
}

/* What stood in a folder that is gone is gone with it, however durable it was itself. */
static void orphans_drop(struct fake_disk *d)
{
    bool again = true;

    while (again) {
        again = false;
        for (uint32_t i = 0; i < d->name_count; i++) {
            struct name *n = &d->names[i];

            if (n->now != NULL && parent_lost(d, n->path)) {
                n->now = n->kept = NULL;
                again = true;
            }
        }
    }
}

void fake_disk_crash(struct fake_disk *d, uint64_t *seed)
{
    files_close(d);
    for (struct inode *node = d->inodes; node != NULL; node = node->next) {
        if (!node->is_dir) {
            inode_crash(node, seed);
        }
    }
    for (uint32_t i = 0; i < d->name_count; i++) {
        struct name *n = &d->names[i];

        if (n->now != n->kept && (fake_random(seed) & 1) != 0) {
            n->kept = n->now;
        }
        n->now = n->kept;
    }
    orphans_drop(d);
}

/* ---- looking and damaging ---- */

void fake_disk_each(const struct fake_disk *d, fake_file_fn *fn, void *ctx)
{
    for (uint32_t i = 0; i < d->name_count; i++) {
        if (d->names[i].now != NULL && !d->names[i].now->is_dir) {
            fn(ctx, d->names[i].path, d->names[i].now->size);
        }
    }
}

bool fake_disk_exists(const struct fake_disk *d, const char *path)
{
    const struct name *n = name_find(d, path);

    return n != NULL && n->now != NULL;
}

char *fake_disk_bytes(struct fake_disk *d, const char *path, uint64_t *size_out)
{
    const struct name *n = name_find(d, path);

    MUST(n != NULL && n->now != NULL);
    *size_out = n->now->size;
    return n->now->seen;
}

void fake_disk_touch(struct fake_disk *d, const char *path)
{
    const struct name *n = name_find(d, path);

    MUST(n != NULL && n->now != NULL);
    if (n->now->size > 0) {
        memcpy(n->now->kept, n->now->seen, n->now->size);
    }
    n->now->kept_size = n->now->size;
}

void fake_disk_cached(struct fake_disk *d, const char *path)
{
    const struct name *n = name_find(d, path);

    MUST(n != NULL && n->now != NULL);
    if (n->now->size > 0) {
        memset(n->now->kept, 0, n->now->size);
    }
}

void fake_disk_truncate(struct fake_disk *d, const char *path, uint64_t size)
{
    const struct name *n = name_find(d, path);

    MUST(n != NULL && n->now != NULL);
    inode_reserve(n->now, size);
    if (size < n->now->size) {
        memset(n->now->seen + size, 0, n->now->size - size);
        memset(n->now->kept + size, 0, n->now->size - size);
    }
    n->now->size = size;
    n->now->kept_size = size;
}
