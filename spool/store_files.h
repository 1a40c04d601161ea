/*
 * store_files - the small files beside the segments: lock, format and boot count, marks, probe.
 * All blocking, for start and stop.
 */
#pragma once

#include "spool/store.h"

/* Creates the directory, takes its lock, and finds out whether O_DIRECT works. */
NODISCARD enum spool_err store_path_open(struct ring *ring, struct store_path *path, bool direct,
                                         struct buf *why);
/* Reads <meta>/format, counts the boot, writes it back durably. */
NODISCARD enum spool_err store_boot(struct ring *ring, const char *meta, uint32_t *boot_out,
                                    struct buf *why);
/* What was made in or moved into the directory is stable. */
NODISCARD int store_folder_sync(struct ring *ring, const char *dir);
/* Whole small files, replaced atomically. The bytes are what follows a checked head. */
NODISCARD int store_file_read(struct ring *ring, const char *path, uint64_t *value_out,
                              uint32_t *version_out);
/* Seals the bytes of such a file as of another version; for tests of what refuses it. */
void store_file_stamp(void *bytes, uint32_t version);
NODISCARD int store_file_write(struct ring *ring, const char *dir, const char *name,
                               uint64_t value);
