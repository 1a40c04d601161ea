#!/usr/bin/env python3
"""Power failures at any write: what had been answered with 250 is in the spool that is left.

Usage: recorded_test.py BUILD_DIR [--cuts N] [--lives N] [--megabytes N] [--seed N] [--keep]

ringpostd_recorded runs under load and writes down what it writes; it is killed and started again,
so that recovery is recorded, too. From that the spool is rebuilt
as it may be after the power failed at some point: completed writes, and any subset of the others,
torn at sectors. spool_found recovers each image as the daemon would. A message whose 250 was about
to be sent must be alive and readable there, unless the sink had it by then; nothing may be
reported as damaged.
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


def memory_directory():
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Recorded:

    def __init__(self, words):
        self.words = words
        self.random = random.Random(words.seed)
        self.dir = tempfile.mkdtemp(prefix="ringrecord-")
        # Images are many, and nobody needs them on a disk.
        self.images = tempfile.mkdtemp(prefix="ringrecord-", dir=memory_directory())
        self.root = self.path("spool")
        self.arrived = {}         # id -> wall clock in ms
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
        text = text.replace("@DIR@/data", self.root + "/data").replace(
            "@DIR@/meta", self.root + "/meta").replace("@DIR@", self.dir)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def record(self):
        sink = ringtools.Sink(self.path("received"), RECIPIENTS, "--reply",
                              "dot:5%:451 4.3.0 later", "--reply", "rcpt:40%:450 4.3.0 not yet")
        policy = self.policy(sink)
        try:
            for life in range(self.words.lives):
                if life > 0:
                    trace_disk.copy_tree(self.root, self.path("left-%d" % life))
                self.live(life, policy)
        finally:
            sink.close()

    def live(self, life, policy):
        """One life of the daemon; the last one ends in order."""
        is_last = life == self.words.lives - 1
        daemon = subprocess.Popen(
            [ringtools.tool("ringpostd_recorded"), self.path("trace-%d" % life), self.root, policy,
             str(self.random.randint(1, 3))], stderr=subprocess.PIPE, text=True)
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
        for record in ringtools.log_records(self.path("logs")):
            serial = int(record["recipient"][len("user"):].split("-")[0])
            if serial in times:
                self.arrived[record["id"]] = times[serial]

    # ---- the cuts ----

    def cut_points(self, trace):
        """Numbers of entries to stop before; most of them right behind an acknowledgement."""
        kinds = [kind for kind, _, _ in trace_disk.entries(trace)]
        behind = [i + 1 for i, kind in enumerate(kinds) if kind == "K"]
        count = min(self.words.cuts // self.words.lives, len(kinds))
        points = self.random.sample(behind, min(len(behind), count * 2 // 3))
        points += self.random.sample(range(len(kinds)), count - len(points))
        return sorted(set(points))

    def check_cuts(self):
        disk = trace_disk.Disk(self.root, os.path.join(self.images, "stable"))
        checked = 0
        for life in range(self.words.lives):
            if life > 0:
                disk.adopt(self.path("left-%d" % life))
            trace = self.path("trace-%d" % life)
            points = self.cut_points(trace)
            checked += len(points)
            for number, entry in enumerate(trace_disk.entries(trace)):
                if points and points[0] == number:
                    points.pop(0)
                    self.check(disk, "%d-%d" % (life, number))
                disk.entry(*entry)
        print("%d cuts of %d lives with %d acknowledgements; %d images with losses" % (
            checked, self.words.lives, len(disk.acknowledged), self.lost))
        assert self.lost == 0

    def check(self, disk, number):
        image = os.path.join(self.images, "image")
        trace_disk.remove(image)
        disk.image(image, self.random)
        found = subprocess.run(
            [ringtools.tool("spool_found"), image + "/meta", image + "/data"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
            timeout=ringtest.PATIENCE)
        lines = [line.split(" ", 2) for line in found.stdout.splitlines()]
        alive = {words[1] for words in lines if words[0] == "found"}
        missing = [name for ms, name in disk.acknowledged
                   if name not in alive and self.arrived.get(name, 1 << 62) > disk.now_ms]
        other = [" ".join(words) for words in lines if words[0] in ("unreadable", "damaged")]
        if found.returncode != 0 or missing or other:
            self.lost += 1
            kept = self.path("image-" + number)
            trace_disk.copy_tree(image, kept)
            print("cut before entry %s: status %d, %d of %d acknowledged messages missing %s, %s %s "
                  "in %s" % (number, found.returncode, len(missing), len(disk.acknowledged),
                             missing[:3], other[:3], found.stderr, kept), flush=True)

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
