"""Recordings, and playing them again."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.testing import Broker, Recording, ReplayMismatch, ToolkitError
from leveret.testing.messages import PublishedMessage
from tests.hang import HANG_SECONDS
from tests.toolkit.random_topologies import (
    TOTAL_MS,
    Client,
    Get,
    Operation,
    Topology,
    alive,
    contents,
    family,
    operations,
    topologies,
)

from .conftest import connect


def talk(broker: Broker) -> None:
    """Two clients: generated names, confirms, a return, a delivery, an error."""
    with connect(broker, "one") as one, connect(broker, "two") as two:
        publisher, consumer = one.channel(), two.channel()
        queue = consumer.queue_declare("", exclusive=True).method.queue
        publisher.confirm_delivery()
        for number in range(5):
            publisher.basic_publish(
                "", queue, f"{number}".encode(), pika.BasicProperties(headers={"n": number})
            )
        with pytest.raises(pika.exceptions.UnroutableError):
            publisher.basic_publish("", "nowhere", b"x", mandatory=True)
        for number, (method, _, body) in enumerate(
            consumer.consume(queue, inactivity_timeout=HANG_SECONDS), 1
        ):
            assert body == f"{number - 1}".encode()
            consumer.basic_ack(method.delivery_tag)
            if number == 5:
                break
        consumer.cancel()
        with pytest.raises(pika.exceptions.ChannelClosedByBroker):
            publisher.queue_declare("nothing", passive=True)


@pytest.fixture
def talked(broker: Broker, tmp_path: Path) -> Path:
    with broker.record(tmp_path / "talk.jsonl"):
        talk(broker)
    return tmp_path / "talk.jsonl"


def outcome(broker: Broker) -> list[tuple[Any, ...]]:
    return [
        (one.body, one.headers, one.outcome(), one.confirmed, [event.kind for event in one.events])
        for one in broker.published()
    ]


def test_each_frame_is_a_line_without_credentials(talked: Path) -> None:
    lines = Recording.load(talked).lines
    methods = [line["method"] for line in lines if line["connection"] == 1]
    assert methods[:3] == ["protocol-header", "connection.start", "connection.start-ok"]
    assert {"basic.publish", "content-header", "content-body", "basic.return", "channel.close"} <= set(
        methods
    )
    assert "guest" not in json.dumps([line for line in lines if line["method"] == "connection.start-ok"])
    assert {line["from"] for line in lines} == {"client", "server"}
    body = next(line for line in lines if line["method"] == "content-body")
    assert body["body"] == "0" and body["channel"] == 1


def test_a_replay_gives_the_same_history(broker: Broker, talked: Path) -> None:
    before = outcome(broker)
    with Broker() as other:
        replay = other.replay(talked)
        assert outcome(other) == before and len(before) == 6
        assert replay.sent > 30 and replay.compared > 20
    broker.history.clear()
    broker.replay(talked, speed=1000.0)
    assert outcome(broker) == before


def test_another_answer_is_a_mismatch_with_the_dialogue(talked: Path) -> None:
    with Broker() as broker:
        broker.declare({"queues": [{"name": "nothing"}]})
        with pytest.raises(ReplayMismatch) as caught:
            broker.replay(talked)
    text = str(caught.value)
    assert "the broker has said something else" in text
    assert "-> channel 1 queue.declare(" in text
    assert "- connection 1 <- channel 1 channel.close(reply_code=404" in text
    assert "+ connection 1 <- channel 1 queue.declare-ok(queue='nothing'" in text


def test_without_comparison_only_the_order_counts(talked: Path) -> None:
    with Broker() as broker:
        broker.declare({"queues": [{"name": "nothing"}]})
        broker.replay(talked, compare=False)
        assert len(broker.published()) == 6


def test_bodies_are_redacted(broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    with broker.record(path, redact=lambda body: b"secret"):
        talk(broker)
    assert {line["body"] for line in Recording.load(path).lines if "body" in line} == {"s"}


def test_delays_are_played_in_virtual_time(broker: Broker, tmp_path: Path) -> None:
    broker.clock.freeze()
    with broker.record(tmp_path / "r"), connect(broker) as connection:
        channel = connection.channel()
        channel.queue_declare("dead", exclusive=True)
        arguments = {
            "x-message-ttl": 86_400_000,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "dead",
        }
        channel.queue_declare("wait", exclusive=True, arguments=arguments)
        channel.basic_publish("", "wait", b"x")
        broker.clock.advance(86_400)
        assert channel.basic_get("dead", auto_ack=True)[1].headers["x-death"][0]["reason"] == "expired"
    with Broker() as other:
        assert other.replay(tmp_path / "r").took < 86_400
        assert other.dead_lettered("wait").one().body == b"x"


@pytest.mark.parametrize(
    ("text", "error"),
    [("{", "r:1 is not JSON"), ('{"at": 1}', "r:1 is no line of a recording: it has no 'channel'")],
)
def test_other_files_are_no_recordings(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "r").write_text(text)
    with pytest.raises(ToolkitError, match=error):
        Recording.load(tmp_path / "r")


@given(topologies, st.lists(st.one_of(operations, st.integers(1, TOTAL_MS)), max_size=16))
def test_any_dialogue_gives_the_same_history_again(
    tmp_path_factory: pytest.TempPathFactory, topology: Topology, said: list[Operation | int]
) -> None:
    """Numbers are ms by which the clock is moved."""
    path = tmp_path_factory.mktemp("talk") / "r"
    with Broker(clock="frozen") as broker:
        began = broker.clock.now
        with broker.record(path), connect(broker) as connection:
            client = Client(connection.channel())
            topology.declare(client.channel)
            for each in said:
                if isinstance(each, int):
                    broker.clock.advance(each / 1000, patience=0)
                elif not isinstance(each, Get) or each.queue in alive(broker):
                    client.do(each)
        before = [story(message, began) for message in family(broker.published())]
        left = contents(broker, began)
    with Broker(clock="frozen") as other:
        began = other.clock.now
        other.replay(path)
        assert [story(message, began) for message in family(other.published())] == before
        assert contents(other, began) == left


def story(message: PublishedMessage, began: datetime) -> tuple[Any, ...]:
    """Return what a message is and what has become of it, with times from a beginning."""
    events = [
        (event.kind, event.at - began, event.queue, event.channel, event.tag, event.reason)
        for event in message.events
    ]
    where = message.exchange, message.routing_key, message.body, message.queues, message.at - began
    return (*where, message.confirmed, message.outcome(), events)
