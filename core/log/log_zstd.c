#include "core/log/log_zstd.h"

#include <errno.h>
#include <zstd.h>

#include "core/base/mem.h"

#define OUT_ROOM 32768u

/* What level 0 means. Lines of log records pack smaller at level 1 than at the library's own
 * default of 3, and in half the time. */
#define DEFAULT_LEVEL 1

struct log_zstd {
    ZSTD_CCtx *cctx;
};

struct log_zstd *log_zstd_open(int level)
{
    struct log_zstd *z = MEM_NEW(struct log_zstd);

    MUST(level >= 0 && level <= LOG_ZSTD_LEVEL_MAX);
    z->cctx = ZSTD_createCCtx();
    MUST(z->cctx != NULL);
    level = level != 0 ? level : DEFAULT_LEVEL;
    MUST(!ZSTD_isError(ZSTD_CCtx_setParameter(z->cctx, ZSTD_c_compressionLevel, level)));
    MUST(!ZSTD_isError(ZSTD_CCtx_setParameter(z->cctx, ZSTD_c_checksumFlag, 1)));
    return z;
}

void log_zstd_close(struct log_zstd **zp)
{
    struct log_zstd *z = *zp;

    *zp = NULL;
    if (z != NULL) {
        (void)ZSTD_freeCCtx(z->cctx);
        mem_give(z);
    }
}

static bool pack(struct log_zstd_job *job, struct slice raw, ZSTD_EndDirective end)
{
    ZSTD_inBuffer in = {raw.ptr, raw.len, 0};
    size_t left;

    do {
        buf_reserve(&job->packed, OUT_ROOM);
        ZSTD_outBuffer out = {job->packed.ptr + job->packed.len,
                              job->packed.cap - job->packed.len, 0};

        left = ZSTD_compressStream2(job->z->cctx, &out, &in, end);
        job->packed.len += out.pos;
        if (ZSTD_isError(left)) {
            return false;
        }
    } while (end == ZSTD_e_continue ? in.pos < in.size : left != 0);
    return true;
}

int32_t log_zstd_run(void *arg)
{
    static const ZSTD_EndDirective directive[] = {
        [LOG_ZSTD_CONTINUE] = ZSTD_e_continue,
        [LOG_ZSTD_FLUSH] = ZSTD_e_flush,
        [LOG_ZSTD_END] = ZSTD_e_end,
    };
    struct log_zstd_job *job = arg;

    buf_clear(&job->packed);
    if (job->begin) {
        (void)ZSTD_CCtx_reset(job->z->cctx, ZSTD_reset_session_only);
    }
    if (job->head.len != 0 && !pack(job, job->head, ZSTD_e_continue)) {
        return -EIO;
    }
    return pack(job, job->raw, directive[job->end]) ? 0 : -EIO;
}
