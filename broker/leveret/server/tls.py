"""TLS contexts: made from settings, and made again when their files change.

Connections keep the context that they began with, so that a new certificate closes none of them. A context that cannot
be made again (a certificate was replaced, and its key not yet) leaves the former one in use.
"""

from __future__ import annotations

import logging
import os
import ssl
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, cast

from leveret.engine.encryption import Certificate, Encryption
from leveret.server import x509
from leveret.tls_settings import Tls, TlsError

log = logging.getLogger("leveret")

#: Erlang's name of a version -> OpenSSL's, from the newest one.
VERSIONS = {
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1": ssl.TLSVersion.TLSv1,
}

#: Erlang's name of a version -> what switches it off.
_OFF = {
    "tlsv1.3": ssl.OP_NO_TLSv1_3,
    "tlsv1.2": ssl.OP_NO_TLSv1_2,
    "tlsv1.1": ssl.OP_NO_TLSv1_1,
    "tlsv1": ssl.OP_NO_TLSv1,
}

#: Versions that are used unless others are set. Erlang would accept older ones, too; OpenSSL as it is shipped does not.
DEFAULT_VERSIONS = ("tlsv1.3", "tlsv1.2")

#: OpenSSL's name of a version -> Erlang's.
_ERLANG_VERSIONS = {"TLSv1.3": "tlsv1.3", "TLSv1.2": "tlsv1.2", "TLSv1.1": "tlsv1.1", "TLSv1": "tlsv1"}

#: A part of OpenSSL's names of cipher suites -> Erlang's name of the cipher; the first that fits.
_CIPHERS = {
    "AES_256_GCM": "aes_256_gcm",
    "AES_128_GCM": "aes_128_gcm",
    "AES256_GCM": "aes_256_gcm",
    "AES128_GCM": "aes_128_gcm",
    "AES_128_CCM_8": "aes_128_ccm_8",
    "AES_128_CCM": "aes_128_ccm",
    "AES256_CCM8": "aes_256_ccm_8",
    "AES128_CCM8": "aes_128_ccm_8",
    "AES256_CCM": "aes_256_ccm",
    "AES128_CCM": "aes_128_ccm",
    "CHACHA20_POLY1305": "chacha20_poly1305",
    "AES256": "aes_256_cbc",
    "AES128": "aes_128_cbc",
}

#: A part of the name of a cipher that authenticates what it encrypts.
_AEAD = ("GCM", "CCM", "POLY1305")


class HandshakeFailed(OSError):  # noqa: N818  event loops report other exceptions as internal errors
    """A handshake has failed. `alert`: what the client is to be sent; `reason`: OpenSSL's."""

    def __init__(self, error: ssl.SSLError, alert: bytes) -> None:
        super().__init__(str(error))
        self.alert = alert
        self.reason = error.reason or "unknown"
        self.detail = getattr(error, "verify_message", self.reason)

    def __str__(self) -> str:
        """Show it as Erlang's ssl does: the name of the alert, and what was wrong."""
        name = self.reason.lower()
        for prefix in ("sslv3_alert_", "tlsv1_alert_", "tlsv13_alert_"):
            name = name.removeprefix(prefix)
        return f'{{tls_alert,{{{name},"TLS server: {self.detail}"}}}}'


class _Context(ssl.SSLContext):
    """A context whose connections can say why a handshake failed: event loops close the socket without that."""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a connection, and remember where its alerts are written."""
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(made, _Connection):
            made.outgoing = outgoing
        return made


class _Connection(ssl.SSLObject):
    """One connection. `outgoing`: what is to be sent."""

    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        """Go on with the handshake. Raises `HandshakeFailed`."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            raise HandshakeFailed(error, self.outgoing.read()) from None


_Context.sslobject_class = _Connection


class TlsContext:
    """The TLS of one kind of listener. `name`: its section of the settings.

    `current`: the context for the next connection. Raises `TlsError` if it cannot be made.
    """

    def __init__(self, settings: Tls, name: str) -> None:
        self.settings = settings
        self.name = name
        self.files = _files(settings)
        self._seen = _state(self.files)
        self._context = make_context(settings, name)

    @property
    def current(self) -> ssl.SSLContext:
        """The context for a new connection: made again if its files have changed."""
        seen = _state(self.files)
        if seen != self._seen:
            self._seen = seen
            self.reload()
        return self._context

    def reload(self) -> bool:
        """Read the files again. Return whether they could be used; if not, the former context stays."""
        try:
            self._context = make_context(self.settings, self.name)
        except TlsError as error:
            log.error("the TLS certificates are not reloaded: %s", error)
            return False
        log.info("the TLS certificates of %s are reloaded", self.name)
        return True


