#!/usr/bin/env python3
"""Delivery as a peer, a log reader and a policy see it: names, retries, sources, hosts, replies.

Usage: outbound_test.py BUILD_DIR [unittest arguments]
"""

import socket
import time

from outbound_support import (
    PATH, PATIENCE_S, POOL, QUEUE, RECEIVED, Close, Outbound, main, seconds_of)

REFUSE_RCPT = "451 4.3.0 not now"


def refuse_rcpt(conn, command):
    return REFUSE_RCPT if command.startswith("RCPT") else None


class QueueNames(Outbound):

    def test_tenant_and_campaign_name_the_queue_and_reach_the_config_event(self):
        sink = self.sink()
        daemon = self.daemon(
            RECEIVED % "msg:set_meta('tenant', 'T1') msg:set_meta('campaign', 'C1')",
            """kumo.on('get_queue_config', function(domain, tenant, campaign, routing)
                 note{domain, tenant, campaign, routing == nil}
                 return kumo.make_queue_config{%s}
               end)""" % self.to_sink(sink), PATH % "")
        daemon.inject("User@EXAMPLE.Com")
        record = daemon.wait_records("Delivery")[0]
        self.assertEqual(record["queue"], "C1:T1@example.com")
        self.assertEqual(record["recipient"], "User@example.com")
        self.assertEqual(daemon.notes(), ['["example.com","T1","C1",true]'])

    def test_a_campaign_alone_leaves_an_empty_tenant(self):
        sink = self.sink()
        daemon = self.daemon(
            RECEIVED % "msg:set_meta('campaign', 'C1')",
            """kumo.on('get_queue_config', function(domain, tenant, campaign, routing)
                 note{domain, tenant, campaign}
                 return kumo.make_queue_config{%s}
               end)""" % self.to_sink(sink), PATH % "")
        daemon.inject("u@example.com")
        self.assertEqual(daemon.wait_records("Delivery")[0]["queue"], "C1:@example.com")
        self.assertEqual(daemon.notes(), ['["example.com","","C1"]'])

    def test_a_routing_domain_with_a_port_decides_host_port_and_path(self):
        sink = self.sink()
        names = self.names("--host-record=relay.test,127.0.0.1")
        routing = "relay.test:%d" % sink.port
        daemon = self.daemon(
            RECEIVED % "msg:set_meta('routing_domain', '%s')" % routing,
            """kumo.on('get_egress_path_config', function(routing, source, site)
                 note{routing, source, site}
                 return kumo.make_egress_path{prohibited_hosts={}, enable_tls='Disabled'}
               end)""", resolver=names)
        daemon.inject("u@example.com")
        record = daemon.wait_records("Delivery")[0]
        self.assertEqual(record["queue"], "example.com!" + routing)
        self.assertEqual(record["site"], "unspecified->%s@smtp_client" % routing)
        self.assertEqual(daemon.notes(), ['["%s","unspecified","%s"]' % (routing, routing)])

    def test_the_null_queue_takes_mail_and_keeps_nothing(self):
        sink = self.sink()
        daemon = self.daemon(
            RECEIVED % "if msg:recipient().user == 'null' then msg:set_meta('queue', 'null') end",
            QUEUE % self.to_sink(sink), PATH % "")
        daemon.inject("null@example.com")
        daemon.inject("u@example.com")
        daemon.wait_records("Delivery")
        daemon.stop()
        self.assertEqual(
            [(r["type"], r["recipient"]) for r in daemon.records() if "null" in r["recipient"]],
            [("Reception", "null@example.com")])
        daemon.start()
        daemon.wait_said("spool recovered 0 messages", count=2)
        self.assertEqual(len(sink.conns), 1)


