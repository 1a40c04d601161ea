"""Every header compiles alone, as the first thing a file includes."""

import concurrent.futures
import os
import re
import subprocess

import lint


def complaint(compiler, flags, root, path):
    command = [compiler, "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Werror", "-I", root, *flags]
    command += ["-fsyntax-only", "-include", path, "-x", "c", os.devnull]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode != 0 else None


def main():
    parser = lint.arguments(__doc__)
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--include", action="append", default=[], help="of a foreign library")
    options = parser.parse_args()
    report = lint.Report()
    flags = [flag for folder in options.include for flag in ("-isystem", folder)]
    paths = lint.sources(options.root, (".h",))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        answers = pool.map(lambda p: complaint(options.cc, flags, options.root, p), paths)
        for path, answer in zip(paths, answers):
            if answer is None:
                continue
            first = re.search(r"^(?:\S*/)?[^:\n]+:(\d+):(?:\d+:)?.*error: (.*)$", answer, re.MULTILINE)
            if first is None:
                report.say(path, 1, "does not compile alone: " + answer.strip()[:200])
            else:
                report.say(path, first.group(1), "does not compile alone: " + first.group(2))
    report.leave()


if __name__ == "__main__":
    main()
