"""Leveret: a self-hosted AMQP 0-9-1 broker that replaces RabbitMQ.

With LEVERET_PURE=1 in the environment, the modules of the hot path are loaded from their `.py` files even if there are
compiled ones.
"""

from __future__ import annotations

import os

__version__ = "0.1.0"

if os.environ.get("LEVERET_PURE") == "1":  # before any module of the hot path is imported
    from leveret import _pure

    _pure.install()
