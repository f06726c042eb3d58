"""Tables as `rabbitmqadmin` draws them: those of version 2 in its styles, those of version 1."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple


class Style(NamedTuple):
    """What a table is drawn with: top, below the titles, between rows, bottom; each is left, line, crossing, right.
    None: nothing. `edges`: left, between, right of cells."""

    top: str | None
    titles: str | None
    rows: str | None
    bottom: str | None
    edges: tuple[str, str, str]


STYLES = {
    "modern": Style("╭─┬╮", "├─┼┤", None, "╰─┴╯", ("│", "│", "│")),
    "sharp": Style("┌─┬┐", "├─┼┤", None, "└─┴┘", ("│", "│", "│")),
    "ascii": Style("+-++", "+-++", "+-++", "+-++", ("|", "|", "|")),
    "psql": Style(None, "--+-", None, None, ("", "|", "")),
    "markdown": Style(None, "|-||", None, None, ("|", "|", "|")),
    "dots": Style("....", ":.::", ":.::", ":.::", (":", ":", ":")),
    "borderless": Style(None, None, None, None, ("", " ", "")),
}


def drawn(rows: Sequence[Sequence[str]], style: Style, title: str = "") -> str:
    """Draw a table whose first row are its titles. `title`: of the whole table."""
    cells = [[text.split("\n") for text in row] for row in rows]
    widths = [max(len(line) for row in cells for line in row[at]) for at in range(len(rows[0]))]
    inside = sum(widths) + 3 * len(widths) - 1
    lacking = max(0, len(title) + 2 - inside)
    for at in range(len(widths)):
        widths[at] += lacking // len(widths) + (at < lacking % len(widths))
    lines: list[str] = []
    if style.top is not None:
        lines.append(_line(style.top, widths))
    left, _, right = style.edges
    if title:
        lines.append(f"{left} {title:<{sum(widths) + 3 * len(widths) - 3}} {right}")
        if style.titles is not None:
            lines.append(_line(style.titles, widths))
    for number, row in enumerate(cells):
        lines += _row(row, widths, style)
        below = style.titles if number == 0 and not title else style.rows
        if below is not None and number < len(cells) - 1:
            lines.append(_line(below, widths))
    if len(cells) == 1 and style.titles is not None:
        lines.append(_line(style.titles, widths))
    elif style.bottom is not None:
        lines.append(_line(style.bottom, widths))
    return "\n".join(lines)


def _line(shape: str, widths: Sequence[int]) -> str:
    left, line, crossing, right = list(shape)
    text = crossing.join([line * (width + 2) for width in widths])
    return text if shape == "--+-" else left + text + right


def _row(row: Sequence[Sequence[str]], widths: Sequence[int], style: Style) -> list[str]:
    left, between, right = style.edges
    found = []
    for at in range(max(map(len, row))):
        texts = [lines[at] if at < len(lines) else "" for lines in row]
        cells = [f" {text:<{width}} " for text, width in zip(texts, widths, strict=True)]
        found.append(left + between.join(cells) + right)
    return found


def plain(rows: Sequence[Sequence[str]]) -> str:
    """Rows for scripts: no titles, no lines."""
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(len(rows[0]))] if rows else []
    return "\n".join([
        " ".join([f"{text:<{width}} " for text, width in zip(row, widths, strict=True)])
        for row in rows
    ])  # fmt: skip


def bars(rows: Sequence[Sequence[str]]) -> str:
    """A table of version 1."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    bar = "+" + "".join(["-" * (width + 2) + "+" for width in widths])
    titles, *others = rows
    return "\n".join([
        bar,
        "|" + "".join([f" {text:^{width}} |" for text, width in zip(titles, widths, strict=True)]),
        bar,
        *("|" + "".join([f" {text:<{w}} |" for text, w in zip(row, widths, strict=True)]) for row in others),
        bar,
    ])  # fmt: skip


def compact(value: object) -> str:
    """A value as JSON without spaces, its names in their order (serde_json)."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def cell(value: object) -> str:
    """A value in a table of version 2."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, dict):
        return "\n".join([f"{name}: {compact(item)}" for name, item in sorted(value.items())])
    if isinstance(value, list):
        return ", ".join([cell(item) for item in value])
    return str(value)
