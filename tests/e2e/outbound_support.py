"""What the delivery tests share: a daemon with a policy of its own, a scripted SMTP sink, a name
server, and readers of logs that wait for a record instead of sleeping."""

import calendar
import glob
import json
import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BUILD_DIR = "."
PATIENCE_S = 240.0

PRELUDE = """
local kumo = require 'kumo'
function note(what)
  local f = io.open('%(dir)s/notes', 'a')
  f:write(kumo.serde and kumo.serde.json_encode(what) or tostring(what), '\\n')
  f:close()
end
"""

SETUP = """
kumo.on('init', function()
  kumo.define_spool{name='data', path='%(dir)s/spool/data', min_free_space='1%%'}
  kumo.define_spool{name='meta', path='%(dir)s/spool/meta', min_free_space='1%%'}
  kumo.start_esmtp_listener{listen='127.0.0.1:0', hostname='mx.test', %(listener)s}
  kumo.configure_local_logs{log_dir='%(dir)s/logs', min_free_space='1%%', max_segment_duration='1s', %(logs)s}
end)
"""

RECEIVED = """
kumo.on('smtp_server_message_received', function(msg)
  %s
end)
"""

QUEUE = """
kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain)
  return kumo.make_queue_config{%s}
end)
"""

PATH = """
kumo.on('get_egress_path_config', function(routing_domain, source, site)
  return kumo.make_egress_path{prohibited_hosts={}, enable_tls='Disabled', %s}
end)
"""

POOL = """
kumo.on('get_egress_pool', function(name)
  return kumo.make_egress_pool{name=name, entries={%s}}
end)
kumo.on('get_egress_source', function(name)
  return kumo.make_egress_source{name=name, %s}
end)
"""


def wait_for(find, what, patience_s=PATIENCE_S):
    """The first true answer of find(). Asks again until then; fails after patience_s."""
    end = time.monotonic() + patience_s
    while True:
        found = find()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError("waited in vain for " + (what() if callable(what) else what))
        time.sleep(0.02)


def seconds_of(record):
    """When a record's event happened, as a float."""
    moment, _, fraction = record["event_time"].rstrip("Z").partition(".")
    whole = calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%S"))
    return whole + float("0." + (fraction or "0"))


def in_short(record):
    """A record as a failed test shows it."""
    response = record["response"]
    return "%s %s %s %s -> %s: %s %s" % (
        record["event_time"], record["type"], record["id"][:8], record["num_attempts"],
        record["site"], response["code"], response["content"])


class Close:
    """A script's answer: say `text`, then hang up."""

    def __init__(self, text=None):
        self.text = text


