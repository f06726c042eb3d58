"""Methods are encoded as by pamqp where it can, and refused as by RabbitMQ."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, frame
from pamqp import encode as pamqp_encode
from pamqp.base import Frame

from leveret.errors import AmqpError
from leveret.wire.methods import (
    METHOD_NAMES,
    Access,
    Credit,
    MalformedArguments,
    UndecodableMethod,
    UnknownMethod,
    decode_method,
    encode_method,
    ids_of,
    method_frame,
    name_of,
)
from leveret.wire.tables import Field, decode_table, encode_table

#: pamqp warns when it makes a basic.recover-async.
pytestmark = pytest.mark.filterwarnings("ignore:This command is deprecated")

COMMANDS: list[type[Frame]] = [
    *commands.INDEX_MAPPING.values(),
    Access.Request,
    Access.RequestOk,
    Credit.Credit,
    Credit.CreditOk,
    Credit.CreditDrained,
]


def lenient(command: type[Frame]) -> type[Frame]:
    """The command without pamqp's checks of names and constants, so that the whole encoding can be compared."""
    return type(command.__name__, (command,), {"validate": lambda self: None})


LENIENT = {command: lenient(command) for command in COMMANDS}

KINDS: dict[str, st.SearchStrategy[Any]] = {
    "bit": st.booleans(),
    "octet": st.integers(0, 2**8 - 1),
    "short": st.integers(0, 2**16 - 1),
    "long": st.integers(0, 2**32 - 1),
    "longlong": st.integers(0, 2**63 - 1),
    "shortstr": st.text(max_size=60),
    "longstr": st.text(max_size=60),
    "table": st.dictionaries(
        st.text(max_size=10),
        st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.text(max_size=10),
        max_size=4,
    ),
}


@st.composite
def a_method(draw: st.DrawFn) -> tuple[type[Frame], dict[str, Any]]:
    command = draw(st.sampled_from(COMMANDS))
    names = [name for name in command.attributes() if draw(st.booleans()) or command in COMMANDS[-5:]]
    return command, {name: draw(KINDS[command.amqp_type(name)]) for name in names}


def by_pamqp(command: type[Frame], arguments: dict[str, Any]) -> Frame:
    """The method of pamqp, with its defaults for arguments that are not given."""
    defaults = {} if command in COMMANDS[-5:] else dict(_plain_defaults(command))
    made = LENIENT[command].__new__(LENIENT[command])
    for name in command.attributes():
        setattr(made, name, {**defaults, **arguments}[name])
    return made


def _plain_defaults(command: type[Frame]) -> Any:
    zero = {"shortstr": "", "longstr": "", "table": {}, "bit": False}
    made = command() if command.attributes() else None
    for name in command.attributes():
        value = getattr(made, name)
        yield name, zero.get(command.amqp_type(name), 0) if value is None else value


def typed(command: type[Frame], arguments: dict[str, Any]) -> dict[str, Any]:
    """The same arguments with typed tables."""
    return {
        name: decode_table(pamqp_encode.field_table(value))[0]
        if command.amqp_type(name) == "table"
        else value
        for name, value in arguments.items()
    }


@given(a_method(), st.integers(0, 65535))
def test_frames_equal_those_of_pamqp(method: tuple[type[Frame], dict[str, Any]], channel: int) -> None:
    command, arguments = method
    theirs = frame.marshal(by_pamqp(command, arguments), channel)
    assert method_frame(channel, command, **typed(command, arguments)) == theirs


@given(a_method())
def test_a_method_is_encoded_and_decoded_unchanged(method: tuple[type[Frame], dict[str, Any]]) -> None:
    command, arguments = method
    payload = encode_method(command, **typed(command, arguments))
    decoded = decode_method(payload)
    assert type(decoded) is command
    for name, value in typed(command, arguments).items():
        as_bytes = command.amqp_type(name) == "longstr"
        assert getattr(decoded, name) == (value.encode() if as_bytes else value)
    again = {name: getattr(decoded, name) for name in command.attributes()}
    assert encode_method(command, **again) == payload


@given(a_method())
def test_pamqp_decodes_our_methods(method: tuple[type[Frame], dict[str, Any]]) -> None:
    command, arguments = method
    payload = encode_method(command, **typed(command, arguments))
    theirs = command.__new__(command)
    if command.attributes():
        theirs.unmarshal(payload[4:])
    for name, value in arguments.items():
        assert getattr(theirs, name) == value


IDS = st.sampled_from([struct.pack(">I", command.index) for command in COMMANDS]) | st.binary(max_size=6)


@given(IDS, st.binary(max_size=100))
def test_random_payloads_raise_only_declared_errors(ids: bytes, arguments: bytes) -> None:
    try:
        decoded = decode_method(ids + arguments)
    except (UnknownMethod, UndecodableMethod, AmqpError):
        return
    given_back = {name: getattr(decoded, name) for name in decoded.attributes()}
    assert decode_method(encode_method(type(decoded), **given_back)).name == decoded.name


