#!/usr/bin/env python3
"""Limits and rates of delivery as the sink counts them, over all shards; stopping and restarting.

Usage: outbound_limits_test.py BUILD_DIR [unittest arguments]
"""

import threading
import time

from outbound_support import (
    PATH, QUEUE, Outbound, main, seconds_of, wait_for)


class Limits(Outbound):

    def holding_sink(self):
        """A sink that keeps every message waiting for its last reply until the gate opens."""
        gate = threading.Event()
        sink = self.sink()
        sink.script = lambda conn, command: sink.hold(gate) if command == "." else None
        return sink, gate

    def test_connections_never_exceed_their_limit_over_all_shards(self):
        sink, gate = self.holding_sink()
        daemon = self.relay(sink, path="connection_limit=3, max_deliveries_per_connection=4",
                            shards=2)
        for _ in range(8):
            daemon.inject_many(10)
        sink.wait_command(".", 3)
        gate.set()
        daemon.wait_records("Delivery", 80)
        self.assertEqual(sink.open_peak, 3)
        daemon.stop()

    def test_a_shared_limit_holds_over_paths_and_shards(self):
        sinks = [self.sink() for _ in range(2)]
        counted = threading.Lock()
        open_now, peak = [0], [0]

        def script(conn, command):
            with counted:
                if command == "CONNECT":
                    open_now[0] += 1
                    peak[0] = max(peak[0], open_now[0])
                elif command == "QUIT":
                    open_now[0] -= 1
        for sink in sinks:
            sink.script = script
        daemon = self.daemon(
            """kumo.on('get_queue_config', function(domain)
                 local port = domain == 'one.test' and %d or %d
                 return kumo.make_queue_config{protocol={smtp={mx_list={
                   {name='host', addr='127.0.0.1:' .. port}}}}}
               end)""" % tuple(sink.port for sink in sinks),
            PATH % "additional_connection_limits={shared=1}, idle_timeout='60s'", shards=2)
        for _ in range(4):
            daemon.inject_many(5, "u@one.test")
            daemon.inject_many(5, "u@two.test")
        daemon.wait_records("Delivery", 40)
        self.assertEqual(peak[0], 1)
        daemon.stop()

    def test_max_ready_is_exact_over_all_shards(self):
        sink, gate = self.holding_sink()
        daemon = self.relay(sink, path="max_ready=10, connection_limit=1", shards=2)
        daemon.inject()
        sink.wait_command(".")
        for _ in range(6):
            daemon.inject_many(5)
        delayed = daemon.wait_records("Delayed", 20)
        gate.set()
        daemon.wait_records("Delivery", 11)
        self.assertEqual(len(daemon.records("Delayed")), 20)
        for record in delayed:
            self.assertRegex(record["response"]["content"],
                             "^Context: Received, ReadyQueueWasFull. Next due in "
                             "[0-9]+(s|ms)[ 0-9a-z]* at ")
            self.assertEqual(record["num_attempts"], 0)
        daemon.stop()

    def test_a_full_ready_queue_delays_the_third_of_three(self):
        sink = self.sink()
        sink.script = lambda conn, command: sink.hold() if command == "DATA" else None
        daemon = self.relay(sink, path="max_ready=1, connection_limit=1")
        daemon.inject()
        sink.wait_command("DATA")
        daemon.inject_many(2)
        record, = daemon.wait_records("Delayed")
        self.assertTrue(record["response"]["content"].startswith(
            "Context: Received, ReadyQueueWasFull. Next due in "), record)
        self.assertEqual(record["num_attempts"], 0)


class Rates(Outbound):

    def paced(self, daemon):
        """Three messages, of which one may go at once and one every two seconds after it. A slow
        peer or a slow machine makes any of them later, none earlier."""
        begun = time.time()
        daemon.inject_many(3)
        times = [seconds_of(r) - begun for r in daemon.wait_records("Delivery", 3)]
        self.assertGreaterEqual(times[1], 1.8)
        self.assertGreaterEqual(times[2], 3.8)

    def test_connections_are_opened_no_faster_than_allowed(self):
        sink = self.sink()
        daemon = self.relay(sink, path="max_connection_rate='1/2s', idle_timeout='60s', "
                                       "max_deliveries_per_connection=1, connection_limit=1")
        self.paced(daemon)
        self.assertEqual(daemon.records("Delayed"), [])

    def test_a_long_wait_for_a_connection_sends_the_queue_back(self):
        sink = self.sink()
        daemon = self.relay(sink, path="max_connection_rate='1/min', connection_limit=1, "
                                       "max_deliveries_per_connection=1")
        daemon.inject_many(3)
        delayed = daemon.wait_records("Delayed", 2)
        self.assertIn("ConnectionRateThrottle", delayed[0]["response"]["content"])
        self.assertEqual([r["num_attempts"] for r in delayed], [0, 0])
        self.assertEqual(len(daemon.wait_records("Delivery")), 1)

    def test_a_short_wait_for_a_message_rate_keeps_the_connection(self):
        for path in ("max_message_rate='1/2s'",
                     "max_message_rate='100/s', additional_message_rate_throttles={x='1/2s'}"):
            with self.subTest(path=path):
                sink = self.sink()
                daemon = self.relay(sink, path="connection_limit=1, " + path, shards=2)
                self.paced(daemon)
                self.assertEqual(len(sink.conns), 1)
                daemon.stop()

    def test_a_long_wait_for_a_message_rate_sends_the_queue_back(self):
        daemon = self.relay(self.sink(), path="max_message_rate='1/min', connection_limit=1")
        daemon.inject_many(3)
        delayed = daemon.wait_records("Delayed", 2)
        self.assertIn("MessageRateThrottle", delayed[0]["response"]["content"])
        self.assertEqual([r["num_attempts"] for r in delayed], [0, 0])


