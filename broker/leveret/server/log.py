"""The log: RabbitMQ's line format on standard output, and an observer that logs events.

Tools wait for some of these lines, so their texts are RabbitMQ's (`Server startup complete; N plugins started.`).
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import get_args

from leveret.engine.changes import (
    AlarmCleared,
    AlarmSet,
    ChannelRefused,
    ConnectionClosed,
    ConnectionCrowdedOut,
    ConnectionOpened,
    ConnectionRefused,
    HeartbeatMissed,
    LintFound,
    LoginFailed,
    QueueCrashed,
    RepliesDropped,
    StreamUnreadable,
    TuningRefused,
)
from leveret.engine.observers import Observer, on
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

#: Names that Erlang prints without quotes.
_ATOM = re.compile(r"[a-z][a-zA-Z0-9_@]*")

#: Octets in names of clients that are not UTF-8 -> characters, as Erlang's `~ts` prints them: the log is UTF-8.
_OCTETS = {0xDC00 + octet: octet for octet in range(0x80, 0x100)}

log = logging.getLogger("leveret")
connections = logging.getLogger("leveret.connection")
channels = logging.getLogger("leveret.channel")


class LogFormatter(logging.Formatter):
    """Formats `2026-11-23 07:16:45.274524+00:00 [info] <0.0.0> MSG`, with the prefix on each line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one or more lines."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(sep=" ", timespec="microseconds")
        prefix = f"{moment} [{record.levelname.lower()}] <0.{record.process}.0> "
        text = record.getMessage().translate(_OCTETS)
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return "\n".join(prefix + line for line in text.splitlines() or [""])


def configure(level: str, categories: Mapping[Category, str]) -> None:
    """Log to standard output from a level on, `level` or that of the category (docs: logging, categories)."""
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
    """Log an internal error with its traceback, or a dropped message in one line."""
    if fault.dropped:
        log.warning("%s", fault)
    else:
        log.error("%s", fault, exc_info=fault.error)


class LogObserver(Observer):
    """Writes the lines RabbitMQ would. `node`: the node's name."""

    def __init__(self, node: str) -> None:
        self.node = node if _ATOM.fullmatch(node) else f"'{node}'"

    @on(ConnectionOpened)
    def _connection_opened(self, change: ConnectionOpened) -> None:
        connection = change.connection
        assert connection.vhost is not None
        connections.info(
            "connection %s: user '%s' authenticated and granted access to vhost '%s'",
            connection.name,
            change.actor.user,
            connection.vhost.name,
        )

    @on(ConnectionClosed)
    def _connection_closed(self, change: ConnectionClosed) -> None:
        connection = change.connection
        if connection.vhost is None:
            connections.info("closing AMQP connection %s", connection.name)
            return
        connections.info(
            "closing AMQP connection %s (vhost: '%s', user: '%s')",
            connection.name,
            connection.vhost.name,
            connection.actor.user,
        )

    @on(ConnectionRefused)
    def _connection_refused(self, change: ConnectionRefused) -> None:
        connections.error("Error on AMQP connection %s:\n%s", change.connection.name, change.error)

    @on(ChannelRefused)
    def _channel_refused(self, change: ChannelRefused) -> None:
        channel = change.channel
        channels.error(
            "Channel error on connection %s, channel %d:\n%s",
            channel.connection.name,
            channel.number,
            change.error,
        )

    @on(LoginFailed)
    def _login_failed(self, change: LoginFailed) -> None:
        connections.error(
            "Error on AMQP connection %s:\n%s login refused: %s",
            change.connection.name,
            change.connection.mechanism,
            change.reason,
        )

    @on(TuningRefused)
    def _tuning_refused(self, change: TuningRefused) -> None:
        connections.error("Error on AMQP connection %s:\n%s", change.connection.name, change.reason)

    @on(HeartbeatMissed)
    def _heartbeat_missed(self, change: HeartbeatMissed) -> None:
        connections.error(
            "closing AMQP connection %s:\nmissed heartbeats from client, timeout: %ds",
            change.connection.name,
            change.connection.heartbeat,
        )

    @on(ConnectionCrowdedOut)
    def _crowded_out(self, change: ConnectionCrowdedOut) -> None:
        connections.warning(
            "connection %s is closed for a new one: it has not logged in, and few file descriptors are left",
            change.connection.name,
        )

    @on(RepliesDropped)
    def _replies_dropped(self, change: RepliesDropped) -> None:
        connections.warning(
            "connection %s does not read: direct replies to it are dropped meanwhile", change.connection.name
        )

    @on(QueueCrashed)
    def _queue_crashed(self, change: QueueCrashed) -> None:
        queue = change.queue
        kept = (
            "they are lost"
            if queue.queue_journal is None
            else "those that are persistent are in the message log and come back when the broker is started again"
        )
        log.error(
            "queue '%s' in vhost '%s' has crashed: %s; %s. It takes and gives nothing until then, and may be deleted.",
            queue.name,
            change.vhost,
            queue.crashed,
            kept,
        )

    @on(StreamUnreadable)
    def _stream_unreadable(self, change: StreamUnreadable) -> None:
        log.error(
            "stream '%s' in vhost '%s' cannot be read: %s. The consumer that came to it is cancelled.",
            change.queue.name,
            change.vhost,
            change.reason,
        )

    @on(LintFound)
    def _lint_found(self, change: LintFound) -> None:
        log.warning("%s", change.finding)

    @on(AlarmSet)
    def _alarm_set(self, change: AlarmSet) -> None:
        log.warning(
            "%s resource limit alarm set on node %s.\n\n%s\n"
            "*** Publishers will be blocked until this alarm clears ***\n%s\n",
            change.source,
            self.node,
            "*" * 58,
            "*" * 58,
        )

    @on(AlarmCleared)
    def _alarm_cleared(self, change: AlarmCleared) -> None:
        log.warning("%s resource limit alarm cleared on node %s", change.source, self.node)
        log.warning("%s resource limit alarm cleared across the cluster", change.source)
