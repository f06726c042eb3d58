"""The permissions of a user in a virtual host as checks that raise 403 (docs: access-control)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from leveret import errors
from leveret.engine.authorization import Authority, Verdict
from leveret.work import Suspended

if TYPE_CHECKING:
    from leveret.clock import Clock
    from leveret.engine.access import Access
    from leveret.engine.users import User
    from leveret.profiles import Profile


#: The name of the default exchange in permissions.
DEFAULT_EXCHANGE = "amq.default"

#: Decisions of an authority that a channel keeps (rabbit_channel: MAX_PERMISSION_CACHE_SIZE), and after how long a
#: pause it drops them (rabbit_channel hibernates), ms.
MAX_KEPT = 12
IDLE_MS = 1000


class Permissions:
    """The permissions of one user in one virtual host. A permission is "configure", "write" or "read".

    `asks`: decisions may not be there yet, and checks then raise `Suspended`.
    """

    asks = False

    def __init__(self, access: Access, profile: Profile, user: str, vhost: str) -> None:
        self.access = access
        self.profile = profile
        self.user = user
        self.vhost = vhost
        self._new_name = ""

    def new_name(self, make: Callable[[], str]) -> str:
        """Return the same name until it is used or refused: the declaration may be repeated."""
        self._new_name = self._new_name or make()
        return self._new_name

    def name_used(self) -> None:
        """The queue is declared."""
        self._new_name = ""

    @property
    def checks_keys(self) -> bool:
        """Whether there are topic permissions."""
        return self.access.has_topic_permissions(self.user, self.vhost)

    def check_queue(self, permission: str, name: str) -> None:
        """Raise 403 without this permission for a queue."""
        if not self._has(permission, name):
            self._check(permission, errors.queue_name(name, self.vhost), name)

    def check_exchange(self, permission: str, name: str, shown: str | None = None) -> None:
        """Raise 403 without this permission for an exchange. `shown`: its name in the reply text."""
        if not self._has(permission, name):
            self._check(permission, errors.exchange_name(name if shown is None else shown, self.vhost), name)

    def _has(self, permission: str, name: str) -> bool:
        """Return whether the user has a permission; then no text needs to be made."""
        return self.access.grants(self.user, self.vhost).allows(permission, name or DEFAULT_EXCHANGE)

    def _check(self, permission: str, rendered: str, name: str) -> None:
        prefixed = self.profile.access_refused_prefix
        self.access.check(self.user, self.vhost, permission, rendered, name, prefixed)

    def check_passive_queue(self, name: str) -> None:
        """Raise 403 without any permission for a queue that is declared passively."""
        if not self._any(name):
            self.check_queue("configure", name)

    def check_passive_exchange(self, name: str) -> None:
        """Raise 403 without any permission for an exchange that is declared passively."""
        if not self._any(name):
            self.check_exchange("configure", name)

    def _any(self, name: str) -> bool:
        """Return whether the user has any permission, or the profile requires none."""
        allows = self.access.grants(self.user, self.vhost).allows
        if not self.profile.passive_declare_checked:
            return True
        return allows("configure", name) or allows("write", name) or allows("read", name)

    def check_topic(self, permission: str, exchange: str, key: str) -> None:
        """Raise 403 unless the user may use a routing key with a topic exchange (docs: access-control#topic)."""
        prefixed = self.profile.access_refused_prefix
        self.access.check_topic(self.user, self.vhost, permission, exchange, key, prefixed)


class Delegated(Permissions):
    """What an `Authority` decides about one user. Decisions that it was asked for are kept, as by RabbitMQ's channels:
    so many, and until the channel was idle for a while (rabbit_channel:check_resource_access)."""

    def __init__(self, access: Access, profile: Profile, user: User, vhost: str, clock: Clock) -> None:
        super().__init__(access, profile, user.name, vhost)
        assert user.authority is not None
        self.authority: Authority = user.authority
        self.asks = self.authority.asks
        self.clock = clock
        self._kept: dict[tuple[str, ...], Verdict] = {}
        self._used_at = clock.now
        self._waits = False

    def check_queue(self, permission: str, name: str) -> None:
        """Raise 403 without this permission for a queue."""
        verdict = self._decide("queue", permission, name)
        if not verdict.allowed:
            self._refuse(permission, errors.queue_name(name, self.vhost), verdict)

    def check_exchange(self, permission: str, name: str, shown: str | None = None) -> None:
        """Raise 403 without this permission for an exchange. `shown`: its name in the reply text."""
        verdict = self._decide("exchange", permission, name or DEFAULT_EXCHANGE)
        if not verdict.allowed:
            text = DEFAULT_EXCHANGE if not name else name if shown is None else shown
            self._refuse(permission, errors.exchange_name(text, self.vhost), verdict)

    def check_passive_queue(self, name: str) -> None:
        """Raise 403 without any permission for a queue that is declared passively."""
        if not self._any_of("queue", name):
            self.check_queue("configure", name)

    def check_passive_exchange(self, name: str) -> None:
        """Raise 403 without any permission for an exchange that is declared passively."""
        if not self._any_of("exchange", name or DEFAULT_EXCHANGE):
            self.check_exchange("configure", name)

    @property
    def checks_keys(self) -> bool:
        """An authority is asked about every routing key."""
        return True

    def check_topic(self, permission: str, exchange: str, key: str) -> None:
        """Raise 403 unless the user may use a routing key with a topic exchange."""
        verdict = self._kept_verdict(
            ("topic", permission, exchange, key),
            lambda: self.authority.may_use_key(self.vhost, exchange, key, permission),
        )
        if not verdict.allowed:
            self._forget_refusals()
            raise errors.topic_access_refused(
                permission,
                key,
                exchange,
                self.vhost,
                self.user,
                self.profile.access_refused_prefix,
                verdict.more,
            )

    def _any_of(self, kind: str, name: str) -> bool:
        if not self.profile.passive_declare_checked:
            return True
        found = any(
            self._decide(kind, permission, name).allowed for permission in ("read", "write", "configure")
        )
        if found:
            self._forget_refusals()
        return found

    def _decide(self, kind: str, permission: str, name: str) -> Verdict:
        return self._kept_verdict(
            (kind, permission, name),
            lambda: self.authority.may_use(self.vhost, kind, name, permission),
        )

    def _kept_verdict(self, key: tuple[str, ...], ask: Callable[[], Verdict]) -> Verdict:
        """Return a decision that is kept, or ask for it. Refusals are kept until the operation is refused: it may be
        repeated several times before all decisions are there."""
        if not self.asks:
            return ask()
        now = self.clock.now
        if not self._waits and now - self._used_at > IDLE_MS:
            self._kept.clear()
        self._used_at, self._waits = now, False
        verdict = self._kept.pop(key, None)
        if verdict is None:
            try:
                verdict = ask()
            except Suspended:
                self._waits = True
                raise
        self._kept[key] = verdict
        if len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        return verdict

    def _forget_refusals(self) -> None:
        self._kept = {key: verdict for key, verdict in self._kept.items() if verdict.allowed}

    def _refuse(self, permission: str, rendered: str, verdict: Verdict) -> None:
        self._forget_refusals()
        self._new_name = ""
        prefixed = self.profile.access_refused_prefix
        raise errors.access_refused(permission, rendered, self.user, prefixed, verdict.more)


def permissions_of(access: Access, profile: Profile, user: User, vhost: str, clock: Clock) -> Permissions:
    """Return the permissions of a user who has logged in."""
    if user.authority is None:
        return Permissions(access, profile, user.name, vhost)
    return Delegated(access, profile, user, vhost, clock)


class Unrestricted(Permissions):
    """Everything is allowed: for the broker itself."""

    def _has(self, permission: str, name: str) -> bool:
        return True

    def _check(self, permission: str, rendered: str, name: str) -> None:
        pass

    def _any(self, name: str) -> bool:
        return True

    def check_topic(self, permission: str, exchange: str, key: str) -> None:
        """Allow everything."""
