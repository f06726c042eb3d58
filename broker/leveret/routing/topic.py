"""Topic patterns as a trie of words.

Keys and patterns are split at dots; empty words count, and the empty key has no words. A node holds the destinations of
the pattern that ends there, with the number of their bindings. `match` follows all branches at once, word by word, like
a finite automaton: `*` and equal words lead to the node below; `#` is entered without a word and stays active for every
further word. Each node is in the set of a step once, so a match costs at most words times visited nodes, however many
bindings there are and however many `#` a pattern has. Source: 0-9-1 3.1.3.3, rabbit_db_topic_exchange.
"""

from __future__ import annotations

from collections.abc import Hashable


class Node:
    """A node of the trie. `words`, `star`, `hash`: the nodes below; `loops`: it is a `#`. `mark`: the last step of a
    match that entered it."""

    def __init__(self, loops: bool) -> None:
        self.words: dict[bytes, Node] = {}
        self.star: Node | None = None
        self.hash: Node | None = None
        self.destinations: dict[Hashable, int] = {}
        self.loops: bool = loops
        self.mark: int = 0


class Trie:
    """The patterns bound to one topic exchange. Destinations are any hashable objects."""

    def __init__(self) -> None:
        self.root: Node = Node(False)
        self.steps: int = 0

    def add(self, pattern: bytes, destination: Hashable) -> None:
        """Add a binding of `pattern` to `destination`."""
        node: Node = self.root
        word: bytes
        for word in split(pattern):
            node = _child(node, word)
        node.destinations[destination] = node.destinations.get(destination, 0) + 1

    def remove(self, pattern: bytes, destination: Hashable) -> bool:
        """Remove a binding, and branches without destinations. Returns False if there was no such binding."""
        way: list[Node] = [self.root]
        words: list[bytes] = split(pattern)
        node: Node = self.root
        below: Node | None
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
        _prune(way, words)
        return True

    def match(self, key: bytes, found: list[Hashable]) -> None:
        """Append the destinations of all matching patterns; one is appended several times if several of its patterns
        match."""
        here: list[Node] = []
        there: list[Node]
        node: Node
        below: Node | None
        word: bytes
        self.steps += 1
        self.enter(self.root, here)
        if key:
            for word in key.split(b"."):
                self.steps += 1
                there = []
                for node in here:
                    if node.loops:
                        self.enter(node, there)
                    if node.star is not None:
                        self.enter(node.star, there)
                    if node.words:
                        below = node.words.get(word)
                        if below is not None:
                            self.enter(below, there)
                if not there:
                    return
                here = there
        for node in here:
            if node.destinations:
                found.extend(node.destinations)

    def enter(self, node: Node, nodes: list[Node]) -> None:
        """Add a node to the set of a step, and the `#` below it, because that needs no word."""
        following: Node | None = node
        while following is not None and following.mark != self.steps:
            following.mark = self.steps
            nodes.append(following)
            following = following.hash


def split(key: bytes) -> list[bytes]:
    """Return the words of a key or pattern (rabbit_db_topic_exchange:split_topic_key_binary)."""
    return key.split(b".") if key else []


def wildcards(pattern: bytes) -> int:
    """Return the number of `#` words in a pattern; RabbitMQ refuses more than two since 4.3.5."""
    return split(pattern).count(b"#")


def _child(node: Node, word: bytes) -> Node:
    below: Node | None = _lookup(node, word)
    if below is None:
        below = Node(word == b"#")
        if word == b"*":
            node.star = below
        elif word == b"#":
            node.hash = below
        else:
            node.words[word] = below
    return below


def _lookup(node: Node, word: bytes) -> Node | None:
    if word == b"*":
        return node.star
    if word == b"#":
        return node.hash
    return node.words.get(word)


def _prune(way: list[Node], words: list[bytes]) -> None:
    """Remove empty nodes from the end of a branch upwards."""
    for depth in range(len(words) - 1, -1, -1):
        below: Node = way[depth + 1]
        if below.destinations or below.words or below.star is not None or below.hash is not None:
            return
        above: Node = way[depth]
        if words[depth] == b"*":
            above.star = None
        elif words[depth] == b"#":
            above.hash = None
        else:
            del above.words[words[depth]]
