"""All keys of rabbitmq.conf in RabbitMQ 4.3.6: the schemas of the server and of its plugins, from schema.txt.

schema.txt is written by `python -m conformance conf --schema`, from the schemas of an installed RabbitMQ.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple


class Mapping(NamedTuple):
    """One key. `types`: for `datatypes.convert`. `target`: the application's variable in Erlang, `rabbit.heartbeat`."""

    key: str
    types: tuple[str, ...]
    validators: tuple[str, ...]
    target: str

    @property
    def words(self) -> list[str]:
        """The words of the key."""
        return self.key.split(".")

    @property
    def fuzzy(self) -> bool:
        """Whether a word of the key stands for any word: `listeners.tcp.$name`."""
        return "$" in self.key


class Schema:
    """Finds mappings by key and by target. `renamed`: old key -> new key."""

    def __init__(self, text: str) -> None:
        self.renamed: dict[str, str] = {}
        self.exact: dict[str, Mapping] = {}
        self._fuzzy: dict[int, list[tuple[list[str], Mapping]]] = {}
        for line in text.splitlines():
            key, types, validators, target, aliases = line.split("\t")
            mapping = Mapping(key, tuple(types.split("|")), tuple(validators.split()), target)
            if mapping.fuzzy:
                self._fuzzy.setdefault(key.count("."), []).append((mapping.words, mapping))
            else:
                self.exact[key] = mapping
            self.renamed |= dict.fromkeys(aliases.split(), key)

    def find(self, key: str) -> Mapping | None:
        """Return the mapping of a key (its words joined by dots; a dot within a word is `\\.`), or None."""
        if key in self.exact:
            return self.exact[key]
        words = words_of(key)
        for pattern, mapping in self._fuzzy.get(len(words) - 1, ()):
            if all(word == wanted or wanted[0] == "$" for word, wanted in zip(words, pattern, strict=True)):
                return mapping
        return None

    def all(self) -> list[Mapping]:
        """Return all mappings."""
        return [*self.exact.values(), *(mapping for group in self._fuzzy.values() for _, mapping in group)]

    def alike(self, key: str) -> list[str]:
        """Return the three keys most similar to an unknown one, as RabbitMQ proposes them."""
        known = [mapping.key for mapping in self.all()]
        return sorted(known, key=lambda each: (_distance(key, each), each))[:3]

    def by_target(self, target: str) -> Mapping | None:
        """Return the only mapping of a variable of an Erlang application, or None."""
        found = [mapping for mapping in self.exact.values() if mapping.target == target]
        return found[0] if len(found) == 1 else None

    def numbered(self, target: str) -> str:
        """Return the prefix of the keys `PREFIX.$NAME` that list the values of a variable; empty if there are none."""
        for mapping in self.all():
            *prefix, last = mapping.words
            if mapping.target == target and last[0] == "$" and "$" not in ".".join(prefix):
                return ".".join(prefix)
        return ""

    def has_target(self, target: str) -> bool:
        """Return whether there is a key for a variable."""
        return any(mapping.target == target for mapping in self.all())


def words_of(key: str) -> list[str]:
    """Split a key at its dots; `\\.` is a dot within a word."""
    if "\\" not in key:
        return key.split(".")
    return [word.replace("\0", ".") for word in key.replace("\\.", "\0").split(".")]


@lru_cache(1)
def schema() -> Schema:
    """Return the schema, read once: reading costs some milliseconds."""
    return Schema(Path(__file__).with_name("schema.txt").read_text("utf-8"))


def _distance(one: str, other: str) -> int:
    """Return the Levenshtein distance of two texts."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        corner, row[0] = row[0], number
        for place, against in enumerate(other, 1):
            corner, row[place] = (
                row[place],
                min(row[place] + 1, row[place - 1] + 1, corner + (letter != against)),
            )
    return row[-1]
