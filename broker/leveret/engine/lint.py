"""Lint: reports what a newer RabbitMQ refuses, what is deprecated, and what does not have the effect that it seems to
have.

It checks declarations, bindings, policies and connections; of messages only what a publish examines anyway. There is
one finding for each rule and object, with how often, when and by which connection it was seen. At most `MAX_FINDINGS`
are stored, further ones are only counted. The version that refuses something is the first newer profile that does, or
one that is announced (`announced.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from leveret.engine import announced
from leveret.engine.actor import Actor
from leveret.engine.arguments import QUEUE_ARGUMENTS
from leveret.engine.changes import LintFound
from leveret.engine.findings import Finding
from leveret.profiles import PROFILES, Profile

if TYPE_CHECKING:
    from leveret.clock import Clock
    from leveret.engine.clients import ClientConnection, ClientConnectionBase
    from leveret.engine.observers import Observers
    from leveret.engine.policies import Policy
    from leveret.queues.queue import Queue
    from leveret.routing.exchanges import Exchange
    from leveret.settings import Settings

#: Findings kept.
MAX_FINDINGS = 1000

#: No profile refuses a smaller body by default.
LARGE_MESSAGE = min(profile.max_message_size for profile in PROFILES.values())

#: Queue arguments that have an effect but no row in `QUEUE_ARGUMENTS`.
_OTHER_ARGUMENTS = frozenset({"x-queue-type", "x-quorum-target-group-size"})


class Declared(Protocol):
    """A virtual host, as far as lint reads it."""

    name: str
    queues: dict[str, Queue]
    exchanges: dict[str, Exchange]


class Lint:
    """The findings of one broker. `left_out`: how often something was found that was not stored."""

    def __init__(self, settings: Settings, profile: Profile, clock: Clock, observers: Observers) -> None:
        self.settings = settings
        self.profile = profile
        self.clock = clock
        self.observers = observers
        self.findings: dict[tuple[str, str, str], Finding] = {}
        self.left_out = 0

    def note(self, actor: Actor, rule: str, subject: str, detail: str = "", refused_from: str = "") -> None:
        """Count a finding, and notify the observers the first time."""
        now, origin = self.clock.now, actor.origin
        found = self.findings.get((rule, subject, detail))
        if found is not None:
            found.count += 1
            found.last_seen, found.connection = now, origin
        elif len(self.findings) >= MAX_FINDINGS:
            self.left_out += 1
        else:
            found = Finding(rule, subject, detail, refused_from, now, now, origin)
            self.findings[rule, subject, detail] = found
            self.observers.notify(LintFound(actor, found))

    def forget(self) -> None:
        """Delete all findings."""
        self.findings.clear()
        self.left_out = 0

    def refused_from(self, refuses: Callable[[Profile], bool]) -> str:
        """Return the first profile newer than this one that refuses something; empty for none."""
        names = list(PROFILES)
        newer = names[names.index(self.profile.name) + 1 :]
        return next((name for name in newer if refuses(PROFILES[name])), "")

    def _denied_from(self, feature: str) -> str:
        refused = self.refused_from(lambda profile: not profile.permits(feature, {}))
        row = announced.FEATURES.get(feature)
        return refused or (row.version if row is not None else "")

    # --- what is checked

    def queue(self, actor: Actor, queue: Queue) -> None:
        """Check a queue that was declared, also repeatedly."""
        subject = f"queue '{queue.name}' in vhost '{queue.vhost}'"
        if not queue.durable and queue.owner is None and queue.kind == "classic":
            self.note(actor, "transient-queue", subject, "", self._denied_from("transient_nonexcl_queues"))
        options = queue.effective
        if queue.kind == "quorum" and options is not None:
            limit = options.delivery_limit
            if limit is None or limit < 0:
                self.note(actor, "no-delivery-limit", subject)
        for name, field in queue.arguments.items():
            self._argument(actor, subject, queue.kind, name, field.value)

    def _argument(self, actor: Actor, subject: str, kind: str, name: str, value: object) -> None:
        if name == "x-queue-master-locator":
            self.note(actor, "queue-master-locator", subject, "", self._denied_from("queue_master_locator"))
        elif name == "x-queue-mode":
            self.note(actor, "queue-mode", subject, _shown(value))
        elif name == "x-queue-version" and value == 1:
            self.note(
                actor, "queue-version", subject, "", self.refused_from(lambda p: 1 not in p.queue_versions)
            )
        elif name.startswith("x-max-in-memory-") and kind == "quorum":
            self.note(actor, "in-memory-limit", subject, name)
        elif name == "x-ha-policy":
            self.note(actor, "mirroring", subject, name)
        elif name.startswith("x-") and name not in QUEUE_ARGUMENTS and name not in _OTHER_ARGUMENTS:
            refused = announced.argument_refused_from(name, value)
            self.note(actor, "unknown-argument", subject, name, refused)

    def binding(
        self, actor: Actor, vhost: str, source: Exchange, key: str, arguments: Mapping[str, object]
    ) -> None:
        """Check a binding that was declared, also repeatedly."""
        if source.type == "topic" and key.count("#") > 2:
            words = key.split(".").count("#")
            refused = self.refused_from(lambda profile: 0 < profile.topic_wildcards < words)
            if refused:
                self.note(
                    actor, "topic-wildcards", f"exchange '{source.name}' in vhost '{vhost}'", key, refused
                )
        elif source.type == "x-consistent-hash" and key.isdecimal():
            refused = self.refused_from(lambda profile: 0 < profile.largest_hash_weight < int(key))
            if refused:
                self.note(actor, "hash-weight", f"exchange '{source.name}' in vhost '{vhost}'", key, refused)

    def policy(self, actor: Actor, policy: Policy) -> None:
        """Check a policy that was set."""
        subject = f"policy '{policy.name}' in vhost '{policy.vhost}'"
        for key, value in policy.definition.items():
            if key.startswith("ha-"):
                self.note(
                    actor, "mirroring", subject, key, self.refused_from(lambda profile: not profile.mirroring)
                )
            elif key == "queue-mode":
                self.note(actor, "queue-mode", subject, _shown(value))
            elif key == "queue-version" and value == 1:
                refused = self.refused_from(lambda profile: 1 not in profile.queue_versions)
                self.note(actor, "queue-version", subject, "", refused)
            elif key == "queue-master-locator":
                self.note(
                    actor, "queue-master-locator", subject, "", self._denied_from("queue_master_locator")
                )

    def connection(self, connection: ClientConnection) -> None:
        """Check a connection that was opened."""
        size = connection.frame_max
        refused = self.refused_from(lambda profile: size < profile.frame_min)
        if refused:
            product = connection.client_properties.get("product")
            name = _shown(product.value) if product is not None else "unknown"
            self.note(
                connection.actor,
                "frame-max",
                f"client '{name}' of user '{connection.actor.user}'",
                str(size),
                refused,
            )

    def global_qos(self, connection: ClientConnectionBase) -> None:
        """Note basic.qos with global."""
        place = f"user '{connection.actor.user}' in vhost '{_vhost_name(connection)}'"
        self.note(connection.actor, "global-qos", place, "", self._denied_from("global_qos"))

    def message_size(self, connection: ClientConnectionBase, exchange: str, size: int) -> None:
        """Note the publish of a large body, unless the limit is configured."""
        refused = self.refused_from(lambda profile: size > profile.max_message_size)
        if refused and not self.settings.amqp.max_message_size:
            self._message("message-size", connection, exchange, refused)

    def death_history(self, connection: ClientConnectionBase, exchange: str) -> None:
        """Note a publish with an x-death header (4.0 release notes: AMQP 0.9.1 x-death header)."""
        self._message("client-death-history", connection, exchange)

    def _message(
        self, rule: str, connection: ClientConnectionBase, exchange: str, refused_from: str = ""
    ) -> None:
        subject = f"messages to exchange '{exchange}' in vhost '{_vhost_name(connection)}'"
        self.note(connection.actor, rule, subject, "", refused_from)

    def standing(self, vhosts: Iterable[Declared]) -> list[Finding]:
        """Return findings about the current state: references to exchanges that do not exist."""
        now = self.clock.now
        return [
            Finding(rule, subject, target, "", now, now, "")
            for vhost in vhosts
            for rule, subject, target in _dangling(vhost)
        ]


def _vhost_name(connection: ClientConnectionBase) -> str:
    return connection.vhost.name if connection.vhost is not None else ""


def _dangling(vhost: Declared) -> list[tuple[str, str, str]]:
    found = []
    for name, queue in vhost.queues.items():
        target = queue.dead_letter_exchange
        if target is not None and target not in vhost.exchanges:
            found.append(("dead-letter-exchange", f"queue '{name}' in vhost '{vhost.name}'", target))
    for name, exchange in vhost.exchanges.items():
        if exchange.alternate is not None and exchange.alternate not in vhost.exchanges:
            found.append(
                ("alternate-exchange", f"exchange '{name}' in vhost '{vhost.name}'", exchange.alternate)
            )
    return sorted(found, key=lambda one: (one[0] != "dead-letter-exchange", one[1]))


def _shown(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
