"""rabbitmq.conf: RabbitMQ's own configuration file, as cuttlefish reads it.

Lines are `key = value`, comments begin with `#` (also after a value), a value in single quotes can contain `#`,
`$(name)` is replaced by another key's value or an environment variable, `include` takes a path or a pattern, and of
two lines with one key the later one counts. A key that RabbitMQ does not know is refused with RabbitMQ's text. A key
that it knows and that has no effect here is a warning, or an error if ignoring it would give access to somebody who
should not have it, or leave a client waiting (`rabbitmq_conf_keys`). Seen on RabbitMQ 4.3.6 and in its rabbit.schema.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, get_args

from leveret.settings import Category, ConfigError, LogLevel, Values, amount

_WORD = r"(?:\\\.|[A-Za-z0-9_-])+"
_LINE = re.compile(
    rf"\s*(?:(?P<key>{_WORD}(?:\.{_WORD})*)\s*=\s*+(?:'(?P<quoted>[^']*)'|(?P<plain>(?!'[^']*')[^#]+?))"
    r"|include\s+(?P<include>[^#]+?))?\s*(?:#.*)?"
)

#: Old names that RabbitMQ accepts with a warning (rabbit.schema, aliases): old -> new.
_RENAMED = {"channel_max": "max_channels_per_connection", "connection_max": "max_connections"}


class Line(NamedTuple):
    """One setting. `key`: its words, joined by dots. `place`: file and line number."""

    key: str
    text: str
    place: str


def read(paths: Iterable[Path], environ: Mapping[str, str]) -> Values:
    """Return the settings of rabbitmq.conf files; later files override earlier ones. Raises `ConfigError`."""
    values = Values()
    lines: dict[str, Line] = {}
    for path in paths:
        values.sources.append(str(path))
        lines.update((line.key, line) for line in parse(path))
    return interpret(_substituted(lines, environ), values)


def parse(path: Path, within: tuple[Path, ...] = ()) -> list[Line]:
    """Return the lines of one file and of the files that it includes. `within`: the files that include it. Raises
    `ConfigError`."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", f"cannot be read: {error}") from None
    lines: list[Line] = []
    for number, content in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(content)
        if match is None:
            problem = f"Syntax error in {path} after line {number} column 1, parsing incomplete"
            raise ConfigError(f"{path}:{number}", "", problem, "key = value, include path, # comment")
        if match["include"]:
            pattern = str(path.parent / match["include"])  # which may be absolute
            including = (*within, path.resolve())
            for included in map(Path, sorted(glob.glob(pattern, include_hidden=True))):
                if included.resolve() in including:  # RabbitMQ reads on until it is out of memory
                    raise ConfigError(f"{path}:{number}", "", f"{included} includes itself")
                lines += parse(included, including)
        elif match["key"]:
            value = match["plain"] if match["quoted"] is None else match["quoted"]
            lines.append(Line(match["key"], value, f"{path}:{number}"))
    return lines


def _substituted(lines: dict[str, Line], environ: Mapping[str, str]) -> dict[str, Line]:
    """Return the same lines with every `$(name)` replaced. Raises `ConfigError`."""

    def value(line: Line, within: tuple[str, ...]) -> str:
        def replacement(match: re.Match[str]) -> str:
            name = match[1].strip()
            if name in within:
                raise ConfigError(line.place, line.key, f"Circular substitution of '{name}'")
            if name in lines:
                return value(lines[name], (*within, name))
            if name in environ:
                return environ[name]
            problem = f"'{line.key}' substitution requires a config variable '{name}' to be set"
            raise ConfigError(line.place, line.key, problem)

        return re.sub(r"\$\(([^)]*)\)", replacement, line.text)

    return {key: line._replace(text=value(line, (key,))) for key, line in lines.items()}


def interpret(lines: dict[str, Line], values: Values) -> Values:
    """Turn lines into settings; adds them to `values` and returns it. Raises `ConfigError`."""
    rest = dict(lines)
    for key, line in lines.items():
        if line.text.startswith("encrypted:"):
            raise ConfigError(line.place, key, "encrypted values are not supported", "a plain value")
        if key in _RENAMED:
            values.warnings.append(f"{key} was renamed to {_RENAMED[key]}")
        if key in _SIMPLE:
            name, convert = _SIMPLE[key]
            values.set(name, _converted(convert, rest.pop(key)), line.place, key)
    for group in (
        _listeners,
        _prometheus_listener,
        _users,
        _amounts,
        _logs,
        _logins,
        _definitions,
        _deprecated,
        _origins,
    ):
        group(rest, values)
    if rest:
        from leveret import rabbitmq_conf_keys  # imported only if it is needed

        for line in rest.values():
            warning = rabbitmq_conf_keys.verdict(line.key, line.text, line.place, known_keys())
            values.warnings.append(warning)
    return values


