"""Find the resource of a path: a tree of segments, in which literal segments go before variable ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from leveret.management.call import Resource, Routes

_NAME = re.compile(r"\{\w+\}")


def serves(path: str, absent: Iterable[str]) -> bool:
    """Whether a version has a path. `absent`: those it does not have, with all that begins so; `{}` is any name."""
    return not f"{_NAME.sub('{}', path)}/".startswith(tuple(f"{one}/" for one in absent))


class Branch:
    """The segments that can follow the ones so far, and the resource that ends here with the names of its variables."""

    __slots__ = ("literal", "names", "resource", "variable")

    def __init__(self) -> None:
        self.literal: dict[str, Branch] = {}
        self.variable: Branch | None = None
        self.resource: Resource | None = None
        self.names: tuple[str, ...] = ()


class Paths:
    """The resources by path. `absent`: paths that the profile's version does not have, with all that begins so."""

    def __init__(self, routes: Routes, absent: Iterable[str] = ()) -> None:
        self._root = Branch()
        for path, methods in routes.items():
            if serves(path, absent):
                self._add(path, methods if isinstance(methods, Resource) else Resource(methods))

    def _add(self, path: str, resource: Resource) -> None:
        branch, names = self._root, []
        for segment in path.split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                branch.variable = branch.variable or Branch()
                branch = branch.variable
            else:
                branch = branch.literal.setdefault(segment, Branch())
        branch.resource, branch.names = resource, tuple(names)

    def find(self, segments: Sequence[str]) -> tuple[Resource, dict[str, str]] | None:
        """The resource, and the variables in the path; None if there is none."""
        if segments and segments[-1] == "":  # a slash at the end does not count
            segments = segments[:-1]
        return _walk(self._root, segments, ())


def _walk(
    branch: Branch, segments: Sequence[str], values: tuple[str, ...]
) -> tuple[Resource, dict[str, str]] | None:
    if not segments:
        resource = branch.resource
        return None if resource is None else (resource, dict(zip(branch.names, values, strict=True)))
    literal = branch.literal.get(segments[0])
    found = _walk(literal, segments[1:], values) if literal is not None else None
    if found is None and branch.variable is not None:
        found = _walk(branch.variable, segments[1:], (*values, segments[0]))
    return found
