"""The text format of Prometheus (version 0.0.4), written as RabbitMQ writes it."""

from __future__ import annotations

from collections.abc import Iterable

#: Labels as they stand in a line, without braces; empty for none.
Labels = str


def header(name: str, kind: str, text: str) -> str:
    """Return the two lines that precede the values of a metric."""
    return f"# TYPE {name} {kind}\n# HELP {name} {_escaped(text)}\n"


def line(name: str, labels: Labels, value: float) -> str:
    """Return a line with a value."""
    return f"{name}{{{labels}}} {value}\n" if labels else f"{name} {value}\n"


def metric(name: str, kind: str, text: str, values: Iterable[tuple[Labels, float]]) -> str:
    """Return a whole metric."""
    return header(name, kind, text) + "".join(line(name, labels, value) for labels, value in values)


def labels(**values: str) -> Labels:
    """Return labels as they stand in a line."""
    return ",".join(f'{name}="{quoted(value)}"' for name, value in values.items())


def quoted(value: str) -> str:
    """Return the value of a label as it stands between quotes."""
    if "\\" in value or '"' in value or "\n" in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
