/*
 * sim_shard - the ring of one shard in a simulated run, and when the shard runs next.
 *
 * Operations complete at a virtual time of their own; work for off-loop threads runs then, too.
 * A completion, mail from another shard or a timer lets the shard run again. A descriptor is the
 * lowest free number, as the kernel's are, so that one which is used too long finds a stranger.
 *
 * Owner     the life: everything here dies with the daemon's process.
 */
#pragma once

#include "core/shard/shard.h"
#include "tests/sim/sim.h"

struct disk_file;
struct net_conn;
struct net_listener;
struct shard_pending;

enum fd_kind { FD_FREE = 0, FD_FILE, FD_CONN, FD_LISTENER };

struct sim_fd {
    enum fd_kind kind;
    union {
        struct disk_file *file;
        struct net_conn *conn;
        struct net_listener *listener;
    };
};

/* Shared by the shards of a life. */
struct sim_fds {
    struct sim_fd *all;
    uint32_t count;
};

struct sim_buffers {
    char *bytes;
    uint16_t *free;
    uint32_t count, free_count;
};

struct sim_shard {
    struct sim *s;
    struct ring *ring;
    struct sim_fds *fds;
    uint32_t index;
    uint64_t run_ns;   /* when it runs next; SIM_NEVER: when something happens */
    uint64_t busy_ns;  /* it does something until then */
    bool driven;       /* by the loop of the run; before that, waiting moves the clock itself */
    bool slept, waited; /* in the turn that was the last */
    struct ring_event *ready;
    uint32_t ready_count, ready_cap;
    struct shard_pending *pending; /* operations of files and work */
    struct sim_buffers buffers[RING_GROUP_COUNT];
};

void shard_ring_open(struct sim_shard *sh, struct sim *s, struct ring *ring,
                     const struct ring_params *params);
/* One turn, and when it wants the next. */
void shard_drive(struct sim_shard *sh, struct shard *shard);
/* Lets it run, not before now. */
void shard_rouse(struct sim_shard *sh, uint64_t delay_ns);

/* For the network. */
void shard_complete(struct sim_shard *sh, struct ring_op *op, int32_t res, uint32_t flags);
bool shard_buffer_take(struct sim_shard *sh, uint8_t group, struct slice bytes, uint32_t *flags);
int shard_fd_conn(struct sim_shard *sh, struct net_conn *c);

/* At a power cut: writes under way are torn. */
void shard_tear(struct sim_shard *sh);
/* What the ring's immediate calls are; sim_shard_sys.c. */
extern const struct ring_backend sim_backend;
struct sim_fd *shard_fd(struct sim_shard *sh, int fd, enum fd_kind kind);
int shard_fd_take(struct sim_shard *sh, struct sim_fd value);
void shard_fd_give(struct sim_shard *sh, int fd);

static inline struct sim_shard *shard_of_ring(const struct ring *ring)
{
    return ring->state;
}
