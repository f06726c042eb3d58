"""Real sockets: a node in the event loop of the test, and one as a separate process."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Confirm, Connection, Queue

from leveret.config import Settings
from leveret.server.node import Node
from leveret.server.sockets import WRITE_LIMIT_BYTES
from leveret.session.output import OUTBOX_LIMIT_BYTES
from leveret.settings import Server
from leveret.testing.playbook import (
    Connect,
    Content,
    Ended,
    Line,
    LineParser,
    Octets,
    Say,
    content_frames,
    handshake,
    publish,
    say,
)
from leveret.wire.methods import method_frame
from tests.hang import HANG_SECONDS

FRAME_MAX = 131072


def octets(lines: tuple[Line, ...]) -> bytes:
    """The octets that a client sends for these lines."""
    out = []
    for line in lines:
        if isinstance(line, Say):
            out.append(method_frame(line.channel, line.command, **line.arguments))
        elif isinstance(line, Content):
            out.append(content_frames(line, line.properties, FRAME_MAX))
        elif isinstance(line, Octets):
            out.append(line.data)
    return b"".join(out)


class SocketClient:
    """A client on a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.parser = LineParser("a", FRAME_MAX)
        self.lines: list[Line] = []

    async def send(self, *lines: Line) -> None:
        self.writer.write(octets(lines))
        await self.writer.drain()

    async def receive(self, count: int = 1) -> list[Line]:
        """Return the next `count` lines; Ended if the server closes the socket."""
        async with asyncio.timeout(HANG_SECONDS):
            while len(self.lines) < count:
                try:
                    data = await self.reader.read(1 << 16)
                except ConnectionResetError:
                    data = b""
                if not data:
                    self.lines.append(Ended())
                    break
                self._take(data)
        received, self.lines = self.lines[:count], self.lines[count:]
        return received

    def _take(self, data: bytes) -> None:
        """Parse complete frames, and contents only with their bodies."""
        data = self.parser.received + data
        at = done = 0
        missing = 0
        while len(data) - at >= 8:
            if data[at : at + 4] == b"AMQP":
                at += 8
                done = at
                continue
            size = int.from_bytes(data[at + 3 : at + 7], "big")
            if len(data) - at < size + 8:
                break
            if data[at] == 2:
                missing = int.from_bytes(data[at + 11 : at + 19], "big")
            elif data[at] == 3:
                missing -= size
            at += size + 8
            done = at if missing == 0 else done
        self.parser.received = data[:done]
        self.lines += self.parser.parse()
        self.parser.received = data[done:]

    async def open(self, channels: tuple[int, ...] = (1,), **more: Any) -> SocketClient:
        steps = handshake(Connect("a", channels=channels, **more))
        self.writer.write(b"".join(steps))
        received = await self.receive(3 + len(channels))
        assert not [line for line in received if not isinstance(line, Say)], received
        return self

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return


async def settled(condition: Callable[[], object]) -> None:
    """Let the loop run until `condition` holds."""
    async with asyncio.timeout(HANG_SECONDS):
        while not condition():  # noqa: ASYNC110  what is waited for has no event of its own
            await asyncio.sleep(0)


