/* A table of small counters under one lock. */
#include "tools/ringsink_seen.h"

#include "core/base/mem.h"

void sink_seen_init(struct sink_seen *s, uint64_t run, uint64_t first_sequence, uint64_t recipients)
{
    *s = (struct sink_seen){.run = run, .first_sequence = first_sequence, .recipients = recipients};
    MUST(pthread_mutex_init(&s->lock, NULL) == 0);
}

void sink_seen_free(struct sink_seen *s)
{
    pthread_mutex_destroy(&s->lock);
    MEM_FREE(&s->counts);
}

static void counts_grow(struct sink_seen *s, uint64_t key)
{
    uint64_t cap = s->cap != 0 ? s->cap : 65536;

    while (cap <= key) {
        cap *= 2;
    }
    if (cap != s->cap) {
        s->counts = mem_grow(s->counts, cap);
        memset(s->counts + s->cap, 0, cap - s->cap);
        s->cap = cap;
    }
}

static bool add_locked(struct sink_seen *s, uint64_t run, uint64_t sequence, uint64_t recipient)
{
    uint64_t key;

    if (s->run == 0) {
        s->run = run;
    }
    if (run != s->run || sequence < s->first_sequence || recipient >= s->recipients ||
        sequence - s->first_sequence >= SINK_SEEN_MAX / s->recipients) {
        return false;
    }
    key = (sequence - s->first_sequence) * s->recipients + recipient;
    counts_grow(s, key);
    if (s->counts[key] == 0) {
        s->distinct++;
    } else {
        s->duplicates++;
    }
    s->counts[key] += s->counts[key] < UINT8_MAX;
    if (key >= s->end) {
        s->end = key + 1;
    }
    return true;
}

bool sink_seen_add(struct sink_seen *s, uint64_t run, uint64_t sequence, uint64_t recipient)
{
    bool ours;

    MUST(pthread_mutex_lock(&s->lock) == 0);
    ours = add_locked(s, run, sequence, recipient);
    MUST(pthread_mutex_unlock(&s->lock) == 0);
    return ours;
}

uint64_t sink_seen_distinct(struct sink_seen *s)
{
    uint64_t distinct;

    MUST(pthread_mutex_lock(&s->lock) == 0);
    distinct = s->distinct;
    MUST(pthread_mutex_unlock(&s->lock) == 0);
    return distinct;
}

uint64_t sink_seen_missing(struct sink_seen *s, uint64_t expected_keys, uint32_t sample_max,
                           struct buf *sample)
{
    uint64_t end = expected_keys != 0 ? expected_keys : s->end;
    uint64_t missing = 0;

    MUST(pthread_mutex_lock(&s->lock) == 0);
    for (uint64_t key = 0; key < end; key++) {
        if (key < s->cap && s->counts[key] != 0) {
            continue;
        }
        if (missing++ < sample_max) {
            buf_printf(sample, "%s%llu", missing > 1 ? "," : "",
                       (unsigned long long)(s->first_sequence + key / s->recipients));
        }
    }
    MUST(pthread_mutex_unlock(&s->lock) == 0);
    return missing;
}
