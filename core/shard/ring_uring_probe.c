/* Can this host run the engine? One line for each thing that has to change. */
#include "core/shard/ring_uring_private.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#define NOFILE_MIN 1024u

void ring_uring_explain(int err, struct buf *why)
{
    struct utsname host;
    struct rlimit lock;

    switch (err) {
    case ENOSYS:
        buf_printf(why, "the kernel was built without io_uring (CONFIG_IO_URING): run a kernel "
                        "that has it, 6.1 or newer");
        break;
    case EPERM:
        buf_printf(why, "io_uring is disabled on this host: set sysctl kernel.io_uring_disabled=0, "
                        "and allow io_uring in the container's seccomp profile");
        break;
    case EINVAL:
        MUST(uname(&host) == 0);
        buf_printf(why,
                   "kernel %s is too old: io_uring with DEFER_TASKRUN needs Linux 6.1 or newer",
                   host.release);
        break;
    case ENOMEM:
        MUST(getrlimit(RLIMIT_MEMLOCK, &lock) == 0);
        buf_printf(why, "RLIMIT_MEMLOCK of %llu bytes is too small for the rings: raise it "
                        "(ulimit -l, or LimitMEMLOCK= in the unit)",
                   (unsigned long long)lock.rlim_cur);
        break;
    case EMFILE:
    case ENFILE:
        buf_printf(why, "out of file descriptors while opening the rings: raise RLIMIT_NOFILE "
                        "(ulimit -n, or LimitNOFILE= in the unit)");
        break;
    default:
        buf_printf(why, "io_uring cannot be set up: %s", strerror(err));
        break;
    }
}

static int probe_nofile(struct buf *why)
{
    struct rlimit lim;

    MUST(getrlimit(RLIMIT_NOFILE, &lim) == 0);
    if (lim.rlim_cur < lim.rlim_max) {
        lim.rlim_cur = lim.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &lim);
        MUST(getrlimit(RLIMIT_NOFILE, &lim) == 0);
    }
    if (lim.rlim_cur < NOFILE_MIN) {
        buf_printf(why, "RLIMIT_NOFILE of %llu is too small: raise it to at least %u (ulimit -n or "
                        "LimitNOFILE= in the unit)",
                   (unsigned long long)lim.rlim_cur, NOFILE_MIN);
        return -EMFILE;
    }
    return 0;
}

static int probe_opcodes(struct io_uring *io, struct buf *why)
{
    static const struct {
        int op;
        const char *name;
    } needed[] = {
        {IORING_OP_ACCEPT, "ACCEPT"},     {IORING_OP_RECV, "RECV"},
        {IORING_OP_SEND, "SEND"},         {IORING_OP_SENDMSG, "SENDMSG"},
        {IORING_OP_CONNECT, "CONNECT"},   {IORING_OP_SHUTDOWN, "SHUTDOWN"},
        {IORING_OP_MSG_RING, "MSG_RING"}, {IORING_OP_ASYNC_CANCEL, "ASYNC_CANCEL"},
    };
    struct io_uring_probe *probe = io_uring_get_probe_ring(io);
    int res = 0;

    for (size_t i = 0; probe != NULL && i < ARRAY_COUNT(needed); i++) {
        if (!io_uring_opcode_supported(probe, needed[i].op)) {
            buf_printf(why, "this kernel's io_uring lacks %s: Linux 6.1 or newer is needed",
                       needed[i].name);
            res = -EINVAL;
            break;
        }
    }
    io_uring_free_probe(probe);
    return res;
}

int ring_uring_probe(struct buf *why)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                         IORING_SETUP_SUBMIT_ALL};
    struct io_uring io;
    int res = probe_nofile(why);

    if (res < 0) {
        return res;
    }
    res = io_uring_queue_init_params(8, &io, &p);
    if (res < 0) {
        ring_uring_explain(-res, why);
        return res;
    }
    res = probe_opcodes(&io, why);
    io_uring_queue_exit(&io);
    return res;
}
