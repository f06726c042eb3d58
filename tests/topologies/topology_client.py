"""A small client for topologies: it declares, publishes, gets, settles, and lets days pass.

It sends frames to a broker on a virtual clock (`leveret.testing.playbook.Stage`); every declaration must be accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pamqp.base import Frame
from pamqp.commands import Basic, Confirm, Exchange, Queue

from leveret.config import Settings
from leveret.settings import Profile
from leveret.testing.playbook import Advance, Connect, Content, Line, Say, Stage, publish, say
from leveret.wire.tables import plain

#: Milliseconds.
SECOND = 1000
DAY = 24 * 3600 * SECOND


@dataclass(frozen=True)
class Delivered:
    """A message that a client got. `headers` are plain Python."""

    body: bytes
    tag: int
    exchange: str
    routing_key: str
    redelivered: bool
    headers: dict[str, Any]


class TopologyClient:
    """One broker, one connection, one channel in confirm mode."""

    def __init__(self, version: str = "4.3") -> None:
        self.stage = Stage(Settings(profile=Profile(version=version)), lambda data: (data,))
        self.stage.connect(Connect("a", channels=(1,)))
        self.ask(say(Confirm.Select), Confirm.SelectOk)

    def ask(self, question: Line, answer: type[Frame]) -> Say:
        """Send a method that must get this answer."""
        said = self.stage.play([question])
        assert len(said) == 1 and isinstance(said[0], Say) and said[0].command is answer, [*map(str, said)]
        return said[0]

    # --- declarations

    def exchange(self, name: str, kind: str = "topic", **arguments: Any) -> str:
        """Declare a durable exchange."""
        declare = say(
            Exchange.Declare, exchange=name, exchange_type=kind, durable=True, arguments=named(arguments)
        )
        self.ask(declare, Exchange.DeclareOk)
        return name

    def queue(self, name: str, **arguments: Any) -> str:
        """Declare a durable queue; `message_ttl=1` is the argument `x-message-ttl`."""
        declare = say(Queue.Declare, queue=name, durable=True, arguments=named(arguments))
        self.ask(declare, Queue.DeclareOk)
        return name

    def bind(self, queue: str, exchange: str, key: str = "") -> None:
        """Bind a queue to an exchange."""
        self.ask(say(Queue.Bind, queue=queue, exchange=exchange, routing_key=key), Queue.BindOk)

    def join(self, destination: str, source: str, key: str = "") -> None:
        """Bind an exchange to an exchange."""
        bind = say(Exchange.Bind, destination=destination, source=source, routing_key=key)
        self.ask(bind, Exchange.BindOk)

    # --- messages

    def send(self, body: bytes, key: str, exchange: str = "", **properties: Any) -> None:
        """Publish as mandatory; the message must be routed and confirmed."""
        lines = publish(body, key, exchange, mandatory=True, delivery_mode=2, **properties)
        said = self.stage.play(lines)
        assert [line.command for line in said if isinstance(line, Say)] == [Basic.Ack], [*map(str, said)]

    def get(self, queue: str) -> Delivered | None:
        """basic.get with acknowledgement."""
        said = self.stage.play([say(Basic.Get, queue=queue)])
        method = said[0]
        assert isinstance(method, Say)
        if method.command is Basic.GetEmpty:
            return None
        content = said[1]
        assert isinstance(content, Content)
        given = method.arguments
        return Delivered(
            content.body,
            given["delivery_tag"],
            given["exchange"],
            given["routing_key"],
            given["redelivered"],
            plain(content.properties.get("headers", {})),
        )

    def take(self, queue: str) -> Delivered:
        """basic.get of a message that must be there."""
        got = self.get(queue)
        assert got is not None, f"nothing in {queue}"
        return got

    def ack(self, message: Delivered) -> None:
        """basic.ack."""
        assert self.stage.play([say(Basic.Ack, delivery_tag=message.tag)]) == []

    def reject(self, message: Delivered, requeue: bool = False) -> None:
        """basic.reject."""
        assert self.stage.play([say(Basic.Reject, delivery_tag=message.tag, requeue=requeue)]) == []

    # --- what is to be seen

    def wait(self, milliseconds: int) -> None:
        """Let time pass."""
        assert self.stage.play([Advance(milliseconds)]) == []

    def ready(self, queue: str) -> int:
        """The number of ready messages."""
        return int(self.stage.broker.vhosts["/"].queues[queue].ready)

    def queues(self) -> list[str]:
        """The names of the queues."""
        return sorted(self.stage.broker.vhosts["/"].queues)


def named(arguments: dict[str, Any]) -> dict[str, Any]:
    """`message_ttl` becomes `x-message-ttl`; names with a hyphen stay as they are."""
    return {
        name if "-" in name else "x-" + name.replace("_", "-"): value for name, value in arguments.items()
    }
