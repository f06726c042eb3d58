"""Topic matching: a trie of words in which `*` stands for one word and `#` for any number (0-9-1 3.1.3.3).

Keys are split at dots; empty words count. A match follows at most three branches a word (the word itself, `*`, `#`),
so that its cost depends on the key and on how patterns overlap, not on how many bindings there are.
"""

from __future__ import annotations

from typing import Any

import cython


class Node:
    """One position in the trie. `words`: by literal word; `star`, `rest`: behind `*` and `#`; `here`: destinations of
    patterns that end here, with how many bindings lead to each."""

    def __init__(self) -> None:
        self.words: dict[bytes, Node] = {}
        self.star: Node | None = None
        self.rest: Node | None = None
        self.here: dict[Any, int] | None = None

    def empty(self) -> bool:
        """Whether nothing hangs on it."""
        return not self.words and self.star is None and self.rest is None and not self.here


class Trie:
    """Patterns and where they lead."""

    def __init__(self) -> None:
        self.root: Node = Node()

    def add(self, key: bytes, destination: Any) -> None:
        """One more binding of `destination` with pattern `key`."""
        node: Node = self.root
        child: Node | None
        word: bytes
        for word in split(key):
            if word == b"*":
                if node.star is None:
                    node.star = Node()
                node = node.star
            elif word == b"#":
                if node.rest is None:
                    node.rest = Node()
                node = node.rest
            else:
                child = node.words.get(word)
                if child is None:
                    child = Node()
                    node.words[word] = child
                node = child
        if node.here is None:
            node.here = {}
        node.here[destination] = node.here.get(destination, 0) + 1

    def remove(self, key: bytes, destination: Any) -> None:
        """One binding less; branches that lead nowhere are cut."""
        self.prune(self.root, split(key), 0, destination)

    def prune(self, node: Node, words: list[bytes], i: cython.Py_ssize_t, destination: Any) -> bool:
        """Remove below `node`; says whether nothing hangs on it any more."""
        word: bytes
        child: Node | None
        if i == len(words):
            if node.here and destination in node.here:
                if node.here[destination] == 1:
                    del node.here[destination]
                else:
                    node.here[destination] -= 1
            return node.empty()
        word = words[i]
        if word == b"*":
            if node.star is not None and self.prune(node.star, words, i + 1, destination):
                node.star = None
        elif word == b"#":
            if node.rest is not None and self.prune(node.rest, words, i + 1, destination):
                node.rest = None
        else:
            child = node.words.get(word)
            if child is not None and self.prune(child, words, i + 1, destination):
                del node.words[word]
        return node.empty()

    def match(self, key: bytes) -> list[Any]:
        """The destinations of all patterns that match `key`, each once."""
        found: dict[Any, None] = {}
        self.walk(self.root, split(key), 0, found)
        return list(found)

    def walk(self, node: Node, words: list[bytes], i: cython.Py_ssize_t, found: Any) -> None:
        """Collect what matches the words from `i` on, below `node`."""
        child: Node | None
        rest: Node | None = node.rest
        j: cython.Py_ssize_t
        count: cython.Py_ssize_t = len(words)
        if rest is not None:
            # A pattern that ends in `#` takes all that is left; one that goes on must try every number of words.
            if rest.here:
                found.update(dict.fromkeys(rest.here))
            if rest.words or rest.star is not None or rest.rest is not None:
                for j in range(i, count + 1):
                    self.walk(rest, words, j, found)
        if i == count:
            if node.here:
                found.update(dict.fromkeys(node.here))
            return
        if node.star is not None:
            self.walk(node.star, words, i + 1, found)
        if node.words:
            child = node.words.get(words[i])
            if child is not None:
                self.walk(child, words, i + 1, found)


def split(key: bytes) -> list[bytes]:
    """The words of a key; the empty key has none."""
    return key.split(b".") if key else []
