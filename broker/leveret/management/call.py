"""One request to the HTTP API with its user and body, and the ways to refuse it.

Resources are functions from a `Call` to what is shown: a value that JSON can express, or a `Reply`. An error is a
`Refusal`, or an `AmqpError` of the engine, which `refused` turns into RabbitMQ's status and text (rabbit_mgmt_util).
Texts and statuses are those of RabbitMQ 4.3.6 where `ApiProfile` does not say otherwise.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

import msgspec

from leveret.engine.actor import Actor
from leveret.engine.auth_attempts import HTTP
from leveret.engine.authentication import Login, Refused
from leveret.engine.authorization import OneRequest
from leveret.engine.broker import Broker
from leveret.engine.operations import Caller
from leveret.engine.users import User
from leveret.engine.vhost import VirtualHost
from leveret.errors import AmqpError
from leveret.json_portions import abridged
from leveret.management.json import UNDECODED, Json, decoded_at_once
from leveret.management.negotiation import MalformedHeader
from leveret.management.owners import HOP
from leveret.management.rates import MAX_DIGITS, RangeError, Rates
from leveret.management.site import Site
from leveret.profiles import ApiProfile
from leveret.wire.erlang import Atom, wrapped
from leveret.wire.tables import Table, from_plain
from leveret.work import Job, Suspended

log = logging.getLogger("leveret")

#: Tags that let a user use the API (rabbit_mgmt_util:is_authorized).
TAGS = frozenset({"administrator", "monitoring", "policymaker", "management"})

MISSING_OBJECT = "Object Not Found"
#: The answer to a body that is one JSON string (rabbit_mgmt_util:decode).
_DOUBLY_ENCODED = (
    "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?"
)


#: The answers where tokens only are accepted (rabbit_web_dispatch_access_control).
_NO_BASIC_AUTH = "HTTP access denied: basic auth disabled"
_NO_CREDENTIALS = "HTTP access denied: no credentials"


@dataclass(slots=True)
class Reply:
    """An answer other than JSON with status 200. `body`: as it is sent. `shown`: it shows the resource, as with 200."""

    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    shown: bool = False


def shown(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A value as JSON."""
    kind = {"Content-Type": "application/json"}
    return Reply(status, msgspec.json.encode(value), {**kind, **(headers or {})}, shown=True)


@dataclass(slots=True)
class Pieces:
    """A long list or document as JSON, in pieces that are sent one after another.

    `whole`: it is an array whose elements are not cut. Each piece but the last one begins with a bracket or a comma.
    """

    json: list[bytes]
    headers: dict[str, str] = field(default_factory=dict)
    whole: bool = False


class Refusal(Exception):  # noqa: N818  it is an answer, not a fault
    """An answer with an error status, and the two fields of RabbitMQ's error object, or `more`; without a body if
    `error` is empty. `early`: RabbitMQ finds out before it negotiates the content type."""

    def __init__(
        self,
        status: int,
        error: str,
        reason: object,
        more: Mapping[str, object] | None = None,
        *,
        early: bool = False,
    ) -> None:
        reason = abridged(reason)
        super().__init__(f"{status} {error}: {reason}")
        self.more = more or {}
        self.early = early
        self.status = status
        self.error = error
        self.reason = reason


class ElsewhereError(Exception):
    """What the call asks for is in a virtual host on another node, which is to answer."""

    def __init__(self, vhost: str) -> None:
        super().__init__(vhost)
        self.vhost = vhost


def missing() -> Refusal:
    """404: there is no such object, or no such path."""
    return Refusal(404, MISSING_OBJECT, "Not Found")


def not_found(reason: str) -> Refusal:
    """404: an object that the call refers to does not exist."""
    return Refusal(404, "not_found", reason)


def bad_request(reason: object) -> Refusal:
    """400: the request is malformed, or cannot be carried out."""
    return Refusal(400, "bad_request", reason)


