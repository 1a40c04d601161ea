/*
 * mem - the only callers of malloc and free. Running out is not survivable, so no call here
 * answers NULL: bounds belong to the callers, which refuse work before memory is short.
 */
#pragma once

#include <stddef.h>

#include "core/base/attr.h"

/* Once, before any thread: freed memory stays at hand for a moment before the system has it back.
 * A load takes again what it gave milliseconds ago, and each page that went away meanwhile costs a
 * fault and an interrupt of the other cores. */
void mem_setup(void);

void *mem_take(size_t size);                     /* uninitialised */
void *mem_take_zero(size_t size);                /* zeroed */
void *mem_take_aligned(size_t align, size_t size); /* zeroed; align is a power of two */
void *mem_grow(void *ptr, size_t size);
void *mem_copy(const void *bytes, size_t len);   /* len bytes and a NUL after them */
/* Gives what the calling thread has free back to the system; takes long. */
void mem_purge(void);
void mem_give(void *ptr);                        /* NULL is accepted */

#define MEM_NEW(type) ((type *)mem_take_zero(sizeof(type)))
/* Frees and clears: MEM_FREE(&obj->name). */
#define MEM_FREE(pp) (mem_give(*(pp)), *(pp) = NULL)
