"""The usage of tools and commands (rabbitmq_cli: help_command.ex), from `usage.json`."""

from __future__ import annotations

import json
import os

from leveret.commands.table import TABLE, commands

#: Sections of the list of commands -> (place, title). Sections with the same place keep Erlang's order of atoms.
_SECTIONS = {
    "help": (1, "Help"),
    "node_management": (2, "Nodes"),
    "cluster_management": (3, "Cluster"),
    "replication": (3, "Replication"),
    "user_management": (4, "Users"),
    "access_control": (5, "Access Control"),
    "observability_and_health_checks": (6, "Monitoring, observability and health checks"),
    "parameters": (7, "Parameters"),
    "policies": (8, "Policies"),
    "virtual_hosts": (9, "Virtual hosts"),
    "queues": (98, "Queues"),
    "upgrade": (98, "Upgrade"),
    "definitions": (98, "Definitions"),
    "operations": (98, "Operations"),
    "plugin_management": (98, "Plugin Management"),
    "feature_flags": (98, "Feature flags"),
    "configuration": (98, "Configuration and Environment"),
    "{plugin,rabbitmq_management_agent}": (99, "Management plugin"),
    "{plugin,consistent_hash_exchange}": (99, "Consistent Hash Exchange plugin"),
    "other": (100, "Other"),
    "deprecated": (999, "Deprecated"),
}

_GENERAL_OPTIONS = """

The following options are accepted by most or all commands.

short            | long          | description
-----------------|---------------|--------------------------------
-?               | --help        | displays command help
-n <node>        | --node <node> | connect to node <node>
-l               | --longnames   | use long host names
-t               | --timeout <n> | for commands that support it, operation timeout in seconds
-q               | --quiet       | suppress informational messages
-s               | --silent      | suppress informational messages
                                 | and table header row
-p               | --vhost       | for commands that are scoped to a virtual host,
                 |               | virtual host to use
                 | --formatter   | alternative result formatter to use
                                 | if supported: json, pretty_table, table, csv, erlang
                                   not all commands support all (or any) alternative formatters."""


class Usage:
    """The usage of a tool. `bold`: whether titles are bold, for terminals."""

    def __init__(self, tool: str, bold: bool = False) -> None:
        path = os.path.join(os.path.dirname(__file__), "usage.json")
        with open(path, encoding="utf-8") as file:
            self.texts = json.load(file)
        self.tool = tool
        self.bold = bold

    def _title(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self.bold else text

    def of_tool(self) -> str:
        """Return the usage of the tool, with all commands."""
        return "".join(self.parts())

    def parts(self) -> list[str]:
        """Return the usage of the tool in the parts that formatters show."""
        return [
            f"\n{self._title('Usage')}\n\n{self.tool} [--node <node>] [--timeout <timeout>] [--longnames] "
            "[--quiet] <command> [<command options>]",
            "\n\nAvailable commands:\n",
            *self._sections(),
            f"Use '{self.tool} help <command>' to learn more about a specific command",
        ]

    def help_commands(self) -> str:
        """Return the commands as `help --list-commands` prints them."""
        return self.all_commands()

    def all_commands(self) -> str:
        """Return the commands of the tool by section."""
        return "".join(self._sections())

    def _sections(self) -> list[str]:
        names = commands(self.tool)
        width = max(map(len, names), default=0)
        sections: dict[str, list[str]] = {}
        for name, key in sorted(names.items()):
            row = self.texts[key]
            sections.setdefault(row["section"], []).append(f"   {name:{width}}  {row['about']}\n")
        order = sorted(sections, key=lambda section: list(_SECTIONS).index(section))
        parts: list[str] = []
        for section in order:
            parts += [f"\n{self._title(_SECTIONS[section][1])}:\n\n", *sections[section]]
        return [*parts, "\n"]

    def base(self, key: str) -> str:
        """Return the usage line of a command, as after an error."""
        lines = self.texts[key]["usage"]
        timeout = " [--timeout <timeout>]" if "timeout" in TABLE[key].switches else ""
        shown = "\n".join(line + timeout for line in lines)
        return f"\n{self._title('Usage')}\n\n{self.tool} [--node <node>] [--longnames] [--quiet] {shown}"

    def of_command(self, key: str) -> str:
        """Return everything about a command."""
        row = self.texts[key]
        parts = [self.base(key)]
        if row["about"]:
            parts.append(f"{row['about']}.\n")
        if row.get("options"):
            parts.append(
                "\n".join([f"{self._title('Arguments and Options')}\n", *map(_item, row["options"])])
            )
        if row.get("guides"):
            guides = [f" * {guide}\n" for guide in row["guides"]]
            parts.append("\n".join([f"{self._title('Relevant Doc Guides')}\n", *guides]))
        parts.append(self._title("General Options") + _GENERAL_OPTIONS)
        return "\n\n".join(parts) + "\n"


def _item(item: str | list[str]) -> str:
    if isinstance(item, list) and len(item) == 2:
        return f"{item[0]}\n\t{item[1]}\n"
    return f"{''.join(item)}\n"


def suggestion(tool: str, typed: str) -> str:
    """Return the command that a mistyped one resembles (Elixir: String.jaro_distance), or an empty text."""
    names = sorted(commands(tool))
    distances = [(jaro(name, typed), name) for name in names]
    best = max(distances, key=lambda each: each[0], default=(0.0, ""))
    return best[1] if best[0] >= 0.77 else ""


def jaro(one: str, other: str) -> float:
    """Return the Jaro distance of two texts, 0.0 to 1.0."""
    if one == other:
        return 1.0
    if not one or not other:
        return 0.0
    reach = max(max(len(one), len(other)) // 2 - 1, 0)
    taken = [False] * len(other)
    mine: list[str] = []
    for at, char in enumerate(one):
        for place in range(max(0, at - reach), min(len(other), at + reach + 1)):
            if not taken[place] and other[place] == char:
                taken[place] = True
                mine.append(char)
                break
    if not mine:
        return 0.0
    theirs = [char for char, used in zip(other, taken, strict=True) if used]
    moved = sum(a != b for a, b in zip(mine, theirs, strict=True)) // 2
    count = len(mine)
    return (count / len(one) + count / len(other) + (count - moved) / count) / 3
