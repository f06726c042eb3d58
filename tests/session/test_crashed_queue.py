"""A crashed queue, whose messages could not be read back, as its clients see it."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Confirm, Queue

from leveret.testing.playbook import Do, Playbook, Say, publish, refusal, say

TEXT = "NOT_FOUND - queue 'q' in vhost '/' has crashed and failed to restart"


def crash(stage: Any) -> None:
    stage.broker.vhosts["/"].queues["q"].crash("the disk is gone")
    stage.broker.message_time.run()


CRASH = Do("q crashes", crash)


def test_a_crashed_queue_cancels_consumers_and_refuses_publishes(play: Playbook) -> None:
    declared = say(Queue.DeclareOk, queue="q", message_count=0, consumer_count=0)
    assert (
        play
        >> [say(Queue.Declare, queue="q"), say(Basic.Consume, queue="q", consumer_tag="c")]
        << [declared, say(Basic.ConsumeOk, consumer_tag="c")]
        >> CRASH
        << say(Basic.Cancel, consumer_tag="c", nowait=True)
        >> say(Confirm.Select)
        << say(Confirm.SelectOk)
        >> publish(b"x", "q")
        << say(Basic.Nack, delivery_tag=1, multiple=True, requeue=True)
    )


@pytest.mark.parametrize(
    "method",
    [
        say(Queue.Declare, queue="q"),
        say(Queue.Declare, queue="q", passive=True),
        say(Queue.Purge, queue="q"),
        say(Basic.Consume, queue="q"),
        say(Basic.Get, queue="q"),
    ],
    ids=["declare", "passive declare", "purge", "consume", "get"],
)
def test_operations_on_a_crashed_queue_get_404_until_it_is_deleted(play: Playbook, method: Say) -> None:
    declared = say(Queue.DeclareOk, queue="q", message_count=0, consumer_count=0)
    assert (
        play
        >> say(Queue.Declare, queue="q")
        << declared
        >> CRASH
        << []
        >> method
        << refusal(404, TEXT, method.command)
        >> [say(Channel.CloseOk), say(Channel.Open)]
        << say(Channel.OpenOk)
        >> [say(Queue.Delete, queue="q"), say(Queue.Declare, queue="q")]
        << [say(Queue.DeleteOk, message_count=0), declared]
    )