def make_context(settings: Tls, name: str) -> ssl.SSLContext:
    """Make a context from settings. Raises `TlsError`."""
    if not settings.certfile:
        raise TlsError(f"{name}.certfile: a listener with TLS needs a certificate")
    if settings.fail_if_no_peer_cert and settings.verify == "verify_none":
        raise TlsError(
            f"{name}.fail_if_no_peer_cert: true needs verify = verify_peer: "
            "{options,incompatible,[{verify,verify_none},{fail_if_no_peer_cert,true}]}"
        )
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    _choose_versions(context, settings)
    _choose_ciphers(context, settings, name)
    _load_certificate(context, settings, settings.certfile, settings.keyfile, name)
    _verify_clients(context, settings, name)
    _set_options(context, settings, name)
    others = {
        host.lower(): _sni_context(settings, path, name) for host, path in settings.sni_certfiles.items()
    }
    if others:
        context.sni_callback = _chooser(others)
    return context


def shown_versions(settings: Tls) -> list[str]:
    """Return the versions of TLS that are accepted, from the newest one."""
    return [version for version in VERSIONS if version in (settings.versions or DEFAULT_VERSIONS)]


def _choose_versions(context: ssl.SSLContext, settings: Tls) -> None:
    wanted = shown_versions(settings)
    with warnings.catch_warnings():  # that old versions are insecure, which the operator knows
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = VERSIONS[wanted[-1]]
        context.maximum_version = VERSIONS[wanted[0]]
        for version, switch in _OFF.items():
            if version not in wanted:
                context.options |= switch
    if "tlsv1" in wanted or "tlsv1.1" in wanted:
        context.set_ciphers("DEFAULT@SECLEVEL=0")  # OpenSSL has no cipher for them otherwise


#: What the names of suites begin with that Erlang has, and OpenSSL no longer. The example in RabbitMQ's guide of TLS
#: lists some.
_ERLANG_ONLY = ("ECDH-", "DHE-DSS-", "DH-", "SRP-")


def _choose_ciphers(context: ssl.SSLContext, settings: Tls, name: str) -> None:
    """Restrict the suites. Python cannot choose among those of TLS 1.3: without one of them, that is not used."""
    old = [suite for suite in settings.ciphers if not suite.startswith("TLS_")]
    there = []
    for suite in old:
        try:
            context.set_ciphers(suite)
        except ssl.SSLError:
            if not suite.startswith(_ERLANG_ONLY):
                raise TlsError(f"{name}.ciphers: OpenSSL has no cipher suite {suite}") from None
            log.warning("%s.ciphers: %s is left out, because OpenSSL does not have it", name, suite)
        else:
            there.append(suite)
    if old and not there:
        raise TlsError(f"{name}.ciphers: OpenSSL has none of these cipher suites: {', '.join(old)}")
    if old:
        context.set_ciphers(":".join(there))
        if len(old) == len(settings.ciphers):
            context.maximum_version = min(context.maximum_version, ssl.TLSVersion.TLSv1_2)
    elif settings.ciphers:
        context.minimum_version = ssl.TLSVersion.TLSv1_3


def _load_certificate(context: ssl.SSLContext, settings: Tls, certfile: str, keyfile: str, name: str) -> None:
    """Raises `TlsError`. Without a password, OpenSSL would ask for one on the terminal."""
    try:
        context.load_cert_chain(certfile, keyfile or None, lambda: settings.password)
    except ssl.SSLError as error:
        problem = _key_problem(error, keyfile or certfile, settings.password)
        raise TlsError(f"{name}.certfile: {certfile}, {keyfile or certfile}: {problem}") from None
    except OSError as error:
        raise TlsError(f"{name}.certfile: {error.filename or certfile}: {error.strerror}") from None


def _key_problem(error: ssl.SSLError, keyfile: str, password: str) -> str:
    """Return what is wrong with a certificate and its key; OpenSSL's reasons say little of passwords."""
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the private key is not that of the certificate"
    if b"ENCRYPTED" in Path(keyfile).read_bytes():
        return "the password of the private key is wrong" if password else "the private key needs a password"
    return error.reason or "no certificate and private key in PEM format"


