"""Heartbeats, blocked connections and the end of connections, in virtual time."""

from __future__ import annotations

import pytest
from pamqp.commands import Basic, Channel, Confirm, Connection, Queue, Tx

from leveret import errors
from leveret.config import Settings
from leveret.session.peer import Peer
from leveret.settings import Profile as ProfileSettings
from leveret.testing.playbook import (
    Advance,
    Beat,
    Connect,
    Content,
    Do,
    Ended,
    HangUp,
    Octets,
    Playbook,
    Say,
    Stage,
    alarm,
    content,
    content_frames,
    delivery,
    publish,
    refusal,
    say,
)
from leveret.wire.methods import method_frame
from tests.session.plays import DECLARE, declare_ok

CLOSE = say(Connection.Close, reply_code=200, reply_text="bye")
CLOSE_OK = say(Connection.CloseOk)


def closed_by_broker(reason: str, by: str = "a") -> Say:
    return refusal(320, f"CONNECTION_FORCED - {reason}", channel=0, by=by)


def with_heartbeats(chunking: str, seconds: int) -> Playbook:
    return Playbook(chunking=chunking, first=[Connect("a", heartbeat=seconds)])


# --- heartbeats


def test_a_heartbeat_is_sent_every_half_interval(chunking: str) -> None:
    """The first one is sent in any case."""
    play = with_heartbeats(chunking, 2) >> Advance(500) >> DECLARE << declare_ok() >> Advance(500) << Beat()
    for _ in range(5):
        play = play >> [Advance(500), Beat()] >> Advance(500) << Beat()
    assert play


def test_no_heartbeat_is_sent_while_there_is_other_output(chunking: str) -> None:
    play = with_heartbeats(chunking, 2) >> Advance(1000) << Beat()
    for _ in range(4):
        play = play >> Advance(900) >> DECLARE << declare_ok()
    assert play >> Advance(2000) << Beat()


def test_a_silent_client_is_reset_after_two_intervals(chunking: str) -> None:
    """The interval in which the connection was opened does not count."""
    assert with_heartbeats(chunking, 2) >> [Advance(5999)] << [Beat()] * 5 >> Advance(1) << Ended("reset")


@pytest.mark.parametrize("octets", [b"\x08\0\0\0\0\0\0\xce", b"\x01"])
def test_any_octet_counts_as_a_sign_of_life(octets: bytes) -> None:
    """Also those of an incomplete frame."""
    stage = Stage(Playbook().settings, lambda data: (data,))
    stage.connect(Connect("a", heartbeat=2))
    stage.play([Octets(b"\x01\0\1\0\0\x20\0")] if len(octets) == 1 else [])
    for _ in range(20):
        stage.play([Advance(1900)])
        stage.play([Octets(octets)])
    assert not stage.clients["a"].over
    stage.play([Advance(6000)])
    assert stage.clients["a"].over


def test_without_heartbeats_a_client_may_be_silent(play: Playbook) -> None:
    assert play >> Advance(7 * 24 * 3_600_000) >> DECLARE << declare_ok()


def test_a_blocked_connection_may_be_silent(chunking: str) -> None:
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


def test_a_closing_connection_needs_no_heartbeats(chunking: str) -> None:
    text = "CHANNEL_ERROR - second 'channel.open' seen"
    assert (
        with_heartbeats(chunking, 60)
        >> say(Channel.Open)
        << refusal(504, text, Channel.Open, channel=0)
        >> Advance(29_999)
        >> Advance(1)
        << Ended("reset")
    )


# --- closing


def test_after_close_ok_the_client_closes_the_socket(play: Playbook) -> None:
    assert play >> CLOSE << CLOSE_OK >> Advance(6000) >> HangUp("a")
    assert not play.stage.broker.connections


def test_a_client_that_does_not_close_the_socket_is_reset(play: Playbook) -> None:
    assert play >> CLOSE << CLOSE_OK >> Advance(29_999) >> Advance(1) << Ended("reset")


def test_the_heartbeat_limits_the_wait_for_the_socket_to_close(chunking: str) -> None:
    assert with_heartbeats(chunking, 4) >> CLOSE << CLOSE_OK >> Advance(3999) >> Advance(1) << Ended("reset")


def test_methods_after_connection_close_are_ignored(play: Playbook) -> None:
    assert play >> [CLOSE, DECLARE, say(Channel.Open, channel=9)] << CLOSE_OK >> DECLARE


def test_a_close_of_both_sides_is_answered(play: Playbook) -> None:
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


# --- closed_by_broker


