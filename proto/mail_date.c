#include "proto/mail_date.h"

#include "core/base/attr.h"
#include "core/base/civil.h"

#define WORDS_MAX 6u /* day-name, day, month, year, time, zone */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind the comment that begins at `at`; the end when it does not end. */
static size_t skip_comment(struct slice text, size_t at)
{
    size_t depth = 0;

    while (at < text.len) {
        char c = text.ptr[at++];

        if (c == '\\' && at < text.len) {
            at++;
        } else if (c == '(') {
            depth++;
        } else if (c == ')' && --depth == 0) {
            break;
        }
    }
    return at;
}

/* Words between blanks and comments; a comma ends the day's name. Answers how many, WORDS_MAX + 1
 * for too many. */
static size_t cut_words(struct slice text, struct slice words[WORDS_MAX])
{
    size_t count = 0, at = 0;

    while (at < text.len) {
        size_t start = at;

        if (is_blank(text.ptr[at]) || text.ptr[at] == ',') {
            at++;
            continue;
        }
        if (text.ptr[at] == '(') {
            at = skip_comment(text, at);
            continue;
        }
        while (at < text.len && !is_blank(text.ptr[at]) && text.ptr[at] != ',' &&
               text.ptr[at] != '(') {
            at++;
        }
        if (count == WORDS_MAX) {
            return WORDS_MAX + 1;
        }
        words[count++] = slice_of(text.ptr + start, at - start);
    }
    return count;
}

static bool is_day_name(struct slice word)
{
    static const struct slice names[] = {SLICE_INIT("Mon"), SLICE_INIT("Tue"), SLICE_INIT("Wed"),
                                         SLICE_INIT("Thu"), SLICE_INIT("Fri"), SLICE_INIT("Sat"),
                                         SLICE_INIT("Sun")};

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (slice_eq_nocase(word, names[i])) {
            return true;
        }
    }
    return false;
}

static bool parse_month(struct slice word, unsigned *out)
{
    static const struct slice names[] = {
        SLICE_INIT("Jan"), SLICE_INIT("Feb"), SLICE_INIT("Mar"), SLICE_INIT("Apr"),
        SLICE_INIT("May"), SLICE_INIT("Jun"), SLICE_INIT("Jul"), SLICE_INIT("Aug"),
        SLICE_INIT("Sep"), SLICE_INIT("Oct"), SLICE_INIT("Nov"), SLICE_INIT("Dec")};

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        if (slice_eq_nocase(word, names[i])) {
            *out = i + 1;
            return true;
        }
    }
    return false;
}

static bool parse_year(struct slice word, int64_t *out)
{
    uint64_t year;

    if (word.len < 2 || word.len > 4 || !slice_to_u64(word, &year)) {
        return false;
    }
    *out = (int64_t)(word.len == 4   ? year
                     : word.len == 3 ? year + 1900
                     : year < 50     ? year + 2000
                                     : year + 1900);
    return true;
}

/* "H:MM" or "H:MM:SS", as seconds of the day; a leap second is the next second. */
static bool parse_time(struct slice word, int64_t *out)
{
    static const uint64_t most[] = {23, 59, 60};
    uint64_t parts[3] = {0};
    size_t count = 0;

    while (count < 3) {
        size_t end = slice_find_char(word, ':');

        if (end == 0 || end > 2 || !slice_to_u64(slice_head(word, end), &parts[count]) ||
            parts[count] > most[count]) {
            return false;
        }
        count++;
        if (end == word.len) {
            break;
        }
        word = slice_from(word, end + 1);
        if (count == 3 || word.len == 0) {
            return false;
        }
    }
    *out = (int64_t)(parts[0] * 3600 + parts[1] * 60 + parts[2]);
    return count >= 2;
}

/* Seconds east of UTC. Unknown letters mean nothing, as RFC 5322 wants. */
static bool parse_zone(struct slice word, int64_t *out)
{
    static const struct {
        struct slice name;
        int hours;
    } zones[] = {{SLICE_INIT("EDT"), -4}, {SLICE_INIT("EST"), -5}, {SLICE_INIT("CDT"), -5},
                 {SLICE_INIT("CST"), -6}, {SLICE_INIT("MDT"), -6}, {SLICE_INIT("MST"), -7},
                 {SLICE_INIT("PDT"), -7}, {SLICE_INIT("PST"), -8}};
    uint64_t digits;

    *out = 0;
    if (word.len == 5 && (word.ptr[0] == '+' || word.ptr[0] == '-')) {
        if (!slice_to_u64(slice_from(word, 1), &digits) || digits % 100 > 59 || digits > 2359) {
            return false;
        }
        *out = (int64_t)(digits / 100 * 3600 + digits % 100 * 60);
        *out = word.ptr[0] == '-' ? -*out : *out;
        return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(zones); i++) {
        if (slice_eq_nocase(word, zones[i].name)) {
            *out = zones[i].hours * 3600;
            return true;
        }
    }
    for (size_t i = 0; i < word.len; i++) {
        if (char_lower(word.ptr[i]) < 'a' || char_lower(word.ptr[i]) > 'z') {
            return false;
        }
    }
    return word.len > 0 && word.len <= 5;
}

bool mail_date_parse(struct slice text, uint64_t *wall_ns)
{
    struct slice words[WORDS_MAX];
    size_t count = cut_words(text, words);
    size_t first = count > 0 && count <= WORDS_MAX && is_day_name(words[0]);
    int64_t year, time_s, zone_s, s;
    uint64_t day;
    unsigned month;

    if (count != first + 5 || !slice_to_u64(words[first], &day) ||
        !parse_month(words[first + 1], &month) || !parse_year(words[first + 2], &year) ||
        !parse_time(words[first + 3], &time_s) || !parse_zone(words[first + 4], &zone_s) ||
        day < 1 || day > civil_month_days(year, month)) {
        return false;
    }
    s = civil_days(year, month, (unsigned)day) * 86400 + time_s - zone_s;
    if (s < 0 || (uint64_t)s > UINT64_MAX / 1000000000u) {
        return false;
    }
    *wall_ns = (uint64_t)s * 1000000000u;
    return true;
}
