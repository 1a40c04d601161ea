#include "core/base/mem.h"

#include <malloc.h>
#include <mimalloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"

/* Sanitizer builds and unit tests are linked with another allocator. */
#pragma weak mi_collect
#pragma weak mi_option_set

#define KEEP_FREED_MS 100

void mem_setup(void)
{
    if (mi_option_set != NULL) {
        mi_option_set(mi_option_decommit_delay, KEEP_FREED_MS);
        mi_option_set(mi_option_segment_decommit_delay, KEEP_FREED_MS);
    }
}

void *mem_take(size_t size)
{
    void *ptr = malloc(size != 0 ? size : 1);

    MUST(ptr != NULL);
    return ptr;
}

void *mem_take_zero(size_t size)
{
    void *ptr = calloc(1, size != 0 ? size : 1);

    MUST(ptr != NULL);
    return ptr;
}

void *mem_take_aligned(size_t align, size_t size)
{
    size_t rounded = (size + align - 1) & ~(align - 1);
    void *ptr = aligned_alloc(align, rounded != 0 ? rounded : align);

    MUST(ptr != NULL);
    memset(ptr, 0, rounded);
    return ptr;
}

void *mem_grow(void *ptr, size_t size)
{
    void *grown = realloc(ptr, size != 0 ? size : 1);

    MUST(grown != NULL);
    return grown;
}

void *mem_copy(const void *bytes, size_t len)
{
    char *copy = mem_take(len + 1);

    if (len != 0) {
        memcpy(copy, bytes, len);
    }
    copy[len] = '\0';
    return copy;
}

void mem_give(void *ptr)
{
    free(ptr);
}

void mem_purge(void)
{
    if (mi_collect != NULL) {
        mi_collect(true);
    } else {
        (void)malloc_trim(0);
    }
}
