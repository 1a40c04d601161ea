"""Results as JSON, as text, and as the table in perf/README.md."""

import json
import os

from .place import PERF_DIR

BEGIN, END = "<!-- results: written by perf/run --readme -->", "<!-- end of results -->"


def number(value):
    if value is None:
        return "-"
    return "%.0f" % value if abs(value) >= 100 else "%.2f" % value


def verdict(line):
    if line["ok"] is None:
        return "void"
    return "met" if line["ok"] else "MISSED"


def relation(line):
    return "at least" if line["unit"] in ("x less", "x more") else "at most"


def text(lines):
    out = []
    for line in lines:
        out.append("%d  %-62s %9s %-7s %s %s: %s\n   %s" % (
            line["row"], line["what"], number(line["value"]), line["unit"], relation(line),
            number(line["limit"]), verdict(line), line["detail"]))
    return "\n".join(out)


def machine_text(m):
    return "%s; %d %scores of %s, %.0f GiB, Linux %s, %s" % (
        m["date"], m["cores"], "virtual " if m["virtual"] else "", m["cpu"], m["memory_gib"],
        m["kernel"].split("-")[0], m["filesystem"])


def table(lines, machine, command):
    out = ["Measured %s. Command: `%s`." % (machine_text(machine), command), "",
           "| # | budget | limit | measured | | detail |", "|---|---|---|---|---|---|"]
    for line in lines:
        out.append("| %d | %s | %s %s %s | %s %s | %s | %s |" % (
            line["row"], line["what"], relation(line), number(line["limit"]), line["unit"],
            number(line["value"]), line["unit"], verdict(line), line["detail"]))
    return "\n".join(out)


def save(lines, raw, machine, stamp):
    """The whole run, for comparison with later ones."""
    directory = os.path.join(PERF_DIR, "results")
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, stamp + ".json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"machine": machine, "rows": lines, "raw": raw}, file, indent=2)
        file.write("\n")
    return path


def write_readme(lines, machine, command):
    path = os.path.join(PERF_DIR, "README.md")
    with open(path, encoding="utf-8") as file:
        old = file.read()
    head, _, rest = old.partition(BEGIN)
    _, _, tail = rest.partition(END)
    with open(path, "w", encoding="utf-8") as file:
        file.write(head + BEGIN + "\n" + table(lines, machine, command) + "\n" + END + tail)