def natural(digits: str) -> int | None:
    """A number in a query; None for anything else, also for one that is too long for Python to parse."""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS else None


def not_authorised(reason: str) -> Refusal:
    """401: users with these tags, or in this virtual host, may not do that."""
    return Refusal(401, "not_authorised", reason, early=True)


def refused(error: AmqpError) -> Refusal:
    """Turn an error of the engine into RabbitMQ's answer: the text without the reply code."""
    if error.code == 403 or error.code == 530:
        return Refusal(401, "not_authorised", "Access refused.")
    if error.code == 404:
        return not_found(error.explanation)
    return bad_request(error.explanation)


class Call:
    """One call.

    `path`: the variable segments of the path by name, percent-decoded. `query`: the first value of each query
    parameter. `address`: the client's. `secure`: it came over TLS. `target`: the path as it came. `content`: the body,
    once it was read; `decoded`: what a long one says, or an error; `held`: all that was made of it, None without it.
    `login`: the user, None before login; `attempt`: the login that waits for a backend. `job`: what the call has begun,
    and is to be answered after.
    """

    def __init__(
        self,
        site: Site,
        method: str,
        path: Mapping[str, str],
        query: Mapping[str, str],
        headers: Mapping[str, str],
        *,
        address: str = "",
        secure: bool = False,
        target: str = "",
    ) -> None:
        self.site = site
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.address = address
        self.secure = secure
        self.target = target
        self.content = b""
        self.decoded: object = UNDECODED
        self.held: list[object] | None = None
        self.login: User | None = None
        self.attempt: Login | None = None
        self._rates: Rates | None = None
        self.job: Job | None = None

    @property
    def broker(self) -> Broker:
        """The broker of the node."""
        return self.site.broker

    @property
    def api(self) -> ApiProfile:
        """What the API of the profile's version is like."""
        return self.site.broker.profile.api

    @property
    def user(self) -> User:
        """The user, who has logged in."""
        assert self.login is not None
        return self.login

    @property
    def hop(self) -> bool:
        """Whether another node of the cluster has passed the call on: it is answered with what is here."""
        return self.site.owners is not None and HOP in self.headers

    @property
    def caller(self) -> Caller:
        """The user as the caller of an operation."""
        user = self.user if self.user.authority is not None else None
        return Caller(Actor(self.user.name, "HTTP API"), request=self, user=user)

    def suspend(self, job: Job) -> None:
        """Answer when a job has ended."""
        self.job = job

    # --- login and tags

    def log_in(self, authorization: str | None) -> None:
        """Log in by HTTP Basic (RFC 7617), or with a token (RFC 6750), as a user with one of `TAGS`.

        Raises `Refusal`, `MalformedHeader`, and `Suspended` if a backend needs time.
        """
        tokens_only = self.broker.settings.management.disable_basic_auth
        if authorization is None:
            log.warning(_NO_CREDENTIALS)
            raise not_authorised(_NO_CREDENTIALS) if tokens_only else Refusal(401, "", "", early=True)
        scheme, _, coded = authorization.partition(" ")
        name = password = ""
        if scheme.lower() == "basic":
            if tokens_only:
                log.warning(_NO_BASIC_AUTH)
                raise not_authorised(_NO_BASIC_AUTH)
            name, password = _credentials(coded)
        elif scheme.lower() == "bearer" and coded:  # backends without tokens refuse the empty name
            password = coded
        else:
            raise MalformedHeader(authorization)
        self.log_in_as(name, password)

    async def logged_in(self, authorization: str | None) -> None:
        """`log_in`, as soon as the backends have decided. Raises `Refusal`, `MalformedHeader`."""
        while True:
            try:
                self.log_in(authorization)
                return
            except Suspended as waiting:
                await self.site.ended(waiting.job)

    def log_in_as(self, name: str, password: str) -> None:
        """Log in by name and password. Raises `Refusal`, `Suspended`."""
        if self.attempt is None:
            self.attempt = Login(name, password, self.address, self._local)
        found = self.broker.access.log_in(self.attempt)
        if isinstance(found, Refused):
            self._count_login(name, succeeded=False)
            log.warning("User '%s' failed to authenticate: %s", name, found.log)
            log.warning("HTTP access denied: %s", found.log)
            raise Refusal(401, "not_authorized", self.api.login_failed_reason, early=True)
        manages = bool(TAGS.intersection(found.tags))
        self._count_login(name, succeeded=manages)
        log.info("User '%s' authenticated successfully", found.name)
        if not manages:
            log.warning("HTTP access denied: user '%s' - Not management user", found.name)
            raise not_authorised("Not management user")
        if found.authority is not None:
            found = replace(found, authority=OneRequest(found.authority))
        self.login = found

    @property
    def _local(self) -> bool:
        """Whether the client is on this machine."""
        return self.address == "::1" or self.address.removeprefix("::ffff:").startswith("127.")

    def _count_login(self, name: str, *, succeeded: bool) -> None:
        self.site.attempts.count(HTTP, self.address, name, succeeded)

    def tagged(self, *tags: str) -> bool:
        """Whether the user has one of these tags; an administrator has them all."""
        return "administrator" in self.user.tags or bool(set(tags).intersection(self.user.tags))

    @property
    def monitors(self) -> bool:
        """Whether the user may see the whole node, and objects of other users."""
        return self.tagged("monitoring")

    def need_administrator(self) -> None:
        """Raises `Refusal` unless the user is an administrator."""
        if not self.tagged():
            raise not_authorised("Not administrator user")

    def need_monitor(self) -> None:
        """Raises `Refusal` unless the user may monitor the node."""
        if not self.monitors:
            raise not_authorised("Not monitor user")

    def need_policymaker(self) -> None:
        """Raises `Refusal` unless the user may set policies and parameters, in the virtual host in the path if any."""
        if not self.tagged("policymaker"):
            raise not_authorised("User not authorised to access object")
        self.need_vhost()

    def need_vhost(self) -> None:
        """Raises `Refusal` if there is a virtual host in the path that the user may not see. A missing one is no error:
        that it is missing comes later."""
        vhost = self.broker.vhosts.get(self.path.get("vhost", ""))
        if "vhost" in self.path and vhost is not None:
            self._need_vhost(vhost)

    # --- virtual hosts

    def may_see(self, vhost: str) -> bool:
        """Whether the user may see the objects of a virtual host."""
        return self.tagged() or self.may_open(vhost)

    def may_open(self, vhost: str) -> bool:
        """Whether the user may use a virtual host, whatever the tags are. Raises `Suspended`."""
        return self.broker.access.may_open(self.user, vhost, self.address).allowed

    def visible_vhosts(self) -> list[VirtualHost]:
        """The virtual hosts on this node whose objects the user may see, sorted by name."""
        return [vhost for name, vhost in sorted(self.broker.vhosts.items()) if self.may_see(name)]

    def visible_names(self) -> list[str]:
        """The names of all virtual hosts whose objects the user may see, on whatever node, sorted."""
        return [name for name in sorted(self.broker.vhost_names()) if self.may_see(name)]

    def listed_vhosts(self) -> list[VirtualHost]:
        """The virtual hosts on this node of a list of all of them: those that the user may see, or the chosen one.
        Raises `Refusal`, `ElsewhereError`."""
        chosen = self.chosen_vhost()
        return [chosen] if chosen is not None else self.visible_vhosts()

    def listed_names(self) -> list[str]:
        """The names of all virtual hosts that the user may see, or the chosen one, for what all nodes know. Raises
        `Refusal`, `ElsewhereError`."""
        chosen = self.chosen_vhost()
        return [chosen.name] if chosen is not None else self.visible_names()

    def chosen_vhost(self, *, monitored: bool = False) -> VirtualHost | None:
        """The virtual host in the header X-VHost, with which the web page limits lists. `monitored`: see `vhost`.
        Raises `Refusal`, `ElsewhereError`."""
        name = self.chosen_name()
        if not name:
            return None
        vhost = self.broker.vhosts.get(name)
        if vhost is None:
            raise missing()
        if not (monitored and self.monitors):
            self._need_vhost(vhost)
        return vhost

    def chosen_name(self) -> str | None:
        """The name in the header X-VHost. Raises `ElsewhereError` if that virtual host is on another node."""
        name = self.headers.get("X-VHost")
        if name in self.broker.elsewhere and self.site.owners is not None:
            raise ElsewhereError(name)
        return name

    def vhost(self, name: str = "vhost", *, monitored: bool = False) -> VirtualHost:
        """The virtual host in the path; a missing one is a missing object. `monitored`: monitors need no permissions in
        it. Raises `Refusal`."""
        vhost = self.broker.vhosts.get(self.path[name])
        if vhost is None:
            raise missing()
        if not (monitored and self.monitors):
            self._need_vhost(vhost)
        return vhost

    def target_vhost(self) -> VirtualHost:
        """The virtual host in the path of a call that creates an object in it. Raises `Refusal`."""
        vhost = self.broker.vhosts.get(self.path["vhost"])
        if vhost is None:
            raise not_found("vhost_not_found")
        self._need_vhost(vhost)
        vhost.check_kept()
        return vhost

    def _need_vhost(self, vhost: VirtualHost) -> None:
        if not self.may_see(vhost.name):
            if self.api.inaccessible_vhosts_not_found:
                raise Refusal(404, "not_found", "Not Found", early=True)
            raise not_authorised("User not authorised to access virtual host")

    # --- body and query

    def rates(self, error: str = "bad_request") -> Rates:
        """Return the rates and samples that the query asks for. Raises `Refusal` with this `error`."""
        if self._rates is None:
            try:
                self._rates = Rates(self.site.stats, self.site.sampler, self.query)
            except RangeError as refused_range:
                raise Refusal(400, error, str(refused_range)) from None
        return self._rates

    def fields(self) -> Json:
        """The body as a JSON object; an empty body, `null` and `undefined` are an empty object. Raises `Refusal`."""
        if self.content in (b"", b"null", b"undefined"):
            return {}
        decoded = decoded_at_once(self.content) if self.decoded is UNDECODED else self.decoded
        if isinstance(decoded, str):
            raise bad_request(_DOUBLY_ENCODED)
        if not isinstance(decoded, dict):
            raise bad_request("not_json")
        return decoded

    def needed(self, fields: Json, names: Collection[str]) -> list[object]:
        """The values of required fields. Raises `Refusal`."""
        absent = [(Atom("key_missing"), Atom(name)) for name in names if name not in fields]
        if absent:
            raise bad_request(wrapped(absent))
        return [fields[name] for name in names]

    @property
    def without_stats(self) -> bool:
        """Whether statistics are left out: as asked, or because the deprecated feature is denied
        (rabbit_mgmt_util:disable_stats)."""
        return self.flag("disable_stats") or not self.broker.permits("management_metrics_collection")

    @property
    def rates_detailed(self) -> bool:
        """Whether objects show what they have counted of each other."""
        return self.broker.settings.server.rates_mode == "detailed"

    def check_node(self, fields: Json) -> None:
        """Raise `Refusal` if the field `node` names another node."""
        node = fields.get("node", self.site.node_name)
        if node != self.site.node_name:
            raise bad_request(f"Node {node} is not a cluster member")

    def flag(self, name: str) -> bool:
        """Whether a query parameter is `true`."""
        return self.query.get(name) == "true"


