/*
 * zones - IANA time zones for schedules, read from the host when first asked for.
 *
 * Owner     one engine; zones live as long as it does. A name that is none is remembered, too.
 * Blocking  the first use of a zone reads its small file.
 */
#pragma once

#include "core/base/hmap.h"
#include "core/message/schedule.h"

struct ring;

struct zones {
    struct ring *ring;
    struct hmap known;
    struct zone_finder finder;
};

#define ZONE_DIR "/usr/share/zoneinfo/"
#define ZONE_FILE_MAX 65536u

void zones_init(struct zones *z, struct ring *ring);
void zones_free(struct zones *z);
