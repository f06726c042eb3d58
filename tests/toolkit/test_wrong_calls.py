"""Wrong calls: each error says what was wanted, what there is, and what to do."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pika
import pytest

from leveret.settings import ConfigError
from leveret.testing import (
    BlockingCall,
    Broker,
    ClockError,
    NotIdle,
    Recording,
    Snapshot,
    Stopped,
    ToolkitError,
    Unroutable,
    WaitTimeout,
)

Call = Callable[[Any], object]

TOPOLOGY = {
    "exchanges": [{"name": "orders", "type": "topic"}],
    "queues": [{"name": "jobs"}],
    "bindings": [{"source": "orders", "destination": "jobs", "routing_key": "eu.#"}],
}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker with a queue, a topic exchange and two messages of the connection `worker`."""
    with Broker(definitions=TOPOLOGY) as broker:
        parameters = pika.URLParameters(broker.url)
        parameters.client_properties = {"connection_name": "worker"}
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            channel.basic_publish("", "jobs", b"one")
            channel.basic_publish("orders", "eu.new", b'{"id": 8}')
            yield broker


def wait_in_loop(broker: Broker) -> None:
    async def main() -> None:
        broker.wait_idle()

    asyncio.run(main())


def wait_for_fault_in_loop(broker: Broker) -> None:
    async def main() -> None:
        with broker.faults.on("queue.declare").reset() as fault:
            fault.wait()

    asyncio.run(main())


def wait_while_held(broker: Broker) -> None:
    with broker.clock.hold():
        broker.clock.advance(1, patience=0.01)


def stopped(broker: Broker) -> Broker:
    with Broker() as other:
        pass
    return other


def gone(broker: Broker) -> Broker:
    with broker.vhost("gone") as view:
        pass
    return view


def missed(broker: Broker, **rule: Any) -> None:
    """Arm a fault that another publish comes to, and assert that it was hit."""
    with broker.faults.on("basic.publish", **rule).reset() as fault:
        parameters = pika.URLParameters(broker.url)
        parameters.client_properties = {"connection_name": "mailer"}
        with pika.BlockingConnection(parameters) as connection:
            connection.channel().basic_publish("", "jobs", b"")
        fault.assert_hit()


