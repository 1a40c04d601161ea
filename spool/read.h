/*
 * read - bytes of records back from segments or from commits that are still in memory.
 */
#pragma once

#include "spool/log.h"

/* Reads that waited for memory. */
void read_resume(struct spool *sp);
/* At close: answers everything with SPOOL_E_CLOSING. */
void read_close(struct spool *sp);
