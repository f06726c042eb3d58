"""The states of a connection, and what may come in each: one visible table (rabbit_reader's connection_state)."""

from __future__ import annotations

AWAITING_HEADER = 0
STARTING = 1  # connection.start sent, start-ok awaited
SECURING = 2  # connection.secure sent, secure-ok awaited
TUNING = 3  # connection.tune sent, tune-ok awaited
OPENING = 4  # tuned, connection.open awaited
RUNNING = 5
CLOSING = 6  # connection.close sent, close-ok awaited
CLOSED = 7  # nothing is read any more

#: State -> its name in RabbitMQ's texts and API.
NAMES = {
    AWAITING_HEADER: "pre_init",
    STARTING: "starting",
    SECURING: "securing",
    TUNING: "tuning",
    OPENING: "opening",
    RUNNING: "running",
    CLOSING: "closing",
    CLOSED: "closed",
}

#: State -> the connection methods that are served in it, and the state they lead to when all is well.
TRANSITIONS: dict[int, dict[str, int]] = {
    STARTING: {"connection.start-ok": TUNING},
    SECURING: {"connection.secure-ok": TUNING},
    TUNING: {"connection.tune-ok": OPENING},
    OPENING: {"connection.open": RUNNING},
    RUNNING: {"connection.close": CLOSING, "connection.update-secret": RUNNING},
    CLOSING: {"connection.close-ok": CLOSED, "connection.close": CLOSING},
}
