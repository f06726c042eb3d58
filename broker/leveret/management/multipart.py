"""The parts of a body of type multipart/form-data (RFC 7578), which arrived as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from leveret.management.negotiation import MalformedHeader

_PARAMETER = re.compile(rb';\s*([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')


class Part(NamedTuple):
    """One field of a form. `filename`: None unless it is a file."""

    name: str
    filename: str | None
    body: bytes


def parts(body: bytes, boundary: str) -> Iterator[Part]:
    """The fields of a form. Raises `MalformedHeader` if the body is not one."""
    if not boundary:
        raise MalformedHeader("boundary")
    mark = b"\r\n--" + boundary.encode("latin-1", "replace")
    pieces = (b"\r\n" + body).split(mark)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise MalformedHeader("multipart")
    for piece in pieces[1:-1]:
        head, gap, content = piece.partition(b"\r\n\r\n")
        if not gap:
            raise MalformedHeader("multipart")
        yield _part(head, content)


def _part(head: bytes, content: bytes) -> Part:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            found = {
                key.lower(): re.sub(rb"\\(.)", rb"\1", quoted) or bare
                for key, quoted, bare in _PARAMETER.findall(value)
            }
            if b"name" in found:
                filename = found.get(b"filename")
                shown = None if filename is None else filename.decode("utf-8", "replace")
                return Part(found[b"name"].decode("utf-8", "replace"), shown, content)
    raise MalformedHeader("content-disposition")
