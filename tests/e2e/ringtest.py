"""What the end-to-end tests share: the daemon under a policy of the test's own, a client that says
what it likes, and a sink that answers as it is told.

Everything waits for an event (a line, a reply, a record, a message), up to PATIENCE seconds, which
is only ever used up by a test that fails.
"""

import glob
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PATIENCE = 240.0
BUILD_DIR = "."

# ---- the policy ----

# @...@ is filled in by policy().
POLICY = """
local kumo = require 'kumo'
kumo.on('init', function()
  kumo.define_spool{name='data', path='@DIR@/data', min_free_space='1%'@SPOOL@}
  kumo.define_spool{name='meta', path='@DIR@/meta', min_free_space='1%'}
  kumo.configure_local_logs{log_dir='@DIR@/logs', min_free_space='1%'@LOGS@}
  kumo.start_esmtp_listener{listen='127.0.0.1:0', hostname='mx.test'@LISTENER@}
@INIT@
end)
@QUEUE@
@HOOKS@
"""

# Every domain goes to the sink.
QUEUE_TO_SINK = """
kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain)
  return kumo.make_queue_config{
    protocol={smtp={mx_list={{name='sink.test', addr='@SINK@'}}}}@QUEUE_OPTIONS@}
end)
kumo.on('get_egress_path_config', function(domain, source, site)
  return kumo.make_egress_path{enable_tls='Disabled', prohibited_hosts={}@PATH_OPTIONS@}
end)
"""


def policy(hooks="", listener="", sink=None, queue=None, init="", logs="", spool="",
           queue_options="", path_options=""):
    """The text of a policy; the options are Lua table fields without the outer braces."""
    def field(text):
        return ", " + text if text else ""

    text = POLICY.replace("@QUEUE@", QUEUE_TO_SINK if queue is None else queue)
    for name, value in (("HOOKS", hooks), ("LISTENER", field(listener)), ("INIT", init),
                        ("LOGS", field(logs)), ("SPOOL", field(spool)),
                        ("SINK", sink.address if sink else "127.0.0.1:1"),
                        ("QUEUE_OPTIONS", field(queue_options)),
                        ("PATH_OPTIONS", field(path_options))):
        text = text.replace("@%s@" % name, value)
    return text


# ---- the daemon ----

class Lines:
    """The lines of a stream, read by a thread of their own, waited for by tests."""

    def __init__(self, stream):
        self.lines = []
        self.ended = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        with stream:
            for line in stream:
                with self.changed:
                    self.lines.append(line.rstrip("\n"))
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait(self, pattern, patience=PATIENCE):
        """The match in the first line that has one."""
        def find():
            for line in self.lines:
                match = re.search(pattern, line)
                if match:
                    return match
            return None

        with self.changed:
            self.changed.wait_for(lambda: find() or self.ended, patience)
            match = find()
        assert match, "no line with %r in:\n%s" % (pattern, "\n".join(self.lines))
        return match

    def text(self):
        return "\n".join(self.lines)


