"""Settings of listeners with TLS: `ssl_options.*`, `management.ssl.*` and `prometheus.ssl.*` in rabbitmq.conf."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

#: Erlang's names of the versions.
TlsVersion = Literal["tlsv1.3", "tlsv1.2", "tlsv1.1", "tlsv1"]


class TlsError(Exception):
    """A listener with TLS cannot be made as it is configured. The text names the setting."""


class Tls(Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of listener with TLS. Files are in PEM format."""

    host: Annotated[
        tuple[str, ...],
        Meta(description="Addresses of the listener; empty: those of the listener without TLS"),
    ] = ()
    port: Annotated[
        int, Meta(ge=-1, le=65535, description="Port of the listener; 0: any free port, -1: no listener")
    ] = -1
    certfile: Annotated[
        str, Meta(description="Certificate of the server, followed by intermediate certificates")
    ] = ""
    keyfile: Annotated[str, Meta(description="Private key of the server; empty: it is in certfile")] = ""
    cacertfile: Annotated[
        str, Meta(description="Certificates of the authorities that sign certificates of clients")
    ] = ""
    password: Annotated[str, Meta(description="Password of the private key; empty: it has none")] = ""
    verify: Annotated[
        Literal["verify_none", "verify_peer"],
        Meta(description="verify_peer: ask clients for a certificate, and refuse one that is not valid"),
    ] = "verify_none"
    fail_if_no_peer_cert: Annotated[
        bool, Meta(description="Refuse clients without a certificate, too; needs verify_peer")
    ] = False
    depth: Annotated[
        int,
        Meta(
            ge=0, le=255, description="Most certificates between that of a client and that of its authority"
        ),
    ] = 10
    versions: Annotated[
        tuple[TlsVersion, ...], Meta(description="Versions of TLS; empty: tlsv1.3 and tlsv1.2")
    ] = ()
    ciphers: Annotated[
        tuple[str, ...],
        Meta(description="Cipher suites, as OpenSSL names them; empty: those of Python"),
    ] = ()
    honor_cipher_order: Annotated[
        bool, Meta(description="Choose the suite that the server prefers, and not the client")
    ] = False
    client_renegotiation: Annotated[
        bool, Meta(description="Allow clients to negotiate again within a connection (TLS 1.2)")
    ] = False
    dhfile: Annotated[str, Meta(description="Parameters of Diffie-Hellman key exchanges; empty: none")] = ""
    sni_certfiles: Annotated[
        dict[str, str],
        Meta(
            description="Certificates for other host names that clients ask for, each with its key in the same file: "
            '{ "broker.example.com" = "example.pem" }'
        ),
    ] = {}
    handshake_timeout: Annotated[
        int, Meta(ge=1, description="Milliseconds that clients have for the TLS handshake")
    ] = 5000
