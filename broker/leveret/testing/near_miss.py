"""Why a message reached no queue: the binding that it missed by the smallest difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from leveret.routing.headers import MODES

if TYPE_CHECKING:
    from leveret.engine.vhost import VirtualHost
    from leveret.routing.bindings import Binding
    from leveret.routing.exchanges import Exchange
    from leveret.wire.tables import Table

#: Bindings and names that are compared; in a larger topology only the first ones.
MOST_COMPARED = 2000


class NearMiss(Struct, frozen=True):
    """What would have taken a message. `exchange`, `binding`: the exchange and the binding key, None if it is no
    binding; `destination`: the queue or exchange there; `why`: a sentence about the difference."""

    exchange: str
    binding: str | None
    destination: str | None
    why: str

    def __str__(self) -> str:
        """Return the sentence."""
        return self.why


def nearest_miss(
    vhosts: Mapping[str, VirtualHost], vhost: VirtualHost, exchange: str, key: str, headers: Table | None
) -> NearMiss:
    """Return what would have taken a message that reached no queue: first in the same exchange, then elsewhere."""
    source = vhost.exchanges.get(exchange)
    if source is None:
        return _no_exchange(vhosts, vhost, exchange)
    if exchange == "":
        return _no_queue(vhosts, vhost, key)
    found = _in_exchange(source, key, headers)
    if found is not None:
        return found
    other = _in_other_exchange(vhost, source, key)
    if other is not None:
        return other
    return NearMiss(exchange, None, None, f"exchange '{exchange}' has no binding")


def _no_exchange(vhosts: Mapping[str, VirtualHost], vhost: VirtualHost, name: str) -> NearMiss:
    there = _elsewhere(vhosts, vhost, lambda other: name in other.exchanges)
    if there is not None:
        why = f"exchange '{name}' does not exist in vhost '{vhost.name}'; it does in vhost '{there}'"
        return NearMiss(name, None, None, why)
    why = f"exchange '{name}' does not exist in vhost '{vhost.name}'"
    like = closest(name, [each for each in vhost.exchanges if each])
    return NearMiss(name, None, None, f"{why}; '{like}' does" if like is not None else why)


def _no_queue(vhosts: Mapping[str, VirtualHost], vhost: VirtualHost, key: str) -> NearMiss:
    start = "the default exchange takes the name of a queue as routing key"
    there = _elsewhere(vhosts, vhost, lambda other: key in other.queues)
    if there is not None:
        return NearMiss("", None, key, f"{start}: queue '{key}' is in vhost '{there}', not in '{vhost.name}'")
    like = closest(key, vhost.queues)
    if like is not None:
        return NearMiss("", like, like, f"{start}: there is no queue '{key}', but '{like}'")
    return NearMiss("", None, None, f"{start}: there is no queue '{key}' in vhost '{vhost.name}'")


def _elsewhere(vhosts: Mapping[str, VirtualHost], vhost: VirtualHost, has: object) -> str | None:
    assert callable(has)
    return next((name for name, other in vhosts.items() if other is not vhost and has(other)), None)


def _in_exchange(source: Exchange, key: str, headers: Table | None) -> NearMiss | None:
    best: tuple[float, Binding, str] | None = None
    for binding in _first(source):
        distance, why = _difference(source, binding, key, headers)
        if best is None or distance < best[0]:
            best = distance, binding, why
    if best is None:
        return None
    _, binding, why = best
    place = f"{binding.destination_type} '{binding.destination_name}'"
    bound = _text(binding.routing_key)
    return NearMiss(
        source.name,
        bound,
        binding.destination_name,
        f"{place} is bound to exchange '{source.name}' with {why}",
    )


def _in_other_exchange(vhost: VirtualHost, source: Exchange, key: str) -> NearMiss | None:
    for exchange in vhost.exchanges.values():
        if exchange is source or exchange.type == "headers":
            continue
        for binding in _first(exchange):
            if _matches(exchange.type, _text(binding.routing_key), key):
                bound, queue = _text(binding.routing_key), binding.destination_name
                why = (
                    f"exchange '{source.name}' has no binding; {binding.destination_type} '{queue}' is bound to"
                    f" exchange '{exchange.name}' with key '{bound}', which would take it"
                )
                return NearMiss(exchange.name, bound, queue, why)
    return None


def _first(exchange: Exchange) -> Iterator[Binding]:
    for number, binding in enumerate(list(exchange.bindings.values())):
        if number == MOST_COMPARED:
            return
        yield binding


def _difference(source: Exchange, binding: Binding, key: str, headers: Table | None) -> tuple[float, str]:
    """Return how far a binding is from the message, and a text about it."""
    bound = _text(binding.routing_key)
    if source.type == "headers":
        return _headers_differ(binding, headers or {})
    if source.type == "topic":
        return _topic_differs(bound, key)
    return 1 - _alike(bound, key), f"key '{bound}', not '{key}'"


def _headers_differ(binding: Binding, headers: Table) -> tuple[float, str]:
    match = binding.arguments.get("x-match")
    every, with_x = MODES[match.value if match is not None else b"all"]
    wanted = [
        name for name in binding.arguments if name != "x-match" and (with_x or not name.startswith("x-"))
    ]
    missing = [name for name in wanted if name not in headers]
    other = [name for name in wanted if name in headers]
    parts = []
    if missing:
        parts.append(
            f"headers {_names(missing)} are missing"
            if len(missing) > 1
            else f"header {_names(missing)} is missing"
        )
    if other:
        parts.append(f"headers differ in {_names(other)}")
    mode = "all" if every else "any"
    return len(missing) + 0.5 * len(other), f"x-match={mode}: {', '.join(parts) or 'it asks for no header'}"


def _names(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _topic_differs(pattern: str, key: str) -> tuple[float, str]:
    words, given = pattern.split("."), key.split(".")
    text = f"pattern '{pattern}'"
    if "#" not in words and len(words) != len(given):
        plural = "word" if len(words) == 1 else "words"
        return (
            1 + abs(len(words) - len(given)),
            f"{text}: it has {len(words)} {plural}, the key '{key}' has {len(given)}",
        )
    wrong = [
        number
        for number, (word, other) in enumerate(zip(words, given, strict=False), 1)
        if word not in ("*", other)
    ]
    if "#" in words or not wrong:
        return 1 - _alike(pattern, key), f"{text}, which does not match the key '{key}'"
    first = wrong[0]
    distance = sum(1 - _alike(words[number - 1], given[number - 1]) for number in wrong)
    more = f", and in {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return distance, f"{text}: the key '{key}' has '{given[first - 1]}' in word {first}{more}"


def _matches(kind: str, bound: str, key: str) -> bool:
    if kind == "fanout":
        return True
    if kind == "topic":
        return topic_matches(bound.split("."), key.split("."))
    return bound == key


def topic_matches(pattern: list[str], words: list[str]) -> bool:
    """Return whether the words of a topic pattern match those of a routing key (docs: topic exchanges)."""
    if not pattern:
        return not words
    first, rest = pattern[0], pattern[1:]
    if first == "#":
        return any(topic_matches(rest, words[number:]) for number in range(len(words) + 1))
    return bool(words) and first in ("*", words[0]) and topic_matches(rest, words[1:])


def closest(name: str, names: Mapping[str, object] | list[str], least: float = 0.6) -> str | None:
    """Return the name that is most like another one; None if none is like it. `least`: how like, from 0 to 1."""
    best, ratio = None, 0.0
    for number, other in enumerate(names):
        if number == MOST_COMPARED:
            break
        alike = 1.0 if other.lower() == name.lower() else _alike(other, name)
        if alike >= least and alike > ratio:
            best, ratio = other, alike
    return best


def _alike(one: str, other: str) -> float:
    from difflib import SequenceMatcher  # imported only if it is needed

    return SequenceMatcher(None, one, other).ratio()


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")
