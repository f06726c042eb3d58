"""What the user of a connection may do in its virtual host (docs: access-control)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret import errors

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.users import User
    from leveret.engine.vhost import VirtualHost


class Permissions:
    """One user's permissions in one virtual host. `kind`: "configure", "write" or "read"."""

    def __init__(self, broker: Broker, user: User, vhost: VirtualHost) -> None:
        self.user = user
        self.vhost = vhost.name
        self.access = broker.access
        self.prefixed = broker.profile.access_refused_prefix
        self.passive_declare_checked = broker.profile.passive_declare_checked

    def check_queue(self, kind: str, name: str) -> None:
        """Raise 403 unless the user has this permission for a queue."""
        self._check(kind, errors.queue_name(name, self.vhost), name)

    def check_exchange(self, kind: str, name: str, shown: str | None = None) -> None:
        """Raise 403 unless the user has this permission for an exchange. `shown`: its name in the reply text."""
        self._check(kind, errors.exchange_name(name if shown is None else shown, self.vhost), name)

    def _check(self, kind: str, rendered: str, name: str) -> None:
        self.access.check(self.user.name, self.vhost, kind, rendered, name, self.prefixed)

    def check_passive(self, resource: str, name: str) -> None:
        """Raise 403 unless the user has any permission for what a passive declaration names; some versions ask."""
        if not self.passive_declare_checked:
            return
        grants = self.access.grants(self.user.name, self.vhost)
        if not any(grants.allows(kind, name) for kind in ("configure", "write", "read")):
            check = self.check_queue if resource == "queue" else self.check_exchange
            check("configure", name)

    def check_topic(self, kind: str, exchange: str, keys: list[bytes]) -> None:
        """Raise 403 unless the user may use all routing keys with a topic exchange (docs: access-control#topic)."""
        if self.access.has_topic_permissions(self.user.name, self.vhost):
            for key in keys:
                text = key.decode("utf-8", "surrogateescape")
                self.access.check_topic(self.user.name, self.vhost, kind, exchange, text, self.prefixed)
