"""What older RabbitMQ versions do differently: one test for each field of `Profile` that a conversation shows."""

from __future__ import annotations

import pytest
from pamqp.commands import Basic, Channel, Confirm, Exchange, Queue, Tx

from leveret.config import Settings
from leveret.settings import Profile as ProfileSettings
from leveret.testing.playbook import Kept, Octets, Playbook, Say, content, publish, refusal, say

DECLARE = say(Queue.Declare, queue="q")
DECLARED = say(Queue.DeclareOk, queue="q")
SELECT, SELECTED = say(Tx.Select), say(Tx.SelectOk)
CONFIRM, CONFIRMED = say(Confirm.Select), say(Confirm.SelectOk)
ADDRESS = "amq.rabbitmq.reply-to"


def version(name: str) -> Playbook:
    return Playbook(Settings(profile=ProfileSettings(version=name)))


def returned(body: bytes, key: str) -> list[Say]:
    line = say(Basic.Return, reply_code=312, reply_text="NO_ROUTE", exchange="", routing_key=key)
    return [line, content(body)]


def mandatory(body: bytes, key: str) -> list[Say]:
    return [say(Basic.Publish, exchange="", routing_key=key, mandatory=True), content(body)]


PARTIAL = refusal(406, "PRECONDITION_FAILED - partial tx completion", Tx.Commit)
GONE = refusal(
    506,
    'RESOURCE_ERROR - failed to deliver message: {not_found,{resource,<<"/">>,queue,<<"q">>}}',
    Tx.Commit,
    channel=0,
)


@pytest.mark.parametrize(
    ("name", "gone", "there_again"),
    [
        ("4.3", [GONE], [PARTIAL]),
        ("4.2", [GONE], [PARTIAL]),
        ("4.0", [PARTIAL], [PARTIAL]),
        ("3.13", [PARTIAL], [PARTIAL]),
        ("3.10", [*returned(b"1", "q"), say(Tx.CommitOk)], [say(Tx.CommitOk)]),
    ],
)
def test_a_queue_that_is_deleted_before_the_commit_is_handled_by_version(
    name: str, gone: list[Say], there_again: list[Say]
) -> None:
    for again, outcome in ((False, gone), (True, there_again)):
        assert (
            version(name)
            >> [SELECT, DECLARE, *mandatory(b"1", "q"), say(Queue.Delete, queue="q")]
            << [SELECTED, DECLARED, say(Queue.DeleteOk)]
            >> ([DECLARE] if again else [])
            << ([DECLARED] if again else [])
            >> say(Tx.Commit)
            << outcome
        )


@pytest.mark.parametrize("name", ["4.3", "4.2", "4.0", "3.13", "3.10"])
def test_basic_cancel_ok_from_a_client_is_refused(name: str) -> None:
    line = (
        refusal(541, "INTERNAL_ERROR", channel=0)
        if name == "4.3"
        else refusal(503, "COMMAND_INVALID - unimplemented method", Basic.CancelOk, channel=0)
    )
    assert version(name) >> say(Basic.CancelOk, consumer_tag="x") << line


@pytest.mark.parametrize("name", ["4.3", "4.0", "3.13", "3.10"])
def test_the_user_id_is_checked_before_the_expiration_until_3_13(name: str) -> None:
    user = "user_id property set to 'bob' but authenticated user was 'guest'"
    text = "invalid expiration 'abc': no_integer" if name >= "4" else user
    assert (
        version(name)
        >> publish(b"", "q", user_id="bob", expiration="abc")
        << refusal(406, f"PRECONDITION_FAILED - {text}", Basic.Publish)
    )


@pytest.mark.parametrize(("name", "given"), [("4.3", "600000"), ("3.13", "600000"), ("3.10", "+600000")])
def test_the_expiration_is_delivered_as_the_version_writes_it(name: str, given: str) -> None:
    assert (
        version(name)
        >> [DECLARE, *publish(b"", "q", expiration="+600000"), say(Basic.Get, queue="q")]
        << [DECLARED, say(Basic.GetOk, delivery_tag=1, routing_key="q"), content(b"", expiration=given)]
    )


@pytest.mark.parametrize("name", ["4.3", "4.0", "3.10"])
def test_a_malformed_address_of_two_words_is_unroutable_in_4_3(name: str) -> None:
    key = ADDRESS + ".bo.gus"
    outcome = returned(b"x", key) if name == "4.3" else [refusal(541, "INTERNAL_ERROR", channel=0)]
    assert version(name) >> mandatory(b"x", key) << outcome
    assert version(name) >> mandatory(b"x", ADDRESS + ".bogus") << returned(b"x", ADDRESS + ".bogus")


