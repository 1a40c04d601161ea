"""What the machine and its processes did: CPU, memory, bytes written."""

import datetime
import mmap
import os
import platform
import resource
import statistics
import time

TICKS = os.sysconf("SC_CLK_TCK")


def busy_seconds():
    """CPU time in which this machine was not idle, all cores, since boot.

    Time stolen by neighbours of a virtual machine is not ours and not counted.
    """
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, _idle, _iowait, irq, softirq = map(int, stat.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def settle(limit_s=10.0):
    """Waits for a quiet machine; answers the share of it that stayed busy."""
    cores = os.cpu_count() or 1
    deadline = time.monotonic() + limit_s
    while True:
        before, began = busy_seconds(), time.monotonic()
        time.sleep(0.5)
        share = (busy_seconds() - before) / ((time.monotonic() - began) * cores)
        if share < 0.05 or time.monotonic() > deadline:
            return share


def stat_fields(pid):
    with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()


def cpu_seconds(pid):
    """CPU time of a process, all its threads, dead ones included."""
    fields = stat_fields(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS


def session_cpu_seconds(leader):
    """CPU time of every process in a session, and of those its leader has already reaped."""
    fields = stat_fields(leader)
    total = (int(fields[13]) + int(fields[14])) / TICKS
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = stat_fields(int(name))
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == leader:
                total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def rss_bytes(pid):
    with open("/proc/%d/status" % pid, encoding="utf-8") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def write_bytes(pid):
    """Bytes a process sent towards storage."""
    with open("/proc/%d/io" % pid, encoding="ascii") as io:
        for line in io:
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
    return 0


def device_written_bytes(path):
    """Bytes written to the device under `path`, by anyone; None where it has no counters."""
    device = os.stat(path).st_dev
    try:
        with open("/sys/dev/block/%d:%d/stat" % (os.major(device), os.minor(device)),
                  encoding="ascii") as stat:
            return int(stat.read().split()[6]) * 512
    except FileNotFoundError:
        return None


def durable_write_us(directory, size=4096, count=2000):
    """Median time of one durable overwrite: O_DIRECT and O_DSYNC, one at a time."""
    path = os.path.join(directory, "durable-write-probe")
    span = 16 << 20
    with open(path, "wb") as file:
        file.write(bytes(span))
        os.fsync(file.fileno())
    try:
        fd = os.open(path, os.O_WRONLY | os.O_DSYNC | os.O_DIRECT)
    except OSError:  # tmpfs and some others refuse O_DIRECT
        fd = os.open(path, os.O_WRONLY | os.O_DSYNC)
    block = mmap.mmap(-1, size)
    times = []
    try:
        for i in range(count):
            began = time.perf_counter()
            os.pwrite(fd, block, i * size % span)
            times.append(time.perf_counter() - began)
    finally:
        os.close(fd)
        os.unlink(path)
    return statistics.median(times) * 1e6


def raise_open_files():
    """Up to the hard limit; ten thousand connections need it. Answers what is allowed now."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _first_value(path, key):
    with open(path, encoding="utf-8") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return "unknown"


def filesystem_of(directory):
    """The type of the file system a directory lies on: its longest mount point says it."""
    path, best = os.path.realpath(directory) + "/", ("", "unknown")
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            _device, point, kind = line.split()[:3]
            if path.startswith(point.rstrip("/") + "/") and len(point) >= len(best[0]):
                best = (point, kind)
    return best[1]


def describe(directory):
    """The kind of machine, for the head of the table."""
    with open("/proc/meminfo", encoding="ascii") as meminfo:
        memory_kib = int(meminfo.readline().split()[1])
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": _first_value("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_kib / (1 << 20), 1),
        "kernel": platform.release(),
        "filesystem": filesystem_of(directory),
        "virtual": "hypervisor" in _first_value("/proc/cpuinfo", "flags").split(),
    }


def tree_bytes(directory):
    """Sizes of all files below a directory."""
    total = 0
    for path, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(path, name)).st_size
            except FileNotFoundError:
                pass
    return total
