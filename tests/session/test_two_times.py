"""Message time and link time are separate: each can pass without the other."""

from __future__ import annotations

from pamqp.commands import Basic, Queue

from leveret.config import Settings
from leveret.settings import Profile as ProfileSettings
from leveret.testing.playbook import (
    Advance,
    Beat,
    Connect,
    Ended,
    Playbook,
    delivery,
    publish,
    refusal,
    say,
)
from leveret.wire.tables import Field, Table

TEN_DAYS_MS = 10 * 24 * 3_600_000


def table(**arguments: int | str) -> Table:
    return {
        "x-" + name.replace("_", "-"): Field("S", value.encode())
        if isinstance(value, str)
        else Field("l", value)
        for name, value in arguments.items()
    }


def declare(name: str, **arguments: int | str) -> list[object]:
    return [say(Queue.Declare, queue=name, arguments=table(**arguments))]


def count(name: str, ready: int) -> list[object]:
    return [say(Queue.DeclareOk, queue=name, message_count=ready)]


def with_heartbeats(chunking: str, version: str = "4.3") -> Playbook:
    settings = Settings(profile=ProfileSettings(version=version))
    return Playbook(settings, chunking, first=[Connect("a", heartbeat=60)])


def test_message_time_passes_without_heartbeats(chunking: str) -> None:
    """TTL and x-expires apply; no heartbeat is sent or missed, and the connection stays open."""
    asked = say(Queue.Declare, queue="gone", passive=True)
    assert (
        with_heartbeats(chunking)
        >> [*declare("ttl", message_ttl=TEN_DAYS_MS, dead_letter_exchange="", dead_letter_routing_key="dead")]
        << count("ttl", 0)
        >> declare("dead")
        << count("dead", 0)
        >> declare("gone", expires=TEN_DAYS_MS)
        << count("gone", 0)
        >> publish(b"x", "ttl")
        >> Advance(TEN_DAYS_MS - 1, only="message")
        >> [say(Queue.Declare, queue="dead", passive=True)]
        << count("dead", 0)
        >> Advance(2, only="message")
        >> [say(Queue.Declare, queue="dead", passive=True)]
        << count("dead", 1)
        >> asked
        << refusal(404, "NOT_FOUND - no queue 'gone' in vhost '/'", Queue.Declare)
    )


def test_link_time_passes_without_expiring_messages(chunking: str) -> None:
    """Heartbeats are missed."""
    play = (
        with_heartbeats(chunking)
        >> declare("ttl", message_ttl=1000)
        << count("ttl", 0)
        >> publish(b"x", "ttl")
        >> Advance(60_000, only="link")
        << [Beat()] * 2
        >> [Advance(180_000, only="link")]
        << [*[Beat()] * 3, Ended("reset")]
        >> Connect("b")
        >> [say(Queue.Declare, queue="ttl", passive=True, by="b")]
        << say(Queue.DeclareOk, queue="ttl", message_count=1, by="b")
    )
    assert play


def test_acknowledgement_timeouts_run_in_message_time(chunking: str) -> None:
    text = (
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms. "
        "This timeout value can be configured, see consumers doc guide to learn more"
    )
    assert (
        with_heartbeats(chunking, "4.0")
        >> declare("q")
        << count("q", 0)
        >> [*publish(b"x", "q"), say(Basic.Consume, queue="q", consumer_tag="c")]
        << [say(Basic.ConsumeOk, consumer_tag="c"), *delivery(b"x", 1)]
        >> Advance(1_900_000, only="message")
        << refusal(406, text)
    )


def test_message_time_and_link_time_pass_together(chunking: str) -> None:
    assert (
        with_heartbeats(chunking)
        >> declare("ttl", message_ttl=45_000)
        << count("ttl", 0)
        >> publish(b"x", "ttl")
        >> Advance(59_000)
        << Beat()
        >> [say(Queue.Declare, queue="ttl", passive=True)]
        << count("ttl", 0)
    )
