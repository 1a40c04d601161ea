#!/usr/bin/env python3
"""kill -9 at any moment: what was answered with 250 arrives, whole, and has its log record.

Usage: crash_test.py BUILD_DIR [--rounds N] [--seed N] [--keep]

A round: start with one to three shards on the spool that the last round left, now and then with
the policy after the 250 (deferred_queue), load, kill at a random moment; sometimes again while it
recovers or drains; start once more and let everything through. Five rounds take about half a
minute. A failure prints the seed, and the
directory stays.

A message may arrive twice only when the sink's books say why: the connection ended before the
sender went on after the 250, or the arrival was so close before a kill that its settlement, which
waits up to 20 ms for company, was not on disk yet.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time

import ringtest
import ringtools

RECIPIENTS = 2
DOMAINS = 5
STRIDE = 100000       # sequence numbers of a round
SETTLE_MS = 1500      # of wall clock between an arrival and its settlement on a busy machine
SIZES = ("600", "4k", "4k", "30k", "400k")


class Crash:

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.dir = tempfile.mkdtemp(prefix="ringcrash-")
        self.sink = ringtools.Sink(self.path("received"), RECIPIENTS,
                                   "--reply", "rcpt:2%:451 4.3.0 later",
                                   "--reply", "dot:1%:450 4.3.0 not now", "--reset", "dot:0.5%",
                                   "--delay", "dot:1%:30ms")
        self.books = ringtools.Books(self.path("accepted"), self.path("received"), RECIPIENTS)
        self.kills = []       # wall clock in ms, just after
        self.daemon = None
        self.daemon_shards = 0
        self.load = None
        self.repeated = 0
        self.by_settle = 0
        self.settle_ms = 0

    def path(self, name):
        return os.path.join(self.dir, name)

    def start(self):
        text = ringtest.policy(
            sink=self.sink, logs="max_segment_duration='2s'",
            listener=self.random.choice(("", "", "deferred_queue=true")),
            queue_options="retry_interval='1s', max_retry_interval='1s'",
            path_options="connection_limit=8, max_ready=1000000")
        self.daemon_shards = self.random.randint(1, 3)
        self.daemon = ringtest.Daemon(text, directory=self.dir, shards=self.daemon_shards)

    def kill(self):
        self.daemon.kill()
        self.kills.append(time.time() * 1000)
        self.keep_output("killed")
        if self.random.random() < 0.3:  # it reads all of the spool
            ringtools.verify_spool(self.path("data"))

    def keep_output(self, how):
        """What each life said, for whoever has to find out."""
        with open(self.path("lives"), "a", encoding="utf-8") as file:
            file.write("%s\n---- %s at %.0f ms\n" % (self.daemon.log.text(), how,
                                                    time.time() * 1000))

    def pause(self, longest):
        """A moment, short ones as likely as long ones."""
        time.sleep(longest * self.random.random() ** 2)

    def load_until_killed(self, number):
        self.start()
        self.load = ringtools.Load(
            self.daemon.port, self.path("accepted"), "--messages", str(STRIDE),
            "--first", str(number * STRIDE), "--recipients", str(RECIPIENTS), "--domains", str(DOMAINS),
            "--body", "mixed", "--size", self.random.choice(SIZES),
            "--connections", str(self.random.choice((1, 8, 40))),
            "--rate", str(self.random.choice((0, 0, 300))))
        self.pause(1.5)
        self.kill()
        self.load.wait()

    def drain(self):
        """Until everything promised has arrived; answers the seconds it took."""
        begin = time.monotonic()
        while True:
            self.books.read()
            if not self.books.missing:
                return time.monotonic() - begin
            if time.monotonic() - begin > ringtest.PATIENCE:
                raise AssertionError("%d promised messages do not arrive: %s ...\n%s" % (
                    len(self.books.missing), sorted(self.books.missing)[:20],
                    self.daemon.log.text()))
            time.sleep(0.02)  # files do not tell; the next look does

    def check_duplicates(self):
        """Every repetition has its reason in the books."""
        pairs = self.books.duplicates()
        self.repeated = len(pairs)
        self.by_settle = 0
        for pair in pairs:
            times = self.books.arrived[pair]
            unsure = self.books.unsure.get(pair, [])
            for i, first in enumerate(times[:-1]):
                if any(first <= ms <= times[i + 1] for ms in unsure):
                    continue
                near = [kill for kill in self.kills if 0 <= kill - first <= SETTLE_MS]
                assert near, "%s arrived at %s, kills were at %s" % (pair, times, self.kills)
                self.by_settle += 1
                self.settle_ms = max(self.settle_ms, min(kill - first for kill in near))

    def silent(self):
        """Promised recipients without a Delivery record."""
        told = set()
        for record in ringtools.log_records(self.path("logs")):
            if record["type"] == "Delivery":
                names = record["recipient"]
                told.update(names if isinstance(names, list) else [names])
        found = []
        for sequence, index in sorted(self.books.promised):
            serial = sequence * RECIPIENTS + index
            name = "user%d-%d@dst%d.test" % (serial, index, serial % DOMAINS)
            if name not in told:
                found.append((name, sequence, self.books.arrived[(sequence, index)]))
        return found

    def check_records(self):
        """Each promised recipient has its record once the daemon has ended in order. One that is
        told to end while it still recovers leaves the rest of the records to its next start."""
        for _ in range(3):
            self.daemon.stop()
            self.keep_output("stopped")
            silent = self.silent()
            if not silent:
                return
            self.start()
            self.wait_recovered()
        raise AssertionError("no Delivery record of %d recipients: %s" % (
            len(silent), silent[:20]))

    def wait_recovered(self):
        for shard in range(self.daemon_shards):
            self.daemon.log.wait("shard %d: spool recovered" % shard)

    def round(self, number):
        before = len(self.books.promised)
        self.load_until_killed(number)
        while self.random.random() < 0.4:
            self.start()
            self.pause(0.6)
            self.kill()
        self.start()
        seconds = self.drain()
        self.check_duplicates()
        if self.random.random() < 0.5:
            self.check_records()
        else:
            self.kill()
        print("round %d: %d promised, %d on the last start, drained in %.2f s; so far %d kills, "
              "%d repeated, %d of them for a late settle" % (
                  number, len(self.books.promised) - before, self.found(), seconds,
                  len(self.kills), self.repeated, self.by_settle), flush=True)

    def found(self):
        return sum(int(line.split("recovered ")[1].split()[0])
                   for line in self.daemon.log.lines if "spool recovered" in line)

    def finish(self):
        """Starts on what should be an empty spool, and looks at everybody's last word."""
        self.start()
        self.check_records()
        report = self.sink.end()
        self.books.read()
        self.check_duplicates()
        assert not self.books.missing, self.books.missing
        assert (report["corrupt"], report["foreign"]) == (0, 0), report
        print("%d promised, %d arrived of %d, %d repeated, %d of them for a settle up to %d ms late, "
              "%d kills" % (len(self.books.promised), report["intact"], len(self.books.arrived),
                            self.repeated, self.by_settle, self.settle_ms, len(self.kills)))

    def close(self, keep):
        for thing in (self.load, self.sink):
            if thing is not None:
                thing.close()
        if self.daemon is not None and not self.daemon.stopped:
            self.daemon.kill()
        if not keep:
            shutil.rmtree(self.dir)


def main():
    words = argparse.ArgumentParser()
    words.add_argument("build_dir")
    words.add_argument("--rounds", type=int, default=8)
    words.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    words.add_argument("--keep", action="store_true")
    words = words.parse_args()
    ringtest.BUILD_DIR = words.build_dir
    crash = Crash(words.seed)
    done = False
    try:
        for number in range(words.rounds):
            crash.round(number)
        crash.finish()
        done = True
    finally:
        if not done:
            print("FAILED; --rounds %d --seed %d; see %s" % (words.rounds, words.seed, crash.dir))
        crash.close(words.keep or not done)
    return 0


if __name__ == "__main__":
    sys.exit(main())
