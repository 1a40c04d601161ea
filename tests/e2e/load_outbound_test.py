#!/usr/bin/env python3
"""Destinations nobody likes, for ever or until their timeouts: whether the others get their mail,
and what the daemon's memory does.

Usage: load_outbound_test.py BUILD_DIR [--scale N] [unittest arguments]

--scale divides the number of messages by N; memory is judged at scale 1 only.
"""

import asyncio
import socket

import load_support
import ringtest
from load_support import KIB, MIB, WARM_MESSAGES, LoadTest, Peer, scaled

GOOD_MESSAGES = 10_000
GOOD_DOMAINS = 100
BAD_MESSAGES = 4          # to each bad destination
BAD_MESSAGE_BYTES = 512 * KIB
PACE_S = 0.05

# All good messages and all bad ones may be held at once; the rest is for connections.
GOOD_BYTES_MAX = 8 * KIB
BAD_BYTES_MAX = 3 * BAD_MESSAGE_BYTES
OTHER_BYTES_MAX = 32 * MIB

QUEUES = """
local sinks = {@SINKS@}
kumo.on('get_queue_config', function(domain)
  return kumo.make_queue_config{retry_interval='1h', protocol={smtp={mx_list={
    {name='mx.' .. domain, addr=sinks[domain] or '@SINK@'}}}}}
end)
kumo.on('get_egress_path_config', function(domain)
  local short = domain:find('short', 1, true) and not domain:find('in-the-right', 1, true)
  local time = short and '2s' or '10min'
  return kumo.make_egress_path{enable_tls='Disabled', prohibited_hosts={}, max_ready=100000,
    connect_timeout=time, banner_timeout=time, ehlo_timeout=time, mail_from_timeout=time,
    rcpt_to_timeout=time, data_timeout=time, data_dot_timeout=time, rset_timeout=time,
    max_deliveries_per_connection=1, system_shutdown_timeout='1s'}
end)
"""


# ---- how a bad destination serves; each goes on until the daemon hangs up ----

async def never_answers(peer):
    await peer.rest()


