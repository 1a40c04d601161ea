/*
 * report_samples - one report of each kind, and what hostile peers make of it.
 */
#pragma once

#include "core/base/buf.h"
#include "core/base/prng.h"
#include "core/base/slice.h"

#define DSN_PART                                                                                   \
    "Reporting-MTA: dns; mx.remote.test\r\n"                                                       \
    "Arrival-Date: Fri, 21 Nov 1997 09:00:00 -0600\r\n"                                            \
    "X-Queue-Id: 4711\r\n"                                                                         \
    "X-Queue-Id: 4712\r\n"                                                                         \
    "\r\n"                                                                                         \
    "Final-Recipient: RFC822; <joe@remote.test>\r\n"                                               \
    "Original-Recipient: rfc822;joe.user@alias.test\r\n"                                           \
    "Action: failed\r\n"                                                                           \
    "Status: 5.1.1 (no such user)\r\n"                                                             \
    "Remote-MTA: dns; in.remote.test\r\n"                                                          \
    "Diagnostic-Code: smtp; 550 5.1.1\r\n"                                                         \
    " no such user\r\n"                                                                            \
    "Last-Attempt-Date: Fri, 21 Nov 1997 09:55:06 -0600\r\n"                                       \
    "\r\n"                                                                                         \
    "Final-Recipient: rfc822; ann@remote.test\r\n"                                                 \
    "Action: delayed\r\n"                                                                          \
    "Status: 4.2.2\r\n"

#define REPORT_HEAD(params)                                                                        \
    "From: <>\r\nMIME-Version: 1.0\r\n"                                                            \
    "Content-Type: multipart/report; " params ";\r\n boundary=\"=_b\"\r\n\r\n"                     \
    "--=_b\r\n\r\nfor humans\r\n"

#define REPORT_ORIGINAL                                                                            \
    "\r\n--=_b\r\nContent-Type: message/rfc822\r\n\r\n"                                            \
    "X-KumoRef: eyJfQF8iOiJcXF8vIiwicmVjaXBpZW50IjoicmVjaXBA\r\n\tZXhhbXBsZS5jb20ifQ==\r\n"        \
    "Subject: the original\r\n\r\nbody\r\n--=_b--\r\n"

#define DSN_SAMPLE                                                                                 \
    REPORT_HEAD("report-type=delivery-status")                                                     \
    "--=_b\r\nContent-Type: message/delivery-status\r\n\r\n" DSN_PART REPORT_ORIGINAL

#define ARF_PART                                                                                   \
    "Feedback-Type: abuse\r\n"                                                                     \
    "User-Agent: SomeGenerator/1.0\r\n"                                                            \
    "Version: 0.1\r\n"                                                                             \
    "Original-Mail-From: <somespammer@example.net>\r\n"                                            \
    "Original-Rcpt-To: <user@example.com>\r\n"                                                     \
    "Received-Date: Thu, 8 Mar 2005 14:00:00 -0400\r\n"                                            \
    "Reporting-MTA: dns; mail.example.com\r\n"                                                     \
    "Source-IP: 192.0.2.1\r\n"                                                                     \
    "Reported-Domain: example.net\r\n"                                                             \
    "Reported-URI: http://example.net/a\r\n"                                                       \
    "Reported-URI: mailto:user@example.com\r\n"                                                    \
    "Incidents: 3\r\n"                                                                             \
    "X-Extra: one\r\n"                                                                             \
    "x-extra: two\r\n"

#define ARF_SAMPLE                                                                                 \
    REPORT_HEAD("report-type=feedback-report")                                                     \
    "--=_b\r\nContent-Type: message/feedback-report\r\n\r\n" ARF_PART REPORT_ORIGINAL

/* The sample with a few of its bytes changed, pieces repeated, left out or moved, by the seed. */
static inline void sample_damage(struct buf *out, struct slice sample, struct prng *random)
{
    uint64_t edits = 1 + prng_next(random) % 6;

    buf_clear(out);
    buf_put(out, sample);
    for (uint64_t i = 0; i < edits && out->len > 0; i++) {
        size_t at = prng_next(random) % out->len;
        size_t len = 1 + prng_next(random) % (out->len - at < 60 ? out->len - at : 60);
        static const char odd[] = "\r\n\0:;=\"(\\<-\xff \t_b";
        struct buf piece = {0};

        buf_append(&piece, out->ptr + at, len);
        switch (prng_next(random) % 5) {
        case 0:
            out->ptr[at] = odd[prng_next(random) % (sizeof(odd) - 1)];
            break;
        case 1: /* left out */
            memmove(out->ptr + at, out->ptr + at + len, out->len - at - len);
            out->len -= len;
            break;
        case 2: /* repeated */
            buf_insert(out, at, buf_slice(&piece));
            break;
        case 3: /* moved to the front */
            buf_insert(out, prng_next(random) % (at + 1), buf_slice(&piece));
            break;
        default: /* cut off */
            out->len = at;
            break;
        }
        buf_free(&piece);
    }
}
