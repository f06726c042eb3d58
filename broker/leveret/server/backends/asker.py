"""Runs what asks others in the event loop, as jobs that connections and HTTP requests wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from leveret.faults import Faults
from leveret.work import Job, Work


class Edge(Protocol):
    """The part of the edge that is used here."""

    @property
    def work(self) -> Work:
        """The jobs of the broker."""

    def tick(self) -> None:
        """Move the engine's time to the current one."""

    def touch(self) -> None:
        """Send what was caused."""


class Asker:
    """Begins questions. `running`: those without an answer."""

    def __init__(self, edge: Edge, faults: Faults) -> None:
        self.edge = edge
        self.faults = faults
        self.running: set[asyncio.Task[None]] = set()

    def begin(self, question: Awaitable[None]) -> Job:
        """Ask; the job has ended when the answer was noted."""
        job = Job.elsewhere("authentication")
        task = asyncio.get_running_loop().create_task(self._ask(question, job))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return job

    async def _ask(self, question: Awaitable[None], job: Job) -> None:
        try:
            await question
        except Exception as error:
            self.faults.report("authentication", error)
        finally:
            self.edge.tick()
            self.edge.work.complete(job)
            self.edge.touch()

    async def stop(self) -> None:
        """Give up what has no answer."""
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
