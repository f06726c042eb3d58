"""The lines about clients are those that RabbitMQ 4.3.6 wrote when the same octets were sent to it.

Masked are ports, process numbers and durations.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Connection, Queue

from leveret.config import Settings
from leveret.server.log import log
from leveret.server.log_formats import TextFormatter
from leveret.server.node import Node
from leveret.settings import Log, Server
from leveret.testing.playbook import Content, Line, Say, say
from tests.edges.test_sockets import SocketClient, octets, port_of, settled


class Lines(logging.Handler):
    """What was logged, masked."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(TextFormatter({"plaintext": "[$level] $msg"}))

    def emit(self, record: logging.LogRecord) -> None:
        text = re.sub(r"127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+", "A -> B", self.format(record))
        text = re.sub(r"<0\.\d+\.0>", "<PID>", text)
        self.lines += re.sub(r"'(\d+[DHM], )*\d+m?s'", "'TIME'", text).splitlines()


@pytest.fixture
def logged() -> Iterator[Lines]:
    handler = Lines()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    log.setLevel(logging.NOTSET)


@pytest.fixture
async def node(logged: Lines) -> AsyncIterator[Node]:
    server = Server(host=("127.0.0.1",), port=0, http_port=-1, prometheus_port=-1)
    made = Node(Settings(server=server))
    await made.start()
    logged.lines.clear()
    yield made
    await made.stop()


async def connect(node: Node) -> SocketClient:
    return SocketClient(*await asyncio.open_connection("127.0.0.1", port_of(node)))


async def log_in(node: Node, name: str = "", vhost: str = "/", **more: Any) -> SocketClient:
    """Send everything up to connection.open, and return without waiting for the end of it."""
    client = await connect(node)
    properties = {"connection_name": name} if name else {}
    start = {"mechanism": "PLAIN", "response": "\0guest\0guest", "locale": "en_US", **more}
    lines: tuple[Line, ...] = (
        say(Connection.StartOk, client_properties=properties, **start),
        say(Connection.TuneOk, channel_max=2047, frame_max=131072, heartbeat=0),
        say(Connection.Open, virtual_host=vhost),
        say(Channel.Open, channel=1),
    )
    client.writer.write(b"AMQP\0\0\x09\x01" + octets(lines))
    return client


ACCEPTED = "[info] accepting AMQP connection A -> B"
LOGGED_IN = [
    ACCEPTED,
    "[info] connection A -> B has a client-provided name: worker-7",
    "[info] User 'guest' authenticated successfully",
    "[info] connection A -> B - worker-7: user 'guest' authenticated and granted access to vhost '/'",
]
BYE = "[info] closing AMQP connection (A -> B - worker-7, vhost: '/', user: 'guest', duration: 'TIME')"


async def test_a_connection_with_a_channel_error(node: Node, logged: Lines) -> None:
    client = await log_in(node, "worker-7")
    await client.receive(4)
    await client.send(say(Queue.Declare, queue="case09-none", passive=True))
    await client.receive()
    await client.send(
        say(Channel.CloseOk, channel=1), say(Connection.Close, reply_code=200, reply_text="bye")
    )
    await client.receive()
    await client.close()
    await settled(lambda: not node.edge.sockets)
    assert logged.lines == [
        *LOGGED_IN,
        "[error] Channel error on connection <PID> (A -> B, vhost: '/', user: 'guest'), channel 1:",
        "[error] operation queue.declare caused a channel exception not_found: "
        "no queue 'case09-none' in vhost '/'",
        BYE,
    ]


@pytest.mark.parametrize("reset", [False, True])
async def test_a_client_that_is_lost(node: Node, logged: Lines, reset: bool) -> None:
    client = await log_in(node, "worker-7")
    await client.receive(4)
    if reset:
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await client.close()
    await settled(lambda: not node.edge.sockets)
    assert logged.lines == [
        *LOGGED_IN,
        "[warning] closing AMQP connection <PID> "
        "(A -> B - worker-7, vhost: '/', user: 'guest', duration: 'TIME'):",
        "[warning] client unexpectedly closed TCP connection",
    ]


async def test_a_connection_error(node: Node, logged: Lines) -> None:
    client = await log_in(node, "worker-7")
    await client.receive(4)
    await client.send(say(Basic.Qos, prefetch_size=1))
    await client.receive()
    await client.send(say(Connection.CloseOk))
    await client.receive()
    await client.close()
    await settled(lambda: not node.edge.sockets)
    assert logged.lines == [
        *LOGGED_IN,
        "[error] Error on AMQP connection <PID> "
        "(A -> B - worker-7, vhost: '/', user: 'guest', state: running), channel 1:",
        '[error]  operation basic.qos caused a connection exception not_implemented: "prefetch_size!=0 (1)"',
        BYE,
    ]


async def test_an_unknown_virtual_host(node: Node, logged: Lines) -> None:
    client = await log_in(node, vhost="nosuch")
    await client.receive(3)
    await client.send(say(Connection.CloseOk))
    await client.receive()
    await client.close()
    await settled(lambda: not node.edge.sockets)
    assert logged.lines == [
        ACCEPTED,
        "[info] User 'guest' authenticated successfully",
        "[error] Error on AMQP connection <PID> (A -> B, user: 'guest', state: opening):",
        "[error] vhost nosuch not found",
        "[info] closing AMQP connection (A -> B, vhost: 'none', user: 'guest', duration: 'TIME')",
    ]


