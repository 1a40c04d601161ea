"""Mail that goes in and straight out again: rows 1, 2, 8 and 9."""

import statistics
import sys
import time

from . import machine, peers
from .process import Failed
from .relays import Floor, Postfix, Ringpost, postfix_install


def say(text):
    print(text, file=sys.stderr, flush=True)


# Loads before the measured one, until the spool has all the files that this load wants.
WARM_LOADS_MAX = 8


def warm_up(relay, messages, port, sink_port, send, make_sink):
    """A spool fills its files with zeros once and then writes them over and over: what is told is
    that second state, in which it spends its life."""
    steady = 0
    for _ in range(WARM_LOADS_MAX):
        before = machine.tree_bytes(relay.spool)
        sink = make_sink(sink_port)
        try:
            send(port)
            sink.wait(max(120.0, messages / 50))
        finally:
            sink.kill()
        steady = steady + 1 if machine.tree_bytes(relay.spool) == before else 0
        if steady == 2:
            break
    written = None
    while written != relay.written_bytes():  # files are filled in the background
        written = relay.written_bytes()
        time.sleep(1)


def relay_once(place, relay, messages, size, send, make_sink, warm=False):
    """One load through one relay. Costs are per message, in microseconds of CPU."""
    port, sink_port = peers.free_port(), peers.free_port()
    warm = warm and relay.recycles
    sink = None if warm else make_sink(sink_port)
    try:
        relay.start(place, port, sink_port)
        if warm:
            warm_up(relay, messages, port, sink_port, send, make_sink)
            sink = make_sink(sink_port)
        ambient = machine.settle()
        before = (machine.busy_seconds(), relay.cpu_s(), relay.written_bytes(),
                  machine.device_written_bytes(place.directory))
        sink_cpu_before = machine.cpu_seconds(sink.pid)
        began = time.monotonic()
        source = send(port)
        accepted_s = time.monotonic() - began
        sink.wait(max(120.0, messages / 50))
        delivered_s = time.monotonic() - began
        peers_cpu = source.cpu_s + sink.cpu_s - sink_cpu_before
        device = machine.device_written_bytes(place.directory)
        return {
            "relay": relay.name,
            "cpu_us": (machine.busy_seconds() - before[0] - peers_cpu) / messages * 1e6,
            "own_us": (relay.cpu_s() - before[1]) / messages * 1e6,
            "peers_us": peers_cpu / messages * 1e6,
            "accepted_per_s": messages / accepted_s,
            "delivered_per_s": messages / delivered_s,
            "written": (relay.written_bytes() - before[2]) / (messages * size),
            "device_written": None if device is None else
                              (device - before[3]) / (messages * size),
            "ambient": ambient,
        }
    finally:
        relay.stop()
        if sink is not None:
            sink.kill()


def smtp_once(place, relay, messages, o):
    return relay_once(
        place, relay, messages, peers.source_message_bytes(place, o.size),
        lambda port: peers.smtp_source(place, port, messages, o.size, o.connections),
        lambda port: peers.smtp_sink(place, port, messages), warm=True)


def ringload_once(place, relay, messages, o, *args):
    return relay_once(
        place, relay, messages, o.size,
        lambda port: peers.ringload(place, port, "--messages", messages, "--size", o.size,
                                    "--connections", o.connections, *args),
        lambda port: peers.ringsink(place, port, "--stop-after", messages))


def medians(rounds):
    """The median of each number over the rounds of one relay."""
    out = {"relay": rounds[0]["relay"], "rounds": len(rounds)}
    for key, first in rounds[0].items():
        if key not in out:
            values = [r[key] for r in rounds if r[key] is not None]
            out[key] = statistics.median(values) if values and first is not None else None
    return out


def ratio(rounds_a, rounds_b, key):
    """Median over the rounds of a/b: what both had in common in a round falls out."""
    return statistics.median(a[key] / b[key] for a, b in zip(rounds_a, rounds_b) if b[key])


def describe_once(r):
    return "%-20s %7.1f us CPU (own %.1f), %6.0f/s accepted, %6.0f/s delivered, written %.2f x" % (
        r["relay"], r["cpu_us"], r["own_us"], r["accepted_per_s"], r["delivered_per_s"],
        r["written"])


def relay_rounds(place, o, rows):
    """Every relay in turn, round after round."""
    relays = [(Floor(), o.messages)]
    relays += [(Ringpost(shards), o.messages) for shards in o.shards]
    if 2 in rows:
        postfix_install()
        relays.append((Postfix(), o.postfix_messages))
    results = {relay.name: [] for relay, _ in relays}
    for number in range(o.rounds):
        for relay, messages in relays:
            result = smtp_once(place, relay, messages, o)
            results[relay.name].append(result)
            say("round %d: %s" % (number + 1, describe_once(result)))
            if isinstance(relay, Postfix) and number == 0:
                say("postconf -n:\n" + relay.settings_text)
    return results


