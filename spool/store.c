#include "spool/store.h"

#include <errno.h>
#include <fcntl.h>

#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/format.h"
#include "spool/log.h"
#include "spool/store_files.h"

#define SEGMENT_SIZE_DEFAULT (64ull * 1024 * 1024)
#define SEGMENT_SIZE_MEMORY (16ull * 1024 * 1024)
#define RESERVE_DEFAULT 2u
#define STAGING_DEFAULT (32ull * 1024 * 1024)
/* The other half of the names is for what cannot be put off: withdrawals, changed envelopes. */
#define BACKLOG_COMMITS_DEFAULT (LOC_COMMIT_MAX / 2)
#define LOG_NUMBER_MAX 65535u
#define BOOT_MAX ((1u << (64 - STORE_BOOT_SHIFT)) - 2)

/* ---- limits ---- */

/* An empty segment must have room for its header, its footer, and a commit with its index, which
 * is never longer than the commit: hence a fifth for the longest entry. */
static void limits_set(struct store_limits *l, const struct spool_params *params)
{
    uint64_t size = params->segment_size;

    if (size == 0) {
        size = params->durability == SPOOL_MEMORY ? SEGMENT_SIZE_MEMORY : SEGMENT_SIZE_DEFAULT;
    }
    size = size < FORMAT_SEGMENT_MIN ? FORMAT_SEGMENT_MIN : size;
    size = size > FORMAT_SEGMENT_MAX ? FORMAT_SEGMENT_MAX : size;
    l->segment_size = format_up(size, FORMAT_BLOCK);
    l->entry_max = (uint32_t)(l->segment_size / 5);
    if (l->entry_max > FORMAT_ENTRY_MAX) {
        l->entry_max = FORMAT_ENTRY_MAX;
    }
    l->atomic_max = l->entry_max < SPOOL_ATOMIC_MAX ? l->entry_max : SPOOL_ATOMIC_MAX;
    l->chunk_size = l->atomic_max - (uint32_t)sizeof(struct entry_head);
    /* Behind a transaction of the longest kind there is room for the settles that came along. */
    l->commit_cap = (uint32_t)format_up(
        sizeof(struct commit_head) + l->atomic_max + l->atomic_max / 8, FORMAT_BLOCK);
    l->reserve_segments =
        params->reserve_segments != 0 ? params->reserve_segments : RESERVE_DEFAULT;
    l->staging_bytes_max =
        params->staging_bytes_max != 0 ? params->staging_bytes_max : STAGING_DEFAULT;
    l->backlog_commits_max =
        params->backlog_commits_max != 0 ? params->backlog_commits_max : BACKLOG_COMMITS_DEFAULT;
}

/* ---- which logs there are ---- */

