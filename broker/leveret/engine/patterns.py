"""Regular expressions as RabbitMQ uses them: Erlang's `re`, which is PCRE2, on the UTF-8 bytes of names.

Permissions, topic permissions and policies are matched by `re:run(Name, Pattern, [{capture, none}])`: without the
option `unicode`, so `.` is one byte and `\\w` is ASCII. Errors have the texts and offsets of PCRE2 (RabbitMQ 4.3.6) or
PCRE (4.0.5, 3.10.8).

A match is limited, because all clients share one thread: as in `re:run`, a match that reaches the limit counts as no
match. Most patterns are plain text (`literal_patterns.py`); PCRE2 (`pcre2_code.py`) is imported for the others.
"""

from __future__ import annotations

import importlib
import logging
import re
from functools import lru_cache

from leveret.engine.literal_patterns import literal_pattern
from leveret.engine.pcre2_code import CHEAP_STEPS, MAX_STEPS, Code, CompileError, MatchLimitError

#: Length of a pattern that is plain text, or a list of texts, bytes.
MAX_LITERAL_BYTES = 32_768

#: Compiled patterns that are cached.
MAX_PATTERNS = 1024

#: Matches of one operation on many names that may take `MAX_STEPS`; further ones end at `CHEAP_STEPS`.
OPERATION_LONG_MATCHES = 100

#: The same for the policies that one of these names is compared with, and for the bytes below.
OBJECT_LONG_MATCHES = 10
OBJECT_BYTES = 25_000_000

#: Maximum sum of (bytes of the name) * (bytes of the pattern) for all names of an operation: one step can scan the
#: whole pattern, and each byte of the name is a starting point.
OPERATION_BYTES = 1_000_000_000

log = logging.getLogger("leveret")

#: PCRE2's error text -> the text of PCRE, and the difference of the offset in bytes.
_BEFORE: dict[str, tuple[str, int]] = {
    "quantifier does not follow a repeatable item": ("nothing to repeat", -1),
    "missing closing parenthesis": ("missing )", 0),
    "unmatched closing parenthesis": ("unmatched parentheses", -1),
    "range out of order in character class": ("range out of order in character class", -1),
    "invalid range in character class": ("invalid range in character class", -1),
    "character code point value in \\x{} or \\o{} is too large": (
        "character value in \\x{} or \\o{} is too large",
        0,
    ),
    "PCRE2 does not support \\F, \\L, \\l, \\N{name}, \\U, or \\u": (
        "PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u",
        -1,
    ),
    "two named subpatterns have the same name (PCRE2_DUPNAMES not set)": (
        "two named subpatterns have the same name",
        -1,
    ),
    "subpattern name must start with a non-digit": ("group name must start with a non-digit", -1),
    "syntax error in subpattern name (missing terminator?)": (
        "syntax error in subpattern name (missing terminator)",
        0,
    ),
    "unrecognized character after (? or (?-": ("unrecognized character after (? or (?-", -1),
}

_UNKNOWN_CLASS = "unknown POSIX class name"
_COLLATING = "POSIX collating elements are not supported"
_LOOKBEHIND = "length of lookbehind assertion is not limited"
_NO_SUBPATTERN = "reference to non-existent subpattern"
_NO_NAME = "subpattern name expected"
_SETTING = "unrecognized character after (? or (?-"


class PatternError(ValueError):
    """A regular expression that does not compile.

    `pattern`: as given. `reason`: PCRE2's text. `position`: offset in bytes. `before`: reason and position of PCRE,
    which Erlang used up to OTP 27.
    """

    def __init__(
        self, pattern: str, reason: str, position: int, before: tuple[str, int] | None = None
    ) -> None:
        super().__init__(f"invalid regular expression {pattern!r}: {reason} at {position}")
        self.pattern = pattern
        self.reason = reason
        self.position = position
        self.before = before or (reason, position)

    def text_of(self, pcre2: bool) -> tuple[str, int]:
        """Return reason and position of PCRE2, or of PCRE."""
        return (self.reason, self.position) if pcre2 else self.before


class PatternTooLongError(PatternError):
    """A regular expression that is longer than RabbitMQ takes it."""

    def __init__(self, pattern: str) -> None:
        super().__init__(pattern, "pattern_too_long", 0)


