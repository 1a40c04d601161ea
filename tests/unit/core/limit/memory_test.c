/* Limits of memory, the texts of the host they come from, and what a watch makes of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "core/limit/memory.h"
#include "tests/support/fake_ring.h"

#define NONE MEMORY_UNLIMITED

struct row {
    const char *name;
    struct memory_host host;
    uint64_t hard, soft, low; /* asked for */
    struct memory_limits want;
};

#define HOST(all, rs, rh, max, high)                                                               \
    {.total = (all), .rlimit_soft = (rs), .rlimit_hard = (rh), .cgroup_max = (max),                \
     .cgroup_high = (high)}
#define NO_WISH .hard = NONE, .soft = NONE, .low = NONE

static const struct row rows[] = {
    {"all memory", HOST(1000, NONE, NONE, NONE, NONE), NO_WISH, {1000, 750, 600}},
    {"a cgroup's maximum", HOST(1000, NONE, NONE, 400, NONE), NO_WISH, {400, 300, 240}},
    {"a cgroup's high mark", HOST(1000, NONE, NONE, 400, 200), NO_WISH, {400, 200, 160}},
    {"a smaller rlimit", HOST(1000, 100, 200, 400, 300), NO_WISH, {200, 100, 80}},
    {"a soft limit", HOST(1000, NONE, NONE, NONE, NONE), .hard = NONE, .soft = 80000, .low = NONE,
     {1000, 80000, 64000}},
    {"a hard limit", HOST(1000, NONE, NONE, NONE, NONE), .hard = 400, .soft = NONE, .low = NONE,
     {400, 300, 240}},
    {"a low threshold", HOST(1000, NONE, NONE, NONE, NONE), .hard = NONE, .soft = 500, .low = 7,
     {1000, 500, 7}},
    {"nothing is known", HOST(NONE, NONE, NONE, NONE, NONE), NO_WISH, {NONE, NONE, NONE}},
    {"nothing is allowed", HOST(1000, NONE, NONE, NONE, NONE), .hard = NONE, .soft = 0, .low = NONE,
     {1000, 0, 0}},
};

static void limits_come_from_the_policy_then_from_the_host(void **state)
{
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct memory_wishes wishes;
        struct memory_limits got;

        memory_wishes_init(&wishes);
        atomic_store(&wishes.hard, rows[i].hard);
        atomic_store(&wishes.soft, rows[i].soft);
        atomic_store(&wishes.low, rows[i].low);
        got = memory_limits_of(&rows[i].host, &wishes);
        if (memcmp(&got, &rows[i].want, sizeof(got)) != 0) {
            print_error("%s: %llu %llu %llu\n", rows[i].name, (unsigned long long)got.hard,
                        (unsigned long long)got.soft, (unsigned long long)got.low);
            wrong_count++;
        }
    }
    assert_int_equal(wrong_count, 0);
}

static void the_state_follows_what_is_used(void **state)
{
    const struct memory_limits limits = {.hard = 100, .soft = 80, .low = 64};
    const struct memory_limits tight = {.hard = 50, .soft = 80, .low = 64};
    const struct memory_limits none = {.hard = NONE, .soft = NONE, .low = NONE};
    const struct memory_limits zero = {.hard = 100, .soft = 0, .low = 0};

    assert_int_equal(memory_judge(&limits, 64), MEMORY_OK);
    assert_int_equal(memory_judge(&limits, 65), MEMORY_LOW);
    assert_int_equal(memory_judge(&limits, 79), MEMORY_LOW);
    assert_int_equal(memory_judge(&limits, 80), MEMORY_NONE);
    assert_int_equal(memory_judge(&tight, 50), MEMORY_NONE);
    assert_int_equal(memory_judge(&none, NONE - 1), MEMORY_OK);
    assert_int_equal(memory_judge(&zero, 0), MEMORY_NONE);
    assert_int_equal(memory_gate_state(NULL), MEMORY_OK);
}

static void fields_are_found_by_their_whole_name(void **state)
{
    const struct slice text = SLICE("anon_thp 1\nanon 4096\nMemTotal:       16 kB\nbad x\nshort");
    uint64_t value = 0;

    assert_true(memory_text_field(text, SLICE("anon"), &value));
    assert_int_equal(value, 4096);
    assert_true(memory_text_field(text, SLICE("MemTotal"), &value));
    assert_int_equal(value, 16384);
    assert_false(memory_text_field(text, SLICE("bad"), &value));
    assert_false(memory_text_field(text, SLICE("short"), &value));
    assert_false(memory_text_field(text, SLICE("file"), &value));
}

static void the_cgroup_of_memory_is_found(void **state)
{
    const struct slice text = SLICE("12:cpu,cpuacct:/a\n5:hugetlb,memory:/b:c\nnonsense\n0::/d\n");
    struct slice path;

    assert_true(memory_text_cgroup(text, MEMORY_CGROUP_V2, &path));
    assert_true(slice_eq(path, SLICE("/d")));
    assert_true(memory_text_cgroup(text, MEMORY_CGROUP_V1, &path));
    assert_true(slice_eq(path, SLICE("/b:c")));
    assert_false(memory_text_cgroup(SLICE("1:cpu:/a\n"), MEMORY_CGROUP_V1, &path));
}

