#!/usr/bin/env python3
"""Disks that are full, fail, or lie: what was answered with 250 stays, and service comes back.

Usage: fault_test.py BUILD_DIR [unittest arguments]

Where a disk of its own cannot be mounted, the tests that need one say so and are skipped; the exit
status is then 77, if nothing else fails.
"""

import ctypes
import errno
import glob
import mmap
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import ringtest
import ringtools

RETRY = "retry_interval='1s', max_retry_interval='1s'"
MEGABYTE = 1 << 20
MISSING = []  # what the host refuses


def run(*words):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)


def mounted(test, *words):
    """mount(8), undone at the end of the test."""
    done = run("mount", *words)
    if done.returncode != 0:
        MISSING.append(done.stdout.strip())
        print("not possible here: mount %s: %s" % (" ".join(words), done.stdout.strip()))
        test.skipTest("cannot mount: " + done.stdout.strip())
    test.addCleanup(run, "umount", words[-1])


class FaultyDaemon(ringtest.Daemon):
    """One on a disk that fails when it is told to."""

    def __init__(self, text, directory, root, **named):
        self.control_path = os.path.join(directory, "control")
        self.root = os.path.join(directory, root)
        with open(self.control_path, "wb") as file:
            file.write(bytes(12))
        with open(self.control_path, "r+b") as file:
            self.control = mmap.mmap(file.fileno(), 12)
        super().__init__(text, directory=directory, **named)

    def command(self, path, shards, args):
        return [ringtools.tool("ringpostd_faulty"), self.control_path, self.root, path,
                str(shards)]

    def fail(self, write_error=0, read_error=0):
        self.control[0:8] = struct.pack("<ii", write_error, read_error)

    def failed_count(self):
        return struct.unpack("<I", self.control[8:12])[0]


