"""Memory of dicts that have lost most of their keys.

Python gives the table of a dict another size only when a key is added to a full one. After a hundred thousand queues
were deleted, the table that had them all would stay, megabytes in each index of queues.
"""

from __future__ import annotations

import sys
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

#: The size of the table is looked at whenever the number of keys is a multiple of this one.
LOOKED_AT_KEYS = 64

#: Octets for a key, and for as many keys more as above, beyond which a table is too large. A full one has 40 to 110.
MOST_BYTES = 1024


def shrink(index: dict[K, V]) -> None:
    """Make the table of a dict smaller if few keys are left in it; for a call after each key that is removed. The order
    stays. Nobody may be iterating over the dict."""
    count = len(index)
    if count % LOOKED_AT_KEYS == 0 and sys.getsizeof(index) > MOST_BYTES * (count + LOOKED_AT_KEYS):
        kept = index.copy()
        index.clear()
        index.update(kept)
