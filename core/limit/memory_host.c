#include "core/limit/memory_host.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/shard/ring.h"

#define TEXT_MAX 16384u
#define CGROUP_ROOT "/sys/fs/cgroup"
#define V1_UNLIMITED (UINT64_C(1) << 62) /* v1 says "none" by a number beyond this */

/* ---- texts ---- */

static struct slice next_line(struct slice *rest)
{
    size_t end = slice_find_char(*rest, '\n');
    struct slice line = slice_head(*rest, end);

    *rest = slice_from(*rest, end < rest->len ? end + 1 : end);
    return line;
}

static struct slice skip_blanks(struct slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s = slice_from(s, 1);
    }
    return s;
}

bool memory_text_field(struct slice text, struct slice name, uint64_t *out)
{
    while (text.len > 0) {
        struct slice line = next_line(&text), value;
        size_t end;

        if (!slice_starts(line, name) || line.len == name.len) {
            continue;
        }
        value = slice_from(line, name.len);
        if (value.ptr[0] != ' ' && value.ptr[0] != ':') {
            continue; /* a longer name */
        }
        value = skip_blanks(slice_from(value, 1));
        end = slice_find_char(value, ' ');
        if (!slice_to_u64(slice_head(value, end), out)) {
            return false;
        }
        if (slice_eq(slice_from(value, end), SLICE(" kB"))) {
            *out *= 1024;
        }
        return true;
    }
    return false;
}

static bool list_has(struct slice list, struct slice word)
{
    while (list.len > 0) {
        size_t end = slice_find_char(list, ',');

        if (slice_eq(slice_head(list, end), word)) {
            return true;
        }
        list = slice_from(list, end < list.len ? end + 1 : end);
    }
    return false;
}

bool memory_text_cgroup(struct slice text, enum memory_cgroup version, struct slice *path)
{
    while (text.len > 0) {
        struct slice line = next_line(&text), controllers;
        size_t colon = slice_find_char(line, ':');

        if (colon == line.len) {
            continue;
        }
        line = slice_from(line, colon + 1);
        colon = slice_find_char(line, ':');
        if (colon == line.len) {
            continue;
        }
        controllers = slice_head(line, colon);
        if (version == MEMORY_CGROUP_V2 ? controllers.len == 0
                                        : list_has(controllers, SLICE("memory"))) {
            *path = slice_from(line, colon + 1);
            return true;
        }
    }
    return false;
}

/* ---- files ---- */

/* A file of the directory (NULL: `name` is a path); false when it cannot be read. */
static bool text_read(struct ring *ring, const char *dir, const char *name, struct buf *out)
{
    struct buf path = {0};
    int64_t got = -1;
    int fd;

    buf_printf(&path, "%s%s%s", dir != NULL ? dir : "", dir != NULL ? "/" : "", name);
    buf_char(&path, '\0');
    fd = ring->backend->fs_open(ring, path.ptr, O_RDONLY, 0);
    buf_clear(out);
    if (fd >= 0) {
        buf_reserve(out, TEXT_MAX);
        got = ring->backend->fs_pread(ring, fd, out->ptr, TEXT_MAX, 0);
        ring->backend->fs_close(ring, fd);
    }
    buf_free(&path);
    out->len = got > 0 ? (size_t)got : 0;
    return got > 0;
}

/* A number alone in a file; "max" is no limit. */
static uint64_t number_read(struct ring *ring, const char *dir, const char *name)
{
    struct buf text = {0};
    uint64_t value = MEMORY_UNLIMITED;

    if (text_read(ring, dir, name, &text)) {
        struct slice rest = buf_slice(&text);

        if (!slice_to_u64(next_line(&rest), &value)) {
            value = MEMORY_UNLIMITED;
        }
    }
    buf_free(&text);
    return value;
}

/* ---- the cgroup ---- */

struct cgroup_names {
    const char *mount, *max, *high, *current;
    const char *inactive_file, *anon; /* of memory.stat */
};

static const struct cgroup_names names_of[] = {
    [MEMORY_CGROUP_V2] = {CGROUP_ROOT, "memory.max", "memory.high", "memory.current",
                          "inactive_file", "anon"},
    [MEMORY_CGROUP_V1] = {CGROUP_ROOT "/memory", "memory.limit_in_bytes",
                          "memory.soft_limit_in_bytes", "memory.usage_in_bytes",
                          "total_inactive_file", "total_rss"},
};

static uint64_t limit_read(struct ring *ring, const char *dir, const char *name)
{
    uint64_t value = number_read(ring, dir, name);

    return value >= V1_UNLIMITED ? MEMORY_UNLIMITED : value;
}

/* The limits of one directory, where they are below those found so far. Usage is read where the
 * lowest of all limits holds. */
