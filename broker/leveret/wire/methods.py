"""All AMQP methods outside the hot path: payload bytes to pamqp command instances and back.

The layout of a method is read once from pamqp's `__slots__` and `amqp_type` into a plan of steps, with up to eight bits
in an octet. pamqp's own constructors, `marshal()` and `unmarshal()` are not used: they refuse names that RabbitMQ
accepts, accept truncated and too long arguments, and lose the width of integers in tables.

Decoding follows rabbit_framing_amqp_0_9_1: first the payload must fit the layout to the last octet, then, from left to
right, tables are parsed and short strings checked to be UTF-8. Attributes of a decoded command: shortstr is str,
longstr bytes, bit bool, table a `tables.Table`, the rest unsigned int.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from struct import Struct
from struct import error as OutOfRange  # noqa: N812
from types import FunctionType
from typing import Any, ClassVar, NamedTuple, TypeAlias, cast

from pamqp import commands
from pamqp.base import Frame

from leveret import errors
from leveret.wire import erlang
from leveret.wire.frames import END, METHOD
from leveret.wire.tables import MalformedTable, Table, decode_fields, encode_table

#: An argument of a method: an int, bool, str, bytes or a table. `Any`: its `Step` has the type.
Argument: TypeAlias = Any


class UnknownMethod(Exception):  # noqa: N818  named by what the client sent
    """Class and method ids that AMQP does not have. RabbitMQ's reader crashes: it closes the socket without a frame."""


class MalformedArguments(UnknownMethod):
    """A field table that cannot be parsed, with the same result."""


class UndecodableMethod(Exception):  # noqa: N818  named by what the client sent
    """Arguments that do not fit the layout; the text follows `cannot decode`, such as `<<0,0>>`."""


class Access:
    """The class access, which pamqp does not have and RabbitMQ still answers."""

    class Request(Frame):
        """Ask for an access ticket."""

        __slots__: ClassVar[list[str]] = [  # noqa: RUF023  wire order
            "realm",
            "exclusive",
            "passive",
            "active",
            "write",
            "read",
        ]
        frame_id: ClassVar[int] = 10
        index: ClassVar[int] = 0x001E000A
        name: ClassVar[str] = "Access.Request"
        synchronous: ClassVar[bool] = True
        valid_responses: ClassVar[list[str]] = ["Access.RequestOk"]
        _realm = "shortstr"
        _exclusive = "bit"
        _passive = "bit"
        _active = "bit"
        _write = "bit"
        _read = "bit"

    class RequestOk(Frame):
        """Grant an access ticket."""

        __slots__: ClassVar[list[str]] = ["ticket"]
        frame_id: ClassVar[int] = 11
        index: ClassVar[int] = 0x001E000B
        name: ClassVar[str] = "Access.RequestOk"
        _ticket = "short"


class Credit:
    """RabbitMQ's own methods basic.credit: it knows their layout and refuses them by name."""

    class Credit(Frame):
        """Give credit to a consumer."""

        __slots__: ClassVar[list[str]] = ["consumer_tag", "credit", "drain"]
        frame_id: ClassVar[int] = 200
        index: ClassVar[int] = 0x003C00C8
        name: ClassVar[str] = "Basic.Credit"
        synchronous: ClassVar[bool] = True
        consumer_tag: str
        _consumer_tag = "shortstr"
        _credit = "long"
        _drain = "bit"

    class CreditOk(Frame):
        """Answer with the messages available."""

        __slots__: ClassVar[list[str]] = ["available"]
        frame_id: ClassVar[int] = 201
        index: ClassVar[int] = 0x003C00C9
        name: ClassVar[str] = "Basic.CreditOk"
        _available = "long"

    class CreditDrained(Frame):
        """Notify a consumer of drained credit."""

        __slots__: ClassVar[list[str]] = ["consumer_tag", "credit_drained"]
        frame_id: ClassVar[int] = 202
        index: ClassVar[int] = 0x003C00CA
        name: ClassVar[str] = "Basic.CreditDrained"
        _consumer_tag = "shortstr"
        _credit_drained = "long"


