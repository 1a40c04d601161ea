#!/usr/bin/env python3
"""The next message's envelope behind the end of the one before, as a peer and a log reader see it.

Usage: outbound_follow_test.py BUILD_DIR [unittest arguments]
"""

import socket
import threading

from outbound_support import PATH, PATIENCE_S, QUEUE, Close, Outbound, main

MAIL = "MAIL FROM:<from@src.test>"


class Peer:
    """One connection whose every byte the test reads and writes itself."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.sock = None

    def accept(self, capabilities):
        self.sock, _ = self.server.accept()
        self.sock.settimeout(PATIENCE_S)
        self.say(b"220 peer.test ESMTP\r\n")
        self.read(b"EHLO ", b"\r\n")
        self.say(b"250-peer.test\r\n250 %s\r\n" % capabilities)

    def say(self, text):
        self.sock.sendall(text)

    def read(self, begin, end):
        """What comes, up to `end`, which nothing follows."""
        got = b""
        while not got.endswith(end):
            some = self.sock.recv(1 << 20)
            if not some:
                raise AssertionError("hung up after %r" % got)
            got += some
        assert got.startswith(begin), got
        return got

    def close(self):
        if self.sock:
            self.sock.close()
        self.server.close()


class Wire(Outbound):
    """Byte by byte."""

    def begin(self, capabilities, path="", **message):
        """Three messages, u0 to u2, the first of which has been asked for its content."""
        peer = Peer()
        self.addCleanup(peer.close)
        daemon = self.daemon(
            QUEUE % ("protocol={smtp={mx_list={{name='peer', addr='127.0.0.1:%d'}}}}" % peer.port),
            PATH % ("connection_limit=1, " + path))
        for i in range(3):
            daemon.inject("u%d@example.com" % i, **message)
        peer.accept(capabilities)
        return daemon, peer

    @staticmethod
    def envelope(i, rset=True):
        return (b"RSET\r\n" if rset else b"") + (
            b"MAIL FROM:<from@src.test>\r\nRCPT TO:<u%d@example.com>\r\nDATA\r\n" % i)

    def test_the_peer_has_the_next_envelope_before_it_answers_the_dot(self):
        daemon, peer = self.begin(b"PIPELINING")
        peer.read(self.envelope(0, False), b"DATA\r\n")
        peer.say(b"250 s\r\n250 r\r\n354 go\r\n")
        for i in (1, 2):
            peer.read(b"", b"\r\nHello.\r\n.\r\n" + self.envelope(i))
            peer.say(b"250 taken %d\r\n250 rset\r\n250 s\r\n250 r\r\n354 go\r\n" % i)
        peer.read(b"", b"\r\nHello.\r\n.\r\n")
        peer.say(b"250 taken 3\r\n")
        records = daemon.wait_records("Delivery", 3)
        self.assertEqual([(r["recipient"], r["response"]["content"]) for r in records],
                         [("u%d@example.com" % i, "taken %d" % (i + 1)) for i in range(3)])
        self.assertEqual(len({r["session_id"] for r in records}), 1)
        self.assertEqual({r["num_attempts"] for r in records}, {0})

    def test_a_large_message_has_the_envelope_behind_its_last_block(self):
        body = (b"x" * 98 + b"\r\n") * 10000
        daemon, peer = self.begin(b"PIPELINING", body=body)
        peer.read(self.envelope(0, False), b"DATA\r\n")
        peer.say(b"250 s\r\n250 r\r\n354 go\r\n")
        got = peer.read(b"", b"\r\n.\r\n" + self.envelope(1))
        self.assertEqual(got.count(b"MAIL FROM"), 1)
        self.assertIn(body, got)
        peer.say(b"250 taken\r\n")
        daemon.wait_records("Delivery")

    def test_a_peer_without_pipelining_is_asked_one_thing_at_a_time(self):
        for capabilities, path in ((b"8BITMIME", ""),
                                   (b"PIPELINING", "enable_pipelining=false")):
            with self.subTest(capabilities=capabilities):
                daemon, peer = self.begin(capabilities, path)
                for i in range(3):
                    if i > 0:
                        peer.read(b"RSET\r\n", b"RSET\r\n")
                        peer.say(b"250 rset\r\n")
                    peer.read(b"MAIL", b"<from@src.test>\r\n")
                    peer.say(b"250 s\r\n")
                    peer.read(b"RCPT", b"<u%d@example.com>\r\n" % i)
                    peer.say(b"250 r\r\n")
                    peer.read(b"DATA\r\n", b"DATA\r\n")
                    peer.say(b"354 go\r\n")
                    peer.read(b"", b"\r\nHello.\r\n.\r\n")
                    peer.say(b"250 taken\r\n")
                daemon.wait_records("Delivery", 3)


class Fates(Outbound):
    """What becomes of two messages, of which the first meets with something at its dot."""

    def begin(self, answer, path="", **named):
        """Messages u0 to u2 to a sink that says `answer`, or what it returns, to the first dot."""
        gate = threading.Event()

        def script(conn, command):
            if command == "CONNECT":
                self.sink_.hold(gate)
            if command == "." and conn["number"] == 1 and len(conn["bodies"]) == 1:
                return answer() if callable(answer) else answer
            return None
        self.sink_ = self.sink(script)
        daemon = self.relay(self.sink_, queue="retry_interval='1s'",
                            path="connection_limit=1, " + path, **named)
        for i in range(3):
            daemon.inject("u%d@example.com" % i, body=b"This is %d.\r\n" % i)
        gate.set()
        return daemon

    def times_delivered(self):
        """How often the sink had each body."""
        bodies = [body for conn in self.sink_.conns for body in conn["bodies"]]
        return [sum(b"This is %d." % i in body for body in bodies) for i in range(3)]

    def outcomes(self, daemon):
        return sorted((r["recipient"], r["type"], r["num_attempts"]) for r in daemon.records()
                      if r["type"] in ("Delivery", "Bounce", "TransientFailure"))

    def test_a_message_refused_at_its_dot_does_not_hold_up_the_next(self):
        daemon = self.begin("550 5.7.1 spam")
        daemon.wait_records("Delivery", 2)
        self.assertEqual(self.outcomes(daemon), [("u0@example.com", "Bounce", 0),
                                                 ("u1@example.com", "Delivery", 0),
                                                 ("u2@example.com", "Delivery", 0)])
        self.assertEqual(len(self.sink_.conns), 1)
        self.assertEqual(self.times_delivered(), [1, 1, 1])

    def test_a_message_put_off_at_its_dot_does_not_hold_up_the_next(self):
        daemon = self.begin("451 4.3.0 later")
        daemon.wait_records("Delivery", 3)
        self.assertEqual(self.outcomes(daemon), [("u0@example.com", "Delivery", 1),
                                                 ("u0@example.com", "TransientFailure", 0),
                                                 ("u1@example.com", "Delivery", 0),
                                                 ("u2@example.com", "Delivery", 0)])
        self.assertEqual(self.times_delivered(), [2, 1, 1])

    def test_a_connection_cut_after_a_dot_costs_only_the_message_before_it(self):
        for answer in (Close(), Close("421 4.3.2 going down"), Close("gibberish")):
            with self.subTest(answer=answer.text):
                daemon = self.begin(answer)
                daemon.wait_records("Delivery", 3)
                self.assertEqual(self.outcomes(daemon),
                                 [("u0@example.com", "Delivery", 1),
                                  ("u0@example.com", "TransientFailure", 0),
                                  ("u1@example.com", "Delivery", 0),
                                  ("u2@example.com", "Delivery", 0)])
                self.assertEqual(self.times_delivered(), [2, 1, 1])
                self.assertIn("RSET", self.sink_.commands(2))  # one connection took the others

    def test_a_stop_ends_what_has_begun_and_keeps_the_rest(self):
        answer = threading.Event()
        daemon = self.begin(lambda: self.sink_.hold(answer))
        self.sink_.wait_command(".")
        daemon.ask_to_stop()
        daemon.wait_said("draining")
        answer.set()
        daemon.wait_stopped()
        self.assertEqual(self.outcomes(daemon), [("u0@example.com", "Delivery", 0),
                                                 ("u1@example.com", "Delivery", 0)])
        daemon.start()
        daemon.wait_records("Delivery", 3)
        self.assertEqual(self.times_delivered(), [1, 1, 1])


if __name__ == "__main__":
    main()
