"""Configuration in Erlang terms: `advanced.config`, an old `rabbitmq.config`, and `-rabbit KEY VALUE` arguments.

The variables of RabbitMQ's applications become lines of rabbitmq.conf wherever its schema has a key for them, so that
both have one meaning. RabbitMQ neither checks nor uses what it does not know here, so that is a warning. A value that
is not understood is an error if others could get in, or the users that there must be would be missing: passwords, TLS,
backends, listeners, definitions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from leveret.cuttlefish.checks import check
from leveret.cuttlefish.schema import schema
from leveret.cuttlefish.syntax import Line
from leveret.erlang_config_oauth2 import OAUTH2
from leveret.erlang_terms import Atom, Term, TermError, parse, parse_file
from leveret.settings import ConfigError


class Found(NamedTuple):
    """Lines of rabbitmq.conf. `replaced`: keys and prefixes of keys whose lines in the files they replace."""

    lines: dict[str, Line]
    replaced: set[str]
    warnings: list[str]


def read(path: Path) -> Found:
    """Return what a file says. Raises `ConfigError` if it is not one list of Erlang terms."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", f"cannot be read: {error}") from None
    try:
        config = parse_file(text)
    except TermError as error:
        raise ConfigError(
            f"{path}:{error.line}", "", f"is not an Erlang term: {error}", "[{rabbit, [...]}]."
        ) from None
    if not isinstance(config, list):
        raise ConfigError(str(path), "", "is not a list of applications", "[{rabbit, [...]}].")
    return interpret(_variables(config, str(path)), str(path))


def _variables(config: list[Term], place: str) -> Iterator[tuple[str, str, Term]]:
    """Yield application, variable and value. Raises `ConfigError` for what is not such a list."""
    for entry in config:
        match entry:
            case (Atom() as application, list() as variables):
                for variable in variables:
                    match variable:
                        case (Atom() as name, value):
                            yield application, name, value
                        case Atom() as name:  # as in a property list
                            yield application, name, Atom("true")
                        case _:
                            raise ConfigError(
                                place, application, f"not a variable: {variable!r}", "{name, value}"
                            )
            case str() if not isinstance(
                entry, Atom
            ):  # a file to include, as Erlang allows: "/etc/other.config"
                raise ConfigError(place, "", "other files cannot be included", "{application, [...]}")
            case _:
                raise ConfigError(place, "", f"not an application: {entry!r}", "{application, [...]}")


def interpret(variables: Iterable[tuple[str, str, Term]], place: str) -> Found:
    """Return the lines for variables of applications. `place`: where they come from. Raises `ConfigError`."""
    found = Found({}, set(), [])
    for application, name, value in variables:
        target = f"{application}.{name}"
        lines = {key: Line(key, text, place) for key, text in _pairs(target, value)}
        right, problems = check({key: line for key, line in lines.items() if not _unchecked(key)}, schema())
        _refuse_misunderstood(lines, problems, place)
        kept = {key: line for key, line in lines.items() if key in right or _unchecked(key)}
        found.lines.update(kept)
        found.replaced.update(_REPLACED.get(target, kept))
        if not kept:
            found.warnings.append(f"{place}: {target} has no effect here")
        found.warnings.extend(
            f"{place}: {key} has no effect here" for key in lines if kept and key not in kept
        )
    return found


def arguments(text: str, place: str) -> Found:
    """Return the lines for `-rabbit KEY VALUE KEY VALUE` on Erlang's command line; other arguments are warnings."""
    variables: list[tuple[str, str, Term]] = []
    warnings: list[str] = []
    for group in re.split(r"(?:^|\s)(?=[-+][a-zA-Z])", text):
        words = _words(group)
        if not words:
            continue
        if words[0].startswith("-rabbit") and len(words) % 2 and len(words) > 1:
            for name, value in zip(words[1::2], words[2::2], strict=True):
                variables.append((words[0][1:], name, _argument(value)))
        else:
            warnings.append(f"{place}: {group.strip()} has no effect: Leveret does not use Erlang")
    found = interpret(variables, place)
    found.warnings.extend(warnings)
    return found


def _words(text: str) -> list[str]:
    """Split at spaces outside of brackets and quotes."""
    return re.findall(r"""(?:\[.*\](?=\s|$)|\{.*\}(?=\s|$)|<<.*?>>|'[^']*'|"[^"]*"|\S)+""", text)


