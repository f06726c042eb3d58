"""A broker that leaks 300 kB and a descriptor with every declared queue: a test of the soak must detect it."""

from __future__ import annotations

import os
import sys
from typing import Any

from leveret.cli.serve import main
from leveret.engine.vhost import VirtualHost

LEAK_BYTES = 300_000
kept: list[bytes] = []
declare = VirtualHost.declare_queue


def leak(self: Any, *arguments: Any, **more: Any) -> Any:
    """Declare a queue, and leak."""
    kept.append(os.urandom(LEAK_BYTES))
    os.open(os.devnull, os.O_RDONLY)
    return declare(self, *arguments, **more)


VirtualHost.declare_queue = leak  # type: ignore[method-assign]
sys.exit(main())
