"""Topic patterns as a trie of words.

Keys and patterns are split at dots; empty words count, and the empty key has no words at all. A node holds
the destinations of the pattern that ends there, each with the number of its bindings.

A search visits each node at most once, whatever the key and however many `#` a pattern has, and it can be interrupted.
Up to the first `#` a node is reached after as many words of the key as it lies deep. Below a `#` the search carries the
set of all numbers of words that the pattern up to the node can consume: `*` adds one to each, a word adds one to those
behind which the key has that word, `#` adds all numbers above the smallest. With an empty set nothing is visited.
Source: 0-9-1 3.1.3.3, rabbit_db_topic_exchange.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeAlias

import cython

from leveret.shrinking import shrink

#: A set of small numbers, as the bits of an integer.
NumberSet: TypeAlias = int

#: More nodes than any trie has.
_ALL = 1 << 62


class PatternNode:
    """Where the words of some pattern have led."""

    def __init__(self) -> None:
        self.words: dict[bytes, PatternNode] = {}
        self.star: PatternNode | None = None
        self.hash: PatternNode | None = None
        self.destinations: dict[Hashable, int] = {}


class Trie:
    """All patterns bound to one topic exchange. Destinations are any hashable objects.

    `idle`: a search that can be used again. `left`: steps that the last search has not needed.
    """

    def __init__(self) -> None:
        self.root: PatternNode = PatternNode()
        self.idle: Search | None = None
        self.left: int = 0

    def add(self, pattern: bytes, destination: Hashable) -> None:
        """Add a binding of `pattern` to `destination`."""
        node: PatternNode = self.root
        word: bytes
        for word in split(pattern):
            node = _child(node, word)
        node.destinations[destination] = node.destinations.get(destination, 0) + 1

    def remove(self, pattern: bytes, destination: Hashable) -> bool:
        """Remove a binding, and branches without destinations. Returns False if there was no such binding."""
        way: list[PatternNode] = [self.root]
        words: list[bytes] = split(pattern)
        node: PatternNode = self.root
        below: PatternNode | None
        word: bytes
        for word in words:
            below = _lookup(node, word)
            if below is None:
                return False
            node = below
            way.append(node)
        count = node.destinations.get(destination, 0)
        if count == 0:
            return False
        if count > 1:
            node.destinations[destination] = count - 1
            return True
        del node.destinations[destination]
        shrink(node.destinations)
        _prune(way, words)
        return True

    def match(
        self, keys: list[bytes], found: list[Hashable], steps: cython.Py_ssize_t = _ALL
    ) -> Search | None:
        """Append the destinations of all patterns that match a key; of several patterns, several times.

        Follows at most `steps` branches; returns the search if it may go on.
        """
        search: Search | None = self.idle
        if search is None:
            search = Search()
        self.idle = None
        search.begin(self.root, keys, found)
        self.left = search.advance(steps)
        if self.left == 0:
            return search
        self.idle = search
        return None


class Search:
    """A search for the patterns that match one of some keys: see `Trie.match`.

    `nodes`, `depths`: to be visited, and after how many words. `spread_nodes`, `consumed`: likewise below a `#`, with
    sets of numbers of words. `words`: of the current key; `inner`: all numbers of words but that of the whole key;
    `places`: behind how many words each word comes, None unless it is needed. `noted`: the patterns whose destinations
    were noted, if there are several keys.
    """

    def __init__(self) -> None:
        self.root: PatternNode | None = None
        self.keys: list[bytes] = []
        self.found: list[Hashable] = []
        self.started: int = 0
        self.noted: dict[PatternNode, None] = {}
        self.nodes: list[PatternNode] = []
        self.depths: list[int] = []
        self.spread_nodes: list[PatternNode] = []
        self.consumed: list[NumberSet] = []
        self.words: list[bytes] = []
        self.inner: NumberSet = 0
        self.places: dict[bytes, NumberSet] | None = None

    def begin(self, root: PatternNode, keys: list[bytes], found: list[Hashable]) -> None:
        """Begin at the root with the first key. Nothing of an earlier search is left."""
        self.root = root
        self.keys = keys
        self.found = found
        self.started = 0

    def advance(self, steps: cython.Py_ssize_t) -> int:
        """Follow at most `steps` branches. Returns how many fewer it were; 0 if the search may go on."""
        while steps > 0:
            if self.nodes:
                self.visit(self.nodes.pop(), self.depths.pop())
            elif self.spread_nodes:
                self.visit_spread(self.spread_nodes.pop(), self.consumed.pop())
            elif self.started < len(self.keys) and self.root is not None:
                self.words = split(self.keys[self.started])
                self.places = None
                self.started += 1
                self.visit(self.root, 0)
            else:
                self.found = []
                if self.noted:
                    self.noted = {}
                return steps
            steps -= 1
        return 0

    def visit(self, node: PatternNode, depth: cython.Py_ssize_t) -> None:
        """Follow a branch to its end: note the destinations there, and have what branches off visited later."""
        below: PatternNode | None
        while True:
            if node.hash is not None:
                self.spread(node.hash, depth)
            if depth == len(self.words):
                if node.destinations:
                    self.note(node)
                return
            below = node.words.get(self.words[depth]) if node.words else None
            depth += 1
            if node.star is not None:
                if below is not None:
                    self.nodes.append(below)
                    self.depths.append(depth)
                below = node.star
            if below is None:
                return
            node = below

    def spread(self, node: PatternNode, depth: cython.Py_ssize_t) -> None:
        """Note the destinations of a `#` that is reached after `depth` words; what is below is reached after as many or
        more."""
        if node.words or node.star is not None or node.hash is not None:
            places = self.places
            if places is None:
                places = self.places = {}
                place: NumberSet = 1
                for word in self.words:
                    places[word] = places.get(word, 0) | place
                    place <<= 1
                self.inner = place - 1
            self.spread_nodes.append(node)
            self.consumed.append((self.inner << 1 | 1) & -(1 << depth))
        else:
            self.note(node)

    def note(self, node: PatternNode) -> None:
        """Note the destinations of a pattern, but only once for all keys: thousands of both would be millions."""
        if len(self.keys) > 1:
            if node in self.noted:
                return
            self.noted[node] = None
        self.found.extend(node.destinations)

    def visit_spread(self, node: PatternNode, consumed: NumberSet) -> None:
        """`visit` for a node below a `#`, or for the `#`."""
        word: bytes
        below: PatternNode | None
        places: dict[bytes, NumberSet] = self.places or {}
        if node.destinations and consumed > self.inner:
            self.note(node)
        if node.hash is not None:
            # all numbers from the smallest on
            self.spread_nodes.append(node.hash)
            self.consumed.append(-(consumed & -consumed) & (self.inner << 1 | 1))
        consumed = consumed & self.inner
        if not consumed:
            return
        if len(node.words) < len(places):
            for word, below in node.words.items():
                self.step(below, consumed & places.get(word, 0))
        elif node.words:
            for word, there in places.items():
                below = node.words.get(word)
                if below is not None:
                    self.step(below, consumed & there)
        if node.star is not None:
            self.step(node.star, consumed)

    def step(self, node: PatternNode, consumed: NumberSet) -> None:
        """Have a node visited that consumes a word after any of the numbers of words."""
        if consumed:
            self.spread_nodes.append(node)
            self.consumed.append(consumed << 1)


def split(key: bytes) -> list[bytes]:
    """Return the words of a key or pattern (rabbit_db_topic_exchange:split_topic_key_binary)."""
    return key.split(b".") if key else []


def wildcards(pattern: bytes) -> int:
    """Return the number of `#` words in a pattern; RabbitMQ refuses more than two since 4.3.5."""
    return split(pattern).count(b"#")


def _child(node: PatternNode, word: bytes) -> PatternNode:
    below: PatternNode | None = _lookup(node, word)
    if below is None:
        below = PatternNode()
        if word == b"*":
            node.star = below
        elif word == b"#":
            node.hash = below
        else:
            node.words[word] = below
    return below


def _lookup(node: PatternNode, word: bytes) -> PatternNode | None:
    if word == b"*":
        return node.star
    if word == b"#":
        return node.hash
    return node.words.get(word)


def _prune(way: list[PatternNode], words: list[bytes]) -> None:
    """Remove empty nodes from the end of a branch upwards."""
    for depth in range(len(words) - 1, -1, -1):
        below: PatternNode = way[depth + 1]
        if below.destinations or below.words or below.star is not None or below.hash is not None:
            return
        above: PatternNode = way[depth]
        if words[depth] == b"*":
            above.star = None
        elif words[depth] == b"#":
            above.hash = None
        else:
            del above.words[words[depth]]
            shrink(above.words)
