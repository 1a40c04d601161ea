/* ringpostd_recorded - the daemon, with everything it writes below one directory in a trace.
 *
 *     ringpostd_recorded TRACE DIRECTORY POLICY SHARDS
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/daemon/daemon.h"
#include "tests/support/ring_recorder.h"

int main(int argc, char **argv)
{
    struct daemon_options o = {
        .drain_timeout_ms = DAEMON_DRAIN_TIMEOUT_MS,
        .user = "root",
        .version = "recorded",
        .ring_wrap = ring_recorder_wrap,
    };
    struct ring_recorder *recorder;
    int status;

    if (argc != 5) {
        fprintf(stderr, "Usage: ringpostd_recorded TRACE DIRECTORY POLICY SHARDS\n");
        return 2;
    }
    recorder = ring_recorder_open(argv[1], argv[2]);
    if (recorder == NULL) {
        perror(argv[1]);
        return 2;
    }
    o.policy_path = slice_str(argv[3]);
    o.shards = (uint32_t)atoi(argv[4]);
    o.ring_wrap_ctx = recorder;
    status = daemon_run(&o);
    ring_recorder_close(&recorder);
    return status;
}
