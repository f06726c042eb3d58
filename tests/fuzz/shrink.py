"""Shrinks a conversation that found something, as long as it finds the same.

Each attempt runs in a child process, because some findings end the process.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace

from tests.fuzz.conversation import replay
from tests.fuzz.events import Case, Event

#: Seconds after which an attempt counts as one that hangs.
ATTEMPT_S = 60

#: Attempts to make one conversation shorter.
ATTEMPTS = 600

Outcome = Callable[[Case], str]


def kind_of(error: BaseException) -> str:
    """Describe a finding in one line without what differs from run to run."""
    first = f"{type(error).__name__}: {error}".splitlines()[0]
    return re.sub(r"0x[0-9a-f]+|\d+", "N", first)[:300]


def outcome(case: Case) -> str:
    """Return what a conversation finds; empty for nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        signal.alarm(ATTEMPT_S)
        said = ""
        try:
            replay(case)
        except BaseException as error:
            said = kind_of(error)
        os.write(writing, said.encode(errors="replace"))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read().decode()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return said if code == 0 else f"the process has ended with status {code}"


def shrunk(case: Case, find: Outcome = outcome) -> Case:
    """Return the shortest conversation with the same outcome, which is its `note`."""
    wanted = find(case)
    if not wanted:
        return case
    left = ATTEMPTS

    def same(events: tuple[Event, ...]) -> bool:
        nonlocal left
        left -= 1
        return left > 0 and find(replace(case, events=events)) == wanted

    events = _fewer(case.events, same)
    for at, event in enumerate(events):
        for simpler in _simpler(event):
            changed = (*events[:at], simpler, *events[at + 1 :])
            if same(changed):
                events = changed
                break
    return replace(case, events=events, note=wanted)


def _fewer(events: tuple[Event, ...], same: Callable[[tuple[Event, ...]], bool]) -> tuple[Event, ...]:
    """Remove shorter and shorter parts, from the end on."""
    size = max(1, len(events) // 2)
    while True:
        at = len(events) - size
        while at > -size:
            shorter = (*events[: max(0, at)], *events[max(0, at + size) :])
            if len(shorter) < len(events) and same(shorter):
                events = shorter
            at -= size
        if size == 1:
            return events
        size = max(1, size // 2)


def _simpler(event: Event) -> list[Event]:
    """Return the same event without its pieces, and with fewer octets."""
    found = [replace(event, sizes=())] if event.sizes else []
    if event.kind == "octets" and len(event.octets) > 64:
        found += [replace(event, sizes=(), octets=event.octets[: len(event.octets) // 2])]
    return found
