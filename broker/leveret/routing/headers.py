"""The headers exchange (0-9-1 3.1.3.4; rabbit_exchange_type_headers).

A binding's arguments are read once, when it is bound, into a `Wanted`. Values are compared as Erlang terms are by
`=:=`: by value, whatever the integer's width, but a string is no number, an integer no float and a boolean neither. A
timestamp in a message counts in milliseconds there (mc_amqpl:routing_value/2), so that it never equals the same
timestamp in a binding.

Bindings are filed under the headers that they ask for, name and value: one with `any` under each of them, one with
`all` under the one that the fewest others are filed under. A message is held only against those that are filed under a
header that it has.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeAlias

import cython

from leveret import errors
from leveret.profiles import Profile
from leveret.routing.bindings import Binding, Destination, Identity
from leveret.routing.exchanges import Declaration, Search
from leveret.shrinking import shrink
from leveret.wire.erlang import pretty
from leveret.wire.properties import Properties
from leveret.wire.tables import Field, FieldValue, Table, term

if cython.compiled:
    from cython.cimports.leveret.routing.exchanges import Exchange
else:
    from leveret.routing.exchanges import Exchange

#: x-match -> (all must match, arguments that begin with `x-` are compared).
MODES = {
    b"all": (True, False),
    b"any": (False, False),
    b"all-with-x": (True, True),
    b"any-with-x": (False, True),
}


#: What a binding is filed under: the name of a header, and its value as `_filed` makes it of a field.
Condition: TypeAlias = tuple[str, Hashable]

#: Bindings that ask for a header of some name, by its value.
Values: TypeAlias = "dict[Hashable, dict[Wanted, None]]"

#: Stands for any value: the binding only asks that the header is there.
_ANY_VALUE = ("any",)

#: Candidates that are checked before a search is interrupted for the first time: about a millisecond.
_SEARCH_STEPS = 2048


class Wanted:
    """What one binding asks of a message's headers. `number`: bindings count in the order in which they were bound;
    `conditions`: what it is filed under."""

    def __init__(self, binding: Binding, number: int = 0, exact: bool = True) -> None:
        self.exact: bool = exact
        self.number: int = number
        self.destination: Destination = binding.destination
        mode = binding.arguments.get("x-match")
        every, with_x = MODES[mode.value if mode is not None else b"all"]
        self.every: bool = every
        self.fields: Table = {
            name: field
            for name, field in binding.arguments.items()
            if name != "x-match" and (with_x or not name.startswith("x-"))
        }
        self.conditions: list[Condition] = []

    def holds(self, headers: Table) -> bool:
        """Return whether the headers match. Without required headers, `all` matches and `any` does not."""
        found: Field | None
        for name, field in self.fields.items():
            found = headers.get(name)
            if found is not None and (
                field.kind == "V" or (equal(field, found) if self.exact else like(field, found))
            ):
                if not self.every:
                    return True
            elif self.every:
                return False
        return self.every


class Headers(Exchange):
    """Routes by the message's headers: all or any of a binding's arguments must be there with an equal value.

    `filed`: bindings by the headers they ask for; `unconditional`: those that ask for none, and hold. `composites`: how
    many conditions have a table or an array as value.
    """

    def __init__(self, declaration: Declaration, profile: Profile) -> None:
        super().__init__(declaration, profile)
        self.by_key = False
        self.wanted: dict[Identity, Wanted] = {}
        self.filed: dict[str, Values] = {}
        self.unconditional: dict[Wanted, None] = {}
        self.composites: int = 0
        self.added: int = 0
        #: Values are compared by `=:=`, else (3.10) by `==`.
        self.exact: bool = profile.headers_compared_exactly

    def check_binding(self, binding: Binding) -> None:
        """Raise 406 unless x-match is one of its four values."""
        field = binding.arguments.get("x-match")
        if field is None:
            return
        if field.kind != "S":
            kind, value = term(field)
            raise errors.invalid_x_match_type(kind, pretty(value))
        if field.value not in MODES:
            raise errors.invalid_x_match(pretty(field.value))

    def bound(self, binding: Binding) -> None:
        """Read the arguments and file the binding."""
        self.added += 1
        wanted: Wanted = Wanted(binding, self.added, self.exact)
        self.wanted[binding.identity] = wanted
        conditions = [(name, _condition_of(field, self.exact)) for name, field in wanted.fields.items()]
        if wanted.every and conditions:
            conditions = [min(conditions, key=self._crowd)]
        elif wanted.every:
            self.unconditional[wanted] = None
        wanted.conditions = conditions
        for name, value in conditions:
            self.filed.setdefault(name, {}).setdefault(value, {})[wanted] = None
            self.composites += _is_composite(value)

    def _crowd(self, condition: Condition) -> int:
        """How many bindings are filed there."""
        name, value = condition
        return len(self.filed.get(name, {}).get(value, ()))

    def unbound(self, binding: Binding) -> None:
        """Forget them."""
        wanted: Wanted = self.wanted.pop(binding.identity)
        shrink(self.wanted)
        self.unconditional.pop(wanted, None)
        shrink(self.unconditional)
        for name, value in wanted.conditions:
            values = self.filed[name]
            there = values[value]
            del there[wanted]
            shrink(there)
            self.composites -= _is_composite(value)
            if not there:
                del values[value]
                shrink(values)
                if not values:
                    del self.filed[name]
                    shrink(self.filed)

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> Search | None:
        """Destinations of bindings whose arguments the headers satisfy, in the order in which they were bound."""
        headers: Table = (properties.headers if properties is not None else None) or {}
        candidates: list[Wanted] = list(self.unconditional)
        for name, field in headers.items():
            if name in self.filed:
                self.look(self.filed[name], field, candidates)
        if not candidates:
            return None
        if len(candidates) == 1:
            wanted: Wanted = candidates[0]
            if wanted.holds(headers):
                found.append(wanted.destination)
            return None
        search = HeadersSearch(candidates, headers, found)
        left: cython.Py_ssize_t = search.advance(_SEARCH_STEPS)
        self.steps = _SEARCH_STEPS - left
        return search if left == 0 else None

    def look(self, values: Values, field: Field, candidates: list[Wanted]) -> None:
        """Add the bindings that ask for a header with this name and value. `values`: those that ask for the name."""
        there: dict[Wanted, None] | None = values.get(_ANY_VALUE)
        if there is not None:
            candidates.extend(there)
        if self.composites or field.kind not in "AF":
            there = values.get(_filed(field, self.exact))
            if there is not None:
                candidates.extend(there)


class HeadersSearch:
    """Which of some bindings hold, for the headers of a message. `checked`: how many it has held against them."""

    def __init__(self, candidates: list[Wanted], headers: Table, found: list[Destination]) -> None:
        self.candidates: list[Wanted] = candidates
        self.headers: Table = headers
        self.found: list[Destination] = found
        self.checked: int = 0
        self.holding: dict[Wanted, None] = {}

    def advance(self, steps: cython.Py_ssize_t) -> int:
        """Check at most so many fields. Returns how many fewer it were; 0 if it may not have ended."""
        wanted: Wanted
        while self.checked < len(self.candidates):
            if steps <= 0:
                return 0
            wanted = self.candidates[self.checked]
            self.checked += 1
            steps -= 1
            if not wanted.every:
                self.holding[wanted] = None  # it is filed under that header
            else:
                steps -= len(wanted.fields)
                if wanted.holds(self.headers):
                    self.holding[wanted] = None
        self.found.extend([wanted.destination for wanted in sorted(self.holding, key=_number)])
        return max(steps, 1)


def _number(wanted: Wanted) -> int:
    return wanted.number


def _condition_of(field: Field, exact: bool) -> Hashable:
    """The value under which a binding's argument is filed."""
    if field.kind == "V":
        return _ANY_VALUE
    return _value(field.kind, field.value, exact)


