/* The synchronous part of the io_uring backend: sockets, start-up files, clocks, randomness. */
#include "core/shard/ring_uring_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"

/* ---- sockets ---- */

socklen_t uring_sockaddr(const struct ip_port *addr, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (addr->ip.family == IP_V6) {
        struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)out;

        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(addr->port);
        memcpy(&sin6->sin6_addr, addr->ip.bytes, 16);
        return sizeof(*sin6);
    }

    struct sockaddr_in *sin = (struct sockaddr_in *)out;

    sin->sin_family = AF_INET;
    sin->sin_port = htons(addr->port);
    memcpy(&sin->sin_addr, addr->ip.bytes, 4);
    return sizeof(*sin);
}

static void from_sockaddr(const struct sockaddr_storage *from, struct ip_port *out)
{
    *out = (struct ip_port){0};
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)from;

        out->ip.family = IP_V6;
        out->port = ntohs(sin6->sin6_port);
        memcpy(out->ip.bytes, &sin6->sin6_addr, 16);
    } else if (from->ss_family == AF_INET) {
        const struct sockaddr_in *sin = (const struct sockaddr_in *)from;

        out->ip.family = IP_V4;
        out->port = ntohs(sin->sin_port);
        memcpy(out->ip.bytes, &sin->sin_addr, 4);
    }
}

/* Not sent yet and kept for a socket. The kernel would take megabytes, and take more only when a
 * third of them is gone: on a slow line nobody could tell for minutes whether it moves. */
#define NOT_SENT_MAX 262144

int uring_sock_open(struct ring *ring, int family)
{
    const int one = 1, not_sent_max = NOT_SENT_MAX;
    int fd = socket(family == IP_V6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -errno;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &not_sent_max, sizeof(not_sent_max));
    return fd;
}

int uring_sock_bind(struct ring *ring, int fd, const struct ip_port *addr)
{
    const int one = 1;
    struct sockaddr_storage ss;
    socklen_t len = uring_sockaddr(addr, &ss);

    /* The port is chosen at connect, so that one address serves more than 28,000 peers. */
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    return bind(fd, (struct sockaddr *)&ss, len) == 0 ? 0 : -errno;
}

int uring_sock_listen(struct ring *ring, const struct ip_port *addr, int backlog, bool shares)
{
    const int one = 1, before = shares;
    struct sockaddr_storage ss;
    socklen_t len = uring_sockaddr(addr, &ss);
    int fd = uring_sock_open(ring, addr->ip.family);

    if (fd < 0) {
        return fd;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    /* ORDER The kernel refuses an address in use unless both sides share it while the second one
     * binds: who wants to be the first begins to share when it has the address. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &before, sizeof(before));
    if (bind(fd, (struct sockaddr *)&ss, len) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0 ||
        listen(fd, backlog) != 0) {
        int err = errno;

        close(fd);
        return -err;
    }
    return fd;
}

int uring_sock_names(struct ring *ring, int fd, struct ip_port *local, struct ip_port *peer)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    if (local != NULL) {
        if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0) {
            return -errno;
        }
        from_sockaddr(&ss, local);
    }
    if (peer != NULL) {
        len = sizeof(ss);
        if (getpeername(fd, (struct sockaddr *)&ss, &len) != 0) {
            return -errno;
        }
        from_sockaddr(&ss, peer);
    }
    return 0;
}

/* ---- start-up files ---- */

int uring_fs_open(struct ring *ring, const char *path, int flags, unsigned mode)
{
    int fd = open(path, flags | O_CLOEXEC, mode);

    return fd >= 0 ? fd : -errno;
}

void uring_fs_close(struct ring *ring, int fd)
{
    close(fd);
}

int uring_fs_mkdirs(struct ring *ring, const char *path, unsigned mode)
{
    char *copy = mem_copy(path, strlen(path));
    int res = 0;

    for (char *at = copy + 1; res == 0; at++) {
        if (*at == '/' || *at == '\0') {
            char was = *at;

            *at = '\0';
            if (mkdir(copy, mode) != 0 && errno != EEXIST) {
                res = -errno;
            }
            *at = was;
            if (was == '\0') {
                break;
            }
        }
    }
    mem_give(copy);
    return res;
}

int uring_fs_list(struct ring *ring, const char *path, ring_dir_fn *fn, void *arg)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    if (dir == NULL) {
        return -errno;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            fn(arg, slice_str(entry->d_name));
        }
    }
    closedir(dir);
    return 0;
}

int uring_fs_stat(struct ring *ring, const char *path, struct ring_file_info *out)
{
    struct stat st;

    if (stat(path, &st) != 0) {
        return -errno;
    }
    *out = (struct ring_file_info){
        .size = (uint64_t)st.st_size,
        .is_dir = S_ISDIR(st.st_mode),
        .is_regular = S_ISREG(st.st_mode),
        .mode = st.st_mode & 07777,
    };
    return 0;
}

int uring_fs_unlink(struct ring *ring, const char *path)
{
    return unlink(path) == 0 ? 0 : -errno;
}

int uring_fs_rename(struct ring *ring, const char *from, const char *to)
{
    return rename(from, to) == 0 ? 0 : -errno;
}

int uring_fs_chmod(struct ring *ring, const char *path, unsigned mode)
{
    return chmod(path, mode) == 0 ? 0 : -errno;
}

int uring_fs_allocate(struct ring *ring, int fd, uint64_t size)
{
    return fallocate(fd, 0, 0, (off_t)size) == 0 ? 0 : -errno;
}

int64_t uring_fs_pread(struct ring *ring, int fd, void *to, size_t len, uint64_t offset)
{
    ssize_t got = pread(fd, to, len, (off_t)offset);

    return got >= 0 ? got : -errno;
}

int64_t uring_fs_pwrite(struct ring *ring, int fd, const void *from, size_t len, uint64_t offset)
{
    ssize_t put = pwrite(fd, from, len, (off_t)offset);

    return put >= 0 ? put : -errno;
}

int uring_fs_sync(struct ring *ring, int fd)
{
    return fsync(fd) == 0 ? 0 : -errno;
}

int uring_fs_lock(struct ring *ring, int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : -errno;
}

int uring_fs_space(struct ring *ring, const char *path, struct ring_space *out)
{
    struct statvfs vfs;

    if (statvfs(path, &vfs) != 0) {
        return -errno;
    }
    *out = (struct ring_space){
        .total_bytes = (uint64_t)vfs.f_blocks * vfs.f_frsize,
        .free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize,
        .total_inodes = vfs.f_files,
        .free_inodes = vfs.f_favail,
    };
    return 0;
}

/* ---- time and randomness ---- */

static uint64_t clock_read_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t uring_clock_ns(struct ring *ring)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

uint64_t uring_wall_clock_ns(struct ring *ring)
{
    return clock_read_ns(CLOCK_REALTIME);
}

void uring_random_seed(struct uring *u)
{
    while (getrandom(u->random_state, sizeof(u->random_state), 0) !=
           (ssize_t)sizeof(u->random_state)) {
    }
    u->random_state[0] |= 1; /* xorshift must not start at zero */
}

uint64_t uring_random(struct ring *ring) /* xorshift128+ */
{
    uint64_t *s = ((struct uring *)ring->state)->random_state;
    uint64_t a = s[0], b = s[1];

    s[0] = b;
    a ^= a << 23;
    s[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return s[1] + b;
}
