"""The entry point of all commands: from a command line to an exit code (rabbitmq_cli: rabbitmqctl.ex)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from leveret.commands import checks
from leveret.commands.line import MACHINE_READABLE, PATIENT, Exit, Line, usage_of
from leveret.commands.options import GLOBAL_ALIASES, GLOBAL_SWITCHES, Parsed, parse, parse_for
from leveret.commands.table import RUNNING, STOPPED, STOPPED_OR_DOWN, TABLE, TOOLS, Command, commands

if TYPE_CHECKING:
    from leveret.commands.node import Node

#: Formatters that can be named; the same as in `leveret.rendering`, which is not imported for commands that the node
#: carries out.
_FORMATTERS = MACHINE_READABLE | {
    *("string", "string_per_line", "inspect", "erlang", "encrypted_conf_value", "table", "pretty_table"),
    *("plugins", "report", "msacc"),
}


#: What a timer of Erlang can wait, milliseconds.
LONGEST_TIMEOUT_MS = 2**32 - 1

#: Commands in which `--offline` has another meaning than that no node is asked.
_OTHER_OFFLINE = frozenset({"list_queues"})


def run(tool: str, argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command line and return its exit code."""
    try:
        _run(tool, argv, environment)
    except Exit as end:
        if end.text is not None:
            print(end.text, file=sys.stderr if end.code else sys.stdout)
        return end.code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _run(tool: str, argv: Sequence[str], environment: Mapping[str, str]) -> None:
    if not argv:
        raise Exit(checks.USAGE, usage_of(tool).of_tool())
    if list(argv) == ["--help"]:
        raise Exit(0, usage_of(tool).of_tool())
    if list(argv) == ["--version"]:
        argv = ["version"]
    if argv[0] == "--auto-complete":
        argv = ["autocomplete", *argv[1:]]
    line = _understood(tool, argv, environment)
    if line.options.get("help"):
        raise Exit(0, usage_of(tool).of_command(line.key))
    _merge_defaults(line)
    _check_node_name(line)
    found = checks.check(line.command, line.arguments, line.options)
    if isinstance(found, checks.Wrong):
        raise line.refused(found)
    if isinstance(found, checks.Fault):
        raise Exit(found.code, found.text)
    if line.command.local or (line.options.get("offline") is True and line.key not in _OTHER_OFFLINE):
        from leveret.commands.local import carry_out

        carry_out(line)
    else:
        _ask_node(line)


def _understood(tool: str, argv: Sequence[str], environment: Mapping[str, str]) -> Line:
    """Find the command, and its options. Raises Exit."""
    parsed = parse(argv, GLOBAL_SWITCHES, GLOBAL_ALIASES)
    tool = os.path.basename(str(parsed.options.get("script_name", tool)))
    known = commands(tool)
    name = parsed.arguments[0] if parsed.arguments else ""
    argv_given = argv
    if name not in known and (alias := _alias(name, parsed, environment)):
        argv = [*alias, *(word for word in argv if word != name)]
        name = alias[0]
    if name not in known:
        raise Exit(checks.USAGE, _unknown(tool, name))
    key = known[name]
    command = TABLE[key]
    formatter = _formatter(parsed.options, command)
    parsed = parse_for(command, formatter, argv)
    parsed = parsed._replace(arguments=parsed.arguments[1:])
    line = Line(tool, argv_given, environment, key, parsed)
    if parsed.invalid:
        shown = [f"{option} : {value}" for option, value in parsed.invalid]
        raise line.refused(checks.Wrong("\n".join(["Invalid options for this command:", *shown])))
    return line


def _formatter(options: Mapping[str, object], command: Command) -> str:
    if "formatter" not in options:
        return command.formatter
    named = str(options["formatter"]).lower()
    if named not in _FORMATTERS:
        shown = named or "without a name"
        raise Exit(
            1,
            f"** (ArgumentError) there is no formatter {shown}; formatters: {', '.join(sorted(_FORMATTERS))}",
        )
    return named


def _alias(name: str, parsed: Parsed, environment: Mapping[str, str]) -> list[str]:
    """The words that a file of aliases has for a command (`name = command options`)."""
    path = str(parsed.options.get("aliases_file") or environment.get("RABBITMQ_CLI_ALIASES_FILE", ""))
    if not path or not name:
        return []
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError as error:
        print(f"Error reading aliases file {path}: {error.strerror}", file=sys.stderr)
        return []
    import shlex

    found = {alias.strip(): words for alias, equals, words in (one.partition("=") for one in lines) if equals}
    return shlex.split(found.get(name, ""))


def _unknown(tool: str, name: str) -> str:
    from leveret.commands.usage import suggestion

    usage = usage_of(tool)
    if not name:
        return usage.of_tool()
    similar = suggestion(tool, name)
    if similar:
        return f"\nCommand '{name}' not found. \nDid you mean '{similar}'? \n"
    return f"\nCommand '{name}' not found. \n{usage.of_tool()}"