Start = Callable[..., Awaitable[Node]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a node on a free port of the loopback."""
    async with AsyncExitStack() as stack:

        async def run(**server: Any) -> Node:
            given = {"host": ("127.0.0.1",), "port": 0, "http_port": -1, "prometheus_port": -1, **server}
            node = Node(Settings(server=Server(**given)))
            await node.start()
            stack.push_async_callback(node.stop)
            return node

        yield run


def port_of(node: Node) -> int:
    port: int = node.servers[0].sockets[0].getsockname()[1]
    return port


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[SocketClient]]]:
    """Connect to a node; the socket is closed at the end."""
    ends: list[SocketClient] = []

    async def dial(node: Node, **options: Any) -> SocketClient:
        sock = socket.socket()
        for name, value in options.items():
            sock.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port_of(node)))
        end = SocketClient(*await asyncio.open_connection(sock=sock, limit=1 << 16))
        ends.append(end)
        return end

    yield dial
    for end in ends:
        await end.close()


Dial = Callable[..., Awaitable[SocketClient]]
DECLARE = say(Queue.Declare, queue="q")


async def test_a_client_publishes_gets_and_closes(start: Start, connect: Dial) -> None:
    node = await start()
    client = await (await connect(node)).open()
    await client.send(DECLARE, *publish(b"x" * 300_000, "q"), say(Basic.Get, queue="q"))
    received = await client.receive(3)
    assert received[0] == say(Queue.DeclareOk, queue="q")
    assert isinstance(received[2], Content) and received[2].body == b"x" * 300_000
    await client.send(say(Connection.Close, reply_code=200))
    assert await client.receive() == [say(Connection.CloseOk)]
    await client.close()
    await settled(lambda: not node.broker.connections)
    assert not node.edge.sockets


async def test_many_small_messages_arrive_in_order(start: Start, connect: Dial) -> None:
    node = await start()
    client, other = await (await connect(node)).open(), await (await connect(node)).open()
    await client.send(DECLARE, say(Confirm.Select))
    await client.receive(2)
    await other.send(say(Basic.Consume, queue="q", consumer_tag="c", no_ack=True))
    await other.receive()
    count = 20_000
    batch = [line for i in range(count) for line in publish(b"%d" % i, "q")]
    sending = asyncio.create_task(client.send(*batch))
    bodies = [line.body for line in await other.receive(2 * count) if isinstance(line, Content)]
    await sending
    assert bodies == [b"%d" % i for i in range(count)]
    confirmed = 0
    while confirmed < count:
        (ack,) = await client.receive()
        assert isinstance(ack, Say) and ack.command is Basic.Ack
        assert ack.arguments["multiple"] or ack.arguments["delivery_tag"] == confirmed + 1
        confirmed = ack.arguments["delivery_tag"]


async def test_a_slow_consumer_uses_bounded_memory(start: Start, connect: Dial) -> None:
    node = await start()
    slow = await (await connect(node, SO_RCVBUF=8192)).open()
    quick, publisher = await (await connect(node)).open(), await (await connect(node)).open()
    await publisher.send(DECLARE, say(Queue.Declare, queue="other"))
    await publisher.receive(2)
    await slow.send(say(Basic.Consume, queue="q", consumer_tag="s", no_ack=True))
    await quick.send(say(Basic.Consume, queue="other", consumer_tag="o", no_ack=True))
    await slow.receive()
    await quick.receive()
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    body, count = bytes(50_000), 400
    for i in range(count):
        await publisher.send(*publish(body, "q"), *publish(b"%d" % i, "other"))
    received = await quick.receive(2 * count)
    assert [line.body for line in received if isinstance(line, Content)] == [b"%d" % i for i in range(count)]
    stuck = next(one for one in node.edge.sockets.values() if one.connection.paused)
    waiting = stuck.transport.get_write_buffer_size() + stuck.connection.outbox.size
    assert waiting <= WRITE_LIMIT_BYTES + 2 * OUTBOX_LIMIT_BYTES, "of twenty megabytes"
    assert node.broker.vhosts["/"].queues["q"].ready > 300
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
    bodies = [line for line in await slow.receive(2 * count) if isinstance(line, Content)]
    assert len(bodies) == count and all(len(line.body) == len(body) for line in bodies)


async def test_publishes_during_an_alarm_wait_until_it_ends(start: Start, connect: Dial) -> None:
    node = await start()
    publisher, reader = await (await connect(node)).open(), await (await connect(node)).open()
    await publisher.send(DECLARE, say(Confirm.Select))
    await publisher.receive(2)
    node.broker.set_alarm("disk")
    body, count = bytes(10_000), 2000
    lines = [line for _ in range(count) for line in publish(body, "q")]
    flood = asyncio.create_task(publisher.send(*lines))
    assert await publisher.receive() == [say(Connection.Blocked, reason="low on disk")]
    await reader.send(say(Queue.Declare, queue="q", passive=True))
    assert await reader.receive() == [say(Queue.DeclareOk, queue="q")], (
        "others are served, and nothing came in"
    )
    assert not flood.done(), "twenty megabytes do not fit into the buffers between"
    held = [one for one in node.edge.sockets.values() if not one.reading]
    assert len(held) == 1 and len(held[0].rest) < 1_000_000
    node.broker.clear_alarm("disk")
    node.edge.touch()
    assert await publisher.receive() == [say(Connection.Unblocked)]
    await flood
    confirmed = 0
    while confirmed < count:
        (ack,) = await publisher.receive()
        assert isinstance(ack, Say)
        confirmed = ack.arguments["delivery_tag"]
    await settled(lambda: node.broker.vhosts["/"].queues["q"].ready == count)


async def test_truncated_handshakes_leave_no_connection(start: Start, connect: Dial) -> None:
    node = await start()
    everything = b"".join(handshake(Connect("a", channels=(1,))))
    for at in range(0, len(everything), 7):
        client = await connect(node)
        client.writer.write(everything[:at])
        await client.close()
    await settled(lambda: node.broker.connections_closed == node.broker.connections_created)
    assert not node.broker.connections and not node.edge.sockets
    assert not node.broker.vhosts["/"].connections


async def test_a_reset_in_the_middle_of_a_publish_ends_the_connection(start: Start, connect: Dial) -> None:
    node = await start()
    for at in range(40, 400, 40):
        client = await (await connect(node, SO_LINGER=struct.pack("ii", 1, 0))).open()
        client.writer.write(octets((DECLARE, *publish(bytes(300), "q")))[:at])
        client.writer.transport.abort()
    await settled(lambda: not node.broker.connections)
    assert not node.edge.sockets


async def test_the_handshake_timeout_runs_on_the_real_clock(start: Start, connect: Dial) -> None:
    node = await start(handshake_timeout=50)
    client = await connect(node)
    client.writer.write(b"AMQP")
    assert await client.receive() == [Ended()]
    await settled(lambda: not node.broker.connections)


async def test_other_protocols_get_a_protocol_header(start: Start, connect: Dial) -> None:
    node = await start()
    client = await connect(node)
    await client.send(Octets(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert await client.receive(2) == [Octets(b"AMQP\x03\x01\0\0"), Ended()]


async def test_connection_close_arrives_before_the_socket_is_closed(start: Start, connect: Dial) -> None:
    node = await start()
    client = await (await connect(node)).open()
    await client.send(say(Channel.Open))
    (close,) = await client.receive()
    assert isinstance(close, Say) and close.command is Connection.Close
    await client.send(say(Connection.CloseOk))
    assert await client.receive() == [Ended()]


async def test_two_thousand_channels_work(start: Start, connect: Dial) -> None:
    node = await start()
    numbers = tuple(range(1, 2048))
    client = await (await connect(node)).open(numbers)
    await client.send(*(say(Queue.Declare, queue=f"q{n % 10}", channel=n) for n in numbers))
    assert len(await client.receive(len(numbers))) == 2047
    await client.send(say(Channel.Open, channel=60000))
    (close,) = await client.receive()
    assert isinstance(close, Say) and close.arguments["reply_code"] == 530
    assert node.broker.channels_opened == 2047


async def test_connections_above_the_limit_are_refused(start: Start, connect: Dial) -> None:
    node = await start(max_connections=2)
    first, second = await (await connect(node)).open(), await (await connect(node)).open()
    third = await connect(node)
    third.writer.write(b"".join(handshake(Connect("a", channels=()))))
    (close,) = (await third.receive(3))[2:]
    assert isinstance(close, Say) and close.command is Connection.Close
    assert (
        close.arguments["reply_text"]
        == "NOT_ALLOWED - connection refused: node connection limit (2) is reached"
    )
    await third.send(say(Connection.CloseOk))
    await third.receive()
    await first.close()
    await settled(lambda: len(node.broker.connections) == 1)
    await (await connect(node)).open()
    await second.send(DECLARE)
    assert await second.receive() == [say(Queue.DeclareOk, queue="q")]


# --- a process of its own


async def serve(*options: str, interrupts: signal.Handlers = signal.SIG_DFL) -> asyncio.subprocess.Process:
    """Start a node as a separate process, with SIGINT ignored or not. SIGHUP is not, whoever runs the tests (nohup)."""
    before = signal.signal(signal.SIGINT, interrupts), signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        return await _serve(*options)
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGHUP, before[1])


async def _serve(*options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "leveret",
        "serve",
        "--host",
        "127.0.0.1",
        "--http-port",
        "-1",
        "--prometheus-port",
        "-1",
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def started(process: asyncio.subprocess.Process) -> tuple[int, list[str]]:
    """Wait until it has started; returns its port, and the lines until then."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(HANG_SECONDS):
        while not lines or "Server startup complete" not in lines[-1]:
            line = await process.stdout.readline()
            assert line, lines
            lines.append(line.decode().rstrip())
    (listening,) = [line for line in lines if "started TCP listener on 127.0.0.1:" in line]
    return int(listening.rpartition(":")[2]), lines


async def test_the_log_shows_start_and_shutdown() -> None:
    process = await serve("--port", "0")
    try:
        port, lines = await started(process)
        texts = [line.split("> ", 1)[1] for line in lines]
        assert texts[0].startswith(" Starting RabbitMQ 4.3.6 on leveret")
        assert texts[1].startswith(" node           : ")
        assert texts[2:5] == [
            " config file(s) : (none)",
            " log(s)         : <stdout>",
            " data dir       : (none: all data is lost at stop)",
        ]
        assert "Data directory: none (all data is lost when the broker stops)" in texts
        assert "Ready to start client connection listeners" in texts
        client = await SocketClient(*await asyncio.open_connection("127.0.0.1", port)).open()
        process.send_signal(signal.SIGTERM)
        (close,) = await client.receive()
        assert isinstance(close, Say) and close.arguments["reply_code"] == 320
        reason = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
        assert close.arguments["reply_text"] == reason
        with suppress(ConnectionError):  # it does not wait forever
            await client.send(say(Connection.CloseOk))
        assert await process.wait() == 0
        await client.close()
    finally:
        if process.returncode is None:
            process.kill()


async def test_the_log_shows_what_was_recovered(tmp_path: Path) -> None:
    for count in (0, 1):
        process = await serve("--port", "0", "--data-dir", str(tmp_path))
        try:
            port, lines = await started(process)
            (found,) = [line for line in lines if "Data directory: " in line]
            assert found.endswith(f"Data directory: {tmp_path} (queues: {count}, messages: {count})")
            client = await SocketClient(*await asyncio.open_connection("127.0.0.1", port)).open()
            await client.send(say(Confirm.Select), say(Queue.Declare, queue="q", durable=True))
            await client.send(*publish(b"1", "q", delivery_mode=2))
            await client.receive(3)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
            await client.close()
        finally:
            if process.returncode is None:
                process.kill()


async def test_a_node_with_many_messages_stops_and_keeps_the_persistent_ones(tmp_path: Path) -> None:
    """Nobody can connect while it stops, and nothing that was confirmed is lost."""
    many = 5000
    process = await serve("--port", "0", "--data-dir", str(tmp_path))
    try:
        port, _ = await started(process)
        client = await SocketClient(*await asyncio.open_connection("127.0.0.1", port)).open()
        await client.send(say(Confirm.Select), say(Queue.Declare, queue="q", durable=True))
        await client.receive(2)
        for mode in (1, 2):
            await client.send(*publish(b"1", "q", delivery_mode=mode) * many)
        confirmed = 0
        while confirmed < 2 * many:
            for line in await client.receive():
                assert isinstance(line, Say)
                confirmed = max(confirmed, line.arguments["delivery_tag"])
        process.send_signal(signal.SIGTERM)
        (close,) = await client.receive()
        assert isinstance(close, Say) and close.arguments["reply_code"] == 320
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert await process.wait() == 0
        await client.close()
    finally:
        if process.returncode is None:
            process.kill()
    process = await serve("--port", "0", "--data-dir", str(tmp_path))
    try:
        _, lines = await started(process)
        assert any(line.endswith(f"(queues: 1, messages: {many})") for line in lines)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


async def test_shutdown_does_not_wait_for_a_client_that_does_not_answer() -> None:
    process = await serve("--port", "0")
    try:
        port, _ = await started(process)
        silent_client = await SocketClient(*await asyncio.open_connection("127.0.0.1", port)).open()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        await silent_client.close()
    finally:
        if process.returncode is None:
            process.kill()


async def test_sigint_stops_the_broker() -> None:
    process = await serve("--port", "0")
    try:
        await started(process)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


async def test_a_broker_that_was_started_in_the_background_ignores_sigint() -> None:
    """A shell starts background processes with SIGINT ignored; SIGTERM stops them."""
    process = await serve("--port", "0", interrupts=signal.SIG_IGN)
    try:
        port, _ = await started(process)
        process.send_signal(signal.SIGINT)
        client = await SocketClient(*await asyncio.open_connection("127.0.0.1", port)).open()
        await client.send(DECLARE)
        assert await client.receive() == [say(Queue.DeclareOk, queue="q")]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        await client.close()
    finally:
        if process.returncode is None:
            process.kill()


async def test_a_port_in_use_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await serve("--port", str(port))
        out, err = await asyncio.wait_for(process.communicate(), HANG_SECONDS)
    assert process.returncode == 1
    assert err.decode() == (
        f"leveret: cannot listen on 127.0.0.1:{port}: Address already in use. "
        "Another program uses this port: stop it, or set another port "
        "(--host, --port, --http-port, --prometheus-port, or the listeners in rabbitmq.conf).\n"
    )
    assert b"Traceback" not in out


async def test_an_address_of_no_interface_is_reported() -> None:
    process = await serve("--host", "192.0.2.1")
    _, err = await asyncio.wait_for(process.communicate(), HANG_SECONDS)
    assert process.returncode == 1
    assert err.startswith(b"leveret: cannot listen on 192.0.2.1:5672: ")
    assert b"No network interface has this address" in err


async def test_sighup_does_not_stop_a_service() -> None:
    process = await serve("--port", "0")
    try:
        await started(process)
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        while b"SIGHUP: the certificates are read again" not in (line := await process.stdout.readline()):
            assert line  # the node runs
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


async def test_a_log_that_nobody_reads_is_silent() -> None:
    process = await serve("--port", "0")
    try:
        port, _ = await started(process)
        assert process.stdout is not None and process.stderr is not None
        process.stdout._transport.close()  # type: ignore[attr-defined]  # the reader of the pipe ends
        for _ in range(2):
            client = await SocketClient(*await asyncio.open_connection("127.0.0.1", port)).open()
            await client.close()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert await process.stderr.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
