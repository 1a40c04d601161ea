/*
 * spool_config - what kumo.define_spool takes.
 */
#pragma once

#include "core/config/option.h"

/* Accepted for compatibility; one engine serves both. */
#define SPOOL_KINDS(X)                                                                             \
    X(SPOOL_KIND_LOCAL_DISK, "LocalDisk")                                                          \
    X(SPOOL_KIND_ROCKS_DB, "RocksDB")
enum spool_config_kind { SPOOL_KINDS(OPTION_WORD_VALUE) };

/* What a 250 promises; the weaker ones show in the banner and the metrics. */
#define SPOOL_DURABILITIES(X)                                                                      \
    X(DURABILITY_FSYNC_GROUP, "fsync-group")                                                       \
    X(DURABILITY_OS_CACHE, "os-cache")                                                             \
    X(DURABILITY_MEMORY, "memory")
enum spool_config_durability { SPOOL_DURABILITIES(OPTION_WORD_VALUE) };

struct spool_config {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/spool_config.def"
#undef OPTION
};

extern const struct option_table spool_config_options;

/* On failure `why` holds the whole "deserialize error: ..." and nothing is to be freed. */
NODISCARD bool spool_config_read(const struct json *from, struct spool_config *out,
                                 struct buf *why);
void spool_config_init(struct spool_config *c); /* the defaults */
void spool_config_free(struct spool_config *c);
/* Every option by its name, null where unset. */
struct json *spool_config_write(const struct spool_config *c, struct json_doc *doc);
