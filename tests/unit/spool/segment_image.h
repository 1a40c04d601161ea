/*
 * segment_image - a segment in memory, written by the format's own functions, with a list of what
 * was written where. For tests and fuzzers of what reads segments.
 */
#pragma once

#include "spool/scan.h"

#define IMAGE_SIZE (128u * 1024u)
#define IMAGE_ENTRIES_MAX 1024u
#define IMAGE_COMMITS_MAX 64u

struct image_entry {
    uint64_t offset;
    uint32_t size; /* with its padding */
    uint32_t commit;
    bool settle_like; /* not of a transaction */
};

struct image_commit {
    uint64_t offset;
    uint32_t len; /* to the end of its last entry */
    bool touched; /* a test changed a byte of it */
};

struct segment_image {
    struct segment_ident ident;
    char *bytes;    /* IMAGE_SIZE, aligned */
    char *original; /* the same before any damage */
    struct image_entry entries[IMAGE_ENTRIES_MAX];
    uint32_t entry_count;
    struct image_commit commits[IMAGE_COMMITS_MAX];
    uint32_t commit_count;
    uint64_t end; /* of the last commit */
};

/* Fills a segment with random transactions, settles and chunks; some blocks hold the sound
 * commits of an earlier life. */
void segment_image_build(struct segment_image *image, uint64_t seed);
void segment_image_free(struct segment_image *image);
/* Flips bits of one byte and notes which commit it belonged to. */
void segment_image_damage(struct segment_image *image, uint64_t offset, uint8_t mask);
/* Seals an entry anew after a test changed its head: a lie with sound checksums. */
void segment_image_reseal(struct segment_image *image, uint32_t entry);
