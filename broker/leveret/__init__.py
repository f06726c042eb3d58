"""Leveret: a self-hosted AMQP 0-9-1 broker that stands in for RabbitMQ.

With LEVERET_PURE=1 in the environment the hot path's modules are loaded from their `.py` files even where compiled
ones lie beside them.
"""

from __future__ import annotations

import os

__version__ = "0.1.0"

if os.environ.get("LEVERET_PURE") == "1":  # before any module of the hot path is imported
    from leveret import _pure

    _pure.install()
