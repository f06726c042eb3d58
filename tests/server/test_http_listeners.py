"""The HTTP stack is imported at the first connection, and not before."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import textwrap

from leveret.config import Settings
from leveret.server.node import Node
from leveret.settings import Server

#: Starts a node, says what is imported, makes two requests at once, and says it again.
PROGRAM = textwrap.dedent(
    """
    import asyncio, json, sys
    from leveret.config import Settings
    from leveret.server.node import Node
    from leveret.settings import Server

    async def request(port, path):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\\r\\nHost: h\\r\\nAuthorization: Basic %s\\r\\n\\r\\n".encode())
        status = await reader.readline()
        writer.close()
        return status.decode().strip()

    def imported():
        names = ("aiohttp", "pcre2", "prometheus_client", "leveret.management.app")
        return [name for name in names if name in sys.modules]

    async def main():
        node = Node(Settings(server=Server(host=("127.0.0.1",), port=0, http_port=0, prometheus_port=0)))
        await node.start()
        ports = {one.protocol: one.port for one in node.listeners()}
        before = imported()
        answers = await asyncio.gather(
            request(ports["http"], "/api/whoami"), request(ports["http/prometheus"], "/metrics")
        )
        print(json.dumps([before, answers, imported()]))
        await node.stop()

    asyncio.run(main())
    """
)


def test_nothing_of_http_is_imported_before_the_first_connection() -> None:
    program = PROGRAM % base64.b64encode(b"guest:guest").decode()
    done = subprocess.run(
        [sys.executable, "-c", program], env=dict(os.environ), capture_output=True, text=True, check=True
    )
    before, answers, after = json.loads(done.stdout.splitlines()[-1])
    assert before == []
    assert answers == ["HTTP/1.1 200 OK"] * 2
    assert after == ["aiohttp", "pcre2", "prometheus_client", "leveret.management.app"]


async def test_listeners_close_without_a_connection() -> None:
    node = Node(Settings(server=Server(host=("127.0.0.1",), port=0, http_port=0, prometheus_port=0)))
    await node.start()
    ports = [one.port for one in node.listeners()]
    await node.stop()
    for port in ports:
        try:
            await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            continue
        raise AssertionError(port)