@pytest.mark.parametrize("name", ["4.3", "4.0", "3.10"])
def test_long_reply_texts_are_cut_by_octets_or_characters(name: str) -> None:
    """Until 3.13 by octets; from 4.0 on by characters, and a text with too many octets is a bare 541."""
    long = "\u00e9" * 127
    cut = "NOT_FOUND - no queue '" + "\u00e9" * 115 + "..."
    line = refusal(404, cut, Queue.Declare) if name == "3.10" else refusal(541, "INTERNAL_ERROR", channel=0)
    assert version(name) >> say(Queue.Declare, queue=long, passive=True) << line


@pytest.mark.parametrize(("name", "word"), [("4.3", "invalid"), ("4.0", "unknown")])
def test_the_exchange_type_of_jms_is_refused(name: str, word: str) -> None:
    text = f"PRECONDITION_FAILED - {word} exchange type 'x-jms-topic'"
    line = say(Exchange.Declare, exchange="x", exchange_type="x-jms-topic")
    assert version(name) >> line << refusal(406, text, Exchange.Declare)


def test_until_3_13_basic_credit_is_known() -> None:
    """pamqp does not know it: class 60, method 200; consumer tag, credit and drain."""
    frame = Octets(bytes.fromhex("010001 0000000a 003c00c8 00 00000000 00 ce".replace(" ", "")))
    text = "PRECONDITION_FAILED - unknown consumer tag ''"
    line = say(Channel.Close, reply_code=406, reply_text=text, class_id=60, method_id=200)
    assert version("3.13") >> frame << line


# --- x-recent-history bound to an exchange


def kept(*keys: str) -> list[Say]:
    """Declare exchange `h`, which stores messages 0, 1, ... published with `keys`, and a direct one to which `q` is
    bound by `k`."""
    return [
        say(Exchange.Declare, exchange="h", exchange_type="x-recent-history"),
        say(Exchange.Declare, exchange="x", exchange_type="direct"),
        DECLARE,
        say(Queue.Bind, queue="q", exchange="x", routing_key="k"),
        *(
            said
            for number, key in enumerate(keys)
            for said in publish(str(number).encode(), key, exchange="h")
        ),
    ]


MADE = [say(Exchange.DeclareOk), say(Exchange.DeclareOk), DECLARED, say(Queue.BindOk)]
JOIN = say(Exchange.Bind, destination="x", source="h", nowait=False)


def test_history_is_replayed_newest_first() -> None:
    """Seen on 4.3.6 and 3.10.8."""
    first = say(Basic.Get, queue="q", no_ack=True)
    ok = say(Basic.GetOk, delivery_tag=1, exchange="h", routing_key="k", message_count=1)
    assert (
        version("4.3")
        >> kept("k", "k")
        << MADE
        >> JOIN
        << say(Exchange.BindOk)
        >> first
        << [ok, content(b"1")]
    )


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        (
            "4.3",
            refusal(541, "INTERNAL_ERROR - could not find queue/exchange ''", Exchange.Bind, channel=0),
        ),
        ("3.10", refusal(541, "INTERNAL_ERROR", channel=0)),
    ],
)
def test_history_without_a_route_is_handled_by_version(name: str, outcome: Say) -> None:
    assert version(name) >> kept("none", "k") << MADE >> JOIN << outcome


@pytest.mark.parametrize(("name", "early"), [("4.3", False), ("4.2", False), ("4.0", True), ("3.10", True)])
def test_replies_in_a_transaction_are_handled_by_version(name: str, early: bool) -> None:
    play = version(name)
    address = Kept("address", r"amq\.rabbitmq\.reply-to\.[A-Za-z0-9+/=]+\.[A-Za-z0-9+/=]+")
    answer = [
        say(Basic.Deliver, consumer_tag="r", delivery_tag=2, exchange="", routing_key=address),
        content(b"!"),
    ]
    request = [say(Basic.Publish, exchange="", routing_key="q"), content(b"?", reply_to=ADDRESS)]
    assert (
        play
        >> [DECLARE, say(Basic.Consume, queue=ADDRESS, consumer_tag="r", no_ack=True), *request]
        << [DECLARED, say(Basic.ConsumeOk, consumer_tag="r")]
        >> say(Basic.Get, queue="q", no_ack=True)
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q"), content(b"?", reply_to=address)]
        >> [SELECT, say(Basic.Publish, exchange="", routing_key=address), content(b"!")]
        << [SELECTED, *(answer if early else [])]
        >> say(Tx.Commit)
        << [*([] if early else answer), say(Tx.CommitOk)]
    )
