"""The checks that RabbitMQ makes of all lines before it starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from leveret.cuttlefish.datatypes import Converted, convert
from leveret.cuttlefish.rules import VALIDATORS, translations
from leveret.cuttlefish.schema import Mapping as Setting
from leveret.cuttlefish.schema import Schema
from leveret.cuttlefish.syntax import Line
from leveret.settings import ConfigError

#: Data type -> how it is written, for the allowed values of an error.
_WRITTEN = {
    "integer": "an integer",
    "byte": "an integer from 0 to 255",
    "float": "a number with a decimal point",
    "boolean": "true or false",
    "flag": "on or off",
    "ip": "an IP address and a port, 127.0.0.1:5672",
    "bytesize": "a number of bytes, with KB, MB or GB or without",
    "duration": "a time with units, 1h30m or 500ms",
}


def check(lines: Mapping[str, Line], known: Schema) -> tuple[dict[str, Converted], list[ConfigError]]:
    """Return the values of all lines that are right one by one, and all problems in the order of the lines."""
    values: dict[str, Converted] = {}
    problems: list[ConfigError] = []
    for key, line in lines.items():
        try:
            values[key] = _checked(line, known)
        except ConfigError as error:
            problems.append(error)
    problems += [ConfigError(lines[key].place, key, problem) for key, problem in translations(values)]
    return values, problems


def _checked(line: Line, known: Schema) -> Converted:
    setting = known.find(line.key)
    if setting is None:
        problem = f"Conf file attempted to set unknown variable: {line.key}"
        raise ConfigError(line.place, line.key, problem, ", ".join(known.alike(line.key)))
    try:
        value = convert(setting.types, line.text)
    except ValueError as error:
        raise ConfigError(line.place, line.key, str(error), allowed(setting)) from None
    for description in _violated(setting, value):
        raise ConfigError(line.place, line.key, f"{line.key} invalid, {description}")
    return value


def _violated(setting: Setting, value: Converted) -> Iterator[str]:
    if not setting.fuzzy:
        for name in setting.validators:
            description, holds = VALIDATORS[name]
            if not holds(value):
                yield description


def allowed(setting: Setting) -> str:
    """Return the values that a key takes, in words."""
    return " or ".join(_words(one) for one in setting.types)


def _words(one: str) -> str:
    name, _, argument = one.partition(":")
    if name in ("enum", "atom") and argument:
        return " or ".join(argument.split(","))
    if name == "integer" and argument:
        least, _, most = argument.partition("..")
        return f"an integer from {least}" + (f" to {most}" if most else "")
    if name == "float" and argument:
        least, _, most = argument.partition("..")
        return f"a number between {least} and {most}, with a decimal point"
    return _WRITTEN.get(name, "a text")