async def test_a_refused_login(node: Node, logged: Lines) -> None:
    client = await log_in(node, response="\0guest\0wrong")
    await client.receive()
    await settled(lambda: len(logged.lines) > 3)
    await client.close()
    await settled(lambda: not node.edge.sockets)
    assert logged.lines == [
        ACCEPTED,
        "[warning] User 'guest' failed to authenticate: user 'guest' - invalid credentials",
        "[error] Error on AMQP connection <PID> (A -> B, state: starting):",
        "[error] PLAIN login refused: user 'guest' - invalid credentials",
        "[info] closing AMQP connection (A -> B, duration: 'TIME')",
    ]


async def test_an_unknown_mechanism(node: Node, logged: Lines) -> None:
    client = await log_in(node, mechanism="NOPE")
    await client.receive()
    await settled(lambda: len(logged.lines) > 5)
    await client.close()
    await settled(lambda: not node.edge.sockets)
    assert logged.lines == [
        ACCEPTED,
        "[error] closing AMQP connection <PID> (A -> B, duration: 'TIME'):",
        "[error] {handshake_error,starting,",
        "[error]                  {amqp_error,command_invalid,",
        "[error]                              \"unknown authentication mechanism 'NOPE'\",",
        "[error]                              'connection.start_ok'}}",
    ]


@pytest.mark.parametrize(
    ("first", "lines"),
    [
        (b"", []),
        (
            b"GET / HTTP/1.1\r\n\r\n",
            [
                "[error] closing AMQP connection A -> B (duration: 'TIME'):",
                "[error] HTTP GET request detected on AMQP port. "
                "Ensure the client is connecting to the correct port.",
            ],
        ),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            [
                "[error] closing AMQP connection A -> B (duration: 'TIME'):",
                "[error] TLS client detected on non-TLS AMQP port. "
                "Ensure the client is connecting to the correct port.",
            ],
        ),
        (
            b"AMQP\x00\x01\x00\x00",
            [
                "[error] closing AMQP 1.0 connection (A -> B, duration: 'TIME'): RabbitMQ requires SASL "
                "security layer (expected protocol ID 3, but client sent protocol ID 0)"
            ],
        ),
        (
            b"AMQP\x01\x01\x00\x0a",
            [
                "[error] closing AMQP connection <PID> (A -> B, duration: 'TIME'):",
                "[error] {bad_version,{1,1,0,10}}",
            ],
        ),
        (
            b"\x10\x0f\x00\x04MQTT\x04",
            [
                "[error] closing AMQP connection A -> B (duration: 'TIME'):",
                "[error] client did not start with AMQP protocol header: <<16,15,0,4,77,81,84,84>>",
            ],
        ),
    ],
)
async def test_other_protocols_and_probes(node: Node, logged: Lines, first: bytes, lines: list[str]) -> None:
    client = await connect(node)
    await settled(lambda: node.edge.sockets)
    client.writer.write(first)
    if first:
        await client.receive()
    await client.close()
    await settled(lambda: not node.edge.sockets)
    assert logged.lines == ([ACCEPTED, *lines] if first else [])


async def test_a_part_of_a_header(node: Node, logged: Lines) -> None:
    client = await connect(node)
    client.writer.write(b"AMQP")
    await settled(lambda: any(each.received for each in node.edge.sockets))
    await client.close()
    await settled(lambda: not node.edge.sockets)
    assert logged.lines == [
        ACCEPTED,
        "[warning] closing AMQP connection <PID> (A -> B, duration: 'TIME'):",
        "[warning] client unexpectedly closed TCP connection",
    ]


async def test_a_closed_connection_of_the_server(node: Node, logged: Lines) -> None:
    client = await log_in(node, "worker-7")
    await client.receive(4)
    node.broker.shut_connections("Closed by an operator")
    node.edge.touch()
    await client.receive()
    await client.close()
    await settled(lambda: not node.edge.sockets)
    assert logged.lines == [
        *LOGGED_IN,
        '[info] Closing connection <PID> because "Closed by an operator"',
        "[warning] Closing AMQP connection <PID> (A -> B - worker-7, vhost: '/', user: 'guest'): "
        "Closed by an operator",
        BYE,
    ]


async def test_records_are_published_to_the_log_exchange() -> None:
    settings = Settings(
        server=Server(host=("127.0.0.1",), port=0, http_port=-1, prometheus_port=-1),
        log=Log(exchange=True, exchange_level="info", exchange_format="json"),
    )
    log.setLevel(logging.INFO)
    node = Node(settings)
    await node.start()
    try:
        client = await (await connect(node)).open()
        await client.send(
            say(Queue.Declare, queue="q"),
            say(Queue.Bind, queue="q", exchange="amq.rabbitmq.log", routing_key="error"),
            say(Basic.Consume, queue="q", no_ack=True),
        )
        await client.receive(3)
        log.info("not bound")
        log.error("to the exchange")
        deliver, content = await client.receive(2)
        assert isinstance(deliver, Say) and isinstance(content, Content)
        assert deliver.arguments["exchange"] == "amq.rabbitmq.log"
        assert deliver.arguments["routing_key"] == "error"
        assert content.properties["content_type"] == "application/json"
        assert content.properties["headers"]["node"].value == settings.server.node_name.encode()
        assert json.loads(content.body)["msg"] == "to the exchange"
        await client.close()
    finally:
        await node.stop()
        log.handlers.clear()
        log.setLevel(logging.NOTSET)
