#!/usr/bin/env python3
"""ringload and ringsink against each other and against Postfix's test programs.

Usage: tools_test.py BUILD_DIR [unittest arguments]
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

BUILD_DIR = "."
PATIENCE_S = 240.0
BODIES = ("text", "8bit", "dots", "empty", "longlines", "binaryish", "mixed")
MODES = {
    "pipelined": (),
    "one command at a time": ("--pipeline", "off"),
    "BDAT in small chunks": ("--bdat", "--chunk", "700"),
}


def tool(name):
    return os.path.join(BUILD_DIR, name)


class Sink:
    """A ringsink on a port of its own, up when the constructor returns."""

    def __init__(self, *args, address="127.0.0.1:0"):
        self.process = subprocess.Popen(
            [tool("ringsink"), "--listen", address, *args],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ready = self.process.stderr.readline()
        assert "ing on" in ready, ready  # listening, or refusing
        self.address = ready.split()[-1]

    def end(self, ask=True):
        """The report and the exit status."""
        if ask:
            self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        assert out, err
        return json.loads(out), self.process.returncode


def load(address, *args, status=0):
    done = subprocess.run([tool("ringload"), *args, address], stdout=subprocess.PIPE, text=True,
                          timeout=PATIENCE_S, check=False)
    assert done.returncode == status, (done.returncode, done.stdout)
    return json.loads(done.stdout)


class Tools(unittest.TestCase):

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="ringtools-")
        self.addCleanup(shutil.rmtree, self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def lines(self, name):
        with open(self.path(name), encoding="ascii") as file:
            return file.read().splitlines()

    def test_every_body_arrives_intact_in_every_mode(self):
        for mode, args in MODES.items():
            for body in BODIES:
                with self.subTest(mode=mode, body=body):
                    sink = Sink("--expect", "200", "--stop-after", "200")
                    sent = load(sink.address, "--messages", "200", "--connections", "7",
                                "--size", "9000", "--body", body, *args)
                    got, status = sink.end(ask=False)
                    self.assertEqual(status, 0)
                    self.assertEqual(sent["accepted"], 200)
                    self.assertEqual((got["intact"], got["corrupt"], got["duplicates"],
                                      got["missing"]), (200, 0, 0, 0))

    def test_a_message_larger_than_every_buffer_arrives_intact(self):
        sink = Sink("--expect", "3", "--stop-after", "3")
        load(sink.address, "--messages", "3", "--size", "5m", "--body", "mixed", "--first", "0")
        got, status = sink.end(ask=False)
        self.assertEqual((status, got["intact"]), (0, 3))

    def test_threads_share_the_work_and_nothing_is_counted_twice(self):
        sink = Sink("--expect", "2000", "--threads", "2")
        load(sink.address, "--messages", "2000", "--connections", "20", "--threads", "2",
             "--messages-per-connection", "9", "--accepted", self.path("accepted"))
        got, status = sink.end()
        self.assertEqual((status, got["distinct"], got["duplicates"]), (0, 2000, 0))
        self.assertEqual(sorted(map(int, self.lines("accepted"))), list(range(2000)))

    def test_missing_messages_fail_the_sink(self):
        sink = Sink("--expect", "12")
        load(sink.address, "--messages", "10")
        got, status = sink.end()
        self.assertEqual((status, got["missing"], got["missing_sample"]), (1, 2, [10, 11]))

    def test_refusals_are_counted_alike_on_both_sides(self):
        sink = Sink("--verify", "--recipients", "3", "--reply", "rcpt:5%:550 5.1.1 nobody",
                    "--reply", "mail:3%:451 4.3.0 later", "--reply", "data:2%:452 4.3.1 full",
                    "--reply", "dot:4%:554 5.6.0 no")
        sent = load(sink.address, "--messages", "1000", "--recipients", "3", "--connections",
                    "10", status=1)
        got, _ = sink.end()
        self.assertEqual(sent["refusals"], got["refusals"])
        self.assertEqual(len(got["refusals"]), 4)
        self.assertEqual(sent["accepted"] + sent["refused"], 1000)
        self.assertEqual(sent["recipients_accepted"], got["recipients"])

    def test_resend_gets_everything_through_resets_delays_and_refusals(self):
        sink = Sink("--expect", "300", "--reset", "data:2%", "--reset", "dot:2%",
                    "--reply", "connect:10%:421 busy", "--reply", "dot:5%:451 later",
                    "--delay", "dot:5%:30ms", "--delay", "mail:1%:20ms",
                    "--received", self.path("received"))
        sent = load(sink.address, "--messages", "300", "--connections", "10", "--reconnect",
                    "20s", "--resend", "--accepted", self.path("accepted"), status=1)
        got, status = sink.end()
        self.assertEqual((status, sent["accepted"], got["distinct"], got["duplicates"]),
                         (0, 300, 300, 0))
        self.assertGreater(got["resets"], 0)
        self.assertGreater(got["delayed"], 0)
        dots = [line.split()[2] for line in self.lines("received") if line.split()[1] == "dot"]
        self.assertEqual(sorted(dots), sorted(self.lines("accepted")))

    def test_slow_peers_get_their_mail_through(self):
        sink = Sink("--expect", "6")
        load(sink.address, "--messages", "6", "--connections", "3", "--size", "1k",
             "--slow-read", "1ms", "--slow-write", "1ms")
        got, status = sink.end()
        self.assertEqual((status, got["intact"]), (0, 6))

    def test_the_rate_is_kept(self):
        sink = Sink()
        sent = load(sink.address, "--messages", "300", "--rate", "600", "--connections", "5")
        sink.end()
        self.assertGreater(sent["seconds"], 0.38)  # 300 of 600 a second, less the 0.1 s of burst

    def test_idle_connections_are_held_until_the_end(self):
        sink = Sink()
        load(sink.address, "--connections", "0", "--idle", "300", "--seconds", "1")
        got, _ = sink.end()
        self.assertEqual(got["connections_peak"], 300)

    def test_a_refused_connection_is_tried_again_until_the_sink_listens(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % probe.getsockname()[1]
        sink = Sink("--refuse", "connect", "--expect", "20", address=address)
        loader = subprocess.Popen(
            [tool("ringload"), "--messages", "20", "--reconnect", "30s", "--progress", "50ms",
             address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn(" 0 accepted", loader.stderr.readline())
        sink.process.send_signal(signal.SIGUSR1)
        out, _ = loader.communicate(timeout=PATIENCE_S)
        got, status = sink.end()
        self.assertEqual((status, got["intact"], json.loads(out)["accepted"]), (0, 20, 20))
        self.assertGreater(json.loads(out)["connects_failed"], 0)

    def test_mistakes_on_the_command_line_are_explained(self):
        for words, complaint in ((["ringload"], "ADDRESS:PORT"),
                                 (["ringload", "--body", "jpeg", "127.0.0.1:1"], "kind of body"),
                                 (["ringload", "--to", "%q", "127.0.0.1:1"], "after %"),
                                 (["ringsink", "--reply", "rcpt:200 fine"], "CODE TEXT"),
                                 (["ringsink", "--advertise", "tls"], "does not know")):
            done = subprocess.run([tool(words[0]), *words[1:]], stderr=subprocess.PIPE, text=True,
                                  timeout=PATIENCE_S, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(complaint, done.stderr)

    @unittest.skipUnless(shutil.which("smtp-source"), "Postfix is not installed")
    def test_smtp_source_into_ringsink(self):
        sink = Sink("--stop-after", "500")
        subprocess.run(["smtp-source", "-d", "-s", "10", "-m", "500", "-l", "3000", sink.address],
                       check=True, timeout=PATIENCE_S)
        got, status = sink.end(ask=False)
        self.assertEqual((status, got["messages"]), (0, 500))


if __name__ == "__main__":
    BUILD_DIR = sys.argv[1]
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
