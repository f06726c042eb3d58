"""Find the handler of a command, call it, and write its answer."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from inspect import isawaitable

from leveret.control import (
    cluster,
    definitions,
    diagnostics,
    evaluation,
    health,
    listeners,
    lists,
    operate,
    parameters,
    passing,
    plugins,
    queues,
    replicas,
    status,
    users,
    vhosts,
)
from leveret.control.call import Call, Handler
from leveret.control.host import Host
from leveret.errors import AmqpError
from leveret.management.node_commands import HOP, PART
from leveret.progress import Report, unwatched
from leveret.rendering.answers import (
    SOFTWARE,
    USAGE,
    Failure,
    Live,
    Noted,
    Rows,
    Silent,
    failed_with,
    formatter_of,
    is_list,
    row_written,
    value_of,
    written,
)
from leveret.rendering.terms import Atom, Quoted
from leveret.rendering.transport import line
from leveret.work import Suspended

#: Every command that a node carries out.
COMMANDS: dict[str, Handler] = {
    name: handler
    for module in (
        *(users, vhosts, parameters, lists, queues, listeners, health, status, operate, diagnostics, plugins),
        *(replicas, definitions, evaluation, cluster),
    )
    for name, handler in module.COMMANDS.items()
}

#: Texts are sent in pieces of about this size.
PIECE = 1 << 15


async def answer(host: Host, request: Mapping[str, object], report: Report = unwatched) -> AsyncIterator[str]:
    """Carry out a request; yields what is written to standard output. `report`: gets the progress. Raises `Failure`."""
    call = _call(host, request)
    call.report = report
    handler = COMMANDS.get(call.key)
    if handler is None:
        raise Failure(SOFTWARE, f"Error:\nnode {host.name} does not know the command {call.key}")
    node = await passing.node_of(call)
    if node is not None:
        async for text in passing.output_of(call, node, request):
            yield text
        return
    found = await _repeated(call, handler)
    if isinstance(found, Noted):
        yield found.text
        found = found.answer()
    if call.hop and request.get(PART):
        async for text in _part(value_of(found, call.options)):
            yield text
        return
    formatter = formatter_of(call.options, str(request["formatter"]), raw=bool(request["raw"]))
    value = value_of(found, call.options)
    if isinstance(value, list) and is_list(value):
        value = Rows(host.slices.walk(value))
    if isinstance(value, Live):
        async for text in value.texts:
            yield text
    elif isinstance(value, Rows) and isinstance(value.rows, AsyncIterable):
        pieces: list[str] = []
        size = 0
        try:
            async for row in value.rows:
                for text in row_written(row, formatter):
                    pieces.append(text)
                    size += len(text)
                if size > PIECE:
                    yield "".join(pieces)
                    pieces, size = [], 0
            pieces.append(formatter.end())
        finally:
            if pieces:
                yield "".join(pieces)
    else:
        for text in written(value, formatter, call.options):
            yield text


async def _part(value: object) -> AsyncIterator[str]:
    """Yield what another node merges with its own: a line for each row."""
    if isinstance(value, Rows) and isinstance(value.rows, AsyncIterable):
        async for row in value.rows:
            yield line(row)
    elif not isinstance(value, Silent):
        for row in value if is_list(value) and isinstance(value, list) else [value]:
            yield line(row)


def _call(host: Host, request: Mapping[str, object]) -> Call:
    """The command that is asked for. Raises `Failure` if the request has not the form of one."""
    arguments, options, content = (request.get(name) for name in ("arguments", "options", "content"))
    tool, command, formatter = (request.get(name) for name in ("tool", "command", "formatter"))
    if not (
        isinstance(arguments, list)
        and isinstance(options, dict)
        and isinstance(content, str | None)
        and all(isinstance(word, str) for word in (tool, command, formatter, *arguments))
        and isinstance(request.get("raw"), bool)
    ):
        raise Failure(USAGE, "Error:\nthe request on the control socket is malformed")
    return Call(
        host,
        str(tool),
        str(command),
        [str(word) for word in arguments],
        {str(name): value for name, value in options.items()},
        None if content is None else str(content),
        hop=host.owners is not None and bool(request.get(HOP)),
    )


async def _repeated(call: Call, handler: Handler) -> object:
    """Call the handler; again when the job that it must wait for has ended; and wait for the job that it has begun, and
    until everything is durable. Raises `Failure`."""
    host = call.host
    while True:
        host.tick()
        try:
            found = handler(call)
            if isawaitable(found):
                found = await found
        except Suspended as waiting:
            await host.ended(waiting.job)
            continue
        except AmqpError as error:
            term = (Atom("amqp_error"), Atom(error.name.lower()), Quoted(error.explanation), Atom("none"))
            raise failed_with(term) from None
        finally:
            host.touch()
        if call.job is not None and not call.job.done:
            await host.ended(call.job)
        await host.settled()
        return found
