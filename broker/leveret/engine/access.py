"""Who may come in, and what they may do there.

`Access` holds the users, their permissions per virtual host, their topic permissions per exchange, and the
limits of users and virtual hosts. `grants(user, vhost)` is the compiled form a channel keeps: three patterns
and a bounded memo of decisions. Every change raises `revision`; whoever remembers a decision remembers the
revision beside it and asks again when it has moved. (RabbitMQ keeps 12 decisions per channel and drops them
when the channel idles.)

Whether a login is good is a value (`User` or `Refused`); what a client may not do is an `AmqpError`. Whether
a virtual host or an exchange exists is the business of its registry: nothing here knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from leveret import errors
from leveret.engine.catalogue import Changed, Kind, unrecorded
from leveret.engine.patterns import Pattern, compile_pattern
from leveret.engine.users import NoSuchUserError, User, Users, checked_limits, user_from_json

#: What a virtual host may be limited in (rabbit_vhost_limit:vhost_limit_validation).
VHOST_LIMITS = ("max-connections", "max-queues")

#: How many decisions a `Grants` remembers; RabbitMQ's channels keep 12, but ours share them.
MAX_CACHED_GRANTS = 512

#: RabbitMQ's own order of the three fields, in the API and in log lines.
KINDS = ("configure", "write", "read")


@dataclass(frozen=True, slots=True)
class Refused:
    """A login that failed. `log`: the line for the log; clients learn only that they were refused."""

    log: str


@dataclass(frozen=True, slots=True)
class Permission:
    """Three patterns, searched in names; an empty one matches the empty name alone."""

    configure: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class TopicPermission:
    """Two patterns, searched in routing keys; `{username}`, `{vhost}` and `{client_id}` are filled in."""

    write: str
    read: str


class Grants:
    """What one user may do in one virtual host, as it was at one revision of `Access`."""

    __slots__ = ("_decided", "_patterns", "user", "vhost")

    def __init__(self, user: str, vhost: str, permission: Permission | None) -> None:
        self.user = user
        self.vhost = vhost
        self._decided: dict[tuple[str, str], bool] = {}
        self._patterns: dict[str, Pattern] = {}
        if permission is not None:
            self._patterns = {kind: _compiled(getattr(permission, kind)) for kind in KINDS}

    def allows(self, kind: str, name: str) -> bool:
        """May the user do that to what is called `name`? The default exchange is `amq.default` here."""
        decided = self._decided.get((kind, name))
        if decided is None:
            decided = self._decide(kind, name)
        return decided

    def _decide(self, kind: str, name: str) -> bool:
        pattern = self._patterns.get(kind)
        allowed = pattern is not None and pattern.search(_bytes(name))
        if len(self._decided) >= MAX_CACHED_GRANTS:
            self._decided.clear()
        self._decided[kind, name] = allowed
        return allowed


class Access:
    """Users, permissions and limits of one broker.

    `loopback_users`: may log in from this machine only. `anonymous`, `anonymous_password`: whom mechanism
    ANONYMOUS logs in as, None for nobody. `changed`: called after each change.
    """

    def __init__(
        self,
        loopback_users: Iterable[str] = ("guest",),
        anonymous: str | None = "guest",
        anonymous_password: str = "guest",
    ) -> None:
        self.changed: Changed = unrecorded
        self.users = Users(lambda name: self.changed(Kind.USER, (name,)))
        self.loopback_users = frozenset(loopback_users)
        self.anonymous = anonymous
        self.anonymous_password = anonymous_password
        self._permissions: dict[tuple[str, str], Permission] = {}
        self._topic: dict[tuple[str, str], dict[str, TopicPermission]] = {}
        self._vhost_limits: dict[str, dict[str, int]] = {}
        self._grants: dict[tuple[str, str], Grants] = {}
        self._changes = 0

    @property
    def revision(self) -> int:
        """Grows with every change to users, permissions or limits."""
        return self._changes + self.users.revision

    # --- logging in

    def authenticate(self, name: str, password: str, *, loopback: bool) -> User | Refused:
        """The user, or why not. `loopback`: the peer is on this machine.

        Texts: rabbit_auth_backend_internal, rabbit_reader:auth_phase.
        """
        if not password:
            return Refused(
                f"user '{name}' attempted to log in with a blank password, which is prohibited by the "
                "internal authN backend. To use TLS/x509 certificate-based authentication, see the "
                "rabbitmq_auth_mechanism_ssl plugin and configure the client to use the EXTERNAL "
                "authentication mechanism. Alternatively change the password for the user to be non-blank."
            )
        user = self.users.get(name)
        if user is None or not user.verify(password):
            return Refused(f"user '{name}' - invalid credentials")
        return self._from_here(user, loopback)

    def anonymously(self, *, loopback: bool) -> User | Refused:
        """The same for mechanism ANONYMOUS: RabbitMQ logs in with the configured name and password."""
        if self.anonymous is None:
            return Refused("anonymous login is disabled")
        return self.authenticate(self.anonymous, self.anonymous_password, loopback=loopback)

    def identify(self, name: str, *, loopback: bool) -> User | Refused:
        """The same for a name that a certificate vouches for."""
        user = self.users.get(name)
        if user is None:
            return Refused(f"user '{name}' - invalid credentials")
        return self._from_here(user, loopback)

    def _from_here(self, user: User, loopback: bool) -> User | Refused:
        if not loopback and user.name in self.loopback_users:
            return Refused(f"user '{user.name}' can only connect via localhost")
        return user

    def vhost_access(self, user: str, vhost: str) -> bool:
        """Has the user any permission entry there, were it an empty one?"""
        return (user, vhost) in self._permissions

    def check_vhost(self, user: str, vhost: str) -> None:
        """530 unless the user may open the virtual host."""
        if not self.vhost_access(user, vhost):
            raise errors.vhost_access_refused(vhost, user)

    # --- deciding

    def grants(self, user: str, vhost: str) -> Grants:
        """The compiled permissions; good as long as `revision` stays."""
        grants = self._grants.get((user, vhost))
        if grants is None:
            grants = Grants(user, vhost, self._permissions.get((user, vhost)))
            if (user, vhost) in self._permissions:  # strangers must not fill the memo
                self._grants[user, vhost] = grants
        return grants

    def check(self, user: str, vhost: str, kind: str, rendered: str, name: str, prefixed: bool) -> None:
        """403 unless the user may.

        `rendered`: the resource as texts show it (`queue 'q' in vhost '/'`). `name`: its name, empty for the
        default exchange (which the text then calls `amq.default`). `prefixed`: the text starts with the kind,
        as from RabbitMQ 3.12.
        """
        if not name:
            name, rendered = "amq.default", errors.exchange_name("amq.default", vhost)
        if not self.grants(user, vhost).allows(kind, name):
            raise errors.access_refused(kind, rendered, user, prefixed)

    def check_topic(
        self,
        user: str,
        vhost: str,
        kind: str,
        exchange: str,
        routing_key: str,
        prefixed: bool,
        client_id: str | None = None,
    ) -> None:
        """403 unless the user may use that routing key with that topic exchange; any, if there is no entry.

        `client_id`: known for MQTT only; the placeholder stays as it is otherwise
        (rabbit_auth_backend_internal:expand_topic_permission).
        """
        permission = self._topic.get((user, vhost), {}).get(exchange)
        if permission is None:
            return
        pattern = permission.write if kind == "write" else permission.read
        variables = {"username": user, "vhost": vhost}
        if client_id is not None:
            variables["client_id"] = client_id
        for variable, value in variables.items():
            pattern = pattern.replace(f"{{{variable}}}", value)
        if not _compiled(pattern).search(_bytes(routing_key)):
            raise errors.topic_access_refused(kind, routing_key, exchange, vhost, user, prefixed)

    def topic_permission(self, user: str, vhost: str, exchange: str) -> TopicPermission | None:
        """The entry, or None."""
        return self._topic.get((user, vhost), {}).get(exchange)

    def has_topic_permissions(self, user: str, vhost: str) -> bool:
        """Is there anything for `check_topic` to look at? Publishing asks this first."""
        return (user, vhost) in self._topic

    # --- permissions

    def set_permissions(self, user: str, vhost: str, configure: str, write: str, read: str) -> bool:
        """Add or replace; True if it is new. Raises `NoSuchUserError`, `PatternError`."""
        self._known(user)
        for pattern in (configure, write, read):
            compile_pattern(pattern)
        new = (user, vhost) not in self._permissions
        self._permissions[user, vhost] = Permission(configure, write, read)
        self._changed(user, vhost)
        self.changed(Kind.PERMISSION, (user, vhost))
        return new

    def clear_permissions(self, user: str, vhost: str) -> bool:
        """False if there were none. Raises `NoSuchUserError`."""
        self._known(user)
        there = self._permissions.pop((user, vhost), None) is not None
        self._changed(user, vhost)
        if there:
            self.changed(Kind.PERMISSION, (user, vhost))
        return there

    def permission(self, user: str, vhost: str) -> Permission | None:
        """The entry, or None."""
        return self._permissions.get((user, vhost))

    def set_topic_permissions(self, user: str, vhost: str, exchange: str, write: str, read: str) -> bool:
        """Add or replace; True if it is the user's first there. Raises `NoSuchUserError`, `PatternError`."""
        self._known(user)
        for pattern in (write, read):
            compile_pattern(pattern)
        new = (user, vhost) not in self._topic
        self._topic.setdefault((user, vhost), {})[exchange] = TopicPermission(write, read)
        self._changed(user, vhost)
        self.changed(Kind.TOPIC_PERMISSION, (user, vhost, exchange))
        return new

    def clear_topic_permissions(self, user: str, vhost: str, exchange: str | None = None) -> None:
        """Drop those for one exchange, or all; nothing there is no error. Raises `NoSuchUserError`."""
        self._known(user)
        entries = self._topic.get((user, vhost), {})
        cleared = [name for name in entries if exchange in (None, name)]
        for name in cleared:
            del entries[name]
        if not entries:
            self._topic.pop((user, vhost), None)
        self._changed(user, vhost)
        for name in cleared:
            self.changed(Kind.TOPIC_PERMISSION, (user, vhost, name))

    def forget_user(self, user: str) -> User:
        """Delete a user with all that was granted to it; returns what it was. Raises `NoSuchUserError`."""
        forgotten = self.users.delete(user)
        self._drop(lambda key: key[0] == user)
        return forgotten

    def forget_vhost(self, vhost: str) -> None:
        """Drop everything about a virtual host that is gone."""
        if self._vhost_limits.pop(vhost, None) is not None:
            self.changed(Kind.VHOST_LIMITS, (vhost,))
        self._drop(lambda key: key[1] == vhost)

    # --- limits

    def set_vhost_limits(self, vhost: str, limits: Mapping[str, Any], *, merge: bool = True) -> None:
        """Set limits, leaving others alone or (`merge=False`, as rabbitmqctl does) dropping them.

        Raises `LimitError`.
        """
        checked_limits(limits, VHOST_LIMITS, "limits")
        self._vhost_limits[vhost] = {**(self._vhost_limits.get(vhost, {}) if merge else {}), **limits}
        self._changes += 1
        self.changed(Kind.VHOST_LIMITS, (vhost,))

    def clear_vhost_limits(self, vhost: str, limit: str | None = None) -> None:
        """Drop one limit, or all. As in RabbitMQ, an entry stays when its last limit goes."""
        if limit is None:
            self._vhost_limits.pop(vhost, None)
        else:
            self._vhost_limits.get(vhost, {}).pop(limit, None)
        self._changes += 1
        self.changed(Kind.VHOST_LIMITS, (vhost,))

    def vhost_limits(self, vhost: str) -> Mapping[str, int]:
        """As they were set, negative ones included."""
        return self._vhost_limits.get(vhost, {})

    def vhost_limit(self, vhost: str, name: str) -> int | None:
        """The limit of that name, or None where there is none (not set, or negative)."""
        value = self._vhost_limits.get(vhost, {}).get(name, -1)
        return value if value >= 0 else None

    def check_vhost_connections(self, vhost: str, user: str, count: int) -> None:
        """530 if one more connection is too many for the virtual host. `count`: open ones, without it.

        RabbitMQ asks this first, then about the user's connections, and only then about permissions.
        """
        limit = self.vhost_limit(vhost, "max-connections")
        if limit is not None and count >= limit:
            raise errors.vhost_connection_limit(vhost, user, limit)

    def check_user_connections(self, user: str, count: int) -> None:
        """530 if one more connection is too many for the user. `count`: open ones, without it."""
        limit = self._user_limit(user, "max-connections")
        if limit is not None and count >= limit:
            raise errors.user_connection_limit(user, limit)

    def limits_channels(self, user: str) -> bool:
        """Is it worth counting the user's channels?"""
        return self._user_limit(user, "max-channels") is not None

    def check_user_channels(self, user: str, count: int, parentheses: bool) -> None:
        """530 if one more channel is too many. `count`: open ones on all connections of the user, without it.

        `parentheses`: around the number in the text, as until RabbitMQ 4.1.
        """
        limit = self._user_limit(user, "max-channels")
        if limit is not None and count >= limit:
            raise errors.user_channel_limit(user, limit, parentheses)

    def check_vhost_queues(self, vhost: str, queue: str, count: int) -> None:
        """406 if one more queue is too many for the virtual host. `count`: queues there, without it."""
        limit = self.vhost_limit(vhost, "max-queues")
        if limit is not None and count >= limit:
            raise errors.vhost_queue_limit(queue, vhost, limit)

    def _user_limit(self, user: str, name: str) -> int | None:
        known = self.users.get(user)
        return None if known is None else known.limit(name)

    # --- definitions

    def export_users(self) -> list[dict[str, Any]]:
        """`users` of definitions, by name."""
        return [user.to_json() for user in self.users]

    def export_permissions(self, vhost: str | None = None, user: str | None = None) -> list[dict[str, Any]]:
        """`permissions` of definitions, by user and virtual host; of one of either on request."""
        return [
            {"user": name, "vhost": where, **{kind: getattr(entry, kind) for kind in KINDS}}
            for (name, where), entry in sorted(self._permissions.items(), key=lambda item: item[0])
            if vhost in (None, where) and user in (None, name)
        ]

    def export_topic_permissions(
        self, vhost: str | None = None, user: str | None = None
    ) -> list[dict[str, Any]]:
        """`topic_permissions` of definitions, by user, virtual host and exchange; likewise."""
        return [
            {"user": name, "vhost": where, "exchange": exchange, "write": entry.write, "read": entry.read}
            for (name, where), entries in sorted(self._topic.items(), key=lambda item: item[0])
            for exchange, entry in sorted(entries.items())
            if vhost in (None, where) and user in (None, name)
        ]

    def export_vhost_limits(self, vhost: str | None = None) -> list[dict[str, Any]]:
        """As `GET /api/vhost-limits` lists them."""
        return [
            {"vhost": where, "value": dict(limits)}
            for where, limits in sorted(self._vhost_limits.items())
            if vhost in (None, where)
        ]

    def export_user_limits(self, user: str | None = None) -> list[dict[str, Any]]:
        """As `GET /api/user-limits` lists them."""
        return [
            {"user": known.name, "value": dict(known.limits)}
            for known in self.users
            if known.limits and user in (None, known.name)
        ]

    def import_user(self, fields: Mapping[str, Any]) -> User:
        """One of `users`: replaces a user of that name. Raises `UserError`, `LimitError`."""
        return self.users.put(user_from_json(fields.get("name", ""), fields))

    def import_permission(self, fields: Mapping[str, Any]) -> None:
        """One of `permissions`. Raises `KeyError` (a missing field), `NoSuchUserError`, `PatternError`."""
        self.set_permissions(fields["user"], fields["vhost"], *(fields[kind] for kind in KINDS))

    def import_topic_permission(self, fields: Mapping[str, Any]) -> None:
        """One of `topic_permissions`. Raises as `import_permission` does."""
        self.set_topic_permissions(
            fields["user"], fields["vhost"], fields["exchange"], fields["write"], fields["read"]
        )

    # --- within

    def _known(self, user: str) -> None:
        if user not in self.users:
            raise NoSuchUserError(user)

    def _changed(self, user: str, vhost: str) -> None:
        self._grants.pop((user, vhost), None)
        self._changes += 1

    def _drop(self, gone: Callable[[tuple[str, str]], bool]) -> None:
        permissions = [key for key in self._permissions if gone(key)]
        topic = [(*key, exchange) for key in self._topic if gone(key) for exchange in self._topic[key]]
        tables: tuple[dict[tuple[str, str], Any], ...] = (self._permissions, self._topic, self._grants)
        for table in tables:
            for key in [key for key in table if gone(key)]:
                del table[key]
        self._changes += 1
        for key in permissions:
            self.changed(Kind.PERMISSION, key)
        for entry in topic:
            self.changed(Kind.TOPIC_PERMISSION, entry)


def _compiled(pattern: str) -> Pattern:
    return compile_pattern(pattern or "^$")


def _bytes(name: str) -> bytes:
    """Names reach us from the wire, where a longstr may hold any bytes."""
    return name.encode("utf-8", "surrogateescape")
