"""Comments and bytes: debt marks, doubled words, non-ASCII, blanks, tabs, long lines."""

import re

import lint

COLUMNS_MAX = 100
TABLE_COLUMNS_MAX = 120  # a row of a .def table stays on one line
DEBT = re.compile(r"\b(FIXME|XXX|TODO)\b(\(\w[^)]*\))?")
DOUBLED = re.compile(r"\b([A-Za-z]+)\s+\1\b", re.IGNORECASE)
MAY_DOUBLE = {"that", "had"}
EMPTY_PARAM = re.compile(r"@(param\s+\w+|returns?)\s*$", re.MULTILINE)


def prose(comment):
    """The words of a comment without its stars, line breaks kept."""
    body = re.sub(r"^/\*+|\*/$|^//+", "", comment)
    return re.sub(r"\n[ \t]*(?:\*|//)[ \t]*", "\n ", body)


def judge_comment(report, path, line, comment):
    text = prose(comment)
    for match in DEBT.finditer(text):
        if match.group(1) != "TODO" or match.group(2) is None:
            at = line + text.count("\n", 0, match.start())
            report.say(path, at, f"bare {match.group(1)}: do it, or TODO(issue)")
    for match in DOUBLED.finditer(text):
        if match.group(1).lower() not in MAY_DOUBLE:
            at = line + text.count("\n", 0, match.start())
            report.say(path, at, f"doubled word: {match.group(1)}")
    for match in EMPTY_PARAM.finditer(text):
        at = line + text.count("\n", 0, match.start())
        report.say(path, at, f"@{match.group(1)} says nothing")


def judge_line(report, path, number, line):
    if not line.isascii():
        report.say(path, number, "non-ASCII byte")
    if line.endswith((" ", "\t", "\r")):
        report.say(path, number, "trailing blank")
    if "\t" in line:
        report.say(path, number, "tab")
    limit = TABLE_COLUMNS_MAX if path.endswith(".def") else COLUMNS_MAX
    if len(line) > limit:
        report.say(path, number, f"{len(line)} columns, {limit} at most")


def main():
    root = lint.arguments(__doc__).parse_args().root
    report = lint.Report()
    for path in lint.sources(root):
        text = lint.read(root, path)
        for number, line in enumerate(text.split("\n"), 1):
            judge_line(report, path, number, line)
        if text and not text.endswith("\n"):
            report.say(path, text.count("\n") + 1, "no newline at the end of the file")
        for line, comment in lint.comments(text):
            judge_comment(report, path, line, comment)
    report.leave()


if __name__ == "__main__":
    main()
