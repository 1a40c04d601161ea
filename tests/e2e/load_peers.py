"""Peers nobody likes, each a coroutine that ends as the daemon's documented limits say, or fails.

A Gate tells when all are in place, and then lets those go on that were slow on purpose.
"""

import asyncio
import contextlib

from load_support import CHUNK, Peer

MAIL = (b"EHLO bad.test\r\n", b"MAIL FROM:<bad@src.test>\r\n", b"RCPT TO:<bad@slow.test>\r\n",
        b"DATA\r\n")
PACE_S = 0.02  # between two bytes of a slow one
IDLE_421 = "421 4.3.2 mx.test idle too long\r\n"


class Gate:
    """Made on the loop."""

    def __init__(self, count):
        self.waiting = count
        self.all_in_place = asyncio.Event()
        self.opened = asyncio.Event()

    def in_place(self):
        self.waiting -= 1
        if self.waiting == 0:
            self.all_in_place.set()

    async def pause(self):
        """A moment; none once the gate is open."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.opened.wait(), PACE_S)


async def greeted(port, source, receive_buffer=None):
    peer = await Peer.connect(port, source, receive_buffer)
    banner = await peer.reply()
    assert banner.startswith("220 "), banner
    return peer


async def in_data(port, source):
    peer = await greeted(port, source)
    for line in MAIL:
        reply = await peer.cmd(line)
        assert reply[0] in "23", (line, reply)
    return peer


async def hear(peer, want):
    reply = await peer.reply()
    assert reply.startswith(want), (reply, want)


async def expect(peer, line, want):
    await peer.send(line)
    await hear(peer, want)


async def trickle(peer, gate, lines):
    """Byte by byte, until the gate opens and the line is whole; answers how many lines it was."""
    count = 0
    gate.in_place()
    while not gate.opened.is_set():
        for byte in lines:
            await peer.send(bytes((byte,)))
            await gate.pause()
        count += 1
    return count


# ---- slow, and in the right ----

async def writes_commands_slowly(gate, port, source):
    peer = await greeted(port, source)
    count = await trickle(peer, gate, b"NOOP how-are-you\r\n")
    for _ in range(count):
        await hear(peer, "250 ")
    for line in MAIL:
        for byte in line:
            await peer.send(bytes((byte,)))
        assert (await peer.reply())[0] in "23"
    await expect(peer, b"Subject: slow command\r\n\r\nx\r\n.\r\n", "250 OK ids=")
    peer.close()


async def writes_data_slowly(gate, port, source):
    peer = await in_data(port, source)
    await peer.send(b"Subject: slow data\r\n\r\n")
    await trickle(peer, gate, b"a line of it\r\n")
    await expect(peer, b".\r\n", "250 OK ids=")
    peer.close()


async def reads_slowly(gate, port, source):
    """One byte at a time; asks all the while, since silence is another fault."""
    peer = await greeted(port, source, receive_buffer=4096)
    asked = 0
    gate.in_place()
    while not gate.opened.is_set():
        await peer.send(b"NOOP\r\n")
        asked += 1
        for _ in range(8):
            peer.buffer += await peer.recv(1)
            await gate.pause()
    await peer.send(b"QUIT\r\n")
    text = await peer.rest()
    codes = [line[:4] for line in text.split("\r\n")[:-1]]
    assert codes == asked * ["250 "] + ["221 "], (asked, codes)
    peer.close()


async def large_mail(port, body):
    peer = await in_data(port, "127.1.0.1")
    await peer.send(body)
    await expect(peer, b".\r\n", "250 OK ids=")
    peer.close()


# ---- in the wrong ----

async def never_reads(gate, port, source):
    """Thousands of commands, until the daemon takes no more of them and then ends it."""
    peer = await greeted(port, source, receive_buffer=4096)
    gate.in_place()
    sent = await peer.shove(1000 * b"EHLO bad.test\r\n")
    peer.close()
    return sent


async def endless_command(gate, port, source):
    """A line far beyond the limit is passed over and answered once."""
    peer = await greeted(port, source)
    await peer.send(b"NOOP ")
    for _ in range(128):
        await peer.send(CHUNK * b"x")
    await trickle(peer, gate, b"x")
    await expect(peer, b"\r\n", "500 5.2.3 line too long\r\n")
    await expect(peer, b"NOOP\r\n", "250 ")
    peer.close()


async def endless_data(gate, port, source):
    peer = await in_data(port, source)
    for _ in range(128):
        await peer.send(CHUNK * b"x")
    await trickle(peer, gate, b"x")
    await expect(peer, b"\r\n.\r\n", "552 5.3.4 message too big\r\n")
    peer.close()


async def stalls(peer, gate, start):
    await peer.send(start)
    gate.in_place()
    text = await peer.rest()
    assert text == IDLE_421, text
    peer.close()


async def stalls_in_a_command(gate, port, source):
    await stalls(await greeted(port, source), gate, b"MAIL FROM:<a")


async def stalls_in_data(gate, port, source):
    await stalls(await in_data(port, source), gate, b"Subject: half of")


async def stalls_at_the_banner(gate, port, source):
    await stalls(await greeted(port, source), gate, b"")


async def never_has_enough(gate, port, source):
    """Transactions without end; the recipients of a connection are counted."""
    peer = await greeted(port, source)
    gate.in_place()
    while True:
        await peer.send(b"RSET\r\nMAIL FROM:<bad@src.test>\r\n" + 20 * b"RCPT TO:<b@slow.test>\r\n")
        replies = [await peer.reply() for _ in range(22)]
        if "" in replies:
            break
    text = [reply for reply in replies if reply][-1]
    assert text == "421 4.5.3 mx.test too many recipients on this connection\r\n", text
    peer.close()


SLOW = (writes_commands_slowly, writes_data_slowly, reads_slowly)
MAILERS = (writes_commands_slowly, writes_data_slowly)
WRONG = (never_reads, endless_command, endless_data, stalls_in_a_command, stalls_in_data,
         stalls_at_the_banner, never_has_enough)
