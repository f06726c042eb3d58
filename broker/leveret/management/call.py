"""One call of the HTTP API: who asks, for what, with which body; and every way to refuse it.

Resources are plain functions from a `Call` to what is to be shown: a JSON-able value, or a `Reply`. What goes
wrong is a `Refusal`, or an `AmqpError` from the engine, which `refused` turns into the status and sentence
RabbitMQ answers with (rabbit_mgmt_util). Texts and statuses are those of RabbitMQ 4.3.6 where the profile
does not say otherwise.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from leveret.engine.access import Refused
from leveret.errors import AmqpError
from leveret.wire.tables import Table, from_plain

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.users import User
    from leveret.engine.vhost import VirtualHost
    from leveret.management.app import Http

#: Tags that let a user in at all (rabbit_mgmt_util:is_authorized).
TAGS = frozenset({"administrator", "monitoring", "policymaker", "management"})

MISSING_OBJECT = "Object Not Found"

#: What a body that is one JSON string is told (rabbit_mgmt_util:decode).
_DOUBLY_ENCODED = (
    "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?"
)


@dataclass(slots=True)
class Reply:
    """An answer that is more than JSON with status 200. `body`: ready to be sent."""

    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):  # noqa: N818  it is an answer, not a fault
    """An answer that is an error: its status, and the two fields of RabbitMQ's error object."""

    def __init__(self, status: int, error: str, reason: object) -> None:
        super().__init__(f"{status} {error}: {reason}")
        self.status = status
        self.error = error
        self.reason = reason


def missing() -> Refusal:
    """There is no such object, or no such path."""
    return Refusal(404, MISSING_OBJECT, "Not Found")


def not_found(reason: str) -> Refusal:
    """Something that the call needs is not there."""
    return Refusal(404, "not_found", reason)


def bad_request(reason: object) -> Refusal:
    """The call cannot be done as it is."""
    return Refusal(400, "bad_request", reason)


def not_authorised(reason: str) -> Refusal:
    """The user may not do that."""
    return Refusal(401, "not_authorised", reason)


def refused(error: AmqpError) -> Refusal:
    """The HTTP form of what the engine refuses: the explanation without its code."""
    if error.code == 403 or error.code == 530:
        return not_authorised("Access refused.")
    if error.code == 404:
        return not_found(error.explanation)
    return bad_request(error.explanation)


