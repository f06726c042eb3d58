"""The lines of a play (`playbook.py`): what clients and the server send, and what else happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct, field
from pamqp import commands
from pamqp.base import Frame

from leveret.session.peer import Peer
from leveret.wire.methods import decode_method, encode_method, name_of
from leveret.wire.properties import Properties, encode_properties
from leveret.wire.tables import Field

if TYPE_CHECKING:
    from leveret.testing.playbook import Stage

#: Arguments of a method or properties of a content by name. Their types are those of pamqp and of `Properties`, one for
#: each name; `ANY` and `Kept` can stand for all of them.
Arguments = dict[str, Any]

#: The capabilities in the client properties.
CAPABILITIES = ("consumer_cancel_notify", "connection.blocked", "authentication_failure_close")


class Anything:
    """Equal to every value."""

    def __repr__(self) -> str:
        return "ANY"


ANY = Anything()


class Kept(Struct, frozen=True):
    """A value that the server generates. It is kept where it is expected first, where it must match `pattern`, and must
    be the same from then on, also in what clients send."""

    name: str
    pattern: str = ".*"

    def __repr__(self) -> str:
        return f"<{self.name}>"


# --- lines


class Say(Struct, frozen=True):
    """A method: of a client behind `>>`, of the server behind `<<`."""

    command: type[Frame]
    arguments: Arguments
    channel: int
    by: str

    def __str__(self) -> str:
        usual = _usual(self.command)
        given = [f"{name}={_short(value)}" for name, value in self.arguments.items() if value != usual[name]]
        return " ".join([f"{self.by}#{self.channel}", name_of(self.command), *given])


class Content(Struct, frozen=True):
    """A content header and its body frames. `properties` as in `wire.properties.Properties`."""

    body: bytes = b""
    properties: Arguments = field(default_factory=dict)
    channel: int = 1
    by: str = "a"

    def __str__(self) -> str:
        body = repr(self.body) if len(self.body) <= 60 else f"{self.body[:40]!r}... ({len(self.body)} octets)"
        given = [f"{name}={_short(value)}" for name, value in self.properties.items()]
        return " ".join([f"{self.by}#{self.channel}", "content", body, *given])


class Octets(Struct, frozen=True):
    """Octets of a client; of the server, a protocol header."""

    data: bytes
    by: str = "a"

    def __str__(self) -> str:
        return f"{self.by} octets {self.data[:60]!r}"


class Beat(Struct, frozen=True):
    """A heartbeat frame."""

    by: str = "a"

    def __str__(self) -> str:
        return f"{self.by} heartbeat"


class Ended(Struct, frozen=True):
    """The server closes the socket: `close` after all output is sent, `reset` at once."""

    how: str = "close"
    by: str = "a"

    def __str__(self) -> str:
        return f"{self.by} socket {self.how}"


class Advance(Struct, frozen=True):
    """Time passes, in ms; calls that are due meanwhile run at their times.

    `only`: "message" or "link", to let only message time or link time pass.
    """

    milliseconds: int
    only: str = ""

    def __str__(self) -> str:
        return f"{self.milliseconds} ms{f' of {self.only} time' if self.only else ''} pass"


class Connect(Struct, frozen=True):
    """A client connects. Unless `channels` is None, it does the handshake and opens these channels."""

    by: str = "b"
    channels: Sequence[int] | None = (1,)
    capabilities: Sequence[str] = CAPABILITIES
    user: str = "guest"
    password: str = "guest"
    vhost: str = "/"
    channel_max: int = 2047
    frame_max: int = 131072
    heartbeat: int = 0
    peer: Peer = Peer()

    def __str__(self) -> str:
        return f"{self.by} connects"


class HangUp(Struct, frozen=True):
    """A client closes its socket."""

    by: str = "a"

    def __str__(self) -> str:
        return f"{self.by} hangs up"


class Do(Struct, frozen=True):
    """Another event, such as an alarm. `label`: its name in a failed play."""

    label: str
    call: Callable[[Stage], object]

    def __str__(self) -> str:
        return self.label


Line: TypeAlias = Say | Content | Octets | Beat | Ended | Advance | Connect | HangUp | Do
FROM_CLIENTS = (Say, Content, Octets, Beat)


def say(command: type[Frame], /, *, channel: int = -1, by: str = "a", **arguments: object) -> Say:
    """A method with pamqp's names and defaults of arguments; `channel` is 1, or 0 for the connection class."""
    if channel < 0:
        channel = 0 if command.__qualname__.startswith("Connection.") else 1
    for name in ("channel_id", "out_of_band"):  # pamqp would write 0
        if name in command.attributes():
            arguments.setdefault(name, "")
    special = {name: value for name, value in arguments.items() if isinstance(value, (Anything, Kept))}
    plain = {name: _typed(value) for name, value in arguments.items() if name not in special}
    given = decode_method(encode_method(command, **plain))
    return Say(command, {**attributes_of(command, given), **special}, channel, by)


