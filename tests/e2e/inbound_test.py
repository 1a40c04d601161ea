#!/usr/bin/env python3
"""Mail coming in by SMTP: the dialog, its limits and its endings.

Usage: inbound_test.py BUILD_DIR [unittest arguments]
"""

import socket
import threading
import time

import ringtest

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class Dialog(ringtest.RingTest):

    def test_the_banner_names_host_and_banner(self):
        daemon = self.daemon()
        self.assertEqual(self.client(daemon).banner.text, "220 mx.test KumoMTA\r\n")

    def test_ehlo_lists_what_is_offered_and_helo_greets(self):
        client = self.client(self.daemon())
        reply = client.cmd("EHLO Client.EXAMPLE")
        self.assertEqual(reply.lines[0], "250-mx.test Aloha client.example")
        self.assertEqual(
            [line[4:] for line in reply.lines[1:]],
            ["PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "CHUNKING",
             "SIZE 20971520"])
        self.assertEqual(client.cmd("HELO x.test").text, "250 Hello x.test!\r\n")

    def test_a_command_that_is_not_utf8_is_refused_and_the_session_goes_on(self):
        client = self.client(self.daemon())
        self.assertEqual(client.cmd(b"\x80\x81\x82\x83\r\n"), "501 5.5.2 Invalid UTF-8 in command")
        self.assertEqual(client.cmd("NOOP"), "250 the goggles do nothing")

    def test_a_command_line_may_have_998_bytes(self):
        client = self.client(self.daemon())
        self.assertEqual(client.cmd("NOOP " + 993 * "a").code, 250)
        self.assertEqual(client.cmd("NOOP " + 994 * "a"), "500 5.2.3 line too long")
        self.assertEqual(client.cmd("NOOP " + 900_000 * "a"), "500 5.2.3 line too long")
        self.assertEqual(client.cmd("NOOP").code, 250)

    def test_commands_that_are_not_there_and_arguments_that_are_not_wanted(self):
        client = self.client(self.daemon())
        for line, reply in (
                ("VRFY joe", "502 5.5.1 Command unimplemented"),
                ("VRFY joe@x.test", "501 Syntax error in command or arguments"),
                ("FOO", "502 5.5.1 Command unimplemented"),
                ("LHLO x", "502 5.5.1 Command unimplemented"),
                ("DATA now", "501 Syntax error in command or arguments"),
                ("QUIT now", "501 Syntax error in command or arguments"),
                ("EHLO", "501 Syntax error in command or arguments")):
            with self.subTest(line):
                self.assertEqual(client.cmd(line), reply)
        reply = client.cmd("")
        self.assertTrue(reply.text.startswith("501 Syntax error in command or arguments"), reply)

    def test_commands_out_of_order_are_refused(self):
        client = self.client(self.daemon())
        for line, reply in (
                ("RCPT TO:<a@x.test>", "503 5.5.0 MAIL FROM must be issued first"),
                ("DATA", "503 5.5.0 MAIL FROM must be issued first"),
                ("BDAT 0 LAST", "503 5.5.0 MAIL FROM must be issued first"),
                ("MAIL FROM:<a@src.test>", "250 OK <a@src.test>"),
                ("MAIL FROM:<a@src.test>",
                 "503 5.5.0 MAIL FROM already issued; you must RSET first"),
                ("DATA", "503 5.5.0 RCPT TO must be issued first"),
                ("RSET", "250 Reset state"),
                ("MAIL FROM:<>", "250 OK <>")):
            with self.subTest(line):
                self.assertEqual(client.cmd(line), reply)

    def test_addresses_and_their_parameters(self):
        client = self.client(self.daemon())
        for line, reply in (
                ("MAIL FROM:<not an address>", "501 5.1.7 Bad sender's mailbox address syntax"),
                ("MAIL FROM: <U@EXAMPLE.com> SIZE=99999 BODY=8BITMIME", "250 OK <U@example.com>"),
                ("RCPT TO:<a@x.test:25>", "501 5.1.3 Invalid recipient address syntax"),
                ("RCPT TO:<@r.test:\"a b\"@X.test>", "250 OK <\"a b\"@x.test>"),
                ("RCPT TO:<bücher@bücher.test>", "250 OK <bücher@xn--bcher-kva.test>"),
                ("RCPT TO:<Postmaster>", "250 OK <Postmaster>"),
                ("RCPT TO:<a@[127.0.0.1]>", "250 OK <a@[127.0.0.1]>")):
            with self.subTest(line):
                self.assertEqual(client.cmd(line), reply)

    def test_a_declared_size_beyond_the_limit_is_refused_at_mail(self):
        client = self.client(self.daemon(listener="max_message_size=1000"))
        self.assertIn("SIZE 1000", client.cmd("EHLO x").text)
        self.assertEqual(client.cmd("MAIL FROM:<a@src.test> SIZE=1001"),
                         "552 5.3.4 message too big")
        self.assertEqual(client.cmd("MAIL FROM:<a@src.test> SIZE=1000").code, 250)

    def test_quit_says_goodbye_and_closes(self):
        client = self.client(self.daemon())
        self.assertEqual(client.cmd("QUIT"), "221 So long, and thanks for all the fish!")
        self.assertTrue(client.at_end())

    def test_pipelined_commands_are_answered_in_order(self):
        client = self.client(self.daemon())
        client.send("MAIL FROM:<a@src.test>\r\nRCPT TO:<b@dst.test>\r\nDATA\r\n")
        self.assertEqual([r.code for r in client.replies(3)], [250, 250, 354])
        client.send("x\r\n.\r\nNOOP\r\nQUIT\r\n")
        self.assertEqual([r.code for r in client.replies(3)], [250, 250, 221])
        self.assertTrue(client.at_end())

    def test_5000_commands_in_one_write_all_get_their_reply(self):
        for hooks in ("", "kumo.on('smtp_server_mail_from', function() end)"):
            with self.subTest(hooks):
                client = self.client(self.daemon(hooks=hooks))
                client.send(2500 * "MAIL FROM:<a@src.test>\r\nRSET\r\n")
                self.assertEqual({r.text for r in client.replies(5000)},
                                 {"250 OK <a@src.test>\r\n", "250 Reset state\r\n"})

    def test_a_peer_that_never_reads_is_not_buffered_for_without_end(self):
        daemon = self.daemon(listener="client_timeout='2s'")
        client = self.client(daemon, receive_buffer=4096)
        with self.assertRaises(ConnectionError):  # it stops reading from us, then gives up on us
            for _ in range(4096):
                client.send(1000 * "EHLO x.test\r\n")
        self.assertEqual(self.client(daemon).banner.code, 220)

    def test_a_peer_that_stops_sending_still_gets_its_replies(self):
        sink = self.sink()
        client = self.client(self.daemon(sink=sink))
        client.send("MAIL FROM:<a@src.test>\r\nRCPT TO:<b@dst.test>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
        client.finish_sending()
        self.assertEqual([r.code for r in client.replies(5)], [250, 250, 354, 250, 221])
        self.assertTrue(client.at_end())
        self.assertEqual(sink.wait_messages(1)[0].sender, "<a@src.test>")


class Limits(ringtest.RingTest):

    def test_recipients_of_a_message_are_limited(self):
        sink = self.sink()
        client = self.client(self.daemon(sink=sink, listener="max_recipients_per_message=2"))
        client.envelope(recipients=("b@dst.test", "c@dst.test"))
        self.assertEqual(client.cmd("RCPT TO:<d@dst.test>"), "452 4.5.3 too many recipients")
        self.assertEqual(len(client.data("x\r\n").text.split()[2:]), 2)
        got = sorted(r for m in sink.wait_messages(2) for r in m.recipients)
        self.assertEqual(got, ["<b@dst.test>", "<c@dst.test>"])

    def test_recipients_of_a_connection_are_limited(self):
        client = self.client(self.daemon(listener="max_messages_per_connection=2"))
        client.envelope(recipients=("b@dst.test", "c@dst.test"))
        self.assertEqual(client.cmd("RCPT TO:<d@dst.test>"),
                         "452 4.5.3 too many recipients on this connection")
        self.assertEqual(client.data("x\r\n").code, 250)
        self.assertEqual(client.cmd("MAIL FROM:<a@src.test>").code, 250)
        self.assertEqual(client.cmd("RCPT TO:<d@dst.test>"),
                         "421 4.5.3 mx.test too many recipients on this connection")
        self.assertTrue(client.at_end())

    def test_a_message_beyond_the_limit_is_refused_and_the_session_goes_on(self):
        client = self.client(self.daemon(listener="max_message_size=1000"))
        self.assertEqual(client.mail(15_000 * (63 * "x" + "\r\n")), "552 5.3.4 message too big")
        self.assertEqual(client.cmd("MAIL FROM:<a@src.test>").code, 503)
        self.assertEqual(client.cmd("RSET").code, 250)
        self.assertEqual(client.mail(10 * (98 * "x" + "\r\n")).code, 250)
        self.assertEqual(client.mail(10 * (98 * "x" + "\r\n") + "\r\n"),
                         "552 5.3.4 message too big")

    def test_an_idle_peer_is_told_so_and_it_is_no_rejection(self):
        daemon = self.daemon(listener="client_timeout='1s'")
        client = self.client(daemon)
        self.assertEqual(client.reply(), "421 4.3.2 mx.test idle too long")
        self.assertTrue(client.at_end())
        client = self.client(daemon)
        client.send("MAIL FROM:<a@src.test>\r\nRCPT TO:<b@dst.test>\r\nDATA\r\nhalf a mess")
        self.assertEqual([r.code for r in client.replies(3)], [250, 250, 354])
        self.assertEqual(client.reply(), "421 4.3.2 mx.test idle too long")
        self.assertEqual(daemon.stop(), [])

    def test_connections_are_limited_over_all_shards(self):
        daemon = self.daemon(listener="max_connections=1")
        first = self.client(daemon)
        for _ in range(32):
            second = self.client(daemon)
            self.assertEqual(second.banner,
                             "421 4.3.2 mx.test too many concurrent sessions. Try later")
            self.assertTrue(second.at_end())
        self.assertEqual(first.cmd("QUIT").code, 221)
        self.assertTrue(first.at_end())
        while True:  # the daemon counts a session until it has closed its side
            third = self.client(daemon)
            if third.banner.code == 220:
                break
        self.assertEqual(daemon.stop(), [])

    def test_a_session_that_is_open_when_the_daemon_stops_is_told_so(self):
        daemon = self.daemon()
        idle, talking, sending = [self.client(daemon) for _ in range(3)]
        talking.envelope()
        sending.envelope()
        sending.cmd("DATA")
        sending.send("the beginning\r\n")
        self.assertEqual(daemon.stop(), [])
        for client in (idle, talking, sending):
            self.assertEqual(client.reply(), "421 4.3.2 mx.test shutting down")
            self.assertTrue(client.at_end())

    def test_a_message_being_judged_when_the_daemon_stops_gets_its_reply(self):
        daemon = self.daemon(hooks="""
            kumo.on('smtp_server_data', function(msg, meta)
              io.stderr:write('judging\\n')
              kumo.sleep(1)
            end)""")
        client = self.client(daemon)
        client.envelope()
        client.cmd("DATA")
        client.send("x\r\n.\r\n")
        daemon.log.wait("judging")
        records = daemon.stop()
        self.assertEqual(client.reply().code, 250)
        self.assertEqual(client.reply(), "421 4.3.2 mx.test shutting down")
        self.assertTrue(client.at_end())
        # There may be time for a first attempt, and its destination is nowhere.
        self.assertEqual([r["type"] for r in records if r["type"] != "TransientFailure"],
                         ["Reception"])


class Fairness(ringtest.RingTest):
    """One peer says more at a time than it may be answered at a time."""

    SLOW_MAIL = """
    kumo.on('smtp_server_mail_from', function()
      local x = 0
      for i = 1, 30000 do x = x + math.sin(i) end
    end)
    """
    COUNT = 1000

    def test_a_peer_with_many_commands_does_not_keep_another_waiting(self):
        daemon = self.daemon(self.SLOW_MAIL, shards=1)
        hog, other = self.client(daemon), self.client(daemon)
        hog.cmd("EHLO hog.test")
        other.cmd("EHLO other.test")
        hog.send(b"MAIL FROM:<a@src.test>\r\nRSET\r\n" * self.COUNT)
        self.assertEqual(hog.reply().code, 250)  # it is being served
        self.assertEqual(other.cmd("NOOP").code, 250)
        waiting = hog.socket.recv(1 << 20, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        self.assertLess(waiting.count(b"\r\n"), self.COUNT)  # of twice as many
        for reply in hog.replies(2 * self.COUNT - 1):
            self.assertEqual(reply.code, 250)

    def test_a_peer_that_hangs_up_behind_many_commands_is_answered_to_the_last(self):
        daemon = self.daemon(shards=1)
        client = self.client(daemon)
        client.cmd("EHLO a.test")
        client.send(b"MAIL FROM:<a@src.test>\r\nRSET\r\n" * self.COUNT + b"VRFY x\r\n")
        client.finish_sending()
        for reply in client.replies(2 * self.COUNT):
            self.assertEqual(reply.code, 250)
        self.assertEqual(client.reply().code, 502)
        self.assertTrue(client.at_end())

    def test_a_stop_ends_a_peer_that_never_pauses(self):
        daemon = self.daemon(self.SLOW_MAIL, shards=1)
        client = self.client(daemon)
        client.cmd("EHLO a.test")

        def send_on():
            try:
                while True:
                    client.send(b"MAIL FROM:<a@src.test>\r\nRSET\r\n" * self.COUNT)
            except OSError:
                pass

        sender = threading.Thread(target=send_on, daemon=True)
        sender.start()
        self.assertEqual(client.reply().code, 250)
        told = time.monotonic()
        daemon.stop()
        self.assertLess(time.monotonic() - told, 10)  # its buffers are good for more
        sender.join(ringtest.PATIENCE)
        self.assertFalse(sender.is_alive())


class Rejections(ringtest.RingTest):

    def test_a_peer_without_permission_cannot_relay_and_it_is_recorded(self):
        daemon = self.daemon(listener="relay_hosts={}")
        client = self.client(daemon)
        client.cmd("EHLO client.example")
        client.cmd("MAIL FROM:<a@src.test>")
        self.assertEqual(client.cmd("RCPT TO:<b@dst.test>"),
                         "550 5.7.1 relaying not permitted for " + client.local)
        (record,) = daemon.stop()
        self.assertRegex(record["session_id"], "^" + UUID + "$")
        self.assertRegex(record["nodeid"], "^" + UUID + "$")
        self.assertRegex(record["event_time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
        self.assertEqual(record["created_time"], record["event_time"])
        self.assertEqual(record["created"], record["timestamp"])
        for name in ("session_id", "nodeid", "event_time", "created_time", "created",
                     "timestamp"):
            del record[name]
        self.assertEqual(list(record.items()), list({
            "type": "Rejection", "id": "", "sender": "a@src.test", "recipient": "", "queue": "",
            "site": "", "size": 0,
            "response": {"code": 550,
                         "enhanced_code": {"class": 5, "subject": 7, "detail": 1},
                         "content": "relaying not permitted for " + client.local,
                         "command": "RCPT TO:<b@dst.test>"},
            "peer_address": {"name": "client.example", "addr": "127.0.0.1"},
            "num_attempts": 0, "bounce_classification": "Uncategorized", "egress_pool": None,
            "egress_source": None, "source_address": None, "feedback_report": None, "meta": {},
            "headers": {}, "delivery_protocol": None, "reception_protocol": None}.items()))

    def test_rejections_carry_the_last_accepted_recipient_the_command_and_connection_meta(self):
        daemon = self.daemon(logs="meta={'received_from', 'hostname'}", hooks="""
            kumo.on('smtp_server_rcpt_to', function(rcpt, meta)
              if rcpt.user ~= 'good' then kumo.reject(451, '4.7.1 later') end
            end)
            kumo.on('smtp_server_message_received', function(msg, meta)
              kumo.reject(554, '5.6.0 not this\\n5.6.0 not that\\nat all')
            end)""")
        client = self.client(daemon)
        client.envelope(recipients=["good@dst.test"])
        self.assertEqual(client.cmd("RCPT TO:<bad@dst.test>"), "451 4.7.1 later")
        self.assertEqual(client.cmd("FOO bar").code, 502)
        self.assertEqual(client.data("x\r\n").text, "554-5.6.0 not this\r\n554-5.6.0 not that\r\n554 at all\r\n")
        client.cmd("QUIT")
        rcpt, foo, data = daemon.stop()
        self.assertEqual((rcpt["sender"], rcpt["recipient"]), ("a@src.test", "good@dst.test"))
        self.assertEqual(rcpt["response"], {
            "code": 451, "enhanced_code": {"class": 4, "subject": 7, "detail": 1},
            "content": "later", "command": "RCPT TO:<bad@dst.test>"})
        self.assertEqual(rcpt["meta"], {"received_from": client.local, "hostname": "mx.test"})
        self.assertEqual(foo["response"]["command"], "FOO bar")
        self.assertEqual((data["sender"], data["recipient"]), ("", ""))
        self.assertEqual(data["response"], {
            "code": 554, "enhanced_code": {"class": 5, "subject": 6, "detail": 0},
            "content": "not this not that at all", "command": "DATA"})
        self.assertEqual(len({r["session_id"] for r in (rcpt, foo, data)}), 1)


class Receptions(ringtest.RingTest):

    def test_a_reception_record_has_every_field_in_its_place(self):
        sink = self.sink()
        daemon = self.daemon(sink=sink, logs="headers={'Subject'}, meta={'tenant', 'ehlo_domain'}",
                             hooks="""
            kumo.on('smtp_server_message_received', function(msg, meta)
              msg:set_meta('tenant', 'acme')
              msg:set_meta('campaign', 'spring')
            end)""")
        client = self.client(daemon)
        client.cmd("EHLO client.example")
        (msg_id,) = client.mailed("Subject: hi\r\n\r\nbody\r\n")
        (message,) = sink.wait_messages(1)
        (record,) = [r for r in daemon.stop() if r["type"] == "Reception"]
        for name in ("event_time", "created_time"):
            self.assertRegex(record[name], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
        self.assertLessEqual(record["created"], record["timestamp"])
        self.assertRegex(record["session_id"], "^" + UUID + "$")
        self.assertRegex(record["nodeid"], "^" + UUID + "$")
        changing = {name: record[name] for name in ("timestamp", "event_time", "created",
                                                    "created_time", "nodeid", "session_id")}
        self.assertEqual(list(record.items()), list({
            "type": "Reception", "id": msg_id, "sender": "a@src.test", "recipient": "b@dst.test",
            "queue": "spring:acme@dst.test", "site": "", "size": len(message.body),
            "response": {"code": 250, "enhanced_code": None, "content": "", "command": None},
            "peer_address": {"name": "client.example", "addr": "127.0.0.1"},
            "timestamp": changing["timestamp"], "event_time": changing["event_time"],
            "created": changing["created"], "created_time": changing["created_time"],
            "num_attempts": 0, "bounce_classification": "Uncategorized", "egress_pool": None,
            "egress_source": None, "source_address": None, "feedback_report": None,
            "meta": {"tenant": "acme", "ehlo_domain": "client.example"},
            "headers": {"Subject": "hi"}, "delivery_protocol": None,
            "reception_protocol": "ESMTP", "nodeid": changing["nodeid"],
            "session_id": changing["session_id"]}.items()))

    def test_each_recipient_gets_an_id_and_a_record_of_one_session(self):
        sink = self.sink()
        daemon = self.daemon(sink=sink)
        client = self.client(daemon)
        ids = client.mailed(recipients=("b@one.test", "c@one.test", "d@two.test"))
        self.assertEqual(len(set(ids)), 3)
        sink.wait_messages(3)
        client.close()
        records = [r for r in daemon.stop() if r["type"] == "Reception"]
        self.assertEqual(sorted(r["id"] for r in records), sorted(ids))
        by_id = {r["id"]: r["recipient"] for r in records}
        self.assertEqual([by_id[i] for i in ids], ["b@one.test", "c@one.test", "d@two.test"])
        self.assertEqual(len({r["session_id"] for r in records}), 1)

    def test_batches_by_domain_share_a_message(self):
        sink = self.sink()
        daemon = self.daemon(sink=sink, listener="batch_handling='BatchByDomain'")
        client = self.client(daemon)
        ids = client.mailed(recipients=("b@one.test", "d@two.test", "c@ONE.test"))
        self.assertEqual(len(ids), 2)
        by_count = {len(m.recipients): m for m in sink.wait_messages(2)}
        self.assertEqual(by_count[2].recipients, ["<b@one.test>", "<c@one.test>"])
        self.assertIn(b" for <b@one.test>;", by_count[2].body)
        self.assertNotIn(b"c@one.test", by_count[2].body.split(b"Received:")[1])
        records = [r for r in daemon.stop() if r["type"] == "Reception"]
        self.assertEqual(sorted(map(str, (r["recipient"] for r in records))),
                         sorted(["['b@one.test', 'c@one.test']", "d@two.test"]))

    def test_nothing_is_relayed_or_recorded_for_a_peer_that_leaves_in_the_middle(self):
        sink = self.sink()
        daemon = self.daemon(sink=sink)
        for leave in ("close", "reset"):
            client = self.client(daemon)
            client.envelope()
            client.cmd("DATA")
            client.send("Subject: half\r\n\r\nof a message\r\n")
            getattr(client, leave)()
        self.client(daemon).mailed()
        sink.wait_messages(1)
        self.assertEqual([r["type"] for r in daemon.stop()].count("Reception"), 1)
        self.assertEqual(len(sink.messages), 1)


if __name__ == "__main__":
    ringtest.main()
