"""Regular expressions compiled by PCRE2, the library of Erlang's `re`, with limits on the cost of a match.

They are compiled without options, as in RabbitMQ: pattern and name are bytes, not UTF-8 characters. The limits are set
inside the pattern (`(*LIMIT_MATCH=...)`). Of several ones PCRE2 takes the last, so those of the client are replaced.

PCRE2 counts steps for each starting point of a search separately. For one limit on the whole search, it is one anchored
match of `(?s:.*?)(?:pattern)`. Patterns that this would change (verbs, recursion into the whole pattern) are searched
unchanged, with the limit divided by the starting points of the longest name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pcre2._cy import PCRE2Code, PCRE2MatchContext

#: Pattern length, bytes. PCRE2 itself stops at 64 KiB of compiled code, which may take a second.
MAX_PATTERN_BYTES = 8192

#: Backtracking steps of one match (RabbitMQ: 10,000,000, which is a second).
MAX_STEPS = 100_000

#: Steps of a match that needs no limit per operation. Nearly all patterns need fewer.
CHEAP_STEPS = 1000

#: Memory of one match, KiB.
MAX_HEAP_KIB = 8192

#: Starting points of a search in the longest name of an object, which has 255 bytes. One step can look at all of it.
_STARTING_POINTS = 256

# Options and errors of pcre2.h.
_CASELESS, _ANCHORED = 0x0000_0008, 0x8000_0000
_ALT_BSUX, _NEVER_BACKSLASH_C = 0x0000_0002, 0x0010_0000  # set by the Python package, unlike Erlang
_UNMATCHED_PARENTHESIS = 122
_LIMITS = (-47, -53, -63)  # PCRE2_ERROR_MATCHLIMIT, _DEPTHLIMIT, _HEAPLIMIT
_RECURSION_LOOP = -52

#: Syntax that changes its meaning inside `(?s:.*?)(?:...)`; it may also be found inside a literal.
_WHOLE = re.compile(rb"\(\*|\(\?[R0]|\\g[<']")

#: What a pattern may begin with, and the limits among it.
_SETTINGS = re.compile(rb"(?:\(\*[^()]*\))+")
_LIMIT = re.compile(rb"\(\*LIMIT_(?:MATCH=(\d+)|HEAP=\d+)\)")

#: Recursion, of which one step copies what the whole match holds.
_RECURSION = re.compile(rb"\(\?(?:R|[+-]?\d|&|P>)|\\g[<']")
_RECURSION_WEIGHT = 32

#: A repeated group: PCRE2 copies its code.
_COPIES = re.compile(rb"\)\{(\d*),?(\d*)\}")


class CompileError(ValueError):
    """PCRE2 refuses the pattern. `position`: offset in bytes."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"{reason} at {position}")
        self.reason = reason
        self.position = position


class MatchLimitError(Exception):
    """A match reached its limit."""


class Code:
    """One compiled pattern. `weight`: maximum cost of one of its steps, compared with a small pattern."""

    __slots__ = ("_codes", "_context", "_error", "_match", "_most", "_options", "_text", "_whole", "weight")

    def __init__(self, pattern: bytes, caseless: bool = False) -> None:
        """Compile a pattern. Raises `CompileError`."""
        from pcre2 import LibraryError
        from pcre2._cy import create_match_context, match, pattern_capture_count

        if len(pattern) > MAX_PATTERN_BYTES:
            raise CompileError("regular expression is too large", 0)
        self._options = _CASELESS if caseless else 0
        plain = _compiled(pattern, self._options)
        pattern, self._most = _without_limits(pattern)
        suffix = None if _WHOLE.search(pattern) else _closable(pattern, self._options)
        self._whole = suffix is not None
        self._text = pattern if suffix is None else b"(?s:.*?)(?:" + pattern + suffix + b")"
        self.weight = 1 + pattern_capture_count(plain) // 2 + _copied_bytes(pattern) // 512
        if _RECURSION.search(pattern):
            self.weight += _RECURSION_WEIGHT
        self._match, self._error = match, LibraryError
        self._context: PCRE2MatchContext = create_match_context()
        self._codes: dict[int, PCRE2Code] = {}

    def search(self, name: bytes, steps: int) -> bool:
        """Return whether the pattern matches anywhere. Raises `MatchLimitError` after that many steps; after fewer in a
        text that is longer than names are."""
        steps >>= (len(name) // _STARTING_POINTS).bit_length()
        code = self._codes.get(steps)
        if code is None:
            limit = steps // self.weight if self._whole else steps // self.weight // _STARTING_POINTS
            code = self._codes[steps] = _compiled(self._text, self._options, max(min(limit, self._most), 1))
        try:
            options = _ANCHORED if self._whole else 0
            return self._match(code, name, len(name), 0, self._context, options)[0] is not None
        except self._error as error:
            if error.code in _LIMITS:
                raise MatchLimitError from None
            if error.code == _RECURSION_LOOP:
                return False
            raise


def _without_limits(pattern: bytes) -> tuple[bytes, int]:
    """Leave out the limits that a pattern begins with, among other settings. Returns its limit of steps, too."""
    settings = _SETTINGS.match(pattern)
    if settings is None:
        return pattern, MAX_STEPS
    limits = [int(digits) for digits in _LIMIT.findall(settings[0]) if digits]
    most = limits[-1] if limits else MAX_STEPS
    return _LIMIT.sub(b"", settings[0]) + pattern[settings.end() :], most


def _compiled(pattern: bytes, options: int, steps: int = 1) -> PCRE2Code:
    """Compile a pattern with a limit. Raises `CompileError`."""
    from pcre2 import PatternError
    from pcre2._cy import compile as compile_code

    limits = b"(*LIMIT_MATCH=%d)(*LIMIT_HEAP=%d)" % (steps, MAX_HEAP_KIB)
    try:
        return compile_code(limits + pattern, options, _ALT_BSUX | _NEVER_BACKSLASH_C)
    except PatternError as error:
        reason = error.msg.partition("; ")[2]
        raise CompileError(reason, max(error.pos - len(limits), 0)) from None


def _closable(pattern: bytes, options: int) -> bytes | None:
    """Return what must be added so that a `)` after the pattern closes a group, because the pattern may end in `\\Q...`
    or a comment; None if that is impossible."""
    for suffix in (b"", b"\\E", b"\n"):
        closed = pattern + suffix + b")"
        try:
            _compiled(closed, options)
        except CompileError as error:
            if error.reason == "unmatched closing parenthesis" and error.position == len(closed):
                return suffix
    return None


def _copied_bytes(pattern: bytes) -> int:
    """Estimate the size of the code, at most the 64 KiB that PCRE2 compiles."""
    size = len(pattern)
    for least, most in _COPIES.findall(pattern):
        size = min(size * max(int(most or least or 1), 1), 65_536)
    return size
