"""The protocol of the control socket: frames in both directions, one request in each connection.

A frame is its length without this header (4 octets, big-endian), its kind (1 octet), and the payload. The node begins
with a greeting; the command sends its request; the node answers with output, progress and the exit status.
"""

from __future__ import annotations

import json

#: Kinds of frames: from the node a greeting (JSON), output (text), progress (JSON) for commands that ask for it, and
#: the end (JSON); from the command its request (JSON).
GREETING, OUTPUT, PROGRESS, END, REQUEST = b"g", b"o", b"p", b"x", b"r"

HEADER_BYTES = 5

#: The longest frame. A request carries a whole file of definitions at most.
LONGEST_BYTES = 256 << 20


def frame(kind: bytes, payload: bytes) -> bytes:
    """Return a frame."""
    return len(payload).to_bytes(4, "big") + kind + payload


def json_frame(kind: bytes, value: object) -> bytes:
    """Return a frame with JSON. Octets that are no UTF-8 in arguments are surrogate escapes."""
    return frame(kind, json.dumps(value).encode())


def header(octets: bytes) -> tuple[bytes, int]:
    """Return kind and length of the payload. Raises ValueError for a length that is out of bounds."""
    length = int.from_bytes(octets[:4], "big")
    if length > LONGEST_BYTES:
        raise ValueError(f"a frame of {length} octets on the control socket")
    return octets[4:5], length


def decoded(payload: bytes) -> dict[str, object]:
    """Return the JSON object of a frame. Raises ValueError."""
    try:
        value = json.loads(payload)
    except RecursionError:
        raise ValueError("JSON that is nested too deep on the control socket") from None
    if not isinstance(value, dict):
        raise ValueError("no JSON object on the control socket")
    return value
