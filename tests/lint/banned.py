"""Calls that have one home, or none."""

import re

import lint

RING = ["core/shard/ring_*.c"]
NET_FENCES = ["core/net/tls*.c", "core/net/dns*.c"]
# A signalfd is read where it is opened; dofile() and require() of a policy read whole files.
FILES = ["core/daemon/signals.c", "policy/vm/chunk.c"]

# names, where they are allowed, whether tools, tests and benchmarks are free, what to use
RULES = [
    ("malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf aligned_alloc"
     " posix_memalign", ["core/base/mem.c"], True, "core/base/mem.h"),
    ("time gettimeofday clock clock_gettime getrandom getentropy rand srand random srandom rand_r"
     " drand48 usleep sleep nanosleep clock_nanosleep", RING, True, "the ring"),
    ("strcpy strncpy strcat strncat sprintf vsprintf gets stpcpy", [], False, "core/base/buf.h"),
    ("open openat creat read write pread pwrite readv writev preadv pwritev preadv2 pwritev2 fsync"
     " fdatasync sync sync_file_range fopen fdopen getaddrinfo gethostbyname getnameinfo socket"
     " connect accept accept4 recv recvfrom recvmsg send sendto sendmsg poll ppoll select"
     " epoll_wait", RING + NET_FENCES + FILES, True, "core/shard/ring.h"),
]

# Policy files reach the outside through services, so the input and output rule stops short of
# them; the others hold there too.
IO_FREE = ["policy/api/*"]


def main():
    root = lint.arguments(__doc__).parse_args().root
    report = lint.Report()
    rules = [
        (re.compile(r"(?<![\w.>])(?<!->)(" + "|".join(names.split()) + r")\s*\("), homes, free, use)
        for names, homes, free, use in RULES
    ]
    for path in lint.sources(root):
        code = lint.code_only(lint.read(root, path))
        for pattern, homes, free, use in rules:
            if lint.matches(path, homes) or (free and lint.is_free(path)):
                continue
            if use == "core/shard/ring.h" and lint.matches(path, IO_FREE):
                continue
            for match in pattern.finditer(code):
                line = code.count("\n", 0, match.start()) + 1
                report.say(path, line, f"{match.group(1)}() is not for here; use {use}")
    report.leave()


if __name__ == "__main__":
    main()
