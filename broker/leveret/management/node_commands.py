"""Commands that another node carries out: a conversation with what its control socket speaks (`control_frames.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from leveret.control_frames import END, HEADER_BYTES, OUTPUT, PROGRESS, REQUEST, decoded, header, json_frame
from leveret.management.owners import CONTROL, NodeDownError, NodeLostError, Owners
from leveret.progress import Report, unwatched

#: A request that another node has passed on: it is carried out on this node or refused, and not passed on again.
HOP = "hop"

#: One whose answer is merged with those of other nodes: it is written as `rendering/transport.py` says.
PART = "part"


class CommandError(Exception):
    """A command has failed on another node. `code`: its exit status; `text`: what it says."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


async def passed_on(
    owners: Owners, node: str, request: Mapping[str, object], report: Report = unwatched
) -> AsyncIterator[str]:
    """Have another node carry out a request; yields its output as it comes. `report`: gets the progress.

    Raises `CommandError`, `NodeDownError`, `NodeLostError`.
    """
    try:
        reader, writer = await owners.call(node, CONTROL)
    except (OSError, TimeoutError):
        raise NodeDownError(node) from None
    try:
        await _frame(reader)  # its greeting
        writer.write(json_frame(REQUEST, {**request, HOP: True}))
        while True:
            kind, payload = await _frame(reader)
            if kind == OUTPUT:
                yield payload.decode("utf-8", "surrogateescape")
            elif kind == PROGRESS:
                _report(report, decoded(payload))
            elif kind == END:
                _check(decoded(payload))
                return
    except (OSError, EOFError, ValueError):
        raise NodeLostError(node) from None
    finally:
        writer.close()


async def _frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind, length = header(await reader.readexactly(HEADER_BYTES))
    return kind, await reader.readexactly(length)


def _report(report: Report, fields: Mapping[str, object]) -> None:
    done, total = fields["done"], fields["total"]
    assert isinstance(done, int) and isinstance(total, int)
    report(str(fields["what"]), done, total)


def _check(end: Mapping[str, object]) -> None:
    """Raise `CommandError` unless a command has succeeded."""
    code = end["code"]
    if isinstance(code, int) and code:
        raise CommandError(code, str(end["text"]))


async def run(
    owners: Owners,
    node: str,
    command: str,
    options: Mapping[str, object],
    arguments: Sequence[str] = (),
    *,
    content: str | None = None,
    part: bool = False,
) -> str:
    """Have another node carry out a command; returns its output. Raises as `passed_on`."""
    request = {
        "tool": "rabbitmqctl", "command": command, "arguments": list(arguments), "options": dict(options),
        "content": content, "formatter": "string", "raw": False, PART: part,
    }  # fmt: skip
    return "".join([text async for text in passed_on(owners, node, request)])
