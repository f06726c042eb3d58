"""The backend `cache`: keeps what another one has answered, for all connections (rabbit_auth_backend_cache)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Hashable
from dataclasses import replace

from leveret.auth_settings import AuthCache
from leveret.clock import Clock
from leveret.engine.authentication import AuthenticationBackend, Login, Refused
from leveret.engine.authorization import Authority, Renewed, Verdict
from leveret.engine.users import User

#: Answers that are kept; the oldest one gives way to a new one.
MAX_ANSWERS = 100_000


class AnswerCache:
    """Answers with the time until which they are kept, in ms of the clock."""

    def __init__(self, settings: AuthCache, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.salt = os.urandom(16)
        self._answers: dict[Hashable, tuple[int, object]] = {}

    def get(self, key: Hashable) -> object:
        """Return an answer, or None if it is not there or too old."""
        until, answer = self._answers.get(key, (0, None))
        if self.clock.now < until:
            return answer
        self._answers.pop(key, None)
        return None

    def put(self, key: Hashable, answer: object, *, refusal: bool) -> None:
        """Keep an answer, unless refusals are not kept and it is one."""
        if refusal and not self.settings.cache_refusals:
            return
        self._answers.pop(key, None)
        if len(self._answers) >= MAX_ANSWERS:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = self.clock.now + self.settings.ttl, answer

    def clear(self) -> None:
        """Forget everything (rabbitmqctl clear_auth_backend_cache)."""
        self._answers.clear()


class CacheBackend:
    """Asks another backend, unless the answer is known. Passwords are not kept, only digests of them."""

    def __init__(self, backend: AuthenticationBackend, cache: AnswerCache) -> None:
        self.backend = backend
        self.cache = cache

    def authenticate(self, login: Login) -> User | Refused:
        """Return the answer that is kept, or ask. Raises `Suspended`."""
        secret = None
        if login.password is not None:
            secret = hashlib.sha256(
                self.cache.salt + login.password.encode("utf-8", "surrogateescape")
            ).digest()
        key = ("login", login.name, secret)
        known = self.cache.get(key)
        if isinstance(known, User | Refused):
            return known
        outcome = self.backend.authenticate(login)
        if isinstance(outcome, User) and outcome.authority is not None:
            outcome = replace(outcome, authority=CachedAuthority(outcome, outcome.authority, self.cache))
        unanswered = isinstance(outcome, Refused) and outcome.unanswered
        if not unanswered:
            self.cache.put(key, outcome, refusal=isinstance(outcome, Refused))
        return outcome


class CachedAuthority:
    """Asks another authority, unless the decision is known."""

    def __init__(self, user: User, authority: Authority, cache: AnswerCache) -> None:
        self.user = user
        self.authority = authority
        self.cache = cache
        self.asks = authority.asks

    @property
    def expires_at(self) -> int | None:
        """When the credentials expire."""
        return self.authority.expires_at

    def may_open(self, vhost: str, address: str) -> Verdict:
        """Decide about a virtual host."""
        return self._known(("vhost", vhost, address), lambda: self.authority.may_open(vhost, address))

    def may_use(self, vhost: str, kind: str, name: str, permission: str) -> Verdict:
        """Decide about a queue or an exchange."""
        key = (kind, vhost, name, permission)
        return self._known(key, lambda: self.authority.may_use(vhost, kind, name, permission))

    def may_use_key(self, vhost: str, exchange: str, key: str, permission: str) -> Verdict:
        """Decide about a routing key."""
        asked = ("topic", vhost, exchange, key, permission)
        return self._known(asked, lambda: self.authority.may_use_key(vhost, exchange, key, permission))

    def renew(self, secret: str) -> Renewed | Refused | None:
        """Renew the credentials; decisions about the former ones are not used any more."""
        renewed = self.authority.renew(secret)
        if not isinstance(renewed, Renewed):
            return renewed
        user = replace(self.user, tags=renewed.tags)
        return Renewed(renewed.tags, CachedAuthority(user, renewed.authority, self.cache))

    def _known(self, question: tuple[str, ...], ask: Callable[[], Verdict]) -> Verdict:
        if not self.asks:  # what depends on a token alone is decided at once
            return ask()
        key = (self.user.name, self.user.tags, *question)
        known = self.cache.get(key)
        if isinstance(known, Verdict):
            return known
        verdict = ask()
        if not verdict.unanswered:
            self.cache.put(key, verdict, refusal=not verdict.allowed)
        return verdict
