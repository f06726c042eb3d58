"""EXTERNAL: who a client is by its certificate (rabbit_auth_mechanism_ssl, rabbit_ssl:peer_cert_auth_name)."""

from __future__ import annotations

from leveret.engine.authentication import Refused
from leveret.engine.encryption import Encryption
from leveret.settings import AccessSettings


def name_in(encryption: Encryption | None, settings: AccessSettings) -> str | Refused:
    """Return the user name in a client's certificate, or the reason for the log."""
    if encryption is None:
        return Refused("not a TLS-enabled connection")
    certificate = encryption.certificate
    if certificate is None:
        return Refused("connection peer presented no TLS (x.509) certificate")
    if not encryption.verified:
        return Refused("TLS configuration is unsafe")
    found = ""
    if settings.cert_login_from == "distinguished_name":
        found = certificate.subject
    elif settings.cert_login_from == "common_name":
        found = ",".join(certificate.common_names)
    else:
        kind, index = settings.cert_login_san_type, settings.cert_login_san_index
        names = [value for one, value in certificate.alternative_names if one == kind]
        found = names[index] if index < len(names) else ""
    return found or Refused("no name found")
