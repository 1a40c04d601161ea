/*
 * cleaner - gives segments back: at once when nothing in them counts, by copying the little that
 * does when space asks for it.
 */
#pragma once

#include "spool/log.h"

/* Looks for work; cheap when there is none. */
void cleaner_tick(struct spool_log *log);
PURE bool cleaner_busy(const struct spool_log *log);
void cleaner_close(struct spool_log *log);
