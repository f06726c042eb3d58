"""Every method is handled or refused; frames before the connection is open."""

from __future__ import annotations

import pytest
from pamqp.base import Frame
from pamqp.commands import Basic, Channel, Connection

from leveret.session.dispatch import HANDLERS
from leveret.testing.playbook import ANY, Advance, Ended, Octets, Playbook, refusal, say
from leveret.wire.methods import _PLANS, name_of

#: Taken before the table is asked: the hot path, and what opens and closes.
ELSEWHERE = {Basic.Publish, Basic.Ack, Basic.Nack, Basic.Reject, Channel.Open, Channel.Close}


@pytest.mark.parametrize(
    "command",
    [one for one in _PLANS if one not in HANDLERS and one not in ELSEWHERE],
    ids=lambda one: name_of(one),
)
def test_methods_that_only_servers_send_are_refused(command: type[Frame]) -> None:
    play = Playbook()
    text = "COMMAND_INVALID - unimplemented method"
    if name_of(command) in ("basic.return", "basic.deliver", "basic.get-ok"):
        pytest.skip("content would have to follow")
    assert play >> say(command, channel=1) << refusal(503, text, command, channel=0)


def test_the_handler_table_has_no_connection_methods() -> None:
    assert all(name_of(command).split(".")[0] != "connection" for command in HANDLERS)
    assert not set(HANDLERS) & ELSEWHERE


# --- before the connection runs (rabbit_reader:handle_frame)

HEADER = Octets(b"AMQP\0\0\x09\x01")
START_OK = say(
    Connection.StartOk,
    client_properties={"capabilities": {}},
    mechanism="PLAIN",
    response="\0guest\0guest",
    locale="en_US",
)
TUNE_OK = say(Connection.TuneOk, channel_max=2047, frame_max=131072, heartbeat=0)
START = say(Connection.Start, server_properties=ANY, mechanisms=b"PLAIN AMQPLAIN ANONYMOUS", locales=b"en_US")
TUNE = say(Connection.Tune, channel_max=2047, frame_max=131072, heartbeat=60)


@pytest.mark.parametrize(
    ("frame", "code", "text"),
    [
        (b"\x02\0\1\0\0\0\x0c0123456789ab\xce", 505, 'type 2, all octets = <<"0123456789ab">>'),
        (b"\x08\0\1\0\0\0\0\xce", 505, "type 8, all octets = <<>>"),
        (b"\1\0\1\0\0\0\4\0\x0a\0\x99\xce", 505, "type 1, all octets = <<0,10,0,153>>"),
        (b"\2\0\0\0\0\0\0\xce", 501, "type 2, all octets = <<>>: unknown_frame"),
        (b"\x09\0\0\0\0\0\0\xce", 501, "type 9, all octets = <<>>: unknown_frame"),
        (b"\1\0\0\0\0\0\0\xce", 501, "type 1, all octets = <<>>: unknown_frame"),
    ],
)
def test_an_unexpected_frame_while_opening_closes_the_connection(
    connecting: Playbook, frame: bytes, code: int, text: str
) -> None:
    name = {501: "FRAME_ERROR", 505: "UNEXPECTED_FRAME"}[code]
    assert (
        connecting
        >> [HEADER, START_OK, TUNE_OK]
        << [START, TUNE]
        >> Octets(frame)
        << refusal(code, f"{name} - {text}", channel=0)
    )


@pytest.mark.parametrize(
    ("frame", "code", "text"),
    [
        (b"\1\0\0\0\0\0\4\0\x0a\0\x99\xcf", 501, "<<0,10,0,153>>: {invalid_frame_end_marker,207}"),
        (b"\1\0\0\0\xff\0\4", 501, "<<>>: {frame_too_large,16711684,131064}"),
    ],
)
def test_octets_that_are_not_a_frame_while_opening_close_the_connection(
    connecting: Playbook, frame: bytes, code: int, text: str
) -> None:
    assert (
        connecting
        >> [HEADER, START_OK, TUNE_OK]
        << [START, TUNE]
        >> Octets(frame)
        << refusal(code, f"FRAME_ERROR - type 1, all octets = {text}", channel=0)
        >> Advance(2999)
        >> Advance(1)
        << Ended("reset")
    )


@pytest.mark.parametrize(("steps", "wait"), [(0, 3000), (2, 3000)])
def test_undecodable_arguments_while_opening_reset_the_connection(
    connecting: Playbook, steps: int, wait: int
) -> None:
    payload = b"\0\x0a\0\x0b" if steps == 0 else b"\0\x0a\0\x28"
    connecting = connecting >> HEADER << START
    if steps:
        connecting = connecting >> START_OK << TUNE >> TUNE_OK
    frame = b"\1\0\0\0\0\0\4" + payload + b"\xce"
    assert connecting >> Octets(frame) >> Advance(wait - 1) >> Advance(1) << Ended("reset")


def test_a_malformed_table_in_start_ok_resets_the_connection(connecting: Playbook) -> None:
    assert (
        connecting
        >> HEADER
        << START
        >> Octets(b"\1\0\0\0\0\0\x12\0\x0a\0\x0b\0\0\0\4abcd\0\0\0\0\0\0\xce")
        >> Advance(2999)
        >> Advance(1)
        << Ended("reset")
    )


def test_an_unknown_method_while_opening_resets_the_connection_at_once(connecting: Playbook) -> None:
    assert connecting >> HEADER << START >> Octets(b"\1\0\0\0\0\0\4\0\x0a\0\x99\xce") << Ended("reset")


def test_a_virtual_host_that_is_not_utf_8_is_refused(connecting: Playbook) -> None:
    assert (
        connecting
        >> [HEADER, START_OK, TUNE_OK]
        << [START, TUNE]
        >> Octets(b"\1\0\0\0\0\0\x08\0\x0a\0\x28\x01\xff\0\0\xce")
        << refusal(501, "FRAME_ERROR - Malformed UTF-8 in shortstr", Connection.Open, channel=0)
    )