@pytest.mark.parametrize("reason", ["broker closed_by_broker connection closure with reason 'shutdown'", "é"])
def test_the_broker_closes_connections_with_the_reason(play: Playbook, reason: str) -> None:
    def end(stage: Stage) -> None:
        stage.broker.shut_connections(reason)

    assert (
        play
        >> Connect("b", channels=None)
        >> Do("shutdown", end)
        << [closed_by_broker(reason), Ended("reset", by="b")]
        >> CLOSE_OK
        << Ended("close")
    )


def test_deleting_a_vhost_closes_its_connections(play: Playbook) -> None:
    def delete(stage: Stage) -> None:
        assert stage.broker.delete_vhost("/")

    cancelled = say(Basic.Cancel, consumer_tag="c", nowait=True)
    assert (
        play
        >> [DECLARE, say(Basic.Consume, queue="q", consumer_tag="c")]
        << [declare_ok(), say(Basic.ConsumeOk, consumer_tag="c")]
        >> Do("the vhost is deleted", delete)
        << [cancelled, closed_by_broker("vhost '/' is deleted")]
    )


def test_one_connection_can_be_closed(play: Playbook) -> None:
    def end(stage: Stage) -> None:
        stage.clients["a"].connection.shut(errors.connection_forced("Closed via management plugin"))

    assert (
        play
        >> Connect("b")
        >> Do("closed", end)
        << closed_by_broker("Closed via management plugin")
        >> [say(Queue.Declare, queue="q", by="b")]
        << declare_ok(by="b")
    )


def test_update_secret_is_answered(play: Playbook) -> None:
    line = say(Connection.UpdateSecret, new_secret=b"new", reason="expired")
    assert play >> line << say(Connection.UpdateSecretOk) >> DECLARE << declare_ok()


@pytest.mark.parametrize(("version", "cancels"), [("4.3", True), ("4.2", True), ("4.0", False)])
def test_update_secret_cancels_consumers_that_lost_permission(
    chunking: str, version: str, cancels: bool
) -> None:
    """Their deliveries stay unacknowledged."""

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
        << [declare_ok(), say(Queue.DeclareOk, queue="r", message_count=0)]
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
def test_update_secret_is_refused_without_access_to_the_virtual_host(
    chunking: str, version: str, refuses: bool
) -> None:
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
def test_methods_of_channels_are_refused_on_channel_0(play: Playbook, line: Say) -> None:
    text = "CHANNEL_ERROR - unexpected method in connection state running"
    assert play >> line << refusal(504, text, line.command, channel=0)


# --- alarms


def blocked(reason: str = "low on memory", by: str = "a") -> Say:
    return say(Connection.Blocked, reason=reason, by=by)


def unblocked(by: str = "a") -> Say:
    return say(Connection.Unblocked, by=by)


def test_an_alarm_blocks_publishers(play: Playbook) -> None:
    assert (
        play
        >> Connect("b")
        >> [DECLARE, say(Queue.Declare, queue="q", by="b")]
        << [declare_ok(), declare_ok(by="b")]
        >> alarm()
        >> [*publish(b"1", "q"), DECLARE]
        << blocked()
        >> say(Queue.Declare, queue="q", by="b")
        << declare_ok(by="b")
        >> alarm(on=False)
        << [unblocked(), declare_ok(1)]
    )


def test_an_alarm_does_not_block_consumers(play: Playbook) -> None:
    assert (
        play
        >> Connect("b")
        >> [DECLARE, *publish(b"1", "q"), *publish(b"2", "q")]
        << declare_ok()
        >> alarm("disk")
        >> [say(Basic.Qos, prefetch_count=1, by="b"), say(Basic.Consume, queue="q", consumer_tag="c", by="b")]
        << [say(Basic.QosOk, by="b"), say(Basic.ConsumeOk, consumer_tag="c", by="b")]
        << delivery(b"1", 1, by="b")
        >> say(Basic.Ack, delivery_tag=1, by="b")
        << delivery(b"2", 2, by="b")
        >> DECLARE
        << say(Queue.DeclareOk, queue="q", consumer_count=1)
    )


def test_a_blocked_connection_is_not_read(play: Playbook) -> None:
    assert (
        play
        >> [DECLARE, say(Basic.Consume, queue="q", consumer_tag="c")]
        << [declare_ok(), say(Basic.ConsumeOk, consumer_tag="c")]
        >> alarm()
        >> publish(b"1", "q")
        << blocked()
        >> [*publish(b"2", "q"), say(Basic.Ack, delivery_tag=1), CLOSE]
        >> Advance(60_000)
        >> alarm(on=False)
        << [unblocked(), *delivery(b"1", 1), *delivery(b"2", 2), CLOSE_OK]
    )


