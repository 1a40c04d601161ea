#include "core/message/schedule.h"

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/message/varint.h"
#include "core/message/zone.h"

#define DAY_S 86400
#define WALK_DAYS 15u /* a weekly day may be passed over once when the clocks change */
#define MS_PER_S 1000

static const struct slice day_names[7] = {
    SLICE_INIT("Monday"), SLICE_INIT("Tuesday"),  SLICE_INIT("Wednesday"), SLICE_INIT("Thursday"),
    SLICE_INIT("Friday"), SLICE_INIT("Saturday"), SLICE_INIT("Sunday"),
};

void schedule_free(struct schedule **sp)
{
    MEM_FREE(sp);
}

/* ---- reading ---- */

enum {
    FIELD_DOW,
    FIELD_TZ,
    FIELD_START,
    FIELD_END,
    FIELD_FIRST_ATTEMPT,
    FIELD_EXPIRES,
    FIELD_COUNT,
};
#define WINDOW_FIELD_COUNT 4u /* the first ones */

static const struct slice field_names[FIELD_COUNT] = {
    [FIELD_DOW] = SLICE_INIT("dow"),
    [FIELD_TZ] = SLICE_INIT("tz"),
    [FIELD_START] = SLICE_INIT("start"),
    [FIELD_END] = SLICE_INIT("end"),
    [FIELD_FIRST_ATTEMPT] = SLICE_INIT("first_attempt"),
    [FIELD_EXPIRES] = SLICE_INIT("expires"),
};

/* The string of each field; ptr NULL when absent or null. */
static bool find_fields(const struct json *object, struct slice fields[FIELD_COUNT],
                        struct buf *why)
{
    memset(fields, 0, sizeof(fields[0]) * FIELD_COUNT);
    for (const struct json *j = object->first; j != NULL; j = j->next) {
        size_t i = 0;

        while (i < FIELD_COUNT && !slice_eq(j->key, field_names[i])) {
            i++;
        }
        if (i == FIELD_COUNT) {
            buf_printf(why, "invalid field name %.*s", SLICE_ARG(j->key));
            return false;
        }
        if (j->type == JSON_STRING) {
            fields[i] = j->string.ptr != NULL ? j->string : SLICE("");
        } else if (j->type != JSON_NULL) {
            buf_printf(why, "%.*s: expected a string", SLICE_ARG(j->key));
            return false;
        }
    }
    return true;
}

static bool parse_days(struct slice text, uint8_t *days, struct buf *why)
{
    for (;;) {
        struct slice word = slice_head(text, slice_find_char(text, ','));
        size_t day = 0;

        while (day < 7 && !slice_eq_nocase(word, day_names[day]) &&
               !slice_eq_nocase(word, slice_head(day_names[day], 3))) {
            day++;
        }
        if (day == 7) {
            buf_printf(why, "dow: '%.*s' is not a day of the week", SLICE_ARG(word));
            return false;
        }
        *days |= (uint8_t)(1u << day);
        if (word.len == text.len) {
            return true;
        }
        text = slice_from(text, word.len + 1);
    }
}

static bool parse_digits2(const char *p, uint32_t max, uint32_t *out)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9') {
        return false;
    }
    *out = (uint32_t)(p[0] - '0') * 10 + (uint32_t)(p[1] - '0');
    return *out <= max;
}

static bool parse_time(struct slice name, struct slice text, uint32_t *out, struct buf *why)
{
    uint32_t hour, minute, second;

    if (text.len != 8 || text.ptr[2] != ':' || text.ptr[5] != ':' ||
        !parse_digits2(text.ptr, 23, &hour) || !parse_digits2(text.ptr + 3, 59, &minute) ||
        !parse_digits2(text.ptr + 6, 59, &second)) {
        buf_printf(why, "%.*s: '%.*s' is not a time as HH:MM:SS", SLICE_ARG(name),
                   SLICE_ARG(text));
        return false;
    }
    *out = hour * 3600 + minute * 60 + second;
    return true;
}

static void list_missing(const struct slice fields[FIELD_COUNT], size_t count, struct buf *why)
{
    bool first = true;

    BUF_LIT(why, "scheduling restrictions requires all restriction fields to be present. ");
    for (size_t i = 0; i < WINDOW_FIELD_COUNT; i++) {
        if (fields[i].ptr == NULL) {
            buf_put(why, first ? SLICE("") : SLICE(", "));
            buf_put(why, field_names[i]);
            first = false;
        }
    }
    buf_put(why, count == 1 ? SLICE(" is missing") : SLICE(" are missing"));
}

