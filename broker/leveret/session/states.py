"""The states of a connection (rabbit_reader: connection_state), and how its socket is ended.

The table `TRANSITIONS` in
`handshake.py` lists what is accepted in each state and which state follows.
"""

from __future__ import annotations

from enum import Enum

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


class End(Enum):
    """How the server is to end a socket."""

    #: Close it after the output is sent.
    CLOSE = "close"
    #: Reset it at once.
    RESET = "reset"
