"""The faults of one broker that are armed, and what happens when one is due: in the broker's thread."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from msgspec import Struct, field
from pamqp import commands

from leveret.errors import AmqpError
from leveret.queues.message import REFUSED, Destination, Message
from leveret.session import states
from leveret.testing.answers import ACK, NACK, REJECT, answers_to, corrupted, tag_of
from leveret.testing.fault_rules import Occasion, Rule, When, occasion_of
from leveret.testing.faulty_socket import Checkpoint, FaultySocket
from leveret.testing.framing import DELIVER, PUBLISH, Unit, header_and_body
from leveret.testing.reasons import Reason
from leveret.testing.toxics import Blackhole, Toxic
from leveret.wire.methods import METHOD_NAMES, UndecodableMethod, UnknownMethod, decode_method

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leveret.engine.broker import Broker as Engine
    from leveret.engine.clients import ClientChannel
    from leveret.server.sockets import Edge
    from leveret.session.channel import Channel
    from leveret.session.connection import Connection

#: The place that the log names if a message that was put off is lost.
_PLACE = "fault"

#: What is done about a method, in the words of the API.
MethodVerb = Literal[
    "drop", "reset", "blackhole", "close_channel", "close_connection", "ignore", "delay", "call"
]
ConfirmVerb = Literal["nack", "hold", "lose", "delay"]
DeliveryVerb = Literal["duplicate", "reorder", "delay", "corrupt", "lose_ack"]


class Armed(Struct, eq=False):
    """A fault that is armed. `rule`: what it is for; `described`: it in words; `changed`: called with each hit."""

    rule: Rule
    described: str
    changed: Callable[[], None]

    @property
    def concerned(self) -> str:
        """What it may happen to, in a word."""
        return "connection"

    def hit(self, occasion: Occasion) -> bool:
        """Return whether it happens now, and count it."""
        if not self.rule.happens(occasion):
            return False
        self.changed()
        return True


class MethodFault(Armed, eq=False):
    """A fault at a method of clients. `method`: its AMQP name, "connect", or "*"."""

    method: str = "*"
    verb: MethodVerb = "reset"
    when: When = "before"
    code: int = 541
    text: str | None = None
    delay_s: float = 0.0
    function: Callable[[Occasion], object] | None = None

    @property
    def concerned(self) -> str:
        """What it may happen to, in a word."""
        return "method" if self.method == "*" else self.method

    def called(self, occasion: Occasion) -> None:
        """Call the function."""
        assert self.function is not None
        self.function(occasion)


class ConfirmFault(Armed, eq=False):
    """A fault at a confirm. `effect`: whether a publish that is nacked has its effect; `delay_ms`: of the broker's
    time. `held`: confirms that wait for `release`."""

    verb: ConfirmVerb = "nack"
    effect: bool = False
    delay_ms: int = 0
    held: list[Callable[[], None]] = field(default_factory=list)

    @property
    def concerned(self) -> str:
        """What it may happen to, in a word."""
        return "confirm"


class DeliveryFault(Armed, eq=False):
    """A fault at a delivery. `delay_ms`: of the broker's time. `held`: deliveries that wait for the next one of their
    channel."""

    verb: DeliveryVerb = "duplicate"
    delay_ms: int = 0
    held: dict[Channel, tuple[Checkpoint, Unit]] = field(default_factory=dict)

    @property
    def concerned(self) -> str:
        """What it may happen to, in a word."""
        return "delivery"


class NetworkFault(Armed, eq=False):
    """A toxic of connections. `proxy`: of which listener, None for all. `decided`: whether it is for a connection."""

    toxic: Toxic | None = None
    proxy: str | None = None
    decided: dict[FaultySocket, bool] = field(default_factory=dict)


class ChaosFault(Armed, eq=False):
    """Any of several faults at any method, by chance. `kinds`: see `Faults.chaos`."""

    kinds: tuple[str, ...] = ()


A = TypeVar("A", bound=Armed)


def first_due(faults: Sequence[A], occasion: Occasion) -> A | None:
    """Return the first fault that happens now. All count the occasion; another one that is due comes next time."""
    found = None
    for fault in faults:
        if fault.rule.counted(occasion) and found is None:
            found = fault
    if found is not None:
        found.rule.hits += 1
        found.changed()
    return found


AnyFault = MethodFault | ConfirmFault | DeliveryFault | NetworkFault | ChaosFault


class Late:
    """Something that is done later. `described`: in words."""

    def __init__(self, described: str, call: Callable[[], None]) -> None:
        self.described = described
        self.call = call

    def __call__(self) -> None:
        """Do it."""
        self.call()


class Nowhere(Destination):
    """Where a publish goes that has no effect. `refused`: whether it is nacked."""

    def __init__(self, vhost: str, *, refused: bool = False) -> None:
        super().__init__("", vhost)
        self.refused = refused

    def push(self, message: Message) -> int:
        """Drop the message."""
        self.gone = True
        return REFUSED if self.refused else 0


class FaultBoard:
    """All armed faults of one broker. It is also the interceptor of publishes.

    `random`: gives each fault its own chance. `own_toxics`: those of one connection; `lost_acks`: deliveries whose
    acknowledgement is lost, by socket, channel and tag; `withheld`: those that their client has not got yet.
    """

    def __init__(self, seed: int = 0) -> None:
        self.engine: Engine
        self.edge: Edge
        self.random = random.Random(seed)
        self.network: list[NetworkFault] = []
        self.methods: list[MethodFault] = []
        self.confirms: list[ConfirmFault] = []
        self.deliveries: list[DeliveryFault] = []
        self.chaos: list[ChaosFault] = []
        self.own_toxics: dict[FaultySocket, list[Toxic]] = {}
        self.lost_acks: dict[tuple[FaultySocket, int, int], DeliveryFault] = {}
        self.withheld: set[tuple[Channel, int]] = set()

    def attach(self, engine: Engine, edge: Edge) -> None:
        """Use an engine and its sockets from now on."""
        self.engine = engine
        self.edge = edge
        self.own_toxics.clear()
        self.lost_acks.clear()
        self.withheld.clear()

    # --- arming

    def arm(self, fault: AnyFault) -> None:
        """Arm a fault."""
        self._list_of(fault).append(fault)
        if isinstance(fault, NetworkFault):
            self._apply(fault)
        elif self.watches_frames:
            for socket in self.sockets():
                socket.open_checkpoint()

    def disarm(self, fault: AnyFault) -> None:
        """Remove a fault; what it holds back goes on."""
        faults = self._list_of(fault)
        if fault not in faults:
            return
        if isinstance(fault, NetworkFault) and fault.toxic is not None:
            for socket in list(fault.decided):
                if socket.checkpoint is not None:
                    for flow in (socket.checkpoint.up, socket.checkpoint.down):
                        flow.remove(fault.toxic)
        faults.remove(fault)
        if isinstance(fault, ConfirmFault):
            self.release(fault, None)
        elif isinstance(fault, DeliveryFault):
            for channel, (checkpoint, unit) in list(fault.held.items()):
                self._send_late(fault, checkpoint, unit, channel)
            fault.held.clear()
        self.edge.touch()

    def _list_of(self, fault: AnyFault) -> list[AnyFault]:
        match fault:
            case NetworkFault():
                found: object = self.network
            case MethodFault():
                found = self.methods
            case ConfirmFault():
                found = self.confirms
            case DeliveryFault():
                found = self.deliveries
            case _:
                found = self.chaos
        return found  # type: ignore[return-value]

    @property
    def watches_frames(self) -> bool:
        """Whether there are faults that look at frames."""
        return bool(self.methods or self.confirms or self.deliveries or self.chaos)

    @property
    def intercepts(self) -> bool:
        """Whether publishes must be looked at behind their routing."""
        return bool(self.confirms or self.methods or self.chaos)

    def reasons(self) -> Iterator[Reason]:
        """Yield what faults hold back."""
        held = [(each.described, len(each.held)) for each in self.confirms]
        held += [(each.described, len(each.held)) for each in self.deliveries]
        for described, count in held:
            if count:
                yield Reason("fault", f"{described} holds {count} back")
        for socket in self.sockets():
            checkpoint = socket.checkpoint
            if checkpoint is not None and (checkpoint.up.held or checkpoint.down.held or checkpoint.stalled):
                name = socket.connection.name
                yield Reason("fault", f"faults hold octets of connection '{name}' back", connection=name)
            for number, tags in checkpoint.answers.tags.items() if checkpoint is not None else ():
                if tags.copies:
                    name = socket.connection.name
                    text = (
                        f"a duplicated delivery on channel {number} of connection '{name}' is unacknowledged"
                    )
                    yield Reason("unacked", text, connection=name, channel=number)

    def with_copies(self) -> Iterator[Connection]:
        """Yield the connections whose clients have not settled a duplicated delivery."""
        for socket in self.sockets():
            checkpoint = socket.checkpoint
            if checkpoint is not None and any(tags.copies for tags in checkpoint.answers.tags.values()):
                yield socket.connection

    def sockets(self) -> list[FaultySocket]:
        """Return the sockets of all clients."""
        return [each for each in self.edge.sockets.values() if isinstance(each, FaultySocket)]

    # --- network

    def _apply(self, fault: NetworkFault) -> None:
        for socket in self.sockets():
            if fault.toxic is not None and self._concerned(fault, socket):
                socket.open_checkpoint()

    def _concerned(self, fault: NetworkFault, socket: FaultySocket) -> bool:
        """Return whether a network fault is for a connection; decided once for each."""
        known = fault.decided.get(socket)
        if known is not None or not socket.accepted:
            return bool(known)
        if fault.proxy is not None and fault.proxy != socket.proxy:
            return False
        occasion = occasion_of(socket.connection, "connect")
        if not fault.rule.matches(occasion):
            return False  # it may be later: user and client-provided name are not known at first
        fault.decided[socket] = fault.hit(occasion)
        if fault.decided[socket] and fault.toxic is not None:
            socket.open_checkpoint()
            fault.toxic.begin(socket, self.edge.loop)
        return fault.decided[socket]

    def toxics(self, socket: FaultySocket) -> list[Toxic]:
        """Return the toxics of a connection, in order."""
        found = [one.toxic for one in self.network if one.toxic is not None and self._concerned(one, socket)]
        return found + self.own_toxics.get(socket, [])

    def end_all(self, rule: Rule, changed: Callable[[], None], *, reset: bool) -> None:
        """End the connections that a rule is for: with a RST, or with a FIN."""
        for socket in self.sockets():
            if rule.happens(occasion_of(socket.connection, "connect")):
                changed()
                socket.cut(reset=reset)

    # --- connections

    def connecting(self, socket: FaultySocket) -> bool:
        """A client connects. Returns whether it may."""
        return self._connect(socket, "before")

    def connected(self, socket: FaultySocket) -> None:
        """A client has connected."""
        if self.network or self.watches_frames:
            socket.open_checkpoint()
            for fault in self.network:
                self._concerned(fault, socket)
        self._connect(socket, "after")

    def _connect(self, socket: FaultySocket, when: When) -> bool:
        faults = [one for one in self.methods if one.method == "connect" and one.when == when]
        if not faults:
            return True
        peer = socket.transport.get_extra_info("peername") or ("", 0)
        own = socket.transport.get_extra_info("sockname") or ("", 0)
        names = [f"{peer[0]}:{peer[1]}", f"{peer[0]}:{peer[1]} -> {own[0]}:{own[1]}"]
        occasion = Occasion("connect", names[1], names)
        fault = first_due(faults, occasion)
        return self._at_connect(fault, socket, occasion) if fault is not None else True

    def _at_connect(self, fault: MethodFault, socket: FaultySocket, occasion: Occasion) -> bool:
        match fault.verb:
            case "call":
                fault.called(occasion)
            case "delay":
                self.edge.loop.call_soon(lambda: socket.open_checkpoint().stall(fault.delay_s, _nothing))
            case "drop" | "reset":
                socket.cut(reset=fault.verb == "reset")
                return False
            case _:  # blackhole, ignore
                self._blackhole(socket)
        return True

    def gone(self, socket: FaultySocket) -> None:
        """A connection has ended."""
        self.own_toxics.pop(socket, None)
        for fault in self.network:
            fault.decided.pop(socket, None)
        for key in [key for key in self.lost_acks if key[0] is socket]:
            del self.lost_acks[key]
        for other in self.deliveries:
            for channel in [
                channel for channel, (checkpoint, _) in other.held.items() if checkpoint.socket is socket
            ]:
                self.withheld.discard((channel, tag_of(other.held.pop(channel)[1])))

    def _blackhole(self, socket: FaultySocket) -> None:
        socket.open_checkpoint()
        self.own_toxics.setdefault(socket, []).append(Blackhole("both"))

    # --- methods that come in

    def received(self, checkpoint: Checkpoint, unit: Unit) -> None:
        """Handle a unit that came in: pass it on, or not."""
        if not unit.method or unit.method == PUBLISH:
            checkpoint.pass_on(unit.octets)
        elif unit.method in (ACK, NACK, REJECT):
            self._settled(checkpoint, unit)
        else:
            self._method(checkpoint, unit)

    def _settled(self, checkpoint: Checkpoint, unit: Unit) -> None:
        tags = checkpoint.answers.tags.get(unit.channel)
        channel = checkpoint.socket.connection.channels.get(unit.channel)
        entry = channel.unacked.oldest() if channel is not None else None
        oldest = entry.tag if entry is not None else 0
        for octets in tags.settled(unit, oldest) if tags is not None else [unit.octets]:
            known = Unit(unit.channel, unit.method, octets[7:-1], octets)
            if self._loses_ack(checkpoint, known):
                return
            self._method(checkpoint, known)

    def _loses_ack(self, checkpoint: Checkpoint, unit: Unit) -> bool:
        tag = int.from_bytes(unit.payload[4:12], "big")
        multiple = unit.method != REJECT and bool(unit.payload[12] & 1)
        for socket, channel, lost in list(self.lost_acks):
            if (
                socket is checkpoint.socket
                and channel == unit.channel
                and (lost == tag or (multiple and (lost <= tag or not tag)))
            ):
                socket.cut(reset=False)
                return True
        return False

    def _method(self, checkpoint: Checkpoint, unit: Unit) -> None:
        name = METHOD_NAMES.get((unit.method >> 16, unit.method & 0xFFFF))
        fault = None
        if name is not None and (self.methods or self.chaos):
            occasion = self._occasion(checkpoint, unit, name)
            fault = self._due(occasion)
        if fault is None:
            checkpoint.pass_on(unit.octets)
        elif fault.when == "before":
            self._before(fault, checkpoint, unit, occasion)
        else:
            self._after(fault, checkpoint, unit, occasion)

    def _due(self, occasion: Occasion) -> MethodFault | None:
        fault = first_due([one for one in self.methods if one.method in (occasion.method, "*")], occasion)
        if fault is not None:
            return fault
        for chaos in self.chaos:
            if chaos.hit(occasion):
                found = self._chaotic(chaos, occasion)
                if found is not None:
                    return found
        return None

    def _chaotic(self, chaos: ChaosFault, occasion: Occasion) -> MethodFault | None:
        """Return what chaos does about a method. A nack is for publishes only."""
        kind = chaos.rule.random.choice(chaos.kinds)
        if kind == "nack":
            return None
        if kind == "latency":
            delay = chaos.rule.random.uniform(0.001, 0.02)
            return MethodFault(chaos.rule, chaos.described, _nothing, verb="delay", delay_s=delay)
        return MethodFault(chaos.rule, chaos.described, _nothing, verb="drop" if kind == "drop" else "reset")

    def _occasion(self, checkpoint: Checkpoint, unit: Unit, name: str) -> Occasion:
        connection = checkpoint.socket.connection
        try:
            arguments = decode_method(unit.payload)
        except (UnknownMethod, UndecodableMethod, AmqpError):
            arguments = None
        queues = self._queues(connection, unit, arguments)
        return occasion_of(
            connection,
            name,
            channel=unit.channel,
            exchange=getattr(arguments, "exchange", None),
            routing_key=getattr(arguments, "routing_key", None),
            queues=queues,
            arguments=arguments,
        )

    def _queues(self, connection: Connection, unit: Unit, arguments: object) -> list[str]:
        if unit.method in (ACK, NACK, REJECT):
            channel = connection.channels.get(unit.channel)
            entry = channel.unacked.find(int.from_bytes(unit.payload[4:12], "big")) if channel else None
            name = getattr(entry.source, "name", None) if entry is not None else None
        else:
            name = getattr(arguments, "queue", None)
        return [str(name)] if name is not None else []

    def _before(self, fault: MethodFault, checkpoint: Checkpoint, unit: Unit, occasion: Occasion) -> None:
        if fault.verb == "call":
            fault.called(occasion)
            checkpoint.pass_on(unit.octets)
        elif fault.verb == "delay":
            checkpoint.stall(fault.delay_s, lambda: checkpoint.pass_on(unit.octets))
        else:
            self._end(fault, checkpoint, unit.channel, unit.method)

    def _after(self, fault: MethodFault, checkpoint: Checkpoint, unit: Unit, occasion: Occasion) -> None:
        if fault.verb == "call":
            checkpoint.after = lambda: fault.called(occasion)
        elif fault.verb == "delay":
            self._delay_answer(fault, checkpoint, unit.channel, answers_to(unit.method))
        else:
            checkpoint.answers.swallow(unit.channel, answers_to(unit.method), None)
            checkpoint.after = lambda: self._end(fault, checkpoint, unit.channel, unit.method)
            if fault.verb in ("drop", "reset"):
                self._mute(checkpoint)
        checkpoint.pass_on(unit.octets)

    def _mute(self, checkpoint: Checkpoint) -> None:
        checkpoint.flush()
        checkpoint.muted = True

    def _delay_answer(
        self, fault: MethodFault, checkpoint: Checkpoint, channel: int, methods: frozenset[int]
    ) -> None:
        def later(octets: bytes) -> None:
            self.edge.loop.call_later(fault.delay_s, checkpoint.send_frames, [octets])

        checkpoint.answers.swallow(channel, methods, later)

    def _end(self, fault: MethodFault, checkpoint: Checkpoint, number: int, method: int) -> None:
        """Do what a fault does instead of an effect, or after it."""
        connection = checkpoint.socket.connection
        match fault.verb:
            case "drop" | "reset":
                checkpoint.socket.cut(reset=fault.verb == "reset")
            case "blackhole":
                self._blackhole(checkpoint.socket)
                checkpoint.dead = checkpoint.muted = True
            case "close_channel":
                channel = connection.channels.get(number)
                if channel is not None and connection.state == states.RUNNING:
                    error = _error(fault, "channel")
                    channel.close(error, method >> 16, method & 0xFFFF)
                    connection.publish_dead_letters()
            case "close_connection":
                connection.shut(_error(fault, "connection"))
        self.edge.touch()

    # --- publishes, behind their routing

    def routed(
        self, channel: ClientChannel, message: Message, targets: list[Destination]
    ) -> list[Destination]:
        """Return where a publish goes."""
        socket = self.edge.sockets.get(channel.connection)  # type: ignore[call-overload]
        if not isinstance(socket, FaultySocket):
            return targets
        publish = _Publish(self, socket, channel, message, targets)  # type: ignore[arg-type]
        return publish.targets_after_faults()

    def nacked_by_chaos(self, occasion: Occasion) -> bool:
        """Return whether chaos nacks a publish."""
        return any("nack" in one.kinds and one.hit(occasion) for one in self.chaos)

    # --- confirms

    def release(self, fault: ConfirmFault, count: int | None) -> int:
        """Send confirms that a fault holds, oldest first; all for None. Returns how many."""
        released, fault.held = fault.held[:count], fault.held[len(fault.held[:count]) :]
        for send in released:
            send()
        return len(released)

    # --- deliveries that go out

    def sent(self, checkpoint: Checkpoint, unit: Unit) -> bytes:
        """Return what is sent instead of a unit."""
        if unit.method != DELIVER or not self.deliveries:
            return checkpoint.answers.changed(unit)
        channel = checkpoint.socket.connection.channels.get(unit.channel)
        if channel is None:
            return checkpoint.answers.changed(unit)
        fault = self._delivery_fault(checkpoint, channel, unit)
        waiting = self._waiting(channel)
        sent = self._delivered(fault, checkpoint, channel, unit)
        return sent + b"".join(checkpoint.answers.renumbered(each).number(each) for each in waiting)

    def _waiting(self, channel: Channel) -> list[Unit]:
        """Return the deliveries of a channel that wait for the next one."""
        found = []
        for fault in self.deliveries:
            if fault.verb == "reorder" and channel in fault.held:
                found.append(fault.held.pop(channel)[1])
                self.withheld.discard((channel, tag_of(found[-1])))
        return found

    def _delivery_fault(self, checkpoint: Checkpoint, channel: Channel, unit: Unit) -> DeliveryFault | None:
        method = cast(commands.Basic.Deliver, decode_method(unit.payload))
        consumer = channel.consumers.get(method.consumer_tag or "")
        header, body = header_and_body(unit.content)
        occasion = occasion_of(
            checkpoint.socket.connection,
            "basic.deliver",
            channel=unit.channel,
            exchange=method.exchange,
            routing_key=method.routing_key,
            queues=[str(getattr(consumer.source, "name", ""))] if consumer is not None else [],
            header=header,
            body=body,
            arguments=method,
        )
        return first_due(self.deliveries, occasion)

    def _delivered(
        self, fault: DeliveryFault | None, checkpoint: Checkpoint, channel: Channel, unit: Unit
    ) -> bytes:
        if fault is None:
            return checkpoint.answers.changed(unit)
        if fault.verb == "corrupt":
            return checkpoint.answers.changed(corrupted(unit))
        if fault.verb == "lose_ack":
            self.lost_acks[checkpoint.socket, unit.channel, tag_of(unit)] = fault
            return checkpoint.answers.changed(unit)
        tags = checkpoint.answers.renumbered(unit)
        if fault.verb == "duplicate":
            settled = channel.unacked.find(tag_of(unit)) is None  # automatically
            return tags.number(unit) + tags.copy(unit, settled=settled)
        if fault.verb == "reorder" and channel not in fault.held:
            fault.held[channel] = (checkpoint, unit)
            self.withheld.add((channel, tag_of(unit)))
            return b""
        if fault.verb == "delay":
            self.withheld.add((channel, tag_of(unit)))
            late = Late(
                "a delivery that a fault delays", lambda: self._send_late(fault, checkpoint, unit, channel)
            )
            self.engine.message_time.call_after(fault.delay_ms, late)
            return b""
        return tags.number(unit)

    def _send_late(
        self, fault: DeliveryFault, checkpoint: Checkpoint, unit: Unit, channel: Channel | None = None
    ) -> None:
        now = checkpoint.socket.connection.channels.get(unit.channel)
        if channel is not None:
            self.withheld.discard((channel, tag_of(unit)))
        if checkpoint.dead or now is None or (channel is not None and now is not channel):
            return  # the delivery was requeued when the channel ended
        checkpoint.send_frames([checkpoint.answers.renumbered(unit).number(unit)])


class _Publish:
    """One publish that faults may be for."""

    def __init__(
        self,
        board: FaultBoard,
        socket: FaultySocket,
        channel: Channel,
        message: Message,
        targets: list[Destination],
    ) -> None:
        self.board = board
        self.checkpoint = socket.open_checkpoint()
        self.channel = channel
        self.message = message
        self.targets = targets
        confirms = channel.confirms
        self.number = confirms.last if confirms is not None else 0
        self.nowhere = Nowhere(channel.vhost.name)
        self.occasion = occasion_of(
            channel.connection,  # type: ignore[arg-type]
            "basic.publish",
            channel=channel.number,
            exchange=_text(message.exchange),
            routing_key=_text(message.routing_key),
            queues=[queue.name for queue in targets],
            header=message.header,
            body=message.body,
        )

    def targets_after_faults(self) -> list[Destination]:
        """Return where the message goes."""
        fault = self.board._due(self.occasion)
        if fault is not None:
            return self._before(fault) if fault.when == "before" else self._after(fault)
        confirm = first_due(self.board.confirms, self.occasion) if self.number else None
        if confirm is not None:
            return self._confirm(confirm)
        if self.number and self.board.chaos and self.board.nacked_by_chaos(self.occasion):
            return [Nowhere(self.channel.vhost.name, refused=True)]
        return self.targets

    def _before(self, fault: MethodFault) -> list[Destination]:
        if fault.verb == "call":
            fault.called(self.occasion)
            return self.targets
        if fault.verb == "delay":
            self._withhold(self._later(fault.delay_s))
            return [self._put_off(fault.delay_s)]
        self._withhold("lose")
        if fault.verb in ("drop", "reset"):
            self.board._mute(self.checkpoint)
        if fault.verb != "ignore":
            self._finally(lambda: self.board._end(fault, self.checkpoint, self.channel.number, PUBLISH))
        return [self.nowhere]

    def _after(self, fault: MethodFault) -> list[Destination]:
        if fault.verb == "call":
            self._finally(lambda: fault.called(self.occasion))
            return self.targets
        if fault.verb == "delay":
            self._withhold(self._later(fault.delay_s))
            return self.targets
        self._withhold("lose")
        if not self.targets:
            self.checkpoint.answers.swallow(self.channel.number, answers_to(PUBLISH), None)
        if fault.verb in ("drop", "reset"):
            self.board._mute(self.checkpoint)
        self._finally(lambda: self.board._end(fault, self.checkpoint, self.channel.number, PUBLISH))
        return self.targets

    def _finally(self, do: Callable[[], None]) -> None:
        """Do something once the publish has had its effect."""
        if self.checkpoint.handling:
            self.checkpoint.after = do
        else:  # a job has found its route
            self.board.edge.call_soon(do)

    def _withhold(self, how: Literal["lose"] | Callable[[bytes], None]) -> None:
        confirms = self.channel.confirms
        if self.number and confirms is not None:
            self.checkpoint.answers.withhold(self.channel.number, confirms.sent, self.number, how)

    def _later(self, seconds: float) -> Callable[[bytes], None]:
        checkpoint, loop = self.checkpoint, self.board.edge.loop

        def later(frame: bytes) -> None:
            loop.call_later(seconds, checkpoint.send_frames, [frame])

        return later

    def _put_off(self, seconds: float) -> Destination:
        """Return where a publish waits for so many real seconds; the connection is not read meanwhile."""
        queues, message = self.targets, self.message
        vhost = self.board.engine.vhosts[self.channel.vhost.name]

        def deliver() -> None:
            vhost.publisher.deliver(message, [each for each in queues if not each.gone], _PLACE)
            vhost.publish_dead_letters()

        self._finally(lambda: self.checkpoint.stall(seconds, deliver))
        return self.nowhere

    def _confirm(self, fault: ConfirmFault) -> list[Destination]:
        match fault.verb:
            case "nack":
                refusing = Nowhere(self.channel.vhost.name, refused=True)
                return [*self.targets, refusing] if fault.effect else [refusing]
            case "lose":
                self._withhold("lose")
            case "hold":
                checkpoint = self.checkpoint
                self._withhold(lambda frame: fault.held.append(lambda: checkpoint.send_frames([frame])))
            case _:
                checkpoint, agenda = self.checkpoint, self.board.engine.message_time

                def later(frame: bytes) -> None:
                    late = Late("a confirm that a fault delays", lambda: checkpoint.send_frames([frame]))
                    agenda.call_after(fault.delay_ms, late)

                self._withhold(later)
        return self.targets


def _error(fault: MethodFault, scope: Literal["channel", "connection"]) -> AmqpError:
    return AmqpError(fault.code, fault.text or "", scope=scope, anonymous=scope == "connection")


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


def _nothing() -> None:
    """Do nothing."""
