"""Find the resource of a path: a tree of segments, in which literal segments go before variable ones."""

from __future__ import annotations

from collections.abc import Sequence

from leveret.management.call import Handler, Routes


class Branch:
    """The segments that can follow the ones so far, and the methods of the resource that ends here."""

    __slots__ = ("literal", "methods", "public", "variable", "variable_name")

    def __init__(self) -> None:
        self.literal: dict[str, Branch] = {}
        self.variable: Branch | None = None
        self.variable_name = ""
        self.methods: dict[str, Handler] | None = None
        self.public = False


class Paths:
    """The resources by path. A path that begins with `!` needs no login."""

    def __init__(self, routes: Routes) -> None:
        self._root = Branch()
        for path, methods in routes.items():
            self._add(path.removeprefix("!"), methods, path.startswith("!"))

    def _add(self, path: str, methods: dict[str, Handler], public: bool) -> None:
        branch = self._root
        for segment in path.split("/"):
            if segment.startswith("{"):
                branch.variable = branch.variable or Branch()
                branch.variable_name = segment[1:-1]
                branch = branch.variable
            else:
                branch = branch.literal.setdefault(segment, Branch())
        branch.methods = methods
        branch.public = public

    def find(self, segments: Sequence[str]) -> tuple[dict[str, Handler], dict[str, str], bool] | None:
        """The methods of the resource, the variables in the path, and whether it is public; None if there is none."""
        if segments and segments[-1] == "":  # a slash at the end does not count
            segments = segments[:-1]
        found = _walk(self._root, segments, {})
        if found is None:
            return None
        branch, variables = found
        assert branch.methods is not None
        return branch.methods, variables, branch.public


def _walk(
    branch: Branch, segments: Sequence[str], variables: dict[str, str]
) -> tuple[Branch, dict[str, str]] | None:
    if not segments:
        return (branch, variables) if branch.methods is not None else None
    literal = branch.literal.get(segments[0])
    found = _walk(literal, segments[1:], variables) if literal is not None else None
    if found is None and branch.variable is not None:
        found = _walk(branch.variable, segments[1:], {**variables, branch.variable_name: segments[0]})
    return found