# --- one key, one setting


def _converted(convert: Callable[[str], object], line: Line) -> object:
    try:
        return convert(line.text)
    except ValueError as error:
        raise ConfigError(line.place, line.key, str(error)) from None


def _integer(text: str) -> int:
    if re.fullmatch(r"[+-]?\d+", text) is None:
        raise ValueError(f'"{text}" cannot be converted to a(n) integer')
    return int(text)


def _positive(text: str) -> int:
    number = _integer(text)
    if number < 1:
        raise ValueError(f"{number} is below the minimum allowed value of 1")
    return number


def _age(text: str) -> int:
    number = _integer(text)
    if number < 0:
        raise ValueError(f"{number} is below the minimum allowed value of 0")
    return number


def _or_infinity(otherwise: int) -> Callable[[str], int]:
    """Return a converter for an integer or `infinity`, which becomes `otherwise`."""
    return lambda text: otherwise if text == "infinity" else _integer(text)


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'"{text}" cannot be converted to a(n) float') from None


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f'"{text}" cannot be converted to a(n) boolean')
    return text == "true"


def _size(text: str) -> int:
    """Convert cuttlefish's bytesize: B, KB, MB, GB in either case, 1024 each. Raises `ValueError`."""
    match = re.fullmatch(r"(\d+)(b|kb|mb|gb)?", text.lower())
    if match is None:
        raise ValueError(f'"{text}" cannot be converted to a(n) bytesize')
    return int(match[1]) << 10 * ("b", "kb", "mb", "gb").index(match[2] or "b")


def _amount(text: str) -> str:
    if " " in text:
        raise ValueError("supported formats: 500MB, 500MiB, 10GB, 10GiB, 2TB, 2TiB, 10000000000")
    try:
        amount(text, 1)
    except ValueError:
        raise ValueError("supported formats: 500MB, 500MiB, 10GB, 10GiB, 2TB, 2TiB, 10000000000") from None
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in words:
            raise ValueError(f'"{text}" is not a valid enum value, acceptable values are: {", ".join(words)}')
        return text

    return convert


def _message_size(text: str) -> int:
    number = _integer(text)
    if not 0 < number <= 536870912:
        raise ValueError("Max message size should be between 0 and 512MB")
    return number


_level = _one_of(*get_args(LogLevel))


def _host(text: str) -> list[str]:
    return [text.strip("[]")]


_SIMPLE: dict[str, tuple[str, Callable[[str], object]]] = {
    "heartbeat": ("amqp.heartbeat", _integer),
    "frame_max": ("amqp.frame_max", _size),
    "channel_max": ("amqp.channel_max", _integer),
    "max_channels_per_connection": ("amqp.channel_max", _integer),
    "max_message_size": ("amqp.max_message_size", _message_size),
    "consumer_timeout": ("amqp.consumer_timeout", _positive),
    "default_queue_type": ("amqp.default_queue_type", _one_of("classic", "quorum", "stream")),
    "connection_max": ("server.max_connections", _or_infinity(-1)),
    "max_connections": ("server.max_connections", _or_infinity(-1)),
    "handshake_timeout": ("server.handshake_timeout", _or_infinity(0)),
    "cluster_name": ("server.cluster_name", str),
    "nodename": ("server.node", str),
    "management.tcp.port": ("server.http_port", _integer),
    "management.tcp.ip": ("server.http_host", _host),
    "management.tcp.request_timeout": ("server.http_request_timeout", _positive),
    "management.tcp.idle_timeout": ("server.http_idle_timeout", _positive),
    "management.tcp.max_connections": ("server.http_max_connections", _or_infinity(1 << 30)),
    "management.http.max_body_size": ("server.http_max_body_size", _positive),
    # RabbitMQ collects less with `none`; here statistics are counted in any case.
    "management.rates_mode": (
        "server.rates_mode",
        lambda text: "basic" if text == "none" else _one_of("basic", "detailed", "none")(text),
    ),
    "management.listener.port": ("server.http_port", _integer),
    "management.listener.ip": ("server.http_host", _host),
    "management.path_prefix": ("management.path_prefix", str),
    "management.tcp.compress": ("management.compress", _boolean),
    "management.cors.max_age": ("management.cors_max_age", _age),
    "management.csp.policy": ("management.csp_policy", str),
    "management.hsts.policy": ("management.hsts_policy", str),
    "management.headers.content_type_options": ("management.content_type_options", str),
    "management.headers.xss_protection": ("management.xss_protection", str),
    "management.headers.frame_options": ("management.frame_options", str),
    "management.headers.referrer_policy": ("management.referrer_policy", str),
    "management.http.hide_allow_header": ("management.hide_allow_header", _boolean),
    "management.require_auth_for_api_reference": ("management.require_auth_for_api_reference", _boolean),
    "management.definitions.require_json_extension": ("management.require_json_extension", _boolean),
    "management.restrictions.operator_policy_changes.disabled": (
        "management.operator_policy_changes_disabled",
        _boolean,
    ),
    "management.restrictions.quorum_queue_replica_operations.disabled": (
        "management.quorum_queue_replica_operations_disabled",
        _boolean,
    ),
    "management.login_session_timeout": ("management.login_session_timeout", _positive),
    "prometheus.tcp.port": ("server.prometheus_port", _integer),
    "prometheus.tcp.ip": ("server.prometheus_host", _host),
    "prometheus.tcp.request_timeout": ("server.prometheus_request_timeout", _positive),
    "prometheus.tcp.max_connections": ("server.prometheus_max_connections", _or_infinity(1 << 30)),
    "prometheus.tcp.compress": ("server.prometheus_compress", _boolean),
    "prometheus.path": ("server.prometheus_path", str),
    "prometheus.return_per_object_metrics": ("server.prometheus_per_object", _boolean),
    "prometheus.authentication.enabled": ("server.prometheus_authentication", _boolean),
    "default_user": ("access.default_user", str),
    "default_pass": ("access.default_pass", str),
    "default_vhost": ("access.default_vhost", str),
    "anonymous_login_user": ("access.anonymous_login_user", lambda text: "" if text == "none" else text),
    "anonymous_login_pass": ("access.anonymous_login_pass", str),
    "track_auth_attempt_source": ("access.track_auth_attempt_source", _boolean),
    "event_exchange.vhost": ("plugins.event_exchange_vhost", str),
}