class Sink:
    """An SMTP server that does what a script says.

    script(conn, command) answers a reply, None for the usual one, or Close. Commands: 'CONNECT',
    what the client sends, and '.' for the end of data. conn is a dict: 'number' counts from 1,
    'commands' and 'bodies' are what came so far. A script may block."""

    USUAL = {"CONNECT": "220 sink.test ESMTP", "MAIL": "250 2.1.0 sender ok",
             "RCPT": "250 2.1.5 recipient ok", "DATA": "354 go on", ".": "250 2.0.0 taken",
             "RSET": "250 2.0.0 flushed", "QUIT": "221 2.0.0 bye"}

    def __init__(self, script=None, extensions=("PIPELINING", "8BITMIME", "SMTPUTF8"), port=0,
                 address="127.0.0.1"):
        self.script = script or (lambda conn, command: None)
        self.extensions = extensions
        self.changed = threading.Condition()
        self.events = []  # (connection number, command)
        self.conns = []
        self.open_count = self.open_peak = 0
        self.ended = threading.Event()
        self.server = socket.create_server((address, port), backlog=512)
        self.port = self.server.getsockname()[1]
        self.address = address
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.ended.set()
        try:
            self.server.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.server.close()

    def _accept(self):
        while True:
            try:
                sock, peer = self.server.accept()
            except OSError:
                return
            with self.changed:
                conn = {"number": len(self.conns) + 1, "commands": [], "bodies": [],
                        "peer": peer[0], "closed": False, "sock": sock}
                self.conns.append(conn)
                self.open_count += 1
                self.open_peak = max(self.open_peak, self.open_count)
            threading.Thread(target=self._serve, args=(conn, sock), daemon=True).start()

    def _serve(self, conn, sock):
        try:
            with sock, sock.makefile("rb") as lines:
                self._talk(conn, sock, lines)
        except OSError:
            pass
        finally:
            with self.changed:
                conn["closed"] = True
                self._leave(conn)
                self.events.append((conn["number"], "CLOSED"))
                self.changed.notify_all()

    def _leave(self, conn):
        """Counted once, under the lock: with QUIT the client is free to open another."""
        if not conn.get("left"):
            conn["left"] = True
            self.open_count -= 1

    def _note(self, conn, command):
        with self.changed:
            conn["commands"].append(command)
            self.events.append((conn["number"], command))
            self.changed.notify_all()

    def _answer(self, conn, sock, command):
        """The reply given; None when the connection is to end."""
        self._note(conn, command)
        verb = command.split(" ")[0].upper()
        if verb == "QUIT":
            with self.changed:
                self._leave(conn)
        reply = self.script(conn, command)
        if reply is None and verb in ("EHLO", "LHLO"):
            names = ["sink.test", *self.extensions]
            reply = "\r\n".join("250%s%s" % ("-" if i + 1 < len(names) else " ", name)
                                for i, name in enumerate(names))
        if isinstance(reply, Close):
            if reply.text:
                sock.sendall(reply.text.encode() + b"\r\n")
            return None
        reply = reply or self.USUAL.get(verb, "500 5.5.1 what?")
        sock.sendall(reply.encode() + b"\r\n")
        return reply

    def _talk(self, conn, sock, lines):
        if self._answer(conn, sock, "CONNECT") is None:
            return
        for line in lines:
            command = line.decode("utf-8", "replace").rstrip("\r\n")
            reply = self._answer(conn, sock, command)
            if reply is None or command.upper() == "QUIT":
                return
            if command.upper() == "DATA" and reply.startswith("354"):
                body = []
                for line in lines:
                    if line == b".\r\n":
                        break
                    body.append(line)
                with self.changed:
                    conn["bodies"].append(b"".join(body))
                if self._answer(conn, sock, ".") is None:
                    return

    def wait(self, find, what="the sink", patience_s=PATIENCE_S):
        """find() of the sink's events, under its lock, whenever something happened."""
        with self.changed:
            if not self.changed.wait_for(lambda: find(self.events), patience_s):
                raise AssertionError("waited in vain for %s: %s" % (what, self.events))
            return find(self.events)

    def hold(self, gate=None):
        """What a script answers that keeps the client waiting until the gate, or the test, is
        over."""
        while not (gate and gate.is_set()) and not self.ended.wait(0.01):
            pass

    def hang_up(self, number, word=b""):
        """The peer speaks unasked, if at all, and goes."""
        conn = self.conns[number - 1]
        if word:
            conn["sock"].sendall(word)
        try:
            conn["sock"].shutdown(socket.SHUT_WR)
        except OSError:  # the word made the client hang up first
            pass
        self.wait(lambda events: conn["closed"], "the client to hang up too")

    def wait_command(self, command, count=1):
        return self.wait(lambda events: len([c for n, c in events if c == command]) >= count,
                         "%d x %s" % (count, command))

    def commands(self, number=None):
        with self.changed:
            return [c for n, c in self.events
                    if c != "CLOSED" and (number is None or n == number)]