def _credentials(coded: str) -> tuple[str, str]:
    """The user name and password of HTTP Basic. Raises `MalformedHeader`."""
    try:
        name, colon, password = base64.b64decode(coded.strip(), validate=True).decode().partition(":")
    except ValueError:  # no base64, no UTF-8, or no ASCII
        colon = ""
    if not colon:
        raise MalformedHeader(coded)
    return name, password


def check_length(what: str, name: str) -> None:
    """Raise `Refusal` for a name that is too long for a short string."""
    size = len(name.encode("utf-8", "surrogateescape"))
    if size > 255:
        raise bad_request(f"{what} should be less than 255 bytes, actually was {size}\n")


def boolean(fields: Json, name: str, default: bool = False) -> bool:
    """A boolean field, which may be a string. Raises `Refusal`."""
    value = fields.get(name, default)
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise bad_request(["not_boolean", value])


def strictly_boolean(fields: Json, name: str) -> bool:
    """A boolean field, False without it, in which RabbitMQ fails over a string. Raises `Refusal`."""
    value = fields.get(name, False)
    if isinstance(value, bool):
        return value
    raise bad_request(["not_boolean", value])


def arguments(fields: Json) -> Table:
    """The `arguments` field as a field table. Raises `Refusal`."""
    return table_from_json(fields.get("arguments", {}), "arguments_not_an_object")