# --- several keys for one setting: each function takes its keys out of `rest`


def _taken(rest: dict[str, Line], prefix: str) -> list[tuple[str, Line]]:
    """Remove and return the keys one word longer than `prefix`, with that word, in the order of the file."""
    found = [key for key in rest if key.startswith(f"{prefix}.") and key.count(".") == prefix.count(".") + 1]
    return [(key.removeprefix(f"{prefix}."), rest.pop(key)) for key in found]


def _listeners(rest: dict[str, Line], values: Values) -> None:
    listeners = _taken(rest, "listeners.tcp")
    hosts: list[str] = []
    ports: list[int] = []
    for _, line in listeners:
        host, _, port = line.text.rpartition(":")
        try:
            ports.append(_integer(port))
        except ValueError as error:
            raise ConfigError(
                line.place, line.key, str(error), "a port, or an IP address and a port"
            ) from None
        hosts.append(host or "::")
        if ports[-1] != ports[0]:
            raise ConfigError(
                line.place, line.key, f"differs from port {ports[0]}", "one port for all addresses"
            )
        values.set("server.host", list(dict.fromkeys(hosts)), line.place, line.key)
        values.set("server.port", ports[0], line.place, line.key)
    none = rest.pop("listeners.tcp", None)
    if none is not None:
        _converted(_one_of("none"), none)
        values.set("server.port", -1, none.place, none.key)
    no_tls = rest.pop("listeners.ssl", None)
    if no_tls is not None:
        _converted(_one_of("none"), no_tls)


def _prometheus_listener(rest: dict[str, Line], values: Values) -> None:
    line = rest.pop("prometheus.tcp.listener", None)
    if line is None:
        return
    host, _, port = line.text.rpartition(":")
    if line.text == "none":
        values.set("server.prometheus_port", -1, line.place, line.key)
        return
    try:
        values.set("server.prometheus_port", _integer(port), line.place, line.key)
    except ValueError as error:
        raise ConfigError(line.place, line.key, str(error), "none, or an IP address and a port") from None
    if host:
        values.set("server.prometheus_host", [host], line.place, line.key)


def _users(rest: dict[str, Line], values: Values) -> None:
    for setting, prefix in (
        ("access.loopback_users", "loopback_users"),
        ("access.default_user_tags", "default_user_tags"),
    ):
        entries = _taken(rest, prefix)
        if entries:
            # Naming any replaces the default list (rabbit.schema, translation rabbit.loopback_users).
            named = [word for word, line in entries if _converted(_boolean, line)]
            values.set(setting, named, entries[-1][1].place, entries[-1][1].key)
    none = rest.pop("loopback_users", None)
    if none is not None:
        _converted(_one_of("none"), none)
        values.set("access.loopback_users", [], none.place, none.key)
    permissions = {"configure": ".*", "write": ".*", "read": ".*"}
    for kind in permissions:
        line = rest.pop(f"default_permissions.{kind}", None)
        if line is not None:
            permissions[kind] = line.text
            values.set("access.default_permissions", list(permissions.values()), line.place, line.key)


