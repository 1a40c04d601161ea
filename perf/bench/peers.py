"""Generators and sinks."""

import json
import os
import shutil
import socket
import time

from .process import Failed, Process


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_port(port, limit_s=10.0):
    deadline = time.monotonic() + limit_s
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            raise Failed("nothing listens on port %d" % port)
        time.sleep(0.01)


def smtp_sink(place, port, messages):
    """Postfix's sink; it ends by itself after so many messages."""
    argv = [shutil.which("smtp-sink") or "/usr/sbin/smtp-sink"]
    if os.geteuid() == 0:
        argv += ["-u", "nobody"]
    sink = Process([*argv, "-M", str(messages), "127.0.0.1:%d" % port, "4096"],
                   place.file("smtp-sink.log"))
    wait_port(port)
    return sink


def smtp_source(place, port, messages, size, connections):
    """Postfix's generator, run to its end."""
    source = Process([shutil.which("smtp-source") or "/usr/sbin/smtp-source", "-d",
                      "-s", str(connections), "-m", str(messages), "-l", str(size),
                      "-f", "bounce@src.test", "-t", "user@dst.test", "127.0.0.1:%d" % port],
                     place.file("smtp-source.log"))
    if source.wait(600) != 0:
        raise Failed("smtp-source failed: " + source.log_tail())
    return source


def source_message_bytes(place, size):
    """What smtp-source sends for a message of `size`: it adds the header on top."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(10)
        source = Process([shutil.which("smtp-source") or "/usr/sbin/smtp-source", "-m", "1", "-l",
                          str(size), "-f", "bounce@src.test", "-t", "user@dst.test",
                          "127.0.0.1:%d" % listener.getsockname()[1]],
                         place.file("smtp-source.log"))
        peer = listener.accept()[0]
        with peer, peer.makefile("rwb") as stream:
            data = 0
            reply = b"220 size.test ESMTP\r\n"
            while reply is not None:
                stream.write(reply)
                stream.flush()
                line = stream.readline()
                if line.upper().startswith(b"DATA"):
                    stream.write(b"354 go on\r\n")
                    stream.flush()
                    while (line := stream.readline()) not in (b".\r\n", b""):
                        data += len(line)
                reply = None if line[:4].upper() in (b"QUIT", b"") else b"250 ok\r\n"
    source.kill()
    return data


class Json(Process):
    """One of our tools: the last line of its output is its report."""

    def report(self):
        lines = [line for line in self.log().splitlines() if line.startswith("{")]
        if not lines:
            raise Failed("%s left no report:\n%s" % (self.argv[0], self.log_tail()))
        return json.loads(lines[-1])


def ringsink(place, port, *args):
    sink = Json([place.tool("ringsink"), "--listen", "127.0.0.1:%d" % port, *map(str, args)],
                place.file("ringsink.log"))
    sink.wait_for_line(r"(listening|refusing) on", 10)
    return sink


def ringload_start(place, port, *args):
    return Json([place.tool("ringload"), *map(str, args), "127.0.0.1:%d" % port],
                place.file("ringload.log"))


def ringload(place, port, *args, limit_s=1800):
    """Run to its end; every message must have been accepted."""
    load = ringload_start(place, port, *args)
    if load.wait(limit_s) != 0:
        raise Failed("ringload was refused: " + load.log_tail())
    return load