def _argument(word: str) -> Term:
    """Return the term of a word. A shell may have taken the quotes away, or kept them with a backslash."""
    for text in (word.strip("'"), word.replace('\\"', '"'), word.strip("'\"")):
        try:
            return parse(text)
        except TermError:
            continue
    return word


# --- values as text


def _text(value: Term) -> str:
    """Return a scalar as it is written in rabbitmq.conf. Raises `TypeError` for another term."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    return str(value)


def _pairs(target: str, value: Term) -> Iterator[tuple[str, str]]:
    """Yield key and text for a variable, and for those in a property list; the variable itself for a value that no key
    can have."""
    try:
        yield from list(_converted(target, value))
    except (TypeError, ValueError):
        yield target, ""


def _converted(target: str, value: Term) -> Iterator[tuple[str, str]]:
    special = _SPECIAL.get(target)
    if special is not None:
        yield from special(value)
        return
    prefix = schema().numbered(target) if isinstance(value, list) else ""
    if prefix:
        yield from _numbered(prefix)(value)
        return
    if isinstance(value, list) and value and all(isinstance(item, tuple | Atom) for item in value):
        for item in value:
            name, inner = (item, Atom("true")) if isinstance(item, Atom) else item
            yield from _pairs(f"{target}.{name}", inner)
        return
    setting = schema().by_target(target)
    key = setting.key if setting is not None else target
    match value:
        case (Atom("encrypted"), _):  # refused as in rabbitmq.conf
            yield key, "encrypted:"
        case _:
            yield key, _text(value)


#: What keys and variables begin with whose values must be understood.
_IMPORTANT = (
    *("default_user", "default_pass", "default_vhost", "default_permissions", "default_user_tags", "auth_"),
    *("loopback_users", "listeners.", "ssl_options.", "load_definitions", "definitions.", "ssl_cert_login"),
    *("anonymous_login", "management.listener.", "management.ssl.", "management.load_definitions"),
    *(
        "rabbit.default_",
        "rabbit.auth_",
        "rabbit.loopback_users",
        "rabbit.tcp_listeners",
        "rabbit.ssl_listeners",
    ),
    *("rabbit.ssl_options", "rabbit.load_definitions", "rabbitmq_management.load_definitions"),
    *("rabbitmq_management.ssl", "rabbitmq_management.listener", "rabbitmq_auth_backend_http"),
    *("rabbitmq_auth_backend_oauth2", "rabbitmq_auth_backend_cache"),
)


def _refuse_misunderstood(lines: dict[str, Line], problems: list[ConfigError], place: str) -> None:
    """Raise `ConfigError` for the first important key or variable whose value is not understood."""
    for problem in problems:
        line = lines[problem.key]
        if not problem.key.startswith(_IMPORTANT) or problem.key.endswith(".ciphers"):
            continue
        if schema().find(problem.key) is not None:
            raise ConfigError(place, problem.key, problem.problem, problem.allowed)
        if not line.text and (problem.key in _SPECIAL or schema().has_target(problem.key)):
            raise ConfigError(
                place, problem.key, "the value is not understood", "a value as in rabbitmq.conf"
            )


def _listeners(prefix: str) -> Callable[[Term], Iterator[tuple[str, str]]]:
    def pairs(value: Term) -> Iterator[tuple[str, str]]:
        if not isinstance(value, list):
            raise TypeError
        if not value:
            yield prefix, "none"
        for number, listener in enumerate(value, 1):
            match listener:
                case int():
                    yield f"{prefix}.{number}", str(listener)
                case (str() as address, int() as port):
                    yield f"{prefix}.{number}", f"{address}:{port}"
                case _:
                    raise TypeError

    return pairs


def _set(prefix: str) -> Callable[[Term], Iterator[tuple[str, str]]]:
    """Names of a list as `PREFIX.NAME = true`; `PREFIX = none` for an empty list."""

    def pairs(value: Term) -> Iterator[tuple[str, str]]:
        if not isinstance(value, list):
            raise TypeError
        if not value:
            yield prefix, "none"
        for name in value:
            yield f"{prefix}.{_text(name).replace('.', chr(92) + '.')}", "true"

    return pairs


def _numbered(prefix: str) -> Callable[[Term], Iterator[tuple[str, str]]]:
    """Items of a list as `PREFIX.N = ITEM`; a pair is a backend for authentication and one for authorisation."""

    def pairs(value: Term) -> Iterator[tuple[str, str]]:
        if not isinstance(value, list):
            raise TypeError
        for number, item in enumerate(value, 1):
            match item:
                case (Atom() as authn, Atom() as authz):
                    yield f"{prefix}.{number}.authn", authn
                    yield f"{prefix}.{number}.authz", authz
                case _:
                    yield f"{prefix}.{number}", _text(item)

    return pairs


def _permissions(value: Term) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list) or len(value) != 3:
        raise TypeError
    for kind, pattern in zip(("configure", "write", "read"), value, strict=True):
        yield f"default_permissions.{kind}", _text(pattern)


def _limit(key: str) -> Callable[[Term], Iterator[tuple[str, str]]]:
    def pairs(value: Term) -> Iterator[tuple[str, str]]:
        match value:
            case (Atom("absolute"), amount):
                yield f"{key}.absolute", _text(amount)
            case (Atom("relative" | "mem_relative"), int() | float() as share):
                yield f"{key}.relative", str(float(share))
            case float():
                yield f"{key}.relative", str(value)
            case int() if key == "vm_memory_high_watermark":
                yield f"{key}.relative", str(float(value))
            case _:
                yield f"{key}.absolute", _text(value)

    return pairs


def _cached(value: Term) -> Iterator[tuple[str, str]]:
    """`{cached_backend, rabbit_auth_backend_http}`, or one for authentication and one for authorisation."""
    match value:
        case (Atom() as authn, Atom() as authz):
            yield "auth_cache.cached_backend.authn", authn
            yield "auth_cache.cached_backend.authz", authz
        case _:
            yield "auth_cache.cached_backend", _text(value)


def _linger(value: Term) -> Iterator[tuple[str, str]]:
    match value:
        case (Atom() as on, int() as timeout):
            yield "tcp_listen_options.linger.on", on
            yield "tcp_listen_options.linger.timeout", str(timeout)
        case _:
            raise TypeError


def _features(value: Term) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        raise TypeError
    for name, permitted in value.items():
        yield f"deprecated_features.permit.{name}", _text(permitted)


#: Values of the consumer timeout with which there is none; people write `false`, too.
_NO_TIMEOUT = (Atom("undefined"), Atom("infinity"), Atom("false"))


def _timeout(value: Term) -> Iterator[tuple[str, str]]:
    yield "consumer_timeout", "0" if value in _NO_TIMEOUT else _text(value)


_SPECIAL: dict[str, Callable[[Term], Iterator[tuple[str, str]]]] = {
    "rabbit.tcp_listeners": _listeners("listeners.tcp"),
    "rabbit.ssl_listeners": _listeners("listeners.ssl"),
    "rabbit.loopback_users": _set("loopback_users"),
    "rabbit.default_user_tags": _set("default_user_tags"),
    "rabbit.default_permissions": _permissions,
    "rabbit.auth_backends": _numbered("auth_backends"),
    "rabbit.auth_mechanisms": _numbered("auth_mechanisms"),
    "rabbit.vm_memory_high_watermark": _limit("vm_memory_high_watermark"),
    "rabbit.disk_free_limit": _limit("disk_free_limit"),
    "rabbit.permit_deprecated_features": _features,
    "rabbit.consumer_timeout": _timeout,
    "rabbit.tcp_listen_options.linger": _linger,
    "rabbitmq_auth_backend_cache.cached_backend": _cached,
    "rabbit.channel_max": lambda value: iter([("max_channels_per_connection", _text(value))]),
    "rabbit.connection_max": lambda value: iter([("max_connections", _text(value))]),
    "rabbitmq_management.load_definitions": lambda value: iter([("load_definitions", _text(value))]),
    **OAUTH2,
}

#: Variable -> the keys whose lines it replaces, if these are more than its own.
_REPLACED = {
    "rabbit.tcp_listeners": {"listeners.tcp"},
    "rabbit.ssl_listeners": {"listeners.ssl"},
    "rabbit.loopback_users": {"loopback_users"},
    "rabbit.default_user_tags": {"default_user_tags"},
    "rabbit.auth_backends": {"auth_backends"},
    "rabbit.auth_mechanisms": {"auth_mechanisms"},
    "rabbit.vm_memory_high_watermark": {"vm_memory_high_watermark"},
    "rabbit.disk_free_limit": {"disk_free_limit"},
}


def _unchecked(key: str) -> bool:
    """Return whether a key may have more values here than in rabbitmq.conf: no timeout at all; keys themselves instead
    of files, and URLs without TLS."""
    return key == "consumer_timeout" or key.startswith("auth_oauth2.")
