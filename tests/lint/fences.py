"""Foreign library headers only inside their fence (fences.txt)."""

import re

import lint

INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*<([^>]*)>", re.MULTILINE)


def main():
    root = lint.arguments(__doc__).parse_args().root
    report = lint.Report()
    fences = lint.table("fences.txt")
    system = [row[0] for row in lint.table("system_headers.txt")]
    for path in lint.sources(root):
        if lint.is_free(path):
            continue
        text = lint.read(root, path)
        for match in INCLUDE.finditer(text):
            header = match.group(1)
            line = text.count("\n", 0, match.start()) + 1
            homes = [row[1:] for row in fences if lint.matches(header, row[:1])]
            if homes:
                if not lint.matches(path, homes[0]):
                    report.say(path, line, f"<{header}> belongs to {' '.join(homes[0])}")
            elif not lint.matches(header, system):
                report.say(path, line, f"<{header}> has no fence in fences.txt")
    report.leave()


if __name__ == "__main__":
    main()
