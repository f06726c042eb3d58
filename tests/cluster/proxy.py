"""A TCP proxy in a process of its own: stopped with SIGSTOP it cuts off whoever is behind it, and what is on its way
arrives late, when it goes on. `python -m tests.cluster.proxy 4001:4222 4002:4223`."""

from __future__ import annotations

import asyncio
import contextlib
import sys

CHUNK = 1 << 16


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _listen(port: int, target: int) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pipe(reader, back_writer), _pipe(back_reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    await server.serve_forever()


async def main(pairs: list[str]) -> None:
    """Listen on all ports until killed."""
    numbers = (tuple(map(int, pair.split(":"))) for pair in pairs)
    await asyncio.gather(*(_listen(port, target) for port, target in numbers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