class Budget:
    """The remaining limits of one operation on many names."""

    __slots__ = ("_bytes", "_long_matches", "_object_bytes", "_object_long_matches")

    def __init__(
        self, long_matches: int = OPERATION_LONG_MATCHES, scanned_bytes: int = OPERATION_BYTES
    ) -> None:
        self._long_matches = long_matches
        self._bytes = scanned_bytes
        self._object_long_matches = long_matches
        self._object_bytes = scanned_bytes

    def begin_object(self) -> None:
        """One name is compared with many patterns, in one turn of the event loop."""
        self._object_long_matches, self._object_bytes = OBJECT_LONG_MATCHES, OBJECT_BYTES

    def take_long_match(self) -> bool:
        """Count a match that may take `MAX_STEPS`. Returns False if the limit is reached."""
        self._long_matches -= 1
        self._object_long_matches -= 1
        return self._long_matches >= 0 and self._object_long_matches >= 0

    def take_bytes(self, count: int) -> bool:
        """Count bytes. Returns False if the limit is reached."""
        self._bytes -= count
        self._object_bytes -= count
        return self._bytes >= 0 and self._object_bytes >= 0


class Pattern:
    """A compiled regular expression.

    `stopped`: matches that ended at a limit. A pattern that once reached `MAX_STEPS` gets only `CHEAP_STEPS`
    afterwards, so that it cannot slow down the broker repeatedly.
    """

    __slots__ = ("_bytes", "_caseless", "_code", "_literal", "exhausted", "stopped", "text")

    def __init__(self, text: str, caseless: bool = False) -> None:
        """Compile a pattern. Raises `PatternError`."""
        self.text = text
        self.exhausted = False
        self.stopped = 0
        self._caseless = caseless
        self._bytes = text.encode("utf-8", "surrogateescape")
        if len(self._bytes) > MAX_LITERAL_BYTES:
            raise PatternError(text, "regular expression is too large", 0)
        self._literal = literal_pattern(self._bytes.lower() if caseless else self._bytes)
        self._code = None if self._literal is not None else self._compiled()

    def search(self, name: bytes, budget: Budget | None = None) -> bool:
        """Return whether it matches anywhere in the name; False if a limit is reached. `budget`: of the operation."""
        if self._literal is not None and b"\n" not in name:
            return self._literal.matches(name.lower() if self._caseless else name)
        if budget is not None and not budget.take_bytes((len(name) + 1) * len(self._bytes)):
            return self._stop()
        if self._code is None:
            self._code = self._compiled()
        try:
            return self._code.search(name, CHEAP_STEPS)
        except MatchLimitError:
            return self._search_longer(self._code, name, budget)

    def _search_longer(self, code: Code, name: bytes, budget: Budget | None) -> bool:
        if self.exhausted or (budget is not None and not budget.take_long_match()):
            return self._stop()
        try:
            return code.search(name, MAX_STEPS)
        except MatchLimitError:
            self.exhausted = True
            return self._stop()

    def _stop(self) -> bool:
        """Count a match that was stopped, and log the first one of the pattern."""
        if not self.stopped:
            log.warning(
                "regular expression %.200r takes too many steps to match; where it does, it counts as not matching",
                self.text,
            )
        self.stopped += 1
        return False

    def _compiled(self) -> Code:
        try:
            return Code(self._bytes, self._caseless)
        except CompileError as error:
            before = _before(self._bytes, error.reason, error.position)
            raise PatternError(self.text, error.reason, error.position, before) from None


def check_pattern(text: str, most: int | None) -> None:
    """Check a regular expression that a client gives. `most`: its octets, None for no limit. Raises `PatternError`."""
    if most is not None and len(text.encode("utf-8", "surrogateescape")) > most:
        raise PatternTooLongError(text)
    compile_pattern(text)


def load() -> None:
    """Import PCRE2, which takes several milliseconds; in any thread, before the event loop needs it for a pattern."""
    importlib.import_module("pcre2._cy")


@lru_cache(maxsize=MAX_PATTERNS)
def compile_pattern(text: str, caseless: bool = False) -> Pattern:
    """Return the compiled pattern; its `search` takes the UTF-8 bytes of a name. Raises `PatternError`."""
    return Pattern(text, caseless)


def _before(pattern: bytes, reason: str, position: int) -> tuple[str, int]:
    """Return PCRE's reason and position for an error of PCRE2."""
    if reason == "missing closing parenthesis" and pattern.endswith(b"(?"):
        return _SETTING, position
    if reason == _UNKNOWN_CLASS:
        return reason, pattern.rfind(b"[:", 0, position) + 2
    if reason == _COLLATING:
        return reason, pattern.rfind(b"[", 0, position)
    if reason == _LOOKBEHIND:
        return "lookbehind assertion is not fixed length", pattern.find(b")", position)
    if reason == _NO_SUBPATTERN and pattern[max(position - 1, 0) : position] in (
        b"<",
        b"'",
        b"{",
        b">",
        b"=",
    ):
        name = re.compile(rb"\w*").match(pattern, position)
        return reason, position if name is None else name.end()
    if reason == _NO_NAME and position < len(pattern):
        return "unrecognized character after (?<", position
    if reason == _NO_NAME:
        return "syntax error in subpattern name (missing terminator)", position
    words, further = _BEFORE.get(reason, (reason, 0))
    return words, position + further
