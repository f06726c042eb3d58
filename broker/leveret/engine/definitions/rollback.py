"""Take back what an import has changed, in reverse order, when something in its document is refused.

RabbitMQ keeps what it has imported before an error; here a document counts as a whole or not at all. The observers are
notified of both, so that the catalogue and the event exchange follow. Others may change meanwhile what is taken back:
then what they did stays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from leveret.engine import operations
from leveret.errors import AmqpError
from leveret.work import Suspended, free

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.operations import Caller
    from leveret.engine.vhost import VirtualHost
    from leveret.wire.tables import Table
    from leveret.work import Steps

#: The properties of a virtual host that an import can change.
_VHOST_PROPERTIES = ("description", "tags", "default_queue_type")


class Rollback:
    """Remembers how things were before each change of one import."""

    def __init__(self, broker: Broker, caller: Caller) -> None:
        self.broker = broker
        self.caller = caller
        self._steps: list[Callable[[], object]] = []

    def steps(self) -> Steps:
        """Take everything back: a job that yields after each change."""
        while self._steps:
            step = self._steps.pop()
            while True:
                try:
                    with contextlib.suppress(AmqpError):
                        step()
                    break
                except Suspended as waiting:
                    yield waiting.job
            yield None
        self.broker.access_changed()

    def forget(self) -> None:
        """Keep what was changed. The steps refer to this object, and would stay until the old generation of the garbage
        collector is visited."""
        steps, self._steps = self._steps, []
        self.broker.work.begin(free(steps), "import of definitions")

    def user(self, name: str) -> None:
        """A user is going to be put."""
        users = self.broker.access.users
        old = users.get(name)

        def back() -> None:
            if old is not None:
                users.put(old)
            elif name in users:
                operations.delete_user(self.broker, self.caller, name)

        self._later(back)

    def vhost(self, vhost: VirtualHost) -> None:
        """The properties of a virtual host are going to be set."""
        old = {field: getattr(vhost, field) for field in (*_VHOST_PROPERTIES, "tracing", "protected")}

        def back() -> None:
            vhost.protected = old["protected"]
            vhost.tracing = old["tracing"]
            vhost.update(*(old[field] for field in _VHOST_PROPERTIES))

        self._later(back)

    def new_vhost(self, name: str) -> None:
        """A virtual host was created."""

        def back() -> None:
            if not self.broker.delete_vhost(name, self.caller.actor) and name in self.broker.elsewhere:
                self.broker.forget_vhost(name, self.caller.actor)  # if a node serves it by now, it closes it

        self._later(back)

    def permissions(self, user: str, vhost: str) -> None:
        """Permissions are going to be set."""
        access = self.broker.access
        old = access.permission(user, vhost)
        if old is None:
            self._later(lambda: access.clear_permissions(user, vhost))
        else:
            self._later(lambda: access.set_permissions(user, vhost, old.configure, old.write, old.read))

    def topic_permissions(self, user: str, vhost: str, exchange: str) -> None:
        """Topic permissions are going to be set."""
        access = self.broker.access
        old = access.topic_permission(user, vhost, exchange)
        if old is None:
            self._later(lambda: access.clear_topic_permissions(user, vhost, exchange))
        else:
            self._later(lambda: access.set_topic_permissions(user, vhost, exchange, old.write, old.read))

    def limits(self, vhost: str) -> None:
        """Limits of a virtual host are going to be set."""
        access = self.broker.access
        old = access.export_vhost_limits(vhost)
        if not old:
            self._later(lambda: access.clear_vhost_limits(vhost))
        else:
            self._later(lambda: access.set_vhost_limits(vhost, old[0]["value"], merge=False))

    def policy(self, vhost: str, name: str, operator: bool) -> None:
        """A policy is going to be set."""
        policies = self.broker.policies
        old = policies.get(vhost, name, operator)
        if old is None:
            self._later(lambda: policies.clear(vhost, name, operator))
        else:
            self._later(lambda: policies.set(old, operator))

    def global_parameter(self, name: str) -> None:
        """A global parameter is going to be set."""
        broker = self.broker
        if name not in broker.global_parameters:
            self._later(lambda: broker.clear_global_parameter(name))
        else:
            old = broker.global_parameters[name]
            self._later(lambda: broker.set_global_parameter(name, old))

    def exchange(self, vhost: VirtualHost, name: str) -> None:
        """An exchange was declared that did not exist."""
        self._later(lambda: operations.delete_exchange(vhost, self.caller, name))

    def queue(self, vhost: VirtualHost, name: str) -> None:
        """A queue was declared that did not exist."""
        self._later(lambda: operations.delete_queue(vhost, self.caller, name))

    def binding(
        self, vhost: VirtualHost, source: str, kind: str, name: str, key: str, arguments: Table
    ) -> None:
        """A binding was made that did not exist."""
        unbind = operations.unbind_queue if kind == "queue" else operations.unbind_exchange
        self._later(lambda: unbind(vhost, self.caller, source, name, key, arguments))

    def _later(self, step: Callable[[], object]) -> None:
        self._steps.append(step)