def _merge_defaults(line: Line) -> None:
    """Complete the options and arguments (rabbitmq_cli: `merge_defaults`)."""
    command, options = line.command, line.options
    timeout = options.get("timeout")
    if isinstance(timeout, int):
        options["timeout"] = timeout * 1000
    elif command.timeout is not None:
        options["timeout"] = command.timeout
    line.options = options = {**command.defaults, **options}
    if not line.arguments and command.shown:
        line.arguments = list(command.shown)
    if line.key in ("export_definitions", "import_definitions") and line.arguments == ["-"]:
        options["silent"] = True
    if line.key in ("directories", "is_enabled") and not options.get("offline"):
        line.options = {"online": True, "offline": False, **options}


def _check_node_name(line: Line) -> None:
    """Complete the name of the node. Raises Exit if it cannot be one (rabbitmq_cli: node_name.ex)."""
    from leveret.commands.node import complete, default_name

    given = str(line.options.get("node") or "")
    name = complete(given) if given else default_name(line.environment)
    head, _, host = name.partition("@")
    if "." in host and not line.options.get("longnames"):
        raise Exit(
            checks.DATA,
            f"Error: operation {line.key.removeprefix('streams ')} failed due to invalid node name (node: {name}, "
            "reason: short).\nIf using FQDN node names, use the -l / --longnames argument",
        )
    if not all(char.isascii() and (char.isalnum() or char in "_-") for char in head):
        raise Exit(
            checks.DATA,
            "Unsupported node name: node name head (the part before the @) is invalid. Only alphanumerics, _ and - "
            "characters are allowed.\nIf using FQDN node names, use the -l / --longnames argument",
        )
    line.options["named"] = bool(given)
    line.options["node"] = name


def _ask_node(line: Line) -> None:
    """Have the node carry out the command. Raises Exit."""
    from leveret.commands.node import NodeDownError, find

    named = str(line.options["node"]) if line.options.pop("named") else ""
    try:
        node = find(named, line.options, line.environment)
    except NodeDownError:
        _without_node(line)
        raise _node_down(line) from None
    try:
        line.options["node"] = node.name
        _check_timeout(line)
        _check_state(line, node)
        from leveret.commands.remote import carry_out

        carry_out(line, node)
    except NodeDownError:
        raise _node_down(line) from None
    finally:
        node.close()


def _check_timeout(line: Line) -> None:
    """Check that the timeout can be waited for. A command that asks for the state of the application first has timed
    out if it may wait for nothing. Raises Exit."""
    timeout = line.options.get("timeout")
    if not isinstance(timeout, int) or (line.command.needs == "" and line.key in PATIENT):
        return
    if not 0 <= timeout <= LONGEST_TIMEOUT_MS:
        text = f"the timeout should be 0 to {LONGEST_TIMEOUT_MS // 1000} seconds, not {timeout // 1000}"
        raise Exit(checks.SOFTWARE, f"Error:\n{text}")
    if timeout == 0 and line.command.needs:
        raise line.timed_out()


def _check_state(line: Line, node: Node) -> None:
    """Check that the application runs, or does not, as the command needs it. Raises Exit."""
    if line.command.needs == RUNNING and not node.running:
        raise line.refused(checks.Wrong(_STOPPED), "")
    if line.command.needs in (STOPPED, STOPPED_OR_DOWN) and node.running:
        raise line.refused(checks.Wrong(_RUNNING), "")
    place = _MEMBER.get(line.key)
    if place is not None and line.arguments[place] != node.name:
        text = f"node {line.arguments[place]} is not a member of the cluster"
        raise line.refused(checks.Wrong(text), "")


#: Commands with a node of the cluster, and the place of that argument.
_MEMBER = {"add_member": 1, "grow": 0, "streams grow": 0}

_NEEDS = (
    "this command requires the 'rabbit' app to be {} on the target node. {} it with 'rabbitmqctl {}_app'."
)
_STOPPED = _NEEDS.format("running", "Start", "start")
_RUNNING = _NEEDS.format("stopped", "Stop", "stop")


def _without_node(line: Line) -> None:
    """What a command does if there is no node: some answer, others print their banner before the error."""
    if line.command.needs == "" or line.command.needs == STOPPED_OR_DOWN:
        from leveret.commands.remote import without_node

        without_node(line)


def _node_down(line: Line) -> Exit:
    from leveret.commands.diagnosis import diagnosis

    return Exit(checks.UNAVAILABLE, diagnosis(str(line.options["node"]), line.environment))


def main() -> int:
    """Run the tool whose name the process has."""
    tool = os.path.basename(sys.argv[0])
    return run(tool if tool in TOOLS else "rabbitmqctl", sys.argv[1:], os.environ)


if __name__ == "__main__":
    raise SystemExit(main())
