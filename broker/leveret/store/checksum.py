"""CRC-32C of what is stored (RFC 3720 B.4).

The library brings the C++ runtime along, more than a megabyte: it is imported for the first block, not at start.
"""

from __future__ import annotations


def crc32c(data: bytes | memoryview, before: int = 0) -> int:
    """Return the CRC-32C of the octets. `before`: that of the octets before them."""
    from google_crc32c import extend

    return int(extend(before, data))
