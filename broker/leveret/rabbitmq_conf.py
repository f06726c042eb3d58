"""The meaning of rabbitmq.conf: RabbitMQ's keys as settings.

`leveret.cuttlefish` reads the files and refuses what RabbitMQ 4.3.6 refuses, with its texts and all problems at once.
Here each key becomes a setting. A key that has no effect here is a warning, or an error if ignoring it would give
access to somebody who should not have it, or leave a client waiting (`rabbitmq_conf_keys`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import get_args

from leveret import erlang_config, rabbitmq_conf_auth, rabbitmq_conf_page, rabbitmq_conf_tls
from leveret.cuttlefish.checks import check
from leveret.cuttlefish.datatypes import convert, shown
from leveret.cuttlefish.schema import Schema, schema, words_of
from leveret.cuttlefish.syntax import Line, parse, substituted
from leveret.rabbitmq_conf_values import boolean, converted, integer, one_of, positive, taken
from leveret.settings import Category, ConfigError, LogLevel, Values, amount, raise_all

__all__ = ["Line", "interpret", "known_keys", "parse", "read", "refusals"]


def read(
    paths: Iterable[Path],
    environ: Mapping[str, str],
    *,
    advanced: Iterable[Path] = (),
    arguments: str = "",
    older: bool = False,
) -> Values:
    """Return the settings of rabbitmq.conf files; later files override earlier ones.

    `advanced`: files in Erlang terms, and `arguments`: Erlang's command line, which override these. `older`: a version
    before 4.3 is replaced, so keys that 4.3 does not know any more are accepted, with a warning.
    Raises `ConfigError` with all problems.
    """
    values = Values()
    paths = list(paths)
    values.sources += map(str, paths)
    lines, renamed = _checked(paths, environ, older)
    values.warnings += renamed
    for path in advanced:
        values.sources.append(str(path))
        _override(lines, erlang_config.read(path), values)
    if arguments:
        place = "environment: RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"
        _override(lines, erlang_config.arguments(arguments, place), values)
    return interpret(lines, values)


def refusals(paths: Iterable[Path], environ: Mapping[str, str]) -> None:
    """Raise `ConfigError` with all problems that RabbitMQ 4.3.6 has with these files, whatever the keys mean here."""
    _checked(paths, environ, older=False)


def _checked(
    paths: Iterable[Path], environ: Mapping[str, str], older: bool
) -> tuple[dict[str, Line], list[str]]:
    """Return the lines of the files and warnings about old names. Raises `ConfigError`."""
    lines: dict[str, Line] = {}
    warnings: list[str] = []
    problems: list[ConfigError] = []
    for path in paths:
        try:
            lines.update((line.key, line) for line in parse(path))
        except ConfigError as error:
            problems.append(error)
    raise_all(problems)
    if lines:
        known = schema()
        lines = substituted(_canonical(lines, known, warnings), known.renamed, environ)
        current = {key: line for key, line in lines.items() if not older or known.find(key) is not None}
        raise_all(check(current, known)[1])
    return lines, warnings


def _override(lines: dict[str, Line], found: erlang_config.Found, values: Values) -> None:
    for key in [key for key in lines if any(f"{key}.".startswith(f"{one}.") for one in found.replaced)]:
        del lines[key]
    lines.update(found.lines)
    values.warnings += found.warnings


def _canonical(lines: dict[str, Line], known: Schema, warnings: list[str]) -> dict[str, Line]:
    """Return the lines with new keys for the old names that RabbitMQ accepts with a warning."""
    canonical: dict[str, Line] = {}
    for key, line in lines.items():
        new = known.renamed.get(key)
        if new is None:
            canonical[key] = line
        elif new in lines:
            warnings.append(f"{key} was renamed to {new}, both are set, using {new}")
        else:
            warnings.append(f"{key} was renamed to {new}")
            canonical[new] = line._replace(key=new)
    return canonical


def interpret(lines: Mapping[str, Line], values: Values) -> Values:
    """Turn lines into settings; adds them to `values` and returns it. Raises `ConfigError` with all problems."""
    rest = dict(lines)
    problems: list[ConfigError] = []
    for key, line in lines.items():
        if line.text.startswith("encrypted:"):
            problems.append(
                ConfigError(line.place, key, "encrypted values are not supported", "a plain value")
            )
        if key in _SIMPLE:
            name, convert_value = _SIMPLE[key]
            try:
                values.set(name, converted(convert_value, rest.pop(key)), line.place, key)
            except ConfigError as error:
                problems.append(error)
    for group in (
        _listeners,
        _prometheus_listener,
        rabbitmq_conf_tls.read_tls,
        rabbitmq_conf_auth.read_auth,
        rabbitmq_conf_page.read_page,
        _users,
        _amounts,
        _logs,
        _logins,
        _definitions,
        _deprecated,
        _origins,
        _default_queue_type,
        _queue_types,
        _linger,
        _tags,
        _parameter_limits,
        _statistics,
        _vhost_defaults,
    ):
        try:
            group(rest, values)
        except ConfigError as error:
            problems.append(error)
    _without_effect(rest, values, problems)
    raise_all(problems)
    return values


def _without_effect(rest: Mapping[str, Line], values: Values, problems: list[ConfigError]) -> None:
    from leveret import rabbitmq_conf_keys  # imported only if it is needed

    known = known_keys()
    for line in rest.values():
        if problems and rabbitmq_conf_keys.is_one_of(line.key, known):
            continue  # left over by a group of keys that has ended with a problem
        try:
            warning = rabbitmq_conf_keys.verdict(line.key, line.text, line.place, known)
        except ConfigError as error:
            problems.append(error)
        else:
            values.warnings.append(warning)


# --- one key, one setting


def _age(text: str) -> int:
    number = integer(text)
    if number < 0:
        raise ValueError(f"{number} is below the minimum allowed value of 0")
    return number


def _or_infinity(otherwise: int) -> Callable[[str], int]:
    """Return a converter for an integer or `infinity`, which becomes `otherwise`."""
    return lambda text: otherwise if text == "infinity" else integer(text)


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'"{text}" cannot be converted to a(n) float') from None


def _size(text: str) -> int:
    """Convert cuttlefish's bytesize: KB, MB, GB, 1024 each. RabbitMQ takes 0 as no limit. Raises `ValueError`."""
    return int(convert(("bytesize",), text)) or 2**32 - 1


