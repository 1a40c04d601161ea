"""What every lint shares: finding sources, blanking comments and strings, reporting."""

import argparse
import fnmatch
import os
import re
import sys

TOPS = ("core", "proto", "spool", "policy", "tools", "tests", "perf")
FREE_TOPS = ("tools", "tests", "perf")


def arguments(about):
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--root", required=True, help="top of the tree")
    return parser


def sources(root, suffixes=(".c", ".h", ".def")):
    """Paths from the root, sorted, of every source below the top folders."""
    found = []
    for top in TOPS:
        for folder, subfolders, names in os.walk(os.path.join(root, top)):
            subfolders[:] = [s for s in subfolders if not s.startswith((".", "__", "build"))]
            found += [
                os.path.relpath(os.path.join(folder, name), root)
                for name in names
                if name.endswith(suffixes)
            ]
    return sorted(found)


def is_free(path):
    return path.split("/", 1)[0] in FREE_TOPS


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="surrogateescape") as f:
        return f.read()


def table(name):
    """The rows of a table file next to the lints, split at blanks."""
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as f:
        return [line.split() for line in f if line.strip() and not line.startswith("#")]


def matches(path, patterns):
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


TOKENS = re.compile(
    r"(?P<comment>//[^\n]*|/\*.*?\*/)"
    r'|(?P<string>"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')',
    re.DOTALL,
)


def code_only(text):
    """The text with comments and literals blanked; every line keeps its number and width."""

    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())

    return TOKENS.sub(blank, text)


def comments(text):
    """(line number, text) of each comment; a block of // lines is one comment."""
    found = []
    for match in TOKENS.finditer(text):
        if match.group("comment") is None:
            continue
        line = text.count("\n", 0, match.start()) + 1
        body = match.group("comment")
        if found and body.startswith("//") and found[-1][2] == line - 1:
            found[-1] = (found[-1][0], found[-1][1] + "\n" + body, line)
        else:
            found.append((line, body, line if body.startswith("//") else -1))
    return [(line, body) for line, body, _ in found]


class Report:
    def __init__(self):
        self.count = 0

    def say(self, path, line, message):
        print(f"{path}:{line}: {message}")
        self.count += 1

    def leave(self):
        sys.exit(1 if self.count else 0)
