"""Commands on a node in this process."""

from __future__ import annotations

from leveret.control.serving import answer
from leveret.rendering.answers import Failure
from leveret.server.node import Node
from tests.cluster.local import LocalNode


class Failed(Exception):  # noqa: N818  named by what happened
    """A command has failed. `code`: of its process."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


async def command(
    node: LocalNode, name: str, *words: str, tool: str = "rabbitmqctl", **options: object
) -> str:
    """Have a node carry out a command; returns its output. Raises `Failed`."""
    assert node.node is not None
    return await command_on(node.node, name, *words, tool=tool, **options)


async def command_on(node: Node, name: str, *words: str, tool: str = "rabbitmqctl", **options: object) -> str:
    """The same for any node."""
    request = {
        "tool": tool,
        "command": name,
        "arguments": list(words),
        "options": {"node": node.host.name, **options},
        "content": None,
        "formatter": options.get("formatter", "string" if name != "list_vhosts" else "table"),
        "raw": False,
    }
    try:
        return "".join([text async for text in answer(node.host, request)])
    except Failure as failure:
        raise Failed(failure.code, failure.text) from None