class Step(NamedTuple):
    """One part of a layout: an argument, or up to eight bits in one octet."""

    kind: str
    names: tuple[str, ...]


class Plan(NamedTuple):
    """The layout of one method."""

    command: type[Frame]
    ids: bytes
    amqp_name: str
    has_content: bool
    steps: tuple[Step, ...]
    defaults: Mapping[str, Argument]


_EMPTY: dict[str, Argument] = {"shortstr": "", "longstr": b"", "table": {}, "bit": False}
_INTEGERS = {
    "octet": Struct(">B"),
    "short": Struct(">H"),
    "long": Struct(">I"),
    "longlong": Struct(">Q"),
    "timestamp": Struct(">Q"),
}
_U32 = Struct(">I")
_FRAME = Struct(">BHI")
_FRAME_END = bytes((END,))

#: Methods with content; RabbitMQ does not check that their short strings are UTF-8.
_WITH_CONTENT = frozenset({"Basic.Publish", "Basic.Return", "Basic.Deliver", "Basic.GetOk"})


def _amqp_name(pamqp_name: str) -> str:
    """`Basic.RecoverAsync` -> `basic.recover-async`."""
    class_name, method_name = pamqp_name.split(".")
    return class_name.lower() + "." + re.sub(r"(?<!^)(?=[A-Z])", "-", method_name).lower()


def _steps(command: type[Frame]) -> tuple[Step, ...]:
    steps: list[Step] = []
    for name in command.attributes():
        kind = command.amqp_type(name)
        if kind == "bit" and steps and steps[-1].kind == "bit" and len(steps[-1].names) < 8:
            steps[-1] = Step("bit", (*steps[-1].names, name))
        else:
            steps.append(Step(kind, (name,)))
    return tuple(steps)


def _defaults(command: type[Frame]) -> dict[str, Argument]:
    """Return the values that the constructor sets for arguments that are not given. They are read from the function
    itself, because `inspect.signature` takes 2 ms for all methods when this module is imported."""
    constructor: object = command.__init__
    given: dict[str, Argument] = {}
    if isinstance(constructor, FunctionType):  # a method without arguments has none of its own
        code, values = constructor.__code__, constructor.__defaults__ or ()
        names = code.co_varnames[: code.co_argcount]
        given = dict(zip(names[len(names) - len(values) :], values, strict=True))
    defaults = {}
    for name in command.attributes():
        default = given.get(name)
        defaults[name] = _EMPTY.get(command.amqp_type(name), 0) if default is None else default
    return defaults


def _plan(command: type[Frame]) -> Plan:
    return Plan(
        command,
        _U32.pack(command.index),
        _amqp_name(command.name),
        command.name in _WITH_CONTENT,
        _steps(command),
        _defaults(command),
    )


_OURS: tuple[type[Frame], ...] = (
    Access.Request,
    Access.RequestOk,
    Credit.Credit,
    Credit.CreditOk,
    Credit.CreditDrained,
)
_PLANS: dict[type[Frame], Plan] = {
    command: _plan(command) for command in (*commands.INDEX_MAPPING.values(), *_OURS)
}
_BY_IDS = {plan.ids: plan for plan in _PLANS.values()}

#: (class id, method id) -> the AMQP name, such as (20, 11) -> "channel.open-ok".
METHOD_NAMES = {
    (command.index >> 16, command.index & 0xFFFF): plan.amqp_name for command, plan in _PLANS.items()
}


def name_of(method: Frame | type[Frame]) -> str:
    """Return the AMQP name of a command or its class: `queue.declare`, `basic.get-ok`."""
    command = method if isinstance(method, type) else type(method)
    return _PLANS[command].amqp_name


def ids_of(method: Frame | type[Frame]) -> tuple[int, int]:
    """Return class id and method id of a command or its class, as in channel.close."""
    return method.index >> 16, method.index & 0xFFFF


# --- decoding