class FaultTest(ringtest.RingTest):

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="ringfault-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def disk(self, name, size, options=""):
        """A small file system of its own below the directory."""
        os.mkdir(self.path(name))
        mounted(self, "-t", "tmpfs", "-o", "size=%d%s" % (size, options), "tmpfs",
                self.path(name))

    def resize(self, name, size):
        done = run("mount", "-o", "remount,size=%d" % size, self.path(name))
        self.assertEqual(done.returncode, 0, done.stdout)

    @staticmethod
    def ballast(path):
        """Takes all the room there is."""
        with open(path, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def checking_sink(self, *args):
        sink = ringtools.Sink(self.path("received"), 1, *args)
        self.addCleanup(sink.close)
        self.books = ringtools.Books(self.path("accepted"), self.path("received"), 1)
        return sink

    def load(self, daemon, first, count, size, *args):
        load = ringtools.Load(daemon.port, self.path("accepted"), "--first", str(first),
                              "--messages", str(count), "--size", str(size), *args)
        self.addCleanup(load.close)
        return load

    def accepted_bytes(self):
        try:
            return os.path.getsize(self.path("accepted"))
        except FileNotFoundError:
            return 0

    def until(self, condition, what):
        """Files do not tell: the next look does."""
        end = time.monotonic() + ringtest.PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise AssertionError("waited in vain for " + what())
            time.sleep(0.02)

    def until_prepared(self, directory):
        """Until the spool of one shard has the segments that it wants, and rests: one is being
        written, one is ready, two are free."""
        def uses():
            found = []
            for path in glob.glob(os.path.join(directory, "data", "log-*", "seg-*")):
                with open(path, "rb") as file:
                    header = file.read(16).ljust(16, b"\0")
                found.append(struct.unpack("<I", header[12:16])[0])
            return sorted(found)
        self.until(lambda: uses() == [1, 1, 2, 2], lambda: "segments; there are %s" % uses())

    def drained(self, daemon):
        """Until everything promised has arrived."""
        def done():
            self.books.read()
            return not self.books.missing
        self.until(done, lambda: "%s; the daemon said:\n%s" % (
            sorted(self.books.missing)[:10], daemon.log.text()))

    def told(self, daemon, pattern, count=1):
        """Until the daemon has said it so often."""
        def enough():
            return len([line for line in list(daemon.log.lines) if re.search(pattern, line)]) >= count
        self.until(enough, lambda: "%d x %s in:\n%s" % (count, pattern, daemon.log.text()))

    def stop(self, daemon, *expected):
        """In order; complaints that match are part of the test."""
        daemon.stop()
        for line in daemon.log.lines:
            if " ERROR " in line and not any(re.search(e, line) for e in expected):
                self.fail("unexpected: " + line)

    def check_deliveries(self, messages_of=None):
        """Every promised message has its Delivery record."""
        told = {record["id"] for record in ringtools.log_records(self.path("logs"))
                if record["type"] == "Delivery"}
        received = {record["id"] for record in ringtools.log_records(self.path("logs"))
                    if record["type"] == "Reception"}
        self.assertEqual(received - told, set())
        if messages_of is not None:
            self.assertGreaterEqual(len(told), messages_of)


FULL = r"not accepting mail: disk is too full"
AGAIN = r"accepting mail again"
REFUSED = r"not accepting mail: the spool is not accepting writes"
UNSAVED = r"queue: the state of a message in queue \S+ was not saved"


class FullDisk(FaultTest):

    def fill(self, daemon, first):
        """Load until the disk takes no more; answers how many were accepted."""
        report = self.load(daemon, first, 1000, 100000, "--connections", "4").wait()
        self.assertLess(report["accepted"], 1000, report)
        return report

    def test_a_full_spool_refuses_new_mail_delivers_the_rest_and_opens_again(self):
        """One shard holds three segments here: one for mail, two for the rest of the work."""
        self.disk("data", 200 * MEGABYTE)
        sink = self.checking_sink("--refuse", "close")
        daemon = self.daemon(directory=self.dir, shards=1, sink=sink, spool="min_free_space=0",
                             queue_options=RETRY, logs="max_segment_duration='1s'")
        early = self.client(daemon)
        self.fill(daemon, 0)
        daemon.log.wait(FULL)
        self.assertEqual(early.mail(), "452 4.3.1 the disk is too full. Try later")
        self.assertEqual(self.client(daemon).banner,
                         "421 4.3.2 mx.test disk is too full. Try later")
        sink.toggle()
        self.drained(daemon)
        daemon.log.wait(AGAIN)  # what was delivered has made room
        early.mailed(body="Subject: x\r\n\r\nunknown to the sink's books\r\n")
        sink.toggle()
        self.fill(daemon, 1000)
        self.told(daemon, FULL, 2)
        self.resize("data", 400 * MEGABYTE)  # nothing is delivered, but there is room
        self.told(daemon, AGAIN, 2)
        self.assertGreater(self.load(daemon, 2000, 10, 1000).wait()["accepted"], 0)
        sink.toggle()
        self.drained(daemon)
        self.stop(daemon, FULL)
        self.check_deliveries(messages_of=len(self.books.promised))

    def test_below_its_limits_of_space_and_inodes_nothing_new_comes_in(self):
        """Several daemons at once, as each look at the disk takes a while to come."""
        sink = self.sink()
        sink.on["RCPT"] = lambda session, line: "451 4.0.0 later"
        daemons = []
        for name, disk, what, options in (
                ("space", "data", "bytes", {"spool": "min_free_space='%d'" % (50 * MEGABYTE)}),
                ("inodes", "data", "inodes",
                 {"spool": "min_free_space=0, min_free_inodes='50%'"}),
                ("logs", "logs", "bytes", {"logs": "min_free_space='50%'"})):
            os.mkdir(self.path(name))
            self.disk(os.path.join(name, disk), 400 * MEGABYTE, ",nr_inodes=1000")
            daemon = self.daemon(directory=self.path(name), shards=1, sink=sink,
                                 queue_options=RETRY, **options)
            early = self.client(daemon)
            early.mailed()
            daemons.append((daemon, early, what, self.path(name, disk)))
        for _, _, what, path in daemons:
            self.until_prepared(os.path.dirname(path))
            os.mkdir(path + "/ballast")
            for number in range(600 if what == "inodes" else 1):
                with open("%s/ballast/%d" % (path, number), "wb") as file:
                    if what == "bytes":
                        room = os.statvfs(path).f_bavail * 4096
                        os.posix_fallocate(file.fileno(), 0, room - 20 * MEGABYTE)
        for daemon, early, what, path in daemons:
            daemon.log.wait(FULL + r": %s has \d+ %s \(\d+%%\) free" % (path, what))
            self.assertEqual(early.mail(), "452 4.3.1 the disk is too full. Try later")
            self.assertEqual(self.client(daemon).banner,
                             "421 4.3.2 mx.test disk is too full. Try later")
        del sink.on["RCPT"]
        sink.wait_messages(len(daemons))
        for _, _, _, path in daemons:
            shutil.rmtree(path + "/ballast")
        for daemon, early, _, _ in daemons:
            daemon.log.wait(AGAIN)
            early.mailed()
        sink.wait_messages(2 * len(daemons))
        for daemon, _, _, _ in daemons:
            self.stop(daemon, FULL)

    def test_a_full_log_directory_holds_mail_up_and_loses_no_record(self):
        self.disk("logs", MEGABYTE)
        sink = self.checking_sink()
        daemon = self.daemon(directory=self.dir, shards=1, sink=sink, queue_options=RETRY,
                             logs="max_segment_duration='1s', back_pressure=40")
        self.assertEqual(self.load(daemon, 0, 20, 1000).wait()["accepted"], 20)
        self.until(lambda: any(os.stat(f).st_mode & 0o222 == 0
                               for f in glob.glob(self.path("logs", "*"))),
                   lambda: "a finished segment")
        finished = [f for f in glob.glob(self.path("logs", "*")) if os.stat(f).st_mode & 0o222 == 0]
        before = [ringtools.unpack(path) for path in finished]
        self.ballast(self.path("logs", ".ballast"))
        load = self.load(daemon, 20, 200, 1000)
        daemon.log.wait(r"log: .*No space left on device; records are kept")
        self.until(lambda: self.accepted_bytes() > 100, lambda: "mail")
        os.unlink(self.path("logs", ".ballast"))
        daemon.log.wait(r"segments in .* are written again")
        self.assertEqual(load.wait()["accepted"], 200)
        self.drained(daemon)
        self.stop(daemon, r"log: .*No space left")
        self.check_deliveries(messages_of=220)
        self.assertEqual([ringtools.unpack(path) for path in finished], before)


class FailingDisk(FaultTest):

    def faulty(self, root, sink, **named):
        os.mkdir(self.path("data"))
        daemon = FaultyDaemon(ringtest.policy(sink=sink, queue_options=RETRY, **named), self.dir,
                              root, shards=1)
        self.addCleanup(daemon.end)
        return daemon

    def refuses_and_recovers(self, error):
        sink = self.sink()
        go_on = threading.Event()  # until then the early message writes nothing about itself
        sink.on["RCPT"] = lambda session, line: go_on.wait(ringtest.PATIENCE) and None
        daemon = self.faulty("data", sink)
        early, other, third = (self.client(daemon) for _ in range(3))
        early.mailed(body="Subject: early\r\n\r\nbefore it failed\r\n")
        sink.wait_command("RCPT")
        self.until_prepared(self.dir)
        daemon.fail(write_error=error)
        other.envelope()
        other.cmd("DATA")
        other.send("Subject: x\r\n\r\nmay be on the disk or not\r\n.\r\n")
        self.assertTrue(other.at_end())  # nobody can say, so nothing is said
        daemon.log.wait(REFUSED)
        self.assertEqual(third.mail(),
                         "451 4.3.0 the spool is not accepting writes. Try later")
        self.assertEqual(self.client(daemon).banner,
                         "421 4.3.2 mx.test the spool is not accepting writes. Try later")
        go_on.set()
        sink.wait_messages(1)
        daemon.fail()
        daemon.log.wait(AGAIN)
        third.mailed(body="Subject: late\r\n\r\nafter it failed\r\n")
        messages = sink.wait_messages(2)
        self.assertIn(b"before it failed", messages[0].body)
        self.assertIn(b"after it failed", messages[1].body)
        self.stop(daemon, REFUSED)
        self.check_deliveries(messages_of=2)
        again = self.daemon(directory=self.dir, shards=1, sink=sink, queue_options=RETRY)
        again.log.wait("spool recovered 0 messages")
        again.stop()

    def test_a_disk_that_fails_writes_stops_new_mail_until_it_is_well(self):
        self.refuses_and_recovers(errno.EIO)

    def test_a_disk_that_became_read_only_stops_new_mail_until_it_is_well(self):
        self.refuses_and_recovers(errno.EROFS)

    def test_a_disk_that_fails_and_stays_so_keeps_what_was_accepted(self):
        sink = self.checking_sink("--refuse", "close")
        daemon = self.faulty("data", sink)
        load = self.load(daemon, 0, 100000, 3000, "--connections", "8")
        self.until(lambda: self.accepted_bytes() > 100, lambda: "mail")
        daemon.fail(write_error=errno.EIO)
        daemon.log.wait(REFUSED)
        load.stop()
        daemon.kill()
        sink.toggle()
        again = self.daemon(directory=self.dir, shards=1, sink=sink, queue_options=RETRY)
        self.drained(again)
        self.stop(again)

    def test_a_disk_that_fails_reads_delays_mail_and_nothing_else(self):
        sink = self.sink()
        sink.on["RCPT"] = lambda session, line: "451 4.0.0 later"
        daemon = self.faulty("data", sink)
        body = "Subject: x\r\n\r\n%s\r\n" % ("x" * 70 + "\r\n") * 500
        self.client(daemon).mailed(body=body)
        sink.wait_command("RCPT")
        daemon.fail(read_error=errno.EIO)
        daemon.wait_records(lambda r: "refused a read" in r["response"]["content"], 2)
        del sink.on["RCPT"]
        daemon.fail()
        message, = sink.wait_messages(1)
        self.assertTrue(message.body.endswith(body.encode()))
        self.assertEqual((message.sender, message.recipients),
                         ("<a@src.test>", ["<b@dst.test>"]))
        self.stop(daemon)

    def test_a_log_disk_that_fails_loses_no_record(self):
        sink = self.checking_sink()
        os.mkdir(self.path("logs"))
        daemon = self.faulty("logs", sink, logs="max_segment_duration='1s'")
        for first, error in ((0, errno.EIO), (20, errno.EROFS)):
            daemon.fail(write_error=error)
            self.assertEqual(self.load(daemon, first, 20, 1000).wait()["accepted"], 20)
            daemon.log.wait(r"log: .*%s; records are kept" % os.strerror(error))
            daemon.fail()
            self.told(daemon, "segments in .* are written again", first // 20 + 1)
        self.drained(daemon)
        self.stop(daemon, "log: .* records are kept", "log: .* is given up")
        self.check_deliveries(messages_of=40)

    def test_a_file_system_that_went_read_only_keeps_what_was_accepted(self):
        """What errors=remount-ro does, which nothing but a new mount undoes."""
        with open(self.path("image"), "wb") as file:
            file.truncate(512 * MEGABYTE)
        done = run("mkfs.ext4", "-q", "-O", "^has_journal", self.path("image"))
        if done.returncode != 0:
            self.skipTest(done.stdout)
        os.mkdir(self.path("data"))
        mounted(self, "-o", "loop,errors=remount-ro", self.path("image"), self.path("data"))
        source = run("findmnt", "-no", "SOURCE", self.path("data")).stdout.strip()
        sink = self.sink()
        sink.on["RCPT"] = lambda session, line: "451 4.0.0 later"
        daemon = self.daemon(directory=self.dir, shards=1, sink=sink, queue_options=RETRY)
        client, other = self.client(daemon), self.client(daemon)
        client.mailed(body="Subject: early\r\n\r\nbefore it failed\r\n")
        sink.wait_command("RCPT")
        self.until_prepared(self.dir)
        trigger = "/sys/fs/ext4/%s/trigger_fs_error" % os.path.basename(source)
        run("sh", "-c", "echo 1 > " + trigger)
        other.envelope()
        other.cmd("DATA")
        other.send("Subject: x\r\n\r\nx\r\n.\r\n")
        # Nothing when its own write failed, a refusal when another one had failed before.
        self.assertIn(other.file.readline()[:4], (b"", b"451 "))
        daemon.log.wait(REFUSED)
        # The early message was refused once: what came of that may meet the failed disk.
        self.stop(daemon, REFUSED, UNSAVED)
        self.assertEqual(run("umount", self.path("data")).returncode, 0)
        mounted(self, "-o", "loop", self.path("image"), self.path("data"))
        del sink.on["RCPT"]
        again = self.daemon(directory=self.dir, shards=1, sink=sink, queue_options=RETRY)
        message, = sink.wait_messages(1)
        self.assertIn(b"before it failed", message.body)
        self.stop(again)


class Damage(FaultTest):

    NAMES = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")

    def spooled(self, is_killed=False):
        """Six messages that wait on the disk, in commits of their own; answers their ids."""
        self.the_sink = self.sink()
        self.the_sink.on["RCPT"] = lambda session, line: "451 4.0.0 later"
        daemon = self.daemon(directory=self.dir, shards=1, sink=self.the_sink, queue_options=RETRY)
        client = self.client(daemon)
        ids = {}
        for name in self.NAMES:
            ids[name], = client.mailed(
                body="Subject: %s\r\n\r\nbody of %s %s\r\n" % (name, name, "x" * 900),
                recipients=("to-%s@dst.test" % name,))
        if is_killed:
            daemon.kill()
        else:
            daemon.stop()
        return ids

    def place(self, text):
        """(path, offset) of these bytes where they stand first in a segment."""
        for path in sorted(glob.glob(self.path("data", "log-*", "seg-*"))):
            with open(path, "rb") as file:
                with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as bytes_:
                    at = bytes_.find(text.encode())
            if at >= 0:
                return path, at
        raise AssertionError("not in a segment: " + text)

    def flip(self, text):
        path, at = self.place(text)
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 0x10]))

    def verify(self):
        return run(ringtools.tool("ringspool"), "verify", self.path("data"))

    def deliver_all_but(self, *missing):
        """A new life of the daemon delivers the others; answers it."""
        del self.the_sink.on["RCPT"]
        daemon = self.daemon(directory=self.dir, shards=1, sink=self.the_sink, queue_options=RETRY)
        daemon.log.wait("spool recovered")
        self.the_sink.wait_messages(len(self.NAMES) - len(missing))
        client = self.client(daemon)
        client.mailed(body="Subject: new\r\n\r\nnew\r\n", recipients=("to-new@dst.test",))
        self.the_sink.wait_messages(len(self.NAMES) - len(missing) + 1)
        self.assertEqual(
            {m.recipients[0] for m in self.the_sink.messages},
            {"<to-%s@dst.test>" % name for name in (*self.NAMES, "new") if name not in missing})
        return daemon

    def one_is_damaged(self, text, is_killed):
        ids = self.spooled(is_killed)
        self.flip(text)
        verdict = self.verify()
        self.assertEqual((verdict.returncode, "DAMAGED" in verdict.stdout), (1, True),
                         verdict.stdout)
        daemon = self.deliver_all_but("bravo")
        daemon.log.wait("spool: message %s is damaged: " % ids["bravo"])
        self.stop(daemon, "spool: message %s is damaged: " % ids["bravo"])
        self.assertEqual(self.verify().returncode, 1)  # its bytes are still there

    def test_a_flipped_byte_in_a_body_costs_that_message_after_a_stop(self):
        self.one_is_damaged("body of bravo", False)

    def test_a_flipped_byte_in_a_body_costs_that_message_after_a_crash(self):
        self.one_is_damaged("body of bravo", True)

    def test_a_flipped_byte_in_a_record_costs_that_message_after_a_stop(self):
        self.one_is_damaged("to-bravo", False)

    def test_a_flipped_byte_in_a_record_costs_that_message_after_a_crash(self):
        self.one_is_damaged("to-bravo", True)

    def truncated(self, is_killed):
        self.spooled(is_killed)
        path, at = self.place("body of delta")
        os.truncate(path, at + 300)
        verdict = self.verify()
        self.assertEqual(verdict.returncode, 1, verdict.stdout)
        cut = r"spool: damaged: %s: .*was cut short" % re.escape(path)
        daemon = self.deliver_all_but("delta", "echo", "foxtrot")
        daemon.log.wait(cut)
        self.stop(daemon, cut)

    def test_a_truncated_segment_costs_what_is_gone_after_a_stop(self):
        self.truncated(False)

    def test_a_truncated_segment_costs_what_is_gone_after_a_crash(self):
        self.truncated(True)