def _message_size(text: str) -> int:
    number = integer(text)
    if not 0 < number <= 536870912:
        raise ValueError("Max message size should be between 0 and 512MB")
    return number


def _queue_type(text: str) -> str:
    """Convert a type of queues, also by the name of RabbitMQ's module (`rabbit_quorum_queue`)."""
    match = re.fullmatch(r"rabbit_(\w+)_queue", text)
    return one_of("classic", "quorum", "stream")(match[1] if match else text)


def _validator(text: str) -> str:
    """Convert a validator of passwords, which RabbitMQ names by its module."""
    prefix = "rabbit_credential_validator_"
    kinds = ("accept_everything", "min_password_length", "password_regexp")
    return one_of(*(f"{prefix}{kind}" for kind in kinds))(text).removeprefix(prefix)


_MECHANISMS = {"PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL", "RABBIT-CR-DEMO"}


def _host(text: str) -> list[str]:
    return [text.strip("[]")]


#: Value of ssl_cert_login_from -> setting.
_LOGIN_FROM = {
    "distinguished_name": "distinguished_name",
    "common_name": "common_name",
    "subject_alternative_name": "subject_alternative_name",
    "subject_alt_name": "subject_alternative_name",
}


def _sixteen_bits(text: str) -> int:
    """Convert a number as RabbitMQ sends it: any integer, of which the lowest 16 bits count. Raises `ValueError`."""
    return integer(text) & 0xFFFF


