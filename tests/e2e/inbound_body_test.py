#!/usr/bin/env python3
"""Mail coming in by SMTP: messages arrive as they were sent, and nothing else does.

Usage: inbound_body_test.py BUILD_DIR [unittest arguments]
"""

import hashlib
import re
import socket

import ringtest

UNTRACED = "trace_headers={received_header=false, supplemental_header=false}"

# What some server, somewhere, takes for the end of a message.
LOOKALIKES = (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r",
              b"\r.\n", b"\n\n.\n\n", b"\r\n.\x00\r\n", b"\r\n\x00.\r\n", b"\r\n. \r\n",
              b"\r\n.\x0b\r\n")
SMUGGLED = b"MAIL FROM:<smuggled@src.test>\r\nRCPT TO:<victim@dst.test>\r\nDATA\r\nsmuggled\r\n"


def bare(data):
    return re.search(rb"\r(?!\n)|(?<!\r)\n", data) is not None


class Smuggling(ringtest.RingTest):

    def smuggle(self, daemon, lookalike, cut):
        """One session; the text is cut in two `cut` bytes into the lookalike, or into single bytes
        around it when `cut` is None. Answers the replies after the prompt."""
        client = ringtest.Client(daemon.port)
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client:
            client.envelope()
            client.cmd("DATA")
            head = b"Subject: x\r\n\r\nfirst"
            if cut is None:
                client.send(head)
                for i in range(len(lookalike)):
                    client.send(lookalike[i:i + 1])
                client.send(SMUGGLED)
            else:
                client.send(head + lookalike[:cut])
                client.send(lookalike[cut:] + SMUGGLED)
            client.send(b"\r\n.\r\nQUIT\r\n")
            text = client.file.read().decode()
        return text

    def smuggle_all(self, endings):
        sink = self.sink()
        daemon = self.daemon(sink=sink, listener="invalid_line_endings='%s'" % endings)
        accepted = 0
        for lookalike in LOOKALIKES:
            for cut in [None] + list(range(len(lookalike) + 1)):
                with self.subTest(lookalike=lookalike, cut=cut, endings=endings):
                    replies = self.smuggle(daemon, lookalike, cut)
                    refused = endings == "Deny" and bare(lookalike)
                    self.assertRegex(replies, "^552 5.6.0 [^\r]*\r\n221 [^\r]*\r\n$" if refused
                                     else "^250 OK ids=[0-9a-f]{32}\r\n221 [^\r]*\r\n$")
                    accepted += not refused
        messages = sink.wait_messages(accepted)
        records = daemon.stop()
        self.assertEqual(len(sink.messages), accepted)
        self.assertEqual([r["type"] for r in records].count("Reception"), accepted)
        for message in messages:
            self.assertEqual(message.sender.split(" ")[0], "<a@src.test>")
            self.assertEqual(message.recipients, ["<b@dst.test>"])
            self.assertFalse(message.has_bare_line_ends(), message.wire)
            self.assertTrue(message.body.endswith(SMUGGLED + b"\r\n"), message.body)

    def test_what_only_looks_like_the_end_is_refused(self):
        self.smuggle_all("Deny")

    def test_what_only_looks_like_the_end_is_data_when_line_endings_are_fixed(self):
        self.smuggle_all("Fix")

    def test_what_only_looks_like_the_end_is_data_when_line_endings_are_allowed(self):
        self.smuggle_all("Allow")

    def test_the_end_is_found_however_it_is_cut(self):
        daemon = self.daemon(sink=self.sink())
        end = b"\r\n.\r\n"
        for cut in range(len(end) + 1):
            with self.subTest(cut), ringtest.Client(daemon.port) as client:
                client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.envelope()
                client.cmd("DATA")
                client.send(b"Subject: x\r\n\r\nfirst" + end[:cut])
                client.send(end[cut:])
                self.assertEqual(client.reply().code, 250)

    def test_a_bdat_chunk_is_no_command_and_its_dots_do_not_end_it(self):
        sink = self.sink()
        daemon = self.daemon(sink=sink, listener=UNTRACED)
        client = self.client(daemon)
        body = b"Subject: x\r\n\r\n.\r\n" + SMUGGLED + b"\r\n.\r\n.end\r\n"
        client.send(b"MAIL FROM:<a@src.test>\r\nRCPT TO:<b@dst.test>\r\nBDAT %d LAST\r\n"
                    % len(body) + body + b"NOOP\r\n")
        self.assertEqual([r.code for r in client.replies(4)], [250, 250, 250, 250])
        self.assertEqual(sink.wait_messages(1)[0].body, body)
        self.assertEqual(client.cmd(b"BDAT %d\r\n" % len(SMUGGLED) + SMUGGLED).code, 503)
        self.assertEqual(client.cmd("NOOP").code, 250)  # the refused chunk was swallowed


