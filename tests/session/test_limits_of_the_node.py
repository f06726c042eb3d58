"""Limits of rabbitmq.conf on channels and consumers, in the words of RabbitMQ 4.3 (rabbit_reader, rabbit_channel)."""

from __future__ import annotations

from pamqp.commands import Basic, Channel

from leveret.config import Settings
from leveret.settings import Amqp, Server
from leveret.testing.playbook import Playbook, refusal, say
from tests.session.plays import DECLARE, declare_ok


def test_a_channel_has_a_largest_number_of_consumers(chunking: str) -> None:
    play = Playbook(chunking=chunking, settings=Settings(amqp=Amqp(consumer_max_per_channel=1)))
    consume = say(Basic.Consume, queue="q", consumer_tag="one")
    more = say(Basic.Consume, queue="q", consumer_tag="two")
    assert (
        play
        >> DECLARE
        << declare_ok()
        >> consume
        << say(Basic.ConsumeOk, consumer_tag="one")
        >> more
        << refusal(
            530, "NOT_ALLOWED - reached maximum (1) of consumers per channel", Basic.Consume, channel=0
        )
    )


def test_a_node_has_a_largest_number_of_channels(chunking: str) -> None:
    settings = Settings(server=Server(node="n@h"), amqp=Amqp(channel_max_per_node=1))
    play = Playbook(chunking=chunking, settings=settings)
    text = "NOT_ALLOWED - number of channels opened on node 'n@h' has reached the maximum allowed limit of 1"
    assert play >> say(Channel.Open, channel=2) << refusal(530, text, channel=0)
