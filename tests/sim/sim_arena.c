#include "tests/sim/sim_arena.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/check.h"

#define CLASS_MIN 5u /* 32 bytes */
#define HEAD_SIZE 4096u

_Static_assert(sizeof(struct sim_arena) <= HEAD_SIZE, "it describes itself in its first page");

struct sim_arena *sim_arena_open(size_t size)
{
    int fd = memfd_create("ringsim", MFD_CLOEXEC);
    struct sim_arena *a;

    MUST(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    MUST(a != MAP_FAILED);
    a->size = size;
    a->used = HEAD_SIZE;
    a->fd = fd;
    return a;
}

bool arena_fork(struct sim_arena *a)
{
    return mmap(a, a->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, a->fd,
                0) == a;
}

void sim_arena_reset(struct sim_arena *a)
{
    size_t size = a->size;
    int fd = a->fd;

    MUST(madvise(a, size, MADV_REMOVE) == 0);
    a->size = size;
    a->used = HEAD_SIZE;
    a->fd = fd;
}

static uint32_t class_of(size_t size)
{
    uint32_t c = CLASS_MIN;

    while (((size_t)1 << c) < size) {
        c++;
    }
    MUST(c < ARENA_CLASSES);
    return c;
}

void *sim_arena_take(struct sim_arena *a, size_t size)
{
    uint32_t c = class_of(size);
    void *ptr = a->free[c];

    if (ptr != NULL) {
        memcpy(&a->free[c], ptr, sizeof(ptr));
        memset(ptr, 0, size);
        return ptr;
    }
    MUST(a->used + ((size_t)1 << c) <= a->size);
    ptr = (char *)a + a->used;
    a->used += (size_t)1 << c;
    return ptr;
}

void sim_arena_give(struct sim_arena *a, void *ptr, size_t size)
{
    uint32_t c = class_of(size);

    if (ptr != NULL) {
        memcpy(ptr, &a->free[c], sizeof(ptr));
        a->free[c] = ptr;
    }
}

void *sim_arena_grow(struct sim_arena *a, void *ptr, size_t old_size, size_t size)
{
    void *grown = sim_arena_take(a, size);

    if (ptr != NULL) {
        memcpy(grown, ptr, old_size < size ? old_size : size);
        sim_arena_give(a, ptr, old_size);
    }
    return grown;
}

void bytes_put(struct sim_arena *a, struct sim_bytes *b, struct slice s)
{
    if (b->start > 0 && b->start + b->len + s.len > b->cap) {
        memmove(b->ptr, b->ptr + b->start, b->len);
        b->start = 0;
    }
    if (b->len + s.len > b->cap) {
        size_t cap = b->cap * 2 > b->len + s.len ? b->cap * 2 : b->len + s.len;

        b->ptr = sim_arena_grow(a, b->ptr, b->cap, cap);
        b->cap = cap;
    }
    if (s.len > 0) {
        memcpy(b->ptr + b->start + b->len, s.ptr, s.len);
        b->len += s.len;
    }
}

void bytes_drop(struct sim_bytes *b, size_t n)
{
    MUST(n <= b->len);
    b->start += n;
    b->len -= n;
    if (b->len == 0) {
        b->start = 0;
    }
}

void bytes_free(struct sim_arena *a, struct sim_bytes *b)
{
    sim_arena_give(a, b->ptr, b->cap);
    *b = (struct sim_bytes){0};
}
