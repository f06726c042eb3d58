"""Settings from five places.

The command line wins over the environment, that over rabbitmq.conf, that over config.toml, that over the
defaults (`settings`). An unknown key is a `ConfigError`, as a wrong value is. What RabbitMQ knows and this
broker has no use for ends in `Settings.warnings`, or is refused where going on would be unsafe; nothing is
dropped silently.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from leveret.profiles import FEATURES
from leveret.settings import (
    SECTIONS,
    AccessSettings,
    ConfigError,
    Settings,
    Values,
    build,
    field_type,
    to_toml,
)

__all__ = ["AccessSettings", "ConfigError", "Settings", "load", "read_toml", "to_toml"]


def load(
    path: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read everything. Raises `ConfigError`.

    `path`: config.toml, by default what LEVERET_CONFIG names, else none. `overrides`: the command line,
    `section.field` -> value or text. `environ`: the environment, by default the process's own.
    """
    environ = os.environ if environ is None else environ
    path = path or environ.get("LEVERET_CONFIG") or None
    values = Values()
    if path is not None:
        values.update(read_toml(Path(path)))
    if any(name.startswith(("RABBITMQ_", "LEVERET_")) for name in environ):
        from leveret import environment  # not needed by whoever sets nothing there

        values.update(environment.conf_files(environ))
        values.update(environment.read(environ))
    values.update(_overrides(overrides or {}))
    permit, place, key = values.found.get("deprecated_features.permit", ({}, "", ""))
    if isinstance(permit, dict):
        for name in sorted(permit.keys() - FEATURES):
            values.warnings.append(
                f"{place}: {key}: {name} has no effect: Leveret does not have this feature"
            )
    return build(values)


def read_toml(path: Path) -> Values:
    """What a config.toml says. Raises `ConfigError`."""
    import tomllib  # start-up without a file does without it

    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise ConfigError(str(path), "", f"cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), "", f"is not TOML: {error}") from None
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
    """A list of one may be written without the brackets."""
    return isinstance(value, str) and get_args(field_type(name, "", name))[0] == tuple[str, ...]


def _overrides(overrides: Mapping[str, object]) -> Values:
    values = Values()
    for name, value in overrides.items():
        if isinstance(value, str):
            values.set_text(name, value, "command line", name)
        else:
            field_type(name, "command line", name)
            values.set(name, value, "command line", name)
    return values
