"""Options and arguments of a command line, as Elixir's `OptionParser` takes them apart (rabbitmq_cli: parser.ex).

Options may stand anywhere. `--vhost=/` and `--vhost /` are the same, `--no-quiet` is the opposite of `--quiet`, and
`--` ends the options. An unknown option takes no value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from leveret.commands.table import BOOL, INT, STR, Command

#: Options of all commands.
GLOBAL_SWITCHES = {
    "node": STR,
    "quiet": BOOL,
    "silent": BOOL,
    "dry_run": BOOL,
    "vhost": STR,
    "timeout": INT,
    "longnames": BOOL,
    "formatter": STR,
    "printer": STR,
    "file": STR,
    "script_name": STR,
    "rabbitmq_home": STR,
    "data_dir": STR,
    "plugins_dir": STR,
    "enabled_plugins_file": STR,
    "aliases_file": STR,
    "erlang_cookie": STR,
    "help": BOOL,
    "print_stacktrace": BOOL,
}
GLOBAL_ALIASES = {
    "p": "vhost", "n": "node", "q": "quiet", "s": "silent", "l": "longnames", "t": "timeout", "?": "help",
}  # fmt: skip

#: Options that `--formatter table` adds.
TABLE_SWITCHES = {"table_headers": BOOL, "pad_to_header": BOOL}


class Parsed(NamedTuple):
    """A command line. `invalid`: options that are unknown or have a wrong value, with that value."""

    arguments: list[str]
    options: dict[str, object]
    invalid: list[tuple[str, str]]


def parse_for(command: Command, formatter: str, argv: Sequence[str]) -> Parsed:
    """Take a command line apart for a command that uses this formatter."""
    switches = GLOBAL_SWITCHES | command.switches
    if formatter == "table":
        switches = switches | TABLE_SWITCHES
    return parse(argv, switches, GLOBAL_ALIASES | command.aliases)


def parse(argv: Sequence[str], switches: Mapping[str, str], aliases: Mapping[str, str]) -> Parsed:
    """Take a command line apart."""
    return _Parser(argv, switches, aliases).run()


class _Parser:
    def __init__(self, argv: Sequence[str], switches: Mapping[str, str], aliases: Mapping[str, str]) -> None:
        self.rest = list(argv)
        self.switches = switches
        self.aliases = aliases
        self.arguments: list[str] = []
        self.options: dict[str, object] = {}
        self.invalid: list[tuple[str, str]] = []

    def run(self) -> Parsed:
        while self.rest:
            word = self.rest.pop(0)
            if word == "--":
                self.arguments += self.rest
                break
            if word.startswith("--"):
                self._long(word)
            elif len(word) > 1 and word.startswith("-") and not _negative_number(word):
                self._short(word)
            else:
                self.arguments.append(word)
        return Parsed(self.arguments, self.options, self.invalid)

    def _long(self, word: str) -> None:
        name, equals, value = word[2:].partition("=")
        option = name.replace("-", "_")
        negated = False
        if "_" in name:
            option = ""
        elif option not in self.switches and option.startswith("no_"):
            option = option[3:]
            negated = self.switches.get(option) == BOOL
            option = option if negated else ""
        self._take(f"--{name}", option, value if equals else None, negated)

    def _short(self, word: str) -> None:
        name, equals, value = word[1:].partition("=")
        if "-" in name or "_" in name:
            self._take(f"-{name}", "", None, False)
        elif len(name) == 1:
            self._take(f"-{name}", self.aliases.get(name, ""), value if equals else None, False)
        else:
            self.rest[:0] = _letters(name, f"={value}" if equals else "")

    def _take(self, shown: str, option: str, value: str | None, negated: bool) -> None:
        kind = self.switches.get(option, "")
        if not kind:
            self.invalid.append((shown, ""))
            return
        if value is None and kind != BOOL and self._has_value():
            value = self.rest.pop(0)
        found = _value(kind, value)
        if found is None:
            self.invalid.append((shown, value or ""))
        else:
            self.options[option] = (not found) if negated else found

    def _has_value(self) -> bool:
        """Whether the next word is a value rather than an option."""
        if not self.rest:
            return False
        word = self.rest[0]
        return not word.startswith("-") or word == "-" or word.startswith("- ") or _negative_number(word)


def _letters(name: str, value: str) -> list[str]:
    """`-qs` as `-q -s`, `-t5` as `-t=5`."""
    words: list[str] = []
    for letter in name:
        if letter.isdigit() and words:
            words[-1] += letter if "=" in words[-1] else f"={letter}"
        else:
            words.append(f"-{letter}")
    words[-1] += value
    return words


def _value(kind: str, value: str | None) -> object:
    """The value of an option, None if it is wrong."""
    if kind == BOOL:
        return {None: True, "true": True, "false": False}.get(value)
    if value is None or kind == STR:
        return value
    digits = value[1:] if value[:1] in ("-", "+") else value
    return int(value) if digits.isascii() and digits.isdigit() else None


def _negative_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return word.startswith("-") and word[1:2].isdigit()
