"""Commands that the node carries out: what is read for them, and what is done with their output."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from leveret.commands import checks
from leveret.commands.line import PATIENT, Exit, Line, print_banner
from leveret.commands.node import Node
from leveret.commands.system import is_alive, read_line
from leveret.progress import shown

#: How often a process that ends is looked at, seconds.
POLL_S = 0.05


def carry_out(line: Line, node: Node) -> None:
    """Carry out a command on a running node. Raises Exit, NodeDownError."""
    print_banner(line)
    if line.options.get("dry_run"):
        return
    special = _SPECIAL.get(line.key)
    if special is not None:
        special(line, node)
    else:
        _perform(line, node)
    if line.tool == "rabbitmq-plugins" and line.key in ("enable", "set", "is_enabled"):
        from leveret.commands.plugins_file import warn

        warn(line)


def without_node(line: Line) -> None:
    """Do what a command does before it finds that there is no node. Raises Exit if it answers without one."""
    if line.options.get("dry_run"):
        print_banner(line)
        raise Exit(0)
    if line.key == "stop" and line.options["idempotent"]:
        print_banner(line)
        raise Exit(0, f"Node {line.options['node']} is no longer running")
    if line.key == "wait":
        from leveret.commands.waiting import wait

        wait(line)
        raise Exit(0)
    if line.tool == "rabbitmq-plugins":
        from leveret.commands.local import plugins_without_node

        plugins_without_node(line)
        return
    print_banner(line)
    if line.key == "ping":
        raise line.timed_out()


def _perform(
    line: Line, node: Node, content: str | None = None, write: Callable[[str], object] | None = None
) -> None:
    """Send the request and write its output. Raises Exit."""
    missing = _read_missing(line)
    request = {
        "tool": line.tool,
        "command": line.key,
        "arguments": line.arguments + missing,
        "options": {name: value for name, value in line.options.items() if name != "named"},
        "content": content,
        "formatter": line.command.formatter,
        "raw": line.command.raw,
        "terminal": sys.stdout.isatty(),
        "progress": sys.stderr.isatty(),
    }
    write = write or sys.stdout.write
    timeout = line.options.get("timeout")
    seconds = timeout / 1000 if isinstance(timeout, int) and line.key not in PATIENT else None
    if seconds == 0:
        raise line.timed_out()
    try:
        with shown() as report:
            for found in node.ask(request, seconds, report):
                if isinstance(found, str):
                    write(found)
                    sys.stdout.flush()
                elif found.code:
                    raise Exit(found.code, found.text or None)
    except TimeoutError:
        raise line.timed_out() from None


def _read_missing(line: Line) -> list[str]:
    """Read the last argument from standard input if it is missing. Raises Exit."""
    prompt = line.command.reads
    if not prompt or len(line.arguments) > 1:
        return []
    if prompt == "@password":
        prompt = "Hashed and salted password: " if line.options["pre_hashed_password"] else "Password: "
    read = read_line(prompt, quiet=line.quiet)
    if read is None:
        code = checks.DATA if line.key == "add_user" else checks.SOFTWARE
        raise Exit(code, "Error:\nPassword is not provided via argument or stdin")
    if line.key == "add_user" and line.options["pre_hashed_password"] and not checks._base64(read):
        raise Exit(checks.DATA, "Error:\nCould not Base64 decode provided password hash value")
    return [read]


def _stop(line: Line, node: Node) -> None:
    """Stop the node; with a file of its process id, wait until the process has ended."""
    arguments, line.arguments = line.arguments, []
    pid = _pid_in(arguments[0]) if arguments else 0
    _perform(line, node)
    if arguments:
        _await_end(pid)
        print(f"process {pid} (take from pid file {arguments[0]}) is no longer running")


def _pid_in(path: str) -> int:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        detail = (error.strerror or "").lower()
        raise Exit(
            checks.UNAVAILABLE, f"Error:\ncould not read pid from file {path}. Error: {detail}"
        ) from None
    digits = text.strip().partition("\n")[0].strip()
    if not digits.isdigit():
        raise Exit(checks.UNAVAILABLE, f"Error:\ncould not read pid from file {path}. File contents: {text}")
    return int(digits)


def _shutdown(line: Line, node: Node) -> None:
    """Stop the node and wait until its process has ended."""
    if not line.options["wait"]:
        _perform(line, node)
        return
    where = f"RabbitMQ node {line.options['node']} running at PID {node.pid}"
    print(f"Shutting down {where}")
    _perform(line, node, write=lambda text: None)
    print(f"Waiting for PID {node.pid} to terminate", flush=True)
    _await_end(node.pid)
    print(f"{where} successfully shut down")


def _await_end(pid: int) -> None:
    """Wait until a process has ended."""
    while is_alive(pid):
        time.sleep(POLL_S)


def _wait(line: Line, node: Node) -> None:
    from leveret.commands.waiting import wait

    wait(line)


def _export(line: Line, node: Node) -> None:
    """Write the definitions to standard output, or to a file of this user's."""
    path = line.arguments[0]
    if str(line.options["format"]).lower() == "erlang" and path == "-":
        raise Exit(checks.SOFTWARE, ":no_translation\n")
    if path == "-":
        _perform(line, node)
        return
    pieces: list[str] = []
    _perform(line, node, write=pieces.append)
    try:
        with open(path, "wb") as file:
            file.write("".join(pieces).encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise Exit(checks.DATA, f"Error:\n{_unwritable(error, path)}") from None


def _unwritable(error: OSError, path: str) -> str:
    if not path:
        return "Path  is a directory"
    return {
        "ENOENT": f"Parent directory or file {path} does not exist",
        "ENOTDIR": f"Parent directory of file {path} is not a directory",
        "ENOSPC": f"No space left on device hosting {path}",
        "EACCES": f"No permissions to write to file {path} or its parent directory",
        "EISDIR": f"Path {path} is a directory",
    }.get(_name(error), f"Could not write to file {path}: {_name(error).lower()}")


def _name(error: OSError) -> str:
    import errno

    return errno.errorcode.get(error.errno or 0, "")


def _import(line: Line, node: Node) -> None:
    """Send the definitions of a file, or of standard input."""
    if not line.arguments:
        content = sys.stdin.buffer.read()
        if not content:
            raise Exit(checks.UNAVAILABLE, "Error:\nnot_enough_args")
    else:
        content = _content(line.arguments[0])
    _perform(line, node, content.decode("utf-8", "surrogateescape"))


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        text = {
            "ENOENT": f"Parent directory or file {path} does not exist",
            "ENOTDIR": f"Parent directory of file {path} is not a directory",
            "EACCES": f"No permissions to read from file {path} or its parent directory",
            "EISDIR": f"Path {path} is a directory",
        }.get(_name(error), f"Could not read from file {path}: {_name(error).lower()}")
        raise Exit(checks.DATA, f"Error:\n{text}") from None
    if not content:
        raise Exit(checks.DATA, f"Error:\nFile {path} is zero-sized")
    return content


def _eval(line: Line, node: Node) -> None:
    """Evaluate an expression, of standard input if there is no argument."""
    if not line.arguments:
        text = sys.stdin.read().strip()
        if not text:
            text = "Expression to evaluate is not provided via argument or stdin"
            raise Exit(checks.DATA, f"Error:\n{text}")
        line.arguments = [text]
    _perform(line, node)


def _eval_file(line: Line, node: Node) -> None:
    with open(line.arguments[0], encoding="utf-8") as file:
        line.arguments = [file.read()]
    _perform(line, node)


def _connectivity(line: Line, node: Node) -> None:
    """Connect to each listener from here, as clients do."""
    from leveret.commands.connectivity import check

    answered: list[str] = []
    formatter = line.options.pop("formatter", None)
    _perform(line, node, write=answered.append)
    line.options["formatter"] = formatter
    check(line, "".join(answered))


#: What `report` shows of the node, and of each virtual host; with all columns.
_REPORTED = (
    *(
        "status",
        "cluster_status",
        "environment",
        "list_connections",
        "list_channels",
        "command_line_arguments",
    ),
    "os_env",
)
_REPORTED_OF_VHOST = (
    *("list_queues", "list_exchanges", "list_bindings", "list_permissions", "list_policies"),
    *("list_global_parameters", "list_parameters"),
)


def _report(line: Line, node: Node) -> None:
    """Show what several commands show, one after another."""
    for key in _REPORTED:
        _reported(line, key, {})
    names: list[str] = []
    quiet: dict[str, object] = {"silent": True, "table_headers": False}
    _perform(_other(line, "list_vhosts", quiet), node, write=names.append)
    for name in "".join(names).splitlines():
        for key in _REPORTED_OF_VHOST:
            _reported(line, key, {"vhost": name})


def _reported(line: Line, key: str, options: dict[str, object]) -> None:
    from leveret.commands.node import find

    other = _other(line, key, options)
    sys.stdout.write("\n")
    print_banner(other)
    node = find(str(line.options["node"]), line.options, line.environment)
    try:
        _perform(other, node)
    finally:
        node.close()


def _other(line: Line, key: str, options: dict[str, object]) -> Line:
    """The line of another command with the same options."""
    from leveret.commands.options import Parsed
    from leveret.commands.table import TABLE

    command = TABLE[key]
    given = {name: value for name, value in line.options.items() if name not in ("formatter", "timeout")}
    merged = {"timeout": command.timeout, **command.defaults, **given, **options}
    columns = command.columns if key != "list_vhosts" else ["name"]
    return Line(line.tool, line.argv, line.environment, key, Parsed(list(columns), merged, []))


_SPECIAL: dict[str, Callable[[Line, Node], None]] = {
    "stop": _stop,
    "shutdown": _shutdown,
    "wait": _wait,
    "export_definitions": _export,
    "import_definitions": _import,
    "report": _report,
    "eval": _eval,
    "eval_file": _eval_file,
    "check_port_connectivity": _connectivity,
}