def table_from_json(given: object, wrong: str) -> Table:
    """An object as a field table; RabbitMQ takes an empty list as an empty table. Raises `Refusal` (`wrong`)."""
    if given == []:
        return {}
    if not isinstance(given, dict):
        raise bad_request(wrong)
    try:
        return from_plain(given)
    except ValueError as error:
        raise bad_request(str(error)) from None


#: A handler: from a call to a `Reply`, to `Pieces`, to a value that is encoded as JSON, to None (204), or to an
#: awaitable of one of these.
Handler = Callable[[Call], object]

#: Path below /api, with `{name}` for variable segments -> method -> handler; `Resource` where more is to be said.
Routes = dict[str, dict[str, Handler]]


#: The content type of Erlang terms (rabbit_mgmt_util:responder_map).
BERT = "application/bert"


class Shows(Enum):
    """The content types of a resource, for the header `Accept` (cowboy_rest: content_types_provided). The first one is
    shown to clients that accept all.

    Resources that show nothing have cowboy's default.
    """

    JSON = ("application/json", BERT)
    ONLY_JSON = ("application/json",)
    TEXT = ("text/plain",)
    NOTHING = ("text/html",)
    FILE = ()  # by the extension of its name


class Resource(dict[str, Handler]):
    """The methods of a path, and what it has of its own.

    `public`: needs no login. `head`: GET comes with HEAD. `shows`: its content type. `accepts`: the content types that
    a body must have, empty for any. `no_store`: answers must not be kept by proxies. `may`: raises `Refusal` unless the
    user may use the resource; it comes before everything else, and handlers without it check for themselves. In a
    cluster: `of_node`: the node in the path answers; `found_by_name`: what is not here may be on any other node;
    `while_closed`: the methods with which every node answers while the virtual host in the path is damaged.
    """

    def __init__(
        self,
        methods: Mapping[str, Handler],
        *,
        public: bool = False,
        head: bool = True,
        shows: Shows = Shows.JSON,
        accepts: tuple[str, ...] = (),
        no_store: bool = False,
        may: Callable[[Call], None] | None = None,
        of_node: bool = False,
        found_by_name: bool = False,
        while_closed: tuple[str, ...] = (),
    ) -> None:
        super().__init__(methods)
        self.public = public
        self.head = head and "GET" in methods
        self.shows = shows
        self.accepts = accepts
        self.no_store = no_store
        self.may = may
        self.of_node = of_node
        self.found_by_name = found_by_name
        self.while_closed = while_closed

    @property
    def allow(self) -> str:
        """The Allow header: methods in RabbitMQ's order."""
        words = [method for method in ("GET", "PUT", "POST", "DELETE") if method in self]
        return ", ".join([*(["HEAD"] if self.head else []), *words, "OPTIONS"])
