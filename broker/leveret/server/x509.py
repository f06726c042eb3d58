"""Reads X.509 certificates: the fields that RabbitMQ shows, in its form (rabbit_cert_info), and their dates.

Python's ssl shows a client's certificate, but not that of the server, nor names of other types. DER is read here with
bounds: a certificate that does not hold what its lengths say raises `MalformedCertificate`.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from leveret.engine.encryption import Certificate

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)

#: Object identifier -> RabbitMQ's name of an attribute (rabbit_cert_info:format_rdn).
_ATTRIBUTES = {
    "2.5.4.4": "SN",
    "2.5.4.42": "GIVENNAME",
    "2.5.4.43": "INITIALS",
    "2.5.4.44": "GENERATIONQUALIFIER",
    "2.5.4.3": "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "TITLE",
    "2.5.4.6": "C",
    "2.5.4.5": "SERIALNUMBER",
    "2.5.4.65": "PSEUDONYM",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "EMAILADDRESS",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.1": "UID",
}
_COMMON_NAME = "2.5.4.3"
_ALTERNATIVE_NAMES = "2.5.29.17"

#: Context tag of a general name -> its type.
_NAME_TYPES = {0x82: "dns", 0x81: "email", 0x86: "uri", 0x87: "ip", 0xA0: "other_name"}

#: Tag of a string type -> its encoding (T61String is read as ISO 8859-1, as in RabbitMQ).
_ENCODINGS = {0x0C: "utf-8", 0x1E: "utf-16-be", 0x1C: "utf-32-be", 0x14: "latin-1"}

_SEQUENCE, _OID, _UTC_TIME = 0x30, 0x06, 0x17


class MalformedCertificate(ValueError):  # noqa: N818  named by what the file holds
    """The octets are no certificate."""


class Element(NamedTuple):
    """One DER element. `tag`: its first octet. `start`, `end`: where its content lies."""

    tag: int
    start: int
    end: int


class Dates(NamedTuple):
    """From when and until when a certificate is valid."""

    begins: datetime
    ends: datetime


def pem_blocks(path: str | Path) -> list[tuple[str, bytes]]:
    """Return the label and the DER octets of each block of a PEM file. Raises `OSError`, `MalformedCertificate`."""
    found = []
    for label, body in _BLOCK.findall(Path(path).read_bytes()):
        lines = [line for line in body.split() if b":" not in line]
        try:
            found.append((label.decode(), base64.b64decode(b"".join(lines))))
        except ValueError:
            raise MalformedCertificate(f"{path}: no base64 in {label.decode()}") from None
    return found


def dates(der: bytes) -> Dates:
    """Return the dates of a certificate. Raises `MalformedCertificate`."""
    return Dates(*(_moment(der, one) for one in _Fields(der).validity))


def read(der: bytes) -> Certificate:
    """Return what RabbitMQ shows of a certificate. Raises `MalformedCertificate`."""
    fields = _Fields(der)
    begins, ends = dates(der)
    return Certificate(
        subject=_shown(der, fields.subject),
        issuer=_shown(der, fields.issuer),
        validity=f"{begins:%Y-%m-%dT%H:%M:%SZ} - {ends:%Y-%m-%dT%H:%M:%SZ}",
        serial=f"{fields.serial:X}",
        common_names=tuple(
            value for rdn in _names(der, fields.subject) for oid, value in rdn if oid == _COMMON_NAME
        ),
        alternative_names=tuple(_alternative_names(der, fields.extensions)),
    )


class _Fields:
    """Where the fields of a certificate lie (RFC 5280 4.1)."""

    def __init__(self, der: bytes) -> None:
        outer = _element(der, 0, len(der))
        inner = list(_children(der, _element(der, outer.start, outer.end)))
        if inner and inner[0].tag == 0xA0:  # the version, which is version 1 if it is absent
            del inner[0]
        if len(inner) < 6:
            raise MalformedCertificate("too few fields")
        self.serial = int.from_bytes(der[inner[0].start : inner[0].end], "big", signed=True)
        self.issuer = inner[2]
        self.validity = list(_children(der, inner[3]))
        if len(self.validity) != 2:
            raise MalformedCertificate("no validity")
        self.subject = inner[4]
        wrapped = [one for one in inner[6:] if one.tag == 0xA3]
        self.extensions = _element(der, wrapped[0].start, wrapped[0].end) if wrapped else None


def _element(der: bytes, at: int, end: int) -> Element:
    """Return the element at `at`, which must end at `end` or before. Raises `MalformedCertificate`."""
    if end - at < 2:
        raise MalformedCertificate("truncated")
    tag, size = der[at], der[at + 1]
    at += 2
    if size & 0x80:
        octets = size & 0x7F
        if not 1 <= octets <= 4 or end - at < octets:
            raise MalformedCertificate("unusable length")
        size = int.from_bytes(der[at : at + octets], "big")
        at += octets
    if size > end - at:
        raise MalformedCertificate("truncated")
    return Element(tag, at, at + size)


def _children(der: bytes, parent: Element) -> Iterator[Element]:
    at = parent.start
    while at < parent.end:
        child = _element(der, at, parent.end)
        yield child
        at = child.end


def _moment(der: bytes, time: Element) -> datetime:
    text = der[time.start : time.end].decode("ascii", "replace")
    if time.tag == _UTC_TIME:
        text = f"20{text}"  # as rabbit_cert_info, which knows no other century
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise MalformedCertificate(f"no date: {text}") from None


def _names(der: bytes, sequence: Element) -> list[list[tuple[str, str]]]:
    """Return the relative distinguished names of a name: object identifier and value of each attribute."""
    return [
        [_attribute(der, attribute) for attribute in _children(der, rdn)] for rdn in _children(der, sequence)
    ]


def _attribute(der: bytes, attribute: Element) -> tuple[str, str]:
    parts = list(_children(der, attribute))
    if len(parts) != 2 or parts[0].tag != _OID:
        raise MalformedCertificate("no attribute")
    return _oid(der[parts[0].start : parts[0].end]), _text(der, parts[1])


def _text(der: bytes, string: Element) -> str:
    encoding = _ENCODINGS.get(string.tag, "latin-1")
    return der[string.start : string.end].decode(encoding, "replace")


def _oid(octets: bytes) -> str:
    if not octets:
        raise MalformedCertificate("no object identifier")
    numbers, value = [], 0
    for octet in octets:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2) if numbers else 0
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:]] if numbers else [0]))


def _shown(der: bytes, sequence: Element) -> str:
    """Return a distinguished name in RFC 4514's form: the last one first."""
    rdns = [
        "+".join(f"{_ATTRIBUTES.get(oid, oid)}={_escaped(value)}" for oid, value in rdn)
        for rdn in _names(der, sequence)
    ]
    return ",".join(reversed(rdns))