def test_a_connection_stays_blocked_until_all_alarms_are_cleared(play: Playbook) -> None:
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


def test_an_alarm_blocks_connections_that_are_opened_later(play: Playbook) -> None:
    assert (
        play
        >> alarm()
        >> Connect("b")
        >> [DECLARE, say(Queue.Declare, queue="q", by="b")]
        << [declare_ok(), declare_ok(by="b")]
        >> publish(b"x", "q", by="b")
        << blocked(by="b")
        >> alarm(on=False)
        << unblocked(by="b")
        >> DECLARE
        << declare_ok(1)
    )


def test_clients_without_the_capability_are_not_notified(play: Playbook) -> None:
    assert (
        play
        >> [DECLARE, alarm()]
        << declare_ok()
        >> Connect("b", capabilities=())
        >> publish(b"x", "q", by="b")
        >> DECLARE
        << declare_ok()
        >> alarm(on=False)
        >> DECLARE
        << declare_ok(1)
    )


def test_a_connection_can_be_blocked_in_the_middle_of_a_message(play: Playbook) -> None:
    body = bytes(300_000)
    assert (
        play
        >> [DECLARE, alarm()]
        << declare_ok()
        >> publish(body, "q")
        << blocked()
        >> alarm(on=False)
        << unblocked()
        >> say(Basic.Get, queue="q")
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q"), content(body)]
    )


def test_a_blocked_connection_can_be_lost(play: Playbook) -> None:
    assert (
        play
        >> Connect("b")
        >> [DECLARE, alarm()]
        << declare_ok()
        >> publish(b"x", "q", by="b")
        << blocked(by="b")
        >> HangUp("b")
        >> alarm(on=False)
        >> DECLARE
        << declare_ok()
    )


def test_a_blocked_connection_can_be_closed_by_the_broker(play: Playbook) -> None:
    def end(stage: Stage) -> None:
        stage.clients["a"].connection.shut(errors.connection_forced("enough"))

    assert (
        play
        >> alarm()
        >> publish(b"x", "q")
        << blocked()
        >> Do("shut", end)
        << closed_by_broker("enough")
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


def test_a_consumer_that_does_not_read_gets_limited_output(play: Playbook) -> None:
    """Other messages go to other consumers, or stay ready."""
    ten = [line for i in range(10) for line in publish(b"%d" % i, "q", by="b")]
    assert (
        play
        >> Connect("b")
        >> [DECLARE, say(Basic.Consume, queue="q", consumer_tag="c", no_ack=True)]
        << [declare_ok(), say(Basic.ConsumeOk, consumer_tag="c")]
        >> pause(True)
        >> ten
        >> say(Queue.Declare, queue="q", by="b")
        << say(Queue.DeclareOk, queue="q", message_count=10, consumer_count=1, by="b")
        >> pause(False)
        << [line for i in range(10) for line in delivery(b"%d" % i, i + 1)]
    )


def test_a_long_backlog_is_sent_in_many_ticks() -> None:
    """The size of an outbox is bounded, however many messages are ready."""
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
def test_closed_channels_are_counted(play: Playbook, how: str) -> None:
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


def test_a_connection_lost_at_any_octet_leaves_nothing_behind() -> None:
    stage = Stage(Settings(), lambda data: (data,))
    stage.connect(Connect("b"))
    vhost = stage.broker.vhosts["/"]
    octets = b"".join(
        [
            method_frame(1, Queue.Declare, queue="x", exclusive=True),
            method_frame(1, Queue.Declare, queue="q", auto_delete=True),
            method_frame(1, Basic.Consume, queue="q", consumer_tag="c"),
            method_frame(1, Confirm.Select),
            method_frame(1, Basic.Publish, routing_key="q"),
            content_frames(Content(b"hello"), {}, 4096),
            method_frame(1, Basic.Get, queue="x"),
            method_frame(2, Channel.Open),
            method_frame(2, Tx.Select),
            method_frame(2, Basic.Consume, queue="q", consumer_tag="d"),
            method_frame(0, Connection.Close, reply_code=200, reply_text="", class_id=0, method_id=0),
        ]
    )
    for at in range(len(octets)):
        stage.connect(Connect("a"))
        stage.play([Octets(octets[:at])])
        stage.hang_up("a")
        stage.listen()
        assert "x" not in vhost.queues
        assert len(vhost.connections) == 1 and len(stage.broker.connections) == 1
        left = vhost.queues.get("q")
        assert left is None or (not left.consumers.members and left.unacked == 0)
