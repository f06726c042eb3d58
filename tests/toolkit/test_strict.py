"""Strict mode and lint."""

from __future__ import annotations

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from leveret.testing import Broker, ToolkitError, Unclean

from .conftest import connect


def unroutable(broker: Broker, channel: BlockingChannel) -> None:
    channel.basic_publish("amq.direct", "audit.login", b"x")


def expired(broker: Broker, channel: BlockingChannel) -> None:
    channel.queue_declare("q", arguments={"x-message-ttl": 0})
    channel.basic_publish("", "q", b"x")


def dropped(broker: Broker, channel: BlockingChannel) -> None:
    channel.queue_declare("q", arguments={"x-max-length": 0})
    channel.basic_publish("", "q", b"x")


def dead_lettered(broker: Broker, channel: BlockingChannel) -> None:
    channel.queue_declare("dlq")
    arguments = {"x-max-length": 0, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dlq"}
    channel.queue_declare("q", arguments=arguments)
    channel.basic_publish("", "q", b"x")


def unacked(broker: Broker, channel: BlockingChannel) -> None:
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"x")
    channel.basic_get("q")


def errors(broker: Broker, channel: BlockingChannel) -> None:
    with connect(broker, "wrong") as other, pytest.raises(pika.exceptions.ChannelClosedByBroker):
        other.channel().queue_declare("nope", passive=True)


def leaks(broker: Broker, channel: BlockingChannel) -> None:
    channel.queue_declare("left")


BREAKS = {
    "unroutable": (unroutable, "audit.*", "a message reached no queue: message #1 to exchange 'amq.direct'"),
    "expired": (expired, "q", "a message was lost: queue 'q', expired, no dead-letter exchange"),
    "dropped": (dropped, "q", "a message was lost: queue 'q', dropped, no dead-letter exchange"),
    "dead-lettered": (dead_lettered, "q*", r"queue 'q' dead-lettered a message \(maxlen\)"),
    "unacked": (unacked, "q", "delivery 1 of queue 'q' .* is unacknowledged"),
    "errors": (errors, "404", "the broker closed channel 1 of connection 'wrong': 404 NOT_FOUND"),
    "leaks": (leaks, "left", "queue 'left' in vhost '/' was left behind"),
}


@pytest.mark.parametrize("rule", BREAKS)
def test_each_rule_finds_its_violation_and_can_be_allowed(rule: str) -> None:
    break_it, glob, text = BREAKS[rule]
    with (
        pytest.raises(Unclean, match=text) as caught,
        Broker(strict={rule}) as broker,
        connect(broker, "worker") as connection,
    ):
        break_it(broker, connection.channel())
        if rule == "unacked":
            broker.assert_clean()  # before the client is gone
    assert str(caught.value).startswith(f"{rule} (1): ") and f'allow=["{rule}:' in str(caught.value)
    allow = [f"{rule}:{glob}", "leaks:again"]
    with Broker(strict={rule}, allow=allow) as broker, connect(broker, "again") as connection:
        break_it(broker, connection.channel())
        broker.assert_clean()


def test_true_means_all_rules_but_leaks() -> None:
    with Broker(strict=True) as broker, connect(broker) as connection:
        connection.channel().queue_declare("left")


def test_a_test_that_has_failed_is_not_checked() -> None:
    with pytest.raises(ZeroDivisionError), Broker(strict=True) as broker, connect(broker) as connection:
        unroutable(broker, connection.channel())
        raise ZeroDivisionError


def test_a_view_is_checked_for_itself() -> None:
    with Broker(strict=True) as broker:
        with pytest.raises(Unclean), broker.vhost() as view, connect(view) as connection:
            unroutable(view, connection.channel())
        with broker.vhost() as view, connect(view) as connection:
            connection.channel().queue_declare("q")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"strict": {"unrouteable"}}, "there is no rule 'unrouteable'; there is 'unroutable'"),
        ({"allow": ["unack:q"]}, "allow='unack:q': there is no rule 'unack'; there is 'unacked'"),
        ({"lint": "9.9"}, "lint='9.9': there is no such version; there are 3.10, "),
    ],
)
def test_unknown_rules_are_refused(arguments: dict[str, object], text: str) -> None:
    with pytest.raises(ToolkitError, match=text):
        Broker(**arguments)  # type: ignore[arg-type]


