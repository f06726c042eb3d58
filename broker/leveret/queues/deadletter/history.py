"""The header `x-death` of RabbitMQ 3.12 and older: the header is the death history, even if a client wrote it.

An x-death header from a client is therefore continued, in its form. Headers are sorted by name; so are the fields of an
entry, except those of a first death (rabbit_dead_letter, rabbit_misc:set_table_value).
"""

from __future__ import annotations

from leveret.queues.message import Death
from leveret.wire.tables import Field, Table

#: The value of the sign bit of a 64-bit integer.
_SIGN = 1 << 63


def record(headers: Table, death: Death) -> Table | None:
    """Return the headers with one more death, or None if RabbitMQ would drop the message because of a client's
    x-death."""
    field = headers.get("x-death")
    if field is None:
        given = {
            "x-death": Field("A", [Field("F", entry(death))]),
            "x-first-death-reason": _longstr(death.reason),
            "x-first-death-queue": _longstr(death.queue),
            "x-first-death-exchange": _longstr(death.exchange),
        }
    elif field.kind == "A":
        entries = _entries(field.value)
        counted = _counted(entries, death) if entries is not None else None
        if counted is None:
            return None
        given = {"x-death": Field("A", [Field("F", one) for one in counted])}
    else:
        given = {"x-death": Field("A", [Field("F", entry(death))])}
    return in_order(headers | given)


def in_order(table: Table) -> Table:
    """Return a table sorted by names."""
    return dict(sorted(table.items(), key=lambda item: item[0].encode("utf-8", "surrogateescape")))


def entry(death: Death) -> Table:
    """Return one death as an entry of the header."""
    fields: Table = {
        "count": Field("l", death.count),
        "reason": _longstr(death.reason),
        "queue": _longstr(death.queue),
        "time": Field("T", death.time),
        "exchange": _longstr(death.exchange),
        "routing-keys": Field("A", [_longstr(key) for key in death.keys]),
    }
    if death.expiration is not None:
        fields["original-expiration"] = _longstr(death.expiration)
    return fields


def history(headers: Table) -> list[Death]:
    """Return the deaths in the header, newest first. Fields of other types than the broker writes are ignored, because
    a client may have written them."""
    field = headers.get("x-death")
    if field is None or field.kind != "A":
        return []
    return [_death(one.value) for one in field.value if one.kind == "F"]


def _entries(fields: list[Field]) -> list[Table] | None:
    """Return one entry for each (queue, reason), with a count; None if an entry is no table.

    Of several entries the first one is used. Two and more are returned in reverse order, as rabbit_dead_letter folds
    from the left.
    """
    if any(field.kind != "F" for field in fields):
        return None
    tables: list[Table] = [field.value for field in fields]
    if len(tables) < 2:
        return tables
    # The keys are texts, because values from clients may be of any type.
    groups: dict[str, list[Table]] = {}
    for table in tables:
        groups.setdefault(repr((table.get("queue"), table.get("reason"))), []).append(table)
    return [
        group[0] if "count" in group[0] else {"count": Field("l", len(group)), **group[0]}
        for group in reversed(groups.values())
    ]


def _number(field: Field | None) -> int:
    """Return a field as a signed 64-bit integer, 0 if it is none."""
    if field is None or type(field.value) is not int:
        return 0
    return (field.value + _SIGN) % (2 * _SIGN) - _SIGN


def _counted(entries: list[Table], death: Death) -> list[Table] | None:
    """Return the entries with one more death as the first one; None if the count of its entry is no integer."""
    queue, reason = _longstr(death.queue), _longstr(death.reason)
    newest = entry(death)
    others = []
    for table in entries:
        if table.get("queue") == queue and table.get("reason") == reason:
            count = table.get("count", Field("l", 0))
            if type(count.value) is not int:
                return None
            newest = {**table, "count": Field("l", count.value + 1)}
        else:
            others.append(table)
    return [in_order(newest), *others]


def _death(table: Table) -> Death:
    keys = table.get("routing-keys")
    expiration = table.get("original-expiration")
    return Death(
        _text(table.get("queue")),
        _text(table.get("reason")),
        _number(table.get("count")),
        _number(table.get("time")),
        _text(table.get("exchange")).encode("utf-8", "surrogateescape"),
        tuple(key.value for key in keys.value if key.kind == "S")
        if keys is not None and keys.kind == "A"
        else (),
        expiration.value if expiration is not None and expiration.kind == "S" else None,
    )


def _longstr(text: str | bytes) -> Field:
    return Field("S", text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)


def _text(field: Field | None) -> str:
    if field is None or field.kind != "S":
        return ""
    raw: bytes = field.value
    return raw.decode("utf-8", "surrogateescape")
