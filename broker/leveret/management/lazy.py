"""Imports at the first use, beside the event loop."""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

#: How long an import keeps the interpreter's lock before the event loop gets it, seconds.
SWITCH_S = 0.0005

Result = TypeVar("Result")

#: Held by the one call that has changed how threads take turns.
_turns = threading.Lock()


async def imported(name: str) -> ModuleType:
    """Return a module, imported in a thread unless it is there: one that another thread imports may lack a part."""
    found = sys.modules.get(name)
    if found is not None and not getattr(found.__spec__, "_initializing", False):
        return found
    return await beside(lambda: importlib.import_module(name))


async def beside(call: Callable[[], Result]) -> Result:
    """Run a call that imports or makes much in a thread that often lets the event loop go on. The garbage collector
    does not visit what is made meanwhile: it would hold the loop."""
    return await asyncio.to_thread(_politely, call)


def _politely(call: Callable[[], Result]) -> Result:
    with _turns:  # the second of two would take what the first has set for what was before
        interval, collects = sys.getswitchinterval(), gc.isenabled()
        sys.setswitchinterval(SWITCH_S)
        gc.disable()
        try:
            return call()
        finally:
            sys.setswitchinterval(interval)
            if collects:
                gc.enable()