def rows_1_2_8(place, o, rows):
    results = relay_rounds(place, o, rows)
    out = []
    floor = results["floor"]
    for shards in o.shards:
        name = Ringpost(shards).name
        mine = results[name]
        if 1 in rows:
            limit = 1.5 if shards == 1 else 1.8
            times = ratio(mine, floor, "cpu_us")
            out.append({"row": 1, "what": "CPU of a relayed message, %s" % name,
                        "value": times, "unit": "x floor", "limit": limit,
                        "ok": times <= limit,
                        "detail": "%.1f us, floor %.1f us; %.0f/s, floor %.0f/s" % (
                            medians(mine)["cpu_us"], medians(floor)["cpu_us"],
                            medians(mine)["delivered_per_s"],
                            medians(floor)["delivered_per_s"])})
        if 2 in rows:
            out += against_postfix(name, mine, results["postfix"])
        if 8 in rows:
            written = medians(mine)["written"]
            out.append({"row": 8, "what": "bytes written per byte of message, %s" % name,
                        "value": written, "unit": "x", "limit": 1.3, "ok": written <= 1.3,
                        "detail": "the device's own counter says %s" % (
                            "nothing" if medians(mine)["device_written"] is None else
                            "%.2f x" % medians(mine)["device_written"])})
    return out, {name: medians(rounds) for name, rounds in results.items()}


# What a tuned Postfix reaches on the slowest machine the comparison was calibrated on.
POSTFIX_LEAST_PER_S = 240


def against_postfix(name, mine, postfix):
    cpu = ratio(postfix, mine, "cpu_us")
    rate = ratio(mine, postfix, "delivered_per_s")
    p = medians(postfix)
    void = p["delivered_per_s"] < POSTFIX_LEAST_PER_S
    detail = "postfix %.0f us, %.0f/s accepted, %.0f/s delivered%s" % (
        p["cpu_us"], p["accepted_per_s"], p["delivered_per_s"],
        "; void: Postfix is slower than it should be" if void else "")
    return [
        {"row": 2, "what": "CPU against Postfix, %s" % name, "value": cpu, "unit": "x less",
         "limit": 40, "ok": None if void else cpu >= 40, "detail": detail},
        {"row": 2, "what": "messages a second against Postfix, %s" % name, "value": rate,
         "unit": "x more", "limit": 15, "ok": None if void else rate >= 15, "detail": detail},
    ]


# ---- row 9 ----

HOLD = ("--header", "X-Hold: 1")


def preloaded_once(place, o, shards):
    """The plain load, into a spool in which messages wait already."""
    relay = Ringpost(shards, due=time.strftime("%Y-%m-%dT%H:%M:%SZ",
                                               time.gmtime(time.time() + 86400)))
    start = relay.start

    def start_and_fill(where, port, sink_port):
        start(where, port, sink_port)
        peers.ringload(where, port, "--messages", o.waiting, "--size", 1024, "--connections",
                       o.connections, "--domains", 1000, *HOLD)

    relay.start = start_and_fill
    return ringload_once(place, relay, o.messages, o)


def row_9(place, o):
    shards = o.shards[-1]
    n = o.queues
    cases = {
        "one queue": lambda: ringload_once(place, Ringpost(shards), n, o, "--users", 1000),
        "a queue per domain": lambda: ringload_once(
            place, Ringpost(shards), n, o, "--domains", n),
        "a queue per tenant": lambda: ringload_once(
            place, Ringpost(shards), n, o, "--domains", n, "--to", "user%r-0@dst.test",
            "--header", "X-Tenant: t%d"),
        "nothing waiting": lambda: ringload_once(place, Ringpost(shards), o.messages, o),
        "many waiting": lambda: preloaded_once(place, o, shards),
    }
    results = {name: [] for name in cases}
    for number in range(o.rounds):
        for name, run in cases.items():
            results[name].append(run())
            say("round %d: %-20s %s" % (number + 1, name, describe_once(results[name][-1])))
    out = []
    for name, base, count in (("a queue per domain", "one queue", "%d queues" % n),
                              ("a queue per tenant", "one queue", "%d queues" % n),
                              ("many waiting", "nothing waiting", "%d waiting" % o.waiting)):
        times = ratio(results[name], results[base], "cpu_us")
        out.append({"row": 9, "what": "CPU of a message, %s (%s) against %s" % (
                        name, count, base),
                    "value": times, "unit": "x", "limit": 1.15, "ok": times <= 1.15,
                    "detail": "%.1f us against %.1f us" % (medians(results[name])["cpu_us"],
                                                           medians(results[base])["cpu_us"])})
    return out, {name: medians(rounds) for name, rounds in results.items()}


__all__ = ["rows_1_2_8", "row_9", "say", "Failed"]