def _amounts(rest: dict[str, Line], values: Values) -> None:
    for setting, key in (
        ("memory.high_watermark", "vm_memory_high_watermark"),
        ("store.disk_free_limit", "disk_free_limit"),
    ):
        relative, absolute = rest.pop(f"{key}.relative", None), rest.pop(f"{key}.absolute", None)
        if relative is not None:
            values.set(setting, _converted(_share, relative), relative.place, relative.key)
        if absolute is not None:
            values.set(setting, _converted(_amount, absolute), absolute.place, absolute.key)
        if relative is not None and absolute is not None:
            values.warnings.append(
                f"Both {key}.absolute and {key}.relative are configured. {key}.absolute has precedence"
            )


def _logs(rest: dict[str, Line], values: Values) -> None:
    # There is one output. Of the levels of the default category, the file and the console, the last one given counts.
    for key in ("log.default.level", "log.file.level", "log.console.level"):
        line = rest.pop(key, None)
        if line is not None:
            values.set("log.level", _converted(_level, line), line.place, line.key)
    for category in get_args(Category):
        line = rest.pop(f"log.{category}.level", None)
        if line is not None:
            level = _converted(_level, line)
            values.merge("log.categories", {category: level}, line.place, line.key)
    for key, only in (("log.console", "true"), ("log.file", "false"), ("log.console.stdio", "stdout")):
        if key in rest and rest[key].text == only:
            del rest[key]  # as it is anyway


def _logins(rest: dict[str, Line], values: Values) -> None:
    for number, backend in _taken(rest, "auth_backends"):
        _internal_only(number, backend)
    offered = _taken(rest, "auth_mechanisms")
    if not offered:
        return
    names = {line.text for _, line in offered}
    line = offered[-1][1]
    if "ANONYMOUS" not in names:
        values.set("access.anonymous_login_user", "", line.place, line.key)
    for name in sorted({"PLAIN", "AMQPLAIN"} - names):
        values.warnings.append(f"{line.place}: auth_mechanisms: mechanism {name} is offered all the same")
    for name in sorted(names - {"PLAIN", "AMQPLAIN", "ANONYMOUS"}):
        values.warnings.append(f"{line.place}: auth_mechanisms: mechanism {name} is not offered")


def _internal_only(number: str, line: Line) -> None:
    if line.text not in ("internal", "rabbit_auth_backend_internal"):
        problem = f"auth backend {number}, {line.text}, is not available: its users could not log in"
        raise ConfigError(line.place, line.key, problem, "internal")


def _definitions(rest: dict[str, Line], values: Values) -> None:
    backend = rest.pop("definitions.import_backend", None)
    if backend is not None and backend.text not in (
        "local_filesystem",
        "rabbit_definitions_import_local_filesystem",
    ):
        problem = f"definitions cannot be imported by {backend.text}"
        raise ConfigError(backend.place, backend.key, problem, "local_filesystem")
    for key in ("definitions.local.path", "management.load_definitions", "load_definitions"):
        line = rest.pop(key, None)
        if line is not None:
            if not Path(line.text).exists():
                raise ConfigError(line.place, key, "file does not exist or cannot be read by the node")
            values.set("server.load_definitions", line.text, line.place, key)


def _deprecated(rest: dict[str, Line], values: Values) -> None:
    for feature, line in _taken(rest, "deprecated_features.permit"):
        values.merge(
            "deprecated_features.permit", {feature: _converted(_boolean, line)}, line.place, line.key
        )


def _origins(rest: dict[str, Line], values: Values) -> None:
    entries = _taken(rest, "management.cors.allow_origins")
    if entries:
        origins = [line.text for _, line in entries]
        values.set("management.cors_allow_origins", origins, entries[-1][1].place, entries[-1][1].key)
    none = rest.pop("management.cors.allow_origins", None)
    if none is not None:
        _converted(_one_of("none"), none)
        values.set("management.cors_allow_origins", [], none.place, none.key)


def known_keys() -> list[str]:
    """Return the keys that have an effect; `$` stands for any word."""
    groups = (
        "listeners.tcp listeners.tcp.$NAME listeners.ssl loopback_users loopback_users.$USER "
        "default_user_tags.$TAG default_permissions.configure default_permissions.write "
        "default_permissions.read "
        "vm_memory_high_watermark.relative vm_memory_high_watermark.absolute disk_free_limit.relative "
        "disk_free_limit.absolute auth_mechanisms.$NAME auth_backends.$N deprecated_features.permit.$NAME "
        "management.cors.allow_origins management.cors.allow_origins.$NAME "
        "load_definitions definitions.local.path definitions.import_backend management.load_definitions "
        "log.console.level log.file.level log.default.level log.connection.level log.channel.level "
        "log.queue.level prometheus.tcp.listener"
    )
    return [*_SIMPLE, *groups.split()]
