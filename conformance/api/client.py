"""Sends calls to one broker, and records its answers with names in place of node names and ports."""

import base64
import http.client
import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field

from conformance import wire
from conformance.api import bert
from conformance.api.call import Answer, Call
from conformance.stage import Target

#: How much is kept of a body that is not JSON.
TEXT_LENGTH = 200

_PASSWORDS = {"guest": "guest", "wrong": "not it"}


@dataclass
class Client:
    """A client of one broker's HTTP API. `names`: name in braces -> what this broker has for it."""

    target: Target
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        url = urllib.parse.urlsplit(self.target.http_url)
        self._address = (url.hostname or "127.0.0.1", url.port or 15672)
        self._connection = http.client.HTTPConnection(*self._address, timeout=wire.TIMEOUT_S)
        self.names |= {"{http}": str(self._address[1]), "{amqp}": str(self.target.address[1])}
        overview = self.ask("GET", "overview")
        assert isinstance(overview, dict)
        self.names["{node}"] = overview["node"]
        self.names["{cluster}"] = overview["cluster_name"]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def ask(self, method: str, path: str, body: object = b"") -> object:
        """The decoded answer to a request of `guest`, as it is. Raises RuntimeError if a change is refused."""
        response, content = self._sent(Call(method, path, body=body))
        if method != "GET" and response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {content.decode()}")
        return json.loads(content or b"null")

    def answer(self, call: Call) -> Answer:
        """The answer to a call, with names in place of what is this broker's own."""
        response, content = self._sent(call)
        headers = {name.lower(): self._named(value) for name, value in response.getheaders()}
        return Answer(response.status, response.reason, headers, self._decoded(headers, content))

    def _sent(self, call: Call) -> tuple[http.client.HTTPResponse, bytes]:
        path = call.path if call.path.startswith("/") else f"/api/{call.path}"
        body = call.body if isinstance(call.body, bytes) else json.dumps(call.body).encode()
        body = self._filled(body.decode("latin-1")).encode("latin-1")
        headers = {"Content-Type": "application/json", **_login(call.user)}
        headers |= {name.title(): value for name, value in call.headers.items()}
        if call.user == "":
            headers.pop("Authorization", None)
        try:
            self._connection.request(call.method, self._filled(path, quoted=True), body or None, headers)
            response = self._connection.getresponse()
            return response, response.read()
        except (http.client.HTTPException, OSError):
            self._connection.close()
            self._connection.request(call.method, self._filled(path, quoted=True), body or None, headers)
            response = self._connection.getresponse()
            return response, response.read()

    def _filled(self, text: str, quoted: bool = False) -> str:
        for name, value in self.names.items():
            text = text.replace(name, urllib.parse.quote(value, safe="") if quoted else value)
        return text

    def _decoded(self, headers: Mapping[str, str], content: bytes) -> object:
        if not content:
            return None
        if headers.get("content-type") == bert.CONTENT_TYPE:
            return self.renamed(bert.decode(content))
        try:
            return self.renamed(json.loads(content))
        except ValueError:
            return self._named(content.decode("utf-8", "replace")[:TEXT_LENGTH])

    def renamed(self, value: object, name: str = "") -> object:
        """The value with names in place of this broker's own; ports are numbers and have names, too."""
        if isinstance(value, dict):
            return {self._named(key): self.renamed(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.renamed(inner, name) for inner in value]
        if isinstance(value, str):
            return "{port}" if name == "port" and value.isdigit() else self._named(value)
        if isinstance(value, int) and not isinstance(value, bool) and "port" in name:
            return next(
                (key for key, known in self.names.items() if known == str(value)), "{port}" if value else 0
            )
        return value

    def _named(self, text: str) -> str:
        """The text with names in place of this broker's own; numbers are ports only in fields of ports."""
        for name, value in sorted(self.names.items(), key=lambda item: -len(item[1])):
            if not value.isdigit():
                text = text.replace(value, name).replace(urllib.parse.quote(value, safe=""), name)
        return text


def _login(user: str) -> dict[str, str]:
    password = _PASSWORDS.get(user, "pw")
    name = "guest" if user == "wrong" else user
    credentials = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}
