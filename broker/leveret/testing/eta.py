"""`Clock.hold_eta`: tasks of Celery with an ETA wait in the broker, by its clock.

Celery sends `countdown` and `eta` as a header, in the wall time of the sender, and the worker waits for that time by
its own clock. With `hold_eta` a routable message with a later `eta` waits here for as long as its sender meant, from
the moment it comes in, and is then delivered without the header. What goes to Celery's own delay exchanges waits there,
and only loses the header.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from leveret.engine.changes import VhostDeleted
from leveret.engine.observers import Observer, on
from leveret.errors import AmqpError
from leveret.queues.message import Destination, Message, frame_content
from leveret.wire.properties import decode_properties, encode_properties

if TYPE_CHECKING:
    from leveret.clock import ScheduledCall
    from leveret.engine.broker import Broker as Engine
    from leveret.engine.clients import ClientChannel
    from leveret.engine.vhost import VirtualHost
    from leveret.wire.properties import Properties
    from leveret.wire.tables import Field

#: Celery's exchanges for native delayed delivery (kombu.transport.native_delayed_delivery).
DELAY_EXCHANGES = b"celery_delayed_"

#: The name of the header, as octets of a table.
_ETA = b"\x03eta"

_PLACE = "held task"


class EtaHolding(Observer):
    """Holds tasks until their ETA. `waiting`: those that are held, in the order in which they came."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.waiting: dict[HeldTask, ScheduledCall] = {}

    def of(self, vhost: VirtualHost) -> list[HeldTask]:
        """Return the tasks that are held in a virtual host, in order of their ETA."""
        found = [task for task in self.waiting if task.engine_vhost is vhost]
        return sorted(found, key=lambda task: self.waiting[task].at)

    def due_at(self, task: HeldTask) -> int:
        """Return when a task that is held is delivered, ms since the epoch."""
        return self.waiting[task].at

    def hold(self, task: HeldTask, at: int) -> None:
        """Hold a task until a moment, ms since the epoch."""
        self.waiting[task] = self.engine.message_time.call_at(at, task)

    def forget(self, vhost: VirtualHost) -> None:
        """Let go of all tasks that are held in a virtual host."""
        for task in self.of(vhost):
            self.engine.message_time.cancel(self.waiting.pop(task))

    @on(VhostDeleted)
    def _vhost_deleted(self, change: VhostDeleted) -> None:
        """Let go of the tasks of a virtual host: they are due no more."""
        for task in [task for task in self.waiting if task.vhost == change.name]:
            self.engine.message_time.cancel(self.waiting.pop(task))

    def routed(
        self, channel: ClientChannel, message: Message, targets: list[Destination]
    ) -> list[Destination]:
        """Return where a message goes: to a `HeldTask` if it has a later ETA."""
        vhost = self.engine.vhosts.get(channel.connection.vhost.name) if channel.connection.vhost else None
        if not targets or vhost is None or _ETA not in message.header:
            return targets
        properties = _decoded(message)
        delay_ms = _delay_ms((properties.headers or {}).get("eta")) if properties is not None else 0
        if properties is None or delay_ms <= 0:
            return targets
        if message.exchange.startswith(DELAY_EXCHANGES):
            delay_ms = 0
        return [HeldTask(self, vhost, _without_eta(message, properties), targets, delay_ms)]


class HeldTask(Destination):
    """One message that waits `delay_ms` for its queues (0: not at all). `gone`: it takes no further message."""

    def __init__(
        self,
        holding: EtaHolding,
        vhost: VirtualHost,
        message: Message,
        queues: list[Destination],
        delay_ms: int,
    ) -> None:
        super().__init__(queues[0].name, vhost.name)
        self.holding = holding
        self.engine_vhost = vhost
        self.message = message
        self.queues = queues
        self.delay_ms = delay_ms

    @property
    def described(self) -> str:
        """What is due, in words."""
        return f"a task for queue '{self.name}' has waited for its ETA"

    def push(self, message: Message) -> int:
        """Hold the message. Nothing is durable before its ETA: there is no ticket."""
        self.gone = True
        self.message.extra = message.extra
        if not self.delay_ms:
            return self._deliver()
        self.holding.hold(self, self.holding.engine.clock.now + self.delay_ms)
        return 0

    def __call__(self) -> None:
        """Deliver the message, unless the virtual host was deleted."""
        self.holding.waiting.pop(self, None)
        if self.holding.engine.vhosts.get(self.vhost) is self.engine_vhost:
            self._deliver()
            self.engine_vhost.publish_dead_letters()

    def _deliver(self) -> int:
        queues = [queue for queue in self.queues if not queue.gone]
        refused = self.engine_vhost.publisher.deliver(self.message, queues, _PLACE)
        return -1 if refused else 0


def has_later_eta(message: Message) -> bool:
    """Return whether a message is a task of Celery whose ETA has not come yet, in real time."""
    if _ETA not in message.header:
        return False
    properties = _decoded(message)
    return properties is not None and _delay_ms((properties.headers or {}).get("eta")) > 0


def _decoded(message: Message) -> Properties | None:
    try:
        return decode_properties(message.header)
    except AmqpError:
        return None


def _delay_ms(eta: Field | None) -> int:
    """Return how long a task is to wait, ms: 0 without an ETA, or if it has passed.

    The ETA is compared with `time.time()`, so that a sender in this process may have moved that.
    """
    if eta is None or not isinstance(eta.value, bytes):
        return 0
    try:
        moment = datetime.fromisoformat(eta.value.decode())
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, round((moment.timestamp() - time.time()) * 1000))


def _without_eta(message: Message, properties: Properties) -> Message:
    properties.headers = {name: field for name, field in (properties.headers or {}).items() if name != "eta"}
    header = encode_properties(properties, message.size)
    found = Message(message.exchange, message.routing_key)
    found.content, found.head = frame_content(header, message.body)
    found.size, found.persistent = message.size, message.persistent
    found.priority, found.expiration = message.priority, message.expiration
    return found
