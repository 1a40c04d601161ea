#!/usr/bin/env python3
"""Ten thousand silent peers, a thousand busy ones and all kinds nobody likes, at once: what the
daemon's memory does, who notices, and how the bad ones end.

Usage: load_test.py BUILD_DIR [--scale N] [unittest arguments]

--scale divides every crowd by N. Memory is judged at scale 1 only: a sanitizer keeps what was
freed.
"""

import asyncio
import socket
import time

import load_peers
import load_support
import ringtest
from load_support import KIB, MIB, WARM_MESSAGES, Crowd, LoadTest, scaled

IDLE_COUNT = 10_000
BUSY_COUNT = 1_000
BUSY_MESSAGES = 30    # of each busy connection
BAD_COUNT = 10        # of each kind
CHURN_COUNT = 20_000
CHURN_PHASES = 10
FILES_MORE = 20         # segments and deliveries come and go, too
LARGE_BYTES = 8 * MIB
LARGE_ROOM = 256 * MIB  # of a shard, for bodies coming in
FEW_DESCRIPTORS = 1024  # the least it starts with

# What memory may cost. An idle connection: its promise. A bad one: input and output of 64 KiB wait
# for it, each in a buffer that has doubled. The busy ones: all their messages of 4 KiB may be held
# for delivery at once.
IDLE_BYTES_MAX = 4 * KIB
BAD_BYTES_MAX = 512 * KIB
BUSY_BYTES_MAX = 32 * MIB
MESSAGE_BYTES_MAX = 8 * KIB
CHURN_BYTES_MAX = 16 * MIB

# What peers say before they leave, whether they wait for the answers, and how they go.
CHURN_KINDS = (
    ((), False, load_support.reset),
    ((), False, socket.socket.close),
    ((b"EHLO x.test\r\n",), True, load_support.reset),
    ((b"EHLO x.test\r\n", b"QUIT\r\n"), True, socket.socket.close),
    ((b"MAIL FROM:<a@src.test>\r\n", b"RCPT TO:<b@dst.test>\r\n", b"RSET\r\nMAIL FR"), True,
     load_support.reset),
)

# Peers of the network 127.9 are given up soon, all others are not.
LISTENER = """client_timeout='10min', relay_hosts={'127.0.0.0/8'}, peer={['127.9.0.0/16']={
    client_timeout='3s', max_message_size=1048576, max_messages_per_connection=100}}"""

QUEUES = """
kumo.on('get_queue_config', function(domain)
  local addr = domain == 'slow.test' and '@SLOW@' or '@SINK@'
  return kumo.make_queue_config{protocol={smtp={mx_list={{name='sink.test', addr=addr}}}}}
end)
kumo.on('get_egress_path_config', function()
  return kumo.make_egress_path{enable_tls='Disabled', prohibited_hosts={}, max_ready=100000}
end)
"""


