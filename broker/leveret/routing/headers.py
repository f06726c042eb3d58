"""The headers exchange (0-9-1 3.1.3.4; docs: headers exchange, rabbit_exchange_type_headers)."""

from __future__ import annotations

from typing import Any

from leveret import errors
from leveret.routing.bindings import Binding
from leveret.routing.exchanges import Exchange
from leveret.wire.tables import Field, Table, same, type_name

#: x-match -> (all must match, keys that begin with x- count).
MODES = {
    b"all": (True, False),
    b"any": (False, False),
    b"all-with-x": (True, True),
    b"any-with-x": (False, True),
}


class Headers(Exchange):
    """Routes by the message's headers: all or any of a binding's arguments must be there with an equal value."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.memoable = False

    def check_binding(self, destination: Any, key: bytes, arguments: Table) -> None:
        """x-match must be one of its four words."""
        field = arguments.get("x-match")
        if field is None:
            return
        if field.kind != "S":
            raise errors.invalid_x_match_type(type_name(field.kind), field.value)
        if field.value not in MODES:
            raise errors.invalid_x_match(field.value)

    def matches(self, key: bytes, headers: Any, message: Any) -> list[Any]:
        """Destinations whose arguments the headers satisfy."""
        return [
            binding.destination for binding in self.bindings.values() if satisfied(binding, headers or {})
        ]


def satisfied(binding: Binding, headers: Table) -> bool:
    """Whether the headers satisfy a binding's arguments. Without arguments, `all` is and `any` is not."""
    mode = binding.arguments.get("x-match")
    every, with_x = MODES[mode.value if mode is not None else b"all"]
    for name, wanted in binding.arguments.items():
        if name == "x-match" or (not with_x and name.startswith("x-")):
            continue
        found = headers.get(name)
        fits = found is not None and (wanted.kind == "V" or equal(wanted, found))
        if fits and not every:
            return True
        if every and not fits:
            return False
    return every


def equal(wanted: Field, found: Field) -> bool:
    """Equal by value; a number is never a string."""
    return same(wanted, found)