/* ---- a watch on a host of the test's own ---- */

#define GROUP "/sys/fs/cgroup/d"

struct bench {
    struct memory_watch watch; /* first: changed() finds the bench by it */
    struct fake_disk *disk;
    struct shard shard;
    struct shard *shards[1];
    struct shard_group group;
    struct memory_host host;
    struct memory_wishes wishes;
    struct memory_gate gate;
    unsigned changed_count;
};

static void file_put(struct bench *b, const char *path, const char *text)
{
    int fd = fake_disk_open(b->disk, path, O_CREAT | O_RDWR);

    assert_true(fd >= 0);
    fake_disk_truncate(b->disk, path, 0);
    assert_int_equal(fake_disk_write(b->disk, fd, text, strlen(text), 0, false), strlen(text));
    fake_disk_close(b->disk, fd);
}

static void noted(struct memory_watch *w)
{
    ((struct bench *)w)->changed_count++;
}

static void bench_open(struct bench *b)
{
    *b = (struct bench){.disk = fake_disk_new()};
    b->shards[0] = &b->shard;
    b->group = (struct shard_group){.count = 1, .shards = b->shards};
    fake_ring_open(&b->shard.ring, b->disk, 1);
    shard_init(&b->shard, &b->group, 0);
    (void)fake_disk_mkdirs(b->disk, "/proc/self");
    (void)fake_disk_mkdirs(b->disk, GROUP);
    file_put(b, "/proc/self/cgroup", "0::/d\n");
    file_put(b, "/proc/self/statm", "900 70 30 1 0 40 0\n");
    file_put(b, "/proc/meminfo", "MemTotal: 1000 kB\n");
    memory_wishes_init(&b->wishes);
    b->watch = (struct memory_watch){.shard = &b->shard,
                                     .host = &b->host,
                                     .wishes = &b->wishes,
                                     .gate = &b->gate,
                                     .changed = noted};
}

static void bench_close(struct bench *b)
{
    memory_watch_stop(&b->watch);
    fake_ring_run(&b->shard);
    ring_close(&b->shard.ring);
    mail_free(&b->shard);
    fake_disk_free(&b->disk);
}

static void sample(struct bench *b)
{
    fake_disk_advance(b->disk, (MEMORY_SAMPLE_MS + 1) * UINT64_C(1000000));
    fake_ring_run(&b->shard);
}

static void group_put(struct bench *b, const char *max, const char *current, const char *stat)
{
    file_put(b, GROUP "/memory.max", max);
    file_put(b, GROUP "/memory.high", "max\n");
    file_put(b, GROUP "/memory.current", current);
    file_put(b, GROUP "/memory.stat", stat);
}

static void without_a_cgroup_limit_resident_memory_counts(void **state)
{
    struct bench b;
    uint64_t used;

    bench_open(&b);
    group_put(&b, "max\n", "5000\n", "anon 1\ninactive_file 1\n");
    memory_host_read(&b.host, &b.shard.ring);
    assert_int_equal(b.host.total, 1024000);
    assert_int_equal(b.host.cgroup, MEMORY_CGROUP_NONE);
    assert_true(memory_host_used(&b.host, &b.shard.ring, &used));
    assert_int_equal(used, 70 * sysconf(_SC_PAGESIZE));
    bench_close(&b);
}

static void with_a_cgroup_limit_the_cgroup_counts(void **state)
{
    struct bench b;
    uint64_t used;

    bench_open(&b);
    group_put(&b, "9000\n", "5000\n", "anon 300\ninactive_file 4000\n");
    memory_host_read(&b.host, &b.shard.ring);
    assert_int_equal(b.host.cgroup_max, 9000);
    assert_int_equal(b.host.cgroup_high, NONE);
    assert_true(memory_host_used(&b.host, &b.shard.ring, &used));
    assert_int_equal(used, 1000);
    file_put(&b, GROUP "/memory.stat", "anon 1200\ninactive_file 4000\n");
    assert_true(memory_host_used(&b.host, &b.shard.ring, &used));
    assert_int_equal(used, 1200);
    file_put(&b, GROUP "/memory.stat", "nothing\n");
    assert_true(memory_host_used(&b.host, &b.shard.ring, &used));
    assert_int_equal(used, 5000);
    bench_close(&b);
}

#define INNER_GROUP "/sys/fs/cgroup/d/e"

struct nested_row {
    const char *name, *own_max, *own_high, *parent_max, *parent_high;
    const char *dir; /* where usage counts; NULL: in no cgroup */
    uint64_t max, high;
};

