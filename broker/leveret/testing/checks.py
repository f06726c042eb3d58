"""Checks of arguments. Each error says what is wanted, what was given, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

from leveret.errors.kinds import CODES
from leveret.testing.errors import ToolkitError, hides_frames
from leveret.testing.near_miss import closest

__tracebackhide__ = hides_frames

#: Octets of the path of a Unix socket: `sun_path` of Linux without its last one. Other systems have fewer.
UNIX_PATH_BYTES = 107

LAST_PORT = 65535


def one_of(value: object, names: Iterable[str], what: str) -> None:
    """Raise `ToolkitError` unless a value is one of the names. `what`: how it was given, `clock='x'`."""
    known = list(names)
    if value in known:
        return
    like = closest(value, known) if isinstance(value, str) else None
    hint = f" ({like!r}?)" if like else ""
    raise ToolkitError(f"{what}: there are {', '.join(map(repr, known))}{hint}")


def choice(value: object, literal: object, what: str) -> None:
    """Raise `ToolkitError` unless a value is one of a `Literal`."""
    one_of(value, get_args(literal), f"{what}={value!r}")


def port(number: object, what: str) -> None:
    """Raise `TypeError`, `ValueError` unless it is the number of a port, 0 for any."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{what} is a number from 0 (any free port) to {LAST_PORT}, not {number!r}")
    if not 0 <= number <= LAST_PORT:
        raise ValueError(f"{what} is a number from 0 (any free port) to {LAST_PORT}, not {number}")


def text(value: object, what: str) -> None:
    """Raise `TypeError` unless it is a str."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is a str, not {value!r}")


def unix_path(path: str | Path | None) -> str | None:
    """Return the path of a Unix socket that can be made. Raises `TypeError`, `ValueError`, `FileNotFoundError`,
    `FileExistsError`."""
    if path is None:
        return None
    if not isinstance(path, str | Path):
        raise TypeError(f"unix is the path of a socket to be made, not {path!r}")
    place = Path(path)
    size = len(str(place).encode())
    if size > UNIX_PATH_BYTES:
        raise ValueError(
            f"unix={str(place)!r} has {size} octets, and the path of a Unix socket has {UNIX_PATH_BYTES} at most:"
            " make it in a directory with a shorter name, such as tempfile.mkdtemp()"
        )
    if not place.parent.is_dir():
        raise FileNotFoundError(f"unix={str(place)!r}: there is no directory {str(place.parent)!r}")
    if place.exists() and not place.is_socket():
        raise FileExistsError(
            f"unix={str(place)!r}: there is a file that is no socket, and it is not replaced"
        )
    return str(place)


def count(number: object, what: str = "count") -> None:
    """Raise `TypeError`, `ValueError` unless it is a number of things."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{what} is a number, not {number!r}")
    if number < 0:
        raise ValueError(f"{what} is 0 or more, not {number}")


def callable_(function: object, what: str) -> None:
    """Raise `TypeError` unless it can be called."""
    if not callable(function):
        raise TypeError(
            f"{what} is a function that is called again and again, not {function!r}: use `lambda: ...`"
        )


def settings(given: object) -> None:
    """Raise `TypeError` unless it is a mapping of settings, `ToolkitError` for one that has no effect here."""
    if not isinstance(given, Mapping):
        raise TypeError(f"settings are a mapping, as {{'amqp.heartbeat': 10}}, not {given!r}")
    for name in given:
        section = str(name).partition(".")[0]
        if name in _ARGUMENTS:
            raise ToolkitError(f"settings={{'{name}': ...}}: use Broker({_ARGUMENTS[name]})")
        if section in _NOT_HERE:
            raise ToolkitError(
                f"settings={{'{name}': ...}}: a broker inside a test {_NOT_HERE[section]}: leave it out, or start"
                " `leveret serve` with this setting"
            )


#: Settings that are arguments of `Broker`.
_ARGUMENTS = {
    "server.host": "host=...",
    "server.port": "port=...",
    "server.listeners": "host=..., port=..., unix=...",
    "server.http_port": "http=...",
    "server.load_definitions": "definitions=...",
    "testing.toxiproxy_port": "toxiproxy=...",
}

#: Sections that have no effect in a test, and why.
_NOT_HERE = {
    "tls": "has no TLS: its listener is plain",
    "management_tls": "has no TLS: its listener is plain",
    "prometheus_tls": "has no listener for metrics",
    "cluster": "is a node of its own, without a cluster",
    "log": "leaves the log of the process alone",
}


def reply_code(code: int) -> int:
    """Return a reply code. Raises `ValueError` for one that AMQP does not have."""
    if code not in CODES:
        raise ValueError(f"{code!r} is no reply code of AMQP: {', '.join(map(str, CODES))}")
    return code
