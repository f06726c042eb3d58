"""The log: its loggers, one for each category of RabbitMQ, and their levels and outputs.

Formats: `log_formats`. Outputs: `log_outputs`, `log_syslog`. What is logged of clients: `log_observer`. Tools wait for
some lines, so their texts are RabbitMQ's (`Server startup complete; N plugins started.`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import get_args

from leveret.engine.broker import Broker
from leveret.engine.log_exchange import LogExchange
from leveret.faults import Fault
from leveret.server.log_formats import formatter
from leveret.server.log_outputs import LogFile, LogPublisher, LogStream, ThreadedOutput
from leveret.settings import Category, Log, LogLevel

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

log = logging.getLogger("leveret")
connections = logging.getLogger("leveret.connection")
channels = logging.getLogger("leveret.channel")


def configure(settings: Log, node: str = "rabbit@localhost") -> None:
    """Log to the outputs of the settings, from the levels of category and output on (docs: logging).

    `node`: the node's name, for the name of the file. Raises `OSError` if the file cannot be opened.
    """
    logging.addLevelName(25, "NOTICE")
    outputs: list[logging.Handler] = []
    if settings.console:
        stream = sys.stderr if settings.console_stream == "stderr" else sys.stdout
        console = LogStream(stream)
        add_output(outputs, console, settings.console_level)
        console.setFormatter(formatter(settings.console_format, settings.console_formatter))
    if settings.file:
        file = LogFile(settings, node)
        add_output(outputs, file, settings.file_level)
        file.setFormatter(formatter(settings.file_format, settings.file_formatter))
    if settings.syslog:
        from leveret.server.log_syslog import Syslog  # seldom used

        syslog = Syslog(settings)
        add_output(outputs, syslog, settings.syslog_level)
        details = {"plaintext": "$msg", **settings.syslog_formatter}
        syslog.setFormatter(formatter(settings.syslog_format, details))
    if settings.journald:
        from leveret.server.log_syslog import Journald  # seldom used

        journal = Journald(settings.journald_fields)
        add_output(outputs, journal, settings.journald_level)
        journal.setFormatter(formatter("plaintext", {"plaintext": "$msg"}))
    for handler in log.handlers:
        handler.close()
    log.handlers[:] = outputs or [logging.NullHandler()]
    log.propagate = False
    log.setLevel(LEVELS[settings.level])
    for category in get_args(Category):
        own = settings.categories.get(category)
        log.getChild(category).setLevel(LEVELS[own] if own is not None else logging.NOTSET)


@contextmanager
def written_in_threads() -> Iterator[None]:
    """Have each output write in a thread meanwhile: clients are served, and none may wait for a disk or for who reads a
    pipe. At the end, what waits is written, for a moment at most."""
    outputs = [output for output in log.handlers if isinstance(output, ThreadedOutput)]
    for output in outputs:
        output.begin()
    try:
        yield
    finally:
        for output in outputs:
            output.end()


def set_level(level: str) -> None:
    """Log from this level on, in all categories."""
    log.setLevel(LEVELS[level])
    for category in get_args(Category):
        log.getChild(category).setLevel(logging.NOTSET)


def announce(text: str) -> None:
    """Write a line to the console without a prefix, whatever the format of the log, as RabbitMQ its banner."""
    for output in log.handlers:
        if isinstance(output, LogStream):
            output.write(text)


def publish(broker: Broker, settings: Log, touch: Callable[[], None]) -> None:
    """Log to the exchange amq.rabbitmq.log as well. `touch`: have the loop do what is due."""
    content_type = "application/json" if settings.exchange_format == "json" else "text/plain"
    exchange = LogExchange(broker, content_type)
    broker.observers.add(exchange)
    exchange.declare()
    output = LogPublisher(exchange, touch)
    output.setFormatter(formatter(settings.exchange_format, settings.exchange_formatter))
    add_output(log.handlers, output, settings.exchange_level)


def add_output(outputs: list[logging.Handler], handler: logging.Handler, level: LogLevel | str) -> None:
    """Add an output that takes records from a level on; an empty level: all that their category lets through."""
    handler.setLevel(LEVELS.get(level, logging.NOTSET))
    outputs.append(handler)


def write_fault(fault: Fault) -> None:
    """Log an internal error with its traceback, or a dropped message in one line."""
    if fault.dropped:
        log.warning("%s", fault)
    else:
        log.error("%s", fault, exc_info=fault.error)
