"""Who decides what a user may do, if not the broker's own permissions (rabbit_authz_backend)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from msgspec import Struct


class Refused(Struct, frozen=True):
    """A login that failed. `log`: the line for the log; clients learn only that they were refused. `unanswered`: a
    backend could not be asked."""

    log: str
    unanswered: bool = False


class Verdict(NamedTuple):
    """A decision. `more`: what the text of a refusal says besides. `unanswered`: a backend could not be asked."""

    allowed: bool
    more: str = ""
    unanswered: bool = False


ALLOWED = Verdict(True)
DENIED = Verdict(False)


class Renewed(NamedTuple):
    """New credentials of the same user: tags, and who decides from now on."""

    tags: tuple[str, ...]
    authority: Authority


class Authority(Protocol):
    """Decides what one user may do. A decision that is not there yet raises `Suspended`; it is there when the job has
    ended and the operation is repeated.

    `asks`: decisions may have to be asked for, and are kept for a while. `expires_at`: when the credentials of the user
    expire, in seconds since the epoch; None: never.
    """

    @property
    def asks(self) -> bool:
        """Whether decisions may not be there yet."""

    @property
    def expires_at(self) -> int | None:
        """When the credentials expire."""

    def may_open(self, vhost: str, address: str) -> Verdict:
        """Decide about a virtual host. `address`: the client's."""

    def may_use(self, vhost: str, kind: str, name: str, permission: str) -> Verdict:
        """Decide about a permission for a resource; `kind`: queue or exchange."""

    def may_use_key(self, vhost: str, exchange: str, key: str, permission: str) -> Verdict:
        """Decide about a routing key of a topic exchange."""

    def renew(self, secret: str) -> Renewed | Refused | None:
        """Return what follows from a new secret, or why it is refused; None: the credentials do not expire."""


class OneRequest:
    """What an authority has decided during one HTTP request: the request may be repeated several times before all
    decisions are there."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.asks = authority.asks
        self._decided: dict[tuple[str, ...], Verdict] = {}

    @property
    def expires_at(self) -> int | None:
        """When the credentials expire."""
        return self.authority.expires_at

    def may_open(self, vhost: str, address: str) -> Verdict:
        """Decide about a virtual host."""
        return self._once(("vhost", vhost, address), lambda: self.authority.may_open(vhost, address))

    def may_use(self, vhost: str, kind: str, name: str, permission: str) -> Verdict:
        """Decide about a queue or an exchange."""
        question = (kind, vhost, name, permission)
        return self._once(question, lambda: self.authority.may_use(vhost, kind, name, permission))

    def may_use_key(self, vhost: str, exchange: str, key: str, permission: str) -> Verdict:
        """Decide about a routing key."""
        question = ("topic", vhost, exchange, key, permission)
        return self._once(question, lambda: self.authority.may_use_key(vhost, exchange, key, permission))

    def renew(self, secret: str) -> Renewed | Refused | None:
        """A request is too short for that."""
        return None

    def _once(self, question: tuple[str, ...], ask: Callable[[], Verdict]) -> Verdict:
        verdict = self._decided.get(question)
        if verdict is None:
            verdict = self._decided[question] = ask()
        return verdict
