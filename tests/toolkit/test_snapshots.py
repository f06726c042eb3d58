"""Snapshots and restarts."""

from __future__ import annotations

import base64
import errno
import itertools
import json
import socket
import threading
from collections import Counter
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.adapters.blocking_connection import BlockingChannel

from leveret.testing import Broker, Snapshot, ToolkitError, Unsupported, plugin
from leveret.testing.messages import PublishedMessage
from tests.hang import HANG_SECONDS
from tests.toolkit.random_topologies import (
    TOTAL_MS,
    Client,
    Operation,
    Topology,
    contents,
    family,
    operations,
    topologies,
)

from .conftest import connect

TOPOLOGY = {
    "users": [{"name": "bob", "password": "x", "tags": "administrator"}],
    "vhosts": [{"name": "/"}, {"name": "other"}],
    "permissions": [{"user": "bob", "vhost": "other", "configure": "a", "write": "b", "read": "c"}],
    "exchanges": [
        {"name": "x", "type": "topic", "vhost": "/", "arguments": {"alternate-exchange": "amq.fanout"}},
        {"name": "fleeting", "type": "fanout", "vhost": "/", "durable": False},
        {
            "name": "later",
            "type": "x-delayed-message",
            "vhost": "/",
            "arguments": {"x-delayed-type": "direct"},
        },
    ],
    "queues": [
        {"name": "classic", "vhost": "/", "arguments": {"x-max-priority": 3}},
        {"name": "quorum", "vhost": "/", "type": "quorum"},
        {"name": "stream", "vhost": "/", "type": "stream"},
        {"name": "fleeting", "vhost": "/", "durable": False},
        {"name": "expires", "vhost": "/", "arguments": {"x-expires": 600_000}},
        {"name": "q", "vhost": "other"},
    ],
    "bindings": [
        {"source": "x", "destination": "classic", "routing_key": "#", "vhost": "/"},
        {"source": "x", "destination": "fleeting", "destination_type": "exchange", "vhost": "/"},
        {"source": "amq.direct", "destination": "quorum", "routing_key": "k", "vhost": "/"},
    ],
    "policies": [{"name": "p", "pattern": "^c", "definition": {"max-length": 50}, "vhost": "/"}],
}

QUEUES = ("classic", "quorum", "stream", "fleeting")


def bodies(broker: Broker, queue: str) -> list[tuple[bytes, bool]]:
    return [(one.body, one.redelivered) for one in broker.messages(queue)]


def test_everything_is_restored(broker: Broker, tmp_path: Path) -> None:
    broker.declare(TOPOLOGY)
    with connect(broker) as connection:
        channel = connection.channel()
        for number in range(5):
            properties = pika.BasicProperties(priority=number % 3, headers={"n": number}, delivery_mode=2)
            for queue in QUEUES:
                channel.basic_publish("", queue, f"{number}".encode(), properties)
        properties = pika.BasicProperties(headers={"x-delay": 600_000})
        channel.basic_publish("later", "classic", b"later", properties)
        channel.basic_get("classic")
        channel.basic_get("quorum")
        before = broker.snapshot()
    broker.snapshot().save(tmp_path / "snapshot.jsonl")
    broker.reset()
    broker.restore(before)
    assert broker.snapshot() == before and "messages" in repr(before)
    back = [(b"0", False), (b"1", False), (b"2", True), (b"3", False), (b"4", False)]
    assert bodies(broker, "classic") == back and sorted(bodies(broker, "quorum")) == back
    with connect(broker) as connection:
        channel = connection.channel()
        assert channel.basic_get("classic", auto_ack=True)[2] == b"2"
        channel.basic_qos(prefetch_count=10)
        found = []
        arguments = {"x-stream-offset": "first"}
        for method, _, body in channel.consume(
            "stream", arguments=arguments, inactivity_timeout=HANG_SECONDS
        ):
            found.append(body)
            channel.basic_ack(method.delivery_tag)
            if len(found) == 5:
                break
        assert found == [b"0", b"1", b"2", b"3", b"4"]
        channel.cancel()
    assert Snapshot.load(tmp_path / "snapshot.jsonl") == before