def _header_setting(text: str) -> str:
    """Convert whether a header of an interceptor replaces the client's. Raises `ValueError`."""
    return "overwrite" if boolean(text) else "add"


_SIMPLE: dict[str, tuple[str, Callable[[str], object]]] = {
    "heartbeat": ("amqp.heartbeat", _sixteen_bits),
    "frame_max": ("amqp.frame_max", _size),
    "channel_max_per_node": ("amqp.channel_max_per_node", _or_infinity(-1)),
    "consumer_max_per_channel": ("amqp.consumer_max_per_channel", _or_infinity(-1)),
    "max_channels_per_connection": ("amqp.channel_max", _sixteen_bits),
    "max_message_size": ("amqp.max_message_size", _message_size),
    "consumer_timeout": ("amqp.consumer_timeout", _age),
    "max_connections": ("server.max_connections", _or_infinity(-1)),
    "channel_tx_message_max": ("limits.transaction_publishes", _or_infinity(-1)),
    "vhost_max": ("limits.vhosts", _or_infinity(-1)),
    "cluster_queue_limit": ("limits.queues", _or_infinity(-1)),
    "cluster_exchange_limit": ("limits.exchanges", _or_infinity(-1)),
    "credential_validator.validation_backend": ("access.password_validator", _validator),
    "credential_validator.min_length": ("access.password_min_length", integer),
    "credential_validator.regexp": ("access.password_pattern", str),
    "tcp_listen_options.backlog": ("server.backlog", positive),
    "tcp_listen_options.keepalive": ("server.keepalive", boolean),
    "tcp_listen_options.sndbuf": ("server.sndbuf", _age),
    "tcp_listen_options.recbuf": ("server.recbuf", _age),
    "exchange_types.local_random.enabled": ("amqp.local_random_exchange", boolean),
    "quorum_queue.property_equivalence.relaxed_checks_on_redeclaration": (
        "amqp.relaxed_redeclaration",
        boolean,
    ),
    "message_interceptors.incoming.set_header_routing_node.overwrite": (
        "amqp.routing_node_header",
        _header_setting,
    ),
    "message_interceptors.incoming.set_header_timestamp.overwrite": (
        "amqp.timestamp_header",
        _header_setting,
    ),
    "message_interceptors.outgoing.timestamp.enabled": ("amqp.sent_time_header", boolean),
    "definitions.skip_if_unchanged": ("server.skip_unchanged_definitions", boolean),
    "proxy_protocol": ("server.proxy_protocol", boolean),
    "ssl_handshake_timeout": ("tls.handshake_timeout", positive),
    "handshake_timeout": ("server.handshake_timeout", _or_infinity(0)),
    "cluster_name": ("server.cluster_name", str),
    "management.tcp.port": ("server.http_port", integer),
    "management.tcp.ip": ("server.http_host", _host),
    "management.tcp.request_timeout": ("server.http_request_timeout", positive),
    "management.tcp.idle_timeout": ("server.http_idle_timeout", positive),
    "management.tcp.max_connections": ("server.http_max_connections", _or_infinity(1 << 30)),
    "management.http.max_body_size": ("server.http_max_body_size", positive),
    # RabbitMQ collects less with `none`; here statistics are counted in any case.
    "management.rates_mode": (
        "server.rates_mode",
        lambda text: "basic" if text == "none" else one_of("basic", "detailed", "none")(text),
    ),
    "management.listener.port": ("server.http_port", integer),
    "management.listener.ip": ("server.http_host", _host),
    "management.path_prefix": ("management.path_prefix", str),
    "management.tcp.compress": ("management.compress", boolean),
    "management.cors.max_age": ("management.cors_max_age", _age),
    "management.csp.policy": ("management.csp_policy", str),
    "management.hsts.policy": ("management.hsts_policy", str),
    "management.headers.content_type_options": ("management.content_type_options", str),
    "management.headers.xss_protection": ("management.xss_protection", str),
    "management.headers.frame_options": ("management.frame_options", str),
    "management.headers.referrer_policy": ("management.referrer_policy", str),
    "management.http.hide_allow_header": ("management.hide_allow_header", boolean),
    "management.require_auth_for_api_reference": ("management.require_auth_for_api_reference", boolean),
    "management.definitions.require_json_extension": ("management.require_json_extension", boolean),
    "management.restrictions.operator_policy_changes.disabled": (
        "management.operator_policy_changes_disabled",
        boolean,
    ),
    "management.restrictions.quorum_queue_replica_operations.disabled": (
        "management.quorum_queue_replica_operations_disabled",
        boolean,
    ),
    "management.disable_basic_auth": ("management.disable_basic_auth", boolean),
    "management.login_session_timeout": ("management.login_session_timeout", positive),
    "prometheus.tcp.port": ("server.prometheus_port", integer),
    "prometheus.tcp.ip": ("server.prometheus_host", _host),
    "prometheus.tcp.request_timeout": ("server.prometheus_request_timeout", positive),
    "prometheus.tcp.max_connections": ("server.prometheus_max_connections", _or_infinity(1 << 30)),
    "prometheus.tcp.compress": ("server.prometheus_compress", boolean),
    "prometheus.path": ("server.prometheus_path", str),
    "prometheus.return_per_object_metrics": ("server.prometheus_per_object", boolean),
    "prometheus.authentication.enabled": ("server.prometheus_authentication", boolean),
    "default_user": ("access.default_user", str),
    "default_pass": ("access.default_pass", str),
    "default_vhost": ("access.default_vhost", str),
    "anonymous_login_user": ("access.anonymous_login_user", lambda text: "" if text == "none" else text),
    "anonymous_login_pass": ("access.anonymous_login_pass", str),
    "password_hashing_module": (
        "access.password_hashing",
        one_of(*(f"rabbit_password_hashing_{name}" for name in ("sha256", "sha512", "md5"))),
    ),
    "ssl_cert_login_from": (
        "access.cert_login_from",
        lambda text: _LOGIN_FROM[one_of(*_LOGIN_FROM)(text)],
    ),
    "ssl_cert_login_san_type": (
        "access.cert_login_san_type",
        one_of("dns", "ip", "email", "uri", "other_name"),
    ),
    "ssl_cert_login_san_index": ("access.cert_login_san_index", _age),
    "track_auth_attempt_source": ("access.track_auth_attempt_source", boolean),
    "event_exchange.vhost": ("plugins.event_exchange_vhost", str),
}


