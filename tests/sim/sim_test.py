#!/usr/bin/env python3
"""The simulator itself: one seed is one history, and the fixed seeds hold.

Usage: sim_test.py BUILD_DIR repeats|seeds
"""

import os
import subprocess
import sys

# With which options, and how many runs.
REPEATED = ((["--seed", "3"], 1), (["--seed", "77", "--faults", "all"], 1),
            (["--seed", "500", "--shards", "3"], 1))
FIXED = ((["--seed", "1", "--faults", "none"], 1), (["--seed", "64"], 6))


def ringsim(build, options, runs):
    """What each run says of itself; a failure shows its block."""
    done = subprocess.run([os.path.join(build, "ringsim"), *options, "--runs", str(runs)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)
    if done.returncode != 0:
        sys.stdout.write(done.stdout)
        raise SystemExit("ringsim %s: status %d" % (" ".join(options), done.returncode))
    lines = [line for line in done.stdout.splitlines() if line.startswith("ringsim: seed ")]
    assert len(lines) == runs, done.stdout
    return lines


def repeats(build):
    """Each process has addresses of its own; nothing that happens may depend on them."""
    for options, runs in REPEATED:
        first, second = ringsim(build, options, runs), ringsim(build, options, runs)
        assert first == second, "one seed, two histories:\n%s\n%s" % (
            "\n".join(first), "\n".join(second))


def seeds(build):
    for options, runs in FIXED:
        print("\n".join(ringsim(build, options, runs)))


if __name__ == "__main__":
    {"repeats": repeats, "seeds": seeds}[sys.argv[2]](sys.argv[1])