def _verify_clients(context: ssl.SSLContext, settings: Tls, name: str) -> None:
    """Raises `TlsError`."""
    context.check_hostname = False
    if settings.verify == "verify_none":
        context.verify_mode = ssl.CERT_NONE
        return
    if not settings.cacertfile:
        raise TlsError(f"{name}.cacertfile: verify_peer needs the certificates of authorities")
    context.verify_mode = ssl.CERT_REQUIRED if settings.fail_if_no_peer_cert else ssl.CERT_OPTIONAL
    try:
        context.load_verify_locations(settings.cacertfile)
    except OSError as error:  # ssl.SSLError is one, too
        problem = error.strerror or getattr(error, "reason", "")
        raise TlsError(f"{name}.cacertfile: {settings.cacertfile}: {problem}") from None


def _set_options(context: ssl.SSLContext, settings: Tls, name: str) -> None:
    """Raises `TlsError`."""
    if settings.honor_cipher_order:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if not settings.client_renegotiation:
        context.options |= ssl.OP_NO_RENEGOTIATION
    if settings.dhfile:
        try:
            context.load_dh_params(settings.dhfile)
        except OSError:
            raise TlsError(f"{name}.dhfile: {settings.dhfile}: no parameters in PEM format") from None


def _sni_context(settings: Tls, path: str, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load_certificate(context, settings, path, "", name)
    return context


def _chooser(others: dict[str, ssl.SSLContext]) -> Callable[[ssl.SSLObject, str, ssl.SSLContext], None]:
    """Return what chooses the certificate by the host name that the client asks for (RFC 6066 3)."""

    def choose(connection: ssl.SSLObject, host: str | None, _: ssl.SSLContext) -> None:
        found = others.get(host.lower()) if host is not None else None
        if found is not None:
            connection.context = found

    return choose


def _files(settings: Tls) -> list[str]:
    names = (settings.certfile, settings.keyfile, settings.cacertfile, settings.dhfile)
    return [name for name in (*names, *settings.sni_certfiles.values()) if name]


def _state(files: Iterable[str]) -> tuple[object, ...]:
    """What tells that files have changed."""
    state: list[object] = []
    for name in files:
        try:
            found = os.stat(name)
            state.append((found.st_ino, found.st_mtime_ns, found.st_size))
        except OSError as error:
            state.append(error.errno)
    return tuple(state)


class _Verified(Protocol):
    """The part of an SSLObject that Python has documented since 3.13."""

    def get_verified_chain(self) -> list[object]:
        """The certificates from the peer's one to that of its authority."""


def chain_too_long(connection: ssl.SSLObject, depth: int) -> bool:
    """Return whether there are more than `depth` certificates between that of the client and its authority's (Erlang's
    `depth`; OpenSSL's is not accessible)."""
    if connection.getpeercert(binary_form=True) is None:
        return False
    source = connection if hasattr(connection, "get_verified_chain") else getattr(connection, "_sslobj", None)
    chain = cast(_Verified, source).get_verified_chain()
    return len(chain) - 2 > depth


def encryption(connection: ssl.SSLObject, settings: Tls) -> Encryption:
    """Return what the broker shows of an encrypted connection."""
    name, _, _ = connection.cipher() or ("", "", 0)
    key_exchange, cipher, digest = erlang_suite(name)
    der = connection.getpeercert(binary_form=True)
    return Encryption(
        protocol=_ERLANG_VERSIONS.get(connection.version() or "", ""),
        key_exchange=key_exchange,
        cipher=cipher,
        hash=digest,
        certificate=_readable(der) if der is not None else None,
        verified=settings.verify == "verify_peer",
    )


def _readable(der: bytes) -> Certificate | None:
    """Return a certificate that OpenSSL has accepted; None, as if there were none, if it cannot be read here."""
    try:
        return x509.read(der)
    except x509.MalformedCertificate as error:
        log.warning("the certificate of a client is not used: %s", error)
        return None


def erlang_suite(name: str) -> tuple[str, str, str]:
    """Return Erlang's names of the key exchange, the cipher and the hash of OpenSSL's suite."""
    plain = name.replace("-", "_")
    cipher = next((erlang for part, erlang in _CIPHERS.items() if part in plain), plain.lower())
    last = plain.rpartition("_")[2]
    digest = "aead" if any(part in plain for part in _AEAD) else last.lower()
    if plain.startswith("TLS_"):
        return "any", cipher, digest
    exchange = "_".join(word for word in plain.split("_") if word in ("ECDHE", "DHE", "ECDSA", "RSA", "PSK"))
    return exchange.lower() or "rsa", cipher, digest
