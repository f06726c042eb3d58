"""How often somebody tried to log in, by protocol, and by address and user if that is wanted (rabbit_core_metrics)."""

from __future__ import annotations

from typing import NamedTuple

from leveret.engine.changes import LoginFailed, LoginSucceeded
from leveret.engine.observers import Observer, on

AMQP, HTTP = "amqp091", "http"


class Key(NamedTuple):
    """Who tried. `address`, `user`: empty in the counts by protocol."""

    protocol: str
    address: str = ""
    user: str = ""


#: Addresses and users that are counted by themselves; more are only counted by protocol.
MAX_SOURCES = 65_536


class AuthAttempts(Observer):
    """Counts logins over AMQP, as an observer, and over HTTP. `by_source`: count by address and user as well, which
    takes memory for each of them."""

    def __init__(self, by_source: bool) -> None:
        self.by_source = by_source
        self.succeeded: dict[Key, int] = {}
        self.failed: dict[Key, int] = {}

    @on(LoginSucceeded)
    def _login_succeeded(self, change: LoginSucceeded) -> None:
        connection = change.connection
        self.count(AMQP, connection.peer.peer_host, connection.login or "", True)

    @on(LoginFailed)
    def _login_failed(self, change: LoginFailed) -> None:
        connection = change.connection
        self.count(AMQP, connection.peer.peer_host, connection.login or "", False)

    def count(self, protocol: str, address: str, user: str, succeeded: bool) -> None:
        """Count one attempt."""
        counts = self.succeeded if succeeded else self.failed
        keys = [Key(protocol)]
        if self.by_source:
            keys.append(Key(protocol, address, user))
        for key in keys:
            if key not in counts and len(counts) >= MAX_SOURCES:  # clients choose the names
                continue
            counts[key] = counts.get(key, 0) + 1

    def of(self, protocol: str) -> tuple[int, int]:
        """How many attempts over a protocol have succeeded, and how many have failed."""
        key = Key(protocol)
        return self.succeeded.get(key, 0), self.failed.get(key, 0)

    def keys(self, *, sources: bool) -> list[Key]:
        """What there are counts for: protocols, or addresses and users of each."""
        found = {*self.succeeded, *self.failed}
        return sorted(key for key in found if bool(key.address or key.user) is sources)

    def reset(self) -> None:
        """Begin again at 0."""
        self.succeeded.clear()
        self.failed.clear()
