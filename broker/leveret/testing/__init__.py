"""The test toolkit: a broker inside the test, a clock to move, faults to script, history to assert on.

    with Broker() as broker:
        pika.BlockingConnection(pika.URLParameters(broker.url))

The names below are public; they are loaded when they are first used, so that importing this package costs nothing.
docs/testing.md describes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leveret.testing.broker import AsyncBroker, Broker
    from leveret.testing.clock import AsyncClock, Clock, DueEvent, Moves
    from leveret.testing.errors import (
        BlockingCall,
        ClockError,
        NotIdle,
        ReplayMismatch,
        Stopped,
        ToolkitError,
        Unclean,
        Unroutable,
        Unsupported,
        WaitTimeout,
    )
    from leveret.testing.faults import AsyncFault, AsyncFaults, Fault, Faults, Occasion
    from leveret.testing.messages import Event, Messages, PublishedMessage, QueueMessage
    from leveret.testing.near_miss import NearMiss
    from leveret.testing.reasons import Reason
    from leveret.testing.recording import Recording
    from leveret.testing.replay import Replay
    from leveret.testing.snapshots import Snapshot
    from leveret.testing.values import Properties

__all__ = [
    "AsyncBroker",
    "AsyncClock",
    "AsyncFault",
    "AsyncFaults",
    "BlockingCall",
    "Broker",
    "Clock",
    "ClockError",
    "DueEvent",
    "Event",
    "Fault",
    "Faults",
    "Messages",
    "Moves",
    "NearMiss",
    "NotIdle",
    "Occasion",
    "Properties",
    "PublishedMessage",
    "QueueMessage",
    "Reason",
    "Recording",
    "Replay",
    "ReplayMismatch",
    "Snapshot",
    "Stopped",
    "ToolkitError",
    "Unclean",
    "Unroutable",
    "Unsupported",
    "WaitTimeout",
]

#: Module of each public name.
_MODULES = {
    "AsyncBroker": "broker",
    "AsyncClock": "clock",
    "AsyncFault": "faults",
    "AsyncFaults": "faults",
    "Broker": "broker",
    "Clock": "clock",
    "DueEvent": "clock",
    "Event": "messages",
    "Fault": "faults",
    "Faults": "faults",
    "Messages": "messages",
    "Moves": "clock",
    "NearMiss": "near_miss",
    "Occasion": "faults",
    "Properties": "values",
    "PublishedMessage": "messages",
    "QueueMessage": "messages",
    "Reason": "reasons",
    "Recording": "recording",
    "Replay": "replay",
    "Snapshot": "snapshots",
}


def __getattr__(name: str) -> object:
    """Import a public name. Raises `AttributeError`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = found
    return found
