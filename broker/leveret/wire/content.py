"""The content header as received: one walk over the property list that finds what routing and queues need.

The payload of a header frame is class (2 octets), weight (2), body size (8), property flags (2), property list (AMQP
0-9-1 2.3.5.2). Messages keep it unchanged. `Header.scan` walks over it once for each publish: it checks that every
property is inside the payload, and notes the positions of those that matter, without creating Python objects.
`wire/properties.py` decodes all of it, outside the hot path.
"""

from __future__ import annotations

import cython

from leveret import errors
from leveret.errors import AmqpError

CONTENT_TYPE = 0x8000
CONTENT_ENCODING = 0x4000
HEADERS = 0x2000
DELIVERY_MODE = 0x1000
PRIORITY = 0x0800
CORRELATION_ID = 0x0400
REPLY_TO = 0x0200
EXPIRATION = 0x0100
MESSAGE_ID = 0x0080
TIMESTAMP = 0x0040
TYPE = 0x0020
USER_ID = 0x0010
APP_ID = 0x0008
CLUSTER_ID = 0x0004

# Equals `tables.MAX_DEPTH`.
_MAX_DEPTH = cython.declare(cython.int, 128)

# Equals `tables.MAX_FIELDS`.
_MAX_FIELDS = cython.declare(cython.int, 8192)

#: Octets before the property list: class, weight, body size, flags.
PROPERTIES_AT = 14


