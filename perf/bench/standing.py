"""Latency, memory and restart: rows 3 to 7."""

import re
import statistics
import time

from . import machine, peers
from .process import Failed
from .relaying import HOLD, say
from .relays import Ringpost


def with_sink(place, relay, run):
    """A relay with a ringsink behind it, for as long as `run` takes."""
    port, sink_port = peers.free_port(), peers.free_port()
    sink = peers.ringsink(place, sink_port)
    try:
        relay.start(place, port, sink_port)
        machine.settle()
        return run(port)
    finally:
        relay.stop()
        sink.stop()


# ---- accept latency ----

def row_3(place, o):
    write_us, accept_us = [], []
    for number in range(o.rounds):
        write_us.append(machine.durable_write_us(place.directory))
        load = with_sink(place, Ringpost(o.shards[0]), lambda port: peers.ringload(
            place, port, "--messages", o.latency_messages, "--size", o.size, "--connections", 1))
        accept_us.append(load.report()["latency_us"]["p50"])
        say("round %d: one durable write %.0f us, end of data to 250 %.0f us" % (
            number + 1, write_us[-1], accept_us[-1]))
    write, accept = statistics.median(write_us), statistics.median(accept_us)
    return [{"row": 3, "what": "one connection: end of data to 250, median", "value": accept,
             "unit": "us", "limit": round(write + 150), "ok": accept <= write + 150,
             "detail": "one durable write of 4 KiB: %.0f us" % write}], \
           {"durable_write_us": write, "accept_us": accept}


def row_4(place, o):
    rates, p99s = [], []
    shards = o.shards[-1]
    for number in range(o.rounds):
        full = with_sink(place, Ringpost(shards), lambda port: peers.ringload(
            place, port, "--messages", o.messages, "--size", o.size, "--connections",
            o.connections)).report()
        rate = max(1, round(full["messages_per_second"] / 2))
        half = with_sink(place, Ringpost(shards), lambda port, rate=rate: peers.ringload(
            place, port, "--messages", rate * o.latency_seconds, "--size", o.size, "--rate",
            rate, "--connections", o.connections)).report()
        rates.append(rate)
        p99s.append(half["latency_us"]["p99"] / 1000)
        say("round %d: at %d/s p99 %.2f ms (full load %.0f/s)" % (
            number + 1, rate, p99s[-1], full["messages_per_second"]))
    p99 = statistics.median(p99s)
    return [{"row": 4, "what": "end of data to 250 at half of full load, p99", "value": p99,
             "unit": "ms", "limit": 5, "ok": p99 <= 5,
             "detail": "%d messages a second" % statistics.median(rates)}], \
           {"rates": rates, "p99_ms": p99s}


# ---- memory ----

def steady_rss(pid, limit_s=60):
    """Resident memory once it has stopped moving."""
    last, since = machine.rss_bytes(pid), time.monotonic()
    deadline = since + limit_s
    while time.monotonic() < deadline:
        time.sleep(0.25)
        now = machine.rss_bytes(pid)
        if abs(now - last) > 64 << 10:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > 2:
            return now
    return machine.rss_bytes(pid)


# Senders of about 60 bytes, a thousand domains.
TYPICAL = ("--size", 1024, "--domains", 1000, "--from", "bounces+%s-%v@verp.sender-a.test")


def row_5(place, o):
    """Nobody listens where the mail should go, so all of it waits."""
    relay = Ringpost(o.shards[-1], max_ready=1024)
    port, sink_port = peers.free_port(), peers.free_port()
    try:
        relay.start(place, port, sink_port)
        peers.ringload(place, port, "--messages", o.warm_up, "--connections", o.connections,
                       *TYPICAL)
        before = steady_rss(relay.process.pid)
        peers.ringload(place, port, "--messages", o.waiting, "--connections", o.connections,
                       "--first", o.warm_up, *TYPICAL)
        after = steady_rss(relay.process.pid)
    finally:
        relay.stop()
    each = (after - before) / o.waiting
    say("%d waiting messages: %.1f MiB, before them %.1f MiB" % (
        o.waiting, after / (1 << 20), before / (1 << 20)))
    return [{"row": 5, "what": "resident memory of a waiting message", "value": each,
             "unit": "bytes", "limit": 256, "ok": each <= 256,
             "detail": "%d messages, sink down" % o.waiting}], \
           {"rss_before": before, "rss_after": after, "messages": o.waiting}


