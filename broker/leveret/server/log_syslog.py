"""The outputs of the log to syslog, over UDP, TCP, TLS or a Unix socket, and to systemd's journal.

Nothing here holds the loop: records for syslog are sent by a thread, and a datagram that the journal cannot take at
once is dropped.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import get_args

from leveret.settings import Log, SyslogFacility

#: Records that wait for the thread; more are dropped.
MOST_WAITING = 10_000

#: How long to wait for a connection and for a send, and until the next attempt (syslog_logger.erl), seconds.
TIMEOUT_S = 1.0

#: How long the end of the log waits for what is left, seconds.
CLOSE_S = 2.0

#: Where systemd's journal listens (systemd.journal-fields, native protocol).
JOURNAL = "/run/systemd/journal/socket"

#: Levels of logging -> severities of syslog.
_SEVERITIES = ((60, 0), (55, 1), (50, 2), (40, 3), (30, 4), (25, 5), (20, 6), (0, 7))

_FACILITIES = {
    "kernel": 0,
    **dict(zip((name for name in get_args(SyslogFacility) if name != "kernel"), range(24), strict=True)),
}

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

#: RabbitMQ's default of log.journald.fields.
_FIELDS = (
    'SYSLOG_IDENTIFIER="rabbitmq-server"', "syslog_timestamp", "syslog_pid", "priority",
    "ERL_PID=pid", "CODE_FILE=file", "CODE_LINE=line", "CODE_MFA=mfa",
)  # fmt: skip


def severity(record: logging.LogRecord) -> int:
    """Return syslog's severity of a record: 0 (emergency) to 7 (debug)."""
    return next(number for level, number in _SEVERITIES if record.levelno >= level)


class Syslog(logging.Handler):
    """Syslog, in the form of RFC 3164 or RFC 5424 (RabbitMQ's library syslog)."""

    def __init__(self, settings: Log) -> None:
        super().__init__()
        self.facility = _FACILITIES[settings.syslog_facility]
        self.rfc5424 = settings.syslog_protocol == "rfc5424"
        self.name_and_pid = settings.syslog_identity, os.getpid()
        self.host = socket.gethostname()
        self.multiline = settings.syslog_multiline
        self.sender = Sender(settings)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record to the thread: each line of it by itself, unless several lines are allowed."""
        text = self.format(record)
        for line in [text] if self.multiline else text.splitlines():
            if line:
                self.sender.put(self.message(record, line).encode("utf-8", "replace"))

    def message(self, record: logging.LogRecord, text: str) -> str:
        """Return the message for a text."""
        name, number = self.name_and_pid
        process = getattr(record, "pid", f"<0.{record.process}.0>")
        moment = datetime.fromtimestamp(record.created, UTC)
        start = f"<{self.facility << 3 | severity(record)}>"
        if self.rfc5424:
            time = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            return f"{start}1 {time} {self.host} {name} {number} {process} - {text}"
        time = f"{_MONTHS[moment.month - 1]} {moment.day:2} {moment:%H:%M:%S}"
        return f"{start}{time} {self.host} {name}[{number}] {process} - {text}"

    def close(self) -> None:
        """Send what is left, and end the thread."""
        self.sender.close()
        super().close()


class Sender:
    """Sends messages to a server, in a thread. While it cannot be reached, a connection is tried each second, each time
    one message is dropped, and the others wait; a warning says so once.

    A host that begins with `/` is a Unix socket, such as /dev/log. Over TCP and TLS each message has its length in
    front (RFC 6587). `dropped`: how many were.
    """

    def __init__(self, settings: Log) -> None:
        self.settings = settings
        self.place = f"{settings.syslog_host}:{settings.syslog_port}"
        self.streams = settings.syslog_transport != "udp" and not settings.syslog_host.startswith("/")
        self.dropped = 0
        self._waiting: queue.Queue[bytes | None] = queue.Queue(MOST_WAITING)
        self._socket: socket.socket | None = None
        self._failed = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leveret-syslog", daemon=True)
        self._thread.start()

    def put(self, message: bytes) -> None:
        """Send a message soon; dropped if too many wait."""
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Send what waits, for two seconds at most."""
        self._closing.set()
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while (message := self._waiting.get()) is not None:
            if self._socket is None and not self._connect():
                self.dropped += 1
                continue
            self._send(message)
        if self._socket is not None:
            self._socket.close()

    def _send(self, message: bytes) -> None:
        assert self._socket is not None
        try:
            if self.streams:
                self._socket.sendall(b"%d %b\n" % (len(message) + 1, message))
            else:
                self._socket.send(message)
        except Exception as error:  # whatever it is: the thread goes on
            self.dropped += 1
            self._socket.close()
            self._socket = None
            self._report(error)

    def _connect(self) -> bool:
        try:
            self._socket = self._connected()
        except Exception as error:  # also UnicodeError: a name that cannot be one of a host
            self._report(error)
            self._closing.wait(TIMEOUT_S)
            return False
        self._failed = False
        return True

    def _connected(self) -> socket.socket:
        host, port = self.settings.syslog_host, self.settings.syslog_port
        if host.startswith("/"):
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            address: object = host
        elif not self.streams:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            made = socket.socket(family, kind)
        else:
            made = socket.create_connection((host, port), TIMEOUT_S)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return self._encrypted(made) if self.settings.syslog_transport == "tls" else made
        made.settimeout(TIMEOUT_S)
        try:
            made.connect(address)  # type: ignore[arg-type]
        except OSError:
            made.close()
            raise
        return made

    def _encrypted(self, plain: socket.socket) -> socket.socket:
        settings = self.settings
        try:
            context = ssl.create_default_context(cafile=settings.syslog_cacertfile or None)
            if settings.syslog_verify == "verify_none":
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if settings.syslog_certfile:
                context.load_cert_chain(settings.syslog_certfile, settings.syslog_keyfile or None)
            return context.wrap_socket(plain, server_hostname=settings.syslog_host)
        except Exception:
            plain.close()
            raise

    def _report(self, error: Exception) -> None:
        """Warn once, until the server was reached again. The warning goes to the other outputs."""
        if not self._failed and not self._closing.is_set():
            self._failed = True
            logging.getLogger("leveret").warning(
                "Syslog at %s cannot be reached, and records for it may be lost: %s", self.place, error
            )


