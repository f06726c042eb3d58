"""The headers exchange (0-9-1 3.1.3.4; rabbit_exchange_type_headers).

The arguments of a binding are parsed once, when it is added (`Wanted`); a message's headers are compared with each.
Values are compared like Erlang terms with `=:=`: integers by value, whatever their size; strings, integers, floats and
booleans never equal each other. A timestamp of a message counts in milliseconds there (mc_amqpl:routing_value/2), so it
never equals the same timestamp in a binding.
"""

from __future__ import annotations

import cython

from leveret import errors
from leveret.profiles import Profile
from leveret.routing.bindings import Binding, Destination, Identity
from leveret.routing.exchanges import Declaration
from leveret.wire.erlang import pretty
from leveret.wire.properties import Properties
from leveret.wire.tables import Field, Table, term

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


class Wanted:
    """The headers that one binding requires."""

    def __init__(self, arguments: Table, exact: bool = True) -> None:
        self.exact: bool = exact
        mode = arguments.get("x-match")
        every, with_x = MODES[mode.value if mode is not None else b"all"]
        self.every: bool = every
        self.fields: dict[str, Field] = {
            name: field
            for name, field in arguments.items()
            if name != "x-match" and (with_x or not name.startswith("x-"))
        }

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
    """Routes by headers: all or any of a binding's arguments must equal the header of the same name."""

    def __init__(self, declaration: Declaration, profile: Profile) -> None:
        super().__init__(declaration, profile)
        self.by_key = False
        self.memoable = False
        self.wanted: dict[Identity, Wanted] = {}
        #: Values are compared with `=:=`, otherwise (3.10) with `==`.
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
        """Parse the arguments of a new binding."""
        self.wanted[binding.identity] = Wanted(binding.arguments, self.exact)

    def unbound(self, binding: Binding) -> None:
        """Remove the parsed arguments of a binding."""
        del self.wanted[binding.identity]

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> None:
        """Append the destinations of bindings that match the headers."""
        headers: dict[str, Field] = (properties.headers if properties is not None else None) or {}
        wanted: Wanted
        for identity, wanted in self.wanted.items():
            if wanted.holds(headers):
                found.append(self.bindings[identity].destination)


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
