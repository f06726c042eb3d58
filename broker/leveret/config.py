"""Settings from five sources.

The command line overrides the environment, that overrides rabbitmq.conf, that config.toml, and that the defaults
(`settings`). An unknown key or a wrong value is a `ConfigError`. A key that RabbitMQ knows and this broker does not use
is a warning in `Settings.warnings`, or an error if ignoring it would be unsafe. No key is ignored silently.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

import msgspec

from leveret.profiles import FEATURES, is_older, stand_in
from leveret.settings import (
    SECTIONS,
    AccessSettings,
    ConfigError,
    ConfigErrors,
    Settings,
    Values,
    build,
    field_type,
    raise_all,
    to_toml,
)

__all__ = ["AccessSettings", "ConfigError", "Settings", "load", "read_toml", "to_toml"]


def load(
    path: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    overridden_by: str = "command line",
) -> Settings:
    """Read all sources. Raises `ConfigError`.

    `path`: config.toml; None for the file that LEVERET_CONFIG names, if any. `overrides`: the command line,
    `section.field` -> value or text; `overridden_by` is what messages call it. `environ`: the environment; None for
    that of the process.
    """
    environ = os.environ if environ is None else environ
    path = path or environ.get("LEVERET_CONFIG") or None
    overrides = overrides or {}
    values = Values()
    problems: list[ConfigError] = []

    def add(source: Callable[[], Values]) -> None:
        try:
            values.update(source())
        except ConfigError as error:
            problems.extend(error.errors if isinstance(error, ConfigErrors) else (error,))

    if path is not None:
        add(lambda: read_toml(Path(path)))
    if any(name.startswith(("RABBITMQ_", "LEVERET_")) for name in environ):
        from leveret import environment  # imported only if it is needed

        environ, warnings = environment.completed(environ)
        values.warnings += warnings
        older = is_older(_version(values, environ, overrides))
        add(lambda: environment.conf_files(environ, older=older))
        listening = values.found.get("server.port", ((), "", ""))[2].startswith("listeners.tcp")
        add(lambda: environment.read(environ, listening=listening))
    add(lambda: _overrides(overrides, overridden_by))
    _serve_http_everywhere(values)
    permit, place, key = values.found.get("deprecated_features.permit", ({}, "", ""))
    if isinstance(permit, dict):
        for name in sorted(permit.keys() - FEATURES):
            values.warnings.append(
                f"{place}: {key}: {name} has no effect: Leveret does not have this feature"
            )
    try:
        settings = build(values)
    except ConfigErrors as error:
        problems += error.errors
    except ConfigError as error:
        problems.append(error)
    raise_all(problems)
    replaced = stand_in(settings.profile.version)
    return (
        msgspec.structs.replace(settings, warnings=(*settings.warnings, replaced)) if replaced else settings
    )


def _serve_http_everywhere(values: Values) -> None:
    """Have the HTTP API and the metrics at all addresses, unless settings name theirs, if those of AMQP come from a
    setting of RabbitMQ: it says nothing about others, while Leveret's `host` is for all."""
    _, place, key = values.found.get("server.host", ((), "", ""))
    if key.startswith(("listeners.tcp.", "RABBITMQ_NODE_IP_ADDRESS")):
        for name in ("server.http_host", "server.prometheus_host"):
            values.found.setdefault(name, (["::"], place, key))


def _version(values: Values, environ: Mapping[str, str], overrides: Mapping[str, object]) -> str:
    """Return the profile that is asked for, before all sources are read: the meaning of rabbitmq.conf depends on it."""
    found = values.found.get("profile.version", ("", "", ""))[0]
    named = overrides.get("profile.version") or environ.get("LEVERET_PROFILE_VERSION")
    return str(named or environ.get("LEVERET_PROFILE") or found)


#: How RabbitMQ's configuration files end.
_RABBITMQ_SUFFIXES = (".conf", ".config")


def read_toml(path: Path) -> Values:
    """Return the settings of a config.toml. Raises `ConfigError`."""
    import tomllib  # imported only if it is needed

    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise ConfigError(str(path), "", f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        hint = " (RABBITMQ_CONFIG_FILE names a rabbitmq.conf)" if path.suffix in _RABBITMQ_SUFFIXES else ""
        raise ConfigError(str(path), "", f"is not TOML: {error}{hint}") from None
    values = Values()
    values.sources.append(str(path))
    for section, table in tables.items():
        if section not in SECTIONS:
            raise ConfigError(str(path), section, "unknown section", ", ".join(SECTIONS))
        if not isinstance(table, dict):
            raise ConfigError(str(path), section, "is a section, not a value", f"[{section}]")
        for field, value in table.items():
            name = f"{section}.{field}"
            field_type(name, str(path), name)
            values.set(name, [value] if _takes_one(name, value) else value, str(path), name)
    return values


def _takes_one(name: str, value: object) -> bool:
    """Return whether a list with one item may be written without brackets."""
    return isinstance(value, str) and get_args(field_type(name, "", name))[0] == tuple[str, ...]


def _overrides(overrides: Mapping[str, object], place: str) -> Values:
    values = Values()
    for name, value in overrides.items():
        if isinstance(value, str):
            values.set_text(name, value, place, name)
        else:
            field_type(name, place, name)
            values.set(name, value, place, name)
    return values