class Journald(logging.Handler):
    """systemd's journal, in its native protocol. `fields`: as in log.journald.fields: `NAME="text"`, `NAME=key`, and
    the names of fields in small letters; empty for RabbitMQ's default."""

    def __init__(self, fields: Sequence[str] = (), path: str = JOURNAL) -> None:
        super().__init__()
        self.path = path
        self.fields = [_field(word) for word in fields or _FIELDS]
        self.dropped = 0
        self._failed = False
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record; dropped if the journal is not there or does not take it at once."""
        entry = self.entry(record)
        try:
            self.socket.sendto(entry, self.path)
        except OSError as error:
            self.dropped += 1
            if not self._failed:
                self._failed = True
                logging.getLogger("leveret").warning(
                    "The journal at %s cannot be reached: %s", self.path, error
                )

    def entry(self, record: logging.LogRecord) -> bytes:
        """Return the datagram for a record."""
        moment = datetime.fromtimestamp(record.created, UTC)
        known = {
            "syslog_timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "syslog_pid": str(record.process),
            "priority": str(severity(record)),
            "pid": str(getattr(record, "pid", f"<0.{record.process}.0>")),
            "file": record.filename,
            "line": str(record.lineno),
            "mfa": f"{record.module}:{record.funcName}",
            "level": record.levelname.lower(),
        }
        found = [("MESSAGE", self.format(record))]
        found += [(name, text if key is None else known.get(key, "")) for name, text, key in self.fields]
        return b"".join(_entry_field(name, text) for name, text in found)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()
        super().close()


def _field(word: str) -> tuple[str, str, str | None]:
    """Return the name of a field with its text, or with the key of what it shows."""
    name, given, value = word.partition("=")
    if not given:
        return name.upper(), "", name.lower()
    if value[:1] == value[-1:] == '"' and len(value) > 1:
        return name, value[1:-1], None
    return name, "", value


def _entry_field(name: str, text: str) -> bytes:
    value = text.encode("utf-8", "replace")
    if b"\n" in value:
        return b"%b\n%b%b\n" % (name.encode(), len(value).to_bytes(8, "little"), value)
    return b"%b=%b\n" % (name.encode(), value)
