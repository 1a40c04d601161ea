#!/usr/bin/env python3
"""Log files and records as a log processor reads them.

Usage: outbound_logs_test.py BUILD_DIR [unittest arguments]
"""

import json
import os
import smtplib

from outbound_support import PATH, QUEUE, RECEIVED, Outbound, main, wait_for

KEYS = ["type", "id", "sender", "recipient", "queue", "site", "size", "response", "peer_address",
        "timestamp", "event_time", "created", "created_time", "num_attempts",
        "bounce_classification", "egress_pool", "egress_source", "source_address",
        "feedback_report", "meta", "headers", "delivery_protocol", "reception_protocol", "nodeid",
        "tls_cipher", "tls_protocol_version", "tls_peer_subject_name", "provider_name",
        "session_id"]
OMITTED = ("tls_cipher", "tls_protocol_version", "tls_peer_subject_name", "provider_name",
           "session_id")


class Logs(Outbound):

    def test_segments_are_named_closed_and_hold_one_story(self):
        daemon = self.relay(self.sink())
        daemon.inject()
        daemon.wait_records("Delivery")
        daemon.stop()
        for path in daemon.segments():
            self.assertRegex(os.path.basename(path), r"^\d{8}-\d{6}\.\d+$")
            self.assertEqual(os.stat(path).st_mode & 0o222, 0)
        reception, delivery = daemon.records()
        self.assertEqual((reception["type"], delivery["type"]), ("Reception", "Delivery"))
        for key in ("id", "created", "created_time", "nodeid", "sender", "recipient", "queue"):
            self.assertEqual(reception[key], delivery[key])
        self.assertEqual((delivery["delivery_protocol"], delivery["num_attempts"]), ("ESMTP", 0))

    def test_keys_come_in_the_order_of_the_table(self):
        daemon = self.relay(self.sink())
        daemon.inject()
        daemon.wait_records("Delivery")
        for record in daemon.records():
            self.assertEqual(list(record), [key for key in KEYS if key in record])
            self.assertEqual([key for key in KEYS if key not in record],
                             [key for key in OMITTED if key not in record])
            self.assertNotIn("tls_cipher", record)
            self.assertNotIn("provider_name", record)
        reception, = daemon.records("Reception")
        self.assertIsNone(reception["egress_pool"])
        lines = b"".join(daemon.text_of(path) for path in daemon.segments()).decode().splitlines()
        self.assertEqual(lines, [json.dumps(json.loads(line), separators=(",", ":"),
                                            ensure_ascii=False) for line in lines])

    def test_headers_and_metas_are_captured(self):
        daemon = self.daemon(
            RECEIVED % "msg:set_meta('tenant', 'T') msg:set_meta('other', 'O')",
            QUEUE % self.to_sink(self.sink()), PATH % "provider_name='P'",
            logs="headers={'Subject', 'X-*'}, meta={'t*'}")
        daemon.inject(head="X-A: 1\r\nX-A: 2\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n")
        record, = daemon.wait_records("Delivery")
        reference = record["headers"].pop("X-KumoRef")
        self.assertTrue(reference)
        self.assertEqual(record["headers"], {"X-A": ["1", "2"], "Subject": "caf\u00e9"})
        self.assertEqual(record["meta"], {"tenant": "T"})
        self.assertEqual(record["provider_name"], "P")

    def test_a_batch_names_its_recipients_and_one_is_a_plain_string(self):
        daemon = self.relay(self.sink(), listener="batch_handling='BatchByDomain'")
        daemon.inject(["a@example.com", "b@example.com"])
        daemon.inject("c@example.com")
        self.assertEqual([r["recipient"] for r in daemon.wait_records("Delivery", 2)],
                         [["a@example.com", "b@example.com"], "c@example.com"])

    def test_recipients_with_different_fates_have_a_record_each(self):
        sink = self.sink(lambda conn, command:
                         "550 5.1.1 no" if command.startswith("RCPT TO:<b@") else None)
        daemon = self.relay(sink, listener="batch_handling='BatchByDomain'")
        daemon.inject(["a@example.com", "b@example.com"])
        delivery, = daemon.wait_records("Delivery")
        bounce, = daemon.wait_records("Bounce")
        self.assertEqual((delivery["recipient"], bounce["recipient"]),
                         ("a@example.com", "b@example.com"))
        self.assertEqual(delivery["id"], bounce["id"])
        self.assertEqual(delivery["session_id"], bounce["session_id"])

    def test_the_lines_of_a_reply_become_one(self):
        sink = self.sink(lambda conn, command: "550-5.1.1 no\r\n550 5.1.1 such user"
                         if command.startswith("RCPT") else None)
        daemon = self.relay(sink)
        daemon.inject()
        response = daemon.wait_records("Bounce")[0]["response"]
        self.assertEqual(response["enhanced_code"], {"class": 5, "subject": 1, "detail": 1})
        self.assertEqual(response["content"], "no such user")

    def test_a_refusal_is_a_rejection(self):
        daemon = self.relay(self.sink(), listener="relay_hosts={}")
        with smtplib.SMTP("127.0.0.1", daemon.port) as peer:
            peer.ehlo("probe.test")
            peer.mail("x@brand.test")
            code, text = peer.rcpt("y@else.test")
            peer_text = "127.0.0.1:%d" % peer.sock.getsockname()[1]
        self.assertEqual(code, 550)
        self.assertEqual(text.decode(), "5.7.1 relaying not permitted for " + peer_text)
        record, = daemon.wait_records("Rejection")
        self.assertEqual((record["id"], record["recipient"], record["sender"]),
                         ("", "", "x@brand.test"))
        self.assertEqual(record["response"]["command"], "rcpt TO:<y@else.test>")
        self.assertEqual(record["peer_address"], {"name": "probe.test", "addr": "127.0.0.1"})

    def test_a_logger_may_want_one_kind_alone_in_files_of_its_own(self):
        daemon = self.relay(
            self.sink(), logs="per_record={Reception={suffix='_r'}, Any={enable=false}}")
        daemon.inject()
        daemon.wait_records("Reception")
        daemon.stop()
        self.assertTrue(all(path.endswith("_r") for path in daemon.segments()))
        self.assertEqual([r["type"] for r in daemon.records()], ["Reception"])

    def test_a_segment_ends_with_the_record_that_fills_it(self):
        daemon = self.relay(self.sink(), logs="max_file_size=500")
        for count in range(5):
            daemon.inject()
            daemon.wait_records("Delivery", count + 1)
        daemon.stop()
        texts = [daemon.text_of(path) for path in daemon.segments()]
        self.assertEqual(sum(text.count(b"\n") for text in texts), 10)
        for text in texts:
            *before, last = text.splitlines(keepends=True)
            self.assertLess(len(b"".join(before)), 500)
            self.assertTrue(last.endswith(b"\n"))

    def test_a_segment_cut_short_by_a_kill_is_closed_at_the_next_start(self):
        daemon = self.relay(self.sink())
        daemon.inject()
        daemon.wait_records("Delivery")
        daemon.inject("two@example.com")
        wait_for(daemon.segments, "a segment")
        daemon.kill()
        left = daemon.segments()
        daemon.start()
        for path in left:
            self.assertEqual(os.stat(path).st_mode & 0o222, 0, path)
        daemon.inject("three@example.com")
        wait_for(lambda: [r for r in daemon.records("Delivery")
                          if r["recipient"] == "three@example.com"], "the third")
        self.assertTrue(set(daemon.segments()) - set(left))
        wait_for(lambda: {r["recipient"] for r in daemon.records("Delivery")} >= {
            "user@example.com", "two@example.com", "three@example.com"}, "all three")


if __name__ == "__main__":
    main()
