"""Requests to the HTTP API, for `rabbitmqadmin`."""

from __future__ import annotations

import http.client
import json
from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit


class ApiError(Exception):
    """The API refuses. `reason`: its words, if it has any."""

    def __init__(self, status: int, phrase: str, reason: str, path: str) -> None:
        super().__init__(f"{status} {phrase}: {reason}")
        self.status = status
        self.phrase = phrase
        self.reason = reason
        self.path = path


class UnreachableError(Exception):
    """There is no API at that address."""


def segment(text: str) -> str:
    """A name as a part of a path."""
    return quote(text, safe="", errors="surrogateescape")


class TlsFiles(NamedTuple):
    """Files in PEM format: who is trusted, and the client's certificate with its key; empty: none."""

    authorities: str = ""
    certificate: str = ""
    key: str = ""


class Api:
    """One HTTP API and a user of it. `tls`: the files for https."""

    def __init__(
        self,
        uri: str,
        username: str,
        password: str,
        *,
        verified: bool = True,
        timeout: float = 120,
        tls: TlsFiles | None = None,
    ) -> None:
        self.uri = uri.rstrip("/")
        parts = urlsplit(self.uri)
        self.host = parts.hostname or "localhost"
        self.port = parts.port
        self.tls = parts.scheme == "https"
        self.prefix = parts.path
        self.verified = verified
        self.timeout = timeout
        self.files = tls or TlsFiles()
        token = b64encode(f"{username}:{password}".encode("utf-8", "surrogateescape")).decode()
        self.headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}

    def get(self, path: str, query: Mapping[str, str] | None = None) -> object:
        """Return the JSON at a path. Raises `ApiError`, `UnreachableError`."""
        text = self.request("GET", path + (f"?{urlencode(query)}" if query else ""))
        return json.loads(text) if text else None

    def send(self, method: str, path: str, body: object = None) -> object:
        """Send JSON, and return what is answered. Raises `ApiError`, `UnreachableError`."""
        text = self.request(method, path, json.dumps(body) if body is not None else "")
        return json.loads(text) if text[:1] in ("{", "[") else text

    def request(self, method: str, path: str, body: str = "") -> str:
        """Return the body of the response. Raises `ApiError`, `UnreachableError`."""
        try:
            connection = self._connection()
        except OSError as error:  # also of TLS: a file that is not there, or no certificate
            raise UnreachableError(str(error)) from None
        try:
            connection.request(
                method, self.prefix + path, body.encode("utf-8", "surrogateescape") or None, self.headers
            )
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(str(error)) from None
        finally:
            connection.close()
        if response.status >= 400:
            raise ApiError(response.status, response.reason, _reason(text), self.prefix + path)
        return text

    def _connection(self) -> http.client.HTTPConnection:
        if not self.tls:
            return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        import ssl

        context = ssl.create_default_context(cafile=self.files.authorities or None)
        # The default since Python 3.13, with which the certificates of many own authorities fail.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.files.certificate:
            context.load_cert_chain(self.files.certificate, self.files.key or None)
        if not self.verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=context)


def _reason(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    reason = found.get("reason", found.get("error", ""))
    return reason if isinstance(reason, str) else json.dumps(reason)
