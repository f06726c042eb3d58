"""Authentication and authorization: users, permissions, topic permissions, and limits of users and virtual hosts.

`grants(user, vhost)` returns the permissions in compiled form, for channels to keep: three patterns and a bounded cache
of decisions. Every change increments `revision`; code that caches a decision stores the revision with it and asks again
when the revision has changed. (RabbitMQ caches 12 decisions per channel and discards them when the channel is idle.)

The result of a login is a value (`User` or `Refused`); missing permissions are an `AmqpError`. Whether a virtual host
or an exchange exists is not checked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from msgspec import Struct

from leveret import errors
from leveret.engine.authentication import AuthenticationBackend, InternalBackend, Login, Refused
from leveret.engine.authorization import ALLOWED, DENIED, Verdict
from leveret.engine.by_user import ByUser
from leveret.engine.catalogue import Changed, Document, Key, Kind, unrecorded
from leveret.engine.guess_limit import GuessLimit
from leveret.engine.patterns import Pattern, compile_pattern
from leveret.engine.users import NoSuchUserError, User, Users, checked_limits, user_from_json
from leveret.work import portions

if TYPE_CHECKING:
    from leveret.engine.credential_validator import CredentialValidator
    from leveret.work import Steps

#: Limits that a virtual host can have (rabbit_vhost_limit:vhost_limit_validation).
VHOST_LIMITS = ("max-connections", "max-queues")

#: Decisions that one `Grants` caches. RabbitMQ caches 12 per channel, but here channels share them.
MAX_CACHED_GRANTS = 512

#: The order in which RabbitMQ lists the three permissions, in the API and in log lines.
KINDS = ("configure", "write", "read")

#: Permissions that are deleted together, between two looks at the time.
_FORGOTTEN_TOGETHER = 32


class Permission(Struct, frozen=True):
    """Three patterns, searched in resource names. An empty pattern matches only the empty name."""

    configure: str
    write: str
    read: str


class TopicPermission(Struct, frozen=True):
    """Two patterns, searched in routing keys, with the placeholders `{username}`, `{vhost}` and `{client_id}`."""

    write: str
    read: str


class Granted(NamedTuple):
    """The permissions of a user in a virtual host."""

    user: str
    vhost: str
    permission: Permission

    def to_json(self) -> Document:
        """As definitions and the HTTP API show them."""
        return {
            "user": self.user,
            "vhost": self.vhost,
            **{kind: getattr(self.permission, kind) for kind in KINDS},
        }


class TopicGranted(NamedTuple):
    """The topic permissions of a user in a virtual host, for one exchange."""

    user: str
    vhost: str
    exchange: str
    permission: TopicPermission

    def to_json(self) -> Document:
        """As definitions and the HTTP API show them."""
        return {
            "user": self.user,
            "vhost": self.vhost,
            "exchange": self.exchange,
            "write": self.permission.write,
            "read": self.permission.read,
        }


AnyGranted = TypeVar("AnyGranted", Granted, TopicGranted)


class Grants:
    """The permissions of one user in one virtual host, at one revision of `Access`."""

    __slots__ = ("_decided", "_patterns", "user", "vhost")

    def __init__(self, user: str, vhost: str, permission: Permission | None) -> None:
        self.user = user
        self.vhost = vhost
        self._decided: dict[tuple[str, str], bool] = {}
        self._patterns: dict[str, Pattern] = {}
        if permission is not None:
            self._patterns = {kind: _compiled(getattr(permission, kind)) for kind in KINDS}

    def allows(self, kind: str, name: str) -> bool:
        """Return whether the user has the permission `kind` for the resource `name` (`amq.default` for the default
        exchange)."""
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

    `backends`: asked in order whether a password is right. `loopback_users`: may log in from this machine only.
    `anonymous`, `anonymous_password`: whom mechanism ANONYMOUS logs in as, None for nobody. `guesses`: limits failed
    logins, None for no limit. `validator`: checks new passwords, None for no checks. `changed`: called after each
    change.
    """

    def __init__(
        self,
        loopback_users: Iterable[str] = ("guest",),
        anonymous: str | None = "guest",
        anonymous_password: str = "guest",
        guesses: GuessLimit | None = None,
    ) -> None:
        self.changed: Changed = unrecorded
        self.users = Users(lambda name: self.changed(Kind.USER, (name,)))
        self.backends: list[AuthenticationBackend] = [InternalBackend(self.users)]
        self.validator: CredentialValidator | None = None
        self.loopback_users = frozenset(loopback_users)
        self.anonymous = anonymous
        self.anonymous_password = anonymous_password
        self.guesses = guesses
        self._permissions: ByUser[Permission] = ByUser()
        self._topic: ByUser[dict[str, TopicPermission]] = ByUser()
        self._vhost_limits: dict[str, dict[str, int]] = {}
        self._grants: dict[tuple[str, str], Grants] = {}
        self._changes = 0

    @property
    def revision(self) -> int:
        """A number that increases with every change to users, permissions or limits."""
        return self._changes + self.users.revision

    # --- logging in

    def log_in(self, login: Login) -> User | Refused:
        """Return the user that the first backend accepts, or the refusal of the last one.

        Raises `Suspended` if a backend needs time: repeat it with the same login. Order and texts:
        rabbit_access_control, rabbit_reader:auth_phase.
        """
        if self.guesses is not None and self.guesses.too_many(login.address):
            return Refused(f"user '{login.name}' - too many failed logins from {login.address}")
        outcome: User | Refused = Refused(f"user '{login.name}' - there is no authentication backend")
        for backend in self.backends:
            outcome = backend.authenticate(login)
            if isinstance(outcome, User):
                outcome = self._from_here(outcome, login.loopback)
                break
        if self.guesses is not None and isinstance(outcome, Refused):
            self.guesses.failed(login.address)
        return outcome

    def authenticate(self, name: str, password: str, *, loopback: bool) -> User | Refused:
        """`log_in` for backends that answer at once."""
        return self.log_in(Login(name, password, loopback=loopback))

    def _from_here(self, user: User, loopback: bool) -> User | Refused:
        if not loopback and user.name in self.loopback_users:
            return Refused(f"user '{user.name}' can only connect via localhost")
        return user

    def vhost_access(self, user: str, vhost: str) -> bool:
        """Return whether a user has permissions in a virtual host, even if all patterns are empty."""
        return (user, vhost) in self._permissions

    def may_open(self, user: User, vhost: str, address: str = "") -> Verdict:
        """Decide whether a user who has logged in may open a virtual host. Raises `Suspended`."""
        if user.authority is not None:
            return user.authority.may_open(vhost, address)
        return ALLOWED if self.vhost_access(user.name, vhost) else DENIED

    def check_vhost(self, user: User, vhost: str, address: str = "") -> None:
        """Raise 530 unless the user may open the virtual host. Raises `Suspended`."""
        verdict = self.may_open(user, vhost, address)
        if not verdict.allowed:
            raise errors.vhost_access_refused(vhost, user.name, verdict.more)

    # --- deciding

    def grants(self, user: str, vhost: str) -> Grants:
        """Return the compiled permissions. They are valid while `revision` stays the same."""
        grants = self._grants.get((user, vhost))
        if grants is None:
            grants = Grants(user, vhost, self._permissions.get((user, vhost)))
            # Names without permissions are not cached: clients could fill the cache with them.
            if (user, vhost) in self._permissions:
                self._grants[user, vhost] = grants
        return grants

    def check(self, user: str, vhost: str, kind: str, rendered: str, name: str, prefixed: bool) -> None:
        """Raise 403 unless the user has the permission `kind`.

        `rendered`: the resource in error texts (`queue 'q' in vhost '/'`). `name`: its name, empty for the default
        exchange (`amq.default` in the text). `prefixed`: the text starts with the resource type, as since RabbitMQ
        3.12.
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
        """Raise 403 unless the user may use that routing key with that topic exchange. Without a topic permission,
        every key is allowed.

        `client_id`: known only for MQTT; otherwise the placeholder is not replaced
        (rabbit_auth_backend_internal:expand_topic_permission).
        """
        permission = self.topic_permission(user, vhost, exchange)
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
        """Return the topic permission for an exchange, or None."""
        return (self._topic.get((user, vhost)) or {}).get(exchange)

    def has_topic_permissions(self, user: str, vhost: str) -> bool:
        """Return whether the user has any topic permission in a virtual host. Publishing checks this first."""
        return (user, vhost) in self._topic

    # --- permissions

    def set_permissions(self, user: str, vhost: str, configure: str, write: str, read: str) -> bool:
        """Add or replace permissions. Returns True if they are new. Raises `NoSuchUserError`, `PatternError`."""
        self._known(user)
        for pattern in (configure, write, read):
            compile_pattern(pattern)
        new = (user, vhost) not in self._permissions
        self._permissions[user, vhost] = Permission(configure, write, read)
        self._changed(user, vhost)
        self.changed(Kind.PERMISSION, (user, vhost))
        return new

    def clear_permissions(self, user: str, vhost: str) -> bool:
        """Delete permissions. Returns False if there were none. Raises `NoSuchUserError`."""
        self._known(user)
        there = self._permissions.pop((user, vhost)) is not None
        self._changed(user, vhost)
        if there:
            self.changed(Kind.PERMISSION, (user, vhost))
        return there

    def permission(self, user: str, vhost: str) -> Permission | None:
        """Return the permissions of a user in a virtual host, or None."""
        return self._permissions.get((user, vhost))

    def set_topic_permissions(self, user: str, vhost: str, exchange: str, write: str, read: str) -> bool:
        """Add or replace a topic permission. Returns True if it is the user's first one there. Raises
        `NoSuchUserError`, `PatternError`."""
        self._known(user)
        for pattern in (write, read):
            compile_pattern(pattern)
        entries = self._topic.get((user, vhost))
        new = entries is None
        if entries is None:
            entries = self._topic[user, vhost] = {}
        entries[exchange] = TopicPermission(write, read)
        self._changed(user, vhost)
        self.changed(Kind.TOPIC_PERMISSION, (user, vhost, exchange))
        return new

    def clear_topic_permissions(self, user: str, vhost: str, exchange: str | None = None) -> None:
        """Delete the topic permission for one exchange, or all of them; it is no error if there are none. Raises
        `NoSuchUserError`."""
        for _ in self.clear_topic_permissions_steps(user, vhost, exchange):
            pass

    def clear_topic_permissions_steps(self, user: str, vhost: str, exchange: str | None = None) -> Steps:
        """`clear_topic_permissions` at once, which is recorded in portions: a user can have tens of thousands. Raises
        `NoSuchUserError`."""
        self._known(user)
        entries = self._topic.get((user, vhost)) or {}
        cleared = list(entries) if exchange is None else [exchange] if exchange in entries else []
        if len(cleared) == len(entries):
            self._topic.pop((user, vhost))
        elif cleared:
            del entries[cleared[0]]
        self._changed(user, vhost)
        yield from self._record_steps(Kind.TOPIC_PERMISSION, [(user, vhost, name) for name in cleared])

    def forget_exchange(self, vhost: str, exchange: str) -> bool:
        """Drop the topic permissions for an exchange that is gone; False if there were none."""
        users = [user for (user, _), found in self._topic.each(vhost) if exchange in found]
        for user in users:
            self.clear_topic_permissions(user, vhost, exchange)
        return bool(users)

    def forget_user(self, user: str) -> User:
        """Delete a user with all permissions. Returns the deleted user. Raises `NoSuchUserError`."""
        forgotten = self.users.delete(user)
        self._drop(self._keys(user=user))
        return forgotten

    def clear_user_steps(self, user: str) -> Steps:
        """Delete all permissions of a user at once, which is recorded in portions."""
        return self._drop_steps(self._keys(user=user))

    def forget_vhost(self, vhost: str) -> None:
        """Delete permissions and limits of a deleted virtual host."""
        if self._vhost_limits.pop(vhost, None) is not None:
            self.changed(Kind.VHOST_LIMITS, (vhost,))
        self._drop(self._keys(vhost))

    def forget_vhost_steps(self, vhost: str) -> Steps:
        """Delete the permissions of a virtual host that is being deleted. Yields after each portion."""
        keys = self._keys(vhost)
        for at in range(0, len(keys), _FORGOTTEN_TOGETHER):
            yield from self._drop_steps(keys[at : at + _FORGOTTEN_TOGETHER])
            yield None

    # --- limits

    def set_vhost_limits(self, vhost: str, limits: Mapping[str, object], *, merge: bool = True) -> None:
        """Set limits of a virtual host. Other limits stay, or are deleted if not `merge` (as rabbitmqctl does). Raises
        `LimitError`."""
        given = checked_limits(limits, VHOST_LIMITS, "limits")
        self._vhost_limits[vhost] = {**(self._vhost_limits.get(vhost, {}) if merge else {}), **given}
        self._changes += 1
        self.changed(Kind.VHOST_LIMITS, (vhost,))

    def clear_vhost_limits(self, vhost: str, limit: str | None = None) -> None:
        """Delete one limit, or all. As in RabbitMQ, the entry stays without its last limit."""
        if limit is None:
            self._vhost_limits.pop(vhost, None)
        else:
            self._vhost_limits.setdefault(vhost, {}).pop(limit, None)
        self._changes += 1
        self.changed(Kind.VHOST_LIMITS, (vhost,))

    @property
    def vhosts_with_limits(self) -> list[str]:
        """The virtual hosts that have an entry for limits, in any order: a snapshot."""
        return list(self._vhost_limits)

    def vhost_limits(self, vhost: str) -> Mapping[str, int]:
        """Return the limits as they were set, including negative ones."""
        return self._vhost_limits.get(vhost, {})

    def vhost_limit(self, vhost: str, name: str) -> int | None:
        """Return one limit, or None if it is not set or negative."""
        value = self._vhost_limits.get(vhost, {}).get(name, -1)
        return value if value >= 0 else None

    def check_vhost_connections(self, vhost: str, user: str, count: int) -> None:
        """Raise 530 if the virtual host may not have one more connection. `count`: open connections without it.

        RabbitMQ checks this first, then the user's connections, then permissions.
        """
        limit = self.vhost_limit(vhost, "max-connections")
        if limit is not None and count >= limit:
            raise errors.vhost_connection_limit(vhost, user, limit)

    def check_user_connections(self, user: str, count: int) -> None:
        """Raise 530 if the user may not have one more connection. `count`: open connections without it."""
        limit = self._user_limit(user, "max-connections")
        if limit is not None and count >= limit:
            raise errors.user_connection_limit(user, limit)

    def limits_connections(self, user: str) -> bool:
        """Return whether the user has a limit on connections."""
        return self._user_limit(user, "max-connections") is not None

    def limits_channels(self, user: str) -> bool:
        """Return whether the user has a limit on channels."""
        return self._user_limit(user, "max-channels") is not None

    def check_user_channels(self, user: str, count: int, parentheses: bool) -> None:
        """Raise 530 if the user may not open one more channel. `count`: open channels on all of the user's connections,
        without it.

        `parentheses`: print the number in parentheses, as in older versions of RabbitMQ.
        """
        limit = self._user_limit(user, "max-channels")
        if limit is not None and count >= limit:
            raise errors.user_channel_limit(user, limit, parentheses)

    def check_vhost_queues(self, vhost: str, queue: str, count: int) -> None:
        """Raise 406 if the virtual host may not have one more queue. `count`: queues without it."""
        limit = self.vhost_limit(vhost, "max-queues")
        if limit is not None and count >= limit:
            raise errors.vhost_queue_limit(queue, vhost, limit)

    def _user_limit(self, user: str, name: str) -> int | None:
        known = self.users.get(user)
        return None if known is None else known.limit(name)

    # --- definitions

    def export_users(self) -> list[Document]:
        """Return the section `users` of definitions, by name."""
        return [user.to_json() for user in self.users]

    def each_permission(self, vhost: str | None = None, user: str | None = None) -> Iterator[Granted]:
        """Yield the permissions that there are now, optionally of a virtual host or a user, in any order."""
        return (Granted(*key, entry) for key, entry in self._permissions.each(vhost, user))

    def each_topic_permission(
        self, vhost: str | None = None, user: str | None = None
    ) -> Iterator[TopicGranted]:
        """Yield the topic permissions, optionally of a virtual host or a user, in any order."""
        return (
            TopicGranted(*key, exchange, entry)
            for key, entries in self._topic.each(vhost, user)
            for exchange, entry in list(entries.items())
        )

    def export_permissions(self, vhost: str | None = None, user: str | None = None) -> list[Document]:
        """Return the section `permissions` of definitions, by user and virtual host, optionally of one of them."""
        return [one.to_json() for one in sorted(self.each_permission(vhost, user), key=place)]

    def users_with_permissions(self) -> set[str]:
        """Return the names of the users that have permissions in some virtual host."""
        return self._permissions.users()

    def export_topic_permissions(self, vhost: str | None = None, user: str | None = None) -> list[Document]:
        """Return the section `topic_permissions` of definitions, by user, virtual host and exchange, optionally of one
        of the former."""
        return [one.to_json() for one in sorted(self.each_topic_permission(vhost, user), key=place)]

    def export_vhost_limits(self, vhost: str | None = None) -> list[Document]:
        """Return vhost limits as `GET /api/vhost-limits` lists them."""
        names = sorted(self._vhost_limits) if vhost is None else [vhost]
        return [
            {"vhost": name, "value": dict(self._vhost_limits[name])}
            for name in names
            if name in self._vhost_limits
        ]

    def export_user_limits(self, user: str | None = None) -> list[Document]:
        """Return user limits as `GET /api/user-limits` lists them."""
        found = [self.users.get(user)] if user is not None else self.users
        return [limits_of(one) for one in found if one is not None and one.limits]

    def import_user(self, fields: Document) -> User:
        """Import an item of `users`; it replaces a user of that name. Raises `UserError`, `LimitError`."""
        return self.users.put(user_from_json(fields.get("name", ""), fields, self.users.algorithm))

    def import_permission(self, fields: Document) -> None:
        """Import an item of `permissions`. Raises `KeyError` for a missing field, `NoSuchUserError`, `PatternError`."""
        self.set_permissions(fields["user"], fields["vhost"], *(fields[kind] for kind in KINDS))

    def import_topic_permission(self, fields: Document) -> None:
        """Import an item of `topic_permissions`. Raises the same errors as `import_permission`."""
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

    def _keys(self, vhost: str | None = None, user: str | None = None) -> list[tuple[str, str]]:
        """The keys of permissions and topic permissions of a virtual host or a user; some twice."""
        return [key for table in (self._permissions, self._topic) for key, _ in table.each(vhost, user)]

    def _drop(self, keys: Iterable[tuple[str, str]]) -> None:
        """Delete the permissions and topic permissions of users in virtual hosts."""
        for _ in self._drop_steps(keys):
            pass

    def _drop_steps(self, keys: Iterable[tuple[str, str]]) -> Steps:
        """The same, which is recorded in portions."""
        dropped: list[Key] = []
        topics: list[Key] = []
        for key in keys:
            self._grants.pop(key, None)
            if self._permissions.pop(key) is not None:
                dropped.append(key)
            topics += [(*key, exchange) for exchange in self._topic.pop(key) or ()]
        self._changes += 1
        yield from self._record_steps(Kind.PERMISSION, dropped)
        yield from self._record_steps(Kind.TOPIC_PERMISSION, topics)

    def _record_steps(self, kind: Kind, keys: list[Key]) -> Steps:
        """Note what has changed, in portions. What has changed again meanwhile is recorded as it is then."""
        for portion in portions(keys, _FORGOTTEN_TOGETHER):
            for key in portion:
                self.changed(kind, key)
            if keys:
                yield None


def place(one: Granted | TopicGranted) -> tuple[str, ...]:
    """The place of permissions in a list that is sorted by user, virtual host and exchange."""
    return (one.user, one.vhost) if isinstance(one, Granted) else (one.user, one.vhost, one.exchange)


def limits_of(user: User) -> Document:
    """The limits of a user as the HTTP API lists them."""
    return {"user": user.name, "value": dict(user.limits)}


def _compiled(pattern: str) -> Pattern:
    return compile_pattern(pattern or "^$")


def _bytes(name: str) -> bytes:
    """Encode a name. Names from the wire may contain octets that are not UTF-8."""
    return name.encode("utf-8", "surrogateescape")
