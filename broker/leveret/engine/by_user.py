"""What is kept for users in virtual hosts: found by both, and by one of them without a look at all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from leveret.shrinking import shrink

V = TypeVar("V")

#: A user and a virtual host.
Key = tuple[str, str]


class ByUser(Generic[V]):
    """Values by user and virtual host."""

    def __init__(self) -> None:
        self._values: dict[Key, V] = {}
        self._of_user: dict[str, dict[str, V]] = {}
        self._of_vhost: dict[str, dict[str, V]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._values

    def get(self, key: Key) -> V | None:
        """Return a value, or None."""
        return self._values.get(key)

    def __setitem__(self, key: Key, value: V) -> None:
        user, vhost = key
        self._values[key] = value
        self._of_user.setdefault(user, {})[vhost] = value
        self._of_vhost.setdefault(vhost, {})[user] = value

    def pop(self, key: Key) -> V | None:
        """Remove a value and return it; None if there is none."""
        value = self._values.pop(key, None)
        if value is not None:
            shrink(self._values)
            user, vhost = key
            _remove(self._of_user, user, vhost)
            _remove(self._of_vhost, vhost, user)
        return value

    def users(self) -> set[str]:
        """Return the users that have any value."""
        return set(self._of_user)

    def each(self, vhost: str | None = None, user: str | None = None) -> Iterator[tuple[Key, V]]:
        """Yield all keys with their values, or those of a virtual host or a user, in any order. They are those that are
        there now, also if they change before they are reached."""
        if user is not None and vhost is not None:
            value = self._values.get((user, vhost))
            return iter([] if value is None else [((user, vhost), value)])
        if user is not None:
            places = list(self._of_user.get(user, {}).items())
            return (((user, where), value) for where, value in places)
        if vhost is not None:
            users = list(self._of_vhost.get(vhost, {}).items())
            return (((name, vhost), value) for name, value in users)
        return iter(list(self._values.items()))


def _remove(index: dict[str, dict[str, V]], name: str, other: str) -> None:
    there = index[name]
    del there[other]
    shrink(there)
    if not there:
        del index[name]
        shrink(index)