def decode_method(payload: bytes) -> Frame:
    """Decode the payload of a method frame to an instance of a pamqp command class.

    Raises UnknownMethod, MalformedArguments, UndecodableMethod, and AmqpError 501 for a payload without complete ids
    and for short strings that are not UTF-8.
    """
    plan = _BY_IDS.get(payload[:4])
    if plan is None:
        if len(payload) < 4:
            raise errors.unknown_frame(METHOD, erlang.excerpt(payload))
        raise UnknownMethod(payload[:4])
    raw = _split(plan.steps, payload)
    if raw is None:
        raise UndecodableMethod(erlang.octets(payload[4:]))
    method = plan.command.__new__(plan.command)
    for step, value in zip(plan.steps, raw, strict=True):
        kind = step.kind
        if kind == "shortstr":
            value = _text(value, plan.has_content)
        elif kind == "table":
            value = _table(value)
        elif kind == "bit":
            for position, name in enumerate(step.names):
                setattr(method, name, value >> position & 1 == 1)
            continue
        setattr(method, step.names[0], value)
    return method


def _split(steps: tuple[Step, ...], payload: bytes) -> list[Argument] | None:
    """Return the value of each step, with strings and tables as raw bytes; None unless the payload fits exactly."""
    at = 4
    end = len(payload)
    values: list[Argument] = []
    for step in steps:
        kind = step.kind
        if kind in _INTEGERS:
            integer = _INTEGERS[kind]
            start = at
            at += integer.size
            if at > end:
                return None
            values.append(integer.unpack_from(payload, start)[0])
            continue
        start = at + (1 if kind == "bit" or kind == "shortstr" else 4)
        if start > end:
            return None
        if kind == "bit":
            values.append(payload[at])
            at = start
            continue
        at = start + (payload[at] if kind == "shortstr" else _U32.unpack_from(payload, at)[0])
        if at > end:
            return None
        values.append(payload[start:at])
    return values if at == end else None


def _text(raw: bytes, unchecked: bool) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        if unchecked:
            return raw.decode("utf-8", "surrogateescape")
        raise errors.malformed_utf8() from None


def _table(raw: bytes) -> Table:
    try:
        return decode_fields(raw, 0, len(raw))
    except MalformedTable as error:
        raise MalformedArguments(str(error)) from None


# --- encoding


def table_of(argument: object) -> Table:
    """Return a table argument of a decoded method; an absent one is empty. Its declared type in pamqp is another
    one."""
    return cast("Table", argument or {})


def encode_method(command: type[Frame], **arguments: Argument) -> bytes:
    """Encode the payload of a method frame. Arguments that are not given have pamqp's defaults; tables are
    `tables.Table`.

    Strings may be str or bytes. Raises TypeError for an argument that the method does not have, ValueError for one that
    does not fit its type.
    """
    plan = _PLANS[command]
    if arguments.keys() - plan.defaults.keys():
        raise TypeError(f"{plan.amqp_name} has no {sorted(arguments.keys() - plan.defaults.keys())}")
    values = {**plan.defaults, **arguments}
    out = [plan.ids]
    for step in plan.steps:
        if step.kind == "bit":
            octet = 0
            for position, name in enumerate(step.names):
                octet |= bool(values[name]) << position
            out.append(bytes((octet,)))
        else:
            out.append(_encode(step.kind, values[step.names[0]]))
    return b"".join(out)


def _encode(kind: str, value: Argument) -> bytes:
    if kind == "table":
        return encode_table(value)
    if kind in _INTEGERS:
        try:
            return _INTEGERS[kind].pack(value)
        except OutOfRange as error:
            raise ValueError(str(error)) from None
    raw: bytes = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if kind == "longstr":
        return _U32.pack(len(raw)) + raw
    if len(raw) > 255:
        raise ValueError("short string above 255 octets")
    return bytes((len(raw),)) + raw


def method_frame(channel: int, command: type[Frame], **arguments: Argument) -> bytes:
    """Encode a whole method frame; arguments as for `encode_method`."""
    payload = encode_method(command, **arguments)
    return _FRAME.pack(METHOD, channel, len(payload)) + payload + _FRAME_END
