"""Crowds of peers, and what they cost the daemon.

A Crowd is thousands of silent connections on one thread. Peers nobody likes are coroutines on a
loop of their own thread, so that none of them waits for the test or for another.
"""

import asyncio
import errno
import os
import resource
import select
import socket
import struct
import sys
import threading
import time

import ringtest
import ringtools

KIB, MIB = 1 << 10, 1 << 20
CHUNK = 64 * KIB

SCALE = 1
WARM_MESSAGES = 3_000  # every receive buffer has been in use after them


def raise_descriptor_limit():
    """As far as it goes; answers how far."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def status_bytes(pid, name):
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    raise AssertionError("no %s of process %d" % (name, pid))


def rss(pid):
    return status_bytes(pid, "VmRSS")


def forget_peak(pid):
    with open("/proc/%d/clear_refs" % pid, "w", encoding="ascii") as file:
        file.write("5")


def rss_peak(pid):
    return status_bytes(pid, "VmHWM")


def descriptor_count(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def wait_until(find, what):
    """For what the kernel counts and tells nobody."""
    end = time.monotonic() + ringtest.PATIENCE
    while not find():
        assert time.monotonic() < end, "waited in vain for " + what
        time.sleep(0.02)


def open_socket(source, receive_buffer=None):
    """A socket that takes its port from the source address when it connects."""
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setsockopt(socket.SOL_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
    sock.bind((source, 0))
    return sock


def reset(sock):
    """Closes with a reset, which leaves nothing behind."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Crowd:
    """Connections that are greeted, say their words and are silent.

    `words` are said in turn, each when the one before has been answered by one reply. The peers
    come from up to 250 times 250 addresses of the network.
    """

    def __init__(self, port, count, words=(b"EHLO idle.test\r\n",), network="127.1"):
        self.port = port
        self.words = words
        self.poll = select.epoll()
        self.sockets = {}
        self.heard = {}
        self.said = {}
        self.ready = set()  # answered to the last word
        for i in range(count):
            self._connect("%s.%d.%d" % (network, i // 250 % 250, i % 250 + 1))

    def _connect(self, source):
        sock = open_socket(source)
        try:
            sock.connect(("127.0.0.1", self.port))
        except BlockingIOError:
            pass
        fd = sock.fileno()
        self.sockets[fd] = sock
        self.heard[fd] = b""
        self.said[fd] = 0
        self.poll.register(fd, select.EPOLLIN)

    def _hear(self, fd):
        """True when a whole reply of it is there."""
        got = self.sockets[fd].recv(4096)
        assert got, "the daemon hung up on a silent peer after %r" % self.heard[fd]
        text = self.heard[fd] = self.heard[fd] + got
        last = text.rfind(b"\r\n", 0, -2) + 2 if text.count(b"\r\n") > 1 else 0
        return text.endswith(b"\r\n") and text[last + 3:last + 4] == b" "

    def _answered(self, fd):
        text = self.heard[fd]
        assert text[:1] == b"2", "a silent peer was told %r" % text
        self.heard[fd] = b""
        if self.said[fd] < len(self.words):
            self.sockets[fd].send(self.words[self.said[fd]])
            self.said[fd] += 1
            return
        self.ready.add(fd)
        if text.startswith(b"221"):
            self.poll.unregister(fd)

    def settle(self, count=None):
        """Until `count` of them (all by default) have been answered to the last word."""
        count = len(self.sockets) if count is None else count
        while len(self.ready) < count:
            events = self.poll.poll(ringtest.PATIENCE)
            assert events, "%d of %d peers are served" % (len(self.ready), count)
            for fd, _ in events:
                if self._hear(fd):
                    self._answered(fd)
        return self

    def leave_served(self, count):
        """So many of those that have been served make room for those that wait."""
        self.settle(count)
        for fd in list(self.ready)[:count]:
            self.ready.remove(fd)
            self.poll.unregister(fd)
            reset(self.sockets.pop(fd))

    def all_answer(self):
        """Each says one more word and is answered."""
        self.ready.clear()
        for fd, sock in self.sockets.items():
            sock.send(b"NOOP\r\n")
            self.said[fd] = len(self.words)
        self.settle()

    def is_undisturbed(self):
        """Nobody has been told anything, nor lost its connection."""
        return not self.poll.poll(0)

    def leave(self, how=reset):
        for sock in self.sockets.values():
            how(sock)
        self.poll.close()
        self.sockets.clear()


# ---- peers as coroutines ----

class Loop:
    """A thread that runs coroutines; a failed one fails the test that asks for it."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def start(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine):
        return self.start(coroutine).result(ringtest.PATIENCE)

    def close(self):
        async def cancel_all():
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Peer:
    """One connection of a coroutine; unlike streams it reads only when it is told to."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.in_place = False
        self.loop = asyncio.get_running_loop()

    @classmethod
    async def connect(cls, port, source, receive_buffer=None):
        sock = open_socket(source, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(sock)

    async def send(self, data):
        await self.loop.sock_sendall(self.sock, data)

    async def recv(self, size=4096):
        """b"" at the end, which a reset is, too."""
        try:
            return await self.loop.sock_recv(self.sock, size)
        except OSError as error:
            if error.errno in (errno.ECONNRESET, errno.EPIPE):
                return b""
            raise

    async def reply(self, size=4096):
        """The lines of one reply, or what there was at the end."""
        while True:
            at = 0
            while (end := self.buffer.find(b"\r\n", at)) >= 0:
                if self.buffer[at + 3:at + 4] != b"-":
                    text, self.buffer = self.buffer[:end + 2], self.buffer[end + 2:]
                    return text.decode()
                at = end + 2
            got = await self.recv(size)
            if not got:
                return self.buffer.decode()
            self.buffer += got

    async def cmd(self, line):
        await self.send(line)
        return await self.reply()

    async def rest(self):
        """All that comes until the other side hangs up."""
        while got := await self.recv(CHUNK):
            self.buffer += got
        return self.buffer.decode()

    async def shove(self, data):
        """Sends `data` for ever without reading; answers, in bytes, what went off when the other
        side ends it."""
        sent = 0
        try:
            while True:
                await self.send(data)
                sent += len(data)
        except OSError as error:
            assert error.errno in (errno.ECONNRESET, errno.EPIPE), error
        return sent

    def close(self):
        self.sock.close()


# ---- the test case ----

def scaled(count):
    return max(1, count // SCALE)


class LoadTest(ringtest.RingTest):

    def setUp(self):
        self.hard_limit = raise_descriptor_limit()
        self.loop = Loop()
        self.addCleanup(self.loop.close)

    def ringsink(self, *args):
        sink = ringtools.Sink(os.devnull, 1, *args)
        self.addCleanup(sink.close)
        return sink

    def ringload(self, daemon, *args):
        load = ringtools.Load(daemon.port, os.devnull, *args)
        self.addCleanup(load.close)
        return load

    def crowd(self, daemon, count, **named):
        crowd = Crowd(daemon.port, count, **named)
        self.addCleanup(crowd.leave)
        return crowd

    def tell(self, text, *values):
        print("    " + text % values, file=sys.stderr, flush=True)

    def check_bytes(self, what, got, bound):
        self.tell("%s: %.1f KiB, at most %.1f", what, got / KIB, bound / KIB)
        if SCALE == 1:
            self.assertLessEqual(got, bound, what)

    def warm_up(self, daemon):
        """After this only connections and messages cost memory."""
        report = self.ringload(daemon, "--messages", str(WARM_MESSAGES), "--connections",
                               "8").wait()
        self.assertEqual(report["accepted"], WARM_MESSAGES, report)


def main():
    """As ringtest.main(), with --scale."""
    global SCALE  # pylint: disable=global-statement
    if "--scale" in sys.argv:
        at = sys.argv.index("--scale")
        SCALE = int(sys.argv[at + 1])
        del sys.argv[at:at + 2]
    ringtest.main()