WRONG: list[tuple[Call, type[Exception], str]] = [
    # --- how it is made
    (lambda b: Broker(unix="/tmp/" + "x" * 120), ValueError, "has 125 octets.*107 at most.*mkdtemp"),
    (lambda b: Broker(unix="/nowhere/x"), FileNotFoundError, "there is no directory '/nowhere'"),
    (lambda b: Broker(unix=__file__), FileExistsError, "a file that is no socket"),
    (lambda b: Broker(port="5672"), TypeError, "port is a number from 0 .* to 65535, not '5672'"),
    (lambda b: Broker(port=70000), ValueError, "to 65535, not 70000"),
    (lambda b: Broker(host=5), TypeError, "host is a str, not 5"),
    (lambda b: Broker(clock="x"), ToolkitError, "clock='x': there are 'real', 'frozen', 'skip'"),
    (lambda b: Broker(profile=4.3), TypeError, "as a str, '4.3', not 4.3"),
    (lambda b: Broker(strict={"unroutible"}), ToolkitError, "there is 'unroutable'"),
    (lambda b: Broker(allow=["audit.*"]), ToolkitError, "no rule 'audit.*'"),
    (lambda b: Broker(lint="soon"), ToolkitError, "lint='soon': there is no such version"),
    (lambda b: Broker(settings=[1]), TypeError, "settings are a mapping"),
    (lambda b: Broker(settings={"amqp.hartbeat": 1}), ConfigError, "unknown setting; allowed: heartbeat"),
    (lambda b: Broker(settings={"server.port": 1}), ToolkitError, r"use Broker\(port=\.\.\.\)"),
    (lambda b: Broker(settings={"tls.port": 1}), ToolkitError, "has no TLS: .* start `leveret serve` with"),
    (lambda b: Broker(settings={"cluster.enabled": True}), ToolkitError, "without a cluster"),
    (lambda b: Broker(definitions=[1]), TypeError, "definitions are a mapping"),
    # --- topology and messages
    (lambda b: b.declare({"queue": []}), ToolkitError, "no section 'queue'; there is 'queues'"),
    (lambda b: b.declare({"queues": "x"}), ToolkitError, "'queues' is a list of objects.*not 'x'"),
    (lambda b: b.declare({"queues": ["x"]}), ToolkitError, "'queues' is a list of objects.*has 'x'"),
    (lambda b: b.declare({"queues": [{"nam": "x"}]}), ToolkitError, "needs 'name'"),
    (lambda b: b.publish(None, "jobs", ""), TypeError, "exchange is a str, not None"),
    (lambda b: b.publish("", "jobs", "", delivery_mod=2), TypeError, "there is 'delivery_mode'"),
    (lambda b: b.publish("", "jobs", "", priority="high"), TypeError, "from 0 to 255, not 'high'"),
    (lambda b: b.publish("", "jobs", "", message_id=7), TypeError, "message_id is a str, not 7"),
    (lambda b: b.publish("", "jobs", "", headers={"a": {1}}), TypeError, "AMQP has no set"),
    (lambda b: b.publish("", "jobs", {1}), TypeError, "a body is bytes, str, or what JSON has"),
    (
        lambda b: b.publish("orders", "us.new", ""),
        Unroutable,
        "'eu.#', which does not match the key 'us.new'",
    ),
    (lambda b: b.publish("order", "x", ""), Unroutable, "'order' does not exist in vhost '/'; 'orders' does"),
    (lambda b: b.messages("jobz"), ToolkitError, "there is 'jobs'"),
    (lambda b: b.queues["jobz"], KeyError, "there is 'jobs'"),
    (lambda b: b.connections["workr"], KeyError, "there is 'worker'"),
    (lambda b: b.connections["worker"].close(999), ValueError, "999 is no reply code of AMQP: 311"),
    (lambda b: b.alarm("cpu"), ToolkitError, "alarm\\('cpu'\\): there are 'memory', 'disk'"),
    (lambda b: b.block("full"), ToolkitError, "'low on memory', 'low on disk'"),
    (lambda b: b.reset(keep=["user"]), ToolkitError, "there is 'users'"),
    (lambda b: gone(b).queues["q"], ToolkitError, "virtual host 'gone' does not exist any more"),
    # --- history
    (
        lambda b: b.assert_published("orders", "eu.#"),
        AssertionError,
        "'#' is an ordinary character: 'eu.\\*'",
    ),
    (lambda b: b.assert_published("orders", "[new"), AssertionError, "'\\[' begins a set of characters"),
    (lambda b: b.published(queue="jobz").one(), AssertionError, "there is no queue 'jobz', but 'jobs'"),
    (lambda b: b.published().assert_all("acknowledged"), ToolkitError, "there are 'ready', 'unacked'"),
    (
        lambda b: b.published()[0].outcome("x"),
        ValueError,
        "was not routed to queue 'x', but to queue 'jobs'",
    ),
    (lambda b: b.dead_lettered(reason="nacked"), ToolkitError, "there are 'expired', 'rejected'"),
    (lambda b: b.history.events("publish"), ToolkitError, "there are 'published'.*\\('published'\\?\\)"),
    (lambda b: b.history.events(since=datetime(2030, 1, 1)), ValueError, "has no time zone"),
    # --- clock
    (lambda b: b.clock.move_to(datetime(2030, 1, 1)), ValueError, "has no time zone.*use .*timezone.utc"),
    (lambda b: b.clock.move_to("2030-01-01T00:00"), ValueError, "has no offset.*2030-01-01T00:00\\+00:00 is"),
    (lambda b: b.clock.move_to("tomorrow"), ValueError, "no moment in ISO 8601, like 2030-"),
    (lambda b: b.clock.move_to(0), ClockError, "time never goes back: it is 2"),
    (lambda b: b.clock.advance(-1), ClockError, "time never goes back: it is 2.*advance\\(-1\\)"),
    (lambda b: b.clock.advance("1h"), TypeError, "a number of seconds or a timedelta, not '1h'"),
    (lambda b: b.clock.advance(1, patience="x"), TypeError, "patience is a number of seconds"),
    (lambda b: b.clock.resume(rate="2"), TypeError, "rate is a number, how many times as fast"),
    (lambda b: b.clock.resume(rate=0), ValueError, "freeze\\(\\) stops the clock"),
    (wait_while_held, NotIdle, "the clock is held once"),
    # --- waits
    (wait_in_loop, BlockingCall, "use `await broker.aio.wait_idle\\(...\\)`"),
    (wait_for_fault_in_loop, BlockingCall, "use `await fault.wait\\(\\)` of a fault of `broker.aio.faults`"),
    (lambda b: b.wait_until(lambda: b.wait_idle()), BlockingCall, "the broker's own thread"),
    (lambda b: b.wait_until(False), TypeError, "predicate is a function.*not False"),
    (lambda b: b.wait_until(lambda: 1 / 0), ZeroDivisionError, "division by zero"),
    (lambda b: b.wait_idle("5"), TypeError, "timeout is a number of seconds or a timedelta, not '5'"),
    (lambda b: b.wait_idle(-1), ValueError, "timeout is at least 0, not -1"),
    (lambda b: b.wait_for_messages("jobs", -1), ValueError, "count is 0 or more, not -1"),
    (lambda b: b.wait_for_messages(["jobs"]), TypeError, "queue is a str"),
    (lambda b: b.wait_for_queue("jobz", 0), WaitTimeout, "there is 'jobs'\nconnected: 'worker'"),
    # --- faults
    (lambda b: b.faults.on("basic.publsh"), ValueError, "'basic.publish'\\?"),
    (lambda b: b.faults.on("basic.deliver"), ValueError, "sent by the broker: use confirms\\(\\) or"),
    (lambda b: b.faults.on("basic.publish", nth="3"), TypeError, "nth is a number, not '3'"),
    (lambda b: b.faults.on("basic.publish", nth=0), ValueError, "nth counts from 1"),
    (lambda b: b.faults.on("basic.publish", queue=5), TypeError, "queue is a shell glob, a str, not 5"),
    (lambda b: b.faults.on("basic.publish", where=5), TypeError, "where is a function of an Occasion"),
    (lambda b: b.faults.on("basic.publish", chance="x"), TypeError, "chance is a number between 0 and 1"),
    (lambda b: b.faults.confirms(que="jobs"), TypeError, "no argument 'que' \\('queue'\\?\\)"),
    (lambda b: b.faults.confirms().nack().release(), TypeError, "release\\(\\) is for confirms"),
    (lambda b: b.faults.latency("1s"), TypeError, "a number of seconds or a timedelta, not '1s'"),
    (lambda b: b.faults.chaos(1, 2), ValueError, "rate is a probability, between 0 and 1"),
    (lambda b: b.faults.plan([{"on": "basic.publish", "du": "reset"}]), ValueError, "'do' is missing.*'du'"),
    (
        lambda b: b.faults.on("basic.get").__enter__(),
        TypeError,
        "does nothing yet, and cannot be used with .with.",
    ),
    (lambda b: b.faults.on("queue.declare").drop().wait(0), WaitTimeout, "no queue.declare came since"),
    (
        lambda b: missed(b, queue="mail*"),
        AssertionError,
        "queue='mail\\*'; the last basic.publish was to the",
    ),
    (lambda b: missed(b, nth=3), AssertionError, "1 matched, and it is for the one with number 3"),
    # --- life
    (lambda b: stopped(b).wait_idle(), Stopped, "was stopped: start\\(\\) starts it again"),
    (lambda b: Broker().publish("", "q", ""), Stopped, "was not started: call start\\(\\), or use `with`"),
    (lambda b: Broker().url, Stopped, "no port before it is started"),
    (lambda b: b.restart(down="x"), TypeError, "down is a number of seconds"),
    (lambda b: b.vhost("other").restart(), ToolkitError, "a virtual host does not restart"),
    (lambda b: b.restore("x"), TypeError, "Snapshot.load\\('x'\\) reads a file"),
    (lambda b: b.restore(b.vhost("other").snapshot()), ToolkitError, "the snapshot is of a virtual host"),
    (lambda b: Snapshot.load(__file__), ToolkitError, "is not a snapshot"),
    (lambda b: Recording.load(__file__), ToolkitError, ":1 is not JSON"),
    (lambda b: b.replay(Recording([]), speed="fast"), TypeError, 'speed is "virtual" or a number'),
]


@pytest.mark.parametrize(("call", "kind", "text"), WRONG)
def test_a_wrong_call_says_what_is_wrong(
    broker: Broker, call: Call, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=f"(?s){text}"):
        call(broker)
    broker.faults.clear()


def test_a_port_that_is_taken(broker: Broker) -> None:
    with pytest.raises(OSError, match="Another program uses this port") as caught:
        Broker(port=broker.port).start()
    assert caught.value.__notes__ == ["In a test, port=0 takes any free port; it is the default."]


def test_a_fault_without_a_verb_warns(broker: Broker) -> None:
    with pytest.raises(AttributeError, match=r"does nothing yet, and has no 'assert_hit': add .reset\(\)"):
        broker.faults.on("basic.publish").assert_hit()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        broker.faults.confirms(queue="jobs")
    assert [str(one.message) for one in caught] == [
        "confirms(queue='jobs') does nothing: add .nack(), .hold(), .lose() or .delay(d)"
    ]


def test_a_broker_may_be_started_and_stopped_twice(tmp_path: Path) -> None:
    with Broker(unix=tmp_path / "socket") as broker:
        assert broker.start() is broker
        broker.stop()
        broker.stop()
        broker.start()
        assert broker.queues == {}
