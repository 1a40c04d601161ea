#!/usr/bin/env python3
"""Bounces and complaints coming in: OOB and Feedback records.

Usage: reports_test.py BUILD_DIR [unittest arguments]
"""

import base64
import json

import ringtest

DSN = """From: <>\r
Subject: returned mail\r
Content-Type: multipart/report; report-type=delivery-status;\r
 boundary="=_b"\r
\r
--=_b\r
\r
for humans\r
--=_b\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; mx.remote.test\r
\r
Final-Recipient: rfc822; <joe@remote.test>\r
Action: failed\r
Status: 5.1.1 (unknown)\r
Diagnostic-Code: smtp; 550 5.1.1 no such user\r
Last-Attempt-Date: Fri, 21 Nov 1997 09:55:06 -0600\r
\r
Final-Recipient: rfc822; ann@remote.test\r
Action: delayed\r
Status: 4.2.2\r
\r
Final-Recipient: rfc822; zoe@remote.test\r
Original-Recipient: rfc822; zoe@alias.test\r
Action: failed\r
Status: 5.7.1\r
--=_b--\r
"""

ARF = """From: <fbl@remote.test>\r
Content-Type: multipart/report; report-type=feedback-report; boundary=b\r
\r
--b\r
Content-Type: message/feedback-report\r
\r
Feedback-Type: abuse\r
User-Agent: Agent/1\r
Version: 1\r
Original-Rcpt-To: <someone@remote.test>\r
\r
--b\r
Content-Type: message/rfc822\r
\r
%s\r
Subject: news\r
\r
text\r
--b--\r
"""


def domain_of(options):
    return """
        kumo.on('get_listener_domain', function(domain)
          if domain == 'reports.test' then return kumo.make_listener_domain{%s} end
        end)""" % options


def kinds(records):
    return [r["type"] for r in records]


class Reports(ringtest.RingTest):

    def reported(self, options, body, listener="relay_hosts={}", sink=None):
        """The reply, and the records once the daemon has ended."""
        daemon = self.daemon(domain_of(options), listener, sink,
                             logs="headers={'Subject'}, meta={'hostname'}")
        client = self.client(daemon)
        client.envelope(sender="", recipients=["bounce+1@reports.test"])
        reply = client.data(body)
        if sink:
            sink.wait_messages(1)
            daemon.wait_records("Delivery")
        return reply, daemon.stop()

    def test_a_bounce_is_recorded_for_each_failed_recipient(self):
        reply, records = self.reported("log_oob='LogThenDrop'", DSN)
        self.assertRegex(reply.text, "^250 OK ids=[0-9a-f]{32}\r\n$")
        self.assertEqual(kinds(records), ["Reception", "OOB", "OOB"])
        reception, joe, zoe = records
        self.assertEqual((joe["id"], joe["queue"], joe["session_id"]),
                         (reception["id"], reception["queue"], reception["session_id"]))
        self.assertEqual(joe["sender"], "bounce+1@reports.test")
        self.assertEqual(joe["recipient"], "joe@remote.test")
        self.assertEqual(joe["peer_address"], {"name": "mx.remote.test", "addr": "127.0.0.1"})
        self.assertEqual(joe["response"], {
            "code": 550, "enhanced_code": {"class": 5, "subject": 1, "detail": 1},
            "content": "5.1.1 no such user", "command": None})
        self.assertEqual((joe["timestamp"], joe["size"], joe["num_attempts"]), (880127706, 0, 0))
        self.assertEqual((joe["headers"], joe["meta"]),
                         ({"Subject": "returned mail"}, {"hostname": "mx.test"}))
        self.assertEqual(zoe["recipient"], "zoe@alias.test")
        self.assertEqual(zoe["response"]["content"], "")
        self.assertGreater(zoe["timestamp"], 1700000000)

    def test_a_bounce_may_be_relayed_as_well(self):
        sink = self.sink()
        reply, records = self.reported("log_oob=true", DSN, sink=sink)
        self.assertEqual(reply.code, 250)
        self.assertEqual(kinds(records), ["Reception", "OOB", "OOB", "Delivery"])

    def test_a_complaint_is_recorded_instead_of_its_reception(self):
        trace = {"_@_": "\\_/", "recipient": "someone@remote.test", "tenant": "acme"}
        header = "X-KumoRef: " + base64.b64encode(
            json.dumps(trace, separators=(",", ":")).encode()).decode()
        reply, records = self.reported("log_arf='LogThenDrop'", ARF % header)
        self.assertEqual(reply.code, 250)
        self.assertEqual(kinds(records), ["Feedback"])
        report = records[0]["feedback_report"]
        self.assertEqual(report["feedback_type"], "abuse")
        self.assertEqual(report["version"], "1")
        self.assertEqual(report["original_rcpto_to"], ["someone@remote.test"])
        self.assertEqual(report["supplemental_trace"],
                         {"recipient": "someone@remote.test", "tenant": "acme"})
        self.assertEqual(records[0]["response"]["code"], 250)

    def test_a_complaint_about_our_own_mail_names_its_recipient(self):
        sink = self.sink()
        daemon = self.daemon("", "", sink)
        self.client(daemon).mailed(recipients=["victim@dst.test"])
        received = sink.wait_messages(1)[0].body.decode()
        reply, records = self.reported("log_arf=true", ARF % received.split("Subject:")[0].rstrip(),
                                       sink=self.sink())
        self.assertEqual(reply.code, 250)
        self.assertEqual(kinds(records), ["Feedback", "Delivery"])
        self.assertEqual(records[0]["feedback_report"]["supplemental_trace"],
                         {"recipient": "victim@dst.test"})

    def test_dropping_wins_over_a_trusted_peer(self):
        reply, records = self.reported("log_oob='LogThenDrop', relay_to=true", DSN, listener="")
        self.assertEqual(reply.code, 250)
        self.assertEqual(kinds(records), ["Reception", "OOB", "OOB"])

    def test_a_report_of_the_other_kind_is_ordinary_mail(self):
        for options, body in (("log_arf='LogThenDrop'", DSN),
                              ("log_oob='LogThenDrop'", DSN.replace("Action: failed",
                                                                    "Action: Failed"))):
            reply, records = self.reported(options, body)
            self.assertEqual(reply, "550 5.7.1 relaying not permitted")
            self.assertEqual(kinds(records), ["Reception", "Rejection"])

    def test_a_domain_that_does_not_ask_gets_reports_as_mail(self):
        sink = self.sink()
        _, records = self.reported("relay_to=true", DSN, sink=sink)
        self.assertEqual(kinds(records), ["Reception", "Delivery"])

    def test_batches_are_judged_by_their_first_recipient(self):
        sink = self.sink()
        daemon = self.daemon(domain_of("log_oob='LogThenDrop'"), "", sink)
        client = self.client(daemon)
        client.mailed(DSN, sender="", recipients=["a@reports.test", "b@dst.test"])
        self.assertEqual(sink.wait_messages(1)[0].recipients, ["<b@dst.test>"])
        daemon.wait_records("Delivery")
        self.assertEqual(sorted(kinds(daemon.stop())),
                         ["Delivery", "OOB", "OOB", "Reception", "Reception"])


if __name__ == "__main__":
    ringtest.main()
