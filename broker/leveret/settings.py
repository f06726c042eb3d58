"""All settings: a frozen `Settings`, which is also the table of their types, bounds and descriptions.

config.toml in the project's root is written from the same table. `Values` holds the settings of one source. `build`
checks all of them strictly: a value of the wrong type is a `ConfigError` that names the source, the key, the problem
and the allowed values. `config` has the sources and their precedence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Literal, TypeAlias, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

#: The log categories of RabbitMQ that are used here; other lines are in the default category.
Category = Literal["connection", "channel", "queue"]

LogLevel = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency", "none"]
Port = Annotated[int, Meta(ge=-1, le=65535)]

#: A type, annotated with `Meta`; `get_origin` and `get_args` take it apart.
Annotation: TypeAlias = object

#: Upper bound of max_message_size (rabbit.schema, validator max_message_size).
LARGEST_MESSAGE = 536870912


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """Listeners and names of the node."""

    host: Annotated[
        tuple[str, ...],
        Meta(description="Addresses of the AMQP listener; :: is all addresses, IPv6 and IPv4"),
    ] = ("::",)
    port: Annotated[Port, Meta(description="AMQP port; 0: any free port, -1: no listener")] = 5672
    http_host: Annotated[tuple[str, ...], Meta(description="Addresses of the HTTP API; empty: as host")] = ()
    http_port: Annotated[Port, Meta(description="HTTP API port; 0: any free port, -1: no listener")] = 15672
    rates_mode: Annotated[
        Literal["basic", "detailed"],
        Meta(description="detailed: show what channels, queues and exchanges have counted of each other"),
    ] = "basic"
    prometheus_host: Annotated[
        tuple[str, ...], Meta(description="Addresses of the Prometheus endpoint /metrics; empty: as host")
    ] = ()
    prometheus_port: Annotated[
        Port, Meta(description="Prometheus port; 0: any free port, -1: no listener")
    ] = 15692
    prometheus_request_timeout: Annotated[
        int,
        Meta(ge=1, description="Milliseconds that clients have to send the header of a request for metrics"),
    ] = 5000
    prometheus_max_connections: Annotated[
        int,
        Meta(ge=1, description="Connections to the Prometheus endpoint; a quarter of the open files at most"),
    ] = 1024
    prometheus_compress: Annotated[
        bool, Meta(description="Compress metrics for clients that accept that")
    ] = True
    prometheus_path: Annotated[str, Meta(description="Path of the Prometheus endpoint")] = "/metrics"
    prometheus_per_object: Annotated[
        bool, Meta(description="Have the path itself show single queues, channels and connections")
    ] = False
    prometheus_authentication: Annotated[
        bool, Meta(description="Demand a login with the tag monitoring or administrator for the endpoint")
    ] = False
    http_request_timeout: Annotated[
        int,
        Meta(
            ge=1,
            description="Milliseconds that HTTP clients have to send the header of a request, also of the next one",
        ),
    ] = 5000
    http_idle_timeout: Annotated[
        int, Meta(ge=1, description="Milliseconds without data until the body of an HTTP request is given up")
    ] = 60000
    http_max_body_size: Annotated[
        int, Meta(ge=1, description="Largest body of an HTTP request, in bytes, as it is sent")
    ] = 10000000
    http_max_connections: Annotated[
        int,
        Meta(
            ge=1,
            description="Connections to the HTTP API; a quarter of the open files at most",
        ),
    ] = 1024
    max_connections: Annotated[
        int, Meta(ge=-1, description="Largest number of AMQP connections; -1: no limit")
    ] = -1
    handshake_timeout: Annotated[
        int,
        Meta(ge=0, description="Milliseconds from the TCP connection to connection.open-ok; 0: no limit"),
    ] = 10000
    node: Annotated[str, Meta(description="Node name; empty: rabbit@ and the host name")] = ""
    cluster_name: Annotated[str, Meta(description="Cluster name; empty: the node name")] = ""
    load_definitions: Annotated[
        str,
        Meta(description="Definitions to import at start: a JSON file, or a directory of them; empty: none"),
    ] = ""

    @property
    def node_name(self) -> str:
        """The full node name, completed as in RabbitMQ."""
        name, at, host = self.node.partition("@")
        if not (at and host):
            # Windows has no uname.
            here = (
                os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "localhost")
            )
            host = here.partition(".")[0]
        return f"{name or 'rabbit'}@{host}"


class Amqp(Struct, frozen=True, forbid_unknown_fields=True):
    """What is negotiated with clients, and defaults of queues."""

    heartbeat: Annotated[
        int,
        Meta(
            ge=0, le=65535, description="Heartbeat interval offered to clients, in seconds; 0: no heartbeats"
        ),
    ] = 60
    frame_max: Annotated[
        int, Meta(ge=4096, le=2**32 - 1, description="Frame size limit offered to clients, in bytes")
    ] = 131072
    channel_max: Annotated[
        int, Meta(ge=0, le=65535, description="Channels per connection offered to clients; 0: no limit")
    ] = 2047
    max_message_size: Annotated[
        int,
        Meta(
            ge=0,
            le=LARGEST_MESSAGE,
            description="Largest message body, in bytes; 0: the profile's (16 MiB from 4.0 on, 128 MiB before)",
        ),
    ] = 0
    default_queue_type: Annotated[
        Literal["classic", "quorum", "stream"],
        Meta(description="Type of queues that are declared without x-queue-type"),
    ] = "classic"
    consumer_timeout: Annotated[
        int, Meta(ge=0, description="Milliseconds until an unacknowledged delivery times out; 0: no timeout")
    ] = 1800000


class AccessSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The user of an empty broker, and restrictions of logins."""

    default_user: Annotated[
        str, Meta(min_length=1, description="User that is created in an empty broker")
    ] = "guest"
    default_pass: Annotated[str, Meta(description="Password of this user")] = "guest"
    default_vhost: Annotated[str, Meta(description="Virtual host that is created in an empty broker")] = "/"
    default_user_tags: Annotated[tuple[str, ...], Meta(description="Tags of this user")] = ("administrator",)
    default_permissions: Annotated[
        tuple[str, str, str],
        Meta(description="Permissions of this user: configure, write, read (regular expressions)"),
    ] = (".*", ".*", ".*")
    loopback_users: Annotated[
        tuple[str, ...], Meta(description="Users that can connect from the local machine only")
    ] = ("guest",)
    track_auth_attempt_source: Annotated[
        bool, Meta(description="Count logins by address and user, too (auth/attempts/NODE/source)")
    ] = False
    anonymous_login_user: Annotated[
        str, Meta(description="User of the SASL mechanism ANONYMOUS; empty: the mechanism is not offered")
    ] = "guest"
    anonymous_login_pass: Annotated[str, Meta(description="Password of this user")] = "guest"


