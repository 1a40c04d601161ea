"""Files and functions stay within their length; exceptions are named and only shrink."""

import os
import re

import lint

FILE_MAX = {".c": 800, ".h": 350}
TEST_FILE_MAX = 900
FUNCTION_MAX = 70

NAME = re.compile(r"(\w+)\s*\(")


def without_directives(code):
    """Preprocessor lines and their continuations emptied: their braces need not balance."""
    lines = []
    continued = False
    for line in code.split("\n"):
        directive = continued or line.lstrip().startswith("#")
        continued = directive and line.endswith("\\")
        lines.append("" if directive else line)
    return "\n".join(lines)


def functions(text):
    """(name, first line, length) of each function definition: what stands before a brace at
    depth 0 and ends in a parenthesis."""
    code = without_directives(lint.code_only(text))
    depth = 0
    head_at = 0
    found = []
    for match in re.finditer(r"[{};]", code):
        mark = match.group()
        if mark == "{":
            if depth == 0:
                head = code[head_at : match.start()]
                name = NAME.search(head)
                is_function = name is not None and head.rstrip().endswith(")") and "=" not in head
                start = head_at + name.start() if is_function else None
            depth += 1
        elif mark == "}":
            depth -= 1
            if depth == 0:
                if start is not None:
                    first = code.count("\n", 0, start) + 1
                    last = code.count("\n", 0, match.start()) + 1
                    found.append((name.group(1), first, last - first + 1))
                head_at = match.end()
        elif depth == 0:
            head_at = match.end()
    return found


def exceptions(path):
    rows = {}
    with open(path, encoding="utf-8") as f:
        for row in (line.split(None, 2) for line in f if line.strip() and line[0] != "#"):
            if len(row) < 3:
                raise SystemExit(f"{path}: '{' '.join(row)}' gives no reason")
            rows[row[0]] = int(row[1])
    return rows


def main():
    parser = lint.arguments(__doc__)
    parser.add_argument("--exceptions",
                        default=os.path.join(os.path.dirname(__file__), "sizes_exceptions.txt"))
    options = parser.parse_args()
    report = lint.Report()
    granted = exceptions(options.exceptions)

    def judge(what, name, path, line, length, limit):
        if name in granted:
            present = granted.pop(name)
            if length > present:
                report.say(path, line, f"{what} grew from {present} to {length} lines")
            elif length <= limit:
                report.say(path, line, f"{what} is within {limit}: drop its exception")
            elif length < present:
                report.say(path, line, f"{what} shrank: lower its exception to {length}")
        elif length > limit:
            report.say(path, line, f"{what} has {length} lines, {limit} at most")

    for path in lint.sources(options.root, (".c", ".h")):
        text = lint.read(options.root, path)
        suffix = path[-2:]
        limit = TEST_FILE_MAX if path.startswith("tests/") else FILE_MAX[suffix]
        judge("the file", path, path, 1, len(text.splitlines()), limit)
        for name, line, length in functions(text):
            judge(f"function {name}", f"{path}:{name}", path, line, length, FUNCTION_MAX)
    for name in granted:
        report.say(name, 1, "named in the exceptions but not there any more")
    report.leave()


if __name__ == "__main__":
    main()
