/*
 * record_private - the two halves of the JSON line: record.c and record_capture.c.
 */
#pragma once

#include "core/log/record.h"

/* The values of "meta" and "headers". */
void record_put_meta(const struct meta *meta, const struct log_capture *c, struct buf *out);
void record_put_headers(const struct message *m, const struct log_capture *c, struct buf *scratch,
                        struct buf *out);
