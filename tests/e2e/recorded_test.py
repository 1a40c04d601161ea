#!/usr/bin/env python3
"""Power failures at any write: what had been answered with 250 is in the spool that is left.

Usage: recorded_test.py BUILD_DIR [--cuts N] [--lives N] [--megabytes N] [--shards N] [--seed N]
                        [--keep]

ringpostd_recorded runs under load and writes down what it writes; it is killed and started again,
so that recovery is recorded, too. From that the spool and the logs are rebuilt as they may be after
the power failed at some point: completed writes, and any subset of the others, torn at sectors.
spool_found recovers each image as the daemon would, and of some a second time.

A message whose 250 was about to be sent must be alive and readable there, with the same bytes
everywhere, or the sink must have had it by then; and in that case its Delivery record must be in
the logs, or recovery must ask for it to be written again. Nothing may be reported as damaged. And
what the trace says must be, byte for byte, what lies on the disk after each life.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time

import ringtest
import ringtools
import trace_disk

RECIPIENTS = 2
NEVER = 1 << 62


def memory_directory():
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def logged_ids(directory):
    """Messages with a Delivery record."""
    return {record["id"] for record in ringtools.log_records(directory, torn=True)
            if record["type"] == "Delivery"}


class Found:
    """What spool_found says of an image; it works on it as a daemon that is killed at once."""

    def __init__(self, image):
        self.alive = {}      # id -> length and hash of the body
        self.unlogged = set()
        self.complaints = []
        run = subprocess.run(
            [ringtools.tool("spool_found"), image + "/meta", image + "/data"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
            timeout=ringtest.PATIENCE)
        for line in run.stdout.splitlines():
            what, words = line.split(" ", 1)
            if what == "found":
                name, body = words.split(" ", 1)
                self.alive[name] = body
            elif what == "unlogged":
                self.unlogged.add(words)
            elif what != "recovered":
                self.complaints.append(line)
        if run.returncode != 0:
            self.complaints.append("status %d: %s" % (run.returncode, run.stderr))

    def unlike(self, second):
        """Complaints about a second look at the same image. A segment that the first has dropped
        may have been the only one to say what is logged: then more is written again."""
        complaints = list(second.complaints)
        if second.alive != self.alive:
            complaints.append("%d alive at first, then %d" % (len(self.alive), len(second.alive)))
        if not second.unlogged >= self.unlogged:
            complaints.append("%d unlogged at first are not so any more" % len(
                self.unlogged - second.unlogged))
        return complaints


class Recorded:

    def __init__(self, words):
        self.words = words
        self.random = random.Random(words.seed)
        self.dir = tempfile.mkdtemp(prefix="ringrecord-")
        # Images are many, and nobody needs them on a disk.
        self.images = tempfile.mkdtemp(prefix="ringrecord-", dir=memory_directory())
        self.root = self.path("spool")
        self.arrived = {}         # id -> wall clock in ms
        self.bodies = {}          # id -> length and hash
        self.waiting = 0          # alive, over all images
        self.again = 0            # to be logged again, over all images
        self.lost = 0

    def path(self, *names):
        return os.path.join(self.dir, *names)

    # ---- the recording ----

    def policy(self, sink):
        text = ringtest.policy(
            sink=sink, logs="max_segment_duration='5s'",
            queue_options="retry_interval='1s', max_retry_interval='1s'",
            path_options="connection_limit=4, max_ready=1000000")
        path = self.path("init.lua")
        os.mkdir(self.root)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("@DIR@", self.root))
        return path

    def record(self):
        sink = ringtools.Sink(self.path("received"), RECIPIENTS, "--reply",
                              "dot:5%:451 4.3.0 later", "--reply", "rcpt:40%:450 4.3.0 not yet")
        policy = self.policy(sink)
        try:
            for life in range(self.words.lives):
                self.live(life, policy)
                trace_disk.copy_tree(self.root, self.path("left-%d" % life))
        finally:
            sink.close()

    def live(self, life, policy):
        """One life of the daemon; the last one ends in order."""
        is_last = life == self.words.lives - 1
        daemon = subprocess.Popen(
            [ringtools.tool("ringpostd_recorded"), self.path("trace-%d" % life), self.root, policy,
             str(self.words.shards or self.random.randint(1, 3))], stderr=subprocess.PIPE, text=True)
        log = ringtest.Lines(daemon.stderr)
        try:
            port = int(log.wait(r"smtp listener on .*:(\d+)").group(1))
            log.wait("initialization complete")
            loads = self.load(life, port)
            if is_last:
                self.finish(loads)
                daemon.terminate()
                assert daemon.wait(ringtest.PATIENCE) == 0, log.text()
            else:
                time.sleep(0.3 + 0.15 * self.words.megabytes * self.random.random())
                daemon.kill()
                self.finish(loads)
        finally:
            daemon.kill()
            daemon.wait()

    @staticmethod
    def finish(loads):
        for load in loads:
            load.wait()

    def load(self, life, port):
        """Small and large messages at once, so that all kinds of commits overlap."""
        share = self.words.megabytes / 4
        return [ringtools.Load(port, self.path("accepted"),
                               "--first", str((life * 4 + number) * 1000000),
                               "--messages", str(max(3, int(share * 1e6 / size))), "--size",
                               str(size), "--recipients", str(RECIPIENTS), "--domains", "5",
                               "--body", "mixed", "--connections", str(connections))
                for number, (size, connections) in enumerate(
                    ((700, 10), (4000, 10), (40000, 4), (900000, 2)))]

    def read_books(self):
        """When the sink had which id: sequence numbers from its journal, ids from the log."""
        times = {}
        for line in ringtools.Journal(self.path("received")).take():
            ms, event, sequence, recipient = line.split()
            if event == "dot":
                serial = int(sequence) * RECIPIENTS + int(recipient)
                times.setdefault(serial, int(ms))
        for record in ringtools.log_records(self.root + "/logs"):
            names = record["recipient"]
            name = names[0] if isinstance(names, list) else names
            serial = int(name[len("user"):].split("-")[0])
            if serial in times:
                self.arrived[record["id"]] = times[serial]

    # ---- the cuts ----

    def cut_points(self, trace):
        """Numbers of entries to stop before; most of them right behind an acknowledgement, one at
        the end."""
        kinds = [kind for kind, _, _ in trace_disk.entries(trace)]
        behind = [i + 1 for i, kind in enumerate(kinds) if kind == "K"]
        count = min(self.words.cuts // self.words.lives, len(kinds))
        points = set(self.random.sample(behind, min(len(behind), count * 2 // 3)))
        points.update(self.random.sample(range(len(kinds)), max(0, count - 1 - len(points))))
        points.add(len(kinds))
        return points

    def check_cuts(self):
        disk = trace_disk.Disk(self.root, os.path.join(self.images, "stable"))
        checked = 0
        for life in range(self.words.lives):
            trace = self.path("trace-%d" % life)
            points = self.cut_points(trace)
            checked += len(points)
            number = 0
            for number, entry in enumerate(trace_disk.entries(trace), 1):
                if number - 1 in points:
                    self.check(disk, "%d-%d" % (life, number - 1))
                disk.entry(*entry)
            if number in points:
                self.check(disk, "%d-%d" % (life, number))
            strange = disk.end_life(self.path("left-%d" % life), life == self.words.lives - 1)
            assert not strange, "the trace of life %d does not tell of %s" % (life, strange)
        print("%d cuts of %d lives with %d acknowledgements, %d messages alive and %d to be logged "
              "again over all images; %d images with losses" % (
                  checked, self.words.lives, len(disk.acknowledged), self.waiting, self.again,
                  self.lost))
        assert self.lost == 0

    def check(self, disk, number):
        image = os.path.join(self.images, "image")
        dice = self.random.getstate()
        disk.image(image, self.random)
        wrong = []
        if self.random.random() < 0.25 and os.path.isdir(image + "/data"):
            run = ringtools.ringspool("verify", image + "/data")
            if run.returncode != 0:
                wrong.append((run.stdout + run.stderr).decode())
        found = Found(image)
        logged = logged_ids(image + "/logs")
        wrong += found.complaints
        for name in disk.acknowledged:
            if name in found.alive:
                continue
            if self.arrived.get(name, NEVER) > disk.now_ms:
                wrong.append("lost %s" % name)
            elif name not in logged and name not in found.unlogged:
                wrong.append("unlogged %s" % name)
        for name, body in found.alive.items():
            if self.bodies.setdefault(name, body) != body:
                wrong.append("changed %s" % name)
        self.waiting += len(found.alive)
        self.again += len(found.unlogged)
        if self.random.random() < 0.25:
            wrong += found.unlike(Found(image))
        trace_disk.remove(image)
        if wrong:
            self.lost += 1
            kept = self.path("image-" + number)
            self.random.setstate(dice)
            disk.image(kept, self.random)
            print("cut before entry %s, %d acknowledged, %d complaints about %s: %s" % (
                number, len(disk.acknowledged), len(wrong), kept, wrong[:6]), flush=True)

    def run(self):
        self.record()
        self.read_books()
        self.check_cuts()


def main():
    words = argparse.ArgumentParser()
    words.add_argument("build_dir")
    words.add_argument("--cuts", type=int, default=60)
    words.add_argument("--lives", type=int, default=3)
    words.add_argument("--megabytes", type=float, default=4)
    words.add_argument("--shards", type=int, default=0, help="0: one to three, by the seed")
    words.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    words.add_argument("--keep", action="store_true")
    words = words.parse_args()
    ringtest.BUILD_DIR = words.build_dir
    recorded = Recorded(words)
    done = False
    try:
        recorded.run()
        done = True
    finally:
        if not done:
            print("FAILED; --seed %d; see %s" % (words.seed, recorded.dir))
        trace_disk.remove(recorded.images)
        if done and not words.keep:
            trace_disk.remove(recorded.dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
