"""Records reach syslog and the journal as RabbitMQ 4.3.6 sends them."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from leveret.server.log import configure, log
from leveret.server.log_formats import TextFormatter
from leveret.server.log_syslog import Journald, Syslog, severity
from leveret.settings import Log
from tests.certificates import LOCALHOST, Authority, name
from tests.hang import HANG_SECONDS

HOST, PID = socket.gethostname(), os.getpid()


def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    made = logging.LogRecord("leveret.connection", level, "/x/node.py", 7, text, (), None, "start")
    made.created = 1764290236.5
    made.pid = "<0.7.0>"
    return made


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A syslog server over UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(HANG_SECONDS)
        yield sock


def send(settings: Log, *records: logging.LogRecord) -> Syslog:
    """Log records, and end the output."""
    output = Syslog(settings)
    output.setFormatter(TextFormatter({"plaintext": "$msg"}))
    for each in records:
        output.handle(each)
    output.close()
    return output


def test_messages_have_the_form_of_rfc_3164(server: socket.socket) -> None:
    send(Log(syslog_port=server.getsockname()[1]), record("one"), record("two", logging.WARNING))
    assert server.recv(999).decode() == f"<30>Nov 28 00:37:16 {HOST} rabbitmq-server[{PID}] <0.7.0> - one"
    assert server.recv(999).decode() == f"<28>Nov 28 00:37:16 {HOST} rabbitmq-server[{PID}] <0.7.0> - two"


def test_messages_have_the_form_of_rfc_5424(server: socket.socket) -> None:
    settings = Log(
        syslog_port=server.getsockname()[1],
        syslog_protocol="rfc5424",
        syslog_identity="shop",
        syslog_facility="local3",
        syslog_multiline=True,
    )
    send(settings, record("one\ntwo", logging.ERROR))
    expected = f"<155>1 2025-11-28T00:37:16.500000Z {HOST} shop {PID} <0.7.0> - one\ntwo"
    assert server.recv(999).decode() == expected


def test_each_line_is_a_message(server: socket.socket) -> None:
    send(Log(syslog_port=server.getsockname()[1]), record("one\n\n two"))
    assert [server.recv(999).decode().partition(" - ")[2] for _ in range(2)] == ["one", " two"]


def test_a_unix_socket_is_served(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(HANG_SECONDS)
        send(Log(syslog_host=path), record("one"))
        assert sock.recv(999).endswith(b" <0.7.0> - one")


def accepted(listener: socket.socket, found: list[bytes]) -> None:
    """Read all that the first client sends."""
    connection, _ = listener.accept()
    with connection:
        while octets := connection.recv(999):
            found.append(octets)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_streams_carry_the_length_of_each_message(transport: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certfile, keyfile = authority.issue("server", name("localhost"), alternatives=LOCALHOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certfile, keyfile)
    plain = socket.create_server(("127.0.0.1", 0))
    settings = Log(
        syslog_port=plain.getsockname()[1],
        syslog_transport="tls" if transport == "tls" else "tcp",
        syslog_cacertfile=str(authority.path),
    )
    found: list[bytes] = []
    with context.wrap_socket(plain, server_side=True) if transport == "tls" else plain as listener:
        reader = threading.Thread(target=accepted, args=(listener, found))
        reader.start()
        output = send(settings, record("one"), record("two"))
        reader.join(HANG_SECONDS)
    start = f"<30>Nov 28 00:37:16 {HOST} rabbitmq-server[{PID}] <0.7.0> - "
    messages = [f"{start}{text}\n" for text in ("one", "two")]
    assert b"".join(found).decode() == "".join(f"{len(text)} {text}" for text in messages)
    assert output.sender.dropped == 0


def test_a_server_that_is_not_there_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    output = send(Log(syslog_port=port, syslog_transport="tcp"), record("one"), record("two"))
    output.sender._thread.join(HANG_SECONDS)
    assert output.sender.dropped == 2
    warnings = [each.getMessage() for each in caplog.records]
    assert len(warnings) <= 1
    assert all(f"Syslog at 127.0.0.1:{port} cannot be reached" in text for text in warnings)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "a\x00b"])
def test_a_host_name_that_cannot_be_one_ends_nothing(
    host: str, transport: Literal["udp", "tcp", "tls"], caplog: pytest.LogCaptureFixture
) -> None:
    output = send(Log(syslog_host=host, syslog_transport=transport), record("one"), record("two"))
    output.sender._thread.join(HANG_SECONDS)
    assert output.sender.dropped == 2, "the thread has gone on"
    assert all(f"Syslog at {host}:514 cannot be reached" in each.getMessage() for each in caplog.records)


def test_the_journal_gets_the_fields_of_rabbitmq(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(HANG_SECONDS)
        output = Journald(path=path)
        output.setFormatter(TextFormatter({"plaintext": "$msg"}))
        output.handle(record("one"))
        output.close()
        assert sock.recv(9999).decode().splitlines() == [
            "MESSAGE=one",
            "SYSLOG_IDENTIFIER=rabbitmq-server",
            "SYSLOG_TIMESTAMP=2025-11-28T00:37:16.500000Z",
            f"SYSLOG_PID={PID}",
            "PRIORITY=6",
            "ERL_PID=<0.7.0>",
            "CODE_FILE=node.py",
            "CODE_LINE=7",
            "CODE_MFA=node:start",
        ]


def test_fields_of_the_journal_are_chosen(tmp_path: Path) -> None:
    output = Journald(('SYSLOG_IDENTIFIER="shop"', "priority", "LEVEL=level", "OTHER=nothing"), str(tmp_path))
    output.setFormatter(TextFormatter({"plaintext": "$msg"}))
    entry = output.entry(record("one\ntwo", logging.ERROR))
    output.close()
    text = b"one\ntwo"
    assert entry == (
        b"MESSAGE\n" + len(text).to_bytes(8, "little") + text + b"\n"
        b"SYSLOG_IDENTIFIER=shop\nPRIORITY=3\nLEVEL=error\nOTHER=\n"
    )


def test_a_journal_that_is_not_there_is_one_warning(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    output = Journald(path=str(tmp_path / "none"))
    for text in ("one", "two"):
        output.handle(record(text))
    output.close()
    (warning,) = [each.getMessage() for each in caplog.records]
    assert "cannot be reached" in warning
    assert output.dropped == 2


def test_severities_are_those_of_syslog() -> None:
    levels = (logging.DEBUG, logging.INFO, 25, logging.WARNING, logging.ERROR, logging.CRITICAL, 55, 60)
    assert [severity(record("", level)) for level in levels] == [7, 6, 5, 4, 3, 2, 1, 0]


def test_the_settings_add_the_outputs(server: socket.socket) -> None:
    before = log.handlers[:], log.propagate, log.level
    try:
        configure(Log(console=False, syslog=True, syslog_port=server.getsockname()[1], syslog_level="error"))
        log.info("not this")
        log.error("but this")
        for handler in log.handlers:
            handler.close()
    finally:
        log.handlers[:], log.propagate, level = before
        log.setLevel(level)
    assert server.recv(999).decode().endswith("- but this")
