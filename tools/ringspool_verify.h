/*
 * ringspool_verify - tells what a crash may have left from what the disk has lost.
 *
 * A commit that had completed was promised: whatever is wrong with it is damage. Which ones had
 * completed is told as recovery tells it (docs/formats/segment.md 4.2), by the highest durable
 * sequence of each boot, so all paths of a spool belong into one call.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"

/* Prints a line for every segment. False on damage, or when something could not be read. */
NODISCARD bool ringspool_verify(char **paths, int count);
