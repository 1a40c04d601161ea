/* SIGTERM and SIGINT: the first drains, the second ends at once. */
#include "core/daemon/daemon_private.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void signal_arm(struct daemon *d)
{
    ring_poll(daemon_ring(d), &d->signal_poll, d->signal_fd, POLLIN);
}

static void signal_polled(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct daemon *d = CONTAINER_OF(op, struct daemon, signal_poll);
    struct signalfd_siginfo info;

    if (res < 0) {
        return; /* cancelled: the daemon is at its end */
    }
    while (read(d->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (d->stopping) { /* what was accepted is durable, but for deferred_spool */
            diag_warn(&d->engines[0]->diag, "kumod", "second signal: ending at once%s",
                      setup_defers(&d->setup) ? "; mail of deferred_spool listeners that is not "
                                                "written yet is lost"
                                              : "");
            _exit(1);
        }
        daemon_stop(d, strsignal((int)info.ssi_signo));
    }
    signal_arm(d);
}

bool daemon_signals_open(struct daemon *d, struct buf *why)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0) {
        BUF_LIT(why, "signals cannot be blocked");
        return false;
    }
    d->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (d->signal_fd < 0) {
        buf_printf(why, "signalfd: %s", strerror(errno));
        return false;
    }
    return true;
}

void daemon_signals_start(struct daemon *d)
{
    d->signal_poll.done = signal_polled;
    signal_arm(d);
}