def test_a_frozen_clock_is_restored_and_a_reset_makes_it_real(broker: Broker) -> None:
    broker.clock.freeze()
    broker.declare({"queues": [{"name": "q", "arguments": {"x-message-ttl": 1000}}]})
    broker.publish("", "q", "x")
    before, began = broker.snapshot(), broker.clock.now
    broker.clock.advance(5000)
    assert broker.queues["q"].ready == 0
    broker.restore(before)
    assert broker.clock.now == began and broker.queues["q"].ready == 1
    broker.clock.advance(1)
    assert broker.queues["q"].ready == 0
    broker.reset(keep={"clock"})
    assert broker.clock.frozen
    broker.reset()
    assert not broker.clock.frozen


def test_a_snapshot_fits_another_broker(broker: Broker, tmp_path: Path) -> None:
    broker.declare(TOPOLOGY)
    broker.publish("", "classic", "x")
    broker.snapshot().save(tmp_path / "s")
    with Broker() as other:
        other.restore(Snapshot.load(tmp_path / "s"))
        assert other.snapshot() == broker.snapshot()
        assert bodies(other, "classic") == [(b"x", False)]
        bob = other.url.replace("guest:guest", "bob:x").replace("%2F", "other")
        pika.BlockingConnection(pika.URLParameters(bob)).close()


def test_the_snapshot_of_a_view_is_of_its_virtual_host(broker: Broker) -> None:
    with broker.vhost() as view:
        view.declare({"queues": [{"name": "q"}]})
        view.publish("", "q", "1")
        snapshot = view.snapshot()
        view.publish("", "q", "2")
        view.restore(snapshot)
        assert bodies(view, "q") == [(b"1", False)]
        with pytest.raises(
            ToolkitError, match="this is the whole broker, and the snapshot is of a virtual host"
        ):
            broker.restore(snapshot)


def test_two_snapshots_say_in_what_they_differ(broker: Broker) -> None:
    """Pytest shows it for an assertion."""
    broker.declare(TOPOLOGY)
    broker.publish("", "classic", {"id": 1})
    broker.publish("", "stream", "x")
    before = broker.snapshot()
    broker.reset()
    bindings = [{**one, "arguments": {"a": 1}} for one in TOPOLOGY["bindings"]]
    broker.declare({**TOPOLOGY, "bindings": bindings, "policies": []})
    broker.publish("", "classic", {"id": 2})
    broker.publish("", "stream", "y")
    after = broker.snapshot()
    found = plugin.pytest_assertrepr_compare("==", after, before)
    assert found is not None and "only on the right: policies: name='p' in vhost '/'" in found
    assert "only on the left: message of 'classic' in vhost '/': body b'{\"id\": 2}'" in found
    assert "only on the right: message of 'classic' in vhost '/': body b'{\"id\": 1}'" in found
    assert "records of stream 'stream' in vhost '/': chunks differ" in found
    assert "binding of queue 'classic' to 'x' in vhost '/': arguments differ" in found
    assert plugin.pytest_assertrepr_compare("==", after, 1) is None


#: The first line of a snapshot.
HEAD = '{"kind": "snapshot", "version": 2, "vhost": null, "profile": "4.3", "now": 0, "frozen": false}\n'


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x", "is not a snapshot: Expecting value"),
        ("[]", "its first line"),
        ('{"kind": "snapshot"}', "of version None"),
        ('{"kind": "snapshot", "version": 2}', "missing required field `vhost`"),
        (HEAD + "1", "Expected `object`, got `int`"),
        (HEAD + "{}", "missing required field `kind`"),
        (HEAD + '{"kind": "?"}', "Invalid value '?'"),
        (HEAD + '{"kind": "exchange", "vhost": "/"}', "missing required field `name`"),
        (HEAD + '{"kind": "definition", "section": "queues", "name": "q"}', "no section 'queues'"),
    ],
)
def test_other_files_are_no_snapshots(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "s").write_text(text)
    with pytest.raises(ToolkitError, match=error):
        Snapshot.load(tmp_path / "s")


# --- restart


