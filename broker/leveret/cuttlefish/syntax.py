"""The syntax of rabbitmq.conf, as cuttlefish's parser takes it.

A line is `key = value`, `include path`, a comment, or empty. A value in single quotes can contain `#` and line ends,
one in three single quotes also single quotes. A byte order mark before the first line is skipped.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from leveret.settings import ConfigError, raise_all

_WORD = r"(?:\\\.|[A-Za-z0-9_-])+"
_COMMENT = r"[ \t]*\#(?:(?!\r?\n).)*"
_LINE = re.compile(
    rf"""
    (?:
      [ \t]* (?P<key>{_WORD}(?:\.{_WORD})*) [ \t]* = [ \t]*+
      (?: '''(?P<lines>.*?)''' | (?!''') '(?P<quoted>[^']*)' | (?!'[^']*') (?P<plain>(?:(?![ \t]*\r?\n|{_COMMENT}).)+) )
      [ \t]* (?:{_COMMENT})?
    | [ \t]* include [ \t]+ (?P<include>[A-Za-z0-9\-_.*/]+) (?:{_COMMENT})?
    | {_COMMENT}
    | [ \t]+
    )
    (?: \r?\n | \Z )
    | \r?\n
    """,
    re.VERBOSE | re.DOTALL,
)
_SUBSTITUTION = re.compile(r"\$\(([^)]*)\)")
_FILE = re.compile(r"\$\(<(.+)\)")


class Line(NamedTuple):
    """One setting. `key`: its words, joined by dots. `place`: file and line number."""

    key: str
    text: str
    place: str


def parse(path: Path, within: tuple[Path, ...] = ()) -> list[Line]:
    """Return the lines of one file and of the files that it includes. `within`: the files that include it. Raises
    `ConfigError`."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "", f"is not UTF-8: {error}") from None
    except OSError as error:
        raise ConfigError(str(path), "", f"cannot be read: {error.strerror}") from None
    lines: list[Line] = []
    for match, number in _matches(text, path):
        place = f"{path}:{number}"
        if match["include"]:
            lines += _included(path, match["include"], place, (*within, path.resolve()))
        elif match["key"]:
            lines.append(Line(match["key"], _value(match, path, place), place))
    return lines


def _matches(text: str, path: Path) -> Iterator[tuple[re.Match[str], int]]:
    """Yield each line that is no error with its number. Raises `ConfigError` at the first that is one."""
    position, number = 0, 1
    while position < len(text):
        match = _LINE.match(text, position)
        if match is None:
            problem = f"Syntax error in {path} after line {number} column 1, parsing incomplete"
            raise ConfigError(f"{path}:{number}", "", problem, "key = value, include path, # comment")
        yield match, number
        number += text.count("\n", position, match.end())
        position = match.end()


def _value(match: re.Match[str], path: Path, place: str) -> str:
    if match["lines"] is not None:
        value = match["lines"].strip("'\r\n")
    elif match["quoted"] is not None:
        value = match["quoted"]
    else:
        value = match["plain"]
    named = _FILE.fullmatch(value)
    if named is None:
        return value
    file = path.parent / named[1].strip()
    try:
        return re.sub(r"[\r\n]\Z", "", file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(place, match["key"], f"{file} cannot be read: {error}") from None


def _included(path: Path, named: str, place: str, including: tuple[Path, ...]) -> list[Line]:
    lines: list[Line] = []
    for included in map(Path, sorted(glob.glob(str(path.parent / named), include_hidden=True))):
        if included.resolve() in including:  # RabbitMQ reads on until it is out of memory
            raise ConfigError(place, "", f"{included} includes itself")
        lines += parse(included, including)
    return lines


def substituted(
    lines: Mapping[str, Line], renamed: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, Line]:
    """Return the same lines with every `$(name)` replaced by another key's value or a variable of the environment.

    `renamed`: old keys, which cannot be named, -> new keys. Raises `ConfigError` with all problems.
    """
    done: dict[str, Line] = {}
    problems: list[ConfigError] = []
    for key, line in lines.items():
        try:
            done[key] = line._replace(text=_replaced(line, line, (key,), lines, renamed, environ))
        except ConfigError as error:
            problems.append(error)
    raise_all(problems)
    return done


def _replaced(
    line: Line,
    asked: Line,
    within: tuple[str, ...],
    lines: Mapping[str, Line],
    renamed: Mapping[str, str],
    environ: Mapping[str, str],
) -> str:
    """Return the value of a line. `asked`: the line of the setting that needs it, `within`: the keys between."""

    def replacement(match: re.Match[str]) -> str:
        name = match[1].strip(" ")
        if name in within:
            raise ConfigError(asked.place, asked.key, f"Circular RHS substitutions: {[*within, name]}")
        if name in lines:
            return _replaced(lines[name], asked, (*within, name), lines, renamed, environ)
        if name in environ:
            return environ[name]
        problem = f"'{line.key}' substitution requires a config variable '{name}' to be set"
        if name in renamed:
            problem = f"'{line.key}' substitution references '{name}', which is a deprecated alias for "
            problem += f"'{renamed[name]}'"
        raise ConfigError(asked.place, asked.key, problem)

    return _SUBSTITUTION.sub(replacement, line.text)
