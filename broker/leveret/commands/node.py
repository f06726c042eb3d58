"""The node that a command speaks to, through its control socket."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from leveret import control_paths
from leveret.control_frames import (
    END,
    GREETING,
    HEADER_BYTES,
    OUTPUT,
    PROGRESS,
    REQUEST,
    decoded,
    header,
    json_frame,
)
from leveret.progress import Report, unwatched

if TYPE_CHECKING:
    import _socket

#: How long a node may take to greet, seconds: it may be in the middle of a long turn.
GREETING_S = 30.0


class End(NamedTuple):
    """The end of a command: its exit code, and a text for standard error."""

    code: int
    text: str


class NodeDownError(Exception):
    """There is no such node, or it has gone."""


class Node:
    """A connection to a node. `name`: its own; `running`: whether its application is started."""

    def __init__(self, connection: _socket.socket) -> None:
        self.connection = connection
        try:
            kind, payload = self._frame()
            if kind != GREETING:
                raise NodeDownError
            greeting = decoded(payload)
        except BaseException:
            connection.close()
            raise
        self.name = str(greeting["node"])
        self.running = bool(greeting["running"])
        self.pid = int(str(greeting["pid"]))

    def ask(
        self, request: Mapping[str, object], timeout: float | None, report: Report = unwatched
    ) -> Iterator[str | End]:
        """Send the request. Yields output, and the end. `report`: gets the progress.

        Raises NodeDownError, TimeoutError.
        """
        self.connection.settimeout(timeout)
        try:
            self.connection.sendall(json_frame(REQUEST, request))
            while True:
                kind, payload = self._frame()
                if kind == END:
                    end = decoded(payload)
                    yield End(int(str(end["code"])), str(end["text"]))
                    return
                if kind == PROGRESS:
                    found = decoded(payload)
                    report(str(found["what"]), int(str(found["done"])), int(str(found["total"])))
                if kind == OUTPUT:
                    yield payload.decode("utf-8", "surrogateescape")
        except TimeoutError:
            raise
        except OSError as error:
            raise NodeDownError from error

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _frame(self) -> tuple[bytes, bytes]:
        kind, length = header(self._octets(HEADER_BYTES))
        return kind, self._octets(length)

    def _octets(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            octets = self.connection.recv(min(count - len(found), 1 << 20))
            if not octets:
                raise NodeDownError
            found += octets
        return bytes(found)


def find(name: str, options: Mapping[str, object], environment: Mapping[str, str]) -> Node:
    """Connect to a node. `name`: empty for the default one. Raises NodeDownError."""
    for path in _paths(name, options, environment):
        try:
            return Node(control_paths.connect(path, GREETING_S))
        except (OSError, ValueError, NodeDownError):
            continue
    raise NodeDownError


def _paths(name: str, options: Mapping[str, object], environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the paths to try: what is named, then what is found."""
    if name:
        yield from control_paths.candidates(name, environment)
        return
    named = environment.get("LEVERET_SERVER_CONTROL_SOCKET", "")
    if named and named != "none":
        yield named
        return
    data_dir = str(options.get("data_dir") or environment.get("LEVERET_STORE_DATA_DIR", ""))
    if data_dir and (path := control_paths.pointed(data_dir)):
        yield path
        return
    default = default_name(environment)
    yield from control_paths.candidates(default, environment)
    if configured_name(environment):
        return
    others = [other for other in control_paths.nodes(environment) if other != default]
    alive = [
        path for other in others for path in control_paths.candidates(other, environment) if _is_alive(path)
    ]
    if len(alive) == 1:
        yield alive[0]


def _is_alive(path: str) -> bool:
    """Whether a node listens there."""
    try:
        control_paths.connect(path, GREETING_S).close()
    except OSError:
        return False
    return True


def configured_name(environment: Mapping[str, str]) -> str:
    """The name of the node in the environment, empty if there is none."""
    return environment.get("LEVERET_SERVER_NODE") or environment.get("RABBITMQ_NODENAME") or ""


def default_name(environment: Mapping[str, str]) -> str:
    """The name of the node that is meant if none is named."""
    return complete(configured_name(environment) or "rabbit")


def complete(name: str) -> str:
    """A node name with its host."""
    head, _, host = name.partition("@")
    return f"{head or 'rabbit'}@{host or os.uname().nodename.partition('.')[0]}"
