/*
 * health - whether new mail may come in: space and inodes of every path, polled, and whether the
 * logs can write.
 */
#pragma once

#include "spool/log.h"

struct health_check;

/* The first look, at once and blocking; for spool_open(). */
void health_open(struct spool *sp);
/* Looks again, off the loop; does nothing while a look is under way. */
void health_poll(struct spool *sp);
PURE bool health_busy(const struct spool *sp);
void health_close(struct spool *sp);
