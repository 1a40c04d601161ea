#include "core/base/arena.h"

#include "core/base/check.h"
#include "core/base/mem.h"

#define CHUNK_SIZE_FIRST 1024u
#define CHUNK_SIZE_MAX 65536u
#define OBJECT_ALIGN 8u

struct arena_chunk {
    struct arena_chunk *older;
    size_t used, cap;
    char bytes[];
};
_Static_assert(offsetof(struct arena_chunk, bytes) % OBJECT_ALIGN == 0, "the first is aligned");

void arena_free(struct arena *a)
{
    struct arena_chunk *older;

    for (struct arena_chunk *chunk = a->newest; chunk != NULL; chunk = older) {
        older = chunk->older;
        mem_give(chunk);
    }
    a->newest = NULL;
}

static struct arena_chunk *chunk_add(struct arena *a, size_t cap)
{
    struct arena_chunk *chunk;

    MUST(cap <= SIZE_MAX - sizeof(*chunk));
    chunk = mem_take(sizeof(*chunk) + cap);
    *chunk = (struct arena_chunk){.older = a->newest, .cap = cap};
    a->newest = chunk;
    return chunk;
}

static size_t next_cap(const struct arena *a)
{
    size_t cap = a->newest != NULL ? a->newest->cap * 2 : CHUNK_SIZE_FIRST;

    return cap < CHUNK_SIZE_MAX ? cap : CHUNK_SIZE_MAX;
}

void arena_reserve(struct arena *a, size_t size)
{
    if (a->newest == NULL || a->newest->cap - a->newest->used < size) {
        (void)chunk_add(a, size);
    }
}

static void *take(struct arena *a, size_t size, size_t align)
{
    struct arena_chunk *chunk = a->newest;
    size_t at = chunk != NULL ? (chunk->used + align - 1) & ~(align - 1) : 0;

    if (chunk == NULL || at > chunk->cap || chunk->cap - at < size) {
        size_t cap = next_cap(a);

        chunk = chunk_add(a, cap < size ? size : cap);
        at = 0;
    }
    chunk->used = at + size;
    return chunk->bytes + at;
}

void *arena_take(struct arena *a, size_t size)
{
    return take(a, size, OBJECT_ALIGN);
}

void *arena_take_zero(struct arena *a, size_t size)
{
    return memset(take(a, size, OBJECT_ALIGN), 0, size);
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    if (s.len == 0) {
        return SLICE("");
    }
    return slice_of(memcpy(take(a, s.len, 1), s.ptr, s.len), s.len);
}
