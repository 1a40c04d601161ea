"""Each lint over a tree with violations: it must find exactly those."""

import argparse
import os
import subprocess
import sys
import tempfile

LONG_FUNCTION = "int f(int a)\n{\n" + "    a++;\n" * 70 + "    return a;\n}\n"
FITTING_FUNCTION = "int f(int a)\n{\n" + "    a++;\n" * 66 + "    return a;\n}\n"

# lint -> files of the tree, and the path:line of every finding, in order
CASES = {
    "layers": (
        {
            "core/base/a.h": "#pragma once\n",
            "core/shard/s.h": '#pragma once\n#include "core/base/a.h"\n',
            "core/base/bad.c": '#include "core/base/a.h"\n#include "core/shard/s.h"\n',
            "core/net/bad.c": '#include "a.h"\n',
            "core/egress/good.c": '#include "core/net/n.h"\n#include "core/limit/l.h"\n',
            "core/net/n.h": "#pragma once\n",
            "core/limit/l.h": '#pragma once\n#  include "core/net/n.h"\n',
            "core/egress/e.h": "#pragma once\n",
            "core/ingress/bad.c": '#include "core/egress/e.h"\n',
            "core/admin/good.c": '#include "core/egress/e.h"\n',
            "core/nobody/x.c": "\n",
            "tools/t.c": '#include "core/net/n.h"\n',
        },
        ["core/base/bad.c:2", "core/ingress/bad.c:1", "core/limit/l.h:2", "core/net/bad.c:1",
         "core/nobody/x.c:1"],
    ),
    "headers": (
        {
            "core/base/good.h": "#pragma once\n#include <stdint.h>\nextern uint8_t x;\n",
            "core/base/bad.h": "#pragma once\n\nextern uint8_t x;\n",
        },
        ["core/base/bad.h:3"],
    ),
    "sizes": (
        {
            "core/base/long.c": "\n" * 801,
            "core/base/fits.c": "\n" * 800,
            "core/base/long.h": "\n" * 351,
            "core/base/f.c": "struct s {\n" + "    int a;\n" * 80 + "};\n\n" + LONG_FUNCTION,
            "core/base/g.c": "#define X(a) \\\n    if (a) {\n" + FITTING_FUNCTION,
            "core/base/table.c": "static int t[] = {\n" + "    1,\n" * 90 + "};\n",
            "tests/unit/t.c": "\n" * 850,
        },
        ["core/base/f.c:84", "core/base/long.c:1", "core/base/long.h:1"],
    ),
    "banned": (
        {
            "core/base/mem.c": "void *f(void) { return malloc(1); }\n",
            "core/base/bad.c": "/* malloc( */\nvoid f(void *p)\n{\n    free (p);\n}\n",
            "spool/bad.c": 'void f(void)\n{\n    puts("time(");\n    time(0);\n    ring->read(1);\n'
                           "    spool_open(1);\n    fsync(1);\n}\n",
            "core/shard/ring_uring.c": "void f(void) { clock_gettime(0, 0); open(0); }\n",
            "tools/t.c": "void f(void)\n{\n    free(0);\n    strcpy(0, 0);\n}\n",
            "policy/api/p.c": "void f(void)\n{\n    open(0);\n    free(0);\n}\n",
        },
        ["core/base/bad.c:4", "policy/api/p.c:4", "spool/bad.c:4", "spool/bad.c:7", "tools/t.c:4"],
    ),
    "hygiene": (
        {
            "core/base/a.c": "/* one\n * the\n * the two */\n// TODO(12): fine\n// TODO: not\n"
                             "int a; \n\tint b;\n/* caf\u00e9 */\nint the_the; /* XXX */\n"
                             "char t[] = \"XXX the the\";\n" + "/" * 101 + "\n",
            "core/base/b.c": "int a;",
        },
        ["core/base/a.c:6", "core/base/a.c:7", "core/base/a.c:8", "core/base/a.c:11",
         "core/base/a.c:2", "core/base/a.c:5", "core/base/a.c:9", "core/base/b.c:1"],
    ),
    "fences": (
        {
            "core/shard/ring_uring.c": "#include <liburing.h>\n#include <stdio.h>\n",
            "core/shard/ring.c": "#include <stdio.h>\n#include <liburing.h>\n",
            "core/base/a.c": "#include <openssl/ssl.h>\n#include <sys/stat.h>\n",
            "policy/vm/a.c": "#include <lua.h>\n",
            "core/config/a.c": "#include <lua.h>\n",
            "tests/unit/a.c": "#include <cmocka.h>\n",
        },
        ["core/base/a.c:1", "core/config/a.c:1", "core/shard/ring.c:2"],
    ),
}

RATCHET = [
    ("within an exception", "core/base/f.c:f 74 a reason\n", 0),
    ("an exception that could shrink", "core/base/f.c:f 75 a reason\n", 1),
    ("a function that grew", "core/base/f.c:f 73 a reason\n", 1),
    ("an exception nobody needs", "core/base/f.c:f 74 a reason\ncore/base/g.c 900 gone\n", 1),
]


def run(name, root, *more):
    here = os.path.dirname(os.path.abspath(__file__))
    command = [sys.executable, os.path.join(here, name + ".py"), "--root", root, *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def plant(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)


def judge(name, files, want):
    with tempfile.TemporaryDirectory() as root:
        plant(root, files)
        done = run(name, root)
    got = [":".join(line.split(":", 2)[:2]) for line in done.stdout.splitlines()]
    if got == want and done.returncode == 1:
        return True
    print(f"{name}: exit {done.returncode}\n  want {want}\n  got  {got}\n{done.stdout}{done.stderr}")
    return False


def judge_clean(name):
    with tempfile.TemporaryDirectory() as root:
        plant(root, {"core/base/a.h": "#pragma once\n\n/* Nothing. */\n"})
        done = run(name, root)
    if done.returncode != 0 or done.stdout:
        print(f"{name} finds fault with a clean tree:\n{done.stdout}{done.stderr}")
    return done.returncode == 0 and not done.stdout


def judge_ratchet(name, exceptions, want):
    with tempfile.TemporaryDirectory() as root:
        plant(root, {"core/base/f.c": LONG_FUNCTION, "exceptions.txt": exceptions})
        done = run("sizes", root, "--exceptions", os.path.join(root, "exceptions.txt"))
    if done.returncode != want:
        print(f"sizes, {name}: exit {done.returncode}, want {want}\n{done.stdout}{done.stderr}")
    return done.returncode == want


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    good = [judge(name, *case) for name, case in CASES.items()]
    good += [judge_clean(name) for name in CASES]
    good += [judge_ratchet(*case) for case in RATCHET]
    print(f"{sum(good)} of {len(good)} as expected")
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