class Header:
    """The result of one walk over a property list. A connection uses one instance for all messages.

    Positions are offsets into the scanned buffer, 0 if the property is absent. `headers`: where the length of the
    header table is. `sorted`: its names ascend, without duplicates. `special`: it has a name that routing uses (CC,
    BCC, or one that starts with `x-`). `odd`: RabbitMQ would write it differently (property flags beyond the fourteen,
    booleans other than 0 and 1, integers of type `L`). `fields`: how many its header table has. `deep`: they are
    nested on more levels than are allowed.
    """

    def __init__(self) -> None:
        self.flags: int = 0
        self.delivery_mode: int = -1
        self.priority: int = -1
        self.headers: int = 0
        self.headers_end: int = 0
        self.expiration: int = 0
        self.expiration_size: int = 0
        self.reply_to: int = 0
        self.reply_to_size: int = 0
        self.user_id: int = 0
        self.user_id_size: int = 0
        self.sorted: bool = True
        self.special: bool = False
        self.odd: bool = False
        self.fields: int = 0
        self.deep: bool = False

    def scan(self, p: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bool:
        """Walk over the payload from `start` (the class id) to `end`. Returns False if it is malformed."""
        i: cython.Py_ssize_t = start + 14
        flags: cython.uint
        size: cython.Py_ssize_t
        bit: cython.uint
        self.delivery_mode = -1
        self.priority = -1
        self.headers = 0
        self.expiration = 0
        self.reply_to = 0
        self.user_id = 0
        self.sorted = True
        self.special = False
        self.odd = False
        self.fields = 0
        self.deep = False
        if i > end:
            return False
        flags = p[i - 2] << 8 | p[i - 1]
        self.flags = flags
        if flags == 0:
            return i == end
        if flags & 3:  # RabbitMQ ignores the two lowest bits and does not forward them
            self.odd = True
        bit = 0x8000
        while bit > 2:
            if flags & bit:
                if bit == 0x2000:
                    if i + 4 > end:
                        return False
                    size = cython.cast(cython.uint, p[i]) << 24 | p[i + 1] << 16 | p[i + 2] << 8 | p[i + 3]
                    self.headers = i
                    i += 4 + size
                    if i > end or not self.look_at_headers(p, i - size, i):
                        return False
                    self.headers_end = i
                elif bit == 0x1000 or bit == 0x0800:
                    if i >= end:
                        return False
                    if bit == 0x1000:
                        self.delivery_mode = p[i]
                    else:
                        self.priority = p[i]
                    i += 1
                elif bit == 0x0040:
                    i += 8
                else:
                    if i >= end:
                        return False
                    size = p[i]
                    i += 1
                    if bit == 0x0100:
                        self.expiration = i
                        self.expiration_size = size
                    elif bit == 0x0200:
                        self.reply_to = i
                        self.reply_to_size = size
                    elif bit == 0x0010:
                        self.user_id = i
                        self.user_id_size = size
                    i += size
                if i > end:
                    return False
            bit >>= 1
        return i == end

    def refusal(self) -> AmqpError:
        """Return why `scan` has refused a property list: it is malformed, or exceeds a limit of this broker."""
        if self.fields > _MAX_FIELDS:
            return errors.too_many_headers(_MAX_FIELDS)
        if self.deep:
            return errors.headers_too_deep(_MAX_DEPTH)
        return errors.malformed_properties()

    def look_at_headers(self, p: cython.p_const_uchar, i: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bool:
        """Walk over the names of the header table between `i` and `end`. Returns False if a field is malformed."""
        last: cython.Py_ssize_t = 0
        last_size: cython.Py_ssize_t = 0
        size: cython.Py_ssize_t
        at: cython.Py_ssize_t
        k: cython.Py_ssize_t
        order: cython.int
        while i < end:
            size = p[i]
            at = i + 1
            i = at + size
            if i >= end:
                return False
            if last and self.sorted:
                order = 0
                for k in range(size if size < last_size else last_size):
                    order = cython.cast(cython.int, p[at + k]) - p[last + k]
                    if order:
                        break
                if order < 0 or (order == 0 and size <= last_size):
                    self.sorted = False
            last = at
            last_size = size
            if size >= 2 and (
                (p[at] == 0x78 and p[at + 1] == 0x2D)  # x-
                or (size == 2 and p[at] == 0x43 and p[at + 1] == 0x43)  # CC
                or (size == 3 and p[at] == 0x42 and p[at + 1] == 0x43 and p[at + 2] == 0x43)  # BCC
            ):
                self.special = True
            i = self.skip_field(p, i, end, 1)
            if i < 0:
                return False
        return True

    def skip_field(
        self, p: cython.p_const_uchar, i: cython.Py_ssize_t, end: cython.Py_ssize_t, depth: cython.int
    ) -> int:
        """Return where the field value ends whose type octet is at `i`; -1 if it exceeds `end`, or RabbitMQ's parser
        does not accept it (rabbit_binary_parser; `tables.py` decodes by the same rules)."""
        kind: cython.int
        size: cython.Py_ssize_t
        if i >= end:
            return -1
        kind = p[i]
        i += 1
        self.fields += 1
        if self.fields > _MAX_FIELDS:
            return -1
        if kind == 0x53 or kind == 0x78 or kind == 0x46 or kind == 0x41:  # S x F A
            if i + 4 > end:
                return -1
            size = cython.cast(cython.uint, p[i]) << 24 | p[i + 1] << 16 | p[i + 2] << 8 | p[i + 3]
            i += 4 + size
            if (kind == 0x46 or kind == 0x41) and (
                i > end or not self.look_inside(p, i - size, i, kind == 0x46, depth + 1)
            ):
                return -1
        elif kind == 0x49 or kind == 0x69 or kind == 0x66:  # I i f
            i += 4
            # Erlang has no infinity and no NaN.
            if kind == 0x66 and i <= end and (p[i - 4] & 0x7F) == 0x7F and p[i - 3] & 0x80:
                return -1
        elif kind == 0x74 or kind == 0x62 or kind == 0x42:  # t b B
            i += 1
            if kind == 0x74 and i <= end and p[i - 1] > 1:
                self.odd = True
        elif kind == 0x6C or kind == 0x4C or kind == 0x54 or kind == 0x64:  # l L T d
            i += 8
            if kind == 0x64 and i <= end and (p[i - 8] & 0x7F) == 0x7F and (p[i - 7] & 0xF0) == 0xF0:
                return -1
            if kind == 0x4C:
                self.odd = True
        elif kind == 0x73 or kind == 0x75:  # s u
            i += 2
        elif kind == 0x44:  # D
            i += 5
        elif kind != 0x56:  # V
            return -1
        return i if i <= end else -1

    def look_inside(
        self,
        p: cython.p_const_uchar,
        i: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        named: cython.bint,
        depth: cython.int,
    ) -> bool:
        """Walk over a table (`named`) or an array inside the headers. Returns False if a field is malformed."""
        if depth > _MAX_DEPTH:
            self.deep = True
            return False
        while i < end:
            if named:
                i += 1 + p[i]
            i = self.skip_field(p, i, end, depth)
            if i < 0:
                return False
        return True
