"""Every #include "..." against the house table in layers.txt."""

import os
import re

import lint

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]*)"', re.MULTILINE)


def house():
    """Folder -> the set of folders it may include; None for everything."""
    allowed = {}
    for folder, *row in lint.table("layers.txt"):
        names = {folder}
        for word in row:
            if word == "everything":
                names = None
                break
            if word == "above":
                names |= set(allowed)
            elif word.startswith("row:"):
                names |= allowed[word[4:]]
            elif word in allowed:
                names.add(word)
            else:
                raise SystemExit(f"layers.txt: {folder} names {word}, which is not below it")
        allowed[folder] = names
    return allowed


def folder_of(path, allowed):
    parts = os.path.dirname(path).split("/")
    while parts:
        if "/".join(parts) in allowed:
            return "/".join(parts)
        parts.pop()
    return None


def is_generated(root, path, target):
    """Whether the folder's own CMakeLists.txt makes this header."""
    rules = os.path.join(root, os.path.dirname(path), "CMakeLists.txt")
    if "/" in target or not os.path.exists(rules):
        return False
    with open(rules, encoding="utf-8") as f:
        return target in f.read()


def main():
    root = lint.arguments(__doc__).parse_args().root
    report = lint.Report()
    allowed = house()
    for path in lint.sources(root):
        folder = folder_of(path, allowed)
        text = lint.read(root, path)
        if folder is None:
            report.say(path, 1, "this folder has no row in layers.txt")
            continue
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            target = match.group(1)
            target_folder = folder_of(target, allowed)
            if is_generated(root, path, target):
                continue
            if not os.path.exists(os.path.join(root, target)):
                report.say(path, line, f'"{target}" is no file, seen from the top of the tree')
            elif target_folder is None:
                report.say(path, line, f'"{target}" lies in a folder without a row in layers.txt')
            elif allowed[folder] is not None and target_folder not in allowed[folder]:
                report.say(path, line, f"{folder} may not include {target_folder} ({target})")
    report.leave()


if __name__ == "__main__":
    main()
