"""Large JSON values in portions: encoding or freeing millions of values at once would hold the event loop.

`encoded` writes a value as JSON, `compact` keeps a large one as text, and `dismantled` frees one that nobody needs any
more. All are generators that yield after each portion.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from itertools import islice
from sys import getrefcount

import msgspec

#: Values that are encoded or freed together.
TOGETHER = 512

#: Characters of a long string that are encoded at once.
_STRING_TOGETHER = 32 * 1024

#: Octets of a value that is kept as text: to encode it again takes less than half a millisecond.
COMPACT_BYTES = 256 * 1024

#: Values of a refused document that its error shows.
MOST_SHOWN = 8192

Portions = Generator[None, None, None]

_encoder = msgspec.json.Encoder()


def encoded(value: object) -> Generator[None, None, bytearray]:
    """Return a value as JSON."""
    found = bytearray()
    yield from _encoded(value, found)
    return found


def compact(value: object) -> Generator[None, None, object]:
    """Return a value, or its text if that is long: it is shown as fast as it is copied, and the garbage collector does
    not visit it. Octets that are not UTF-8, which an Erlang term can have, have no such text."""
    try:
        text = yield from encoded(value)
    except UnicodeEncodeError:
        return value
    return value if len(text) <= COMPACT_BYTES else msgspec.Raw(bytes(text))


def _encoded(value: object, found: bytearray) -> Portions:
    if isinstance(value, list) and value:
        yield from _encoded_array(value, found)
    elif isinstance(value, dict) and value:
        yield from _encoded_object(value, found)
    elif isinstance(value, str) and len(value) > _STRING_TOGETHER:
        yield from _encoded_string(value, found)
    else:
        _append(value, found)


def _encoded_array(items: list[object], found: bytearray) -> Portions:
    found += b"["
    for start in range(0, len(items), TOGETHER):
        portion = items[start : start + TOGETHER]
        if all(map(_is_short, portion)):
            found += _encoder.encode(portion)[1:-1] + b","
        else:
            for item in portion:
                yield from _encoded(item, found)
                found += b","
        yield
    found[-1:] = b"]"


def _encoded_object(fields: dict[str, object], found: bytearray) -> Portions:
    if len(fields) <= TOGETHER and all(map(_is_short, fields.values())):
        _append(fields, found)
        return
    found += b"{"
    for number, (name, value) in enumerate(fields.items(), 1):
        _append(name, found)
        found += b":"
        yield from _encoded(value, found)
        found += b","
        if number % TOGETHER == 0:
            yield
    found[-1:] = b"}"


def _encoded_string(text: str, found: bytearray) -> Portions:
    found += b'"'
    for start in range(0, len(text), _STRING_TOGETHER):
        found += _encoder.encode(text[start : start + _STRING_TOGETHER])[1:-1]
        yield
    found += b'"'


def _is_short(value: object) -> bool:
    """Whether a value is encoded with others: what is in it counts for nothing."""
    return (
        not value or not isinstance(value, list | dict | str) or (isinstance(value, str) and len(value) < 64)
    )


def _append(value: object, found: bytearray) -> None:
    _encoder.encode_into(value, found, -1)


def dismantled(held: list[object]) -> Iterator[None]:
    """Free what a list holds. What somebody else refers to, too, stays as it is."""
    probe: list[object] = [[]]
    item = probe.pop()
    alone = getrefcount(item)
    done = 0
    while held:
        item = held.pop()
        if getrefcount(item) > alone:
            continue
        if isinstance(item, list):
            portion = item[-TOGETHER:]
            del item[-TOGETHER:]
        elif isinstance(item, dict):
            portion = [item.popitem()[1] for _ in range(min(TOGETHER, len(item)))]
        else:
            continue
        if item:
            held.append(item)
        held += [one for one in portion if isinstance(one, list | dict) and one]
        done += 1 + len(portion)
        del portion
        if done >= TOGETHER:
            done = 0
            yield


def abridged(value: object) -> object:
    """Return a refused value as it is shown: of one with very many values, the first of them and `...`."""
    return _abridged(value, [MOST_SHOWN])


def _abridged(value: object, left: list[int]) -> object:
    left[0] -= 1
    if isinstance(value, list):
        items = [_abridged(item, left) for item in value[: max(left[0], 0)]]
        return items if len(items) == len(value) else [*items, "..."]
    if isinstance(value, dict):
        names = islice(value, max(left[0], 0))
        fields = {name: _abridged(value[name], left) for name in names}
        return fields if len(fields) == len(value) else {**fields, "...": "..."}
    return value


def text_of(document: dict[str, object]) -> str:
    """Return a document as JSON, also with a text that is kept of a value."""
    try:
        return _encoder.encode(document).decode()
    except UnicodeEncodeError:  # octets of names that are not UTF-8 are surrogates
        return json.dumps(document)


def plain(kept: object) -> object:
    """Return what a text that is kept says, for encoders that do not know it. Raises TypeError for all else."""
    if isinstance(kept, msgspec.Raw):
        return json.loads(bytes(kept))
    raise TypeError(f"{type(kept).__name__} is no JSON")