class Call:
    """One call.

    `path`: the variable segments of the path by name, percent-decoded. `query`: the query's first value by
    name. `content`: the body, once it was read. `caller`: who asks, None until logged in.
    """

    def __init__(
        self,
        http: Http,
        method: str,
        path: Mapping[str, str],
        query: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> None:
        self.http = http
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.content = b""
        self.caller: User | None = None

    @property
    def broker(self) -> Broker:
        """The broker in question."""
        return self.http.node.broker

    @property
    def user(self) -> User:
        """Who asks."""
        assert self.caller is not None
        return self.caller

    def since(self, *version: int) -> bool:
        """Whether the profile is of this RabbitMQ version or a later one."""
        return self.http.version >= version

    def notify(self, event: str, **fields: object) -> None:
        """Tell the broker's observers of a change that the caller has made."""
        self.broker.observers.changed(event, **fields)

    # --- who asks

    def log_in(self, authorization: str | None, loopback: bool) -> None:
        """HTTP Basic (RFC 7617); then one of the tags that let in.

        Raises `Refusal`; one with an empty error is answered without a body.
        """
        if authorization is None:
            raise Refusal(401, "", "")
        scheme, _, coded = authorization.partition(" ")
        name = password = ""
        if scheme.lower() == "basic":
            try:
                name, _, password = base64.b64decode(coded.strip(), validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise Refusal(400, "", "") from None
        found = self.broker.access.authenticate(name, password, loopback=loopback)
        self.http.count_login(not isinstance(found, Refused))
        if isinstance(found, Refused):
            raise Refusal(401, "not_authorized", "Not_Authorized" if self.since(3, 13) else "Login failed")
        if not TAGS.intersection(found.tags):
            raise not_authorised("Not management user")
        self.caller = found

    def tagged(self, *tags: str) -> bool:
        """Whether the user has one of these tags; an administrator has them all."""
        return "administrator" in self.user.tags or bool(set(tags).intersection(self.user.tags))

    @property
    def monitors(self) -> bool:
        """Whether the user may see what concerns the node as a whole."""
        return self.tagged("monitoring")

    def need_administrator(self) -> None:
        """Refuse everybody else."""
        if not self.tagged():
            raise not_authorised("Not administrator user")

    def need_monitor(self) -> None:
        """Refuse those who may only see what is their own."""
        if not self.monitors:
            raise not_authorised("Not monitor user")

    def need_policymaker(self) -> None:
        """Refuse those who may not touch policies and parameters."""
        if not self.tagged("policymaker"):
            raise not_authorised("User not authorised to access object")

    # --- virtual hosts

    def may_see(self, vhost: str) -> bool:
        """Whether the user may see what is in a virtual host."""
        return self.tagged() or self.broker.access.vhost_access(self.user.name, vhost)

    def visible_vhosts(self) -> list[VirtualHost]:
        """The virtual hosts whose contents the user may see, by name."""
        return [vhost for name, vhost in sorted(self.broker.vhosts.items()) if self.may_see(name)]

    def vhost(self, name: str = "vhost") -> VirtualHost:
        """The virtual host in the path; one that is not there is a missing object."""
        vhost = self.broker.vhosts.get(self.path[name])
        if vhost is None:
            raise missing()
        self._need_vhost(vhost)
        return vhost

    def target_vhost(self) -> VirtualHost:
        """The virtual host in the path of a call that creates something in it."""
        vhost = self.broker.vhosts.get(self.path["vhost"])
        if vhost is None:
            raise not_found("vhost_not_found")
        self._need_vhost(vhost)
        return vhost

    def _need_vhost(self, vhost: VirtualHost) -> None:
        if not self.may_see(vhost.name):
            if self.since(4, 3):
                raise not_found("Not Found")
            raise not_authorised("User not authorised to access virtual host")

    # --- what is sent

    def fields(self) -> dict[str, Any]:
        """The body as an object; an empty body is an empty object."""
        if not self.content.strip():
            return {}
        try:
            decoded = msgspec.json.decode(self.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise bad_request("not_json") from None
        if isinstance(decoded, str):
            raise bad_request(_DOUBLY_ENCODED)
        if not isinstance(decoded, dict):
            raise bad_request("not_json")
        return decoded

    def needed(self, fields: Mapping[str, Any], names: Collection[str]) -> list[Any]:
        """The values of fields that must be there."""
        absent = [f"{{key_missing,{name}}}" for name in names if name not in fields]
        if absent:
            raise bad_request(f"[{','.join(absent)}]")
        return [fields[name] for name in names]

    @property
    def without_stats(self) -> bool:
        """Whether only what things are is shown, not what they did: as asked, or as the deprecated feature is denied
        (rabbit_mgmt_util:disable_stats)."""
        return self.flag("disable_stats") or not self.broker.permits("management_metrics_collection")

    def flag(self, name: str) -> bool:
        """A query parameter that is on or off."""
        return self.query.get(name) == "true"


def boolean(fields: Mapping[str, Any], name: str, default: bool = False) -> bool:
    """A boolean field, which may come as a string."""
    value = fields.get(name, default)
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise bad_request(["not_boolean", value])


def arguments(fields: Mapping[str, Any]) -> Table:
    """The `arguments` field as a field table; RabbitMQ takes an empty list for none."""
    given = fields.get("arguments") or {}
    if not isinstance(given, dict):
        raise bad_request("arguments_not_an_object")
    try:
        return from_plain(given)
    except ValueError as error:
        raise bad_request(str(error)) from None


Handler = Callable[[Call], Any]

#: Path below /api, with `{name}` for variable segments -> method -> what serves it.
Routes = dict[str, dict[str, Handler]]
