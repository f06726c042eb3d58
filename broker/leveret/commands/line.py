"""A command line that was understood, and how a command ends."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from leveret.commands import checks
from leveret.commands.banners import banner
from leveret.commands.options import Parsed
from leveret.commands.table import TABLE, Command

if TYPE_CHECKING:
    from leveret.commands.usage import Usage

Options = dict[str, object]

#: Formatters that suppress the banner.
MACHINE_READABLE = frozenset({"csv", "json", "json_stream"})

#: Commands whose timeout the node itself observes, and those that have none: they wait for as long as they take.
PATIENT = frozenset(
    {
        *("shutdown", "await_online_nodes", "await_startup", "await_online_quorum_plus_one", "wait"),
        *("environment", "eval", "eval_file", "list", "is_enabled", "enable", "disable", "set"),
    }
)


class Exit(Exception):  # noqa: N818  it is the end, not a fault
    """The end of a command. `text`: for standard output if the code is 0, else for standard error."""

    def __init__(self, code: int, text: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Line:
    """A command line that was understood. `key`: of its command in `TABLE`."""

    def __init__(
        self, tool: str, argv: Sequence[str], environment: Mapping[str, str], key: str, parsed: Parsed
    ) -> None:
        self.tool = tool
        self.argv = list(argv)
        self.environment = environment
        self.key = key
        self.command: Command = TABLE[key]
        self.arguments = parsed.arguments
        self.options: Options = dict(parsed.options)

    @property
    def quiet(self) -> bool:
        """Whether nothing but results is printed."""
        return bool(self.options.get("quiet") or self.options.get("silent"))

    def refused(self, wrong: checks.Wrong, kind: str = " (argument validation)") -> Exit:
        """The end of a command whose arguments, or whose node, are not right."""
        text = f"Error{kind}: {wrong.text}\nArguments given:\n\t{' '.join(self.argv)}\n"
        return Exit(wrong.code, text + usage_of(self.tool).base(self.key))

    def timed_out(self) -> Exit:
        """The end of a command that has waited for too long."""
        node, timeout = self.options["node"], self.options["timeout"]
        if self.key == "ping":
            text = f"Error:\nFailed to connect and authenticate to {node} in {timeout} ms"
            return Exit(checks.UNAVAILABLE, text)
        name = self.key.removeprefix("streams ")
        text = f"Error: operation {name} on node {node} timed out. Timeout value used: {timeout}"
        return Exit(checks.TEMPORARY, text)


def usage_of(tool: str) -> Usage:
    """The usage of a tool, with bold titles on a terminal."""
    from leveret.commands.usage import Usage

    return Usage(tool, bold=sys.stdout.isatty())


def print_banner(line: Line) -> None:
    """Print what comes before the result, unless that is suppressed."""
    if line.quiet or str(line.options.get("formatter", "")).lower() in MACHINE_READABLE:
        return
    text = banner(line.command, line.arguments, line.options)
    if text:
        print(text)