static const struct nested_row nested_rows[] = {
    {"neither has one", "max\n", "max\n", "max\n", "max\n", NULL, NONE, NONE},
    {"only the parent", "max\n", "max\n", "9000\n", "max\n", GROUP, 9000, NONE},
    {"only its own", "9000\n", "max\n", "max\n", "max\n", INNER_GROUP, 9000, NONE},
    {"the parent's is lower", "9000\n", "max\n", "8000\n", "max\n", GROUP, 8000, NONE},
    {"its own is lower", "7000\n", "max\n", "8000\n", "max\n", INNER_GROUP, 7000, NONE},
    {"both alike", "7000\n", "max\n", "7000\n", "max\n", INNER_GROUP, 7000, NONE},
    {"its own high mark is lowest", "9000\n", "5000\n", "8000\n", "max\n", INNER_GROUP, 8000,
     5000},
    {"the parent's high mark is lowest", "9000\n", "8000\n", "max\n", "6000\n", GROUP, 9000,
     6000},
};

static void the_limit_of_a_cgroup_holds_for_those_below_it(void **state)
{
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(nested_rows); i++) {
        const struct nested_row *r = &nested_rows[i];
        struct bench b;

        bench_open(&b);
        (void)fake_disk_mkdirs(b.disk, INNER_GROUP);
        file_put(&b, "/proc/self/cgroup", "0::/d/e\n");
        file_put(&b, INNER_GROUP "/memory.max", r->own_max);
        file_put(&b, INNER_GROUP "/memory.high", r->own_high);
        file_put(&b, GROUP "/memory.max", r->parent_max);
        file_put(&b, GROUP "/memory.high", r->parent_high);
        memory_host_read(&b.host, &b.shard.ring);
        if (b.host.cgroup_max != r->max || b.host.cgroup_high != r->high ||
            strcmp(b.host.cgroup_path, r->dir != NULL ? r->dir : "") != 0) {
            print_error("%s: %llu %llu %s\n", r->name, (unsigned long long)b.host.cgroup_max,
                        (unsigned long long)b.host.cgroup_high, b.host.cgroup_path);
            wrong_count++;
        }
        bench_close(&b);
    }
    assert_int_equal(wrong_count, 0);
}

static void a_path_that_leads_nowhere_stands_for_the_mount(void **state)
{
    struct bench b;

    bench_open(&b);
    file_put(&b, "/proc/self/cgroup", "0::/of/the/host\n");
    file_put(&b, "/sys/fs/cgroup/memory.max", "3000\n");
    memory_host_read(&b.host, &b.shard.ring);
    assert_int_equal(b.host.cgroup_max, 3000);
    assert_string_equal(b.host.cgroup_path, "/sys/fs/cgroup");
    bench_close(&b);
}

static void the_gate_closes_and_opens_by_itself(void **state)
{
    struct bench b;

    bench_open(&b);
    group_put(&b, "9000\n", "5000\n", "anon 1\ninactive_file 1\n");
    memory_host_read(&b.host, &b.shard.ring);
    memory_watch_start(&b.watch);
    assert_int_equal(memory_gate_state(&b.gate), MEMORY_OK);
    file_put(&b, GROUP "/memory.current", "6000\n");
    sample(&b);
    assert_int_equal(memory_gate_state(&b.gate), MEMORY_LOW);
    assert_int_equal(b.changed_count, 0);
    file_put(&b, GROUP "/memory.current", "8000\n");
    sample(&b);
    assert_int_equal(memory_gate_state(&b.gate), MEMORY_NONE);
    assert_int_equal(b.changed_count, 1);
    sample(&b);
    assert_int_equal(b.changed_count, 1);
    assert_int_equal(b.watch.over_count, 1);
    file_put(&b, GROUP "/memory.current", "what\n"); /* nobody knows: as it was */
    sample(&b);
    assert_int_equal(memory_gate_state(&b.gate), MEMORY_NONE);
    file_put(&b, GROUP "/memory.current", "100\n");
    sample(&b);
    assert_int_equal(memory_gate_state(&b.gate), MEMORY_OK);
    assert_int_equal(b.changed_count, 2);
    atomic_store(&b.wishes.soft, 50); /* at the next sample */
    sample(&b);
    assert_int_equal(memory_gate_state(&b.gate), MEMORY_NONE);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_come_from_the_policy_then_from_the_host),
        cmocka_unit_test(the_state_follows_what_is_used),
        cmocka_unit_test(fields_are_found_by_their_whole_name),
        cmocka_unit_test(the_cgroup_of_memory_is_found),
        cmocka_unit_test(without_a_cgroup_limit_resident_memory_counts),
        cmocka_unit_test(with_a_cgroup_limit_the_cgroup_counts),
        cmocka_unit_test(the_limit_of_a_cgroup_holds_for_those_below_it),
        cmocka_unit_test(a_path_that_leads_nowhere_stands_for_the_mount),
        cmocka_unit_test(the_gate_closes_and_opens_by_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
