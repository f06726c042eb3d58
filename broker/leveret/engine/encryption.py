"""What the broker knows of the TLS of a connection and of the certificate of its client."""

from __future__ import annotations

from msgspec import Struct


class Certificate(Struct, frozen=True):
    """A client's certificate, as RabbitMQ shows it.

    `subject`, `issuer`: distinguished names in RFC 4514's form. `validity`: from and until, in UTC. `serial`:
    hexadecimal. `common_names`: those of the subject. `alternative_names`: type (dns, ip, email, uri, other_name) and
    value, in the order of the certificate.
    """

    subject: str
    issuer: str
    validity: str
    serial: str
    common_names: tuple[str, ...] = ()
    alternative_names: tuple[tuple[str, str], ...] = ()


class Encryption(Struct, frozen=True):
    """How a connection is encrypted, in Erlang's names. `certificate`: None if the client has sent none.
    `verified`: clients' certificates are verified (verify_peer)."""

    protocol: str
    key_exchange: str
    cipher: str
    hash: str
    certificate: Certificate | None = None
    verified: bool = False


def shown(encryption: Encryption | None, absent: str | None, *, serial: bool) -> dict[str, str | None]:
    """Return RabbitMQ's fields of the TLS of a connection. `absent`: stands for what there is not. `serial`: show the
    serial number of the certificate, too."""
    fields: dict[str, str | None] = dict.fromkeys(
        ("ssl_protocol", "ssl_key_exchange", "ssl_cipher", "ssl_hash"), absent
    )
    fields |= dict.fromkeys(("peer_cert_subject", "peer_cert_issuer", "peer_cert_validity"), absent)
    if serial:
        fields["peer_cert_serial_number"] = absent
    if encryption is None:
        return fields
    fields |= {
        "ssl_protocol": encryption.protocol,
        "ssl_key_exchange": encryption.key_exchange,
        "ssl_cipher": encryption.cipher,
        "ssl_hash": encryption.hash,
    }
    certificate = encryption.certificate
    if certificate is not None:
        fields |= {
            "peer_cert_subject": certificate.subject,
            "peer_cert_issuer": certificate.issuer,
            "peer_cert_validity": certificate.validity,
        }
        if serial:
            fields["peer_cert_serial_number"] = certificate.serial
    return fields