static bool parse_window(struct schedule *s, const struct slice fields[FIELD_COUNT],
                         const struct zone_finder *finder, struct buf *why)
{
    struct slice tz = fields[FIELD_TZ];
    size_t missing_count = 0;

    for (size_t i = 0; i < WINDOW_FIELD_COUNT; i++) {
        missing_count += fields[i].ptr == NULL;
    }
    if (missing_count == WINDOW_FIELD_COUNT) {
        return true;
    }
    if (missing_count != 0) {
        list_missing(fields, missing_count, why);
        return false;
    }
    if (!parse_days(fields[FIELD_DOW], &s->days, why) ||
        !parse_time(SLICE("start"), fields[FIELD_START], &s->start_s, why) ||
        !parse_time(SLICE("end"), fields[FIELD_END], &s->end_s, why)) {
        return false;
    }
    if (s->start_s > s->end_s) {
        buf_printf(why, "start %.*s is later than end %.*s", SLICE_ARG(fields[FIELD_START]),
                   SLICE_ARG(fields[FIELD_END]));
        return false;
    }
    if (tz.len >= SCHEDULE_ZONE_MAX || finder->find(finder->ctx, tz) == NULL) {
        buf_printf(why, "tz: '%.*s' is not a time zone", SLICE_ARG(tz));
        return false;
    }
    memcpy(s->zone, tz.ptr, tz.len);
    s->zone_len = (uint8_t)tz.len;
    s->has_window = true;
    return true;
}

static bool parse_moment(struct slice name, struct slice text, bool *has,
                         struct civil_moment *out, struct buf *why)
{
    *has = text.ptr != NULL;
    if (*has && !civil_parse(text, out)) {
        buf_printf(why, "%.*s: '%.*s' is not an RFC 3339 date-time", SLICE_ARG(name),
                   SLICE_ARG(text));
        return false;
    }
    return true;
}

bool schedule_parse(const struct json *object, const struct zone_finder *finder,
                    struct schedule **out, struct buf *why)
{
    struct slice fields[FIELD_COUNT];
    struct schedule s = {0};

    if (object->type != JSON_OBJECT) {
        BUF_LIT(why, "expected an object");
        return false;
    }
    if (!find_fields(object, fields, why) || !parse_window(&s, fields, finder, why) ||
        !parse_moment(SLICE("first_attempt"), fields[FIELD_FIRST_ATTEMPT], &s.has_first_attempt,
                      &s.first_attempt, why) ||
        !parse_moment(SLICE("expires"), fields[FIELD_EXPIRES], &s.has_expires, &s.expires, why)) {
        return false;
    }
    *out = mem_take(sizeof(s));
    **out = s;
    return true;
}

/* ---- use ---- */

static int64_t moment_ms(const struct civil_moment *m)
{
    return m->s * MS_PER_S + m->ns / 1000000;
}

static int64_t day_of(int64_t s)
{
    return s >= 0 ? s / DAY_S : (s - (DAY_S - 1)) / DAY_S;
}

/* Walks the local days from that of t_ms on. A day whose start or end the clocks skip or show
 * twice is passed over. Without any fitting day the time stays. */
static int64_t next_window_ms(const struct schedule *s, const struct zone *z, int64_t t_ms)
{
    int64_t t_s = t_ms / MS_PER_S;
    int64_t first_day = day_of(t_s + zone_offset_s(z, t_s));

    for (int64_t day = first_day; day < first_day + (int64_t)WALK_DAYS; day++) {
        int64_t start, end;
        unsigned weekday = (unsigned)(((day + 3) % 7 + 7) % 7);

        if ((s->days & (1u << weekday)) == 0 ||
            zone_from_local(z, day * DAY_S + s->start_s, &start) != 1 ||
            zone_from_local(z, day * DAY_S + s->end_s, &end) != 1) {
            continue;
        }
        if (t_ms < start * MS_PER_S) {
            return start * MS_PER_S;
        }
        if (t_ms < end * MS_PER_S) {
            return t_ms;
        }
    }
    return t_ms;
}

uint64_t schedule_adjust_ms(const struct schedule *s, const struct zone_finder *finder,
                            uint64_t wall_ms)
{
    int64_t t = wall_ms <= INT64_MAX ? (int64_t)wall_ms : INT64_MAX;

    if (s == NULL) {
        return wall_ms;
    }
    if (s->has_first_attempt && t < moment_ms(&s->first_attempt)) {
        t = moment_ms(&s->first_attempt);
    }
    if (s->has_window) {
        t = next_window_ms(s, finder->find(finder->ctx, slice_of(s->zone, s->zone_len)), t);
    }
    return (uint64_t)t;
}

bool schedule_expired(const struct schedule *s, uint64_t wall_ms)
{
    return s != NULL && s->has_expires &&
           (wall_ms > INT64_MAX || (int64_t)wall_ms >= moment_ms(&s->expires));
}

/* ---- writing ---- */

static void write_key(struct buf *out, struct slice name)
{
    if (out->ptr[out->len - 1] != '{') {
        buf_char(out, ',');
    }
    json_write_string(out, name);
    buf_char(out, ':');
}