def test_what_is_durable_outlives_a_restart(broker: Broker) -> None:
    broker.declare(TOPOLOGY)
    connection = connect(broker)
    channel = connection.channel()
    for queue in QUEUES:
        channel.basic_publish("", queue, b"persistent", pika.BasicProperties(delivery_mode=2))
        channel.basic_publish("", queue, b"transient")
    channel.basic_get("classic")
    channel.queue_declare("mine", exclusive=True)
    broker.restart()
    assert (
        set(broker.queues) == {"classic", "quorum", "stream", "expires"}
        and "fleeting" not in broker.exchanges
    )
    assert bodies(broker, "classic") == [(b"persistent", True)]
    assert bodies(broker, "quorum") == [(b"persistent", False), (b"transient", False)]
    assert broker.queues["stream"].ready == 2
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="shutdown"):
        connection.sleep(HANG_SECONDS)
    with connect(broker) as again:
        assert again.channel().basic_get("classic", auto_ack=True)[2] == b"persistent"
    broker.restart(keep=False)
    assert not broker.queues


def test_the_port_refuses_while_the_node_is_down(broker: Broker) -> None:
    address = broker.host, broker.port
    thread = threading.Thread(target=lambda: broker.restart(down=1))
    thread.start()
    refused = False
    while thread.is_alive() and not refused:
        with socket.socket() as client:
            refused = client.connect_ex(address) == errno.ECONNREFUSED
            # One connection at a time: with a full backlog, the next one would wait a second for an answer.
            with suppress(OSError):
                client.sendall(b"no AMQP!")
                client.recv(8)
    thread.join()
    assert refused
    connect(broker).close()


def test_a_data_directory_is_kept_between_brokers_and_restarts(tmp_path: Path) -> None:
    for _ in range(2):
        with Broker(data=tmp_path / "data") as broker:
            if not broker.queues:
                broker.declare(TOPOLOGY)
                for queue in QUEUES:
                    broker.publish("", queue, "persistent", delivery_mode=2)
            broker.restart()
            assert set(broker.queues) == {"classic", "quorum", "stream", "expires"}
            assert bodies(broker, "classic") == [(b"persistent", False)]
            assert broker.queues["stream"].ready == 1
            with connect(broker) as connection:
                connection.channel().queue_declare("classic", passive=True)


def test_a_snapshot_is_restored_into_a_data_directory(tmp_path: Path) -> None:
    with Broker(data=tmp_path / "data") as broker:
        broker.declare({"queues": [{"name": "q"}, {"name": "quorum", "type": "quorum"}]})
        for queue in ("q", "quorum"):
            broker.publish("", queue, "persistent", delivery_mode=2)
        before = broker.snapshot()
        broker.reset()
        broker.restore(before)
        broker.restart()
        assert bodies(broker, "q") == bodies(broker, "quorum") == [(b"persistent", False)]
        broker.restart(keep=False)
        assert not broker.queues


def read_stream(broker: Broker, offset: str | int, wanted: str | None = None) -> list[tuple[int, bytes]]:
    """Consume a stream up to the record "end"; returns offsets and bodies. `wanted`: value of a filter."""
    found: list[tuple[int, bytes]] = []

    def take(channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        found.append(((properties.headers or {})["x-stream-offset"], body))
        channel.basic_ack(method.delivery_tag)

    with connect(broker) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1000)
        arguments: dict[str, Any] = {"x-stream-offset": offset} | (
            {"x-stream-filter": wanted} if wanted else {}
        )
        channel.basic_consume("stream", take, arguments=arguments)
        while not found or found[-1][1] != b"end":
            connection.process_data_events(HANG_SECONDS)
    return found


def fill_stream(broker: Broker) -> None:
    """Publish two records a chunk, until the oldest segments are dropped."""
    arguments = {"x-max-length-bytes": 6000, "x-stream-max-segment-size-bytes": 2000}
    broker.declare({"queues": [{"name": "stream", "type": "stream", "arguments": arguments}]})

    def publish(number: int) -> None:
        headers = {"x-stream-filter-value": "odd"} if number % 2 else {}
        for part in ("first", "second"):
            broker.publish("", "stream", f"{part} {number} {300 * '.'}", headers=headers, type=part)

    for number in range(20):
        broker._node.call(lambda number=number: publish(number))
    broker.publish("", "stream", "end", headers={"x-stream-filter-value": "odd"}, type="end")