async def reads_byte_by_byte(peer):
    """Answers well, and then lets the message trickle in."""
    await peer.send(b"220 sink.test\r\n")
    for reply in (b"250 sink.test\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        assert await peer.recv(1 * KIB)
        await peer.send(reply)
    while await peer.recv(1):
        await asyncio.sleep(PACE_S)


async def drip(peer, text):
    for byte in text:
        await peer.send(bytes((byte,)))
        await asyncio.sleep(PACE_S)


async def answers_without_end(peer):
    """Byte by byte, and never to the end of a line."""
    await drip(peer, b"220 ")
    while True:
        await drip(peer, b"x")


async def answers_line_by_line(peer):
    """Byte by byte, and never to the last line."""
    while True:
        await drip(peer, b"220-x\r\n")


async def slow_but_in_the_right(peer):
    """Answers byte by byte, and in time where there is time."""
    await drip(peer, b"220 sink.test\r\n")
    while line := await peer.recv(1 * KIB):
        if line == b"DATA\r\n":
            await drip(peer, b"354 go\r\n")
            text = b""
            while not text.endswith(b"\r\n.\r\n"):
                text = text[-5:] + await peer.recv(64 * KIB)
        await drip(peer, b"250 ok\r\n" if line != b"QUIT\r\n" else b"221 bye\r\n")


async def endless_line(peer):
    await peer.shove(b"220 " + 64 * KIB * b"x")


async def endless_reply(peer):
    await peer.shove(8 * KIB * b"220-x\r\n")


# Those that hold a connection for as long as they are let.
PATIENT = (never_answers, reads_byte_by_byte, answers_without_end, answers_line_by_line)

# What becomes of a message under timeouts of two seconds.
ENDS = {
    never_answers: "TransientFailure .*Timed Out waiting 2s for response to initial banner",
    reads_byte_by_byte: "TransientFailure .*Timed Out (waiting 2s|sending message payload)",
    answers_without_end: "TransientFailure .*Timed Out waiting 2s for response to initial banner",
    answers_line_by_line: "TransientFailure .*Timed Out waiting 2s for response to initial banner",
    endless_line: "TransientFailure .*(?i:too long)",
    endless_reply: "TransientFailure .*(?i:too long)",
    slow_but_in_the_right: "Delivery .*ok",
}


class BadSink:
    """Serves every connection as `kind` does and counts them."""

    def __init__(self, loop, kind):
        self.kind = kind
        self.loop = loop
        self.begun = self.ended = 0
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setblocking(False)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.task = loop.start(self._accept())

    async def _accept(self):
        async with asyncio.TaskGroup() as group:
            while True:
                sock, _ = await asyncio.get_running_loop().sock_accept(self.socket)
                self.begun += 1
                group.create_task(self._serve(sock))

    async def _serve(self, sock):
        sock.setblocking(False)
        with sock:
            try:
                await self.kind(Peer(sock))
            except OSError:
                pass
            finally:
                self.ended += 1

    def close(self):
        self.task.cancel()
        self.socket.close()


class Outbound(LoadTest):

    def bad_sink(self, kind):
        sink = BadSink(self.loop, kind)
        self.addCleanup(sink.close)
        return sink

    def start(self, sink, bad):
        sinks = ", ".join("['%s']='%s'" % (domain, s.address) for domain, s in bad.items())
        return self.daemon(
            listener="relay_hosts={'127.0.0.0/8'}", logs="max_segment_duration='1s'",
            queue=QUEUES.replace("@SINKS@", sinks).replace("@SINK@", sink.address))

    def send_to(self, daemon, domains):
        body = "Subject: big\r\n\r\n" + BAD_MESSAGE_BYTES // 64 * (62 * "x" + "\r\n")
        with ringtest.Client(daemon.port) as client:
            for domain in domains:
                for _ in range(BAD_MESSAGES):
                    client.mailed(body, recipients=("u@" + domain,))

    def check_end(self, domain, kind, records):
        """Every message to it ended as its kind of destination deserves."""
        mine = [r for r in records if r["recipient"] == "u@" + domain]
        self.assertEqual(len(mine), BAD_MESSAGES, kind.__name__)
        for record in mine:
            self.assertRegex("%s %s" % (record["type"], record["response"]["content"]), ENDS[kind])

    def test_bad_destinations_hold_up_nobody_and_their_timeouts_end_them(self):
        count = scaled(GOOD_MESSAGES)
        good = self.ringsink("--stop-after", str(count + WARM_MESSAGES))
        patient = {"%s.patient.test" % kind.__name__.replace("_", "-"): self.bad_sink(kind)
                   for kind in PATIENT}
        short = {"%s.short.test" % kind.__name__.replace("_", "-"): self.bad_sink(kind)
                 for kind in ENDS}
        daemon = self.start(good, {**patient, **short})
        pid = daemon.process.pid
        self.warm_up(daemon)
        before = load_support.rss(pid)
        load_support.forget_peak(pid)
        self.send_to(daemon, [*patient, *short])
        load_support.wait_until(
            lambda: all(sink.begun > 0 for sink in patient.values()), "patient peers")
        report = self.ringload(daemon, "--connections", "100", "--messages", str(count),
                               "--domains", str(GOOD_DOMAINS), "--first",
                               str(WARM_MESSAGES)).wait()
        self.assertEqual(report["accepted"], count, report)
        out, err = good.process.communicate(timeout=ringtest.PATIENCE)
        self.assertEqual(good.process.returncode, 0, (out, err))
        self.tell("%d messages to %d domains while %d connections are held", count, GOOD_DOMAINS,
                  sum(sink.begun for sink in patient.values()))
        records = daemon.wait_records(
            lambda r: "short.test" in r["recipient"] and r["type"] != "Reception",
            len(short) * BAD_MESSAGES)
        for (domain, sink) in short.items():
            with self.subTest(sink.kind.__name__):
                self.check_end(domain, sink.kind, records)
        bound = OTHER_BYTES_MAX + count * GOOD_BYTES_MAX + \
            (len(patient) + len(short)) * BAD_MESSAGES * BAD_BYTES_MAX
        self.check_bytes("all of it, at the peak", load_support.rss_peak(pid) - before, bound)
        self.assertEqual([r for r in daemon.records() if "patient.test" in r["recipient"] and
                          r["type"] != "Reception"], [])


if __name__ == "__main__":
    load_support.main()
