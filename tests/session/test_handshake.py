"""From the protocol header to connection.open-ok, as RabbitMQ 4.3.6 answered the same octets."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from pamqp.commands import Channel, Connection, Queue

from leveret.config import Settings
from leveret.engine.clients import negotiated_frame_max
from leveret.session.peer import Peer
from leveret.settings import AccessSettings, Amqp, Server
from leveret.settings import Profile as ProfileSettings
from leveret.testing.playbook import (
    ANY,
    Advance,
    Beat,
    Connect,
    Do,
    Ended,
    HangUp,
    Octets,
    Playbook,
    Say,
    Stage,
    refusal,
    say,
)
from leveret.wire.tables import plain

HEADER = Octets(b"AMQP\0\0\x09\x01")
START = say(Connection.Start, server_properties=ANY, mechanisms=b"PLAIN AMQPLAIN ANONYMOUS", locales=b"en_US")
TUNE = say(Connection.Tune, channel_max=2047, frame_max=131072, heartbeat=60)
UNHEARD = [Advance(2999)]


def start_ok(response: bytes | str = "\0guest\0guest", mechanism: str = "PLAIN", **given: Any) -> Say:
    given.setdefault("capabilities", {"authentication_failure_close": True})
    return say(
        Connection.StartOk, client_properties=given, mechanism=mechanism, response=response, locale="en_US"
    )


def tune_ok(channel_max: int = 2047, frame_max: int = 131072, heartbeat: int = 0) -> Say:
    return say(Connection.TuneOk, channel_max=channel_max, frame_max=frame_max, heartbeat=heartbeat)


OPEN = say(Connection.Open, virtual_host="/")
OPEN_OK = say(Connection.OpenOk)


def dropped(play: Playbook, *lines: Any) -> Playbook:
    """The play continued by `lines`: they get no reply, and the socket is closed after three seconds."""
    return play >> list(lines) >> Advance(2999) >> Advance(1) << Ended("reset")


@pytest.mark.parametrize("header", [b"AMQP\0\0\x09\x01", b"AMQP\x01\x01\0\x09"])
def test_a_complete_handshake_opens_the_connection(connecting: Playbook, header: bytes) -> None:
    assert (
        connecting
        >> Octets(header)
        << START
        >> start_ok()
        << TUNE
        >> tune_ok()
        >> OPEN
        << OPEN_OK
        >> say(Channel.Open)
        << say(Channel.OpenOk)
    )
    connection = connecting.stage.clients["a"].connection
    assert (connection.user.name, connection.vhost.name, connection.mechanism) == ("guest", "/", "PLAIN")
    assert connecting.stage.broker.connections == {connection}


def test_a_pipelined_handshake_is_accepted(connecting: Playbook) -> None:
    everything = [HEADER, start_ok(), tune_ok(), OPEN, say(Channel.Open), say(Queue.Declare, queue="q")]
    assert (
        connecting
        >> everything
        << [START, TUNE, OPEN_OK, say(Channel.OpenOk), say(Queue.DeclareOk, queue="q")]
    )


def test_the_server_announces_its_properties_and_capabilities(connecting: Playbook) -> None:
    assert connecting >> HEADER << START
    stage = connecting.stage
    stage.play([Connect("b", channels=None)])
    (start,) = stage.play([replace(HEADER, by="b")])
    assert isinstance(start, Say)
    given = plain(start.arguments["server_properties"])
    names = (
        "publisher_confirms exchange_exchange_bindings basic.nack consumer_cancel_notify connection.blocked"
    )
    names += " consumer_priorities authentication_failure_close per_consumer_qos direct_reply_to"
    assert given.pop("capabilities") == dict.fromkeys(names.split(), True)
    assert given == {
        "cluster_name": stage.broker.cluster_name,
        "copyright": "Copyright (c) 2007-2026 Broadcom Inc and/or its subsidiaries",
        "information": "Licensed under the MPL 2.0. Website: https://rabbitmq.com",
        "platform": "Erlang/OTP 29.1.1",
        "product": "RabbitMQ",
        "version": "4.3.6",
    }
    assert (start.arguments["version_major"], start.arguments["version_minor"]) == (0, 9)


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        (b"AMQP\0\0\x09\x00", b"AMQP\0\0\x09\x01"),
        (b"AMQP\0\0\x0a\x00", b"AMQP\0\0\x09\x01"),
        (b"AMQP\x01\x01\x08\x00", b"AMQP\x03\x01\0\0"),
        (b"AMQP\x01\x01\x09\x01", b"AMQP\x03\x01\0\0"),
        (b"AMQP\0\0\x08\0", b"AMQP\x03\x01\0\0"),
        (b"AMQP\0\x01\0\0", b"AMQP\x03\x01\0\0"),
        (b"AMQP\x02\x01\0\0", b"AMQP\x03\x01\0\0"),
        (b"GET / HT", b"AMQP\x03\x01\0\0"),
        (b"\x16\x03\x01\x02\0\x01\0\x01", b"AMQP\x03\x01\0\0"),
    ],
)
def test_other_protocols_get_a_protocol_header(connecting: Playbook, header: bytes, answer: bytes) -> None:
    assert connecting >> Octets(header) << Octets(answer) << Ended("close")


@pytest.mark.parametrize("header", [b"AMQP\0\0\x08\0", b"GET / HT", b"AMQP\x03\x01\0\0"])
def test_until_3_13_other_protocols_get_the_header_of_0_9_1(chunking: str, header: bytes) -> None:
    old = Settings(profile=ProfileSettings(version="3.10"))
    play = Playbook(old, chunking, first=[Connect("a", channels=None)])
    assert play >> Octets(header) << Octets(b"AMQP\0\0\x09\x01") << Ended("close")


def test_until_3_13_amqp_0_8_is_accepted(chunking: str) -> None:
    old = Settings(profile=ProfileSettings(version="3.10"))
    play = Playbook(old, chunking, first=[Connect("a", channels=None)])
    start = say(
        Connection.Start,
        version_major=8,
        version_minor=0,
        server_properties=ANY,
        mechanisms=b"PLAIN AMQPLAIN",
        locales=b"en_US",
    )
    assert play >> Octets(b"AMQP\x01\x01\x08\x00") << start


def test_the_handshake_times_out_after_ten_seconds(connecting: Playbook) -> None:
    assert (
        connecting >> HEADER << START >> start_ok() << TUNE >> Advance(9999) >> Advance(1) << Ended("reset")
    )
    assert not connecting.stage.broker.connections


def test_a_silent_connection_times_out(connecting: Playbook) -> None:
    assert connecting >> Octets(b"AMQ") >> Advance(10000) << Ended("reset")


def test_the_handshake_timeout_may_be_infinite(chunking: str) -> None:
    """`handshake_timeout = infinity` in a rabbitmq.conf."""
    settings = Settings(server=Server(handshake_timeout=0))
    play = Playbook(settings, chunking, first=[Connect("a", channels=None)])
    assert play >> Octets(b"AMQ") >> Advance(10_000_000) << []


def test_the_handshake_timeout_ends_with_the_handshake(connecting: Playbook) -> None:
    assert connecting >> [HEADER, start_ok(), tune_ok(), OPEN] << [START, TUNE, OPEN_OK] >> Advance(3_600_000)


# --- SASL


def test_amqplain_is_accepted(connecting: Playbook) -> None:
    response = b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest"
    assert connecting >> HEADER << START >> start_ok(response, "AMQPLAIN") << TUNE


def test_anonymous_logs_in_as_the_configured_user(connecting: Playbook) -> None:
    assert (
        connecting
        >> HEADER
        << START
        >> start_ok(b"whoever", "ANONYMOUS")
        << TUNE
        >> [tune_ok(), OPEN]
        << OPEN_OK
    )
    assert connecting.stage.clients["a"].connection.user.name == "guest"


def test_anonymous_is_offered_only_with_a_configured_user(chunking: str) -> None:
    settings = Settings(access=AccessSettings(anonymous_login_user=""))
    play = Playbook(settings, chunking, first=[Connect("a", channels=None)])
    start = say(Connection.Start, server_properties=ANY, mechanisms=b"PLAIN AMQPLAIN", locales=b"en_US")
    assert dropped(play >> HEADER << start, start_ok(b"", "ANONYMOUS"))


LOGIN_REFUSED = (
    "ACCESS_REFUSED - Login was refused using authentication mechanism {}."
    " For details see the broker logfile."
)


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("PLAIN", b"\0guest\0wrong"),
        ("PLAIN", b"\0nobody\0guest"),
        ("PLAIN", b"\0guest\0"),
        ("PLAIN", b"\0\0"),
        ("AMQPLAIN", b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05wrong"),
    ],
)
def test_a_refused_login_is_reported_to_clients_with_the_capability(
    connecting: Playbook, mechanism: str, response: bytes
) -> None:
    assert (
        connecting
        >> HEADER
        << START
        >> start_ok(response, mechanism)
        << refusal(403, LOGIN_REFUSED.format(mechanism), channel=0)
        >> Advance(2999)
        >> Advance(1)
        << Ended("reset")
    )


def test_clients_without_the_capability_get_no_reply_to_a_refused_login(connecting: Playbook) -> None:
    assert dropped(connecting >> HEADER << START, start_ok(b"\0guest\0wrong", capabilities={}))


def test_guest_may_only_connect_from_this_machine(chunking: str) -> None:
    far = Connect("a", channels=None, peer=Peer(peer_host="192.0.2.1", loopback=False))
    play = Playbook(chunking=chunking, first=[far])
    text = LOGIN_REFUSED.format("PLAIN")
    assert (
        play
        >> HEADER
        << START
        >> start_ok()
        << refusal(403, text, channel=0)
        >> Advance(3000)
        << Ended("reset")
    )


@pytest.mark.parametrize(
    "line",
    [
        start_ok(mechanism="SCRAM"),
        start_ok(mechanism="EXTERNAL"),
        start_ok(b"guest\0guest"),
        start_ok(b"guest\0guest\0guest"),
        start_ok(b""),
        start_ok(b"\x05LOGIN", "AMQPLAIN"),
        start_ok(b"\x05LOGINS\0\0\0\x05guest", "AMQPLAIN"),
    ],
)
def test_a_malformed_login_gets_no_reply(connecting: Playbook, line: Say) -> None:
    assert dropped(connecting >> HEADER << START, line)


def string(octets: bytes) -> bytes:
    return len(octets).to_bytes(4, "big") + octets


def method_octets(method: int, arguments: bytes) -> bytes:
    payload = b"\0\x0a" + method.to_bytes(2, "big") + arguments
    return b"\x01\0\0" + string(payload) + b"\xce"


def raw_start_ok(properties: bytes, mechanism: bytes = b"PLAIN", response: bytes = b"\0x\0y") -> bytes:
    ends = bytes([len(mechanism)]) + mechanism + string(response) + b"\x05en_US"
    return method_octets(11, properties + ends)


def nested(kind: bytes, depth: int) -> bytes:
    value = b"V"
    for _ in range(depth):
        value = kind + string(b"\0" + value if kind == b"F" else value)
    return value


@pytest.mark.parametrize(
    "octets",
    [
        b"\x01\0\0\xff\xff\xff\xff" + b"z" * 1000,
        b"\x01\0\0\x80\0\0\0" + b"z" * 1000,
        b"\x01\0\0\0\0\0\x04\0\x0a\0\x0bX",
        raw_start_ok(string(b"\x01a" + nested(b"F", 600))),
        raw_start_ok(string(b"\x01a" + nested(b"A", 700))),
        raw_start_ok(string(b"\x01aA" + string(b"V" * 3900))),
        raw_start_ok(string(b"\x01aS\xff\xff\xff\xff")),
        raw_start_ok(b"\x7f\xff\xff\xff"),
        raw_start_ok(string(b""), b"Z" * 255),
        raw_start_ok(string(b""), b"AMQPLAIN", b"\x05LOGIN" + nested(b"A", 700)),
        raw_start_ok(string(b""), response=b"\0evil\n2026-01-01 [info] user 'root' authenticated\n\0y"),
        method_octets(21, string(b"x")),
        raw_start_ok(string(b"")) * 2,
    ],
)
def test_hostile_octets_before_the_login_get_no_reply(connecting: Playbook, octets: bytes) -> None:
    assert dropped(connecting >> HEADER << START, Octets(octets))


# --- tuning


@pytest.mark.parametrize(
    ("channel_max", "frame_max"),
    [(0, 131072), (2048, 131072), (2047, 0), (2047, 131073), (2047, 8191), (2047, 4096), (65535, 131072)],
)
def test_an_invalid_tune_ok_gets_no_reply(connecting: Playbook, channel_max: int, frame_max: int) -> None:
    assert dropped(connecting >> [HEADER, start_ok()] << [START, TUNE], tune_ok(channel_max, frame_max))


@pytest.mark.parametrize(
    ("channel_max", "frame_max", "heartbeat"), [(1, 8192, 0), (2047, 131072, 65535), (9, 9000, 61)]
)
def test_tune_ok_may_choose_smaller_limits(
    connecting: Playbook, channel_max: int, frame_max: int, heartbeat: int
) -> None:
    assert (
        connecting
        >> [HEADER, start_ok()]
        << [START, TUNE]
        >> [tune_ok(channel_max, frame_max, heartbeat), OPEN]
        << OPEN_OK
    )
    connection = connecting.stage.clients["a"].connection
    assert (connection.channel_max, connection.frame_max, connection.heartbeat) == (
        channel_max,
        frame_max,
        heartbeat,
    )


def test_until_4_0_a_frame_max_of_4096_is_accepted(chunking: str) -> None:
    settings = Settings(profile=ProfileSettings(version="4.0"))
    play = Playbook(settings, chunking, first=[Connect("a", channels=None)])
    assert play >> [HEADER, start_ok()] << [START, TUNE] >> [tune_ok(frame_max=4096), OPEN] << OPEN_OK


def test_the_offered_limits_are_settings(chunking: str) -> None:
    settings = Settings(amqp=Amqp(heartbeat=7, frame_max=8192, channel_max=0))
    play = Playbook(settings, chunking, first=[Connect("a", channels=None)])
    tune = say(Connection.Tune, channel_max=0, frame_max=8192, heartbeat=7)
    assert play >> [HEADER, start_ok()] << [START, tune] >> [tune_ok(0, 8192), OPEN] << OPEN_OK


@pytest.mark.parametrize(("chosen", "kept", "bodies"), [(0, 131064, 16777216), (8192, 8184, 8184)])
def test_without_a_frame_max_only_bodies_may_be_larger(
    chunking: str, chosen: int, kept: int, bodies: int
) -> None:
    settings = Settings(amqp=Amqp(frame_max=0))
    play = Playbook(settings, chunking, first=[Connect("a", channels=None)])
    tune = say(Connection.Tune, channel_max=2047, frame_max=0, heartbeat=60)
    assert play >> [HEADER, start_ok()] << [START, tune] >> [tune_ok(2047, chosen), OPEN] << OPEN_OK
    connection = play.stage.clients["a"].connection
    assert (connection.limit, connection.body_limit) == (kept, bodies)
    assert negotiated_frame_max(connection) == chosen


@pytest.mark.parametrize(
    ("kind", "size", "limit"), [(1, 131073, 131064), (2, 131073, 131064), (3, 16777225, 16777216)]
)
def test_a_frame_that_no_message_needs_is_refused_without_a_frame_max(
    kind: int, size: int, limit: int
) -> None:
    settings = Settings(amqp=Amqp(frame_max=0))
    play = Playbook(settings, first=[Connect("a", frame_max=0)])
    octets = Octets(bytes([kind, 0, 1]) + size.to_bytes(4, "big"))
    text = f"FRAME_ERROR - type {kind}, all octets = <<>>: {{frame_too_large,{size},{limit}}}"
    refused = say(Connection.Close, channel=0, reply_code=501, reply_text=text, class_id=0, method_id=0)
    assert play >> octets << refused


def test_a_start_ok_above_8192_octets_gets_no_reply(connecting: Playbook) -> None:
    assert dropped(connecting >> HEADER << START, start_ok(note="x" * 9000))


def test_a_start_ok_below_8192_octets_is_accepted(connecting: Playbook) -> None:
    assert connecting >> HEADER << START >> start_ok(note="x" * 8000) << TUNE


# --- opening


@pytest.mark.parametrize("name", ["nope", ""])
def test_an_unknown_vhost_is_refused(connecting: Playbook, name: str) -> None:
    assert (
        connecting
        >> [HEADER, start_ok(), tune_ok()]
        << [START, TUNE]
        >> say(Connection.Open, virtual_host=name)
        << refusal(530, f"NOT_ALLOWED - vhost {name} not found", Connection.Open, channel=0)
        >> say(Connection.CloseOk)
        << Ended("close")
    )


def test_a_user_without_permissions_in_the_vhost_is_refused(connecting: Playbook) -> None:
    assert (
        connecting
        >> Do("vhost v", lambda stage: stage.broker.add_vhost("v"))
        >> [HEADER, start_ok(), tune_ok()]
        << [START, TUNE]
        >> say(Connection.Open, virtual_host="v")
        << refusal(
            530, "NOT_ALLOWED - access to vhost 'v' refused for user 'guest'", Connection.Open, channel=0
        )
    )


def limited(what: str, limits: dict[str, int]) -> Do:
    def limit(stage: Stage) -> None:
        access = stage.broker.access
        if what == "vhost":
            access.set_vhost_limits("/", limits)
        else:
            access.users.set_limits("guest", limits)

    return Do(f"{what} limits {limits}", limit)


def test_the_connection_limit_of_the_vhost_is_enforced(connecting: Playbook) -> None:
    text = "NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (1) is reached"
    assert (
        connecting
        >> limited("vhost", {"max-connections": 1})
        >> [HEADER, start_ok(), tune_ok(), OPEN]
        << [START, TUNE, OPEN_OK]
        >> Connect("b", channels=None)
        >> [replace(line, by="b") for line in (HEADER, start_ok(), tune_ok(), OPEN)]
        << [replace(line, by="b") for line in (START, TUNE)]
        << refusal(530, text, Connection.Open, channel=0, by="b")
        >> HangUp("a")
        >> Connect("c")
    )


def test_the_connection_limit_of_the_user_is_enforced(connecting: Playbook) -> None:
    text = "NOT_ALLOWED - connection refused for user 'guest': user connection limit (0) is reached"
    assert (
        connecting
        >> limited("user", {"max-connections": 0})
        >> [HEADER, start_ok(), tune_ok(), OPEN]
        << [START, TUNE]
        << refusal(530, text, Connection.Open, channel=0)
    )


def test_the_connection_limit_of_the_node_is_enforced(chunking: str) -> None:
    settings = Settings(server=Server(max_connections=1))
    play = Playbook(settings, chunking)
    assert (
        play
        >> Connect("b", channels=None)
        >> [replace(line, by="b") for line in (HEADER, start_ok(), tune_ok(), OPEN)]
        << [replace(line, by="b") for line in (START, TUNE)]
        << refusal(
            530,
            "NOT_ALLOWED - connection refused: node connection limit (1) is reached",
            Connection.Open,
            channel=0,
            by="b",
        )
    )


# --- out of turn


@pytest.mark.parametrize(
    "lines",
    [
        [say(Channel.Open)],
        [OPEN],
        [tune_ok()],
        [Beat(), say(Channel.Open)],
        [say(Connection.Close)],
        [Octets(b"\x02\0\0\0\0\0\0\xce")],
        [Octets(b"\x09\0\0\0\0\0\0\xce")],
    ],
)
def test_methods_that_come_too_early_get_no_reply(connecting: Playbook, lines: list[Any]) -> None:
    assert dropped(connecting >> HEADER << START, *lines)


@pytest.mark.parametrize(
    "line",
    [
        start_ok(),
        tune_ok(),
        say(Connection.UpdateSecret),
        say(Connection.CloseOk),
        say(Channel.Open, channel=0),
    ],
)
def test_another_method_while_opening_is_refused(connecting: Playbook, line: Say) -> None:
    assert (
        connecting
        >> [HEADER, start_ok(), tune_ok()]
        << [START, TUNE]
        >> line
        << refusal(
            504,
            "CHANNEL_ERROR - unexpected method in connection state opening",
            line.command,
            channel=0,
        )
    )


def test_a_close_while_opening_is_refused(connecting: Playbook) -> None:
    assert (
        connecting
        >> [HEADER, start_ok(), tune_ok()]
        << [START, TUNE]
        >> say(Connection.Close, reply_code=200, reply_text="bye")
        << refusal(
            504,
            "CHANNEL_ERROR - unexpected method in connection state opening",
            Connection.Close,
            channel=0,
        )
    )
