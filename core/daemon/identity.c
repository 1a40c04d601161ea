/* Who this node is: host name, node id, and the user it runs as. */
#include "core/daemon/daemon_private.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/uuid.h"

#define NODE_ID_PATH "/opt/kumomta/etc/.nodeid"
#define NODE_TEXT 36u

/* The first hardware address that is not all zero; the host id where there is none. */
struct mac_search {
    struct ring *ring;
    uint8_t *mac;
    bool found;
};

static void mac_look(void *arg, struct slice name)
{
    struct mac_search *search = arg;
    struct buf path = {0};
    char text[32];
    unsigned b[6];
    int64_t got = -1;
    int fd;

    buf_printf(&path, "/sys/class/net/%.*s/address%c", SLICE_ARG(name), '\0');
    fd = search->ring->backend->fs_open(search->ring, path.ptr, O_RDONLY, 0);
    if (fd >= 0) {
        got = search->ring->backend->fs_pread(search->ring, fd, text, sizeof(text) - 1, 0);
        search->ring->backend->fs_close(search->ring, fd);
    }
    buf_free(&path);
    if (search->found || got < 17) {
        return;
    }
    text[got] = '\0';
    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) == 6 &&
        (b[0] | b[1] | b[2] | b[3] | b[4] | b[5]) != 0) {
        for (size_t i = 0; i < 6; i++) {
            search->mac[i] = (uint8_t)b[i];
        }
        search->found = true;
    }
}

static void find_mac(struct daemon *d)
{
    struct mac_search search = {.ring = daemon_ring(d), .mac = d->node};
    uint64_t host = (uint64_t)gethostid();

    (void)search.ring->backend->fs_list(search.ring, "/sys/class/net", mac_look, &search);
    if (!search.found) {
        memcpy(d->node, &host, sizeof(d->node));
    }
}

static bool node_id_from_file(struct daemon *d, const char *path, bool *absent, struct buf *why)
{
    struct ring *ring = daemon_ring(d);
    char text[64];
    struct uuid id;
    int64_t got;
    int fd = ring->backend->fs_open(ring, path, O_RDONLY, 0);

    *absent = fd == -ENOENT || fd == -ENOTDIR;
    if (fd < 0) {
        if (!*absent) {
            buf_printf(why, "node id file %s: %s", path, strerror(-fd));
        }
        return false;
    }
    got = ring->backend->fs_pread(ring, fd, text, sizeof(text), 0);
    ring->backend->fs_close(ring, fd);
    if (got < 0 || !uuid_parse(slice_of(text, (size_t)got), &id)) {
        buf_printf(why, "node id file %s does not hold exactly a UUID", path);
        return false;
    }
    uuid_put(&d->node_id, &id);
    return true;
}

static bool file_write(struct ring *ring, const char *path, struct slice text)
{
    const struct ring_backend *io = ring->backend;
    int fd = io->fs_open(ring, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    bool ok;

    if (fd < 0) {
        return false;
    }
    ok = io->fs_pwrite(ring, fd, text.ptr, text.len, 0) == (int64_t)text.len &&
         io->fs_sync(ring, fd) == 0;
    io->fs_close(ring, fd);
    return ok;
}

static void folder_sync(struct ring *ring, const char *path)
{
    struct buf folder = {0};
    int fd;

    buf_put(&folder, slice_str(path));
    while (folder.len > 0 && folder.ptr[folder.len - 1] != '/') {
        folder.len--;
    }
    folder.len -= folder.len > 1;
    buf_char(&folder, '\0');
    fd = ring->backend->fs_open(ring, folder.ptr, O_RDONLY | O_DIRECTORY, 0);
    if (fd >= 0) {
        (void)ring->backend->fs_sync(ring, fd);
        ring->backend->fs_close(ring, fd);
    }
    buf_free(&folder);
}

/* Absent: a random one, written there; where that is refused, one made of the hardware address.
 * The file has its name when it is whole, because one that is not whole refuses every start. */
static void node_id_make(struct daemon *d, const char *path)
{
    struct ring *ring = daemon_ring(d);
    struct uuid id = uuid_v4(ring_random(ring), ring_random(ring));
    struct buf fresh = {0};

    buf_printf(&fresh, "%s.new%c", path, '\0');
    uuid_put(&d->node_id, &id);
    if (file_write(ring, fresh.ptr, buf_slice(&d->node_id)) &&
        ring->backend->fs_rename(ring, fresh.ptr, path) == 0) {
        folder_sync(ring, path);
    } else {
        (void)ring->backend->fs_unlink(ring, fresh.ptr);
        buf_clear(&d->node_id);
        buf_printf(&d->node_id, "00000000-0000-1000-8000-%02x%02x%02x%02x%02x%02x", d->node[0],
                   d->node[1], d->node[2], d->node[3], d->node[4], d->node[5]);
    }
    buf_free(&fresh);
}

static bool find_node_id(struct daemon *d, struct buf *why)
{
    const char *given = getenv("KUMO_NODE_ID");
    const char *path = getenv("KUMO_NODE_ID_PATH");
    struct uuid id;
    bool absent;

    if (given != NULL) {
        if (!uuid_parse(slice_str(given), &id)) {
            buf_printf(why, "KUMO_NODE_ID=%s is not a UUID", given);
            return false;
        }
        uuid_put(&d->node_id, &id);
        return true;
    }
    path = path != NULL ? path : NODE_ID_PATH;
    if (node_id_from_file(d, path, &absent, why)) {
        return true;
    }
    if (!absent) {
        return false;
    }
    node_id_make(d, path);
    return true;
}

bool daemon_identify(struct daemon *d, struct buf *why)
{
    d->host->name(d->host->ctx, &d->hostname);
    find_mac(d);
    return find_node_id(d, why);
}

static int set_capabilities(uint32_t low)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = low, .permitted = low}};

    return (int)syscall(SYS_capset, &header, data);
}

bool daemon_drop_privileges(struct daemon *d, struct buf *why)
{
    const char *user = d->options->user;
    struct passwd *entry;

    if (user == NULL) {
        if (geteuid() == 0 && !d->options->validate) {
            BUF_LIT(why, "When running as root, you must set --user to the user to run as");
            return false;
        }
        return true;
    }
    entry = getpwnam(user);
    if (entry == NULL) {
        buf_printf(why, "Invalid user %s", user);
        return false;
    }
    if (geteuid() != 0) {
        if (entry->pw_uid != geteuid()) {
            buf_printf(why, "Invalid user %s: only root may become another user", user);
            return false;
        }
        return true;
    }
    if (entry->pw_uid == 0) {
        return true;
    }
    if (prctl(PR_SET_KEEPCAPS, 1) != 0 || setgroups(0, NULL) != 0 ||
        setgid(entry->pw_gid) != 0 || setuid(entry->pw_uid) != 0 ||
        set_capabilities(UINT32_C(1) << CAP_NET_BIND_SERVICE) != 0) {
        buf_printf(why, "becoming user %s: %s", user, strerror(errno));
        return false;
    }
    return true;
}

void daemon_drop_capabilities(void)
{
    if (geteuid() != 0) {
        (void)set_capabilities(0);
    }
}
