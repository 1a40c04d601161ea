#include "core/message/zone.h"

#include "core/base/mem.h"
#include "core/message/zone_rule.h"

#define HEADER_SIZE 44u
#define TYPES_MAX 256u
#define DAY_S 86400

struct zone {
    bool has_rule;
    struct zone_rule rule; /* after the last transition */
    int32_t first_offset_s;
    size_t transition_count;
    int64_t *at_s;      /* when */
    int32_t *offset_s;  /* from then on */
};

/* The counts of a TZif header, in its order. */
struct tzif_counts {
    uint32_t isut, isstd, leap, transition, type, abbreviation;
};

static uint64_t get_be(const char *from, size_t count)
{
    uint64_t value = 0;

    for (size_t i = 0; i < count; i++) {
        value = value << 8 | (unsigned char)from[i];
    }
    return value;
}

static bool cut_header(struct slice *in, uint8_t *version, struct tzif_counts *n)
{
    if (in->len < HEADER_SIZE || !slice_starts(*in, SLICE("TZif"))) {
        return false;
    }
    *version = (uint8_t)in->ptr[4];
    *n = (struct tzif_counts){
        .isut = (uint32_t)get_be(in->ptr + 20, 4),
        .isstd = (uint32_t)get_be(in->ptr + 24, 4),
        .leap = (uint32_t)get_be(in->ptr + 28, 4),
        .transition = (uint32_t)get_be(in->ptr + 32, 4),
        .type = (uint32_t)get_be(in->ptr + 36, 4),
        .abbreviation = (uint32_t)get_be(in->ptr + 40, 4),
    };
    *in = slice_from(*in, HEADER_SIZE);
    return n->transition <= ZONE_TRANSITIONS_MAX && n->type >= 1 && n->type <= TYPES_MAX &&
           n->abbreviation <= 4096 && n->leap <= 4096 && n->isut <= n->type &&
           n->isstd <= n->type;
}

static size_t block_size(const struct tzif_counts *n, size_t time_size)
{
    return (size_t)n->transition * (time_size + 1) + (size_t)n->type * 6 + n->abbreviation +
           (size_t)n->leap * (time_size + 4) + n->isstd + n->isut;
}

static int32_t type_offset(const char *types, uint8_t type)
{
    return (int32_t)(uint32_t)get_be(types + 6u * type, 4);
}

static int64_t get_time(const char *from, size_t time_size)
{
    return time_size == 8 ? (int64_t)get_be(from, 8) : (int32_t)(uint32_t)get_be(from, 4);
}

/* The block is whole: its size was checked. */
static struct zone *read_block(const char *block, const struct tzif_counts *n, size_t time_size)
{
    size_t count = n->transition;
    const char *indexes = block + count * time_size;
    const char *types = indexes + count;
    struct zone *z = mem_take_zero(sizeof(*z) + count * (sizeof(int64_t) + sizeof(int32_t)));

    z->at_s = (int64_t *)(void *)(z + 1);
    z->offset_s = (int32_t *)(void *)(z->at_s + count);
    z->transition_count = count;
    z->first_offset_s = type_offset(types, 0);
    for (size_t i = 0; i < count; i++) {
        uint8_t type = (uint8_t)indexes[i];

        z->at_s[i] = get_time(block + i * time_size, time_size);
        if (type >= n->type || (i > 0 && z->at_s[i] <= z->at_s[i - 1])) {
            mem_give(z);
            return NULL;
        }
        z->offset_s[i] = type_offset(types, type);
    }
    return z;
}

/* The footer: LF, a rule or nothing, LF. */
static bool read_footer(struct zone *z, struct slice in)
{
    size_t end;

    if (in.len < 2 || in.ptr[0] != '\n') {
        return false;
    }
    in = slice_from(in, 1);
    end = slice_find_char(in, '\n');
    if (end == in.len) {
        return false;
    }
    z->has_rule = end != 0;
    return end == 0 || zone_rule_parse(slice_head(in, end), &z->rule);
}

bool zone_parse(struct slice tzif, struct zone **out)
{
    struct tzif_counts n;
    uint8_t version;
    size_t time_size = 4;
    struct zone *z;

    if (!cut_header(&tzif, &version, &n)) {
        return false;
    }
    if (version >= '2') { /* the first block is for readers of version 1 */
        size_t skip = block_size(&n, 4);

        if (tzif.len < skip) {
            return false;
        }
        tzif = slice_from(tzif, skip);
        time_size = 8;
        if (!cut_header(&tzif, &version, &n)) {
            return false;
        }
    }
    if (tzif.len < block_size(&n, time_size) ||
        (z = read_block(tzif.ptr, &n, time_size)) == NULL) {
        return false;
    }
    if (version >= '2' && !read_footer(z, slice_from(tzif, block_size(&n, time_size)))) {
        mem_give(z);
        return false;
    }
    *out = z;
    return true;
}

void zone_free(struct zone **zp)
{
    MEM_FREE(zp);
}

int32_t zone_offset_s(const struct zone *z, int64_t utc_s)
{
    size_t low = 0, high;

    if (z == NULL) {
        return 0;
    }
    high = z->transition_count;
    if (z->has_rule && (high == 0 || utc_s >= z->at_s[high - 1])) {
        return zone_rule_offset_s(&z->rule, utc_s);
    }
    while (low < high) { /* low becomes the number of transitions at or before utc_s */
        size_t mid = low + (high - low) / 2;

        if (z->at_s[mid] <= utc_s) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low == 0 ? z->first_offset_s : z->offset_s[low - 1];
}

/* Offsets a day before and after are those on both sides of a change, if there is one. */
unsigned zone_from_local(const struct zone *z, int64_t local_s, int64_t *utc_s)
{
    int64_t before = local_s - zone_offset_s(z, local_s - DAY_S);
    int64_t after = local_s - zone_offset_s(z, local_s + DAY_S);
    bool before_fits = before + zone_offset_s(z, before) == local_s;
    bool after_fits = after + zone_offset_s(z, after) == local_s;

    if (before_fits && after_fits && before != after) {
        *utc_s = before < after ? before : after;
        return 2;
    }
    if (before_fits || after_fits) {
        *utc_s = before_fits ? before : after;
        return 1;
    }
    return 0;
}
