"""Regular expressions that are plain text: most patterns need no regular expression engine.

`.*`, `^amq\\.`, `\\.dlq$`, `^(orders|invoices)\\.`, `a|b`, `^(?!amq\\.).*` test for equality, a prefix, a suffix or a
part of the name. Their cost is linear in the length of the name.
"""

from __future__ import annotations

import re

from msgspec import Struct

_TEXT = rb"(?:[^\\^$.\[|()?*+{]|\\[^A-Za-z0-9\x80-\xff])*"
_TEXTS = _TEXT + rb"(?:\|" + _TEXT + rb")*"
_LEAD, _TAIL = rb"(\^?(?:\.\*)?)", rb"((?:\.\*)?\$?)"

_ONE = re.compile(_LEAD + b"(" + _TEXT + b")" + _TAIL)
_GROUP = re.compile(_LEAD + rb"\((?:\?:)?(" + _TEXTS + rb")\)" + _TAIL)
_NOT = re.compile(rb"\^\(\?!(" + _TEXTS + rb")\)(?:\.\*)?\$?")
_ALTERNATIVE = re.compile(rb"(?:[^\\|]|\\.|\\\Z)*", re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


class LiteralPattern(Struct, frozen=True):
    """Matches a name without line ends if one of the texts matches it; `negated`: if none does."""

    equal: frozenset[bytes] = frozenset()
    prefixes: tuple[bytes, ...] = ()
    suffixes: tuple[bytes, ...] = ()
    parts: tuple[bytes, ...] = ()
    negated: bool = False

    def matches(self, name: bytes) -> bool:
        """Return whether the pattern matches. For a name with a line end, `.` and `$` need a regular expression
        engine."""
        found = name.startswith(self.prefixes) or name in self.equal or name.endswith(self.suffixes)
        if not found and self.parts:  # without a generator: thousands of policies are compared with each name
            found = any(part in name for part in self.parts)
        return found is not self.negated


def literal_pattern(pattern: bytes) -> LiteralPattern | None:
    """Return the plain form of a regular expression, or None if it has none."""
    if (refused := _NOT.fullmatch(pattern)) is not None:
        # Without `.*`, a `$` after the assertion requires more than the assertion.
        if pattern.endswith(b")$") and not pattern.endswith(b"\\)$"):
            return None
        return LiteralPattern(prefixes=tuple(_texts(refused[1])), negated=True)
    if (group := _GROUP.fullmatch(pattern)) is not None:
        return _collected([(group[1], text, group[3]) for text in _texts(group[2])])
    alternatives = [_ONE.fullmatch(one) for one in _split(pattern)]
    found = [(one[1], _text(one[2]), one[3]) for one in alternatives if one is not None]
    return _collected(found) if len(found) == len(alternatives) else None


def _collected(alternatives: list[tuple[bytes, bytes, bytes]]) -> LiteralPattern:
    """Combine the tests of several texts, each with what precedes and follows it."""
    sorts: dict[tuple[bool, bool], list[bytes]] = {
        (first, last): [] for first in (False, True) for last in (False, True)
    }
    for lead, text, tail in alternatives:
        sorts[lead == b"^", tail == b"$"].append(text)
    return LiteralPattern(
        equal=frozenset(sorts[True, True]),
        prefixes=tuple(sorts[True, False]),
        suffixes=tuple(sorts[False, True]),
        parts=tuple(sorts[False, False]),
    )


def _texts(alternatives: bytes) -> list[bytes]:
    return [_text(one) for one in _split(alternatives)]


def _text(escaped: bytes) -> bytes:
    return _ESCAPED.sub(rb"\1", escaped)


def _split(pattern: bytes) -> list[bytes]:
    """Split a pattern into its alternatives; an escaped bar does not separate them."""
    parts, at = [], 0
    while (found := _ALTERNATIVE.match(pattern, at)) is not None:
        parts.append(found[0])
        at = found.end() + 1
        if at > len(pattern):
            break
    return parts
