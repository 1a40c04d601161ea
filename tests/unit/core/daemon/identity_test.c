/* The node id that a first start makes is there for every later one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/daemon/daemon_private.h"
#include "tests/support/fake_disk.h"
#include "tests/support/fake_ring.h"

#define NODE_FILE "/etc/nodeid"

static void name_put(void *ctx, struct buf *out)
{
    BUF_LIT(out, "relay.test");
}

static const struct daemon_host host = {.name = name_put};

/* What a start on this disk finds or makes; false: it is refused. */
static bool start(struct fake_disk *disk, struct buf *node_id)
{
    struct daemon *d = MEM_NEW(struct daemon);
    struct buf why = {0};
    bool ok;

    d->host = &host;
    d->engines[0] = mem_take_aligned(64, sizeof(struct engine));
    fake_ring_open(daemon_ring(d), disk, fake_disk_now_ns(disk));
    ok = daemon_identify(d, &why);
    buf_put(node_id, buf_slice(&d->node_id));
    buf_free(&d->node_id);
    buf_free(&d->hostname);
    buf_free(&why);
    ring_close(daemon_ring(d));
    mem_give(d->engines[0]);
    mem_give(d);
    return ok;
}

static void a_power_cut_after_the_first_start_leaves_the_node_id(void **state)
{
    for (uint64_t seed = 1; seed < 33; seed++) {
        struct fake_disk *disk = fake_disk_new();
        struct buf first = {0}, second = {0};
        uint64_t chance = seed;

        assert_int_equal(fake_disk_mkdirs(disk, "/etc"), 0);
        assert_true(start(disk, &first));
        fake_disk_crash(disk, &chance);
        fake_disk_advance(disk, 1000000000u); /* another time, another random number */
        assert_true(start(disk, &second));
        assert_int_equal(first.len, 36);
        assert_true(slice_eq(buf_slice(&first), buf_slice(&second)));
        buf_free(&first);
        buf_free(&second);
        fake_disk_free(&disk);
    }
}

static int64_t syncs_fail(void *ctx, enum fake_io io, const char *path, uint64_t offset,
                          uint64_t len)
{
    return io == FAKE_SYNC && *(bool *)ctx ? -5 : 0;
}

static void a_node_id_that_cannot_be_written_down_leaves_no_file(void **state)
{
    struct fake_disk *disk = fake_disk_new();
    struct buf first = {0}, second = {0};
    bool failing = true;

    fake_disk_set_fault(disk, syncs_fail, &failing);
    assert_true(start(disk, &first));
    assert_true(slice_starts(buf_slice(&first), SLICE("00000000-0000-1000-8000-")));
    assert_false(fake_disk_exists(disk, NODE_FILE));
    failing = false;
    assert_true(start(disk, &second));
    assert_true(fake_disk_exists(disk, NODE_FILE));
    buf_free(&first);
    buf_free(&second);
    fake_disk_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_after_the_first_start_leaves_the_node_id),
        cmocka_unit_test(a_node_id_that_cannot_be_written_down_leaves_no_file),
    };

    (void)unsetenv("KUMO_NODE_ID");
    (void)setenv("KUMO_NODE_ID_PATH", NODE_FILE, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
