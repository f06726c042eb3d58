"""cuttlefish's data types: conversion of a value's text, with cuttlefish's words for text that does not fit.

A type is written as in schema.txt: `integer`, `integer:1..65535`, `enum:none`, `atom:infinity`, `duration:ms`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from ipaddress import AddressValueError, IPv6Address

#: What a text becomes. Atoms, strings and binaries are all `str`; a duration is a number of milliseconds.
Converted = bool | int | float | str

#: Milliseconds in cuttlefish's units of time.
_UNITS_MS = {
    "f": 1_209_600_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[fwdhms])")
_BYTESIZE = re.compile(r"([+-]?\d+(?:\.\d+)?)(?:(KB|kb)|(MB|mb)|(GB|gb))?")
_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def convert(types: Iterable[str], text: str) -> Converted:
    """Return the value of the first type that `text` fits. Raises `ValueError`: cuttlefish's words for each type."""
    problems: list[str] = []
    for one in types:
        name, _, argument = one.partition(":")
        try:
            return _CONVERTERS[name](text, argument)
        except ValueError as error:
            problems.append(str(error))
    raise ValueError(", ".join(problems))


def shown(text: str) -> str:
    """Return a text as Erlang prints a string."""
    return f'"{text.translate(_ESCAPES)}"' if text else "[]"


def is_address(text: str) -> bool:
    """Return whether Erlang takes the text as an IP address: IPv6, or IPv4 also in its short forms (`127.1`)."""
    try:
        IPv6Address(text)
    except AddressValueError:
        return _is_ipv4(text)
    return True


def _is_ipv4(text: str) -> bool:
    parts = text.split(".")
    try:
        numbers = [int(part, 16) if part[:2].lower() == "0x" else int(part) for part in parts]
    except ValueError:
        return False
    last = 256 ** (5 - len(numbers))
    return len(numbers) <= 4 and all(0 <= number < 256 for number in numbers[:-1]) and 0 <= numbers[-1] < last


def _refusal(text: str, kind: str) -> ValueError:
    return ValueError(f"{shown(text)} cannot be converted to a(n) {kind}")


def _integer(text: str, bounds: str) -> int:
    if re.fullmatch(r"[+-]?[0-9]+", text) is None:
        raise _refusal(text, "integer")
    number = int(text)
    least, _, most = bounds.partition("..")
    if least and number < int(least):
        raise ValueError(f"{number} is below the minimum allowed value of {least}")
    if most and number > int(most):
        raise ValueError(f"{number} exceeds the maximum allowed value of {most}")
    return number


def _byte(text: str, _: str) -> int:
    return _integer(text, "0..255")


def _float(text: str, bounds: str) -> float:
    if re.fullmatch(r"[+-]?[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?", text) is None:
        raise _refusal(text, "float")
    number = float(text)
    above, _, below = bounds.partition("..")
    if above and number <= int(above):
        raise ValueError(f"{number} must be strictly greater than {above}")
    if below and number >= int(below):
        raise ValueError(f"{number} must be strictly less than {below}")
    return number


def _boolean(text: str, _: str) -> bool:
    if text not in ("true", "false"):
        raise _refusal(text, "boolean")
    return text == "true"


def _enum(text: str, words: str) -> str:
    names = words.split(",")
    if text not in names:
        raise ValueError(
            f"{shown(text)} is not a valid enum value, acceptable values are: {', '.join(names)}"
        )
    return text


def _flag(text: str, _: str) -> bool:
    return _enum(text, "on,off") == "on"


def _text(text: str, _: str) -> str:
    return text


def _atom(text: str, only: str) -> str:
    if only and text != only:
        raise ValueError(f"{shown(text)} is not accepted value: {only}")
    return text


def _tagged(text: str, _: str) -> str:
    """Any text fits the untagged type that follows in all mappings; only the tag that means something is one."""
    if not text.startswith("encrypted:"):
        raise _refusal(text, "tagged binary")
    return text


def _ip(text: str, _: str) -> str:
    address, _, port = text.rpartition(":")
    if not is_address(address) or re.fullmatch(r"\+?[0-9]+", port) is None:
        raise _refusal(text, "IP")
    return text


def _bytesize(text: str, _: str) -> int:
    match = _BYTESIZE.fullmatch(text)
    if match is None:
        raise _refusal(text, "bytesize")  # RabbitMQ ends here without words: cuttlefish crashes
    power = next((power for power in (1, 2, 3) if match[power + 1]), 0)
    return int(float(match[1]) * 1024**power)


def _duration(text: str, _: str) -> int:
    if re.fullmatch(f"(?:{_DURATION.pattern})+", text) is None:
        raise ValueError(f"Invalid duration value: {text}")
    return math.ceil(sum(float(number) * _UNITS_MS[unit] for number, unit in _DURATION.findall(text)))


_CONVERTERS: dict[str, Callable[[str, str], Converted]] = {
    "integer": _integer,
    "byte": _byte,
    "float": _float,
    "boolean": _boolean,
    "enum": _enum,
    "flag": _flag,
    "string": _text,
    "binary": _text,
    "file": _text,
    "list": _text,
    "atom": _atom,
    "tagged_binary": _tagged,
    "tagged_string": _tagged,
    "ip": _ip,
    "bytesize": _bytesize,
    "duration": _duration,
}
