"""tx: publishes and acknowledgements are held until commit."""

from __future__ import annotations

from pamqp.commands import Basic, Channel, Confirm, Queue, Tx

from leveret.config import Settings
from leveret.settings import Limits
from leveret.testing.playbook import Playbook, content, publish, refusal, say
from tests.session.plays import DECLARE, declare_ok, get_ok

SELECT, SELECT_OK = say(Tx.Select), say(Tx.SelectOk)
COMMIT, COMMIT_OK = say(Tx.Commit), say(Tx.CommitOk)
ROLLBACK, ROLLBACK_OK = say(Tx.Rollback), say(Tx.RollbackOk)
GET = say(Basic.Get, queue="q")


def test_publishes_are_held_until_commit(play: Playbook) -> None:
    assert (
        play
        >> [SELECT, DECLARE, *publish(b"1", "q"), *publish(b"2", "q"), DECLARE]
        << [SELECT_OK, declare_ok(), declare_ok()]
        >> [COMMIT]
        << COMMIT_OK
        >> DECLARE
        << declare_ok(2)
        >> [SELECT, *publish(b"3", "q")]
        << SELECT_OK
        >> COMMIT
        << COMMIT_OK
        >> DECLARE
        << declare_ok(3)
    )


def test_rollback_discards_publishes(play: Playbook) -> None:
    assert (
        play
        >> [SELECT, DECLARE, *publish(b"1", "q"), ROLLBACK]
        << [SELECT_OK, declare_ok(), ROLLBACK_OK]
        >> COMMIT
        << COMMIT_OK
        >> DECLARE
        << declare_ok()
    )


def test_acknowledgements_are_held_until_commit(play: Playbook) -> None:
    assert (
        play
        >> [DECLARE, *publish(b"1", "q"), *publish(b"2", "q"), SELECT, GET, GET]
        << [declare_ok(), SELECT_OK, *get_ok(b"1", 1, 1), *get_ok(b"2", 2)]
        >> [say(Basic.Ack, delivery_tag=2, multiple=True), ROLLBACK]
        << ROLLBACK_OK
        >> [say(Basic.Ack, delivery_tag=1), say(Basic.Nack, delivery_tag=2, requeue=True), DECLARE]
        << declare_ok()
        >> COMMIT
        << COMMIT_OK
        >> [GET, GET]
        << [*get_ok(b"2", 3, redelivered=True), say(Basic.GetEmpty)]
    )


def test_a_tag_is_settled_once_within_a_transaction(play: Playbook) -> None:
    assert (
        play
        >> [DECLARE, *publish(b"1", "q"), SELECT, GET]
        << [declare_ok(), SELECT_OK, *get_ok(b"1", 1)]
        >> [say(Basic.Ack, delivery_tag=1), say(Basic.Ack, delivery_tag=1)]
        << refusal(406, "PRECONDITION_FAILED - unknown delivery tag 1", Basic.Ack)
        >> [say(Channel.CloseOk), say(Channel.Open)]
        << say(Channel.OpenOk)
        >> DECLARE
        << declare_ok(1)
    )


def test_closing_discards_the_transaction(play: Playbook) -> None:
    assert (
        play
        >> [DECLARE, *publish(b"1", "q"), SELECT, *publish(b"2", "q"), GET]
        << [declare_ok(), SELECT_OK, *get_ok(b"1", 1)]
        >> [say(Basic.Ack, delivery_tag=1), say(Channel.Close)]
        << say(Channel.CloseOk)
        >> say(Channel.Open)
        << say(Channel.OpenOk)
        >> DECLARE
        << declare_ok(1)
    )


def test_a_publish_to_a_missing_exchange_is_refused_at_once(play: Playbook) -> None:
    text = "NOT_FOUND - no exchange 'nope' in vhost '/'"
    assert play >> [SELECT, *publish(b"", "q", "nope")] << [SELECT_OK, refusal(404, text, Basic.Publish)]


def test_messages_are_returned_at_commit(play: Playbook) -> None:
    returned = say(Basic.Return, reply_code=312, reply_text="NO_ROUTE", exchange="", routing_key="nope")
    assert (
        play
        >> [SELECT, *publish(b"x", "nope", mandatory=True)]
        << SELECT_OK
        >> COMMIT
        << [returned, content(b"x"), COMMIT_OK]
    )


def test_a_publish_that_a_queue_refuses_fails_the_commit(play: Playbook) -> None:
    full = say(Queue.Declare, queue="q", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    assert (
        play
        >> [SELECT, full, *publish(b"1", "q"), *publish(b"2", "q")]
        << [SELECT_OK, declare_ok()]
        >> COMMIT
        << refusal(406, "PRECONDITION_FAILED - partial tx completion", Tx.Commit)
        >> [say(Channel.CloseOk), say(Channel.Open)]
        << say(Channel.OpenOk)
        >> say(Queue.Declare, queue="q", passive=True)
        << declare_ok(1)
    )


def test_commit_and_rollback_are_refused_without_tx_select(play: Playbook) -> None:
    text = "PRECONDITION_FAILED - channel is not transactional"
    assert (
        play
        >> COMMIT
        << refusal(406, text, Tx.Commit)
        >> [say(Channel.CloseOk), say(Channel.Open), ROLLBACK]
        << [say(Channel.OpenOk), refusal(406, text, Tx.Rollback)]
    )


def test_tx_select_is_refused_in_confirm_mode(play: Playbook) -> None:
    assert (
        play
        >> [say(Confirm.Select), SELECT]
        << say(Confirm.SelectOk)
        << refusal(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode", Tx.Select)
    )


def test_a_queue_that_is_deleted_before_the_commit_closes_the_connection(play: Playbook) -> None:
    text = 'RESOURCE_ERROR - failed to deliver message: {not_found,{resource,<<"/">>,queue,<<"q">>}}'
    assert (
        play
        >> [SELECT, DECLARE, *publish(b"1", "q"), say(Queue.Delete, queue="q")]
        << [SELECT_OK, declare_ok(), say(Queue.DeleteOk)]
        >> COMMIT
        << refusal(506, text, Tx.Commit, channel=0)
    )


def test_a_transaction_may_hold_so_many_publishes(chunking: str) -> None:
    """channel_tx_message_max, recorded from RabbitMQ 4.3.6."""
    play = Playbook(Settings(limits=Limits(transaction_publishes=2)), chunking)
    text = "PRECONDITION_FAILED - transaction has reached the maximum of 2 uncommitted publishes"
    assert (
        play
        >> [SELECT, DECLARE, *publish(b"1", "q"), *publish(b"2", "q"), COMMIT]
        << [SELECT_OK, declare_ok(), COMMIT_OK]
        >> [*publish(b"3", "q"), *publish(b"4", "q"), *publish(b"5", "q")]
        << refusal(406, text, Basic.Publish)
    )