class Retries(Outbound):

    def test_the_interval_doubles_and_attempts_are_counted(self):
        sink = self.sink(refuse_rcpt)
        daemon = self.relay(sink, "retry_interval='2s'")
        daemon.inject()
        records = daemon.wait_records("TransientFailure", 4)[:4]
        self.assertEqual([r["num_attempts"] for r in records], [0, 1, 2, 3])
        times = [seconds_of(r) for r in records]
        for interval, earlier, later in zip((2, 4, 8), times, times[1:]):
            self.assertGreaterEqual(later - earlier, interval)
            self.assertLess(later - earlier, interval * 1.5)
        self.assertEqual(daemon.records("Delayed"), [])

    def test_a_next_try_past_max_age_expires_at_once(self):
        daemon = self.relay(self.sink(refuse_rcpt), "retry_interval='10m', max_age='5m'")
        daemon.inject()
        record = daemon.wait_records("Expiration")[0]
        failure, = daemon.records("TransientFailure")
        self.assertEqual(record["response"]["code"], 551)
        self.assertEqual(record["response"]["enhanced_code"],
                         {"class": 5, "subject": 4, "detail": 7})
        self.assertIn("exceeds max_age=5m", record["response"]["content"])
        self.assertLess(seconds_of(record) - seconds_of(failure), 5)
        daemon.stop()
        daemon.start()
        daemon.wait_said("spool recovered 0 messages", count=2)

    def test_a_message_expires_when_its_schedule_says_so(self):
        sink = self.sink(refuse_rcpt)
        daemon = self.daemon(
            RECEIVED % "msg:import_scheduling_header('X-Schedule', true)",
            QUEUE % (self.to_sink(sink) + ", retry_interval='2s', max_age='1s'"), PATH % "")
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5))
        daemon.inject(head='X-Schedule: {"expires":"%s"}\r\n' % expires)
        record = daemon.wait_records("Expiration")[0]
        self.assertIn("configured via set_scheduling", record["response"]["content"])
        self.assertIn(len(daemon.records("TransientFailure")), (1, 2))

    def test_a_first_attempt_in_the_future_is_waited_for(self):
        sink = self.sink()
        first = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        daemon = self.daemon(
            RECEIVED % ("if msg:recipient().user == 'later' then "
                        "msg:set_scheduling{first_attempt='%s'} end" % first),
            QUEUE % self.to_sink(sink), PATH % "")
        daemon.inject("later@example.com")
        daemon.inject("now@example.com")
        daemon.wait_records("Delivery")
        record, = daemon.wait_records("Delayed")
        self.assertEqual(record["response"]["code"], 400)
        self.assertIsNone(record["response"]["enhanced_code"])
        self.assertTrue(record["response"]["content"].startswith(
            "Context: Received, ScheduledForLater. Next due in "), record)
        self.assertEqual((record["site"], record["egress_pool"]), ("", None))
        self.assertEqual(len(sink.conns), 1)

    def test_a_queue_rate_delays_without_counting_an_attempt(self):
        sink = self.sink()
        daemon = self.relay(sink, "max_message_rate='1/3s'")
        daemon.inject()
        daemon.inject()
        first, second = daemon.wait_records("Delivery", 2)
        delayed = daemon.records("Delayed")
        self.assertIn("MessageRateThrottle", delayed[0]["response"]["content"])
        self.assertEqual(second["num_attempts"], 0)
        self.assertGreaterEqual(seconds_of(second) - seconds_of(first), 2.9)
        self.assertLess(seconds_of(second) - seconds_of(first), 8)


