"""The load generator and the verifying sink as tests of durability use them, and their books.

A message is a pair here: (sequence number, index of the recipient).
"""

import ctypes
import glob
import json
import os
import signal
import subprocess

import ringtest

RUN = 7  # what ringload writes into the messages and ringsink counts


def tool(name):
    return os.path.join(ringtest.BUILD_DIR, name)


class Sink:
    """A ringsink that verifies and keeps its journal, listening when the constructor returns."""

    def __init__(self, journal, recipients, *args, address="127.0.0.1:0"):
        self.process = subprocess.Popen(
            [tool("ringsink"), "--listen", address, "--verify", "--run", str(RUN),
             "--recipients", str(recipients), "--received", journal, *args],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ready = self.process.stderr.readline()
        assert "ing on" in ready, ready
        self.address = ready.split()[-1]

    def toggle(self):
        """Refuses what it took, or takes what it refused (--refuse close)."""
        self.process.send_signal(signal.SIGUSR1)

    def end(self):
        """The report."""
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=ringtest.PATIENCE)
        assert out, err
        return json.loads(out)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class Load:
    """A ringload at work."""

    def __init__(self, port, accepted, *args):
        self.process = subprocess.Popen(
            [tool("ringload"), "--run", str(RUN), "--accepted", accepted, *args,
             "127.0.0.1:%d" % port], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait(self):
        """The report, once it has ended by itself."""
        out, err = self.process.communicate(timeout=ringtest.PATIENCE)
        assert out, err
        return json.loads(out)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def ringspool(*args):
    """What the tool says, as a finished process."""
    return subprocess.run([tool("ringspool"), *args], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False, timeout=ringtest.PATIENCE)


def verify_spool(*paths):
    """Nothing in a spool may look damaged, whatever stopped its daemon."""
    run = ringspool("verify", *paths)
    assert run.returncode == 0, (run.stdout + run.stderr).decode()


class ZstdBuffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer."""

    _fields_ = [("bytes", ctypes.c_void_p), ("size", ctypes.c_size_t), ("at", ctypes.c_size_t)]


def block_ends(packed):
    """Where the header and each whole block of a zstd frame end (RFC 8878 3.1.1)."""
    if len(packed) < 6:
        return
    flags = packed[4]
    is_single = flags >> 5 & 1
    at = 5 + (1 - is_single) + (0, 1, 2, 4)[flags & 3] + (is_single, 2, 4, 8)[flags >> 6]
    is_last = False
    while at <= len(packed):
        yield at
        if is_last:
            return
        head = int.from_bytes(packed[at:at + 3], "little")
        is_last = head & 1
        at += 3 + (1 if head >> 1 & 3 == 1 else head >> 3)


def unpack(path):
    """All that a log segment holds, the last flush before a crash included: the zstd program gives
    up the last 128 KiB before the end of a frame that was cut short, and so does the library unless
    it gets one block at a time."""
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_createDStream.restype = ctypes.c_void_p
    library.ZSTD_decompressStream.restype = ctypes.c_size_t
    stream = ctypes.c_void_p(library.ZSTD_createDStream())
    with open(path, "rb") as file:
        packed = file.read()
    room = ctypes.create_string_buffer(1 << 18)
    source = ZstdBuffer(ctypes.cast(ctypes.c_char_p(packed), ctypes.c_void_p), 0, 0)
    text = []
    for end in block_ends(packed):
        source.size = end
        while True:
            to = ZstdBuffer(ctypes.cast(room, ctypes.c_void_p), len(room), 0)
            res = library.ZSTD_decompressStream(stream, ctypes.byref(to), ctypes.byref(source))
            text.append(room.raw[:to.at])
            if library.ZSTD_isError(ctypes.c_size_t(res)):
                end = None
            if end is None or (source.at == source.size and to.at < to.size):
                break
        if end is None:
            break
    library.ZSTD_freeDStream(stream)
    return b"".join(text)


def log_records(directory, torn=False):
    """The whole records of every segment. After a power failure a segment may end in anything."""
    for path in sorted(glob.glob(os.path.join(directory, "*"))):
        text = unpack(path)
        for line in text[:text.rfind(b"\n") + 1].splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                if torn:
                    break
                raise
            yield record


class Journal:
    """A file of lines that grows; take() answers what came since the last call."""

    def __init__(self, path):
        self.path = path
        self.offset = 0

    def take(self):
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[:text.rfind(b"\n") + 1]
        self.offset += len(whole)
        return whole.decode("ascii").splitlines()


class Books:
    """What was promised and what arrived."""

    def __init__(self, accepted, received, recipients):
        self.accepted_journal = Journal(accepted)
        self.received_journal = Journal(received)
        self.recipients = recipients
        self.promised = set()   # pairs
        self.missing = set()    # pairs promised that have not arrived
        self.arrived = {}       # pair -> wall clock of each arrival, in ms
        self.unsure = {}        # pair -> wall clock of each arrival whose 250 may be unknown

    def read(self):
        for line in self.received_journal.take():
            ms, event, sequence, recipient = line.split()
            pair = (int(sequence), int(recipient))
            if event == "dot":
                self.arrived.setdefault(pair, []).append(int(ms))
                self.missing.discard(pair)
            elif event == "lost":
                self.unsure.setdefault(pair, []).append(int(ms))
        for line in self.accepted_journal.take():
            for recipient in range(self.recipients):
                pair = (int(line), recipient)
                self.promised.add(pair)
                if pair not in self.arrived:
                    self.missing.add(pair)

    def duplicates(self):
        """Pairs that arrived more than once."""
        return [pair for pair, times in self.arrived.items() if len(times) > 1]
