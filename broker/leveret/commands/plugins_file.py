"""`rabbitmq-plugins` without a node: it changes the file `enabled_plugins`, which a node reads when it starts.

RABBITMQ_ENABLED_PLUGINS_FILE names the file, also in the container's image: a Dockerfile that starts from it enables
plugins in this way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from leveret.commands import checks
from leveret.commands.line import Exit, Line
from leveret.commands.table import RELEASE
from leveret.erlang_terms import TermError, parse
from leveret.plugin_names import NAMES, SWITCHED, absent, as_file, instead, with_others
from leveret.rendering.answers import Noted, Rows, Shown
from leveret.rendering.plugins import Enabled, listing, missing
from leveret.rendering.terms import Atom

VARIABLE = "RABBITMQ_ENABLED_PLUGINS_FILE"


def answer(line: Line) -> object:
    """Carry out `list`, `enable`, `disable`, `set` or `is_enabled` on the file. Raises Exit."""
    path = Path(line.environment[VARIABLE])
    try:
        before = _read(path)
        if line.key == "list":
            return _listed(line, before)
        if line.key == "is_enabled":
            found = _is_enabled(line, before)
            warn(line)
            return found
        after = _chosen(line, before)
        path.write_text(as_file(after), encoding="utf-8")
    except (OSError, UnicodeError, TermError, ValueError) as error:
        raise _failed(checks.UNAVAILABLE, f"{path}: {error}") from None
    if line.key != "disable":
        warn(line)
    return _changed(line, before, after)


def _read(path: Path) -> list[str]:
    """Return the names in the file, none if there is no file. Raises OSError, UnicodeError, TermError, ValueError."""
    if not path.exists():
        return []
    text = path.read_text("utf-8-sig")
    found = parse(text) if text.strip() else []
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError("is not a list of plugins")
    return [str(name) for name in found]


def _chosen(line: Line, before: list[str]) -> list[str]:
    """Return the names that the file gets. Raises Exit for names that nobody knows."""
    wanted = list(SWITCHED) if line.options.get("all") else line.arguments
    if line.key == "disable":
        # What nobody knows stays, as in RabbitMQ.
        return sorted({*before} - (NAMES if line.options.get("all") else {*wanted} & NAMES))
    if line.key == "set":
        unknown = [name for name in wanted if name not in NAMES]
        if unknown:
            raise _failed(checks.DATA, f"The following plugins were not found: {', '.join(unknown)}")
        return sorted({*wanted})
    return sorted({*before, *wanted})


def _listed(line: Line, listed: list[str]) -> object:
    known = [name for name in listed if name in NAMES]
    matches = matching(line.arguments[0] if line.arguments else ".*")
    shown = Shown(listing(Enabled(known, with_others(known), None), matches, line.options, RELEASE))
    warning = missing(listed, line.options)
    return Noted(warning, lambda: shown) if warning else shown


def matching(pattern: str) -> Callable[[str], object]:
    """Whether a name matches. Raises Exit."""
    import re  # what a command imports is what it costs, and most lists come from a node

    try:
        return re.compile(pattern).search
    except re.error as error:
        raise _failed(checks.SOFTWARE, f"{pattern} is not a regular expression: {error}") from None


def _changed(line: Line, before: list[str], after: list[str]) -> object:
    was, now = (with_others(name for name in names if name in NAMES) for names in (before, after))
    result: dict[object, object] = {Atom("mode"): Atom("offline"), Atom("set"): _atoms(now)}
    if line.key == "enable":
        result[Atom("enabled")] = _atoms(name for name in now if name not in was)
    elif line.key == "disable":
        result[Atom("disabled")] = _atoms(name for name in was if name not in now)
    rows = Rows([_atoms(now), result])
    warning = missing(after, line.options)
    return Noted(warning, lambda: rows) if warning else rows


def warn(line: Line) -> None:
    """Write a line to standard error for each plugin that is named, and not there."""
    for name in absent(line.arguments):
        print(f"WARNING: {instead(name)}.", file=sys.stderr)


def _atoms(names: Iterable[str]) -> list[Atom]:
    return [Atom(name) for name in names]


def _is_enabled(line: Line, listed: list[str]) -> object:
    on = with_others(name for name in listed if name in NAMES)
    missing = [name for name in line.arguments if name not in on]
    names = missing or line.arguments
    one = len(names) == 1
    subject = f"Plugin{'' if one else 's'} {', '.join(names)} {'is' if one else 'are'}"
    if missing:
        raise _failed(
            checks.UNAVAILABLE, f"{subject} not enabled. Enabled plugins and dependencies: {', '.join(on)}"
        )
    text = f"{subject} enabled"
    return Shown({"result": "ok", "message": text} if line.options.get("formatter") == "json" else text)


def _failed(code: int, text: str) -> Exit:
    return Exit(code, f"Error:\n{text}")