class Sources(Outbound):

    def test_weighted_round_robin_begins_with_the_second_and_keeps_its_sequence(self):
        sink = self.sink()
        daemon = self.daemon(
            QUEUE % (self.to_sink(sink) + ", egress_pool='P'"), PATH % "",
            POOL % ("{name='A', weight=5}, {name='B', weight=2}, {name='C', weight=3}", ""))
        ids = [daemon.inject().split("ids=")[1] for _ in range(20)]
        source = {r["id"]: r["egress_source"] for r in daemon.wait_records("Delivery", 20)}
        self.assertEqual("".join(source[i] for i in ids), "BCAAACABCA" * 2)
        self.assertEqual({r["egress_pool"] for r in daemon.records("Delivery")}, {"P"})

    def test_an_empty_pool_is_retried_with_back_off(self):
        daemon = self.daemon(
            QUEUE % (self.to_sink(self.sink()) + ", egress_pool='P', retry_interval='1s'"),
            PATH % "", POOL % ("", ""))
        daemon.inject()
        for attempt, record in enumerate(daemon.wait_records("TransientFailure", 2)[:2]):
            self.assertEqual(record["num_attempts"], attempt)
            self.assertEqual(record["response"]["code"], 451)
            self.assertEqual(
                record["response"]["content"],
                "KumoMTA internal: no sources available for example.com pool=`P`")

    def test_a_broken_path_handler_delays_the_mail_and_is_told_once(self):
        daemon = self.daemon("""
            kumo.on('get_queue_config', function()
              return kumo.make_queue_config{protocol={smtp={mx_list={'127.0.0.1:1'}}}}
            end)
            kumo.on('get_egress_path_config', function() error 'no way' end)""")
        for _ in range(3):
            daemon.inject()
        for record in daemon.wait_records("TransientFailure", 3):
            self.assertEqual(record["response"]["code"], 451)
            self.assertIn("no way", record["response"]["content"])
        daemon.stop()
        self.assertEqual(daemon.said().count("ERROR config: get_egress_path_config: "), 1)

    def test_an_undefined_pool_is_refused_and_remembered(self):
        daemon = self.daemon(
            """kumo.on('get_queue_config', function(domain)
                 note{domain}
                 return kumo.make_queue_config{egress_pool='nowhere'}
               end)""")
        for _ in range(2):
            text = daemon.inject(expect=421)
        bounces = daemon.wait_records("Bounce", 2)
        for record in bounces:
            self.assertEqual(record["response"]["code"], 500)
            self.assertTrue(record["response"]["content"].startswith(
                "KumoMTA internal: QueueManager::insert failed during reception: "), record)
        self.assertEqual(len(daemon.notes()), 1, text)

    def test_a_source_beyond_its_selection_rate_is_not_eligible(self):
        sink = self.sink()
        daemon = self.relay(sink, path="source_selection_rate='2/day'")
        daemon.inject_many(10)
        failures = daemon.wait_records("TransientFailure", 8)
        daemon.wait_records("Delivery", 2)
        self.assertEqual(len(daemon.records("Delivery")), 2)
        for record in failures:
            self.assertEqual(
                record["response"]["content"],
                "KumoMTA internal: no sources for example.com pool=`unspecified` are eligible "
                "for selection at this time")

    def test_the_tightest_selection_rate_counts_and_is_shared_by_name(self):
        sink = self.sink()
        daemon = self.daemon(
            QUEUE % (self.to_sink(sink) + ", egress_pool='P'"),
            PATH % ("source_selection_rate='100/day', "
                    "additional_source_selection_rates={shared='3/day'}"),
            POOL % ("{name='A'}, {name='B'}", ""), shards=2)
        for _ in range(3):
            daemon.inject_many(4)
        daemon.wait_records("TransientFailure", 9)
        self.assertEqual(len(daemon.wait_records("Delivery", 3)), 3)

    def test_the_source_address_is_bound_and_logged(self):
        sink = self.sink()
        daemon = self.daemon(
            QUEUE % (self.to_sink(sink) + ", egress_pool='P'"), PATH % "",
            POOL % ("{name='two'}", "source_address='127.0.0.2'"))
        daemon.inject()
        record = daemon.wait_records("Delivery")[0]
        self.assertEqual(sink.conns[0]["peer"], "127.0.0.2")
        self.assertTrue(record["source_address"]["address"].startswith("127.0.0.2:"), record)
        self.assertEqual(record["egress_source"], "two")

    def test_an_address_that_is_not_ours_fails_the_candidate(self):
        daemon = self.daemon(
            QUEUE % (self.to_sink(self.sink()) + ", egress_pool='P'"), PATH % "",
            POOL % ("{name='far'}", "source_address='192.0.2.77'"))
        daemon.inject()
        record = daemon.wait_records("TransientFailure")[0]
        self.assertEqual(record["response"]["code"], 400)
        self.assertTrue(record["response"]["content"].startswith(
            "KumoMTA internal: failed to connect to any candidate hosts: All failures are related "
            "to having an unplumbed source address. Are the network interfaces provisioned "
            "correctly? bind 192.0.2.77 for far failed: "), record)

    def test_the_path_names_us_before_the_source_does_and_the_host_comes_last(self):
        host = socket.gethostname()
        for source, path, name in (("ehlo_domain='s.test'", "ehlo_domain='p.test'", "p.test"),
                                   ("ehlo_domain='s.test'", "", "s.test"), ("", "", host)):
            with self.subTest(name=name):
                sink = self.sink()
                daemon = self.daemon(QUEUE % (self.to_sink(sink) + ", egress_pool='P'"),
                                     PATH % path, POOL % ("{name='s'}", source))
                daemon.inject()
                daemon.wait_records("Delivery")
                self.assertEqual(sink.commands()[1], "EHLO " + name)


