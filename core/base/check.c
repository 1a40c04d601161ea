/* What happens when a MUST or HOLDS is false. */
#include "core/base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "ringpost: BUG %s:%d: MUST(%s)\n", file, line, expr);
    abort();
}

bool check_noted(const char *expr, const char *file, int line)
{
    fprintf(stderr, "ringpost: %s:%d: does not hold: %s\n", file, line, expr);
    return false;
}