class Start(FaultTest):
    """What cannot work ends with one line that says what to change."""

    def refused(self, text, *args, user="root", prefix=(), preexec=None):
        """The one line of a daemon that does not start."""
        with open(self.path("init.lua"), "w", encoding="utf-8") as file:
            file.write(text.replace("@DIR@", self.dir))
        done = subprocess.run(
            [*prefix, ringtools.tool("ringpostd"), "--policy", self.path("init.lua"), "--user",
             user, "--shards", "1", *args],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
            timeout=ringtest.PATIENCE, preexec_fn=preexec)
        lines = done.stderr.splitlines()
        if "stack traceback:" in lines:  # behind it: where in the policy
            lines = lines[:lines.index("stack traceback:")]
        self.assertEqual((done.returncode, len(lines)), (1, 1), done.stderr)
        self.assertTrue(lines[0].startswith("Error: "), lines)
        return lines[0]

    def test_a_second_daemon_is_refused_by_the_pid_of_the_first(self):
        first = self.daemon(directory=self.dir, sink=self.sink())
        line = self.refused(ringtest.policy())
        self.assertEqual(line, "Error: %s is locked by another process, pid %d" % (
            self.path("meta"), first.process.pid))
        self.client(first).mailed()
        self.stop(first)

    def test_a_spool_of_another_format_is_refused(self):
        first = self.daemon(directory=self.dir)
        first.stop()
        library = ctypes.CDLL("libxxhash.so.0")
        library.XXH3_64bits_withSeed.restype = ctypes.c_uint64
        with open(self.path("meta", "format"), "r+b") as file:
            content = bytearray(file.read())
            content[8:12] = struct.pack("<I", 99)
            content[24:32] = struct.pack("<Q", library.XXH3_64bits_withSeed(
                bytes(content[:24]), ctypes.c_size_t(24), ctypes.c_uint64(0)))
            file.seek(0)
            file.write(content)
        self.assertRegex(self.refused(ringtest.policy()),
                         "^Error: %s holds format 99, this program reads format 1$" %
                         self.path("meta"))

    def test_a_spool_path_that_cannot_be_used_is_named(self):
        with open(self.path("file"), "wb"):
            pass
        for path in ("file", "file/below"):
            self.assertRegex(
                self.refused(ringtest.policy().replace("@DIR@/data", self.path(path))),
                "^Error: %s: kumo.define_spool: path %s: cannot .*: Not a directory$" % (
                    self.path("init.lua"), self.path(path)))

    def test_a_log_directory_that_cannot_be_used_is_named(self):
        with open(self.path("file"), "wb"):
            pass
        line = self.refused(ringtest.policy().replace("@DIR@/logs", self.path("file")))
        self.assertRegex(line, "log_dir %s: Not a directory" % self.path("file"))

    def test_directories_that_root_made_are_named_with_what_to_change(self):
        """Then it does what the line said, until it starts."""
        os.chmod(self.dir, 0o755)
        for name in ("logs", "meta", "data"):
            os.mkdir(self.path(name), 0o755)
            line = self.refused(ringtest.policy(), user="nobody")
            hint = re.search("has to belong to the user of the daemon: (.*)$", line)
            self.assertTrue(hint and self.path(name) in hint.group(1), line)
            done = run("sh", "-c", hint.group(1).split(" (")[0])
            self.assertEqual(done.returncode, 0, done.stdout)
        daemon = ringtest.Daemon(ringtest.policy(sink=self.sink()), directory=self.dir,
                                 args=("--user", "nobody"))
        self.addCleanup(daemon.end)
        self.client(daemon).mailed()
        self.stop(daemon)

    def test_directories_that_are_not_there_are_made_for_the_user(self):
        run("chown", "nobody", self.dir)
        os.chmod(self.dir, 0o755)
        sink = self.sink()
        daemon = ringtest.Daemon(ringtest.policy(sink=sink), directory=self.dir,
                                 args=("--user", "nobody"))
        self.addCleanup(daemon.end)
        self.client(daemon).mailed()
        sink.wait_messages(1)
        self.stop(daemon)

    def test_limits_that_are_too_small_are_named(self):
        line = self.refused(ringtest.policy(), prefix=("prlimit", "--nofile=100:100"))
        self.assertRegex(line, "RLIMIT_NOFILE of 100 is too small: raise it to at least 1024")

    def test_a_host_without_io_uring_is_told_what_to_change(self):
        for error, what in ((errno.EPERM, "kernel.io_uring_disabled=0"),
                            (errno.ENOSYS, "CONFIG_IO_URING"),
                            (errno.ENOMEM, "RLIMIT_MEMLOCK of .* raise it")):
            line = self.refused(ringtest.policy(),
                                preexec=lambda error=error: forbid_io_uring(error))
            self.assertRegex(line, what)


def forbid_io_uring(error):
    """io_uring_setup(2) fails from now on, in this process and what it starts."""
    setup, allow, errno_ = 425, 0x7fff0000, 0x00050000
    program = b"".join(struct.pack("HBBI", *words) for words in (
        (0x20, 0, 0, 0),          # load the number of the call
        (0x15, 0, 1, setup),      # skip the next unless it is that
        (0x06, 0, 0, errno_ | error),
        (0x06, 0, 0, allow)))
    text = ctypes.create_string_buffer(program)
    filter_ = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(text))
    libc = ctypes.CDLL(None)
    no_new_privileges, set_seccomp, mode_filter = 38, 22, 2
    assert libc.prctl(no_new_privileges, 1, 0, 0, 0) == 0
    assert libc.prctl(set_seccomp, mode_filter, filter_, 0, 0) == 0


def main():
    ringtest.BUILD_DIR = sys.argv[1]
    program = unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[2:]], verbosity=2,
                            exit=False)
    if not program.result.wasSuccessful():
        return 1
    return 77 if MISSING else 0


if __name__ == "__main__":
    sys.exit(main())