def content(body: bytes = b"", *, channel: int = 1, by: str = "a", **properties: object) -> Content:
    """A content with properties; a table may be plain Python."""
    return Content(body, {name: _typed(value) for name, value in properties.items()}, channel, by)


def publish(
    body: bytes = b"",
    routing_key: str = "",
    exchange: str = "",
    *,
    mandatory: bool = False,
    channel: int = 1,
    by: str = "a",
    **properties: object,
) -> list[Say | Content]:
    """basic.publish with its content."""
    method = say(
        commands.Basic.Publish,
        exchange=exchange,
        routing_key=routing_key,
        mandatory=mandatory,
        channel=channel,
        by=by,
    )
    return [method, content(body, channel=channel, by=by, **properties)]


def delivery(
    body: bytes,
    tag: int | Anything,
    routing_key: str = "q",
    exchange: str = "",
    *,
    consumer: str = "c",
    redelivered: bool = False,
    channel: int = 1,
    by: str = "a",
    **properties: object,
) -> list[Say | Content]:
    """basic.deliver with its content."""
    method = say(
        commands.Basic.Deliver,
        consumer_tag=consumer,
        delivery_tag=tag,
        redelivered=redelivered,
        exchange=exchange,
        routing_key=routing_key,
        channel=channel,
        by=by,
    )
    return [method, content(body, channel=channel, by=by, **properties)]


def refusal(
    code: int, text: str, offender: type[Frame] | None = None, *, channel: int = 1, by: str = "a"
) -> Say:
    """channel.close, or with `channel=0` connection.close; `offender`: the method that caused it, None for 0/0."""
    index = offender.index if offender is not None else 0
    command = commands.Channel.Close if channel else commands.Connection.Close
    return say(
        command,
        reply_code=code,
        reply_text=text,
        class_id=index >> 16,
        method_id=index & 0xFFFF,
        channel=channel,
        by=by,
    )


def alarm(source: str = "memory", on: bool = True) -> Do:
    """Set or clear a resource alarm."""
    if on:
        return Do(f"alarm {source} on", lambda stage: stage.broker.set_alarm(source))
    return Do(f"alarm {source} off", lambda stage: stage.broker.clear_alarm(source))


def _typed(value: object) -> object:
    """Turn a table of plain Python into fields; other values stay as they are."""
    return _as_field(value).value if isinstance(value, dict) else value


def _as_field(value: object) -> Field:
    if isinstance(value, Field):
        return value
    if isinstance(value, bool):
        return Field("t", value)
    if isinstance(value, int):
        return Field("I" if -(1 << 31) <= value < 1 << 31 else "l", value)
    if isinstance(value, str):
        return Field("S", value.encode())
    if isinstance(value, bytes):
        return Field("S", value)
    if isinstance(value, list):
        return Field("A", [_as_field(one) for one in value])
    if isinstance(value, dict):
        return Field("F", {name: _as_field(one) for name, one in value.items()})
    return Field("V", None)


def attributes_of(command: type[Frame], method: Frame) -> Arguments:
    """Return the arguments of a decoded method by name."""
    return {name: getattr(method, name) for name in command.attributes()}


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 200 else f"{shown[:180]}..."


def _usual(command: type[Frame]) -> Arguments:
    return attributes_of(command, decode_method(encode_method(command)))


def content_frames(line: Content, properties: Arguments, frame_max: int) -> bytes:
    """Return the header frame and the body frames of a content."""
    header = encode_properties(Properties(**properties), len(line.body))
    most = frame_max - 8
    parts = [line.body[at : at + most] for at in range(0, len(line.body), most)]
    number = line.channel.to_bytes(2, "big")
    return b"".join(
        kind + number + len(payload).to_bytes(4, "big") + payload + b"\xce"
        for kind, payload in [(b"\x02", header), *((b"\x03", part) for part in parts)]
    )
