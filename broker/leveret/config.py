"""Settings from five sources.

The command line overrides the environment, that overrides rabbitmq.conf, that config.toml, and that the defaults
(`settings`). An unknown key or a wrong value is a `ConfigError`. A key that RabbitMQ knows and this broker does not use
is a warning in `Settings.warnings`, or an error if ignoring it would be unsafe. No key is ignored silently.
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
    """Read all sources. Raises `ConfigError`.

    `path`: config.toml; None for the file that LEVERET_CONFIG names, if any. `overrides`: the command line,
    `section.field` -> value or text. `environ`: the environment; None for that of the process.
    """
    environ = os.environ if environ is None else environ
    path = path or environ.get("LEVERET_CONFIG") or None
    values = Values()
    if path is not None:
        values.update(read_toml(Path(path)))
    if any(name.startswith(("RABBITMQ_", "LEVERET_")) for name in environ):
        from leveret import environment  # imported only if it is needed

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
    """Return the settings of a config.toml. Raises `ConfigError`."""
    import tomllib  # imported only if it is needed

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
    """Return whether a list with one item may be written without brackets."""
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