@pytest.mark.parametrize("before", [False, True], ids=["from memory", "from a data directory"])
@pytest.mark.parametrize("after", [False, True], ids=["into memory", "into a data directory"])
def test_streams_are_restored(tmp_path: Path, before: bool, after: bool) -> None:
    """With offsets, chunks, filters, segments, properties; and they go on."""
    with Broker(data=tmp_path / "before" if before else None) as broker:
        fill_stream(broker)
        snapshot, whole = broker.snapshot(), read_stream(broker, "first")
        odd, last = read_stream(broker, "first", "odd"), read_stream(broker, "last")
    assert whole[0][0] > 0 and len(whole) > len(odd) > 3 and len(last) == 1
    snapshot.save(tmp_path / "snapshot")
    with Broker(data=tmp_path / "after" if after else None) as other:
        other.declare({"queues": [{"name": "stream", "type": "stream"}]})
        other.restore(Snapshot.load(tmp_path / "snapshot"))
        assert other.snapshot() == snapshot
        for _ in range(2):
            assert other.queues["stream"].ready == len(whole)
            assert read_stream(other, "first") == whole
            assert read_stream(other, "first", "odd") == odd
            assert read_stream(other, "last") == last
            types = [str(message.properties.type) for message in other.messages("stream")]
            assert types == [body.split(b" ")[0].decode() for _, body in whole]
            other.restart()
        other.publish("", "stream", "end")
        following = whole[-1][0] + 1
        assert read_stream(other, following) == [(following, b"end")]


def test_a_stream_is_restored_as_a_whole_when_no_job_ends_in_its_turn() -> None:
    """As on a busy machine: policies that are applied later would drop the oldest segment."""
    with Broker() as broker:
        fill_stream(broker)
        whole = broker.messages("stream")
        snapshot = broker.snapshot()
        work = broker._scope.engine.work
        work.timer = itertools.count().__next__  # a second passes whenever somebody looks
        broker.restore(snapshot)
        assert broker.messages("stream") == whole
        broker.restart()
        assert broker.messages("stream") == whole


def test_a_stream_that_was_restored_drops_its_oldest_segments_again(tmp_path: Path) -> None:
    with Broker(data=tmp_path) as broker:
        fill_stream(broker)
        broker.restore(broker.snapshot())
        broker.restart()
        fill_stream(broker)
        found = broker.messages("stream")
        assert found[0].position > 40 and found[-1].position == 81


def publish_task(broker: Broker, queue: str, after: timedelta, *, delivery_mode: int = 2) -> None:
    """Publish what Celery sends for a countdown."""
    with connect(broker) as connection:
        eta = (datetime.now(UTC) + after).isoformat()
        properties = pika.BasicProperties(headers={"eta": eta, "task": "t"}, delivery_mode=delivery_mode)
        connection.channel().basic_publish("", queue, b"task", properties)


def test_tasks_that_wait_for_their_eta_are_restored(broker: Broker, tmp_path: Path) -> None:
    broker.clock.freeze()
    broker.clock.hold_eta = True
    broker.declare({"queues": [{"name": "celery"}, {"name": "other"}]})
    publish_task(broker, "celery", timedelta(hours=2))
    publish_task(broker, "other", timedelta(hours=1))
    before, due = broker.snapshot(), broker.clock.due()
    before.save(tmp_path / "snapshot")
    broker.reset()
    assert broker.clock.due() == []
    broker.restore(Snapshot.load(tmp_path / "snapshot"))
    assert broker.snapshot() == before and broker.clock.due() == due
    broker.clock.advance(timedelta(hours=1, minutes=1))
    assert (broker.queues["celery"].ready, broker.queues["other"].ready) == (0, 1)
    broker.clock.run_until_idle(quiet=0)
    (task,) = broker.messages("celery")
    assert (task.body, task.headers) == (b"task", {"task": "t"})


def test_a_broker_with_a_data_directory_holds_tasks_again_after_a_restart(tmp_path: Path) -> None:
    with Broker(data=tmp_path) as broker:
        broker.clock.hold_eta = True
        broker.declare({"queues": [{"name": "celery"}]})
        publish_task(broker, "celery", timedelta(hours=1))
        due = broker.clock.due()
        broker.restart()
        assert broker.clock.due() == due and len(due) == 1
        broker.clock.advance(timedelta(hours=1))
        assert broker.queues["celery"].ready == 1


