"""A broker inside the test process: start, stop, calls from any thread."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import aio_pika
import pika
import pytest

import leveret.testing
from leveret.testing import BlockingCall, Broker, Stopped, WaitTimeout
from tests.hang import HANG_SECONDS


def connect(broker: Broker) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(broker.url))


def test_a_client_can_connect_as_soon_as_with_is_entered() -> None:
    with Broker() as broker, connect(broker) as connection:
        channel = connection.channel()
        name = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", name, b"hello")
        assert channel.basic_get(name, auto_ack=True)[2] == b"hello"


async def test_async_with_gives_the_other_face_of_the_same_broker() -> None:
    async with Broker() as broker:
        async with await aio_pika.connect(broker.url) as connection:
            assert connection.connected.is_set()
        assert broker.sync.port == broker.port == broker.aio.port


def test_start_and_stop_are_idempotent() -> None:
    broker = Broker().start()
    port = broker.port
    assert broker.start() is broker and broker.port == port
    broker.stop()
    broker.stop()


def test_a_stopped_broker_leaves_no_thread_and_no_listener() -> None:
    before = threading.active_count()
    with Broker() as broker:
        port = broker.port
        connection = connect(broker)
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with pytest.raises(pika.exceptions.AMQPError):
        connection.channel()


def test_a_stopped_broker_can_be_started_again_on_its_port() -> None:
    broker = Broker().start()
    port = broker.port
    broker.stop()
    with broker:
        assert broker.port == port
        connect(broker).close()


def test_several_brokers_live_in_one_process_and_share_nothing() -> None:
    with Broker() as one, Broker() as other, connect(one) as connection:
        connection.channel().queue_declare("only-here")
        with connect(other) as second, pytest.raises(pika.exceptions.ChannelClosedByBroker, match="404"):
            second.channel().queue_declare("only-here", passive=True)


def test_an_address_in_use_raises_oserror_and_leaves_no_thread() -> None:
    with Broker() as broker:
        before = threading.active_count()
        with pytest.raises(OSError, match="in use"):
            Broker(port=broker.port).start()
        assert threading.active_count() == before


def test_a_broker_listens_on_a_unix_socket_as_well(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "amqp.sock")
    with Broker(unix=path), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"AMQP\x00\x00\x09\x01")
        assert client.recv(1) == b"\x01"


def test_the_url_carries_user_and_virtual_host() -> None:
    with Broker(vhost="a/b", settings={"access.default_user": "x@y", "access.default_pass": ":"}) as broker:
        assert broker.url == f"amqp://x%40y:%3A@127.0.0.1:{broker.port}/a%2Fb"
        connect(broker).close()


def test_a_wait_sees_what_was_published_without_confirms() -> None:
    with Broker() as broker, connect(broker) as connection:
        channel = connection.channel()
        channel.queue_declare("q")
        queue = broker._node.engine.vhosts["/"].queues["q"]
        for number in range(1, 200):
            channel.basic_publish("", "q", b"x")
            assert broker._node.call(lambda: queue.ready) == number


def test_a_call_sees_what_the_kernel_of_a_client_has_held_back(broker: Broker) -> None:
    with socket.create_connection((broker.host, broker.port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        for octet in b"AMQP":
            client.sendall(bytes((octet,)))
        (connection,) = broker._node.call(lambda: list(broker._node.engine.connections))
        assert connection.received == 4


def test_a_call_sees_clients_that_have_connected_and_gone() -> None:
    with Broker() as broker:
        clients = [socket.create_connection((broker.host, broker.port)) for _ in range(20)]
        assert broker._node.call(lambda: len(broker._node.engine.connections)) == 20
        for client in clients:
            client.close()
        assert broker._node.call(lambda: len(broker._node.engine.connections)) == 0


def test_wait_until_is_asked_after_each_turn() -> None:
    with Broker() as broker:
        clients: list[socket.socket] = []

        def connect_later() -> None:
            clients.append(socket.create_connection((broker.host, broker.port)))

        thread = threading.Thread(target=connect_later)
        thread.start()
        broker.wait_until(lambda: len(broker._node.engine.connections) == 1)
        thread.join()
        clients[0].close()


def test_wait_until_raises_after_its_timeout() -> None:
    with Broker() as broker, pytest.raises(WaitTimeout, match=r"was not true within 0\.01 s"):
        broker.wait_until(lambda: False, timeout=0.01)


def test_an_exception_of_the_predicate_is_raised() -> None:
    with Broker() as broker, pytest.raises(ZeroDivisionError):
        broker.wait_until(lambda: 1 / 0)


async def test_a_blocking_call_in_a_running_loop_is_refused() -> None:
    with Broker() as broker:
        with pytest.raises(BlockingCall, match=r"use `await broker\.aio\.wait_until"):
            broker.wait_until(lambda: True)
        await broker.aio.wait_until(lambda: True)


async def test_a_wait_can_be_cancelled() -> None:
    async with Broker() as broker:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(broker.wait_until(lambda: False, timeout=60), 0.01)
        await broker.wait_until(lambda: not broker._node.watchers[1:])


def test_a_wait_ends_when_the_broker_is_stopped() -> None:
    broker = Broker().start()
    begun = threading.Event()

    def never() -> bool:
        begun.set()
        return False

    def stop() -> None:
        begun.wait()
        broker.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(Stopped):
        broker.wait_until(never, timeout=60)
    thread.join()


def test_a_call_before_the_start_says_so() -> None:
    broker = Broker()
    with pytest.raises(Stopped, match="call start"):
        broker.wait_until(lambda: True)
    with pytest.raises(Stopped, match="no port before it is started"):
        assert broker.url


def test_a_forked_child_holds_no_sockets_of_the_broker() -> None:
    with Broker() as broker, socket.create_connection((broker.host, broker.port)) as client:
        broker._node.call(lambda: None)
        release, hold = os.pipe()
        forked, begun = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(begun, b"x")
            os.read(release, 1)  # the child outlives the broker
            os._exit(0)
        os.read(forked, 1)
        broker.stop()
        try:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((broker.host, broker._node.port))
            client.settimeout(HANG_SECONDS)
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
        finally:
            os.write(hold, b"x")
            os.waitpid(child, 0)
            for end in (release, hold, forked, begun):
                os.close(end)


def test_replaced_time_functions_do_not_move_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    with Broker() as broker:
        before = broker.clock.time()
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: 3_000_000_000.0)
            patch.setattr(time, "monotonic", lambda: 3_000_000_000.0)
            assert before <= broker.clock.time() < before + 60


def generated(seed: int) -> list[object]:
    """Return what a broker generates: names of queues, consumer tags, reply addresses, and what x-random chooses."""
    queues = [{"name": name} for name in ("a", "b", "c")]
    bindings = [{"source": "any", "destination": one["name"], "routing_key": ""} for one in queues]
    exchanges = [{"name": "any", "type": "x-random"}]
    with (
        Broker(
            seed=seed, definitions={"queues": queues, "exchanges": exchanges, "bindings": bindings}
        ) as broker,
        connect(broker) as connection,
    ):
        channel = connection.channel()
        name = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_consume("amq.rabbitmq.reply-to", lambda *delivery: None, auto_ack=True)
        for _ in range(10):
            channel.basic_publish("any", "", b"")
        replies = broker._node.call(lambda: list(broker._node.engine.reply_addresses))
        return [name, replies, [message.queues for message in broker.published("any")]]


def test_the_seed_is_of_all_that_is_random() -> None:
    first = generated(1)
    assert first == generated(1) and first != generated(2)


def test_a_generated_name_is_new_although_the_seed_and_the_data_are_old(tmp_path: Path) -> None:
    names = set()
    for _ in range(2):
        with Broker(data=tmp_path) as broker, connect(broker) as connection:
            names.add(connection.channel().queue_declare("", durable=True).method.queue)
            assert len(broker.queues) == len(names)
    assert len(names) == 2


DATACLASSES = """
import dataclasses

made, real = [], dataclasses.dataclass

def dataclass(cls=None, /, **options):
    if cls is None:
        return lambda cls: dataclass(cls, **options)
    made.append(cls.__name__)
    return real(cls, **options)

dataclasses.dataclass = dataclass
from leveret.testing import Broker
print(*sorted(made))
"""


def test_the_import_of_a_broker_makes_few_dataclasses() -> None:
    """Each takes 0.4 ms, a msgspec Struct 0.01 ms; the import is to take 80 ms."""
    environ = {**os.environ, "LEVERET_PURE": "1"}
    command = [sys.executable, "-c", "import pika, pytest" + DATACLASSES]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    assert done.stdout.split() == ["Death", "Declaration", "User"]


def test_every_public_name_can_be_imported() -> None:
    for name in leveret.testing.__all__:
        assert inspect.isclass(getattr(leveret.testing, name)), name
    with pytest.raises(AttributeError, match="no attribute 'Brokr'"):
        leveret.testing.Brokr  # noqa: B018