class Hosts(Outbound):

    def test_five_mx_hosts_of_a_large_site_make_one_site_name(self):
        sink = self.sink()
        site = "(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com"
        tail = "gmail-smtp-in.l.google.com"
        names = self.names(
            "--mx-host=gmail.com,%s,5" % tail, "--host-record=%s,127.0.0.1" % tail,
            *["--mx-host=gmail.com,alt%d.%s,%d" % (i, tail, i * 10) for i in range(1, 5)])
        daemon = self.daemon(
            RECEIVED % "note(kumo.dns.lookup_mx('gmail.com').site_name)",
            PATH % ("smtp_port=%d" % sink.port), resolver=names)
        daemon.inject("u@gmail.com")
        record = daemon.wait_records("Delivery")[0]
        self.assertEqual(daemon.notes(), ['"%s"' % site])
        self.assertEqual(record["site"], "unspecified->%s@smtp_client" % site)
        self.assertEqual(record["peer_address"], {"name": tail + ".", "addr": "127.0.0.1"})

    def test_a_null_mx_bounces(self):
        names = self.names("--dns-rr=null.test,15,000000")
        daemon = self.daemon(PATH % "", resolver=names)
        daemon.inject("u@null.test")
        record = daemon.wait_records("Bounce")[0]
        self.assertEqual(record["response"]["code"], 556)
        self.assertEqual(record["response"]["enhanced_code"],
                         {"class": 5, "subject": 1, "detail": 10})
        self.assertEqual(record["response"]["content"], "Recipient address has a null MX")
        self.assertIsNone(record["delivery_protocol"])
        self.assertEqual(record["site"], "unspecified->@smtp_client")

    def test_a_domain_that_does_not_exist_is_retried(self):
        names = self.names("--local=/nowhere.test/")
        daemon = self.daemon(QUEUE % "retry_interval='1s'", PATH % "", resolver=names)
        daemon.inject("u@nowhere.test")
        for attempt, record in enumerate(daemon.wait_records("TransientFailure", 2)[:2]):
            self.assertEqual(record["num_attempts"], attempt)
            self.assertEqual(record["response"]["code"], 451)
            self.assertRegex(record["response"]["content"],
                             "^failed to resolve queue nowhere.test: .*NXDOMAIN")

    def test_one_prohibited_address_bounces_the_whole_site(self):
        names = self.names("--mx-host=trap.test,mx.trap.test,10",
                           "--host-record=mx.trap.test,127.0.0.1",
                           "--host-record=mx.trap.test,198.51.100.7")
        daemon = self.daemon(resolver=names)
        daemon.inject_many(2, "u@trap.test")
        for record in daemon.wait_records("Bounce", 2):
            self.assertEqual(record["response"]["code"], 550)
            self.assertEqual(record["response"]["enhanced_code"],
                             {"class": 5, "subject": 4, "detail": 4})
            self.assertIn("mx.trap.test./127.0.0.1 is on the list of prohibited_hosts {",
                          record["response"]["content"])
            self.assertIsNone(record["peer_address"])

    def test_a_5xx_banner_never_bounces(self):
        sink = self.sink(lambda conn, command: "554 no" if command == "CONNECT" else None)
        daemon = self.relay(sink)
        daemon.inject()
        record = daemon.wait_records("TransientFailure")[0]
        self.assertEqual(record["response"]["code"], 400)
        self.assertTrue(record["response"]["content"].startswith(
            "KumoMTA internal: failed to connect to any candidate hosts: "), record)
        self.assertEqual(daemon.records("Bounce"), [])

    def test_the_next_host_is_tried_when_one_does_not_answer(self):
        sink = self.sink()
        with socket.socket() as deaf, socket.socket() as filler, socket.socket() as gone:
            gone.bind(("127.0.0.1", 0))  # and does not listen: refused
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            filler.connect(deaf.getsockname())  # the backlog is full: SYNs are dropped
            daemon = self.daemon(
                QUEUE % ("protocol={smtp={mx_list={{name='first', addr='127.0.0.1:%d'}, "
                         "{name='gone', addr='127.0.0.1:%d'}, "
                         "{name='second', addr='127.0.0.1:%d'}}}}"
                         % (deaf.getsockname()[1], gone.getsockname()[1], sink.port)),
                PATH % "connect_timeout='1s'")
            daemon.inject()
            record = daemon.wait_records("Delivery")[0]
        self.assertEqual(record["peer_address"]["name"], "second")
        self.assertEqual(daemon.records("TransientFailure"), [])


