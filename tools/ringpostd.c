/* ringpostd - the mail transfer agent. Options in, daemon_run(), exit status out. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/duration.h"
#include "core/base/mem.h"
#include "core/daemon/daemon.h"

#define VERSION "2026.11.22-ringpost"
#define POLICY_DEFAULT "/opt/kumomta/etc/policy/init.lua"

static void usage(FILE *to)
{
    fprintf(
        to,
        "Usage: ringpostd [OPTIONS]\n"
        "\n"
        "  --policy FILE          the policy to run [" POLICY_DEFAULT "]\n"
        "  --shards N             shards, each a thread with its own core [one per core]\n"
        "  --user NAME            user to run as; mandatory for root\n"
        "  --drain-timeout TIME   how long a stop waits for what is under way [5m]\n"
        "  --validate             check the policy and its configuration, start nothing\n"
        "  --version              print the version\n"
        "  --help                 print this\n"
        "\n"
        "Diagnostics go to stderr, filtered by KUMOD_LOG (target=level,...).\n"
        "SIGTERM, SIGINT and SIGHUP drain and exit; a second one ends at once. Accepted mail is\n"
        "never lost either way.\n");
}

static bool parse_count(const char *text, uint32_t *out)
{
    uint64_t value;

    if (!slice_to_u64(slice_str(text), &value) || value == 0 || value > 256) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool parse_timeout(const char *text, uint64_t *out_ms)
{
    struct buf why = {0};
    uint64_t ns;
    bool ok = duration_parse(slice_str(text), &ns, &why) || slice_to_u64(slice_str(text), &ns);

    if (ok) {
        *out_ms = slice_to_u64(slice_str(text), &ns) ? ns * 1000u : ns / 1000000u;
    }
    buf_free(&why);
    return ok;
}

static int bad_usage(const char *what, const char *value)
{
    fprintf(stderr, "ringpostd: %s: %s\nTry --help.\n", what, value);
    return 2;
}

int main(int argc, char **argv)
{
    enum { POLICY = 256, SHARDS, USER, DRAIN, VALIDATE, SHOW_VERSION, HELP };
    static const struct option options[] = {
        {"policy", required_argument, NULL, POLICY},
        {"shards", required_argument, NULL, SHARDS},
        {"user", required_argument, NULL, USER},
        {"drain-timeout", required_argument, NULL, DRAIN},
        {"validate", no_argument, NULL, VALIDATE},
        {"version", no_argument, NULL, SHOW_VERSION},
        {"help", no_argument, NULL, HELP},
        {0},
    };
    struct daemon_options o = {
        .policy_path = SLICE_INIT(POLICY_DEFAULT),
        .drain_timeout_ms = DAEMON_DRAIN_TIMEOUT_MS,
        .version = VERSION,
    };
    int c;

    mem_setup();

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case POLICY:
            o.policy_path = slice_str(optarg);
            break;
        case SHARDS:
            if (!parse_count(optarg, &o.shards)) {
                return bad_usage("--shards takes a number from 1 to 256", optarg);
            }
            break;
        case USER:
            o.user = optarg;
            break;
        case DRAIN:
            if (!parse_timeout(optarg, &o.drain_timeout_ms)) {
                return bad_usage("--drain-timeout takes a duration", optarg);
            }
            break;
        case VALIDATE:
            o.validate = true;
            break;
        case SHOW_VERSION:
            puts("ringpostd " VERSION);
            return 0;
        case HELP:
            usage(stdout);
            return 0;
        default:
            return 2;
        }
    }
    if (optind < argc) {
        return bad_usage("unexpected argument", argv[optind]);
    }
    return daemon_run(&o);
}