class NameServer:
    """dnsmasq on loopback, knowing what it is told and nothing else."""

    TRIES = 10

    def __init__(self, *args):
        for _ in range(self.TRIES):
            if self._start(args):
                return
        raise AssertionError("dnsmasq does not start")

    def _start(self, args):
        """False when it ended: somebody else may have got the port that was free."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
             "--user=root", "--listen-address=127.0.0.1", "--bind-interfaces",
             "--local=/test/com/", "--port=%d" % self.port, *args],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "started" in line:
                return True
        self.close()
        return False

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.process.stderr.close()


class Daemon:
    """ringpostd with a policy text and directories of its own; serving when start() returns."""

    def __init__(self, policy, shards=1, listener="", logs="", resolver=None, prelude=""):
        self.dir = tempfile.mkdtemp(prefix="ringpost-")
        self.port = None  # of the listener, another one after each start
        self.shards = shards
        self.process = None
        self.closed_segments = {}
        words = {"dir": self.dir, "listener": listener, "logs": logs}
        self.policy = PRELUDE % words + prelude + SETUP % words
        if resolver is not None:
            self.policy += ("kumo.on('pre_init', function() kumo.dns.configure_resolver"
                            "{name_servers={'127.0.0.1:%d'}} end)\n" % resolver.port)
        self.policy += policy
        self.start()

    def start(self):
        path = os.path.join(self.dir, "init.lua")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.policy)
        self.output = open(os.path.join(self.dir, "output"), "a+b")
        already = self.output.tell()
        self.process = subprocess.Popen(
            [os.path.join(BUILD_DIR, "ringpostd"), "--policy", path, "--user", "root",
             "--shards", str(self.shards)],
            stdout=self.output, stderr=self.output)

        def up():
            if self.process.poll() is not None:
                raise AssertionError("the daemon ended:\n" + self.said())
            return b"initialization complete" in self.said_bytes()[already:]
        wait_for(up, lambda: "the daemon:\n" + self.said())
        told = re.search(rb"smtp listener on \S+:(\d+)", self.said_bytes()[already:])
        self.port = int(told.group(1)) if told else None

    def said_bytes(self):
        with open(os.path.join(self.dir, "output"), "rb") as file:
            return file.read()

    def said(self):
        return self.said_bytes().decode("utf-8", "replace")

    def ask_to_stop(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """SIGTERM, and the end; a crash on the way is a failure."""
        self.ask_to_stop()
        self.wait_stopped()

    def wait_stopped(self):
        status = self.process.wait(PATIENCE_S)
        self.output.close()
        assert status == 0, "exit status %d:\n%s" % (status, self.said())

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.output.close()

    def remove(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.output.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- in ----

    def inject(self, to="user@example.com", sender="from@src.test", head="Subject: test\r\n",
               body=b"Hello.\r\n", expect=250, esmtp=()):
        """One message over a connection of its own; the text of the last reply."""
        to = [to] if isinstance(to, str) else to
        with smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE_S) as peer:
            peer.ehlo("client.test")
            code, text = peer.mail(sender, esmtp)
            assert code == 250, (code, text)
            for address in to:
                code, text = peer.rcpt(address)
                assert code == 250, (code, text)
            code, text = peer.data(head.encode() + b"\r\n" + body)
            assert code == expect, (code, text)
        return text.decode()

    def inject_many(self, count, to="user@example.com"):
        with smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE_S) as peer:
            for _ in range(count):
                peer.sendmail("from@src.test", [to], b"Subject: test\r\n\r\nHello.\r\n")

    # ---- out ----

    def segments(self, pattern="*"):
        return sorted(glob.glob(os.path.join(self.dir, "logs", pattern)))

    def text_of(self, path):
        """A segment's text, as far as it is written."""
        if path in self.closed_segments:
            return self.closed_segments[path]
        closed = not os.stat(path).st_mode & 0o222
        text = subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=False).stdout
        if closed:
            self.closed_segments[path] = text
        return text

    def records(self, kind=None):
        lines = b"".join(self.text_of(path) for path in self.segments()).split(b"\n")
        found = [json.loads(line) for line in lines[:-1]]
        found.sort(key=seconds_of)
        return [r for r in found if kind is None or r["type"] == kind]

    def wait_records(self, kind, count=1, patience_s=PATIENCE_S):
        """At least `count` records of the kind."""
        def enough():
            found = self.records(kind)
            return found if len(found) >= count else None
        return wait_for(enough, lambda: "%d %s; there is:\n%s\n%s" % (
            count, kind, "\n".join(map(in_short, self.records())), self.said()), patience_s)

    def wait_said(self, text, count=1):
        wait_for(lambda: self.said().count(text) >= count, lambda: text + " in\n" + self.said())

    def notes(self):
        try:
            with open(os.path.join(self.dir, "notes"), encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []


class Outbound(unittest.TestCase):
    """Makes daemons, sinks and name servers that go with the test."""

    def sink(self, *args, **named):
        sink = Sink(*args, **named)
        self.addCleanup(sink.close)
        return sink

    def names(self, *args):
        server = NameServer(*args)
        self.addCleanup(server.close)
        return server

    def daemon(self, *policy, **named):
        daemon = Daemon("\n".join(policy), **named)
        self.addCleanup(daemon.remove)
        return daemon

    def to_sink(self, *sinks):
        """The protocol option that leads to these sinks, in order."""
        return "protocol={smtp={mx_list={%s}}}" % ",".join(
            "{name='host%d', addr='%s:%d'}" % (i + 1, sink.address, sink.port)
            for i, sink in enumerate(sinks))

    def relay(self, sink, queue="", path="", **named):
        """A daemon that relays everything to the sink."""
        return self.daemon(QUEUE % (self.to_sink(sink) + ", " + queue), PATH % path, **named)


def main():
    global BUILD_DIR
    BUILD_DIR = os.path.abspath(sys.argv.pop(1))
    unittest.main(module="__main__", verbosity=2)