class Replies(Outbound):

    def test_a_refused_recipient_bounces_with_what_was_said(self):
        sink = self.sink(lambda conn, command:
                         "550 5.1.1 nope" if command.startswith("RCPT") else None)
        daemon = self.relay(sink)
        daemon.inject("u@example.com")
        record = daemon.wait_records("Bounce")[0]
        self.assertEqual(record["response"], {
            "code": 550, "enhanced_code": {"class": 5, "subject": 1, "detail": 1},
            "content": "nope", "command": "RCPT TO:<u@example.com>\r\n"})
        daemon.stop()
        daemon.start()
        daemon.wait_said("spool recovered 0 messages", count=2)

    def test_503_and_a_bare_552_for_the_only_recipient_are_transient(self):
        answers = {"MAIL": "503 wait", "RCPT": "552 full"}
        for verb, reply in answers.items():
            with self.subTest(verb=verb):
                sink = self.sink(lambda conn, command, verb=verb, reply=reply:
                                 reply if command.startswith(verb) else None)
                daemon = self.relay(sink)
                daemon.inject()
                record = daemon.wait_records("TransientFailure")[0]
                self.assertEqual(record["response"]["code"], int(reply[:3]))
                self.assertEqual(daemon.records("Bounce"), [])

    def test_the_policy_may_rewrite_a_status(self):
        sink = self.sink(lambda conn, command:
                         "452-4.2.2 mail\r\n452 4.2.2 box" if command == "." else None)
        daemon = self.daemon(
            QUEUE % self.to_sink(sink), PATH % "",
            """kumo.on('smtp_client_rewrite_delivery_status',
                 function(response, domain, tenant, campaign, routing_domain)
                   note{response, domain, tenant == nil, campaign == nil, routing_domain}
                   return 550
                 end)""")
        daemon.inject()
        record = daemon.wait_records("Bounce")[0]
        self.assertEqual(record["response"]["code"], 550)
        self.assertTrue(record["response"]["content"].endswith(
            "box (kumomta: status was rewritten from 452 -> 550)"), record)
        self.assertEqual(daemon.notes(), [
            '["452 4.2.2 mail box","example.com",true,true,"example.com"]'])

    def test_a_rewrite_that_fails_or_says_nothing_changes_nothing(self):
        for handler in ("error 'no'", "return nil", "return"):
            with self.subTest(handler=handler):
                daemon = self.daemon(
                    QUEUE % self.to_sink(self.sink(refuse_rcpt)), PATH % "",
                    "kumo.on('smtp_client_rewrite_delivery_status', function() %s end)" % handler)
                daemon.inject()
                record = daemon.wait_records("TransientFailure")[0]
                self.assertEqual(record["response"]["code"], 451)
                self.assertEqual(record["response"]["content"], "not now")

    def test_a_rewrite_that_suspends_is_waited_for(self):
        daemon = self.daemon(
            QUEUE % self.to_sink(self.sink(refuse_rcpt)), PATH % "",
            "kumo.on('smtp_client_rewrite_delivery_status', "
            "function() kumo.sleep(0.2) return 550 end)")
        daemon.inject_many(3)
        for record in daemon.wait_records("Bounce", 3):
            self.assertEqual(record["response"]["code"], 550)

    def test_8_bit_content_needs_8bitmime_unless_told_otherwise(self):
        sink = self.sink(extensions=("PIPELINING",))
        daemon = self.relay(sink)
        daemon.inject(body=b"caf\xc3\xa9\r\n")
        record = daemon.wait_records("Bounce")[0]
        self.assertEqual(record["response"]["code"], 554)
        self.assertEqual(record["response"]["enhanced_code"],
                         {"class": 5, "subject": 6, "detail": 3})
        self.assertFalse([c for c in sink.commands() if c.startswith("MAIL")])
        daemon = self.relay(sink, path="ignore_8bit_checks=true")
        daemon.inject(body=b"caf\xc3\xa9\r\n")
        daemon.wait_records("Delivery")
        self.assertTrue(sink.conns[-1]["bodies"][0].endswith(b"\r\n\r\ncaf\xc3\xa9\r\n"))

    def test_recipients_beyond_what_the_peer_takes_follow_in_a_second_transaction(self):
        def script(conn, command):
            if command.startswith("MAIL"):
                conn["taken"] = 0
            if command == "RCPT TO:<r2@example.com>":
                return "452 mailbox full"
            if command.startswith("RCPT"):
                conn["taken"] += 1
                return "452 too many" if conn["taken"] > 4 else None
            return None
        daemon = self.relay(self.sink(script), listener="batch_handling='BatchByDomain'")
        daemon.inject(["r%d@example.com" % i for i in range(1, 7)])
        first, second = daemon.wait_records("Delivery", 2)
        self.assertEqual(sorted(first["recipient"]),
                         ["r%d@example.com" % i for i in (1, 3, 4, 5)])
        self.assertEqual(second["recipient"], "r6@example.com")
        failure, = daemon.wait_records("TransientFailure")
        self.assertEqual(failure["recipient"], "r2@example.com")


