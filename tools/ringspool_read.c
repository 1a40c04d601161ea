#include "tools/ringspool_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"

#define DEPTH_MAX 3u /* data path, log, segment */

static bool read_whole(const char *path, uint64_t size, char *to)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t at = 0;

    if (fd < 0) {
        return false;
    }
    while (at < size) {
        ssize_t got = pread(fd, to + at, size - at, (off_t)at);

        if (got <= 0) {
            break;
        }
        at += (uint64_t)got;
    }
    (void)close(fd);
    return at == size;
}

/* The footer stands at the end of the segment as long as the file has its full size. */
static void foot_read(struct segment_file *f)
{
    if (f->len < FORMAT_HEADER_SIZE + FORMAT_BLOCK || f->len % FORMAT_BLOCK != 0 ||
        !segment_foot_read(f->bytes + f->len - FORMAT_BLOCK, &f->foot) || f->foot.size != f->len) {
        return;
    }
    f->foot_sound =
        !f->head_sound || (f->foot.life == f->head.life && f->foot.nonce == f->head.nonce);
    f->index_sound = f->foot_sound && index_sum(f->bytes + f->foot.index_offset, f->foot.index_len,
                                                f->foot.nonce) == f->foot.index_sum;
}

static bool file_read(const char *path, uint64_t size, segment_file_fn *fn, void *ctx,
                      struct buf *why)
{
    struct segment_file f = {.path = path, .len = size};
    bool done = false;

    f.bytes = mem_take(format_up(size, FORMAT_BLOCK) + FORMAT_HEADER_SIZE);
    if (!read_whole(path, size, f.bytes)) {
        buf_printf(why, "%s: cannot read: %s\n", path, strerror(errno));
    } else {
        if (size >= FORMAT_HEADER_SIZE) {
            f.head_sound = segment_head_read(f.bytes, &f.head) == SPOOL_OK;
        }
        foot_read(&f);
        fn(ctx, &f);
        done = true;
    }
    mem_give(f.bytes);
    return done;
}

static int name_order(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool wanted(const char *name)
{
    struct slice s = slice_str(name);

    return slice_starts(s, SLICE("log-")) || slice_starts(s, SLICE("seg-"));
}

static bool path_read(const char *path, unsigned depth, segment_file_fn *fn, void *ctx,
                      struct buf *why)
{
    struct dirent **names = NULL;
    struct stat st;
    bool done = true;
    int count;

    if (stat(path, &st) != 0) {
        buf_printf(why, "%s: %s\n", path, strerror(errno));
        return false;
    }
    if (S_ISREG(st.st_mode)) {
        return file_read(path, (uint64_t)st.st_size, fn, ctx, why);
    }
    if (depth == DEPTH_MAX) {
        return true;
    }
    count = scandir(path, &names, NULL, name_order);
    if (count < 0) {
        buf_printf(why, "%s: %s\n", path, strerror(errno));
        return false;
    }
    for (int i = 0; i < count; i++) {
        struct buf below = {0};

        if (wanted(names[i]->d_name)) {
            buf_printf(&below, "%s/%s", path, names[i]->d_name);
            buf_char(&below, '\0');
            done &= path_read(below.ptr, depth + 1, fn, ctx, why);
        }
        buf_free(&below);
        mem_give(names[i]);
    }
    mem_give(names);
    return done;
}

bool segment_files_each(const char *path, segment_file_fn *fn, void *ctx, struct buf *why)
{
    return path_read(path, 0, fn, ctx, why);
}

static void commit_ignored(void *ctx, const struct commit_head *head, uint64_t offset)
{
    (void)ctx;
    (void)head;
    (void)offset;
}

bool segment_file_in_use(const struct segment_file *f)
{
    return !f->head_sound || f->head.use == SEGMENT_USE_OPEN;
}

uint32_t segment_file_log(const struct segment_file *f)
{
    return f->head_sound ? f->head.log : f->foot.log;
}

bool segment_file_scan(struct segment_file *f, void *ctx,
                       void (*on_commit)(void *ctx, const struct commit_head *head,
                                         uint64_t offset),
                       void (*on_entry)(void *ctx, const struct scan_entry *entry))
{
    struct segment_ident ident = {.log = f->head.log,
                                  .id = f->head.id,
                                  .life = f->head.life,
                                  .nonce = f->head.nonce,
                                  .size = f->head.size};

    if (!f->head_sound && !f->foot_sound) {
        return false;
    }
    if (!f->head_sound) {
        ident = (struct segment_ident){.log = f->foot.log,
                                       .id = f->foot.id,
                                       .life = f->foot.life,
                                       .nonce = f->foot.nonce,
                                       .size = f->foot.size};
    }
    scan_begin(&f->scan, &ident);
    f->scan.end = f->len < ident.size ? f->len : ident.size;
    f->scan.ctx = ctx;
    f->scan.on_commit = on_commit != NULL ? on_commit : commit_ignored;
    f->scan.on_entry = on_entry;
    return f->scan.end <= f->scan.at || scan_window(&f->scan, f->bytes, 0, f->len);
}
