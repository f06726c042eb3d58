"""The control socket of a node, which its commands speak to: one request in each connection.

What carries requests out (`leveret.control`) is imported with the first one, beside the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

from leveret import control_paths
from leveret.control_frames import (
    END,
    GREETING,
    HEADER_BYTES,
    OUTPUT,
    PROGRESS,
    REQUEST,
    decoded,
    frame,
    header,
    json_frame,
)
from leveret.engine import patterns
from leveret.management.lazy import beside, imported
from leveret.progress import Report, unwatched
from leveret.server.application import Application
from leveret.server.log import log

#: Connections that wait.
BACKLOG = 64

#: How long a command may take to send its request, seconds.
REQUEST_S = 60.0

#: How long commands that are being carried out may take when the node stops, seconds.
GRACE_S = 0.3

#: Carries out a request: yields output; raises an exception with `code` and `text` for a failure.
Answer = Callable[[Application, Mapping[str, object], Report], AsyncIterator[str]]


class ControlSocket:
    """The socket and the commands that are being carried out. `wanted`: its path, empty for one named after the
    node, `none` for no socket. `path`: where it is, empty while there is none."""

    def __init__(self, host: Application, wanted: str) -> None:
        self.host = host
        self.wanted = wanted
        self.path = ""
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._answer: Answer | None = None
        self._identity = (0, 0)

    async def start(self) -> None:
        """Listen. A node without a control socket serves its clients all the same."""
        if self.wanted == "none":
            return
        try:
            made = self._bound(self.wanted)
            made.listen(BACKLOG)
            made.setblocking(False)
            status = os.stat(self.path)
            self._identity = (status.st_dev, status.st_ino)
        except (OSError, ValueError) as error:
            log.warning("There is no control socket, and so no commands: %s", error)
            self.path = ""
            return
        self._server = await asyncio.start_unix_server(self._connected, sock=made)
        log.info("Control socket: %s", self.path)

    def _bound(self, wanted: str) -> socket.socket:
        """Return the socket, at the path that is wanted or at one named after the node. Raises `OSError`."""
        if wanted:
            self.path = wanted
            return _taken(wanted) or _refuse(wanted)
        folder = control_paths.own_folder(os.environ)
        name = self.host.name
        self.path = os.path.join(folder, control_paths.file_name(name))
        with _locked(folder):
            made = _taken(self.path)
            if made is None:
                head, _, host = name.partition("@")
                other = f"{head}-{os.getpid()}@{host}"
                log.info("Another node is named %s. Commands know this one as %s", name, other)
                self.path = os.path.join(folder, control_paths.file_name(other))
                made = _taken(self.path) or _refuse(self.path)
            return made

    def point(self, data_dir: str) -> None:
        """Leave the path in a data directory, so that commands find the node by it."""
        if self.path and data_dir:
            with contextlib.suppress(OSError):
                Path(data_dir, control_paths.POINTER).write_text(
                    os.path.abspath(self.path) + "\n", encoding="utf-8"
                )

    def serve_on(self, transport: asyncio.Transport) -> None:
        """Serve a command whose connection was accepted elsewhere."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, self._connected, loop=loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()

    async def stop(self) -> None:
        """Take no more commands, and end those that take long."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        with contextlib.suppress(OSError):
            status = os.stat(self.path)
            if (status.st_dev, status.st_ino) == self._identity:
                os.unlink(self.path)
        if self._serving:
            await asyncio.wait(self._serving, timeout=GRACE_S)
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError, ValueError, TimeoutError):
            pass  # the command is gone, or is none
        except asyncio.CancelledError:
            pass  # the node stops
        except Exception as error:
            self.host.broker.faults.report("control socket", error)
        finally:
            self._serving.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Greet, read the request, and carry it out as long as the command is there."""
        host = self.host
        greeting = {"node": host.name, "running": host.running, "pid": os.getpid()}
        writer.write(json_frame(GREETING, greeting))
        async with asyncio.timeout(REQUEST_S):
            kind, length = header(await reader.readexactly(HEADER_BYTES))
            payload = await reader.readexactly(length)
        if kind != REQUEST:
            return
        carrying_out = asyncio.ensure_future(self._carry_out(decoded(payload), writer))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((carrying_out, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (carrying_out, gone):
                each.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        await carrying_out

    async def _carry_out(self, request: Mapping[str, object], writer: asyncio.StreamWriter) -> None:
        if self._answer is None:
            await beside(patterns.load)  # for policies and permissions
            module = await imported("leveret.control.serving")
            self._answer = module.answer
        code, text = 0, ""

        def report(what: str, done: int, total: int) -> None:
            writer.write(json_frame(PROGRESS, {"what": what, "done": done, "total": total}))

        try:
            async for piece in self._answer(
                self.host, request, report if request.get("progress") else unwatched
            ):
                writer.write(frame(OUTPUT, piece.encode("utf-8", "surrogateescape")))
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            raise
        except Exception as error:
            if not hasattr(error, "code"):
                self.host.broker.faults.report("command", error, command=request.get("command"))
                error.__dict__.update(code=70, text=f"Error:\ninternal error: {error!r}")
            code, text = getattr(error, "code", 70), getattr(error, "text", "")
        writer.write(json_frame(END, {"code": code, "text": text}))
        await writer.drain()


def _taken(path: str) -> socket.socket | None:
    """Return a socket that is bound to a path; None if another process listens there. Raises `OSError`.

    A socket that nobody listens on is left from a process that was killed.
    """
    try:
        return control_paths.bound(path)
    except OSError:
        if not os.path.exists(path):
            raise
    try:
        control_paths.connect(path, 1.0).close()
    except (ConnectionRefusedError, FileNotFoundError):
        log.info("Removing the control socket of a node that is gone: %s", path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return control_paths.bound(path)
    except OSError:
        return None
    return None


def _refuse(path: str) -> socket.socket:
    raise OSError(f"another process listens at {path}")


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Keep other nodes from looking for a free path at the same time."""
    lock = os.open(os.path.join(folder, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
