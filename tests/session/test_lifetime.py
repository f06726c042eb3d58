"""How connections begin, beat, are blocked and end, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Connection, Queue

from leveret import errors
from leveret.config import Settings
from leveret.session.peer import Peer
from leveret.settings import Profile as ProfileSettings
from leveret.testing.playbook import (
    Advance,
    Beat,
    Connect,
    Do,
    Ended,
    HangUp,
    Octets,
    Playbook,
    Say,
    Stage,
    alarm,
    content,
    delivery,
    publish,
    refusal,
    say,
)

DECLARE = say(Queue.Declare, queue="q")
CLOSE = say(Connection.Close, reply_code=200, reply_text="bye")
CLOSE_OK = say(Connection.CloseOk)


def declared(ready: int = 0, **where: Any) -> Say:
    return say(Queue.DeclareOk, queue="q", message_count=ready, **where)


def forced(reason: str, by: str = "a") -> Say:
    return refusal(320, f"CONNECTION_FORCED - {reason}", channel=0, by=by)


def beating(chunking: str, seconds: int) -> Playbook:
    return Playbook(chunking=chunking, first=[Connect("a", heartbeat=seconds)])


# --- heartbeats


def test_one_every_half_interval(chunking: str) -> None:
    """And at the end of the first one in any case."""
    play = beating(chunking, 2) >> Advance(500) >> DECLARE << declared() >> Advance(500) << Beat()
    for _ in range(5):
        play = play >> [Advance(500), Beat()] >> Advance(500) << Beat()
    assert play


def test_none_while_something_is_said(chunking: str) -> None:
    play = beating(chunking, 2) >> Advance(1000) << Beat()
    for _ in range(4):
        play = play >> Advance(900) >> DECLARE << declared()
    assert play >> Advance(2000) << Beat()


def test_silence_is_noticed_after_two_intervals(chunking: str) -> None:
    """The one in which the connection was opened does not count."""
    assert beating(chunking, 2) >> [Advance(5999)] << [Beat()] * 5 >> Advance(1) << Ended("reset")


@pytest.mark.parametrize("octets", [b"\x08\0\0\0\0\0\0\xce", b"\x01"])
def test_any_octet_will_do(octets: bytes) -> None:
    """Even those of a frame that is not complete."""
    stage = Stage(Playbook().settings, lambda data: (data,))
    stage.connect(Connect("a", heartbeat=2))
    stage.play([Octets(b"\x01\0\1\0\0\x20\0")] if len(octets) == 1 else [])
    for _ in range(20):
        stage.play([Advance(1900)])
        stage.play([Octets(octets)])
    assert not stage.clients["a"].over
    stage.play([Advance(6000)])
    assert stage.clients["a"].over


def test_no_heartbeat_no_deadline(play: Playbook) -> None:
    assert play >> Advance(7 * 24 * 3_600_000) >> DECLARE << declared()


def test_blocked_connections_may_be_silent(chunking: str) -> None:
    play = Playbook(chunking=chunking, first=[Connect("a", heartbeat=2, capabilities=())])
    stage = Stage(play.settings, lambda data: (data,))
    stage.connect(play.first[0])
    stage.play([alarm()])
    stage.play(publish(b"x", "q"))
    stage.play([Advance(60_000)])
    assert not stage.clients["a"].over
    stage.play([alarm(on=False)])
    stage.play([Advance(60_000)])
    assert stage.clients["a"].over


def test_a_closing_connection_need_not_beat(chunking: str) -> None:
    text = "CHANNEL_ERROR - second 'channel.open' seen"
    assert (
        beating(chunking, 60)
        >> say(Channel.Open)
        << refusal(504, text, Channel.Open, channel=0)
        >> Advance(29_999)
        >> Advance(1)
        << Ended("reset")
    )


# --- closing


def test_a_client_that_closes_hangs_up_itself(play: Playbook) -> None:
    assert play >> CLOSE << CLOSE_OK >> Advance(6000) >> HangUp("a")
    assert not play.stage.broker.connections


def test_one_that_does_not_is_dropped_in_the_end(play: Playbook) -> None:
    assert play >> CLOSE << CLOSE_OK >> Advance(29_999) >> Advance(1) << Ended("reset")


def test_the_heartbeat_bounds_the_wait(chunking: str) -> None:
    assert beating(chunking, 4) >> CLOSE << CLOSE_OK >> Advance(3999) >> Advance(1) << Ended("reset")


def test_nothing_is_heard_after_close(play: Playbook) -> None:
    assert play >> [CLOSE, DECLARE, say(Channel.Open, channel=9)] << CLOSE_OK >> DECLARE


def test_closes_that_cross(play: Playbook) -> None:
    text = "CHANNEL_ERROR - second 'channel.open' seen"
    assert (
        play
        >> say(Channel.Open)
        << refusal(504, text, Channel.Open, channel=0)
        >> [DECLARE, CLOSE]
        << CLOSE_OK
        >> say(Connection.CloseOk)
        << Ended("close")
    )


# --- forced


@pytest.mark.parametrize("reason", ["broker forced connection closure with reason 'shutdown'", "é"])
def test_the_broker_ends_it(play: Playbook, reason: str) -> None:
    def end(stage: Stage) -> None:
        stage.broker.shut_connections(reason)

    assert (
        play
        >> Connect("b", channels=None)
        >> Do("shutdown", end)
        << [forced(reason), Ended("reset", by="b")]
        >> CLOSE_OK
        << Ended("close")
    )


def test_a_deleted_vhost(play: Playbook) -> None:
    def delete(stage: Stage) -> None:
        assert stage.broker.delete_vhost("/")

    cancelled = say(Basic.Cancel, consumer_tag="c", nowait=True)
    assert (
        play
        >> [DECLARE, say(Basic.Consume, queue="q", consumer_tag="c")]
        << [declared(), say(Basic.ConsumeOk, consumer_tag="c")]
        >> Do("the vhost is deleted", delete)
        << [cancelled, forced("vhost '/' is deleted")]
    )


def test_one_connection_is_closed_by_hand(play: Playbook) -> None:
    def end(stage: Stage) -> None:
        stage.clients["a"].connection.shut(errors.connection_forced("Closed via management plugin"))

    assert (
        play
        >> Connect("b")
        >> Do("closed", end)
        << forced("Closed via management plugin")
        >> [say(Queue.Declare, queue="q", by="b")]
        << declared(by="b")
    )


def test_update_secret(play: Playbook) -> None:
    line = say(Connection.UpdateSecret, new_secret=b"new", reason="expired")
    assert play >> line << say(Connection.UpdateSecretOk) >> DECLARE << declared()


@pytest.mark.parametrize(("version", "cancels"), [("4.3", True), ("4.2", True), ("4.0", False)])
def test_update_secret_cancels_consumers_that_lost_permission(
    chunking: str, version: str, cancels: bool
) -> None:
    """What they hold stays theirs to settle."""

    def lose(stage: Stage) -> None:
        stage.broker.access.set_permissions("guest", "/", ".*", ".*", "^r$")
        stage.broker.access_changed()

    play = Playbook(
        Settings(profile=ProfileSettings(version=version)), chunking, first=[Connect("a", channels=(1, 2))]
    )
    gone = [say(Basic.Cancel, consumer_tag="c", nowait=True)] if cancels else []
    assert (
        play
        >> [DECLARE, say(Queue.Declare, queue="r")]
        << [declared(), say(Queue.DeclareOk, queue="r", message_count=0)]
        >> say(Basic.Consume, queue="q", consumer_tag="c")
        << say(Basic.ConsumeOk, consumer_tag="c")
        >> say(Basic.Consume, queue="r", consumer_tag="d", channel=2)
        << say(Basic.ConsumeOk, consumer_tag="d", channel=2)
        >> publish(b"1", "q")
        << delivery(b"1", 1)
        >> Do("permission lost", lose)
        << []
        >> say(Connection.UpdateSecret, new_secret=b"new", reason="expired")
        << [*gone, say(Connection.UpdateSecretOk)]
        >> [say(Basic.Ack, delivery_tag=1), say(Queue.Declare, queue="q", passive=True)]
        << say(Queue.DeclareOk, queue="q", message_count=0, consumer_count=0 if cancels else 1)
    )


@pytest.mark.parametrize(("version", "refuses"), [("4.3", True), ("4.2", False), ("4.0", False)])
def test_update_secret_without_access_to_the_virtual_host(chunking: str, version: str, refuses: bool) -> None:
    def lose(stage: Stage) -> None:
        stage.broker.access.clear_permissions("guest", "/")
        stage.broker.access_changed()

    text = "NOT_ALLOWED - access to vhost '/' refused for user 'guest'"
    assert (
        Playbook(Settings(profile=ProfileSettings(version=version)), chunking)
        >> [Do("permission lost", lose), say(Connection.UpdateSecret, new_secret=b"new", reason="expired")]
        << (
            refusal(530, text, Connection.UpdateSecret, channel=0)
            if refuses
            else say(Connection.UpdateSecretOk)
        )
    )


@pytest.mark.parametrize(
    "line",
    [
        say(Connection.StartOk),
        say(Connection.Open),
        say(Connection.CloseOk),
        say(Channel.Open, channel=0),
        say(Queue.Declare, channel=0),
        say(Basic.Publish, channel=0),
    ],
)
def test_what_does_not_belong_on_channel_0(play: Playbook, line: Say) -> None:
    text = "CHANNEL_ERROR - unexpected method in connection state running"
    assert play >> line << refusal(504, text, line.command, channel=0)


# --- alarms


def blocked(reason: str = "low on memory", by: str = "a") -> Say:
    return say(Connection.Blocked, reason=reason, by=by)


def unblocked(by: str = "a") -> Say:
    return say(Connection.Unblocked, by=by)


def test_publishers_are_blocked(play: Playbook) -> None:
    assert (
        play
        >> Connect("b")
        >> [DECLARE, say(Queue.Declare, queue="q", by="b")]
        << [declared(), declared(by="b")]
        >> alarm()
        >> [*publish(b"1", "q"), DECLARE]
        << blocked()
        >> say(Queue.Declare, queue="q", by="b")
        << declared(by="b")
        >> alarm(on=False)
        << [unblocked(), declared(1)]
    )


def test_consumers_are_not(play: Playbook) -> None:
    assert (
        play
        >> Connect("b")
        >> [DECLARE, *publish(b"1", "q"), *publish(b"2", "q")]
        << declared()
        >> alarm("disk")
        >> [say(Basic.Qos, prefetch_count=1, by="b"), say(Basic.Consume, queue="q", consumer_tag="c", by="b")]
        << [say(Basic.QosOk, by="b"), say(Basic.ConsumeOk, consumer_tag="c", by="b")]
        << delivery(b"1", 1, by="b")
        >> say(Basic.Ack, delivery_tag=1, by="b")
        << delivery(b"2", 2, by="b")
        >> DECLARE
        << say(Queue.DeclareOk, queue="q", consumer_count=1)
    )


def test_nothing_of_a_blocked_connection_is_read(play: Playbook) -> None:
    assert (
        play
        >> [DECLARE, say(Basic.Consume, queue="q", consumer_tag="c")]
        << [declared(), say(Basic.ConsumeOk, consumer_tag="c")]
        >> alarm()
        >> publish(b"1", "q")
        << blocked()
        >> [*publish(b"2", "q"), say(Basic.Ack, delivery_tag=1), CLOSE]
        >> Advance(60_000)
        >> alarm(on=False)
        << [unblocked(), *delivery(b"1", 1), *delivery(b"2", 2), CLOSE_OK]
    )


def test_two_alarms_are_one_episode(play: Playbook) -> None:
    assert (
        play
        >> [alarm("memory"), alarm("disk")]
        >> publish(b"", "q")
        << blocked("low on memory & low on disk")
        >> alarm("memory", on=False)
        >> alarm("memory")
        >> alarm("disk", on=False)
        >> alarm("memory", on=False)
        << unblocked()
        >> alarm("disk")
        >> publish(b"", "q")
        << blocked("low on disk")
    )


def test_an_alarm_from_before(play: Playbook) -> None:
    assert (
        play
        >> alarm()
        >> Connect("b")
        >> [DECLARE, say(Queue.Declare, queue="q", by="b")]
        << [declared(), declared(by="b")]
        >> publish(b"x", "q", by="b")
        << blocked(by="b")
        >> alarm(on=False)
        << unblocked(by="b")
        >> DECLARE
        << declared(1)
    )


def test_clients_without_the_capability_are_not_notified(play: Playbook) -> None:
    assert (
        play
        >> [DECLARE, alarm()]
        << declared()
        >> Connect("b", capabilities=())
        >> publish(b"x", "q", by="b")
        >> DECLARE
        << declared()
        >> alarm(on=False)
        >> DECLARE
        << declared(1)
    )


def test_blocked_in_the_middle_of_a_large_message(play: Playbook) -> None:
    body = bytes(300_000)
    assert (
        play
        >> [DECLARE, alarm()]
        << declared()
        >> publish(body, "q")
        << blocked()
        >> alarm(on=False)
        << unblocked()
        >> say(Basic.Get, queue="q")
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q"), content(body)]
    )


def test_a_blocked_connection_may_be_lost(play: Playbook) -> None:
    assert (
        play
        >> Connect("b")
        >> [DECLARE, alarm()]
        << declared()
        >> publish(b"x", "q", by="b")
        << blocked(by="b")
        >> HangUp("b")
        >> alarm(on=False)
        >> DECLARE
        << declared()
    )


def test_a_blocked_connection_may_be_shut(play: Playbook) -> None:
    def end(stage: Stage) -> None:
        stage.clients["a"].connection.shut(errors.connection_forced("enough"))

    assert (
        play
        >> alarm()
        >> publish(b"x", "q")
        << blocked()
        >> Do("shut", end)
        << forced("enough")
        >> CLOSE_OK
        << Ended("close")
    )


# --- slow readers


def pause(on: bool) -> Do:
    def call(stage: Stage) -> None:
        connection = stage.clients["a"].connection
        connection.paused = on
        if not on:
            connection.drained()
            stage.broker.dirty.append(connection)

    return Do("a stops reading" if on else "a reads again", call)


def test_a_slow_reader_gets_only_so_much(play: Playbook) -> None:
    """And what it does not get goes to others, or waits."""
    ten = [line for i in range(10) for line in publish(b"%d" % i, "q", by="b")]
    assert (
        play
        >> Connect("b")
        >> [DECLARE, say(Basic.Consume, queue="q", consumer_tag="c", no_ack=True)]
        << [declared(), say(Basic.ConsumeOk, consumer_tag="c")]
        >> pause(True)
        >> ten
        >> say(Queue.Declare, queue="q", by="b")
        << say(Queue.DeclareOk, queue="q", message_count=10, consumer_count=1, by="b")
        >> pause(False)
        << [line for i in range(10) for line in delivery(b"%d" % i, i + 1)]
    )


def test_a_long_backlog_goes_out_in_many_ticks() -> None:
    """What waits in one outbox stays bounded, however much is ready."""
    stage = Stage(Playbook().settings, lambda data: (data,))
    stage.connect(Connect("a"))
    stage.connect(Connect("b"))
    body = bytes(100_000)
    stage.play([DECLARE, *(line for _ in range(50) for line in publish(body, "q"))])
    connection = stage.clients["b"].connection
    line = say(Basic.Consume, queue="q", consumer_tag="c", no_ack=True, by="b")
    stage.feed(stage.clients["b"], stage._octets(line))
    assert 1_000_000 < connection.outbox.size < 1_200_000
    stage.listen()
    assert len(stage.said) == 1 + 2 * 50


def test_the_peer_names_the_connection() -> None:
    peer = Peer("127.0.0.1", 5672, "192.0.2.1", 40000)
    assert peer.name == "192.0.2.1:40000 -> 127.0.0.1:5672"


@pytest.mark.parametrize("how", ["asked", "refused", "closed", "hung up"])
def test_channels_that_end_are_counted(play: Playbook, how: str) -> None:
    if how == "asked":
        play = play >> say(Channel.Close) << say(Channel.CloseOk)
    elif how == "refused":
        text = "NOT_FOUND - no queue 'q' in vhost '/'"
        refused = refusal(404, text, Queue.Declare)
        play = play >> say(Queue.Declare, queue="q", passive=True) << refused >> say(Channel.CloseOk)
    elif how == "closed":
        play = play >> CLOSE << CLOSE_OK
    else:
        play = play >> HangUp("a")
    assert play
    assert play.stage.broker.channels_opened == play.stage.broker.channels_closed == 1