class SlowPeers(Outbound):
    """A large message to a peer that takes it slowly, or not at all."""

    TIMEOUT_S = 5
    BODY = (b"x" * 98 + b"\r\n") * 80000

    def begin(self, read):
        """One message under way to a peer; read(sock) takes its payload and what follows."""
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        server.bind(("127.0.0.1", 0))
        server.listen()
        self.addCleanup(server.close)
        daemon = self.daemon(
            QUEUE % ("protocol={smtp={mx_list={{name='slow', addr='127.0.0.1:%d'}}}}"
                     % server.getsockname()[1]),
            PATH % ("data_timeout='%ds', enable_pipelining=false" % self.TIMEOUT_S))
        daemon.inject(body=self.BODY)
        sock, _ = server.accept()
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE_S)
        sock.sendall(b"220 slow.test ESMTP\r\n")
        for reply in (b"250 slow.test", b"250 ok", b"250 ok", b"354 go on"):
            while not sock.recv(4096).endswith(b"\r\n"):
                pass
            sock.sendall(reply + b"\r\n")
        return daemon, sock, read(sock)

    def test_a_large_message_has_the_timeout_for_each_block_of_it(self):
        def read(sock):
            begun = time.monotonic()
            size, tail, due = 0, b"", begun
            while not tail.endswith(b"\r\n.\r\n"):
                some = sock.recv(65536)
                self.assertTrue(some, "hung up after %d bytes" % size)
                size += len(some)
                tail = (tail + some)[-5:]
                due += len(some) / (len(self.BODY) / (2.5 * self.TIMEOUT_S))
                time.sleep(max(0, due - time.monotonic()))  # the line is slow
            return time.monotonic() - begun
        daemon, sock, seconds = self.begin(read)
        sock.sendall(b"250 taken\r\n")
        daemon.wait_records("Delivery")
        self.assertGreater(seconds, 2 * self.TIMEOUT_S)
        self.assertEqual(daemon.records("TransientFailure"), [])

    def test_a_peer_that_stops_reading_has_the_timeout_once(self):
        daemon, sock, begun = self.begin(lambda sock: sock.recv(65536) and time.monotonic())
        record = daemon.wait_records("TransientFailure")[0]
        self.assertIn("Timed Out sending message payload data", record["response"]["content"])
        self.assertLess(time.monotonic() - begun, 5 * self.TIMEOUT_S)


