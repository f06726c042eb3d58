"""The events of a conversation of the fuzzer, as plain data that can be written to a file and played again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance import codec

#: What can happen. connect: a client that goes through the handshake; dial: one that does not; pause, resume: it does
#: not read, it reads again; disk: `fails` or `works`; restart: `stop` or `kill`; http: a request, `METHOD /path`.
KINDS = ("connect", "dial", "octets", "hang-up", "pause", "resume", "advance", "disk", "restart", "http")


@dataclass(frozen=True)
class Event:
    """One event. `by`: the client; `octets`: sent in pieces of `sizes`, or a request's body; `text`: see `KINDS`."""

    kind: str
    by: str = ""
    octets: bytes = b""
    sizes: tuple[int, ...] = ()
    milliseconds: int = 0
    text: str = ""

    def pieces(self) -> Iterator[bytes]:
        """Yield the octets as the broker reads them; what is behind the last size is one piece."""
        at = 0
        for size in self.sizes:
            yield self.octets[at : at + size]
            at += size
        if at < len(self.octets):
            yield self.octets[at:]

    def __str__(self) -> str:
        parts = [self.kind, self.by, self.text, f"{self.milliseconds} ms" if self.milliseconds else ""]
        if self.octets:
            parts.append(self.octets.decode(errors="replace") if self.kind == "http" else shown(self.octets))
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Case:
    """A conversation. `version`: the profile; `seed`: of the names that the broker generates; `note`: what it found."""

    version: str
    seed: int
    events: tuple[Event, ...]
    note: str = ""


def shown(octets: bytes) -> str:
    """Show frames by their names, and other octets in hexadecimal."""
    found, at = [], 0
    while at < len(octets):
        size = int.from_bytes(octets[at + 3 : at + 7], "big")
        frame = octets[at : at + size + 8]
        if len(frame) < size + 8 or frame[-1] != codec.END:
            return " ".join([*found, octets[at : at + 200].hex()])
        number, payload = int.from_bytes(frame[1:3], "big"), frame[7:-1]
        try:
            what = (
                " ".join(map(str, codec.decode_method(payload)))
                if frame[0] == codec.METHOD
                else payload[:80].hex()
            )
        except Exception:  # mutated frames may not be decodable
            what = payload[:80].hex()
        found.append(f"[{frame[0]}.{number} {what}]")
        at += size + 8
    return " ".join(found)


def to_line(event: Event) -> str:
    """Return an event as a line of JSON."""
    given: dict[str, Any] = {name: value for name, value in vars(event).items() if value}
    if event.octets:
        given["octets"] = event.octets.hex()
    return json.dumps(given)


def write(case: Case, path: Path) -> None:
    """Write a file: a line about the conversation, then a line for each event."""
    head = json.dumps({"version": case.version, "seed": case.seed, "note": case.note})
    path.write_text("\n".join([head, *map(to_line, case.events)]) + "\n")


def read(path: Path) -> Case:
    """Read what `write` has written; an incomplete last line is ignored."""
    lines = path.read_text().splitlines()
    return Case(**json.loads(lines[0]), events=tuple(_events(lines[1:])))


def _events(lines: Iterable[str]) -> Iterator[Event]:
    for line in lines:
        try:
            given = json.loads(line)
        except ValueError:
            return
        given["octets"] = bytes.fromhex(given.get("octets", ""))
        given["sizes"] = tuple(given.get("sizes", ()))
        yield Event(**given)
