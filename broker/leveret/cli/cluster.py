"""`leveret cluster`: which node has which virtual host, and moving one of them to another node."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from leveret.commands import checks
from leveret.commands.node import End, Node, NodeDownError, complete, default_name, find

_STATUS, _MOVE = "status", "move"


class _Parser(argparse.ArgumentParser):
    """Ends with the exit code of RabbitMQ's tools for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong."""
        self.print_usage(sys.stderr)
        self.exit(checks.USAGE, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = _Parser(prog="leveret cluster", description="Virtual hosts on the nodes of a cluster.")
    actions = found.add_subparsers(dest="action", required=True, metavar="status | move")
    common = _Parser(add_help=False)
    common.add_argument(
        "-n", "--node", default="", help="the node to ask, on this machine (default: the one that runs)"
    )
    common.add_argument("--json", action="store_true", help="write JSON")
    text = "show all nodes and virtual hosts, and which node has which"
    actions.add_parser(_STATUS, parents=[common], help=text, description=text)
    text = "move a virtual host to another node; its clients are closed, and connect again"
    move = actions.add_parser(_MOVE, parents=[common], help=text, description=text)
    move.add_argument("vhost", metavar="VHOST", help="name of the virtual host")
    move.add_argument("target", metavar="NODE", help="name of the node that it is moved to")
    return found


def main(words: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    given = parser().parse_args(words)
    arguments = [given.vhost, given.target] if given.action == _MOVE else []
    try:
        node = find(complete(given.node) if given.node else "", {}, os.environ)
    except NodeDownError:
        return _down(given.node)
    try:
        return _perform(node, given.action, arguments, given.json)
    except NodeDownError:
        return _down(node.name)
    finally:
        node.close()


def _perform(node: Node, action: str, arguments: list[str], json: bool) -> int:
    """Have the node carry it out. Raises NodeDownError."""
    request = {
        "tool": "leveret",
        "command": f"cluster {action}",
        "arguments": arguments,
        "options": {"node": node.name, **({"formatter": "json"} if json else {})},
        "content": None,
        "formatter": "string",
        "raw": False,
    }
    for found in node.ask(request, None):
        if isinstance(found, End):
            if found.text:
                print(found.text, file=sys.stderr if found.code else sys.stdout)
            return found.code
        sys.stdout.write(found)
        sys.stdout.flush()
    return 0


def _down(name: str) -> int:
    from leveret.commands.diagnosis import diagnosis

    print(diagnosis(complete(name) if name else default_name(os.environ), os.environ), file=sys.stderr)
    return checks.UNAVAILABLE