class Connections(Outbound):

    def test_a_connection_ends_after_its_deliveries(self):
        sink = self.sink()
        daemon = self.relay(sink, path="max_deliveries_per_connection=2, connection_limit=1, "
                                       "idle_timeout='10min'")
        daemon.inject_many(6)
        sink.wait_command("QUIT", 3)
        self.assertEqual([len(conn["bodies"]) for conn in sink.conns], [2, 2, 2])
        self.assertTrue(all(conn["commands"][-1] == "QUIT" for conn in sink.conns))

    def test_rset_comes_before_all_but_the_first_message(self):
        for path, expected in (("", 2), (", enable_rset=false", 0)):
            with self.subTest(path=path):
                sink = self.sink()
                daemon = self.relay(sink, path="connection_limit=1, idle_timeout='10min'" + path)
                for count in range(3):
                    daemon.inject()
                    sink.wait_command(".", count + 1)
                daemon.wait_records("Delivery", 3)
                verbs = [c.split(" ")[0] for c in sink.commands(1)]
                self.assertEqual(len(sink.conns), 1)
                self.assertEqual(verbs.count("RSET"), expected)
                self.assertNotIn("RSET", verbs[:verbs.index("MAIL") + 1])

    def test_a_connection_the_peer_closed_with_421_costs_nobody_an_attempt(self):
        sink = self.sink()
        daemon = self.relay(sink, path="idle_timeout='60s'")
        daemon.inject()
        first = daemon.wait_records("Delivery")[0]
        sink.hang_up(1, b"421 4.4.2 idle too long\r\n")
        daemon.inject()
        second = daemon.wait_records("Delivery", 2)[1]
        self.assertNotEqual(first["session_id"], second["session_id"])
        self.assertEqual(daemon.records("TransientFailure"), [])

    def test_a_connection_the_peer_closed_without_a_word_costs_nobody_an_attempt(self):
        sink = self.sink()
        daemon = self.relay(sink, path="idle_timeout='60s'")
        daemon.inject()
        daemon.wait_records("Delivery")
        sink.hang_up(1)
        daemon.inject()
        daemon.wait_records("Delivery", 2)
        self.assertEqual([r["type"] for r in daemon.records() if r["num_attempts"] > 0], [])
        self.assertEqual(daemon.records("TransientFailure"), [])

    def two_hosts(self, script, path):
        second = self.sink()
        daemon = self.daemon(QUEUE % self.to_sink(self.sink(script), second), PATH % path)
        daemon.inject()
        return daemon

    @staticmethod
    def quit_at_mail(conn, command):
        return Close("421 4.3.2 going down") if command.startswith("MAIL") else None

    def test_a_421_sends_the_message_back(self):
        daemon = self.two_hosts(self.quit_at_mail, "enable_pipelining=false")
        record = daemon.wait_records("TransientFailure")[0]
        self.assertEqual(record["response"]["code"], 421)
        daemon.stop()
        self.assertEqual(daemon.records("Delivery"), [])
        daemon.start()
        daemon.wait_said("spool recovered 1 messages")

    def test_or_goes_on_with_the_next_host_where_the_path_says_so(self):
        daemon = self.two_hosts(
            self.quit_at_mail, "enable_pipelining=false, try_next_host_on_transport_error=true")
        delivery, = daemon.wait_records("Delivery")
        failure, = daemon.wait_records("TransientFailure")
        self.assertEqual(failure["id"], delivery["id"])
        self.assertEqual(failure["session_id"], delivery["session_id"])
        self.assertEqual(failure["peer_address"]["name"], "host1")
        self.assertEqual(delivery["peer_address"]["name"], "host2")
        self.assertEqual(failure["response"]["code"], 421)

    def test_a_reset_in_the_middle_of_a_message_is_no_reason_to_go_on(self):
        daemon = self.two_hosts(
            lambda conn, command: Close() if command == "." else None,
            "try_next_host_on_transport_error=true")
        record = daemon.wait_records("TransientFailure")[0]
        self.assertEqual(record["response"]["code"], 400)
        self.assertTrue(record["response"]["content"].startswith(
            "KumoMTA internal: failed to send message: "), record)
        daemon.stop()
        self.assertEqual(daemon.records("Delivery"), [])

    def test_a_late_reply_is_a_timeout_and_the_connection_ends(self):
        sink = self.sink()
        sink.script = lambda conn, command: sink.hold() if command.startswith("RCPT") else None
        daemon = self.relay(sink, path="rcpt_to_timeout='1s', enable_pipelining=false")
        daemon.inject("u@example.com")
        record = daemon.wait_records("TransientFailure")[0]
        self.assertEqual(record["response"]["code"], 421)
        self.assertRegex(
            record["response"]["content"],
            "^KumoMTA internal: failed to send message to unspecified->.*@smtp_client 127.0.0.1:"
            "[0-9]+: Timed Out waiting 1s for response to RCPT TO:<u@example.com>$")
        self.assertEqual(record["response"]["command"], "RCPT TO:<u@example.com>\r\n")

    def test_an_idle_connection_ends_with_quit(self):
        heard = {}
        sink = self.sink(lambda conn, command: heard.update({command: time.monotonic()}))
        daemon = self.relay(sink, path="idle_timeout='1s'")
        daemon.inject()
        sink.wait_command("QUIT")
        self.assertGreaterEqual(heard["QUIT"] - heard["."], 1)


if __name__ == "__main__":
    main()