# --- several keys for one setting: each function takes its keys out of `rest`


def _listeners(rest: dict[str, Line], values: Values) -> None:
    """The first port is `server.port`; listeners with other ports are `server.listeners`."""
    hosts: list[str] = []
    others: list[str] = []
    first: int | None = None
    for _, line in taken(rest, "listeners.tcp"):
        host, _, port = line.text.rpartition(":")
        first = int(port) if first is None else first
        if int(port) == first:
            hosts.append(host or "::")
        else:
            others.append(f"{host or '::'}:{port}")
        values.set("server.host", list(dict.fromkeys(hosts)), line.place, line.key)
        values.set("server.port", first, line.place, line.key)
        values.set("server.listeners", others, line.place, line.key)
    none = rest.pop("listeners.tcp", None)
    if none is not None:
        values.set("server.port", -1, none.place, none.key)
        values.set("server.listeners", [], none.place, none.key)


def _prometheus_listener(rest: dict[str, Line], values: Values) -> None:
    line = rest.pop("prometheus.tcp.listener", None)
    if line is None:
        return
    host, _, port = line.text.rpartition(":")
    if line.text == "none":
        values.set("server.prometheus_port", -1, line.place, line.key)
        return
    try:
        values.set("server.prometheus_port", integer(port), line.place, line.key)
    except ValueError as error:
        raise ConfigError(line.place, line.key, str(error), "none, or an IP address and a port") from None
    if host:
        values.set("server.prometheus_host", [host], line.place, line.key)


