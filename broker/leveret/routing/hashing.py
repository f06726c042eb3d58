"""Erlang's `phash2`, and the jump consistent hash of RabbitMQ's plugin, with identical results.

Messages must go to the queue that RabbitMQ would choose, and bindings with arguments have the same key as in RabbitMQ's
HTTP API (`properties_key` ends with a phash2 of the arguments). Terms are represented as in `wire/erlang.py`: bytes,
int, float, `Atom`, bool, None (`undefined`), tuple and list. Sources: erts/emulator/beam/erl_term_hashing.c
(make_hash2, block_hash), `rand` of stdlib (exs1024), rabbit_exchange_type_consistent_hash:jump_consistent_hash; Lamping
and Veach, 2014.
"""

from __future__ import annotations

import struct

import cython

from leveret.wire.erlang import Atom, Term

# The golden ratio. Its multiples distinguish the kinds of terms.
_GOLDEN = cython.declare(cython.ulonglong, 0x9E3779B9)
_MASK = cython.declare(cython.ulonglong, 0xFFFFFFFF)
_MASK64 = 0xFFFFFFFFFFFFFFFF

#: phash2/1 without a range is modulo this.
RANGE = 1 << 27

#: The hash of the empty list alone, and its word as the end of another list.
_NIL_ALONE = 3468870702
_NIL = 2


def phash2(term: Term, limit: int = RANGE) -> int:
    """Return `erlang:phash2(Term, Limit)`; limit is 1 to 2**32."""
    return Hasher().term(term, 0) % limit


class Hasher:
    """Hashes terms: `a`, `b` and `c` are the 32-bit words that Bob Jenkins' function mixes. Compiled, because the
    arguments of a binding may be long.

    Its methods take the hash of what came before and return the one of both.
    """

    def __init__(self) -> None:
        self.a: int = 0
        self.b: int = 0
        self.c: int = 0

    def mix(self) -> None:
        """Mix the words."""
        a: cython.ulonglong = self.a
        b: cython.ulonglong = self.b
        c: cython.ulonglong = self.c
        a = ((a - b - c) & _MASK) ^ (c >> 13)
        b = ((b - c - a) & _MASK) ^ ((a << 8) & _MASK)
        c = ((c - a - b) & _MASK) ^ (b >> 13)
        a = ((a - b - c) & _MASK) ^ (c >> 12)
        b = ((b - c - a) & _MASK) ^ ((a << 16) & _MASK)
        c = ((c - a - b) & _MASK) ^ (b >> 5)
        a = ((a - b - c) & _MASK) ^ (c >> 3)
        b = ((b - c - a) & _MASK) ^ ((a << 10) & _MASK)
        c = ((c - a - b) & _MASK) ^ (b >> 15)
        self.a = a
        self.b = b
        self.c = c

    def words(
        self,
        hashed: cython.ulonglong,
        first: cython.ulonglong,
        second: cython.ulonglong,
        kind: cython.ulonglong,
    ) -> cython.ulonglong:
        """Hash two words. Their number tells the kinds of terms apart."""
        salt: cython.ulonglong = kind * _GOLDEN
        self.a = (salt + first) & _MASK
        self.b = (salt + second) & _MASK
        self.c = hashed
        self.mix()
        return self.c

    def term(self, term: Term, hashed: cython.ulonglong) -> cython.ulonglong:
        """Hash any term."""
        if isinstance(term, bytes):
            return self.binary(term, hashed)
        if isinstance(term, list):
            return self.sequence(term, hashed)
        if isinstance(term, tuple):
            hashed = self.words(hashed, len(term), 0, 9)
            for item in term:
                hashed = self.term(item, hashed)
            return hashed
        if isinstance(term, bool) or term is None or isinstance(term, Atom):
            return self.atom(term, hashed)
        if isinstance(term, int):
            return self.integer(term, hashed)
        high, low = struct.unpack(">II", struct.pack(">d", term or 0.0))
        return self.words(hashed, high, low, 12)

    def binary(self, data: bytes, hashed: cython.ulonglong) -> cython.ulonglong:
        """Hash octets."""
        size: cython.Py_ssize_t = len(data)
        p: cython.p_const_uchar = data
        i: cython.Py_ssize_t = 0
        self.c = (13 * _GOLDEN + hashed) & _MASK
        if size == 0:
            return self.c
        self.a = self.b = _GOLDEN
        while size - i >= 12:
            self.a = (self.a + word(p, i)) & _MASK
            self.b = (self.b + word(p, i + 4)) & _MASK
            self.c = (self.c + word(p, i + 8)) & _MASK
            self.mix()
            i += 12
        # The lowest octet of the third word is reserved for the length.
        shift: cython.int = 0
        self.c = (self.c + size) & _MASK
        while i < size:
            part: cython.ulonglong = p[i]
            if shift < 4:
                self.a = (self.a + (part << 8 * shift)) & _MASK
            elif shift < 8:
                self.b = (self.b + (part << 8 * (shift - 4))) & _MASK
            else:
                self.c = (self.c + (part << 8 * (shift - 7))) & _MASK
            shift += 1
            i += 1
        self.mix()
        return self.c

    def sequence(self, items: list[Term], hashed: cython.ulonglong) -> cython.ulonglong:
        """Hash a list. Consecutive octets are hashed four at a time, because strings are lists of them."""
        at: cython.Py_ssize_t = 0
        while at < len(items):
            run = bytearray()
            while at < len(items):
                item = items[at]
                if type(item) is not int or not 0 <= item < 256:
                    break
                run.append(item)
                at += 1
            for start in range(0, len(run), 4):
                hashed = self.words(hashed, int.from_bytes(run[start : start + 4], "big"), 0, 4)
            if at < len(items):
                hashed = self.term(items[at], hashed)
                at += 1
        return _NIL_ALONE if hashed == 0 else self.words(hashed, _NIL, 0, 2)

    def atom(self, atom: bool | Atom | None, hashed: cython.ulonglong) -> cython.ulonglong:
        """Hash an atom."""
        name = "undefined" if atom is None else str(atom).lower() if isinstance(atom, bool) else atom
        raw = name.encode("latin-1")
        p: cython.p_const_uchar = raw
        i: cython.Py_ssize_t
        value: cython.ulonglong = 0
        high: cython.ulonglong
        for i in range(len(raw)):
            value = (value << 4) + p[i]
            high = value & 0xF0000000
            value = (value ^ (high >> 24)) & ~high
        return value if hashed == 0 else self.words(hashed, value, 0, 3)

    def integer(self, number: object, hashed: cython.ulonglong) -> cython.ulonglong:
        """Hash an integer of any size."""
        assert isinstance(number, int)
        if -(1 << 27) <= number < 1 << 27:
            if number < 0:
                hashed = self.words(hashed, -number, 0, 1)
            return self.words(hashed, number & 0xFFFFFFFF, 0, 1)
        kind = 10 if number < 0 else 11
        number = abs(number)
        while number:
            hashed = self.words(hashed, number & 0xFFFFFFFF, (number >> 32) & 0xFFFFFFFF, kind)
            number >>= 64
        return hashed


def word(p: cython.p_const_uchar, i: cython.Py_ssize_t) -> cython.ulonglong:
    """Return the 32-bit number at `i`, lowest octet first."""
    high: cython.ulonglong = p[i + 3]
    return p[i] | p[i + 1] << 8 | p[i + 2] << 16 | high << 24


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