def _escaped(value: str) -> str:
    """Escape as rabbit_cert_info:escape_rdn_value: special characters, and octets that are not printable ASCII."""
    octets = value.encode()
    out = []
    for at, octet in enumerate(octets):
        character = chr(octet)
        edge = (at == 0 and character in " #") or (at == len(octets) - 1 and character == " ")
        if edge or character in '"+,;<>\\':
            out.append(f"\\{character}")
        elif octet < 32 or octet >= 126:
            out.append(f"\\{octet:02X}")
        else:
            out.append(character)
    return "".join(out)


def _alternative_names(der: bytes, extensions: Element | None) -> Iterator[tuple[str, str]]:
    """Yield the subject alternative names of the types that a login can be taken from."""
    for extension in _children(der, extensions) if extensions is not None else ():
        parts = list(_children(der, extension))
        if len(parts) < 2 or _oid(der[parts[0].start : parts[0].end]) != _ALTERNATIVE_NAMES:
            continue
        for name in _children(der, _element(der, parts[-1].start, parts[-1].end)):
            kind = _NAME_TYPES.get(name.tag)
            if kind is not None:
                yield kind, _general_name(der, name, kind)


def _general_name(der: bytes, name: Element, kind: str) -> str:
    if kind == "ip":
        octets = der[name.start : name.end]
        return str(ipaddress.ip_address(octets)) if len(octets) in (4, 16) else octets.hex()
    if kind == "other_name":
        value = list(_children(der, name))[-1]
        return _text(der, _element(der, value.start, value.end))
    return der[name.start : name.end].decode("latin-1")
