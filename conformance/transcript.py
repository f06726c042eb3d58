"""Transcripts: one line for each event; everything that a broker may choose freely is masked.

A line is `a.1 > queue.declare queue='cf.q' durable`: peer, channel, direction, method, arguments. Of sent methods only
what differs from zero, false or empty is shown, of received ones everything. A content follows its method on the same
line: `{properties} 'body'`. Fields of tables have their type letter: `x-delay=I:5`.

Masked are: names that the server generates (numbered in order of appearance, so that equal names stay equal), the
present time, cluster and platform names. `confirms` lines contain the set of settled tags, not how they were batched.
"""

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from conformance import codec

_MASKS = (
    ("amq.gen-#", re.compile(r"amq\.gen-[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])")),
    ("amq.ctag-#", re.compile(r"amq\.ctag-[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])")),
    ("amq.rabbitmq.reply-to.#", re.compile(r"amq\.rabbitmq\.reply-to\.[A-Za-z0-9+/=_-]+\.[A-Za-z0-9+/=_-]+")),
    ("<connection #>", re.compile(r"127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+")),
    ("<pid #>", re.compile(r"<(?:rabbit[\w.]*@[\w.-]+\.)?\d+\.\d+\.\d+>")),
)
_TIME = re.compile(r"(T:|timestamp=)(\d{9,11})(?!\d)")
_MILLISECONDS = re.compile(r"(l:)(\d{13})(?!\d)")
_PORT = re.compile(r"port=l:\d+")
_NODE = re.compile(r"rabbit[\w.]*@[\w.-]+")
_PRESENT_SECONDS = 86400
_LONGEST_BODY = 80


def text(raw: bytes | str) -> str:
    """A string as a Python literal; bytes that are not UTF-8 as a bytes literal."""
    if isinstance(raw, str):
        return repr(raw)
    try:
        return repr(raw.decode())
    except UnicodeDecodeError:
        return repr(raw)


def value(kind: str, content: Any) -> str:
    """A field value without its type letter."""
    if kind == "F":
        return fields(content)
    if kind == "A":
        return "[" + ", ".join(f"{t.kind}:{value(t.kind, t.value)}" for t in content) + "]"
    if kind in "Sx":
        return text(content)
    if kind == "t":
        return "true" if content else "false"
    return "" if kind == "V" else str(content)


def fields(table: Iterable[codec.Field]) -> str:
    """A decoded table."""
    return "{" + ", ".join(f"{f.name}={f.kind}:{value(f.kind, f.value)}" for f in table) + "}"


def arguments(name: str, given: Mapping[str, Any], sent: bool) -> str:
    """Method arguments, each with a space in front of it."""
    out = []
    for argument, kind in codec.LAYOUTS[name].arguments:
        content = given.get(argument)
        label = argument.rstrip("_")
        if argument == "ticket" or (not content and sent):
            continue
        if kind == "bit":
            out.append(f" {label}" if content else f" {label}=0")
        elif kind == "table":
            decoded = content if isinstance(content, tuple) else _redecoded(content)
            out.append(f" {label}={fields(decoded)}")
        elif kind in ("shortstr", "longstr"):
            out.append(f" {label}={text(content or '')}")
        else:
            out.append(f" {label}={content}")
    return "".join(out)


def _redecoded(table: Any) -> tuple[codec.Field, ...]:
    decoded: tuple[codec.Field, ...] = codec.Reader(codec.table(table)).argument("table")
    return decoded


def content(properties: Mapping[str, Any], body: bytes) -> str:
    """Properties and body of a message."""
    out = []
    for name, kind in codec.PROPERTIES:
        if name not in properties:
            continue
        given = properties[name]
        if kind == "table":
            shown = fields(given if isinstance(given, tuple) else _redecoded(given))
        else:
            shown = text(given) if kind == "shortstr" else str(given)
        out.append(f"{name}={shown}")
    return "{" + ", ".join(out) + "} " + shortened(body)


def shortened(body: bytes) -> str:
    """A body, or length and digest of a long one."""
    if len(body) <= _LONGEST_BODY:
        return text(body)
    return f"<{len(body)} bytes, sha1 {hashlib.sha1(body).hexdigest()[:12]}>"


def tags(numbers: Iterable[int]) -> str:
    """Delivery tags as ranges: `1-3, 5`."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def masked(lines: list[str]) -> list[str]:
    """Mask everything that a broker may choose."""
    seen: dict[str, dict[str, str]] = {prefix: {} for prefix, _ in _MASKS}
    now = time.time()

    def present(match: re.Match[str]) -> str:
        moment = int(match[2]) if len(match[2]) < 13 else int(match[2]) // 1000
        return f"{match[1]}<now>" if abs(moment - now) < _PRESENT_SECONDS else match[0]

    out = []
    for line in lines:
        for prefix, pattern in _MASKS:
            known = seen[prefix]

            def numbered(match: re.Match[str], prefix: str = prefix, known: dict[str, str] = known) -> str:
                return known.setdefault(match[0], prefix.replace("#", f"#{len(known) + 1}"))

            line = pattern.sub(numbered, line)
        line = _MILLISECONDS.sub(present, _TIME.sub(present, line))
        out.append(_NODE.sub("<node>", _PORT.sub("port=l:<port>", line)))
    return out
