"""Certificate authorities, certificates and keys, made by the tests that use them."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)

LOCALHOST = (x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1")))


def name(common: str, *more: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    """A distinguished name."""
    pairs = [*more, (NameOID.COMMON_NAME, common)]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


class Authority:
    """A certificate authority whose files are in `folder`. `within`: the authority that signs it, None for a root."""

    def __init__(self, folder: Path, common: str = "Test CA", within: Authority | None = None) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = name(common)
        self.within = within
        signer = within or self
        self.certificate = signer.sign(self.subject, self.key.public_key(), authority=True)
        self.path = folder / f"{common.replace(' ', '-')}.pem"
        self.path.write_bytes(_pem(self.certificate))

    def sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        authority: bool = False,
        begins: timedelta = -DAY,
        ends: timedelta = 30 * DAY,
        alternatives: Sequence[x509.GeneralName] = (),
    ) -> x509.Certificate:
        """Return a certificate that is valid from `begins` to `ends`, counted from now."""
        now = datetime.now(UTC).replace(microsecond=0)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(
        self,
        file: str,
        subject: x509.Name | None = None,
        *,
        alternatives: Sequence[x509.GeneralName] = (),
        ends: timedelta = 30 * DAY,
        password: str = "",
    ) -> tuple[Path, Path]:
        """Write a certificate, with those of intermediate authorities, and its key. Return both paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self.sign(subject or name(file), key.public_key(), alternatives=alternatives, ends=ends)
        chain, above = [made], self
        while above.within is not None:
            chain.append(above.certificate)
            above = above.within
        certfile, keyfile = self.folder / f"{file}.pem", self.folder / f"{file}.key"
        certfile.write_bytes(b"".join(map(_pem, chain)))
        secret = serialization.BestAvailableEncryption(password.encode()) if password else None
        keyfile.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                secret or serialization.NoEncryption(),
            )
        )
        return certfile, keyfile

    def client(self, identity: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """What a client trusts, and who it says it is."""
        context = ssl.create_default_context(cafile=str(self.path))
        context.verify_flags &= (
            ~ssl.VERIFY_X509_STRICT
        )  # the default since Python 3.13; these certificates are plain
        if identity is not None:
            context.load_cert_chain(*map(str, identity))
        return context


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
