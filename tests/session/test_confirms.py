"""Publisher confirms: several in one frame, and never for a publish that is not safe."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic, Channel, Confirm, Queue, Tx

from leveret.engine.tallies import PublishTally
from leveret.session.confirms import Confirms
from leveret.testing.playbook import Connect, Do, Playbook, Stage, content, delivery, publish, refusal, say
from leveret.wire.frames import Outbox
from leveret.wire.methods import decode_method

SELECT = say(Confirm.Select)
SELECT_OK = say(Confirm.SelectOk)
DECLARE = say(Queue.Declare, queue="q")
DECLARED = say(Queue.DeclareOk, queue="q")
REJECTING = say(Queue.Declare, queue="r", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})


def ack(tag: int, multiple: bool = False):  # type: ignore[no-untyped-def]
    return say(Basic.Ack, delivery_tag=tag, multiple=multiple)


def nack(tag: int):  # type: ignore[no-untyped-def]
    return say(Basic.Nack, delivery_tag=tag, multiple=True, requeue=True)


# --- plays


def test_publishes_are_confirmed_one_by_one_or_together(play: Playbook) -> None:
    many = [line for _ in range(5) for line in publish(b"", "q")]
    assert (
        play
        >> [DECLARE, SELECT]
        << [DECLARED, SELECT_OK]
        >> publish(b"", "q")
        << ack(1)
        >> many
        << ack(6, True)
        >> publish(b"", "q")
        << ack(7)
    )


def test_confirm_numbers_start_with_confirm_select(play: Playbook) -> None:
    assert (
        play
        >> [*publish(b"", "q"), SELECT, SELECT, *publish(b"", "q"), SELECT]
        << [SELECT_OK, SELECT_OK, SELECT_OK, ack(1)]
        >> say(Confirm.Select, nowait=True)
        >> publish(b"", "q")
        << ack(2)
    )


def test_a_message_is_returned_before_it_is_confirmed(play: Playbook) -> None:
    returned = say(Basic.Return, reply_code=312, reply_text="NO_ROUTE", exchange="", routing_key="nope")
    assert (
        play
        >> SELECT
        << SELECT_OK
        >> [*publish(b"x", "nope", mandatory=True), *publish(b"y", "nope")]
        << [returned, content(b"x"), ack(2, True)]
    )


def test_a_message_is_confirmed_after_its_delivery(play: Playbook) -> None:
    assert (
        play
        >> [DECLARE, SELECT, say(Basic.Consume, queue="q", consumer_tag="c")]
        << [DECLARED, SELECT_OK, say(Basic.ConsumeOk, consumer_tag="c")]
        >> publish(b"x", "q")
        << [*delivery(b"x", 1), ack(1)]
    )


def test_a_nack_never_covers_several_publishes(play: Playbook) -> None:
    four = [line for _ in range(4) for line in publish(b"", "r")]
    assert (
        play
        >> [REJECTING, SELECT]
        << [say(Queue.DeclareOk, queue="r"), SELECT_OK]
        >> [*four, *publish(b"", "elsewhere")]
        << [ack(1), nack(2), nack(3), nack(4), ack(5)]
        >> say(Basic.Get, queue="r", no_ack=True)
        << [say(Basic.GetOk, delivery_tag=1, routing_key="r"), content()]
        >> publish(b"", "r")
        << ack(6)
    )


def test_a_publish_is_nacked_if_one_queue_refuses(play: Playbook) -> None:
    bindings = [say(Queue.Bind, queue=name, exchange="amq.fanout") for name in ("q", "r")]
    two = [line for _ in range(2) for line in publish(b"", "", "amq.fanout")]
    assert (
        play
        >> [DECLARE, REJECTING, SELECT, *bindings]
        << [DECLARED, say(Queue.DeclareOk, queue="r"), SELECT_OK, say(Queue.BindOk), say(Queue.BindOk)]
        >> two
        << [ack(1), nack(2)]
        >> DECLARE
        << say(Queue.DeclareOk, queue="q", message_count=2)
    )


def test_confirm_select_is_refused_on_a_transactional_channel(play: Playbook) -> None:
    assert (
        play
        >> [say(Tx.Select), SELECT]
        << say(Tx.SelectOk)
        << refusal(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode", Confirm.Select)
    )


def test_confirms_are_sent_before_close_ok(play: Playbook) -> None:
    assert (
        play
        >> [DECLARE, SELECT]
        << [DECLARED, SELECT_OK]
        >> [*publish(b"", "q"), *publish(b"", "q"), say(Channel.Close)]
        << [ack(2, True), say(Channel.CloseOk)]
    )


def test_confirms_are_sent_before_channel_close(play: Playbook) -> None:
    text = "NOT_FOUND - no exchange 'nope' in vhost '/'"
    assert (
        play
        >> [DECLARE, SELECT]
        << [DECLARED, SELECT_OK]
        >> [*publish(b"", "q"), *publish(b"", "q", "nope")]
        << [ack(1), refusal(404, text, Basic.Publish)]
    )


def test_confirms_are_sent_before_connection_close(play: Playbook) -> None:
    text = "CHANNEL_ERROR - second 'channel.open' seen"
    assert (
        play
        >> [DECLARE, SELECT]
        << [DECLARED, SELECT_OK]
        >> [*publish(b"", "q"), say(Channel.Open)]
        << [ack(1), refusal(504, text, Channel.Open, channel=0)]
    )


def test_publishes_to_a_deleted_queue_are_confirmed(play: Playbook) -> None:
    assert (
        play
        >> Connect("b")
        >> [DECLARE, SELECT]
        << [DECLARED, SELECT_OK]
        >> publish(b"", "q")
        << ack(1)
        >> say(Queue.Delete, queue="q", by="b")
        << say(Queue.DeleteOk, message_count=1, by="b")
        >> publish(b"", "q")
        << ack(2)
    )


# --- with a journal (the store settles when it likes)


class SlowJournal:
    """The part of a store that confirms wait for."""

    def __init__(self) -> None:
        self.ticket = 0
        self.settled = 0
        self.calls: list[tuple[int, Callable[[], None]]] = []

    def when_settled(self, ticket: int, call: Callable[[], None]) -> None:
        self.calls.append((ticket, call))

    def settle(self, ticket: int) -> None:
        self.settled = ticket
        ready = [call for at, call in self.calls if at <= ticket]
        self.calls = [one for one in self.calls if one[0] > ticket]
        for call in ready:
            call()


def test_publishes_are_confirmed_when_their_ticket_is_settled() -> None:
    confirms, outbox = Confirms(1), Outbox()
    for ticket in (1, 2, 0, 3):
        number = confirms.publish()
        if ticket:
            confirms.wait(number, ticket, False, PublishTally(None))
        else:
            confirms.settle(number, False)
    assert confirms.unconfirmed == 3
    assert said(confirms, outbox) == []
    confirms.commit(1)
    assert said(confirms, outbox) == [("ack", 1, False)]
    confirms.commit(3)
    assert confirms.unconfirmed == 0
    assert said(confirms, outbox) == [("ack", 4, True)]


# --- the record of a channel


def said(confirms: Confirms, outbox: Outbox) -> list[tuple[str, int, bool]]:
    """The confirms that are written, decoded."""
    confirms.write(outbox)
    data, found = outbox.take(), []
    while data:
        size = int.from_bytes(data[3:7], "big")
        method = decode_method(data[7 : 7 + size])
        found.append(
            ("ack" if isinstance(method, Basic.Ack) else "nack", method.delivery_tag, method.multiple)
        )
        data = data[size + 8 :]
    return found


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), max_size=40), st.randoms())
def test_every_publish_is_confirmed_once_and_correctly(
    steps: list[tuple[int, bool, bool]], random: object
) -> None:
    """Publishes are settled at once or later, in any order; an ack never covers one that is open or refused."""
    confirms, outbox = Confirms(1), Outbox()
    open_numbers: dict[int, bool] = {}
    settled: dict[int, bool] = {}
    answered: dict[int, str] = {}

    def receive() -> None:
        for kind, tag, multiple in said(confirms, outbox):
            low = max(answered, default=0) + 1 if multiple else tag
            for number in range(low, tag + 1):
                assert number not in answered and number in settled
                assert settled[number] == (kind == "nack")
                answered[number] = kind

    for wait, refused, flush in steps:
        number = confirms.publish()
        if wait:
            open_numbers[number] = refused
        else:
            confirms.settle(number, refused)
            settled[number] = refused
        if wait > 2 and open_numbers:
            chosen = random.choice(sorted(open_numbers))  # type: ignore[attr-defined]
            settled[chosen] = open_numbers.pop(chosen)
            confirms.settle(chosen, settled[chosen])
        if flush:
            receive()
    for number, refused in open_numbers.items():
        settled[number] = refused
        confirms.settle(number, refused)
    receive()
    assert len(answered) == confirms.last


def test_a_closed_channel_sends_no_confirms(play: Playbook) -> None:
    def say_late(stage: Stage) -> None:
        channel = stage.clients["a"].connection.channels[1]
        stage.play([say(Channel.Close)])
        channel.confirms.publish()
        channel.confirms.settle(channel.confirms.last, False)
        channel.schedule_confirms()

    assert play >> SELECT << SELECT_OK >> Do("a confirm comes too late", say_late)
