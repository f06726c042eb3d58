"""Regular expressions as RabbitMQ reads them: Erlang's `re`, which is PCRE, searching in UTF-8 bytes.

Permissions, topic permissions and policies are matched by `re:run(Name, Pattern, [{capture, none}])`: without
the `unicode` option, so `.` is one byte and `\\w` is ASCII. Python's `re` on bytes does the same; what PCRE
spells differently (`(?<name>...)`, `a(?i)b`, `\\Q...\\E`, `[[:alpha:]]`, `\\z`, `\\h`, `\\x{41}`) is
respelled here. What Python cannot do at all (recursion, `\\p{L}`, verbs) is refused when the pattern is set,
never matched wrongly. Errors have the words and offsets of PCRE2 (RabbitMQ 4.3.6) and of PCRE (4.0.5, 3.10.8).
"""

from __future__ import annotations

import re

#: PCRE's POSIX classes (pcre2pattern(3)), as the inside of a Python character class.
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\s",
    "upper": "A-Z",
    "word": r"\w",
    "xdigit": "0-9A-Fa-f",
}

#: Escapes that Python lacks: (outside a class, inside a class); None where PCRE has no such thing there.
_ESCAPES: dict[str, tuple[str | None, str | None]] = {
    "z": (r"\Z", None),
    "Z": (r"(?=\n?\Z)", None),
    "G": (r"\A", None),  # where the search began, which is the start
    "K": ("", None),  # moves the start of what matched, which nobody asks for
    "h": (r"[ \t\xa0]", r" \t\xa0"),
    "H": (r"[^ \t\xa0]", None),
    "v": (r"[\n\x0b\f\r\x85]", r"\n\x0b\f\r\x85"),
    "V": (r"[^\n\x0b\f\r\x85]", None),
    "R": (r"(?>\r\n|[\n\x0b\f\r\x85])", None),
    "N": (r"[^\n]", None),
    "e": (r"\x1b", r"\x1b"),
}

_REPEAT = "quantifier does not follow a repeatable item"
_OPEN = "missing closing parenthesis"
_SETTING = "unrecognized character after (? or (?-"
_NOWHERE = "reference to non-existent subpattern"

#: What PCRE says, and how many bytes further than Python it has read (None: to the end).
_Said = tuple[str, int | None]

#: Python's words for a broken pattern -> those of PCRE2 (Erlang/OTP 28 and newer) and of PCRE before it.
_REASONS: tuple[tuple[str, _Said, _Said], ...] = (
    (
        "unterminated character set",
        ("missing terminating ] for character class", None),
        ("missing terminating ] for character class", None),
    ),
    ("missing ), unterminated subpattern", (_OPEN, None), ("missing )", None)),
    ("unexpected end of pattern", (_OPEN, None), (_SETTING, None)),
    ("unbalanced parenthesis", ("unmatched closing parenthesis", 1), ("unmatched parentheses", 0)),
    ("nothing to repeat", (_REPEAT, 1), ("nothing to repeat", 0)),
    ("multiple repeat", (_REPEAT, 1), ("nothing to repeat", 0)),
    ("bad escape (end of pattern)", ("\\ at end of pattern", 1), ("\\ at end of pattern", 1)),
    ("bad escape", ("unrecognized character follows \\", 2), ("unrecognized character follows \\", 2)),
    (
        "bad character range",
        ("range out of order in character class", 3),
        ("range out of order in character class", 2),
    ),
    (
        "min repeat greater than max repeat",
        ("numbers out of order in {} quantifier", 1),
        ("numbers out of order in {} quantifier", 1),
    ),
    ("missing group name", ("subpattern name expected", 0), ("unrecognized character after (?<", 0)),
    ("invalid group reference", (_NOWHERE, 1), (_NOWHERE, 1)),
    ("unknown group name", (_NOWHERE, 0), (_NOWHERE, 1)),
    ("unknown extension", (_SETTING, 2), (_SETTING, 1)),
    (
        "look-behind requires fixed-width pattern",
        ("length of lookbehind assertion is not limited", None),
        ("lookbehind assertion is not fixed length", None),
    ),
)


class PatternError(ValueError):
    """A regular expression that does not compile.

    `pattern`: as given. `reason`: in PCRE2's words where they are known. `position`: bytes into the pattern.
    `before`: reason and position of PCRE, as Erlang had it up to OTP 27.
    """

    def __init__(
        self, pattern: str, reason: str, position: int, before: tuple[str, int] | None = None
    ) -> None:
        super().__init__(f"invalid regular expression {pattern!r}: {reason} at {position}")
        self.pattern = pattern
        self.reason = reason
        self.position = position
        self.before = before or (reason, position)

    def said(self, pcre2: bool) -> tuple[str, int]:
        """Reason and position, as the one library or the other gives them."""
        return (self.reason, self.position) if pcre2 else self.before


def compile_pattern(pattern: str) -> re.Pattern[bytes]:
    """The compiled form, to be used with `search` on the UTF-8 bytes of a name. Raises `PatternError`."""
    try:
        return re.compile(_Respelling(pattern).text.encode("utf-8", "surrogateescape"))
    except re.error as error:
        for theirs, ours, before in _REASONS:
            if error.msg.startswith(theirs):
                said = _placed(pattern, error, *ours)
                raise PatternError(pattern, *said, _placed(pattern, error, *before)) from None
        raise PatternError(pattern, error.msg, error.pos or 0) from None
    except (RecursionError, OverflowError):
        raise PatternError(pattern, "regular expression is too large", len(pattern)) from None


