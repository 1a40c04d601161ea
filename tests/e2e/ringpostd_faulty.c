/* ringpostd_faulty - the daemon on a disk that fails when a control file says so.
 *
 *     ringpostd_faulty CONTROL DIRECTORY POLICY SHARDS
 *
 * What fails is everything below DIRECTORY; tests/support/ring_faults.h has the control file.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/daemon/daemon.h"
#include "tests/support/ring_faults.h"

int main(int argc, char **argv)
{
    struct daemon_options o = {
        .drain_timeout_ms = DAEMON_DRAIN_TIMEOUT_MS,
        .user = "root",
        .version = "faulty",
        .ring_wrap = ring_faults_wrap,
    };
    struct ring_faults *faults;
    int status;

    if (argc != 5) {
        fprintf(stderr, "Usage: ringpostd_faulty CONTROL DIRECTORY POLICY SHARDS\n");
        return 2;
    }
    faults = ring_faults_open(argv[1], argv[2]);
    if (faults == NULL) {
        perror(argv[1]);
        return 2;
    }
    o.policy_path = slice_str(argv[3]);
    o.shards = (uint32_t)atoi(argv[4]);
    o.ring_wrap_ctx = faults;
    status = daemon_run(&o);
    ring_faults_close(&faults);
    return status;
}
