"""Faults: unexpected exceptions are counted, logged once for each kind, and affect nobody but their owner."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from pamqp.commands import Basic, Confirm, Exchange, Queue

from leveret.clock import Clock
from leveret.engine.catalogue import Kind
from leveret.faults import LOG_INTERVAL_MS, MAX_KINDS, Fault, Faults, context_of
from leveret.server.log import write_fault
from leveret.testing.playbook import Playbook, publish, say
from leveret.wire.methods import method_frame
from leveret.wire.properties import Properties, encode_properties
from leveret.wire.tables import Field
from tests.faults.test_isolation import Victim, directory, table
from tests.faults.test_poison import VERSIONS
from tests.faults.world import World
from tests.stores.harness import DiskHarness, message

__all__ = ["directory"]

DECIMAL = Field("D", (2, 314))


def faults() -> tuple[Faults, list[Fault], Clock]:
    clock = Clock(1_000_000)
    made, written = Faults(clock), list[Fault]()
    made.write = written.append
    return made, written, clock


def fail() -> None:
    raise RuntimeError("no")


# --- the mechanism


def test_a_repeated_fault_is_logged_once_per_interval() -> None:
    made, written, clock = faults()
    for _ in range(1000):
        assert not made.guard("timer", fail, queue="q")
    assert made.guard("timer", lambda: None)
    assert made.errors == {"timer": 1000}
    assert [str(fault) for fault in written] == ["internal error in timer (queue: q)"]
    clock.now += LOG_INTERVAL_MS
    made.guard("timer", fail)
    assert str(written[1]) == "internal error in timer (and 999 more of the kind before)"


def test_faults_of_different_kinds_are_all_logged() -> None:
    made, written, _ = faults()
    made.report("timer", ValueError())
    made.report("timer", KeyError())
    made.report("flush", KeyError())
    made.drop("delayed message", ValueError("a"))
    made.drop("delayed message", ValueError("b"))
    assert len(written) == 5
    assert made.errors == {"timer": 2, "flush": 1} and made.drops == {"delayed message": 2}


def test_the_number_of_known_kinds_is_bounded() -> None:
    made, written, _ = faults()
    for number in range(2 * MAX_KINDS):
        made.drop("delayed message", ValueError(str(number)))
    assert len(written) == 2 * MAX_KINDS and len(made._written) == MAX_KINDS


def test_a_failing_log_is_counted() -> None:
    made, _, _ = faults()
    made.write = lambda fault: fail()
    made.report("timer", ValueError())
    assert made.errors == {"timer": 1, "log": 1}


def test_a_fault_names_the_call_and_its_queue() -> None:
    owner = SimpleNamespace(queue=SimpleNamespace(kind="quorum", name="q", vhost="/"))
    call: Any = SimpleNamespace(__self__=owner, __qualname__="Delays._look")
    assert context_of(call) == {"call": "Delays._look", "queue": "q", "vhost": "/"}
    assert context_of(fail) == {"call": "fail"}


def test_faults_are_errors_and_drops_are_warnings_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("leveret").propagate = True
    caplog.set_level(logging.INFO, "leveret")  # Celery's workers in other tests set the level of all loggers
    made, _, _ = faults()
    made.write = write_fault
    made.guard("timer", fail, queue="q")
    made.drop("delayed message", ValueError("a stream cannot keep a decimal"), vhost="/")
    error, warning = caplog.records
    assert error.getMessage() == "internal error in timer (queue: q)" and error.exc_info
    assert (
        warning.getMessage()
        == "message dropped by delayed message (vhost: /): a stream cannot keep a decimal"
    )
    assert (error.levelname, warning.levelname, warning.exc_info) == ("ERROR", "WARNING", None)


# --- one connection


def test_a_connection_that_cannot_send_is_dropped(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(directory)
    victim = Victim(world)
    broken = world.connect("broken")
    send = type(broken.protocol).send

    def sending(protocol: Any) -> None:
        if protocol is broken.protocol:
            fail()
        send(protocol)

    monkeypatch.setattr(type(broken.protocol), "send", sending)
    broken.feed(method_frame(1, Queue.Declare, queue="q"))
    world.loop.run(10)
    assert broken.lost and broken.protocol.connection not in world.broker.connections
    assert len(world.written) == 1 and world.broker.faults.errors == {"flush": 2}
    victim.is_served()


def test_a_fault_in_an_http_request_or_scrape_is_a_500(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(directory)
    assert world.get("/api/queues").status == 200
    monkeypatch.setattr(world.http.site.stats, "queues", fail)
    assert world.get("/metrics", scrape=True).status == 500
    monkeypatch.undo()
    monkeypatch.setattr(world.http, "site", msgspec.structs.replace(world.http.site, settled=fail))
    assert world.get("/api/queues/%2F/q", "PUT", body=b"{}").status == 500
    monkeypatch.undo()
    lines = world.get("/metrics", scrape=True).body.decode().splitlines()
    assert 'leveret_internal_errors_total{where="metrics"} 1' in lines
    assert 'leveret_internal_errors_total{where="http"} 1' in lines


def test_objects_that_cannot_be_shown_as_json_do_not_hide_others(directory: Path) -> None:
    world = World(directory)
    odd = {
        "\udcfd": Field("S", b"\xfc"),
        "dec": DECIMAL,
        "void": Field("V", None),
        "when": Field("T", (1 << 64) - 1),
    }
    who = world.connect("odd")
    for octets in (
        method_frame(1, Queue.Declare, queue="odd", arguments=odd),
        method_frame(1, Exchange.Declare, exchange="odd", exchange_type="topic", arguments=odd),
        method_frame(1, Queue.Bind, queue="odd", exchange="odd", arguments=odd),
        method_frame(1, Basic.Consume, queue="odd", arguments=odd),
    ):
        who.feed(octets)
    who.protocol.connection.client_properties = odd
    world.loop.run(10)
    assert world.broker.vhosts["/"].queues["odd"].arguments
    for path in (
        "/api/queues",
        "/api/bindings",
        "/api/overview",
        "/api/exchanges",
        "/api/lint",
        "/api/connections",
    ):
        assert world.get(path).status in (200, 404), path
    for path in ("/metrics", "/metrics/per-object", "/metrics/detailed?family=queue_coarse_metrics"):
        assert world.get(path, scrape=True).status == 200, path


# --- messages that cannot be delivered


def test_a_decimal_for_a_stream_is_refused_at_once_or_dropped_later(play: Playbook) -> None:
    """Published to a stream: 541, as in RabbitMQ 3.10 and 4.3. Delayed before: dropped, and other messages are not
    affected."""
    odd = {"x-delay": Field("l", 300), "dec": DECIMAL}
    assert (
        play
        >> [
            say(
                Exchange.Declare,
                exchange="later",
                exchange_type="x-delayed-message",
                arguments=table(delayed_type="fanout"),
                nowait=True,
            ),
            say(Queue.Declare, queue="s", durable=True, arguments=table(queue_type="stream"), nowait=True),
            say(Queue.Declare, queue="c", nowait=True),
            say(Queue.Bind, queue="s", exchange="later", nowait=True),
            say(Queue.Bind, queue="c", exchange="later", nowait=True),
            say(Confirm.Select),
        ]
        << say(Confirm.SelectOk)
        >> [
            *publish(b"1", "k", exchange="later", headers=odd),
            *publish(b"2", "k", exchange="later", headers={"x-delay": Field("l", 400)}),
        ]
        << say(Basic.Ack, delivery_tag=2, multiple=True)
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_delayed_and_dead_lettered_decimals_for_a_stream_are_dropped(version: str) -> None:
    from tests.faults.test_poison import FaultClient

    client = FaultClient(version)
    dropped: list[Fault] = []
    client.broker.faults.write = dropped.append
    headers = {"x-delay": Field("l", 50), "x-odd": DECIMAL}
    client.attack("delayed", "k", {"headers": headers, "message_id": "m1"})
    client.attack("", "dies-classic", {"headers": {"dec": DECIMAL}})
    client.advance(1000)
    streams = client.broker.vhosts["/"].queues["stream"]
    assert streams.ready == 0 and client.broker.vhosts["/"].queues["classic"].ready == 2
    assert [(fault.place, fault.dropped) for fault in dropped] == [
        ("dead lettering", True),
        ("delayed message", True),
    ]
    assert "a stream cannot keep a decimal" in str(dropped[1]) and dropped[1].context["message_id"] == "m1"
    assert client.broker.faults.drops == {"delayed message": 1, "dead lettering": 1}
    client.everything_works()


def test_a_message_that_cannot_be_published_is_removed_from_the_store(tmp_path: Path) -> None:
    harness = DiskHarness(tmp_path / "data")
    vhost = harness.vhost
    later = vhost.declare_exchange(
        "later",
        "x-delayed-message",
        durable=True,
        auto_delete=False,
        internal=False,
        arguments=table(delayed_type="fanout"),
        user="guest",
    )
    vhost.bind(later, harness.declare("s", queue_type="stream"), "", {})
    properties = Properties(headers={"x-delay": Field("l", 300), "dec": DECIMAL}, delivery_mode=2)
    made = message(b"boom")
    from leveret.queues.message import frame_content

    made.exchange = b"later"
    made.content, made.head = frame_content(encode_properties(properties, 4), b"boom")
    for _ in range(2):
        harness.vhost.publisher.route(harness.vhost.exchanges["later"], made)
    harness.commit()
    harness.restart()
    assert harness.vhost.delayed.count("later") == 2
    harness.clock.advance(400)
    assert harness.broker.faults.drops == {"delayed message": 2} and not harness.broker.faults.errors
    harness.commit()
    for again in (harness.restart, harness.crash):
        again()
        harness.clock.advance(1000)
        assert harness.vhost.delayed.count("later") == 0 and not harness.broker.faults.drops
    harness.kill()


def test_a_binding_without_its_queue_is_not_restored(tmp_path: Path) -> None:
    harness = DiskHarness(tmp_path / "data")
    vhost = harness.vhost
    vhost.bind(vhost.exchanges["amq.topic"], harness.declare("q"), "k", {})
    vhost.bind(vhost.exchanges["amq.topic"], harness.declare("r"), "k", {})
    harness.commit()
    harness.store.catalogue.delete(Kind.QUEUE, ("/", "q"))
    harness.restart()
    assert harness.broker.faults.errors == {"restore": 1}
    assert [
        binding.destination_name for binding in harness.vhost.exchanges["amq.topic"].bindings.values()
    ] == ["r"]
    harness.restart()
    assert not harness.broker.faults.errors
    harness.kill()


def test_a_message_with_a_forged_death_history_is_dropped_and_logged() -> None:
    """RabbitMQ 3.10 drops a message if it cannot count its x-death header."""
    from tests.faults.test_poison import FaultClient

    client = FaultClient("3.10")
    dropped: list[Fault] = []
    client.broker.faults.write = dropped.append
    mine = {
        "queue": Field("S", b"dies-classic"),
        "reason": Field("S", b"expired"),
        "count": Field("S", b"many"),
    }
    client.attack("", "dies-classic", {"headers": {"x-death": Field("A", [Field("F", mine)])}})
    client.advance(1000)
    assert [fault.dropped for fault in dropped] == [True] and "x-death" in str(dropped[0])
    client.everything_works()
