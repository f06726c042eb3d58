"""Erlang's `phash2`, and the jump consistent hash of RabbitMQ's plugin, with identical results.

Messages must go to the queue that RabbitMQ would choose, and bindings with arguments have the same key as in RabbitMQ's
HTTP API (`properties_key` ends with a phash2 of the arguments). Terms are represented as in `wire/erlang.py`: bytes,
int, float, `Atom`, bool, None (`undefined`), tuple and list. Sources: erts/emulator/beam/erl_term_hashing.c
(make_hash2, block_hash), `rand` of stdlib (exs1024), rabbit_exchange_type_consistent_hash:jump_consistent_hash; Lamping
and Veach, 2014.
"""

from __future__ import annotations

import struct

from leveret.wire.erlang import Atom, Term

#: The golden ratio. Its multiples distinguish the kinds of terms.
_GOLDEN = 0x9E3779B9
_MASK = 0xFFFFFFFF
_MASK64 = 0xFFFFFFFFFFFFFFFF

#: phash2/1 without a range is modulo this.
RANGE = 1 << 27

#: The hash of the empty list alone, and its word as the end of another list.
_NIL_ALONE = 3468870702
_NIL = 2


def phash2(term: Term, limit: int = RANGE) -> int:
    """Return `erlang:phash2(Term, Limit)`; limit is 1 to 2**32."""
    return _term(term, 0) % limit


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    """Return Bob Jenkins' mix of three 32-bit words."""
    for x, y, z in ((13, 8, 13), (12, 16, 5), (3, 10, 15)):
        a = ((a - b - c) & _MASK) ^ (c >> x)
        b = ((b - c - a) & _MASK) ^ ((a << y) & _MASK)
        c = ((c - a - b) & _MASK) ^ (b >> z)
    return a, b, c


def _words(hashed: int, first: int, second: int, kind: int) -> int:
    salt = kind * _GOLDEN
    return _mix((salt + first) & _MASK, (salt + second) & _MASK, hashed)[2]


def _term(term: Term, hashed: int) -> int:
    if isinstance(term, bytes):
        return _binary(term, hashed)
    if isinstance(term, list):
        return _list(term, hashed)
    if isinstance(term, tuple):
        hashed = _words(hashed, len(term), 0, 9)
        for item in term:
            hashed = _term(item, hashed)
        return hashed
    if isinstance(term, bool) or term is None or isinstance(term, Atom):
        return _atom(term, hashed)
    if isinstance(term, int):
        return _integer(term, hashed)
    high, low = struct.unpack(">II", struct.pack(">d", term or 0.0))
    return _words(hashed, high, low, 12)


def _binary(data: bytes, hashed: int) -> int:
    c = (13 * _GOLDEN + hashed) & _MASK
    if not data:
        return c
    a = b = _GOLDEN
    blocks = len(data) // 12
    for first, second, third in struct.iter_unpack("<III", data[: blocks * 12]):
        a, b, c = _mix((a + first) & _MASK, (b + second) & _MASK, (c + third) & _MASK)
    # The lowest octet of the third word is reserved for the length.
    rest = (
        data[blocks * 12 : blocks * 12 + 8].ljust(8, b"\0") + b"\0" + data[blocks * 12 + 8 :].ljust(3, b"\0")
    )
    first, second, third = struct.unpack("<III", rest)
    return _mix((a + first) & _MASK, (b + second) & _MASK, (c + len(data) + third) & _MASK)[2]


def _list(items: list[Term], hashed: int) -> int:
    """Hash a list. Consecutive octets are hashed four at a time, because strings are lists of them."""
    at = 0
    while at < len(items):
        run = bytearray()
        while at < len(items):
            item = items[at]
            if type(item) is not int or not 0 <= item < 256:
                break
            run.append(item)
            at += 1
        for start in range(0, len(run), 4):
            packed = int.from_bytes(run[start : start + 4], "big")
            hashed = _words(hashed, packed, 0, 4)
        if at < len(items):
            hashed = _term(items[at], hashed)
            at += 1
    return _NIL_ALONE if hashed == 0 else _words(hashed, _NIL, 0, 2)


def _atom(atom: bool | Atom | None, hashed: int) -> int:
    name = "undefined" if atom is None else str(atom).lower() if isinstance(atom, bool) else atom
    value = 0
    for octet in name.encode("latin-1"):
        value = (value << 4) + octet
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high
    return value if hashed == 0 else _words(hashed, value, 0, 3)


def _integer(number: int, hashed: int) -> int:
    if -(1 << 27) <= number < 1 << 27:
        if number < 0:
            hashed = _words(hashed, -number, 0, 1)
        return _words(hashed, number & _MASK, 0, 1)
    kind = 10 if number < 0 else 11
    number = abs(number)
    while number:
        hashed = _words(hashed, number & _MASK, (number >> 32) & _MASK, kind)
        number >>= 64
    return hashed


def jump(term: Term, buckets: int) -> int:
    """Return the bucket of a term, from 0, among `buckets` (at least 1), as RabbitMQ's consistent-hash exchange
    does."""
    if buckets == 1:
        return 0
    while isinstance(term, list):
        term = term[0] if term else phash2([])
    seed = term if type(term) is int else phash2(term)
    state = _seed(seed)
    at = 0
    chosen = 0
    step = 0
    while at < buckets:
        chosen = at
        # exs1024 has a state of sixteen words. Each step replaces one by a mix of itself and the one before it.
        first, second = state[step & 15], state[(step + 1) & 15]
        second ^= (second << 31) & _MASK64
        second ^= second >> 11
        second ^= first ^ (first >> 30)
        step += 1
        state[step & 15] = second
        value = (second * 1181783497276652981) & _MASK64
        if value == 0:
            break
        at = int((chosen + 1) / (value / float(1 << 64)))
    return chosen


def _seed(seed: int) -> list[int]:
    """Return the state of `rand:seed_s(exs1024, {Seed, Seed, Seed})`."""
    low = (seed & 0x1FFFFF) + 1
    first, second, third = (low * factor & 0x1FFFFF for factor in (2097131, 2097133, 2097143))
    word = first << 43 | second << 22 | third << 1 | 1
    state: list[int] = []
    for _ in range(16):
        word ^= word >> 12
        word ^= (word << 25) & _MASK64
        word ^= word >> 27
        state.insert(0, (word * 2685821657736338717) & _MASK64)
    return state