def test_lint_fails_for_what_a_later_version_refuses() -> None:
    text = "this test would break on 4.3: .*: basic.qos with global is deprecated"
    with (
        pytest.raises(Unclean, match=text),
        Broker(profile="4.2", lint="4.3") as broker,
        connect(broker) as one,
    ):
        one.channel().basic_qos(prefetch_count=1, global_qos=True)
    with Broker(profile="4.2", lint="4.2") as broker, connect(broker) as connection:
        connection.channel().basic_qos(prefetch_count=1, global_qos=True)
        (finding,) = broker.lint.findings
        assert finding.rule == "global-qos" and finding.refused_from == "4.3"
        broker.lint.clear()
        assert broker.lint.findings == []


def test_a_fault_that_was_not_hit_says_what_came_instead(broker: Broker, channel: BlockingChannel) -> None:
    with broker.vhost() as view, connect(view, "shop") as connection:
        view.faults.on("basic.publish", queue="jobs").reset()
        connection.channel().basic_publish("", "mails", b"")
        with pytest.raises(Unclean) as caught:
            view.assert_clean()
    text = str(caught.value)
    assert (
        "on('basic.publish', queue='jobs').reset() was armed and never hit: nothing matched queue='jobs';"
        in text
    )
    assert "the last basic.publish was to the default exchange with key 'mails' of connection 'shop'" in text


def test_the_state_shows_a_frozen_clock_and_the_messages_of_events(
    broker: Broker, channel: BlockingChannel
) -> None:
    assert "clock" not in broker._state()
    broker.clock.freeze()
    assert "clock: frozen, at " in broker._state() and "; nothing is due" in broker._state()
    channel.queue_declare("q", durable=True, arguments={"x-message-ttl": 60_000})
    channel.basic_publish("", "q", b"")
    state = broker._state()
    assert "; due next, in 60 s: head of queue 'q' expires" in state
    assert "message #1: published by channel 1 of connection 'worker'" in state
    assert "message #1: queue 'q': queued" in state
    assert "queue 'q': queue-created, connection 'worker'" in state


def test_the_state_names_a_task_that_waits_for_its_eta_in_a_worker(
    broker: Broker, channel: BlockingChannel
) -> None:
    channel.queue_declare("celery", durable=True)
    later = pika.BasicProperties(headers={"eta": "2999-01-01T00:00:00+00:00"})
    broker.clock.freeze()
    channel.basic_publish("", "celery", b"", later)
    text = "message #1 is a task of Celery with a later ETA, for which a worker waits by its own clock"
    assert text in broker._state()
    broker.clock.hold_eta = True
    assert text not in broker._state()


@pytest.mark.parametrize("lint", ["4.4", "next"])
def test_lint_fails_for_what_an_announced_version_refuses(lint: str) -> None:
    text = "this test would break on 4.4: queue 'q' in vhost '/': transient queues that are not exclusive"
    with pytest.raises(Unclean, match=text), Broker(lint=lint) as broker, connect(broker) as connection:
        connection.channel().queue_declare("q", durable=False)


def test_lint_next_fails_for_what_a_version_without_a_number_refuses() -> None:
    settings = {"deprecated_features.permit": {"global_qos": True}}
    text = "this test would break on a later version, which is announced: .*: basic.qos with global"
    with (
        pytest.raises(Unclean, match=text),
        Broker(lint="next", settings=settings) as broker,
        connect(broker) as connection,
    ):
        connection.channel().basic_qos(prefetch_count=1, global_qos=True)
    with Broker(lint="4.4", settings=settings) as broker, connect(broker) as connection:
        connection.channel().basic_qos(prefetch_count=1, global_qos=True)


def test_lint_all_fails_for_what_has_no_effect() -> None:
    text = "this argument is unknown"
    with pytest.raises(Unclean, match=text), Broker(lint="all") as broker, connect(broker) as connection:
        connection.channel().queue_declare("q", durable=True, arguments={"x-mesage-ttl": 1})