class LineEndings(ringtest.RingTest):

    def test_lone_line_ends_are_refused_by_default(self):
        client = self.client(self.daemon())
        for body in ("a\nb\r\n", "a\rb\r\n"):
            self.assertEqual(client.mail(body),
                             "552 5.6.0 message data must use CRLF for line endings")
        self.assertEqual(client.mail().code, 250)

    def test_lone_line_ends_are_fixed_on_request(self):
        sink = self.sink()
        client = self.client(self.daemon(
            sink=sink, listener="invalid_line_endings='Fix', " + UNTRACED))
        client.mailed("Subject: x\n\na\rb\r\r\r\nc\r\n")
        self.assertEqual(sink.wait_messages(1)[0].body,
                         b"Subject: x\r\n\r\na\r\nb\r\n\r\n\r\nc\r\n")

    def test_lone_line_ends_that_are_allowed_go_out_canonical(self):
        sink = self.sink()
        client = self.client(self.daemon(
            sink=sink, listener="invalid_line_endings='Allow', " + UNTRACED))
        client.mailed("Subject: x\n\na\rb\n.\n")
        (message,) = sink.wait_messages(1)
        self.assertFalse(message.has_bare_line_ends())
        self.assertEqual(message.body.split(), [b"Subject:", b"x", b"a", b"b", b"."])

    def test_a_line_of_999_bytes_is_refused_and_the_transaction_kept(self):
        client = self.client(self.daemon())
        self.assertEqual(client.mail(999 * "x" + "\r\n"), "500 5.2.3 line too long")
        self.assertEqual(client.cmd("MAIL FROM:<a@src.test>").code, 503)
        self.assertEqual(client.cmd("RSET").code, 250)
        self.assertEqual(client.mail(998 * "x" + "\r\n").code, 250)


class Bodies(ringtest.RingTest):

    BODIES = {
        "empty": b"",
        "one line end": b"\r\n",
        "no header": b"just text\r\n",
        "no body": b"Subject: x\r\n",
        "8 bit": b"Subject: x\r\n\r\n" + bytes(range(128, 256)) + "grüße".encode() + b"\r\n",
        "control bytes": b"Subject: x\r\n\r\n"
                         + bytes(c for c in range(32) if c not in (10, 13)) + b"\x7f\r\n",
        "lines of 998": b"Subject: x\r\n\r\n" + 100 * (998 * b"y" + b"\r\n"),
        "dots": b"Subject: x\r\n\r\n.\r\n..\r\n...\r\n.x\r\n" + 998 * b"." + b"\r\n\r\n.\r\n",
        "a dot at the very start": b".\r\n.\r\n",
        "empty lines": b"Subject: x\r\n" + 5000 * b"\r\n",
        "300 kB": b"Subject: x\r\n\r\n" + 5000 * (61 * b"z" + b"\r\n"),
    }

    def check_bodies(self, extensions, send):
        sink = self.sink(extensions=extensions)
        client = self.client(self.daemon(sink=sink, listener=UNTRACED))
        for count, (name, body) in enumerate(self.BODIES.items()):
            with self.subTest(name):
                client.envelope()
                self.assertEqual(send(client, body).code, 250)
                self.assertEqual(sink.wait_messages(count + 1)[count].body, body)

    def test_every_body_arrives_byte_for_byte(self):
        self.check_bodies(["PIPELINING", "8BITMIME"], ringtest.Client.data)

    def test_every_body_arrives_at_a_peer_without_extensions(self):
        self.check_bodies(["8BITMIME"], ringtest.Client.data)

    def test_every_body_arrives_in_chunks(self):
        def in_chunks(client, body):
            third = len(body) // 3
            for piece in (body[:third], body[third:2 * third]):
                self.assertEqual(client.cmd(b"BDAT %d\r\n" % len(piece) + piece).code, 250)
            return client.cmd(b"BDAT %d LAST\r\n" % len(body[2 * third:]) + body[2 * third:])

        self.check_bodies(["PIPELINING", "8BITMIME", "CHUNKING"], in_chunks)

    def test_50_megabytes_arrive_byte_for_byte(self):
        sink = self.sink()
        daemon = self.daemon(sink=sink, listener="max_message_size=60000000, " + UNTRACED)
        client = self.client(daemon)
        line = b"".join(hashlib.sha512(bytes([i])).hexdigest().encode() for i in range(7)) + b"\r\n"
        body = b"Subject: x\r\n\r\n" + 50_000_000 // len(line) * line
        client.mailed(body)
        self.assertTrue(sink.wait_messages(1)[0].body == body)
        client.envelope()
        self.assertEqual(client.cmd(b"BDAT %d LAST\r\n" % len(body) + body).code, 250)
        self.assertTrue(sink.wait_messages(2)[1].body == body)
        client.envelope()
        self.assertEqual(client.data(body + body), "552 5.3.4 message too big")

    def test_1000_recipients_all_get_the_message(self):
        sink = self.sink()
        daemon = self.daemon(sink=sink, listener=UNTRACED)
        to = ["user%d@dst%d.test" % (i, i % 7) for i in range(1000)]
        body = "Subject: x\r\n\r\n" + 300 * "all the same text\r\n"
        self.assertEqual(len(set(self.client(daemon).mailed(body, recipients=to))), 1000)
        messages = sink.wait_messages(1000)
        self.assertEqual(sorted(r for m in messages for r in m.recipients),
                         sorted("<%s>" % r for r in to))
        self.assertEqual({m.body for m in messages}, {body.encode()})

    def test_an_accepted_message_outlives_a_crash(self):
        sink = self.sink()
        sink.script("CONNECT", *(10 * [ringtest.SILENT]))
        first = self.daemon(sink=sink)
        ids = self.client(first).mailed(recipients=("b@dst.test", "c@dst.test"))
        first.kill()
        sink.unscript()
        second = self.daemon(sink=sink, directory=first.directory)
        got = [r for m in sink.wait_messages(2) for r in m.recipients]
        self.assertEqual(sorted(got), ["<b@dst.test>", "<c@dst.test>"])
        delivered = sorted(r["id"] for r in second.stop() if r["type"] == "Delivery")
        self.assertEqual(delivered, sorted(ids))


if __name__ == "__main__":
    ringtest.main()
