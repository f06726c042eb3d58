"""Direct reply-to: replies that pass no queue."""

from __future__ import annotations

import pytest
from pamqp.commands import Basic, Channel, Queue

from leveret.testing.playbook import (
    Connect,
    HangUp,
    Kept,
    Playbook,
    content,
    delivery,
    publish,
    refusal,
    say,
)

NAME = "amq.rabbitmq.reply-to"
CONSUME = say(Basic.Consume, queue=NAME, consumer_tag="r", no_ack=True)
CONSUME_OK = say(Basic.ConsumeOk, consumer_tag="r")
ADDRESS = Kept("address", r"amq\.rabbitmq\.reply-to\.[A-Za-z0-9+/=]+\.[A-Za-z0-9+/=]+")
SERVE = say(Basic.Consume, queue="q", consumer_tag="s", no_ack=True, by="b")


def with_request(play: Playbook) -> Playbook:
    """A play in which `a` has sent a request to `b`, who has the reply address."""
    return (
        play
        >> Connect("b")
        >> [say(Queue.Declare, queue="q", by="b"), SERVE]
        << [say(Queue.DeclareOk, queue="q", by="b"), say(Basic.ConsumeOk, consumer_tag="s", by="b")]
        >> CONSUME
        << CONSUME_OK
        >> publish(b"?", "q", reply_to=NAME)
        << delivery(b"?", 1, consumer="s", by="b", reply_to=ADDRESS)
    )


def reply(body: bytes = b"!", mandatory: bool = False):  # type: ignore[no-untyped-def]
    line = say(Basic.Publish, routing_key=ADDRESS, mandatory=mandatory, by="b")
    return [line, content(body, by="b")]


def answer(body: bytes, tag: int):  # type: ignore[no-untyped-def]
    line = say(Basic.Deliver, consumer_tag="r", delivery_tag=tag, exchange="", routing_key=ADDRESS)
    return [line, content(body)]


def test_a_request_gets_its_replies(play: Playbook) -> None:
    assert (
        with_request(play)
        >> reply(b"1")
        << answer(b"1", 1)
        >> reply(b"2", mandatory=True)
        << answer(b"2", 2)
        >> publish(b"again", "q", reply_to=NAME)
        << delivery(b"again", 2, consumer="s", by="b", reply_to=ADDRESS)
    )


def test_other_properties_are_not_changed(play: Playbook) -> None:
    assert (
        with_request(play)
        >> publish(b"?", "q", reply_to=NAME, correlation_id="7", headers={"b": 1, "a": 2}, delivery_mode=2)
        << delivery(
            b"?",
            2,
            consumer="s",
            by="b",
            reply_to=ADDRESS,
            correlation_id="7",
            headers={"a": 2, "b": 1},
            delivery_mode=2,
        )
    )


def test_other_reply_to_values_are_not_changed(play: Playbook) -> None:
    assert (
        with_request(play)
        >> publish(b"?", "q", reply_to="mine")
        << delivery(b"?", 2, consumer="s", by="b", reply_to="mine")
    )


@pytest.mark.parametrize("how", ["cancel", "close", "hang up"])
def test_a_reply_without_a_consumer_is_dropped(play: Playbook, how: str) -> None:
    play = with_request(play)
    if how == "cancel":
        play = play >> say(Basic.Cancel, consumer_tag="r") << say(Basic.CancelOk, consumer_tag="r")
    elif how == "close":
        play = play >> say(Channel.Close) << say(Channel.CloseOk)
    else:
        play = play >> HangUp("a")
    assert (
        play
        >> reply()
        >> say(Queue.Declare, queue=ADDRESS, passive=True, by="b")
        << say(Channel.Close, reply_code=404, reply_text=Kept("text"), class_id=50, method_id=10, by="b")
    )
    assert not play.stage.broker.reply_addresses


@pytest.mark.parametrize("key", [NAME, NAME + ".bogus"])
def test_a_malformed_address_is_unroutable(play: Playbook, key: str) -> None:
    returned = say(Basic.Return, reply_code=312, reply_text="NO_ROUTE", exchange="", routing_key=key)
    assert play >> publish(b"x", key, mandatory=True) << [returned, content(b"x")]


def test_a_reply_consumer_with_ack_is_refused(play: Playbook) -> None:
    line = say(Basic.Consume, queue=NAME)
    text = "PRECONDITION_FAILED - reply consumer cannot acknowledge"
    assert play >> line << refusal(406, text, Basic.Consume)


