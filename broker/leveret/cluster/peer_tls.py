"""TLS between nodes: each shows a certificate, and accepts those that an authority of the cluster has signed.

Whoever has such a certificate is a node, whatever its address is: names in it are not compared. That it is a node of
this cluster, its secret proves (`peers.py`).
"""

from __future__ import annotations

import ssl

from leveret.server.tls import TlsContext
from leveret.settings import Cluster
from leveret.tls_settings import Tls, TlsError

#: The section of the settings.
SECTION = "cluster"


class PeerTls:
    """The contexts of a node: `server`, for those that call it, and `client`, for those that it calls. Files that have
    changed are read again. Raises `TlsError`."""

    def __init__(self, settings: Cluster) -> None:
        tls = Tls(
            certfile=settings.certfile,
            keyfile=settings.keyfile,
            cacertfile=settings.cacertfile,
            verify="verify_peer",
            fail_if_no_peer_cert=True,
            versions=("tlsv1.3",),
        )
        self._accepting = TlsContext(tls, SECTION)
        self._made_from: ssl.SSLContext | None = None
        self._client = _client_context(tls)
        self._settings = tls
        self.server = self._accepting.current
        self._made_from = self.server
        self.server.sni_callback = self._choose

    @property
    def client(self) -> ssl.SSLContext:
        """The context of the next call."""
        current = self._accepting.current
        if current is not self._made_from:
            self._made_from, self._client = current, _client_context(self._settings)
        return self._client

    def _choose(self, connection: ssl.SSLObject, host: str | None, context: ssl.SSLContext) -> None:
        """A node calls, also without a name of a host: it gets the newest certificate."""
        current = self._accepting.current
        if current is not context:
            connection.context = current


def _client_context(settings: Tls) -> ssl.SSLContext:
    """Raises `TlsError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(settings.cacertfile)
        context.load_cert_chain(settings.certfile, settings.keyfile or None)
    except OSError as error:  # ssl.SSLError is one, too
        raise TlsError(f"{SECTION}.certfile: {settings.certfile}: {error}") from None
    return context


def peer_tls(settings: Cluster) -> PeerTls | None:
    """Return the TLS of the settings; None without a certificate. Raises `TlsError`."""
    return PeerTls(settings) if settings.certfile else None