def _users(rest: dict[str, Line], values: Values) -> None:
    for setting, prefix in (
        ("access.loopback_users", "loopback_users"),
        ("access.default_user_tags", "default_user_tags"),
    ):
        entries = taken(rest, prefix)
        if entries:
            # Naming any replaces the default list. Anything but `true` is false (rabbit.schema, rabbit.loopback_users).
            named = [word for word, line in entries if line.text == "true"]
            values.set(setting, named, entries[-1][1].place, entries[-1][1].key)
    none = rest.pop("loopback_users", None)
    if none is not None:
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
            share = max(float(relative.text), 0.0)
            if setting == "memory.high_watermark" and share > 1.0:
                values.warnings.append(
                    f"Memory high watermark of {share} is above the allowed maximum, falling back to 1.0"
                )
                share = 1.0
            values.set(setting, share, relative.place, relative.key)
        if absolute is not None:
            _absolute(setting, key, absolute, values)
        if relative is not None and absolute is not None:
            values.warnings.append(
                f"Both {key}.absolute and {key}.relative are configured. {key}.absolute has precedence"
            )


#: The memory high watermark if the configured one cannot be read (vm_memory_monitor), which is not the default.
_UNREADABLE_WATERMARK = 0.4


def _absolute(setting: str, key: str, line: Line, values: Values) -> None:
    """Set an amount. RabbitMQ starts with its default if it cannot read one, such as 2.5GB."""
    try:
        octets = amount(line.text, 1)
    except ValueError:
        negative = line.text.startswith("-")
        if not negative:
            values.warnings.append(f"Unable to parse {key} value {shown(line.text)}")
        values.found.pop(setting, None)
        if not negative:
            if setting == "memory.high_watermark":
                values.set(setting, _UNREADABLE_WATERMARK, line.place, line.key)
            return
        octets = 0
    values.set(setting, octets, line.place, line.key)


def _logs(rest: dict[str, Line], values: Values) -> None:
    for category in get_args(Category):
        line = rest.pop(f"log.{category}.level", None)
        if line is not None:
            values.merge("log.categories", {category: line.text}, line.place, line.key)
    for key, (name, convert_value) in _LOG.items():
        line = rest.pop(key, None)
        if line is not None:
            values.set(name, convert_value(line.text), line.place, key)
    for output in ("exchange", "syslog", "journald"):
        level = values.found.get(f"log.{output}_level")
        if level is not None and f"log.{output}" not in values.found:  # a level switches an output on
            values.set(f"log.{output}", level[0] != "none", level[1], level[2])
    for output in ("console", "file", "exchange", "syslog"):
        for key in [key for key in rest if key.startswith(f"log.{output}.formatter.")]:
            line = rest.pop(key)
            detail = (
                key.removeprefix(f"log.{output}.formatter.").removeprefix("json.").removesuffix(".format")
            )
            values.merge(f"log.{output}_formatter", {detail: line.text}, line.place, key)
    _log_level(rest, values)


def _log_level(rest: dict[str, Line], values: Values) -> None:
    """Set the level of the default category: its own, or the lowest of the outputs if that lets more through."""
    line = rest.pop("log.default.level", None)
    levels = get_args(LogLevel)
    if line is not None:
        values.set("log.level", line.text, line.place, line.key)
        return
    outputs = [values.found[name] for name in _OUTPUT_LEVELS if name in values.found]
    if outputs:
        level, place, key = min(outputs, key=lambda found: levels.index(str(found[0])))
        if levels.index(str(level)) < levels.index("info"):
            values.set("log.level", level, place, key)


def _log_file(text: str) -> str:
    """Convert `false` to no file, `true` to RabbitMQ's name for it."""
    return {"false": "", "true": "$node.log"}.get(text, text)


def _rotation_size(text: str) -> int:
    return max(integer(text), 0)


