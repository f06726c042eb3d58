"""The log: RabbitMQ's line format on standard output, and the events worth a line.

Tools wait for some of these lines, so their texts are RabbitMQ's (`Server startup complete; N plugins started.`).
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from leveret.engine.observers import Observer
from leveret.faults import Fault
from leveret.settings import Category

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": 25,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "alert": 55,
    "emergency": 60,
    "none": 100,
}

#: A name that Erlang prints without quotes.
_ATOM = re.compile(r"[a-z][a-zA-Z0-9_@]*")

#: Octets of a client's names that are not UTF-8, as the characters that Erlang's `~ts` makes of them: whoever reads the
#: log may insist on UTF-8.
_OCTETS = {0xDC00 + octet: octet for octet in range(0x80, 0x100)}

log = logging.getLogger("leveret")
connections = logging.getLogger("leveret.connection")
channels = logging.getLogger("leveret.channel")


class LogFormatter(logging.Formatter):
    """`2026-11-23 07:16:45.274524+00:00 [info] <0.0.0> MSG`, the prefix repeated on each line."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one or more lines."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(sep=" ", timespec="microseconds")
        prefix = f"{moment} [{record.levelname.lower()}] <0.{record.process}.0> "
        text = record.getMessage().translate(_OCTETS)
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return "\n".join(prefix + line for line in text.splitlines() or [""])


def configure(level: str, categories: Mapping[Category, str]) -> None:
    """Log to standard output from `level` on, or from a category's own level on (docs: logging, categories)."""
    logging.addLevelName(25, "NOTICE")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LogFormatter())
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(LEVELS[level])
    for category in get_args(Category):
        own = categories.get(category)
        log.getChild(category).setLevel(LEVELS[own] if own is not None else logging.NOTSET)


def write_fault(fault: Fault) -> None:
    """An internal error with its traceback, a dropped message in one line."""
    if fault.dropped:
        log.warning("%s", fault)
    else:
        log.error("%s", fault, exc_info=fault.error)


class LogObserver(Observer):
    """Writes the lines RabbitMQ would. `node`: the node's name."""

    def __init__(self, node: str) -> None:
        self.node = node if _ATOM.fullmatch(node) else f"'{node}'"

    def notify(self, event: str, *subjects: Any) -> None:
        """An event of the broker."""
        write = getattr(self, "_" + event.replace(".", "_"), None)
        if write is not None:
            write(*subjects)

    def _connection_created(self, connection: Any) -> None:
        connections.info(
            "connection %s: user '%s' authenticated and granted access to vhost '%s'",
            connection.name,
            connection.user.name,
            connection.vhost.name,
        )

    def _connection_closed(self, connection: Any) -> None:
        if connection.vhost is None:
            connections.info("closing AMQP connection %s", connection.name)
            return
        connections.info(
            "closing AMQP connection %s (vhost: '%s', user: '%s')",
            connection.name,
            connection.vhost.name,
            connection.user.name,
        )

    def _connection_refused(self, connection: Any, error: Any) -> None:
        connections.error("Error on AMQP connection %s:\n%s", connection.name, error)

    def _channel_refused(self, connection: Any, channel: Any, error: Any) -> None:
        channels.error(
            "Channel error on connection %s, channel %d:\n%s", connection.name, channel.number, error
        )

    def _user_authentication_failure(self, connection: Any, reason: str) -> None:
        connections.error(
            "Error on AMQP connection %s:\n%s login refused: %s",
            connection.name,
            connection.mechanism,
            reason,
        )

    def _connection_tuning_refused(self, connection: Any, reason: str) -> None:
        connections.error("Error on AMQP connection %s:\n%s", connection.name, reason)

    def _connection_heartbeat_missed(self, connection: Any) -> None:
        connections.error(
            "closing AMQP connection %s:\nmissed heartbeats from client, timeout: %ds",
            connection.name,
            connection.heartbeat,
        )

    def _queue_crashed(self, vhost: Any, queue: Any) -> None:
        kept = (
            "they are lost"
            if queue.queue_journal is None
            else "those that are persistent are in the message log and come back when the broker is started again"
        )
        log.error(
            "queue '%s' in vhost '%s' has crashed: %s; %s. It takes and gives nothing until then, and may be deleted.",
            queue.name,
            vhost.name,
            queue.crashed,
            kept,
        )

    def _stream_unreadable(self, vhost: Any, queue: Any, reason: str) -> None:
        log.error(
            "stream '%s' in vhost '%s' cannot be read: %s. The consumer that came to it is cancelled.",
            queue.name,
            vhost.name,
            reason,
        )

    def _lint_found(self, finding: Any) -> None:
        log.warning("%s", finding)

    def _alarm_set(self, source: str) -> None:
        log.warning(
            "%s resource limit alarm set on node %s.\n\n%s\n"
            "*** Publishers will be blocked until this alarm clears ***\n%s\n",
            source,
            self.node,
            "*" * 58,
            "*" * 58,
        )

    def _alarm_cleared(self, source: str) -> None:
        log.warning("%s resource limit alarm cleared on node %s", source, self.node)
        log.warning("%s resource limit alarm cleared across the cluster", source)
