/*
 * recover - what is on disk at start, found in the background while new mail already comes in.
 *
 * Two passes over a log's segments, each by the index where there is a sound one and by a scan
 * otherwise: the first gathers what every entry says and judges it as a whole, since a settle may
 * be read after what it settles; the second reports the survivors, with what the first pass could
 * not afford to keep in memory.
 */
#pragma once

#include "spool/log.h"

void recover_start(struct spool_log *log);
/* Goes on where a turn's budget ended. */
void recover_tick(struct spool_log *log);
/* The spool drains before all is found: the rest is for the next start. False while a read is in
 * flight. */
NODISCARD bool recover_abandon(struct spool_log *log);
void recover_close(struct spool_log *log);