static void cgroup_look(struct memory_host *h, struct ring *ring, enum memory_cgroup version,
                        struct slice path)
{
    const struct cgroup_names *names = &names_of[version];
    uint64_t lowest = h->cgroup_max < h->cgroup_high ? h->cgroup_max : h->cgroup_high;
    struct buf dir = {0};

    buf_printf(&dir, "%s%.*s", names->mount, SLICE_ARG(path));
    buf_char(&dir, '\0');
    if (dir.len <= sizeof(h->cgroup_path)) {
        uint64_t max = limit_read(ring, dir.ptr, names->max);
        uint64_t high = limit_read(ring, dir.ptr, names->high);

        if (max < lowest || high < lowest) {
            h->cgroup = (uint8_t)version;
            memcpy(h->cgroup_path, dir.ptr, dir.len);
        }
        h->cgroup_max = max < h->cgroup_max ? max : h->cgroup_max;
        h->cgroup_high = high < h->cgroup_high ? high : h->cgroup_high;
    }
    buf_free(&dir);
}

/* The limit of a cgroup holds for all below it. In a container the path may be that of the host
 * and lead nowhere; then the mount, where the climb ends, is what the container is in. */
static void cgroup_climb(struct memory_host *h, struct ring *ring, enum memory_cgroup version,
                         struct slice path)
{
    cgroup_look(h, ring, version, path);
    while (path.len > 0) {
        path.len--;
        if (path.ptr[path.len] == '/') {
            cgroup_look(h, ring, version, path);
        }
    }
}

static void cgroup_find(struct memory_host *h, struct ring *ring)
{
    struct buf text = {0};
    struct slice path;

    h->cgroup_max = h->cgroup_high = MEMORY_UNLIMITED;
    if (text_read(ring, NULL, "/proc/self/cgroup", &text)) {
        for (int v = MEMORY_CGROUP_V2; v <= MEMORY_CGROUP_V1; v++) {
            if (h->cgroup == MEMORY_CGROUP_NONE &&
                memory_text_cgroup(buf_slice(&text), (enum memory_cgroup)v, &path)) {
                cgroup_climb(h, ring, (enum memory_cgroup)v, path);
            }
        }
    }
    buf_free(&text);
}

/* ---- the host ---- */

void memory_host_read(struct memory_host *h, struct ring *ring)
{
    struct buf text = {0};
    struct rlimit rss;

    *h = (struct memory_host){.total = MEMORY_UNLIMITED};
    MUST(getrlimit(RLIMIT_RSS, &rss) == 0);
    h->rlimit_soft = rss.rlim_cur == RLIM_INFINITY ? MEMORY_UNLIMITED : rss.rlim_cur;
    h->rlimit_hard = rss.rlim_max == RLIM_INFINITY ? MEMORY_UNLIMITED : rss.rlim_max;
    if (!text_read(ring, NULL, "/proc/meminfo", &text) ||
        !memory_text_field(buf_slice(&text), SLICE("MemTotal"), &h->total)) {
        h->total = MEMORY_UNLIMITED;
    }
    buf_free(&text);
    cgroup_find(h, ring);
}

static bool cgroup_used(const struct memory_host *h, struct ring *ring, uint64_t *out)
{
    const struct cgroup_names *names = &names_of[h->cgroup];
    uint64_t current = number_read(ring, h->cgroup_path, names->current);
    uint64_t inactive, anon;
    struct buf text = {0};

    if (current == MEMORY_UNLIMITED) {
        return false;
    }
    *out = current;
    if (text_read(ring, h->cgroup_path, "memory.stat", &text) &&
        memory_text_field(buf_slice(&text), slice_str(names->inactive_file), &inactive) &&
        memory_text_field(buf_slice(&text), slice_str(names->anon), &anon)) {
        current = current > inactive ? current - inactive : 0;
        *out = current > anon ? current : anon;
    }
    buf_free(&text);
    return true;
}

/* The second number of statm, in pages. */
static bool resident(struct ring *ring, uint64_t *out)
{
    struct buf text = {0};
    bool ok = text_read(ring, NULL, "/proc/self/statm", &text);

    if (ok) {
        struct slice rest = buf_slice(&text);

        rest = skip_blanks(slice_from(rest, slice_find_char(rest, ' ')));
        ok = slice_to_u64(slice_head(rest, slice_find_char(rest, ' ')), out);
        *out *= (uint64_t)sysconf(_SC_PAGESIZE);
    }
    buf_free(&text);
    return ok;
}

bool memory_host_used(const struct memory_host *h, struct ring *ring, uint64_t *out)
{
    *out = 0;
    return h->cgroup != MEMORY_CGROUP_NONE ? cgroup_used(h, ring, out) : resident(ring, out);
}