def _filed(field: Field, exact: bool) -> Hashable:
    """The value under which bindings are filed that ask for a header of a message: equal where `equal`, or `like`, says
    that the values are."""
    value = field.value * 1000 if field.kind == "T" and exact else field.value
    return _value(field.kind, value, exact)


def _value(kind: str, value: FieldValue, exact: bool) -> Hashable:
    if kind in "AF":
        return "AF", _frozen(value) if value else None  # an empty array is an empty table
    if not exact and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float, value  # 1 is 1.0
    return type(value), value


def _frozen(value: FieldValue) -> Hashable:
    """A value of a field that can be looked up."""
    if isinstance(value, dict):
        return frozenset((name, field.kind, _frozen(field.value)) for name, field in value.items())
    if isinstance(value, list):
        return tuple((field.kind, _frozen(field.value)) for field in value)
    return type(value), value


def _is_composite(value: Hashable) -> bool:
    return isinstance(value, tuple) and value[0] == "AF"


def like(wanted: Field, found: Field) -> bool:
    """Return whether two values are equal by `==`, where 1 equals 1.0. Timestamps are compared as they were sent."""
    value, other = found.value, wanted.value
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    if isinstance(value, (int, float)) and isinstance(other, (int, float)):
        return value == other
    return equal(wanted, found)


def equal(wanted: Field, found: Field) -> bool:
    """Return whether a header equals the value that a binding requires."""
    value = found.value * 1000 if found.kind == "T" else found.value
    if type(value) is type(wanted.value):
        return bool(value == wanted.value)
    # An empty array and an empty table are both the empty list in Erlang.
    return wanted.kind in "AF" and found.kind in "AF" and not value and not wanted.value