static void write_time(struct buf *out, struct slice name, uint32_t s)
{
    write_key(out, name);
    buf_printf(out, "\"%02u:%02u:%02u\"", s / 3600, s / 60 % 60, s % 60);
}

static void write_moment(struct buf *out, struct slice name, const struct civil_moment *m)
{
    write_key(out, name);
    buf_char(out, '"');
    civil_put_moment(out, m);
    buf_char(out, '"');
}

void schedule_write_json(const struct schedule *s, struct buf *out)
{
    buf_char(out, '{');
    if (s->has_window) {
        BUF_LIT(out, "\"dow\":\"");
        for (size_t day = 0; day < 7; day++) {
            if (s->days & (1u << day)) {
                buf_put(out, s->days & ((1u << day) - 1) ? SLICE(",") : SLICE(""));
                buf_put(out, slice_head(day_names[day], 3));
            }
        }
        buf_char(out, '"');
        write_key(out, SLICE("tz"));
        json_write_string(out, slice_of(s->zone, s->zone_len));
        write_time(out, SLICE("start"), s->start_s);
        write_time(out, SLICE("end"), s->end_s);
    }
    if (s->has_first_attempt) {
        write_moment(out, SLICE("first_attempt"), &s->first_attempt);
    }
    if (s->has_expires) {
        write_moment(out, SLICE("expires"), &s->expires);
    }
    buf_char(out, '}');
}

/* u8 flags (bit 0 first_attempt, 1 expires, 2 window), then what they say:
 * a moment as varints of seconds (zigzag), nanoseconds, offset (zigzag); a window as days,
 * start, end and the zone's name. */
#define HAS_FIRST_ATTEMPT 1u
#define HAS_EXPIRES 2u
#define HAS_WINDOW 4u

static void put_moment(struct buf *out, const struct civil_moment *m)
{
    varint_put(out, varint_zigzag(m->s));
    varint_put(out, m->ns);
    varint_put(out, varint_zigzag(m->offset_min));
}

void schedule_put(const struct schedule *s, struct buf *out)
{
    buf_char(out, (char)((s->has_first_attempt ? HAS_FIRST_ATTEMPT : 0) |
                         (s->has_expires ? HAS_EXPIRES : 0) | (s->has_window ? HAS_WINDOW : 0)));
    if (s->has_first_attempt) {
        put_moment(out, &s->first_attempt);
    }
    if (s->has_expires) {
        put_moment(out, &s->expires);
    }
    if (s->has_window) {
        varint_put(out, s->days);
        varint_put(out, s->start_s);
        varint_put(out, s->end_s);
        varint_put_run(out, slice_of(s->zone, s->zone_len));
    }
}

/* Bounds keep later arithmetic, in milliseconds, from overflowing. */
static bool cut_moment(struct slice *in, struct civil_moment *m)
{
    uint64_t s, ns, offset;

    if (!varint_cut_max(in, UINT64_C(1) << 48, &s) || !varint_cut_max(in, 999999999, &ns) ||
        !varint_cut_max(in, 2 * 24 * 60, &offset)) {
        return false;
    }
    m->s = varint_unzigzag(s);
    m->ns = (uint32_t)ns;
    m->offset_min = (int16_t)varint_unzigzag(offset);
    return true;
}

static bool cut_window(struct slice *in, struct schedule *s)
{
    uint64_t days, start, end;
    struct slice zone;

    if (!varint_cut_max(in, 0x7f, &days) || !varint_cut_max(in, DAY_S - 1, &start) ||
        !varint_cut_max(in, DAY_S - 1, &end) || !varint_cut_run(in, &zone) ||
        zone.len >= SCHEDULE_ZONE_MAX) {
        return false;
    }
    s->days = (uint8_t)days;
    s->start_s = (uint32_t)start;
    s->end_s = (uint32_t)end;
    memcpy(s->zone, zone.ptr, zone.len);
    s->zone_len = (uint8_t)zone.len;
    return true;
}

bool schedule_load(struct slice from, struct schedule **out)
{
    struct schedule s = {0};
    uint8_t has;

    if (from.len == 0) {
        return false;
    }
    has = (uint8_t)from.ptr[0];
    from = slice_from(from, 1);
    s.has_first_attempt = (has & HAS_FIRST_ATTEMPT) != 0;
    s.has_expires = (has & HAS_EXPIRES) != 0;
    s.has_window = (has & HAS_WINDOW) != 0;
    if ((has & ~(HAS_FIRST_ATTEMPT | HAS_EXPIRES | HAS_WINDOW)) != 0 ||
        (s.has_first_attempt && !cut_moment(&from, &s.first_attempt)) ||
        (s.has_expires && !cut_moment(&from, &s.expires)) ||
        (s.has_window && !cut_window(&from, &s)) || from.len != 0) {
        return false;
    }
    *out = mem_take(sizeof(s));
    **out = s;
    return true;
}
