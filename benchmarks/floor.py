"""The floor: the cost of only moving the bytes.

A uvloop process that neither routes nor parses. It knows enough AMQP for the generator's set-up. From the first
basic.publish on it counts the bytes from the publishing connection, divides them by the size of one publish, and writes
as many prepared deliveries to every consumer, each with the same delivery tag, and one basic.ack (multiple) if confirms
are on. No broker on this loop and these sockets can need less CPU. Command: `python -m benchmarks.floor --port 0`
prints its port.
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
    """What the connections share: the consumers, and how much they get."""

    def __init__(self) -> None:
        self.consumers: dict[FloorConnection, list[str]] = {}


class FloorConnection(asyncio.Protocol):
    """One client: a handshake by pamqp, then counted bytes."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.pending = bytearray()
        self.confirms = False
        self.publish_size = 0  # known from the first publish on
        self.received = 0
        self.messages = 0
        self.deliveries: list[tuple[asyncio.Transport, memoryview, int]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client's protocol header."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget its consumers."""
        self.floor.consumers.pop(self, None)

    def data_received(self, data: bytes) -> None:
        """Count bytes of the publishing connection, answer those of others."""
        if self.publish_size:
            if data.endswith(CLOSE):
                self.transport.write(frame.marshal(commands.Connection.CloseOk(), 0))
                return
            self.count(len(data))
        else:
            self.pending += data
            self.converse()

    def count(self, size: int) -> None:
        """Deliver as many messages as `size` more bytes complete."""
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
        """Answer complete frames; the first publish makes this the publishing connection."""
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
        """Answer a method positively."""
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
        """Measure the first publish, and prepare the deliveries for it."""
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
        """Return the size of the first pending frame."""
        return int.from_bytes(self.pending[3:7], "big") + 8


def yes(method: base.Frame) -> base.Frame:
    """Return the answer to a method, if the answer has no arguments."""
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
    """Run the floor as a separate process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(serve(parser.parse_args().port))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
