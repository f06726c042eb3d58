"""Certificates are read as RabbitMQ shows them, and octets that are none are refused."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509 as library
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from leveret.server.x509 import MalformedCertificate, dates, pem_blocks, read
from tests.certificates import Authority, name


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def issued(authority: Authority, subject: library.Name, *names: library.GeneralName) -> bytes:
    return authority.sign(subject, authority.key.public_key(), alternatives=names).public_bytes(Encoding.DER)


def test_names_of_all_types(authority: Authority) -> None:
    der = issued(
        authority,
        name("a"),
        library.DNSName("x.example"),
        library.RFC822Name("m@x.example"),
        library.UniformResourceIdentifier("spiffe://x"),
        library.IPAddress(ip_address("10.0.0.1")),
        library.IPAddress(ip_address("::1")),
        library.OtherName(library.ObjectIdentifier("1.2.3"), b"\x0c\x05other"),
        library.RegisteredID(library.ObjectIdentifier("1.2.3")),
        library.DNSName("y.example"),
    )
    assert read(der).alternative_names == (
        ("dns", "x.example"),
        ("email", "m@x.example"),
        ("uri", "spiffe://x"),
        ("ip", "10.0.0.1"),
        ("ip", "::1"),
        ("other_name", "other"),
        ("dns", "y.example"),
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ('a"+,;<>\\b', 'a\\"\\+\\,\\;\\<\\>\\\\b'),
        (" # ", "\\ #\\ "),
        ("#x", "\\#x"),
        ("ä", "\\C3\\A4"),
        ("a~b", "a\\7Eb"),
        ("a\x01", "a\\01"),
    ],
)
def test_names_are_escaped(authority: Authority, value: str, shown: str) -> None:
    assert read(issued(authority, name(value))).subject == f"CN={shown}"


def test_attributes_without_a_name_are_numbers(authority: Authority) -> None:
    subject = name("a", (library.ObjectIdentifier("1.2.840.113556.1"), "v"), (NameOID.USER_ID, "u"))
    assert read(issued(authority, subject)).subject == "CN=a,UID=u,1.2.840.113556.1=v"


def test_several_attributes_in_one(authority: Authority) -> None:
    rdn = library.RelativeDistinguishedName(
        [library.NameAttribute(NameOID.COMMON_NAME, "a"), library.NameAttribute(NameOID.COUNTRY_NAME, "DE")]
    )
    found = read(issued(authority, library.Name([rdn])))
    assert sorted(found.subject.split("+")) == ["C=DE", "CN=a"]
    assert found.common_names == ("a",)


def test_dates_and_serial(authority: Authority) -> None:
    certificate = authority.certificate
    der = certificate.public_bytes(Encoding.DER)
    assert dates(der) == (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    assert int(read(der).serial, 16) == certificate.serial_number
    assert dates(der).ends > datetime.now(UTC)


def test_blocks_of_a_file(authority: Authority, tmp_path: Path) -> None:
    certfile, keyfile = authority.issue("a")
    both = tmp_path / "both"
    both.write_bytes(b"text before\n" + certfile.read_bytes() + keyfile.read_bytes())
    assert [label for label, _ in pem_blocks(both)] == ["CERTIFICATE", "PRIVATE KEY"]
    both.write_text("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n")
    assert pem_blocks(both) == [("CERTIFICATE", b"")]


@given(st.data())
def test_octets_that_are_no_certificate_are_refused(data: st.DataObject) -> None:
    """Also those of a certificate with some octets changed or cut off."""
    der = bytearray(_whole())
    for at in data.draw(st.lists(st.integers(0, len(der) - 1), max_size=4)):
        der[at] = data.draw(st.integers(0, 255))
    del der[data.draw(st.integers(0, len(der))) :]
    try:
        read(bytes(der))
    except MalformedCertificate:
        return


_MADE: list[bytes] = []


def _whole() -> bytes:
    if not _MADE:
        with tempfile.TemporaryDirectory() as folder:
            authority = Authority(Path(folder))
            _MADE.append(issued(authority, name("a"), library.DNSName("x"), library.DNSName("y")))
    return _MADE[0]
