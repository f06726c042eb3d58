"""Applies what other nodes change in the directory to the broker of this one.

The log, the event exchange and statistics do not hear of these changes: they have heard of them where they were made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from leveret.engine.access import KINDS
from leveret.engine.catalogue import Document, Key, Kind
from leveret.engine.users import NoSuchUserError
from leveret.engine.vhost import VhostProperties
from leveret.faults import context_of
from leveret.store.catalogue.documents import policy_of, vhost_properties

if TYPE_CHECKING:
    from leveret.engine.broker import Broker

log = logging.getLogger("leveret")


class DirectoryChanges:
    """`broker`: that of this node. `touch`: has its clients be sent what the changes make."""

    def __init__(self, broker: Broker, touch: Callable[[], None]) -> None:
        self.broker = broker
        self.touch = touch
        self._kinds: dict[Kind, Callable[[Key, Document | None], None]] = {
            Kind.VHOST: self._vhost,
            Kind.GLOBAL_PARAMETER: self._global_parameter,
            Kind.USER: self._user,
            Kind.PERMISSION: self._permission,
            Kind.TOPIC_PERMISSION: self._topic_permission,
            Kind.VHOST_LIMITS: self._vhost_limits,
            Kind.POLICY: lambda key, document: self._policy(key, document, False),
            Kind.OPERATOR_POLICY: lambda key, document: self._policy(key, document, True),
        }

    def apply(self, kind: Kind, key: Key, document: Document | None) -> None:
        """Apply the change of a record; None: it is deleted. What cannot be applied is reported as a fault."""
        try:
            self._kinds[kind](key, document)
        except NoSuchUserError:
            log.debug("cluster: %s of a user that is gone: %s", kind, key)
        except Exception as error:
            self.broker.faults.report("a change of the directory", error, **context_of(self.apply), kind=kind)
        self.broker.access_changed()
        self.touch()

    def _vhost(self, key: Key, document: Document | None) -> None:
        """A virtual host that is here changes here only, but what its last owner has changed may come after it."""
        name = key[0]
        here = self.broker.vhosts.get(name)
        if document is None:
            self.broker.elsewhere.pop(name, None)
            return
        properties = vhost_properties(document)
        if here is None:
            self.broker.elsewhere[name] = properties
        elif here.deletion is None and VhostProperties.of(here) != properties:
            here.restore(properties)

    def _global_parameter(self, key: Key, document: Document | None) -> None:
        if document is None:
            self.broker.clear_global_parameter(key[0])
        else:
            self.broker.set_global_parameter(key[0], document["value"])

    def _user(self, key: Key, document: Document | None) -> None:
        broker, name = self.broker, key[0]
        if document is not None:
            broker.access.import_user(document)
            return
        broker.access.forget_user(name)
        theirs = [one for one in broker.connections if one.user is not None and one.user.name == name]
        broker.shut(theirs, f"user '{name}' is deleted")

    def _permission(self, key: Key, document: Document | None) -> None:
        if document is None:
            self.broker.access.clear_permissions(*key)
        else:
            self.broker.access.set_permissions(*key, *(document[kind] for kind in KINDS))

    def _topic_permission(self, key: Key, document: Document | None) -> None:
        if document is None:
            self.broker.access.clear_topic_permissions(*key)
        else:
            user, vhost, exchange = key
            self.broker.access.set_topic_permissions(
                user, vhost, exchange, document["write"], document["read"]
            )

    def _vhost_limits(self, key: Key, document: Document | None) -> None:
        if document is None:
            self.broker.access.clear_vhost_limits(key[0])
        else:
            self.broker.access.set_vhost_limits(key[0], document, merge=False)

    def _policy(self, key: Key, document: Document | None, operator: bool) -> None:
        vhost, name = key
        if document is None:
            self.broker.policies.clear(vhost, name, operator)
        else:
            self.broker.policies.set(policy_of(document), operator)
        here = self.broker.vhosts.get(vhost)
        if here is not None:
            here.apply_policies()