def _placed(pattern: str, error: re.error, reason: str, further: int | None) -> tuple[str, int]:
    """A reason with the place where PCRE noticed."""
    length = len(pattern.encode("utf-8", "surrogateescape"))
    if (
        "lookbehind" in reason
    ):  # Python gives no place; PCRE2 gives the first octet of the assertion, PCRE its last
        found = re.search(r"\(\?<[=!]", pattern)
        start = found.start() if found is not None else 0
        return reason, start if reason.startswith("length") else pattern.find(")", start)
    at = length if further is None or error.pos is None else min(error.pos + further, length)
    if ("quantifier" in reason or "repeat" in reason) and "{" in pattern[max(at - 2, 0) : at]:
        at = pattern.find("}", at) + (reason == _REPEAT)
    return reason, at


class _Respelling:
    """One walk over a pattern in PCRE's spelling; `text` is the same in Python's."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.out: list[str] = []
        #: Per open group, the option settings such as `(?i)` met in it: each is a group of its own in Python.
        self.options: list[list[str]] = [[]]
        while self.at < len(pattern):
            self._step()
        self._emit(")" * len(self.options[-1]) if len(self.options) == 1 else "")
        self.text = "".join(self.out)

    def _emit(self, text: str, consumed: int = 0) -> None:
        self.out.append(text)
        self.at += consumed

    def _step(self) -> None:
        char = self.pattern[self.at]
        if char == "\\":
            self._escape(in_class=False)
        elif char == "[":
            self._class()
        elif char == "(":
            self._group()
        elif char == "|":
            inner = self.options[-1]
            self._emit(")" * len(inner) + "|" + "".join(f"(?{flags}:" for flags in inner), 1)
        elif char == ")":
            closed = self.options.pop() if len(self.options) > 1 else []
            self._emit(")" * len(closed) + ")", 1)
        else:
            self._emit(char, 1)

    def _group(self) -> None:
        """An opening parenthesis, or an option setting, which holds to the end of the group it stands in."""
        setting = re.compile(r"\(\?((?:[imsx]+(?:-[imsx]+)?)|-[imsx]+)\)").match(self.pattern, self.at)
        comment = re.compile(r"\(\?#[^)]*\)").match(self.pattern, self.at)
        if comment is not None:
            self._emit("", len(comment[0]))
        elif setting is not None and not self.out and "-" not in setting[1]:
            self._emit(setting[0], len(setting[0]))  # at the very start both spell it alike
        elif setting is not None:
            self.options[-1].append(setting[1])
            self._emit(f"(?{setting[1]}:", len(setting[0]))
        else:
            self.options.append([])
            named = re.compile(r"\(\?(?:<(?![=!])|')").match(self.pattern, self.at)
            if named is None:
                self._emit("(", 1)
            elif named[0].endswith("<"):
                self._emit("(?P<", 3)
            else:
                self._emit("(?P<", 3)
                name, quote, _ = self.pattern[self.at :].partition("'")
                self._emit(name + (">" if quote else ""), len(name + quote))

    def _class(self) -> None:
        """A character class as a whole. A `]` right after `[` or `[^` stands for itself."""
        head = re.compile(r"\[\^?\]?").match(self.pattern, self.at)
        assert head is not None
        self._emit(head[0].replace("]", r"\]"), len(head[0]))
        while self.at < len(self.pattern):
            char = self.pattern[self.at]
            posix = re.compile(r"\[:(\^?)([a-z]*):\]").match(self.pattern, self.at)
            if posix is not None:
                inside = _POSIX.get(posix[2])
                if inside is None:
                    raise PatternError(
                        self.pattern,
                        "unknown POSIX class name",
                        posix.end(),
                        ("unknown POSIX class name", posix.start() + 2),
                    )
                self._emit(_others(inside) if posix[1] else inside, len(posix[0]))
            elif char == "\\":
                self._escape(in_class=True)
            elif char == "[":
                self._emit(r"\[", 1)
            else:
                # Python warns of `--`, `&&`, `||` and `~~`, which it may give a meaning one day.
                self._emit("\\" + char if char in "&|~" else char, 1)
            if char == "]" and posix is None:
                return

    def _escape(self, in_class: bool) -> None:
        """One escape sequence."""
        rest = self.pattern[self.at :]
        letter = rest[1:2]
        if letter == "Q":
            literal, end, _ = rest[2:].partition("\\E")
            self._emit(re.escape(literal), 2 + len(literal + end))
        elif letter == "E":
            self._emit("", 2)
        elif code := re.match(r"\\x\{([0-9A-Fa-f]{1,2})\}|\\o\{([0-3]?[0-7]{1,2})\}|\\c([ -~])", rest):
            self._emit(f"\\x{_code(code):02x}", len(code[0]))
        elif reference := re.match(r"\\g\{?(\d{1,2})\}?|\\k[<{'](\w+)[>}']", rest):
            self._emit(f"(?:\\{reference[1]})" if reference[1] else f"(?P={reference[2]})", len(reference[0]))
        else:
            text = _ESCAPES.get(letter, (None, None))[1 if in_class else 0]
            self._emit(rest[:2] if text is None else text, len(rest[:2]))


def _others(inside: str) -> str:
    """The inside of a class of every byte that is not in a class with that inside."""
    one = re.compile(f"[{inside}]".encode())
    return "".join(f"\\x{byte:02x}" for byte in range(256) if not one.fullmatch(bytes([byte])))


def _code(match: re.Match[str]) -> int:
    """The byte meant by `\\x{41}`, `\\o{101}` or `\\cA`."""
    if match[1]:
        return int(match[1], 16)
    return int(match[2], 8) if match[2] else ord(match[3].upper()) ^ 64