class Inbound(LoadTest):

    def idle_count(self):
        """The daemon needs descriptors for the other peers and for its files, too."""
        count = scaled(IDLE_COUNT)
        most = self.hard_limit // 4 * 3  # of it are for sessions
        if count + 2000 > most:
            self.tell("the hard limit of descriptors is %d: fewer connections", self.hard_limit)
            count = most - 2000
        return count

    def probe(self, daemon):
        """A new peer is greeted and heard; answers the seconds it took."""
        begin = time.monotonic()
        with ringtest.Client(daemon.port) as client:
            self.assertEqual(client.banner.code, 220)
            self.assertEqual(client.cmd("QUIT").code, 221)
        return time.monotonic() - begin

    def bad_peers(self, daemon):
        """Each on its way; answers the gate and what becomes of them."""
        kinds = scaled(BAD_COUNT) * (load_peers.SLOW + load_peers.WRONG)

        async def make():
            return load_peers.Gate(len(kinds))

        gate = self.loop.run(make())
        ends = [(kind, self.loop.start(kind(gate, daemon.port, "127.9.0.%d" % (i % 250 + 1))))
                for i, kind in enumerate(kinds)]
        self.loop.run(gate.all_in_place.wait())
        return gate, ends

    def serve_the_busy(self, daemon):
        """A thousand connections that all get their mail taken, while others come and go."""
        count = scaled(BUSY_COUNT)
        messages = count * BUSY_MESSAGES
        load = self.ringload(daemon, "--connections", str(count), "--messages", str(messages),
                             "--first", str(WARM_MESSAGES))
        probes = [self.probe(daemon)]
        while load.process.poll() is None:
            probes.append(self.probe(daemon))
        report = load.wait()
        self.assertEqual((report["accepted"], report["connections_lost"],
                          report["connects_failed"]), (messages, 0, 0), report)
        self.tell("%d busy connections: %d messages in %.1f s; a 250 took %.0f ms, at most %.0f",
                  count, messages, report["seconds"], report["latency_us"]["p50"] / 1000,
                  report["latency_us"]["max"] / 1000)
        self.tell("%d new connections meanwhile: greeted and gone in %.0f ms at most",
                  len(probes), 1000 * max(probes))
        return messages

    def test_nobody_notices_bad_peers_among_thousands(self):
        expected = WARM_MESSAGES + scaled(BUSY_COUNT) * BUSY_MESSAGES
        sink, slow_sink = self.ringsink("--stop-after", str(expected)), self.sink()
        daemon = self.daemon(listener=LISTENER, queue=QUEUES.replace("@SLOW@", slow_sink.address)
                             .replace("@SINK@", sink.address))
        pid = daemon.process.pid
        self.warm_up(daemon)
        before = load_support.rss(pid)
        idle = self.crowd(daemon, self.idle_count()).settle()
        with_idle = load_support.rss(pid)
        self.check_bytes("one of %d idle connections" % len(idle.sockets),
                         (with_idle - before) / len(idle.sockets), IDLE_BYTES_MAX)
        load_support.forget_peak(pid)
        gate, ends = self.bad_peers(daemon)
        bad_bytes = load_support.rss_peak(pid) - with_idle
        self.check_bytes("one of %d bad peers" % len(ends), bad_bytes / len(ends), BAD_BYTES_MAX)
        messages = self.serve_the_busy(daemon)
        self.loop.loop.call_soon_threadsafe(gate.opened.set)
        for kind, end in ends:
            with self.subTest(kind.__name__):
                end.result(ringtest.PATIENCE)
        report, err = sink.process.communicate(timeout=ringtest.PATIENCE)
        self.assertEqual(sink.process.returncode, 0, (report, err))
        slow_sink.wait_messages(scaled(BAD_COUNT) * len(load_peers.MAILERS))
        self.check_bytes("busy and bad peers together, at the peak",
                         load_support.rss_peak(pid) - with_idle,
                         BUSY_BYTES_MAX + len(ends) * BAD_BYTES_MAX + messages * MESSAGE_BYTES_MAX)
        self.assertTrue(idle.is_undisturbed())
        idle.all_answer()


    def test_connections_that_come_and_go_by_thousands_leave_nothing_behind(self):
        daemon = self.daemon(listener=LISTENER, sink=self.ringsink())
        pid = daemon.process.pid
        self.warm_up(daemon)
        descriptors = load_support.descriptor_count(pid)
        before = load_support.rss(pid)
        load_support.forget_peak(pid)
        count = scaled(CHURN_COUNT // CHURN_PHASES)
        with ringtest.Client(daemon.port) as witness:
            for phase in range(CHURN_PHASES):
                words, served, how = CHURN_KINDS[phase % len(CHURN_KINDS)]
                crowd = Crowd(daemon.port, count, words=words)
                crowd.settle(count if served else 0)
                crowd.leave(how)
                witness.mailed()
        load_support.wait_until(
            lambda: load_support.descriptor_count(pid) <= descriptors + FILES_MORE,
            "the descriptors of peers that are gone")
        self.check_bytes("%d connections at once, %d in all, at the peak" % (
            count, count * CHURN_PHASES), load_support.rss_peak(pid) - before,
            CHURN_BYTES_MAX)
        self.probe(daemon)

    def test_large_messages_do_not_wait_for_each_other_for_ever(self):
        """More than a shard has room for, all of them begun before any is over; some never are."""
        daemon = self.daemon(listener=LISTENER, sink=self.ringsink(), shards=1)
        count = LARGE_ROOM // LARGE_BYTES + 5
        body = LARGE_BYTES // 64 * (62 * b"x" + b"\r\n")
        before = load_support.rss(daemon.process.pid)

        async def all_at_once():
            stalled = [await load_peers.in_data(daemon.port, "127.1.1.%d" % (i + 1))
                       for i in range(3)]
            for peer in stalled:
                await peer.send(body)
            await asyncio.gather(*(load_peers.large_mail(daemon.port, body)
                                   for _ in range(count)))
            for peer in stalled:
                peer.close()

        self.loop.run(all_at_once())
        self.tell("%d messages of %d MiB; the peak is %d MiB", count, LARGE_BYTES // MIB,
                  (load_support.rss_peak(daemon.process.pid) - before) // MIB)

    def test_sessions_leave_descriptors_for_logs_spool_and_deliveries(self):
        """The client's every message goes out and is logged while no more peers are let in."""
        sink = self.sink()
        daemon = self.daemon(listener=LISTENER, sink=sink, queue_options="retry_interval='1s'",
                             starter=("prlimit", "--nofile=%d" % FEW_DESCRIPTORS))
        most = FEW_DESCRIPTORS // 4 * 3
        client = self.client(daemon)
        client.mailed("Subject: before\r\n\r\nx\r\n")
        sink.wait_messages(1)
        crowd = self.crowd(daemon, most - 1).settle()
        for _ in range(20):
            late = self.client(daemon)
            self.assertEqual(late.banner,
                             "421 4.3.2 mx.test too many concurrent sessions. Try later")
            self.assertTrue(late.at_end())
        refused = [line for line in daemon.log.lines if "sessions: others are refused" in line]
        self.assertEqual(len(refused), 1, refused)
        for _ in range(10):
            client.mailed("Subject: meanwhile\r\n\r\nx\r\n")
        sink.wait_messages(11)
        daemon.wait_records("Delivery", 11)
        self.assertLess(load_support.descriptor_count(daemon.process.pid), FEW_DESCRIPTORS - 100)
        crowd.leave_served(most // 2)
        load_support.wait_until(lambda: self.client(daemon).banner.code == 220, "a place")
        client.mailed("Subject: after\r\n\r\nx\r\n")
        sink.wait_messages(12)


if __name__ == "__main__":
    load_support.main()