class Memory(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of memory."""

    high_watermark: Annotated[
        int | float | str,
        Meta(
            description='Memory use that blocks publishers: share of RAM (0.6) or amount ("2GB"); '
            "empty: the profile's (0.6 from 4.0 on, 0.4 before)"
        ),
    ] = ""
    paging: Annotated[
        int | float | str,
        Meta(
            description='Memory for ready messages, the rest is paged to disk: amount ("64MB") or share of RAM (0.05)'
        ),
    ] = "64MB"
    unread: Annotated[
        int | str,
        Meta(
            description="Output that a client may leave unread (answers, returned messages, replies) until its "
            "connection is not read either"
        ),
    ] = "16MB"
    unfinished: Annotated[
        int | str,
        Meta(description="Message bodies that one connection may leave half sent; one message in any case"),
    ] = "128MB"

    @property
    def unread_limit(self) -> int:
        """Bytes of output that a client may leave unread."""
        return amount(self.unread, 0)

    @property
    def unfinished_limit(self) -> int:
        """Bytes of message bodies that a connection may leave half sent."""
        return amount(self.unfinished, 0)

    def paging_limit(self, total: int) -> int:
        """Bytes that ready messages may use in memory. `total`: RAM in bytes."""
        return amount(self.paging, total)

    def limit(self, total: int, share: float) -> int:
        """Return the watermark in bytes. `total`: RAM in bytes. `share`: the profile's watermark, the default."""
        return amount(share if self.high_watermark == "" else self.high_watermark, total)


class Store(Struct, frozen=True, forbid_unknown_fields=True):
    """Where messages and metadata are stored."""

    engine: Annotated[
        Literal["memory", "disk"],
        Meta(description="memory: all data is lost at stop; disk: durable data survives a restart"),
    ] = "memory"
    data_dir: Annotated[str, Meta(min_length=1, description="Directory of the disk store")] = "leveret-data"
    disk_free_limit: Annotated[
        int | float | str,
        Meta(
            description='Free disk space below which publishers are blocked: amount ("50MB") or share of RAM (1.5)'
        ),
    ] = "50MB"
    unwritten: Annotated[
        int | str,
        Meta(description="Memory for messages that wait for the disk; publishers wait, too, when it is used"),
    ] = "64MB"

    @property
    def unwritten_limit(self) -> int:
        """Bytes of messages that may wait for the disk."""
        return amount(self.unwritten, 0)

    def free_limit(self, total: int) -> int:
        """Return the limit in bytes. `total`: RAM in bytes."""
        return amount(self.disk_free_limit, total)


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """The RabbitMQ version that is replaced."""

    version: Annotated[
        str, Meta(pattern=r"^\d+\.\d+(\.\d+)?$", description="RabbitMQ version to behave like")
    ] = "4.3"


class DeprecatedFeatures(Struct, frozen=True, forbid_unknown_fields=True):
    """RabbitMQ's deprecated features."""

    permit: Annotated[
        dict[str, bool],
        Meta(
            description="Permit or deny deprecated features: { global_qos = true }; default: as in the profile"
        ),
    ] = {}


class Plugins(Struct, frozen=True, forbid_unknown_fields=True):
    """RabbitMQ's plugins that are off by default."""

    event_exchange: Annotated[
        bool, Meta(description="Publish events to amq.rabbitmq.event (plugin rabbitmq_event_exchange)")
    ] = False
    event_exchange_vhost: Annotated[
        str, Meta(description="Virtual host of amq.rabbitmq.event; empty: the default virtual host")
    ] = ""


class Management(Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP API: paths, headers, restrictions."""

    path_prefix: Annotated[
        str, Meta(description="Path that all paths of the HTTP API begin with, as behind a proxy: /rabbitmq")
    ] = ""
    compress: Annotated[
        bool, Meta(description="Compress responses of 300 bytes and more for clients that accept gzip")
    ] = True
    cors_allow_origins: Annotated[
        tuple[str, ...],
        Meta(
            description='Origins of pages that may use the HTTP API (CORS): "https://example.com"; "*": any'
        ),
    ] = ()
    cors_max_age: Annotated[
        int, Meta(ge=0, description="Seconds for which browsers may keep the answer about an origin")
    ] = 1800
    csp_policy: Annotated[str, Meta(description="Header Content-Security-Policy; empty: the profile's")] = ""
    hsts_policy: Annotated[str, Meta(description="Header Strict-Transport-Security; empty: none")] = ""
    content_type_options: Annotated[str, Meta(description="Header X-Content-Type-Options; empty: none")] = ""
    xss_protection: Annotated[str, Meta(description="Header X-XSS-Protection; empty: none")] = ""
    frame_options: Annotated[str, Meta(description="Header X-Frame-Options; empty: none")] = ""
    referrer_policy: Annotated[str, Meta(description="Header Referrer-Policy; empty: none")] = ""
    hide_allow_header: Annotated[bool, Meta(description="Send no header Allow")] = False
    require_auth_for_api_reference: Annotated[
        bool, Meta(description="The list of paths, /api/index.html, needs a login")
    ] = False
    require_json_extension: Annotated[
        bool, Meta(description="Files of definitions that are uploaded must be called .json")
    ] = False
    operator_policy_changes_disabled: Annotated[
        bool, Meta(description="Operator policies cannot be seen or changed one by one over HTTP")
    ] = False
    quorum_queue_replica_operations_disabled: Annotated[
        bool, Meta(description="Replicas of quorum queues cannot be changed over HTTP")
    ] = False
    login_session_timeout: Annotated[
        int, Meta(ge=0, description="Minutes after which the web page asks for a login again; 0: not told")
    ] = 0


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """Levels of the log."""

    level: Annotated[LogLevel, Meta(description="Lowest level that is logged")] = "info"
    categories: Annotated[
        dict[Category, LogLevel],
        Meta(description='Lowest level for single categories: { connection = "warning" }'),
    ] = {}


class Settings(Struct, frozen=True):
    """All settings. `warnings`: about settings without effect. `sources`: the files that were read."""

    server: Server = Server()
    amqp: Amqp = Amqp()
    access: AccessSettings = AccessSettings()
    memory: Memory = Memory()
    store: Store = Store()
    profile: Profile = Profile()
    deprecated_features: DeprecatedFeatures = DeprecatedFeatures()
    plugins: Plugins = Plugins()
    management: Management = Management()
    log: Log = Log()
    warnings: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


#: Section -> its type, in the order of config.toml.
SECTIONS: dict[str, type[Struct]] = {
    "server": Server,
    "amqp": Amqp,
    "access": AccessSettings,
    "memory": Memory,
    "store": Store,
    "profile": Profile,
    "deprecated_features": DeprecatedFeatures,
    "plugins": Plugins,
    "management": Management,
    "log": Log,
}


_AMOUNTS = (
    "memory.high_watermark",
    "memory.paging",
    "memory.unread",
    "memory.unfinished",
    "store.disk_free_limit",
    "store.unwritten",
)


class ConfigError(Exception):
    """A setting is wrong. `place`: file, environment or command line. `key`: as written there."""

    def __init__(self, place: str, key: str, problem: str, allowed: str = "") -> None:
        where = f"{place}: {key}" if key else place
        super().__init__(f"{where}: {problem}" + (f"; allowed: {allowed}" if allowed else ""))
        self.place = place
        self.key = key
        self.problem = problem
        self.allowed = allowed


class Values:
    """The settings of one source: `section.field` -> (value, place, key as written there), and its warnings."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[object, str, str]] = {}
        self.warnings: list[str] = []
        self.sources: list[str] = []

    def set(self, name: str, value: object, place: str, key: str) -> None:
        """Set `name`; the last value of a source counts."""
        self.found[name] = (value, place, key)

    def merge(self, name: str, entry: Mapping[str, object], place: str, key: str) -> None:
        """Add entries to a setting that is a table."""
        before = self.found.get(name, ({}, "", ""))[0]
        self.found[name] = ({**(before if isinstance(before, dict) else {}), **entry}, place, key)

    def set_text(self, name: str, text: str, place: str, key: str) -> None:
        """Set `name` from text, as in the environment and on the command line."""
        self.set(name, from_text(name, text, place, key), place, key)

    def update(self, stronger: Values) -> None:
        """Override settings with those of another source."""
        for name, (value, place, key) in stronger.found.items():
            if isinstance(value, dict):
                self.merge(name, value, place, key)
            else:
                self.set(name, value, place, key)
        self.warnings += stronger.warnings
        self.sources += stronger.sources


def build(values: Values) -> Settings:
    """Check values and make settings of them. Raises `ConfigError` for a wrong type or a value out of bounds."""
    sections: dict[str, dict[str, object]] = {section: {} for section in SECTIONS}
    for name, (value, place, key) in values.found.items():
        section, _, field = name.partition(".")
        sections[section][field] = _checked(name, value, place, key)
    made = {section: SECTIONS[section](**fields) for section, fields in sections.items() if fields}
    return Settings(**made, warnings=tuple(values.warnings), sources=tuple(values.sources))  # type: ignore[arg-type]


def field_type(name: str, place: str, key: str) -> Annotation:
    """Return the type of setting `section.field`. Raises `ConfigError` if there is no such setting."""
    section, _, field = name.partition(".")
    types = _types(section)
    if field not in types:
        allowed = ", ".join(types) if types else ", ".join(SECTIONS)
        raise ConfigError(place, key, "unknown setting", allowed)
    return types[field]


def from_text(name: str, text: str, place: str, key: str) -> object:
    """Return the value of setting `section.field` from text: lists are separated by commas, tables are written
    `a=b,c=d`."""
    kind = get_args(field_type(name, place, key))[0]
    origin = get_origin(kind)
    if origin is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if origin is dict:
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        return {name.strip(): _scalar(get_args(kind)[1], value.strip()) for name, _, value in pairs}
    return _scalar(kind, text)


def _scalar(kind: Annotation, text: str) -> object:
    """Turn text into a number or truth value if that is the type; text that does not fit is refused later."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind is int or int in get_args(kind):
        for number in (int, float) if kind is not int else (int,):
            try:
                return number(text)
            except ValueError:
                continue
    return text


def _checked(name: str, value: object, place: str, key: str) -> object:
    kind = field_type(name, place, key)
    try:
        checked = msgspec.convert(value, kind)
        if name in _AMOUNTS and (name, checked) != ("memory.high_watermark", ""):
            amount(checked, 1)
    except (msgspec.ValidationError, ValueError) as error:
        shown = "" if name.endswith("_pass") else f"{value!r}: "
        raise ConfigError(place, key, f"{shown}{error}", allowed(name)) from None
    return checked


@lru_cache
def _types(section: str) -> Mapping[str, Annotation]:
    """Field -> annotated type; empty for an unknown section. Cached because it is slow."""
    if section not in SECTIONS:
        return {}
    return {field.name: field.type for field in msgspec.structs.fields(SECTIONS[section])}


def names() -> list[str]:
    """Return all settings, as `section.field`, in the order of config.toml."""
    return [f"{section}.{field}" for section in SECTIONS for field in _types(section)]


def description(name: str) -> str:
    """Return the description of setting `section.field`."""
    metas = [meta for meta in get_args(field_type(name, "", name))[1:] if meta.description]
    return str(metas[0].description)


def allowed(name: str) -> str:
    """Return the allowed values of setting `section.field`, in words."""
    kind, *metas = get_args(field_type(name, "", name))
    least = next((meta.ge for meta in metas if meta.ge is not None), None)
    most = next((meta.le for meta in metas if meta.le is not None), None)
    pattern = next((meta.pattern for meta in metas if meta.pattern is not None), None)
    words = _words(kind)
    if least is not None:
        words += f" from {least} to {most}" if most is not None else f" from {least}"
    elif pattern is not None:
        words += f" like {Profile().version}"
    return f"{words} ({description(name)})"


def _words(kind: Annotation) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f'"{value}"' for value in get_args(kind))
    if get_origin(kind) is tuple:
        return "three strings" if len(get_args(kind)) == 3 else "a list of strings"
    if get_origin(kind) is dict:
        return f"a table of {_words(get_args(kind)[1])}"
    words: dict[Annotation, str] = {int: "an integer", str: "a string", bool: "true or false"}
    return words.get(kind, "a number or an amount")


#: Units of memory and disk in RabbitMQ (rabbit_resource_monitor_misc), in lower case.
UNITS: dict[str, int] = {"": 1} | {
    unit + suffix: base ** (power + 1)
    for power, unit in enumerate("kmgtp")
    for suffix, base in (("", 1024), ("i", 1024), ("ib", 1024), ("b", 1000))
}


def amount(value: float | str, total: int) -> int:
    """Bytes of a share of `total` (a float), a number of bytes, or an amount such as "50MB" or "2GiB".

    Raises `ValueError`.
    """
    if isinstance(value, float):
        if not 0 <= value < float("inf"):
            raise ValueError("not a share")
        return int(value * total)
    if isinstance(value, int):
        if value < 0:
            raise ValueError("negative")
        return value
    match = re.fullmatch(r"(\d+) *([a-z]*)", value.strip().lower())
    if match is None or match[2] not in UNITS:
        raise ValueError("not an amount like 50MB, 500MiB, 10GB, 2TiB or 10000000000")
    return int(match[1]) * UNITS[match[2]]


def to_toml(settings: Settings | None = None) -> str:
    """Return the text of config.toml with these settings (None: the defaults): a comment line and a value for each."""
    settings = settings or Settings()
    lines = [
        "# All settings of Leveret with their defaults. These override this file, the first one wins: command-line",
        "# options, environment variables (LEVERET_SERVER_PORT=5673, or RabbitMQ's own), a rabbitmq.conf.",
    ]
    for section in SECTIONS:
        lines += ["", f"[{section}]"]
        for field in _types(section):
            lines.append(f"# {description(f'{section}.{field}')}")
            lines.append(f"{field} = {_toml(getattr(getattr(settings, section), field))}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()  # a JSON string is a TOML basic string
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, dict):
        inside = ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    return str(value)