_LOG: dict[str, tuple[str, Callable[[str], object]]] = {
    "log.console": ("log.console", boolean),
    "log.console.stdio": ("log.console_stream", str),
    "log.console.level": ("log.console_level", str),
    "log.console.formatter": ("log.console_format", str),
    "log.dir": ("log.dir", str),
    "log.file": ("log.file", _log_file),
    "log.file.level": ("log.file_level", str),
    "log.file.formatter": ("log.file_format", str),
    "log.file.rotation.date": ("log.file_rotation_date", str),
    "log.file.rotation.size": ("log.file_rotation_size", _rotation_size),
    "log.file.rotation.count": ("log.file_rotation_count", _rotation_size),
    "log.file.rotation.compress": ("log.file_rotation_compress", boolean),
    "log.syslog": ("log.syslog", boolean),
    "log.syslog.level": ("log.syslog_level", str),
    "log.syslog.formatter": ("log.syslog_format", str),
    "log.syslog.host": ("log.syslog_host", str),
    "log.syslog.ip": ("log.syslog_host", str),
    "log.syslog.port": ("log.syslog_port", integer),
    "log.syslog.transport": ("log.syslog_transport", lambda text: "tls" if text == "ssl" else text),
    "log.syslog.protocol": ("log.syslog_protocol", str),
    "log.syslog.identity": ("log.syslog_identity", str),
    "log.syslog.facility": ("log.syslog_facility", str),
    "log.syslog.multiline_mode": ("log.syslog_multiline", boolean),
    "log.syslog.ssl_options.cacertfile": ("log.syslog_cacertfile", str),
    "log.syslog.ssl_options.certfile": ("log.syslog_certfile", str),
    "log.syslog.ssl_options.keyfile": ("log.syslog_keyfile", str),
    "log.syslog.ssl_options.verify": ("log.syslog_verify", str),
    "log.journald": ("log.journald", boolean),
    "log.journald.level": ("log.journald_level", str),
    "log.journald.fields": ("log.journald_fields", str.split),
    "log.exchange": ("log.exchange", boolean),
    "log.exchange.level": ("log.exchange_level", str),
    "log.exchange.formatter": ("log.exchange_format", str),
}
_OUTPUT_LEVELS = tuple(
    f"log.{output}_level" for output in ("console", "file", "exchange", "syslog", "journald")
)


def _logins(rest: dict[str, Line], values: Values) -> None:
    offered = taken(rest, "auth_mechanisms")
    if not offered:
        return
    names = [line.text for _, line in offered]
    line = offered[-1][1]
    values.set("access.mechanisms", names, line.place, line.key)
    for name in sorted(set(names) - _MECHANISMS):  # RabbitMQ says nothing
        values.warnings.append(f"{line.place}: auth_mechanisms: there is no mechanism {name}")


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
    for feature, line in taken(rest, "deprecated_features.permit"):
        values.merge("deprecated_features.permit", {feature: converted(boolean, line)}, line.place, line.key)


def _default_queue_type(rest: dict[str, Line], values: Values) -> None:
    """RabbitMQ starts with a type that it does not know, and has no default then."""
    line = rest.pop("default_queue_type", None)
    if line is None:
        return
    try:
        values.set("amqp.default_queue_type", _queue_type(line.text), line.place, line.key)
    except ValueError as error:
        values.warnings.append(f"{line.place}: {line.key} has no effect: {error}")


def _queue_types(rest: dict[str, Line], values: Values) -> None:
    """`queue_types.TYPE.enabled`."""
    disabled: list[str] = []
    for kind in ("classic", "quorum", "stream"):
        line = rest.pop(f"queue_types.{kind}.enabled", None)
        if line is not None:
            disabled += [] if converted(boolean, line) else [kind]
            values.set("amqp.disabled_queue_types", disabled, line.place, line.key)


def _linger(rest: dict[str, Line], values: Values) -> None:
    """`tcp_listen_options.linger.on` and `.timeout`, in seconds."""
    on = rest.pop("tcp_listen_options.linger.on", None)
    timeout = rest.pop("tcp_listen_options.linger.timeout", None)
    if on is not None and converted(boolean, on):
        values.set("server.linger", converted(integer, timeout) if timeout else 0, on.place, on.key)


