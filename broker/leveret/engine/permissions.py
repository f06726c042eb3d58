"""The permissions of a user in a virtual host as checks that raise 403 (docs: access-control)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret import errors

if TYPE_CHECKING:
    from leveret.engine.access import Access
    from leveret.profiles import Profile


class Permissions:
    """The permissions of one user in one virtual host. A permission is "configure", "write" or "read"."""

    def __init__(self, access: Access, profile: Profile, user: str, vhost: str) -> None:
        self.access = access
        self.profile = profile
        self.user = user
        self.vhost = vhost

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
        return self.access.grants(self.user, self.vhost).allows(permission, name or "amq.default")

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