@given(a_method(), st.data())
def test_truncated_and_extended_payloads_are_undecodable(
    method: tuple[type[Frame], dict[str, Any]], data: st.DataObject
) -> None:
    command, arguments = method
    payload = encode_method(command, **typed(command, arguments))
    tail = payload + data.draw(st.binary(min_size=1, max_size=3))
    with pytest.raises(UndecodableMethod):
        decode_method(tail)
    if len(payload) > 4:
        with pytest.raises(UndecodableMethod):
            decode_method(payload[: data.draw(st.integers(4, len(payload) - 1))])


# --- what 4.3.6 says


def test_undecodable_arguments_are_printed_as_erlang_does() -> None:
    with pytest.raises(UndecodableMethod) as caught:
        decode_method(bytes((0, 50, 0, 10, 0, 0)))
    assert str(caught.value) == "<<0,0>>"


def test_a_payload_too_short_for_its_ids_is_an_unknown_frame() -> None:
    with pytest.raises(AmqpError) as caught:
        decode_method(b"\x00\x32")
    assert caught.value.text == "FRAME_ERROR - type 1, all octets = <<0,50>>: unknown_frame"


@pytest.mark.parametrize("ids", [(50, 99), (10, 99), (0, 0), (85, 20)])
def test_unknown_methods_raise_an_error(ids: tuple[int, int]) -> None:
    with pytest.raises(UnknownMethod):
        decode_method(struct.pack(">HH", *ids))


@pytest.mark.parametrize("queue", [b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"a\xf4\x90\x80\x80"])
def test_short_strings_must_be_utf_8(queue: bytes) -> None:
    with pytest.raises(AmqpError) as caught:
        decode_method(encode_method(commands.Queue.Declare, queue=queue))
    assert caught.value.text == "FRAME_ERROR - Malformed UTF-8 in shortstr"
    assert (caught.value.code, caught.value.scope, caught.value.anonymous) == (501, "connection", True)


def test_short_strings_of_methods_with_content_may_be_any_octets() -> None:
    payload = encode_method(commands.Basic.Publish, exchange="x", routing_key=b"\xff")
    assert decode_method(payload).routing_key == "\udcff"
    assert encode_method(commands.Basic.Publish, exchange="x", routing_key="\udcff") == payload


def test_a_malformed_table_is_not_an_undecodable_method() -> None:
    sound = encode_method(commands.Queue.Declare, queue="q")
    with pytest.raises(MalformedArguments):
        decode_method(sound[:-4] + b"\0\0\0\3\1a\0")


def test_the_layout_is_checked_before_the_strings() -> None:
    payload = encode_method(commands.Queue.Declare, queue=b"\xff")
    with pytest.raises(UndecodableMethod):
        decode_method(payload + b"\0")


def test_names_that_pamqp_refuses_are_accepted() -> None:
    for name in ("é", "a=b", "*", "#", " ", "x" * 255):
        payload = encode_method(commands.Exchange.Declare, exchange=name, exchange_type="topic", durable=True)
        decoded = decode_method(payload)
        assert (decoded.exchange, decoded.exchange_type, decoded.durable) == (name, "topic", True)


def test_integers_in_arguments_keep_their_width() -> None:
    table = {"x-message-ttl": Field("s", 1000), "x-expires": Field("l", 1000)}
    decoded = decode_method(encode_method(commands.Queue.Declare, queue="q", arguments=table))
    assert decoded.arguments == table
    assert encode_table(decoded.arguments) == encode_table(table)


def test_delivery_tags_are_unsigned() -> None:
    payload = encode_method(commands.Basic.Ack, delivery_tag=2**64 - 1)
    assert decode_method(payload).delivery_tag == 2**64 - 1


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TypeError, match="nonesuch"):
        encode_method(commands.Queue.Declare, nonesuch=1)
    for arguments in ({"queue": "q" * 256}, {"ticket": 65536}, {"ticket": -1}):
        with pytest.raises(ValueError, match=r"255|format|required|range"):
            encode_method(commands.Queue.Declare, **arguments)


def test_methods_are_known_by_name() -> None:
    assert METHOD_NAMES[50, 10] == "queue.declare"
    assert METHOD_NAMES[20, 11] == "channel.open-ok"
    assert METHOD_NAMES[60, 100] == "basic.recover-async"
    assert METHOD_NAMES[30, 10] == "access.request"
    assert name_of(commands.Tx.Commit) == "tx.commit"
    assert (
        name_of(decode_method(encode_method(commands.Connection.UpdateSecret))) == "connection.update-secret"
    )
    assert ids_of(commands.Queue.Declare) == (50, 10)
    assert len(METHOD_NAMES) == 69