class Daemon:
    """One ringpostd. `directory` may hold spool and logs of an earlier life; `starter` is a command
    that runs the one it is given."""

    def __init__(self, text, directory=None, shards=2, args=(), env=None, starter=()):
        self.owns_directory = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="ringpost-")
        self.stopped = False
        path = os.path.join(self.directory, "init.lua")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("@DIR@", self.directory))
        self.process = subprocess.Popen(
            [*starter, *self.command(path, shards, args)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
            env={**os.environ, **(env or {})})
        self.log = Lines(self.process.stderr)
        self.log.wait("initialization complete")
        self.addresses = [line.rsplit(" ", 1)[1] for line in self.log.lines
                          if "smtp listener on " in line]
        self.port = int(self.addresses[0].rsplit(":", 1)[1]) if self.addresses else None

    def command(self, path, shards, args):
        """The words of the command line."""
        return [os.path.join(BUILD_DIR, "ringpostd"), "--policy", path, "--user", "root",
                "--shards", str(shards), *args]

    def stop(self):
        """Ends it in order; it must have nothing to complain about. Answers its log records."""
        if not self.stopped:
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self, status=0):
        """The daemon ends by itself or has been told to."""
        self.stopped = True
        try:
            got = self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            got = "no end within %d s" % PATIENCE
        self.log.thread.join(PATIENCE)
        assert got == status, "exit status %s:\n%s" % (got, self.log.text())
        for mark in ("Sanitizer", "runtime error:", "ringpost: "):
            assert mark not in self.log.text(), self.log.text()
        return self.records()

    def kill(self):
        """As a crash would end it."""
        self.stopped = True
        self.process.kill()
        self.process.wait()
        self.log.thread.join(PATIENCE)

    def end(self):
        """Cleans up after a test; ends in order what the test left running."""
        try:
            if not self.stopped:
                self.stop()
        finally:
            if self.owns_directory:
                shutil.rmtree(self.directory, ignore_errors=True)

    def records(self, kind=None):
        """The log records written so far, in the order of the files; a segment that is still
        being written gives what is in it."""
        found = []
        for path in sorted(glob.glob(os.path.join(self.directory, "logs", "*"))):
            if os.path.isfile(path):
                text = subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, check=False).stdout
                whole = text[:text.rfind(b"\n") + 1]
                found += [json.loads(line) for line in whole.decode().splitlines()]
        return [r for r in found if kind is None or r["type"] == kind]

    def wait_records(self, wanted, count=1):
        """Until `count` records satisfy `wanted` (a function or the name of a type)."""
        match = wanted if callable(wanted) else lambda r: r["type"] == wanted
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            got = [r for r in self.records() if match(r)]
            if len(got) >= count:
                return got
            time.sleep(0.05)  # files do not tell; the next look does
        raise AssertionError("%d records wanted, there are: %s" % (count, self.records()))


# ---- the client ----

class Reply:
    """`text` has the code, the separators and the line breaks of all its lines."""

    def __init__(self, text):
        self.text = text
        self.lines = text.split("\r\n")[:-1]
        self.code = int(self.lines[-1][:3])

    def __eq__(self, other):
        return "\n".join(self.lines) == other

    def __repr__(self):
        return "\n".join(self.lines)