def _tags(rest: dict[str, Line], values: Values) -> None:
    for name in ("cluster_tags", "node_tags"):
        for tag, line in taken(rest, name):
            values.merge(f"server.{name}", {tag: line.text}, line.place, line.key)


def _parameter_limits(rest: dict[str, Line], values: Values) -> None:
    for component, line in taken(rest, "runtime_parameters.limits"):
        values.merge("limits.parameters", {component: converted(integer, line)}, line.place, line.key)


def _statistics(rest: dict[str, Line], values: Values) -> None:
    """`management.disable_stats` and its other name: what clients ask for with disable_stats=true, for all."""
    for key in ("management.disable_stats", "management_agent.disable_metrics_collector"):
        line = rest.pop(key, None)
        if line is not None and converted(boolean, line):
            permit = {"management_metrics_collection": False}
            values.merge("deprecated_features.permit", permit, line.place, line.key)


def _origins(rest: dict[str, Line], values: Values) -> None:
    entries = taken(rest, "management.cors.allow_origins")
    if entries:
        origins = [line.text for _, line in entries]
        values.set("management.cors_allow_origins", origins, entries[-1][1].place, entries[-1][1].key)
    none = rest.pop("management.cors.allow_origins", None)
    if none is not None:
        converted(one_of("none"), none)
        values.set("management.cors_allow_origins", [], none.place, none.key)


def _vhost_defaults(rest: dict[str, Line], values: Values) -> None:
    for setting, prefix in _VHOST_DEFAULTS.items():
        for key in [key for key in rest if key.startswith(f"{prefix}.")]:
            name, *field = words_of(key.removeprefix(f"{prefix}."))
            mapping = schema().find(key)
            if mapping is None or len(field) != 1:
                continue  # settings of classic queues that had mirrors
            line = rest.pop(key)
            value = convert(mapping.types, line.text)
            before = values.found.get(setting, ({}, "", ""))[0]
            assert isinstance(before, dict)
            entry = {**before.get(name, {}), field[0]: value}
            values.merge(setting, {name: entry}, line.place, key)


_VHOST_DEFAULTS = {
    "vhost_defaults.users": "default_users",
    "vhost_defaults.limits": "default_limits.vhosts",
    "vhost_defaults.operator_policies": "default_policies.operator",
}


def known_keys() -> list[str]:
    """Return the keys that have an effect; `$` stands for any word."""
    groups = (
        "listeners.tcp listeners.tcp.$NAME default_queue_type loopback_users loopback_users.$USER "
        "default_user_tags.$TAG default_permissions.configure default_permissions.write "
        "default_permissions.read "
        "vm_memory_high_watermark.relative vm_memory_high_watermark.absolute disk_free_limit.relative "
        "disk_free_limit.absolute auth_mechanisms.$NAME deprecated_features.permit.$NAME "
        "management.cors.allow_origins management.cors.allow_origins.$NAME "
        "load_definitions definitions.local.path definitions.import_backend management.load_definitions "
        "log.console.formatter. log.file.formatter. log.exchange.formatter. log.syslog.formatter. "
        "default_users.$NAME.$FIELD default_limits.vhosts.$ID.$FIELD default_policies.operator.$ID.$FIELD "
        "queue_types.$TYPE.enabled cluster_tags.$TAG node_tags.$TAG tcp_listen_options.linger.on "
        "runtime_parameters.limits.$CATEGORY "
        "tcp_listen_options.linger.timeout management.disable_stats management_agent.disable_metrics_collector "
        "log.default.level log.connection.level log.channel.level log.queue.level prometheus.tcp.listener"
    )
    return [
        *_SIMPLE,
        *_LOG,
        *groups.split(),
        *rabbitmq_conf_tls.known_keys(),
        *rabbitmq_conf_auth.known_keys(),
        *rabbitmq_conf_page.known_keys(),
    ]
