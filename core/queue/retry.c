#include "core/queue/retry.h"

#define JITTER_SHARE 20u   /* the jitter spans a twentieth of the interval ... */
#define JITTER_MAX_S 60u   /* ... and at most this */
#define SPREAD_MAX_MS 60000u

uint64_t retry_delay_ms(const struct retry_schedule *s, uint16_t attempts, uint64_t random)
{
    uint64_t base_s = s->retry_interval_s;
    double magnitude_s = (double)s->retry_interval_s / JITTER_SHARE;
    int64_t delay_s;

    if (base_s == 0) {
        return 0; /* no power of two makes it more */
    }
    if (attempts >= 63 || (base_s << attempts) >> attempts != base_s) {
        base_s = UINT64_MAX / 4000u;
    } else {
        base_s <<= attempts;
    }
    if (s->max_retry_interval_s != 0 && base_s > s->max_retry_interval_s) {
        base_s = s->max_retry_interval_s;
    }
    if (base_s > UINT64_MAX / 4000u) {
        base_s = UINT64_MAX / 4000u;
    }
    if (magnitude_s > JITTER_MAX_S) {
        magnitude_s = JITTER_MAX_S;
    }
    /* The jitter is truncated toward zero. A cap far below the interval may be less than it. */
    delay_s = (int64_t)base_s +
              (int64_t)(((double)(random >> 11) / 9007199254740992.0 - 0.5) * magnitude_s);
    return delay_s > 0 ? (uint64_t)delay_s * 1000u : 0;
}

uint64_t retry_spread_ms(uint64_t random)
{
    return random % (SPREAD_MAX_MS + 1);
}

bool retry_expires(const struct retry_schedule *s, uint64_t age_ms, uint64_t delay_ms)
{
    return age_ms > s->max_age_ms || delay_ms > s->max_age_ms - age_ms;
}