def row_6(place, o):
    relay = Ringpost(o.shards[-1])

    def run(port):
        peers.ringload(place, port, "--messages", o.warm_up, "--connections", o.connections)
        before = steady_rss(relay.process.pid)
        idle = peers.ringload_start(place, port, "--connections", 0, "--idle", o.idle,
                                    "--progress", "100ms", "--timeout", "1h")
        try:
            idle.wait_for_line(r" %d idle" % o.idle, 120)
            return before, steady_rss(relay.process.pid, 20)
        finally:
            idle.stop()

    before, after = with_sink(place, relay, run)
    each = (after - before) / o.idle
    return [{"row": 6, "what": "resident memory of an idle SMTP connection", "value": each,
             "unit": "bytes", "limit": 4096, "ok": each <= 4096,
             "detail": "%d connections, without TLS" % o.idle}], \
           {"rss_before": before, "rss_after": after, "connections": o.idle}


# ---- restart ----

RECOVERED = r"(?i)recover(ed|y)\b.*(complete|done|\d+ (messages|records))"


def fill_for_restart(place, o, shards, port, sink_port):
    """Messages that are not tried before a moment shortly after they are all in."""
    relay = Ringpost(shards)
    try:
        relay.start(place, port, sink_port)
        rate = peers.ringload(place, port, "--messages", o.warm_up, "--size", 1024,
                              "--connections", o.connections).report()["messages_per_second"]
    finally:
        relay.stop()
    due = time.time() + 15 + 1.5 * o.waiting / rate
    relay = Ringpost(shards, due=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(due)))
    try:
        relay.start(place, port, sink_port)
        peers.ringload(place, port, "--messages", o.waiting, "--connections", o.connections,
                       *TYPICAL, *HOLD)
    finally:
        relay.stop()
    if time.time() > due:
        say("filling took longer than foreseen; some messages may have been tried already")
    time.sleep(max(0.0, due - time.time()) + 1)


def first_delivery_s(sink, began, limit_s):
    while not re.search(r"ringsink: [1-9]", sink.log()):
        if time.monotonic() - began > limit_s:
            raise Failed("nothing was delivered within %d s of the restart" % limit_s)
        time.sleep(0.005)
    return time.monotonic() - began


def all_schedulable_s(relay, began, limit_s):
    """When the daemon says that its spool is read; None when it does not say so."""
    while not re.search(RECOVERED, relay.process.log()):
        if time.monotonic() - began > limit_s:
            return None
        time.sleep(0.01)
    return time.monotonic() - began


def row_7(place, o):
    shards = o.shards[-1]
    port, sink_port = peers.free_port(), peers.free_port()
    fill_for_restart(place, o, shards, port, sink_port)
    say("%d messages wait in the spool; starting again" % o.waiting)
    sink = peers.ringsink(place, sink_port, "--progress", "10ms")
    relay = Ringpost(shards)
    try:
        began = time.monotonic()
        relay.start(place, port, sink_port, fresh=False)
        first = first_delivery_s(sink, began, 120)
        everything = all_schedulable_s(relay, began, 120)
    finally:
        relay.stop()
        sink.stop()
    out = [{"row": 7, "what": "restart: first delivery", "value": first, "unit": "s", "limit": 2,
            "ok": first <= 2, "detail": "%d waiting messages" % o.waiting}]
    out.append({"row": 7, "what": "restart: all schedulable", "value": everything, "unit": "s",
                "limit": 6, "ok": everything is not None and everything <= 6,
                "detail": "%d waiting messages%s" % (
                    o.waiting, "" if everything is not None else
                    "; the daemon did not say when")})
    return out, {"first_delivery_s": first, "all_schedulable_s": everything}