class Client:
    """A peer of the daemon; writes raw bytes and reads replies."""

    def __init__(self, port, banner=True, address="127.0.0.1", source=None, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((address, port))
        self.local = "%s:%d" % self.socket.getsockname()
        self.file = self.socket.makefile("rb")
        self.banner = self.reply() if banner else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def reset(self):
        """Closes with a reset instead of an orderly end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def finish_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def line(self):
        got = self.file.readline()
        assert got.endswith(b"\r\n"), "a reply line was expected, got %r" % got
        return got.decode()

    def reply(self):
        text = self.line()
        while text.split("\r\n")[-2][3:4] == "-":
            text += self.line()
        return Reply(text)

    def replies(self, count):
        return [self.reply() for _ in range(count)]

    def cmd(self, line):
        self.send(line if isinstance(line, bytes) else line + "\r\n")
        return self.reply()

    def at_end(self):
        """The daemon has closed and said nothing more."""
        return self.file.read() == b""

    def envelope(self, sender="a@src.test", recipients=("b@dst.test",)):
        """Opens a transaction; every command has to be accepted."""
        for line in ["MAIL FROM:<%s>" % sender] + ["RCPT TO:<%s>" % r for r in recipients]:
            reply = self.cmd(line)
            assert reply.code == 250, "%s: %s" % (line, reply)

    def data(self, body):
        """Sends a message whose lines are stuffed here; answers the final reply."""
        body = body.encode() if isinstance(body, str) else body
        prompt = self.cmd("DATA")
        if prompt.code != 354:
            return prompt
        stuffed = re.sub(rb"(^|\r\n)\.", rb"\1..", body)
        self.send(stuffed + (b"" if not body or body.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        return self.reply()

    def mail(self, body="Subject: x\r\n\r\nhello\r\n", sender="a@src.test",
             recipients=("b@dst.test",)):
        """A whole transaction; answers the final reply."""
        self.envelope(sender, recipients)
        return self.data(body)

    def mailed(self, *args, **named):
        """A transaction that has to be accepted; answers its ids."""
        reply = self.mail(*args, **named)
        match = re.fullmatch(r"250 OK ids=((?:[0-9a-f]{32} ?)+)\r\n", reply.text)
        assert match, reply
        return match.group(1).split()


# ---- the sink ----

RESET = object()   # the connection is reset
CLOSE = object()   # the connection is closed without a word
SILENT = object()  # nothing is answered until the peer goes away


class Later:
    """Does `action` after `seconds`."""

    def __init__(self, seconds, action):
        self.seconds, self.action = seconds, action


class Message:
    """One message as the sink received it."""

    def __init__(self, session, sender, recipients, wire, body, by_bdat):
        self.session = session          # number of the connection
        self.sender = sender            # what stood after MAIL FROM:, parameters included
        self.recipients = recipients    # what stood after RCPT TO:, of the accepted ones
        self.wire = wire                # stuffed, without the final dot
        self.body = body                # un-stuffed
        self.by_bdat = by_bdat

    def has_bare_line_ends(self):
        return re.search(rb"\r(?!\n)|(?<!\r)\n", self.wire) is not None


class SinkSession:
    """One connection, on a thread."""

    def __init__(self, sink, number, connection):
        self.sink, self.number, self.connection = sink, number, connection
        self.file = connection.makefile("rb")
        self.peer = connection.getpeername()
        self.sender, self.recipients, self.chunks = None, [], None

    def run(self):
        try:
            if self.answer("CONNECT", "", "220 sink.test ESMTP"):
                while self.step():
                    pass
        except OSError:
            pass
        finally:
            self.file.close()
            self.connection.close()

    def answer(self, verb, line, usual):
        """Says what the script wants; answers the reply's code, or 0 when the session is over."""
        action = self.sink.action(self, verb, line, usual)
        while isinstance(action, Later):
            time.sleep(action.seconds)
            action = action.action
        if action is RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return 0
        if action is SILENT:
            self.file.read()
            return 0
        if action is CLOSE:
            return 0
        lines = action.split("\n")
        code = lines[0][:3]
        for i, text in enumerate(lines):
            lines[i] = text if i == 0 and len(lines) == 1 else \
                code + (" " if i == len(lines) - 1 else "-") + (text[4:] if i == 0 else text)
        self.connection.sendall(("\r\n".join(lines) + "\r\n").encode())
        return 0 if code in ("421", "221") else int(code)

    def step(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            return False
        text = line[:-2].decode("utf-8", "surrogateescape")
        verb = text.split(" ")[0].split(":")[0].upper()
        handler = getattr(self, "do_" + verb.lower(), None)
        if handler:
            return handler(text)
        return self.answer(verb, text, "250 ok") != 0

    def do_ehlo(self, text):
        usual = "250 sink.test" + "".join("\n" + e for e in self.sink.extensions)
        return self.answer("EHLO", text, usual) != 0

    def do_mail(self, text):
        code = self.answer("MAIL", text, "250 sender ok")
        if 200 <= code < 300:
            self.sender, self.recipients, self.chunks = text[10:], [], None
        return code != 0

    def do_rcpt(self, text):
        code = self.answer("RCPT", text, "250 recipient ok")
        if 200 <= code < 300:
            self.recipients.append(text[8:])
        return code != 0

    def do_rset(self, text):
        self.sender, self.recipients, self.chunks = None, [], None
        return self.answer("RSET", text, "250 reset") != 0

    def do_quit(self, text):
        self.answer("QUIT", text, "221 bye")
        return False

    def do_data(self, text):
        usual = "354 go" if self.recipients else "503 no recipients"
        code = self.answer("DATA", text, usual)
        if code != 354:
            return code != 0
        wire = bytearray()
        for line in self.file:
            if line == b".\r\n" and (not wire or wire.endswith(b"\r\n")):
                break
            wire += line
        else:
            return False
        body = re.sub(rb"(^|\r\n)\.", rb"\1", bytes(wire))
        return self.received(bytes(wire), body, False)

    def do_bdat(self, text):
        words = text.split()
        chunk = self.file.read(int(words[1]))
        if len(chunk) < int(words[1]):
            return False
        self.chunks = (self.chunks or b"") + chunk
        if words[-1].upper() != "LAST":
            return self.answer("BDAT", text, "250 chunk ok") != 0
        return self.received(self.chunks, self.chunks, True)

    def received(self, wire, body, by_bdat):
        message = Message(self.number, self.sender, self.recipients, wire, body, by_bdat)
        code = self.answer("DOT", "", "250 2.0.0 queued")
        if 200 <= code < 300:
            self.sink.keep(message)
        self.sender, self.recipients, self.chunks = None, [], None
        return code != 0


class Sink:
    """An SMTP server that keeps what it gets and answers as it is told.

    script(verb, action, ...)  the next times `verb` comes up, these, one each; then as usual
    on[verb] = function        (session, line) -> an action, or None for the usual answer

    Verbs are those of SMTP, CONNECT (the greeting) and DOT (the end of a message, BDAT's too). An
    action is the text of a reply ("\\n" begins another line of it), RESET, CLOSE, SILENT, or
    Later(seconds, action).
    """

    def __init__(self, extensions=("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"),
                 address="127.0.0.1", port=0):
        self.extensions = list(extensions)
        self.on = {}
        self.changed = threading.Condition()
        self.messages = []
        self.commands = []       # (number of the connection, line); CONNECT and DOT too
        self.session_count = 0
        self._scripts = {}
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.listen(128)
        self.port = self.socket.getsockname()[1]
        self.address = "%s:%d" % (address, self.port)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with self.changed:
                self.session_count += 1
                session = SinkSession(self, self.session_count, connection)
            threading.Thread(target=session.run, daemon=True).start()

    def close(self):
        """Listens no more."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    def script(self, verb, *actions):
        with self.changed:
            self._scripts.setdefault(verb, []).extend(actions)

    def unscript(self):
        """From now on everything as usual."""
        with self.changed:
            self._scripts.clear()

    def action(self, session, verb, line, usual):
        with self.changed:
            self.commands.append((session.number, line or verb))
            waiting = self._scripts.get(verb)
            action = waiting.pop(0) if waiting else None
            self.changed.notify_all()
        if action is None and verb in self.on:
            action = self.on[verb](session, line)
        return usual if action is None else action

    def keep(self, message):
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()

    def wait_for(self, condition, what="what was waited for"):
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE), \
                "%s did not come; commands so far: %s" % (what, self.commands[-50:])

    def wait_messages(self, count):
        self.wait_for(lambda: len(self.messages) >= count, "%d messages" % count)
        return list(self.messages)

    def wait_command(self, start, count=1):
        """Until `count` lines that begin with `start` have come; answers them."""
        def found():
            return [line for _, line in self.commands if line.startswith(start)]

        self.wait_for(lambda: len(found()) >= count, start)
        return found()


# ---- the test case ----

class RingTest(unittest.TestCase):
    """Ends every daemon it started, in order, and fails if one complains."""

    maxDiff = 4000

    def sink(self, *args, **named):
        sink = Sink(*args, **named)
        self.addCleanup(sink.close)
        return sink

    def daemon(self, *args, shards=2, directory=None, env=None, daemon_args=(), starter=(),
               **named):
        """A daemon under policy(*args, **named)."""
        daemon = Daemon(policy(*args, **named), directory=directory, shards=shards, env=env,
                        args=daemon_args, starter=starter)
        self.addCleanup(daemon.end)
        return daemon

    def client(self, daemon, **named):
        client = Client(daemon.port, **named)
        self.addCleanup(client.close)
        return client


def main():
    """BUILD_DIR is the first argument; the others are unittest's."""
    global BUILD_DIR  # pylint: disable=global-statement
    BUILD_DIR = sys.argv[1]
    unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