def test_persistent_tasks_outlive_a_restart_and_nothing_else_does(broker: Broker) -> None:
    broker.clock.freeze()
    broker.clock.hold_eta = True
    broker.declare({"queues": [{"name": "celery"}, {"name": "fleeting", "durable": False}]})
    publish_task(broker, "celery", timedelta(hours=1))
    publish_task(broker, "celery", timedelta(hours=1), delivery_mode=1)
    publish_task(broker, "fleeting", timedelta(hours=1))
    broker.restart()
    assert len(broker.clock.due()) == 1
    broker.clock.run_until_idle(quiet=0)
    assert broker.queues["celery"].ready == 1
    publish_task(broker, "celery", timedelta(hours=1))
    broker.reset(keep={"topology"})
    assert broker.clock.due() == []


async def test_a_restart_is_a_coroutine_on_the_other_face(broker: Broker) -> None:
    broker.declare(TOPOLOGY)
    await broker.aio.restart()
    assert "fleeting" not in broker.queues and "classic" in broker.queues


def test_a_view_does_not_restart(broker: Broker) -> None:
    with broker.vhost() as view, pytest.raises(Unsupported, match="whole broker"):
        view.restart()


# --- any state


@given(topologies, st.lists(operations, max_size=25), st.integers(0, TOTAL_MS))
def test_a_restored_snapshot_is_the_same_snapshot(
    topology: Topology, said: list[Operation], passed: int
) -> None:
    with Broker(definitions=TOPOLOGY, clock="frozen") as broker:
        connection = connect(broker)
        client = Client(connection.channel())
        topology.declare(client.channel)
        client.channel.basic_publish("", "stream", b"kept")
        for operation in said:
            client.do(operation)
        broker.clock.advance(passed / 1000, patience=0)
        before = broker.snapshot()
        left = contents(broker, broker.clock.now)
        for _ in range(2):
            broker.restore(before)
            assert broker.snapshot() == before
        assert contents(broker, broker.clock.now).keys() == left.keys()
        with suppress(pika.exceptions.AMQPError):
            connection.close()


@given(topologies, st.lists(operations, max_size=25), st.integers(0, TOTAL_MS))
def test_history_and_counters_agree(topology: Topology, said: list[Operation], passed: int) -> None:
    """Those of queues, of the virtual host, and of the HTTP API."""
    with Broker(clock="frozen") as broker, connect(broker) as connection:
        client = Client(connection.channel())
        topology.declare(client.channel)
        for operation in said:
            client.do(operation)
        broker.clock.advance(passed / 1000, patience=0)
        published = broker.published()
        every = family(published)
        assert len(published) == client.published
        counts = {name: Counter(ways(every, name)) for name in broker.queues}
        for name, queue in broker.queues.items():
            assert queue.ready == counts[name]["ready"] + counts[name]["requeued"]
            assert queue.unacked == counts[name]["unacked"]
            acked = broker._node.call(lambda name=name: broker._scope.vhost().queues[name].acked)
            assert acked == counts[name]["acked"]
        overview = get(f"{broker.http_url}/api/overview")
        totals, stats = overview["queue_totals"], overview.get("message_stats", {})
        assert totals["messages_ready"] == sum(queue.ready for queue in broker.queues.values())
        assert totals["messages_unacknowledged"] == sum(queue.unacked for queue in broker.queues.values())
        assert stats.get("publish", 0) == len(published)
        assert stats.get("return_unroutable", 0) == len(broker.returned())
        homeless = [
            one for one in published if {"unroutable", "delayed"} & {event.kind for event in one.events}
        ]
        dropped = [one for one in homeless if not one.was_returned]
        assert stats.get("drop_unroutable", 0) == len(dropped)
        events = Counter(event.kind for event in broker.history.events())
        assert stats.get("get", 0) == events["got"] and stats.get("ack", 0) == events["acked"]


def get(url: str) -> Any:
    """Return a JSON document. `url`: with user and password."""
    parts = urlsplit(url)
    there = HTTPConnection(parts.hostname or "", parts.port, timeout=HANG_SECONDS)
    login = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    with closing(there):
        there.request("GET", parts.path, headers={"Authorization": f"Basic {login}"})
        return json.load(there.getresponse())


def ways(messages: list[PublishedMessage], queue: str) -> list[str]:
    """Return what has become of messages in a queue."""
    return [message.outcome(queue) for message in messages if queue in message.queues]