def test_a_tag_in_use_is_refused_before_a_missing_no_ack(play: Playbook) -> None:
    """Seen on 4.3.6 and 3.10.8."""
    lines = [
        say(Queue.Declare, queue="q"),
        say(Basic.Consume, queue="q", consumer_tag="t"),
        say(Basic.Consume, queue=NAME, consumer_tag="t"),
    ]
    replies = [
        say(Queue.DeclareOk, queue="q", message_count=0, consumer_count=0),
        say(Basic.ConsumeOk, consumer_tag="t"),
        refusal(530, "NOT_ALLOWED - attempt to reuse consumer tag 't'", Basic.Consume, channel=0),
    ]
    assert play >> lines << replies


def test_a_second_reply_consumer_on_a_channel_is_refused(play: Playbook) -> None:
    text = "PRECONDITION_FAILED - reply consumer already set"
    assert play >> [CONSUME, CONSUME] << [CONSUME_OK, refusal(406, text, Basic.Consume)]


def test_a_request_without_a_reply_consumer_is_refused(play: Playbook) -> None:
    text = "PRECONDITION_FAILED - fast reply consumer does not exist"
    assert play >> publish(b"?", "q", reply_to=NAME) << refusal(406, text, Basic.Publish)


def test_a_reply_consumer_can_be_cancelled_and_started_again(play: Playbook) -> None:
    cancel = say(Basic.Cancel, consumer_tag="r")
    assert (
        play >> [CONSUME, cancel, CONSUME] << [CONSUME_OK, say(Basic.CancelOk, consumer_tag="r"), CONSUME_OK]
    )
    assert len(play.stage.broker.reply_addresses) == 1


def test_the_pseudo_queue_and_its_addresses_can_be_declared(play: Playbook) -> None:
    named = say(Queue.DeclareOk, queue=NAME, message_count=0, consumer_count=1)
    alive = say(Queue.DeclareOk, queue=ADDRESS, message_count=0, consumer_count=1, by="b")
    assert (
        with_request(play)
        >> [say(Queue.Declare, queue=NAME), say(Queue.Declare, queue=NAME, passive=True)]
        << [named, named]
        >> say(Queue.Declare, queue=ADDRESS, passive=True, by="b")
        << alive
        >> say(Queue.Declare, queue=ADDRESS, by="b")
        << alive
        >> say(Queue.Delete, queue=NAME)
        << say(Queue.DeleteOk)
    )


def test_declaring_a_malformed_address_closes_the_connection(play: Playbook) -> None:
    line = say(Queue.Declare, queue=NAME + ".bogus", passive=True)
    assert play >> line << refusal(541, "INTERNAL_ERROR", channel=0)


def test_an_address_cannot_be_bound(play: Playbook) -> None:
    text = "ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue"
    line = say(Queue.Bind, queue=ADDRESS, exchange="amq.fanout", by="b")
    assert with_request(play) >> line << refusal(403, text, Queue.Bind, by="b")


@pytest.mark.parametrize("line", [say(Basic.Get, queue=NAME), say(Queue.Purge, queue=NAME)])
def test_other_operations_on_the_pseudo_queue_get_404(play: Playbook, line) -> None:  # type: ignore[no-untyped-def]
    text = f"NOT_FOUND - no queue '{NAME}' in vhost '/'"
    assert play >> line << refusal(404, text, line.command)


def test_the_pseudo_queue_can_be_the_last_declared_queue(play: Playbook) -> None:
    named = say(Queue.DeclareOk, queue=NAME, message_count=0, consumer_count=1)
    unnamed = say(Basic.Consume, consumer_tag="r", no_ack=True)
    assert play >> [say(Queue.Declare, queue=NAME), unnamed] << [named, CONSUME_OK]
    assert len(play.stage.broker.reply_addresses) == 1


def test_an_address_is_consumed_once_and_only_by_its_channel(play: Playbook) -> None:
    other = r"PRECONDITION_FAILED - only creator channel may consume from queue '.+' in vhost '/'"
    own = r"PRECONDITION_FAILED - multiple consumers are unsupported for queue '.+' in vhost '/'"
    line = {"queue": ADDRESS, "no_ack": True}
    assert (
        with_request(play)
        >> say(Basic.Consume, **line, by="b")
        << refusal(406, Kept("other", other), Basic.Consume, by="b")
        >> say(Basic.Consume, **line)
        << refusal(406, Kept("own", own), Basic.Consume)
    )


def test_a_channel_does_not_find_its_own_address(play: Playbook) -> None:
    text = Kept("text", r"NOT_FOUND - no queue 'amq\.rabbitmq\.reply-to\..+' in vhost '/'")
    assert with_request(play) >> say(Queue.Declare, queue=ADDRESS) << refusal(404, text, Queue.Declare)