class Restarts(Outbound):

    def test_attempts_and_due_time_survive_a_restart(self):
        sink = self.sink(lambda conn, command:
                         "451 4.3.0 not now" if command.startswith("RCPT") else None)
        daemon = self.relay(sink, "retry_interval='4s'")
        daemon.inject()
        first = daemon.wait_records("TransientFailure")[0]
        daemon.stop()
        daemon.start()
        second = daemon.wait_records("TransientFailure", 2)[1]
        self.assertEqual(first["id"], second["id"])
        self.assertEqual(second["num_attempts"], 1)
        self.assertGreaterEqual(seconds_of(second) - seconds_of(first), 4)
        self.assertEqual(daemon.records("Delayed"), [])
        self.assertEqual(len(daemon.records("Reception")), 1)

    def test_mail_survives_a_kill_and_is_delivered(self):
        for shards in (1, 2):
            with self.subTest(shards=shards):
                sink = self.sink()
                sink.script = lambda conn, command: sink.hold() if command == "." else None
                daemon = self.relay(sink, path="connection_limit=1", shards=shards)
                for _ in range(4):
                    daemon.inject_many(10)
                sink.wait_command(".")
                daemon.kill()
                sink.script = lambda conn, command: None
                daemon.start()
                wait_for(lambda: len({r["id"] for r in daemon.records("Delivery")}) == 40,
                         "40 deliveries")
                self.assertEqual(sum(len(conn["bodies"]) for conn in sink.conns), 41)
                daemon.stop()
                daemon.start()
                daemon.wait_said("spool recovered 0 messages", count=shards)
                daemon.stop()

    def test_a_stop_waits_for_the_final_reply(self):
        sink = self.sink()
        gate = threading.Event()
        sink.script = lambda conn, command: sink.hold(gate) if command == "." else None
        daemon = self.relay(sink)
        daemon.inject()
        sink.wait_command(".")
        daemon.ask_to_stop()
        daemon.wait_said("draining")
        self.assertIsNone(daemon.process.poll())
        gate.set()
        daemon.wait_stopped()
        self.assertEqual(len(daemon.records("Delivery")), 1)
        daemon.start()
        daemon.wait_said("spool recovered 0 messages", count=2)

    def test_a_stop_waits_no_longer_than_the_path_allows(self):
        sink = self.sink()
        sink.script = lambda conn, command: sink.hold() if command == "." else None
        daemon = self.relay(sink, path="system_shutdown_timeout='1s'")
        daemon.inject()
        sink.wait_command(".")
        daemon.stop()
        self.assertEqual(daemon.records("Delivery"), [])
        sink.script = lambda conn, command: None
        daemon.start()
        daemon.wait_said("spool recovered 1 messages")

    def test_a_stop_while_waiting_for_a_rate_or_a_place_ends_clean(self):
        for path in ("max_message_rate='1/4s'", "max_connection_rate='1/4s', "
                     "max_deliveries_per_connection=1", "connection_limit=1, "
                     "additional_connection_limits={x=1}"):
            with self.subTest(path=path):
                sink = self.sink()
                daemon = self.relay(sink, path=path, shards=2)
                for _ in range(3):
                    daemon.inject_many(3)
                daemon.wait_records("Delivery")
                daemon.stop()
                done = len({r["id"] for r in daemon.records("Delivery")})
                daemon.start()
                wait_for(lambda: sum(
                    int(line.split("recovered ")[1].split()[0])
                    for line in daemon.said().splitlines() if "spool recovered" in line)
                    == 9 - done, "what was not delivered")

    def test_mail_that_is_not_due_waits_on_after_a_restart(self):
        sink = self.sink(lambda conn, command:
                         "451 4.3.0 not now" if "later" in command else None)
        daemon = self.relay(sink, "retry_interval='1h'")
        daemon.inject("later@example.com")
        daemon.wait_records("TransientFailure")
        daemon.stop()
        daemon.start()
        daemon.wait_said("spool recovered 1 messages")
        daemon.inject("now@example.com")
        daemon.wait_records("Delivery")
        self.assertEqual(len(daemon.records("TransientFailure")), 1)
        self.assertEqual(daemon.records("Delayed"), [])


if __name__ == "__main__":
    main()