static bool number_parse(struct slice name, struct slice head, int base, uint32_t *out)
{
    uint64_t value = 0;

    if (!slice_starts(name, head) || name.len == head.len || name.len > head.len + 8) {
        return false;
    }
    for (size_t i = head.len; i < name.len; i++) {
        char c = name.ptr[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : base;

        if (digit >= base) {
            return false;
        }
        value = value * (uint64_t)base + (uint64_t)digit;
    }
    *out = (uint32_t)value;
    return value <= UINT32_MAX;
}

struct listing {
    struct spool_store *store;
    uint32_t path;
    struct store_log *log;
};

static struct store_log *store_log_add(struct spool_store *store, uint32_t number, uint32_t path)
{
    struct store_log *log;
    struct buf dir = {0};

    store->logs = mem_grow(store->logs, (store->log_count + 1) * sizeof(*store->logs));
    log = &store->logs[store->log_count++];
    *log = (struct store_log){.number = number, .path = path};
    if (path < store->data_count) {
        buf_printf(&dir, "%s/log-%04u", store->data[path].path, number);
        log->dir = mem_copy(dir.ptr, dir.len);
        buf_free(&dir);
    } else {
        log->dir = mem_copy("", 0);
    }
    return log;
}

static void log_found(void *arg, struct slice name)
{
    struct listing *l = arg;
    uint32_t number;

    if (number_parse(name, SLICE("log-"), 10, &number) && number <= LOG_NUMBER_MAX) {
        (void)store_log_add(l->store, number, l->path);
    }
}

static void segment_listed(void *arg, struct slice name)
{
    struct store_log *log = ((struct listing *)arg)->log;
    uint32_t id;

    if (number_parse(name, SLICE("seg-"), 16, &id)) {
        log->segment_ids =
            mem_grow(log->segment_ids, (log->segment_count + 1) * sizeof(*log->segment_ids));
        log->segment_ids[log->segment_count++] = id;
    }
}

static bool number_used(const struct spool_store *store, uint32_t number)
{
    for (uint32_t i = 0; i < store->log_count; i++) {
        if (store->logs[i].number == number) {
            return true;
        }
    }
    return false;
}

/* The lowest log of this path that belongs to this shard takes its new mail. */
static struct store_log *primary_pick(struct spool_store *store, uint32_t shard, uint32_t path)
{
    struct store_log *pick = NULL;

    for (uint32_t i = 0; i < store->log_count; i++) {
        struct store_log *log = &store->logs[i];

        if (log->path == path && log->number % store->params.shard_count == shard &&
            (pick == NULL || log->number < pick->number)) {
            pick = log;
        }
    }
    return pick;
}

static void primaries_set(struct spool_store *store, uint32_t path_count)
{
    for (uint32_t path = 0; path < path_count; path++) {
        for (uint32_t shard = 0; shard < store->params.shard_count; shard++) {
            struct store_log *log = primary_pick(store, shard, path);
            uint32_t number = shard;

            while (log == NULL && number_used(store, number)) {
                number += store->params.shard_count;
            }
            if (log == NULL) {
                log = store_log_add(store, number, path);
            }
            log->primary = true;
        }
    }
}

/* Directories of new logs, segments of old ones, marks. */
static enum spool_err logs_prepare(struct spool_store *store, struct buf *why)
{
    struct ring *ring = store->ring;

    for (uint32_t i = 0; i < store->log_count; i++) {
        struct store_log *log = &store->logs[i];
        struct listing l = {.store = store, .log = log};
        struct buf path = {0};
        uint32_t version;
        int err = ring->backend->fs_mkdirs(ring, log->dir, 0700);

        /* A file that was removed and still has its name on disk would come back. */
        err = err != 0 ? err : store_folder_sync(ring, log->dir);
        err = err != 0 ? err : ring->backend->fs_list(ring, log->dir, segment_listed, &l);
        if (err != 0) {
            buf_printf(why, "%s: cannot use: %s", log->dir, strerror(-err));
            return SPOOL_E_CONFIG;
        }
        store_mark_path(log->dir, &path);
        buf_char(&path, '\0');
        if (store_file_read(ring, path.ptr, &log->mark, &version) != 0) {
            log->mark = 0; /* then more log records are written twice */
        }
        buf_free(&path);
    }
    for (uint32_t i = 0; i < store->data_count; i++) {
        int err = store_folder_sync(ring, store->data[i].path);

        if (err != 0) {
            buf_printf(why, "%s: cannot sync: %s", store->data[i].path, strerror(-err));
            return SPOOL_E_CONFIG;
        }
    }
    return SPOOL_OK;
}

static enum spool_err logs_find(struct spool_store *store, struct buf *why)
{
    for (uint32_t path = 0; path < store->data_count; path++) {
        struct listing l = {.store = store, .path = path};
        int err = store->ring->backend->fs_list(store->ring, store->data[path].path, log_found, &l);

        if (err != 0) {
            buf_printf(why, "%s: cannot list: %s", store->data[path].path, strerror(-err));
            return SPOOL_E_CONFIG;
        }
    }
    for (uint32_t i = 0; i < store->log_count; i++) {
        for (uint32_t k = i + 1; k < store->log_count; k++) {
            if (store->logs[i].number == store->logs[k].number) {
                buf_printf(why, "log %u exists twice: %s and %s", store->logs[i].number,
                           store->logs[i].dir, store->logs[k].dir);
                return SPOOL_E_CONFIG;
            }
        }
    }
    primaries_set(store, store->data_count);
    return logs_prepare(store, why);
}

/* The boot that wrote a segment's header; 0 when it cannot be told. */
static uint32_t segment_boot(struct ring *ring, const char *dir, uint32_t id, char *block)
{
    struct segment_head head = {0};
    struct buf path = {0};
    int64_t got = 0;
    int fd;

    buf_printf(&path, "%s/seg-%08x", dir, id);
    buf_char(&path, '\0');
    fd = ring->backend->fs_open(ring, path.ptr, O_RDONLY | O_CLOEXEC, 0);
    buf_free(&path);
    if (fd >= 0) {
        got = ring->backend->fs_pread(ring, fd, block, FORMAT_HEADER_SIZE, 0);
        ring->backend->fs_close(ring, fd);
    }
    return got == FORMAT_HEADER_SIZE && segment_head_read(block, &head) == SPOOL_OK ? head.boot : 0;
}

/* Numbers must grow from boot to boot even when the file that counts them was lost. */
static uint32_t boot_seen(struct spool_store *store)
{
    char *block = mem_take_aligned(FORMAT_BLOCK, FORMAT_HEADER_SIZE);
    uint32_t boot = 0;

    for (uint32_t i = 0; i < store->log_count; i++) {
        const struct store_log *log = &store->logs[i];
        uint32_t marked = (uint32_t)(log->mark >> STORE_BOOT_SHIFT);

        boot = marked > boot ? marked : boot;
        for (uint32_t k = 0; k < log->segment_count; k++) {
            uint32_t wrote = segment_boot(store->ring, log->dir, log->segment_ids[k], block);

            boot = wrote > boot ? wrote : boot;
        }
    }
    mem_give(block);
    return boot;
}

static bool boot_counted(struct spool_store *store)
{
    struct buf path = {0};
    uint64_t boot;
    uint32_t version;
    int err;

    buf_printf(&path, "%s/format", store->meta.path);
    buf_char(&path, '\0');
    err = store_file_read(store->ring, path.ptr, &boot, &version);
    buf_free(&path);
    return err == 0;
}

/* ---- open and close ---- */

static void store_paths_set(struct spool_store *store)
{
    const struct spool_params *p = &store->params;

    store->data_count = p->data_path_count;
    store->data = mem_take_zero(p->data_path_count * sizeof(*store->data));
    for (uint32_t i = 0; i < p->data_path_count; i++) {
        store->data[i].path = mem_copy(p->data_paths[i].ptr, p->data_paths[i].len);
        store->data[i].lock_fd = -1;
    }
    store->meta.path = mem_copy(p->meta_path.ptr, p->meta_path.len);
    store->meta.lock_fd = -1;
}

static void store_guards_set(struct spool_store *store)
{
    const struct spool_params *p = &store->params;

    store->guard_count = p->guard_count;
    store->guards = mem_take_zero(p->guard_count * sizeof(*store->guards));
    for (uint32_t i = 0; i < p->guard_count; i++) {
        store->guards[i] = (struct store_guard){
            .path = mem_copy(p->guards[i].path.ptr, p->guards[i].path.len),
            .space = p->guards[i].space,
            .inodes = p->guards[i].inodes,
        };
    }
}

static bool meta_is_data(const struct spool_store *store)
{
    for (uint32_t i = 0; i < store->data_count; i++) {
        if (strcmp(store->data[i].path, store->meta.path) == 0) {
            return true;
        }
    }
    return false;
}

static enum spool_err store_open_files(struct spool_store *store, struct buf *why)
{
    bool direct = store->params.durability == SPOOL_FSYNC_GROUP;
    enum spool_err err = SPOOL_OK;

    if (!meta_is_data(store)) {
        err = store_path_open(store->ring, &store->meta, false, why);
    }
    for (uint32_t i = 0; err == SPOOL_OK && i < store->data_count; i++) {
        err = store_path_open(store->ring, &store->data[i], direct, why);
    }
    if (err == SPOOL_OK) {
        err = logs_find(store, why);
    }
    if (err == SPOOL_OK) {
        store->boot = boot_counted(store) ? 0 : boot_seen(store);
        err = store_boot(store->ring, store->meta.path, &store->boot, why);
    }
    if (err == SPOOL_OK && store->boot > BOOT_MAX) {
        buf_printf(why, "%s: the boot count is used up", store->meta.path);
        err = SPOOL_E_CONFIG;
    }
    return err;
}

enum spool_err spool_store_open(struct ring *ring, const struct spool_params *params,
                                struct spool_store **out, struct buf *why)
{
    struct spool_store *store = MEM_NEW(struct spool_store);
    enum spool_err err = SPOOL_OK;

    MUST(params->shard_count > 0);
    store->ring = ring;
    store->params = *params;
    limits_set(&store->limits, params);
    store_guards_set(store);
    if (params->durability == SPOOL_MEMORY) {
        store->boot = 1 + (uint32_t)(ring_random(ring) % 65535);
        primaries_set(store, 1);
    } else if (params->data_path_count == 0 || params->meta_path.len == 0) {
        buf_printf(why, "No spools have been defined");
        err = SPOOL_E_CONFIG;
    } else {
        store_paths_set(store);
        err = store_open_files(store, why);
    }
    store->params.data_paths = NULL;
    store->params.meta_path = slice_of(NULL, 0);
    store->params.guards = NULL;
    if (err != SPOOL_OK) {
        spool_store_close(&store);
    }
    *out = store;
    return err;
}

static void store_path_close(struct ring *ring, struct store_path *path)
{
    if (path->lock_fd >= 0) {
        ring->backend->fs_close(ring, path->lock_fd);
    }
    mem_give(path->path);
}

void spool_store_close(struct spool_store **storep)
{
    struct spool_store *store = *storep;

    if (store == NULL) {
        return;
    }
    for (uint32_t i = 0; i < store->data_count; i++) {
        store_path_close(store->ring, &store->data[i]);
    }
    if (store->meta.path != NULL) {
        store_path_close(store->ring, &store->meta);
    }
    for (uint32_t i = 0; i < store->guard_count; i++) {
        mem_give(store->guards[i].path);
    }
    mem_give(store->guards);
    for (uint32_t i = 0; i < store->log_count; i++) {
        mem_give(store->logs[i].dir);
        mem_give(store->logs[i].segment_ids);
    }
    mem_give(store->logs);
    mem_give(store->data);
    MEM_FREE(storep);
}

uint32_t spool_store_boot_count(const struct spool_store *store)
{
    return store->boot;
}

void spool_store_describe(const struct spool_store *store, struct buf *out)
{
    static const char *const modes[] = {"fsync-group", "os-cache", "memory"};
    bool direct = true;

    buf_printf(out, "%s", modes[store->params.durability]);
    if (store->params.durability == SPOOL_MEMORY) {
        buf_printf(out, ", accepted mail is lost at exit");
        return;
    }
    for (uint32_t i = 0; i < store->data_count; i++) {
        direct &= store->data[i].direct;
    }
    if (store->params.durability == SPOOL_FSYNC_GROUP) {
        buf_printf(out, direct ? ", O_DIRECT" : ", O_DIRECT refused: buffered writes with O_DSYNC");
    } else {
        buf_printf(out, ", accepted mail survives the process, not the machine");
    }
    buf_printf(out, ", %u path%s", store->data_count, store->data_count == 1 ? "" : "s");
}

/* ---- marks ---- */

void store_mark_path(const char *log_dir, struct buf *out)
{
    buf_printf(out, "%s/mark", log_dir);
}

int store_mark_write(struct ring *ring, const char *log_dir, uint64_t mark)
{
    return store_file_write(ring, log_dir, "mark", mark);
}
