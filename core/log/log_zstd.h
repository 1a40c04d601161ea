/*
 * log_zstd - one growing zstd frame. The only user of libzstd.
 *
 * Owner     one stream. While a job is with a worker nobody else touches the job, its buffers or
 *           the frame.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

#define LOG_ZSTD_LEVEL_MAX 21

struct log_zstd; /* opaque */

struct log_zstd *log_zstd_open(int level); /* 0: our default */
void log_zstd_close(struct log_zstd **zp); /* NULL is accepted */

enum log_zstd_end {
    LOG_ZSTD_CONTINUE = 0, /* what fits no block yet may stay inside */
    LOG_ZSTD_FLUSH,        /* everything so far can be decompressed from what came out */
    LOG_ZSTD_END,          /* the frame is complete; the next job begins another */
};

struct log_zstd_job {
    struct log_zstd *z;
    bool begin;             /* forget an unfinished frame first */
    struct slice head, raw; /* in this order */
    enum log_zstd_end end;
    struct buf packed;      /* cleared, then filled */
};

/* Runs on a worker: a ring_work_fn. 0, or -EIO when the library refuses. */
int32_t log_zstd_run(void *job);
