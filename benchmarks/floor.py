"""The floor: what moving the bytes alone costs. A uvloop process that routes nothing and parses nothing.

It speaks just enough AMQP for the generator's set-up. From the first basic.publish on it counts the bytes
that come in on the publishing connection, divides by the size of one publish, and writes as many ready-made
deliveries to every consumer, each with the same delivery tag, and one basic.ack (multiple) when confirms
are on. No broker on this loop and these sockets can be cheaper, so it tells how much of a broker's CPU is
the kernel's and uvloop's. Command: `python -m benchmarks.floor --port 0` prints the port it listens on.
"""

import argparse
import asyncio
import struct
import sys
from typing import cast

import uvloop
from pamqp import base, commands, frame

READY_MADE = 4096  # deliveries in one prepared block


class Floor:
    """What the connections share: who consumes, and how much."""

    def __init__(self) -> None:
        self.consumers: dict[FloorConnection, list[str]] = {}


class FloorConnection(asyncio.Protocol):
    """One client: the handshake by pamqp, then bytes counted."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.pending = bytearray()
        self.confirms = False
        self.publish_size = 0  # known from the first publish on
        self.received = 0
        self.messages = 0
        self.deliveries: list[tuple[asyncio.Transport, memoryview, int]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing is said before the client's protocol header."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget its consumers."""
        self.floor.consumers.pop(self, None)

    def data_received(self, data: bytes) -> None:
        """Count in the publishing connection, converse in any other."""
        if self.publish_size:
            if data.endswith(CLOSE):
                self.transport.write(frame.marshal(commands.Connection.CloseOk(), 0))
                return
            self.count(len(data))
        else:
            self.pending += data
            self.converse()

    def count(self, size: int) -> None:
        """Pass on as many messages as `size` more bytes complete."""
        self.received += size
        total = self.received // self.publish_size
        new = total - self.messages
        if not new:
            return
        self.messages = total
        for transport, block, length in self.deliveries:
            left = new
            while left > 0:
                transport.write(block[: min(left, READY_MADE) * length])
                left -= READY_MADE
        if self.confirms:
            self.transport.write(struct.pack(">BHIHHQBB", 1, 1, 13, 60, 80, total, 1, 0xCE))

    def converse(self) -> None:
        """Answer whole frames; the first publish turns the connection into a counter."""
        if self.pending.startswith(b"AMQP"):
            if len(self.pending) < 8:
                return
            del self.pending[:8]
            self.transport.write(frame.marshal(START, 0))
        while len(self.pending) >= 7:
            kind, channel, size = struct.unpack_from(">BHI", self.pending)
            if len(self.pending) < size + 8:
                return
            whole = bytes(self.pending[: size + 8])
            method = frame.unmarshal(whole)[2] if kind == 1 and whole[7:11] not in ACKS else None
            if isinstance(method, commands.Basic.Publish):
                self.learn(method)
                return
            del self.pending[: size + 8]
            if method is not None:
                self.answer(channel, cast(base.Frame, method))

    def answer(self, channel: int, method: base.Frame) -> None:
        """Say yes to everything."""
        if isinstance(method, commands.Connection.StartOk):
            answer: base.Frame = commands.Connection.Tune(2047, 131072, 0)
        elif isinstance(method, commands.Connection.TuneOk):
            return
        elif isinstance(method, commands.Queue.Declare):
            answer = commands.Queue.DeclareOk(method.queue, 0, 0)
        elif isinstance(method, commands.Queue.Delete):
            answer = commands.Queue.DeleteOk(0)
        elif isinstance(method, commands.Basic.Consume):
            self.floor.consumers.setdefault(self, []).append(method.consumer_tag)
            answer = commands.Basic.ConsumeOk(method.consumer_tag)
        else:
            self.confirms = self.confirms or isinstance(method, commands.Confirm.Select)
            answer = yes(method)
        self.transport.write(frame.marshal(answer, channel))

    def learn(self, publish: commands.Basic.Publish) -> None:
        """Measure the first publish and prepare the deliveries it stands for."""
        end, missing, frames = 0, 1, 0
        while missing > 0 or frames < 2:
            if len(self.pending) < end + 7:
                return
            kind, _, size = struct.unpack_from(">BHI", self.pending, end)
            if len(self.pending) < end + size + 8:
                return
            if kind == 2:
                missing = int(struct.unpack_from(">Q", self.pending, end + 11)[0])
            elif kind == 3:
                missing -= size
            end += size + 8
            frames += 1
        content = bytes(self.pending[self.first_frame_size() : end])
        for connection, tags in self.floor.consumers.items():
            each = b"".join(
                frame.marshal(commands.Basic.Deliver(tag, 1, False, publish.exchange, publish.routing_key), 1)
                + content
                for tag in tags
            )
            self.deliveries.append((connection.transport, memoryview(each * READY_MADE), len(each)))
        self.publish_size = end
        waiting = len(self.pending)
        self.pending.clear()
        self.count(waiting)

    def first_frame_size(self) -> int:
        """The size of the frame at the head of what is pending."""
        return int.from_bytes(self.pending[3:7], "big") + 8


def yes(method: base.Frame) -> base.Frame:
    """The answer of a method whose answer has no arguments."""
    group, name = method.name.split(".")
    return cast(base.Frame, getattr(getattr(commands, group), name + "Ok")())


START = commands.Connection.Start(0, 9, {"product": "floor", "version": "0"}, "PLAIN", "en_US")
ACKS = (b"\0\x3c\0\x50", b"\0\x3c\0\x78")
CLOSE = frame.marshal(commands.Connection.Close(200, "bye", 0, 0), 0)


async def serve(port: int) -> None:
    """Listen on 127.0.0.1 until cancelled."""
    floor = Floor()
    server = await asyncio.get_running_loop().create_server(lambda: FloorConnection(floor), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> int:
    """Run the floor as a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(serve(parser.parse_args().port))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
