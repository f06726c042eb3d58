"""Paths of the API -> what serves them: a tree of segments; a literal one goes before a variable one."""

from __future__ import annotations

from collections.abc import Sequence

from leveret.management.call import Handler, Routes


class Fork:
    """What can follow the segments so far."""

    __slots__ = ("literal", "methods", "public", "variable", "variable_name")

    def __init__(self) -> None:
        self.literal: dict[str, Fork] = {}
        self.variable: Fork | None = None
        self.variable_name = ""
        self.methods: dict[str, Handler] | None = None
        self.public = False


class Paths:
    """The table of paths. One that begins with `!` is served to everybody, without login."""

    def __init__(self, routes: Routes) -> None:
        self._root = Fork()
        for path, methods in routes.items():
            self._add(path.removeprefix("!"), methods, path.startswith("!"))

    def _add(self, path: str, methods: dict[str, Handler], public: bool) -> None:
        fork = self._root
        for segment in path.split("/"):
            if segment.startswith("{"):
                fork.variable = fork.variable or Fork()
                fork.variable_name = segment[1:-1]
                fork = fork.variable
            else:
                fork = fork.literal.setdefault(segment, Fork())
        fork.methods = methods
        fork.public = public

    def find(self, segments: Sequence[str]) -> tuple[dict[str, Handler], dict[str, str], bool] | None:
        """Methods, variables and whether it is public; None if nothing is there."""
        if segments and segments[-1] == "":  # a slash at the end is nothing
            segments = segments[:-1]
        found = _walk(self._root, segments, {})
        if found is None:
            return None
        fork, variables = found
        assert fork.methods is not None
        return fork.methods, variables, fork.public


def _walk(
    fork: Fork, segments: Sequence[str], variables: dict[str, str]
) -> tuple[Fork, dict[str, str]] | None:
    if not segments:
        return (fork, variables) if fork.methods is not None else None
    literal = fork.literal.get(segments[0])
    found = _walk(literal, segments[1:], variables) if literal is not None else None
    if found is None and fork.variable is not None:
        found = _walk(fork.variable, segments[1:], {**variables, fork.variable_name: segments[0]})
    return found
