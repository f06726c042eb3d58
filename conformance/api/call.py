"""One call to the HTTP API, and the answer to it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: The users of the setting: a tag, or what their password is worth. Their password is `pw`.
ROLES = (
    "administrator",
    "monitoring",
    "policymaker",
    "management",
    "impersonator",
    "none",
    "stranger",  # management, without permissions in any virtual host
    "wrong",  # a wrong password
    "",  # no login
)

NOTHING = b""


@dataclass(frozen=True)
class Call:
    """One request. `path`: below /api, or from the root if it begins with a slash.

    In it and in the body `{node}` is the name of the node, `{amqp}` and `{http}` are ports, `{connection:NAME}` and
    `{channel:NAME}` the connections and first channels of the setting. `body`: octets, or what is encoded as JSON.
    `user`: one of ROLES, or `guest`.
    """

    method: str
    path: str
    user: str = "guest"
    body: object = NOTHING
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What stands for the call in recordings and tables."""
        words = [self.method, self.path]
        if self.user != "guest":
            words.append(f"as {self.user or 'nobody'}")
        words += [f"[{name}: {value}]" for name, value in self.headers.items()]
        if self.body != NOTHING:
            words.append(repr(self.body)[1:] if isinstance(self.body, bytes) else json.dumps(self.body))
        return " ".join(words)


@dataclass(frozen=True)
class Answer:
    """What came back: `body` is decoded JSON, or the beginning of something else, or None."""

    status: int
    phrase: str
    headers: Mapping[str, str]
    body: object

    def to_json(self) -> dict[str, object]:
        """As it is kept in a file."""
        return {
            "status": self.status,
            "phrase": self.phrase,
            "headers": dict(self.headers),
            "body": self.body,
        }


def get(*paths: str, user: str = "guest", **headers: str) -> list[Call]:
    """GET each of the paths."""
    return [Call("GET", path, user, headers=_named(headers)) for path in paths]


def put(path: str, body: object = NOTHING, user: str = "guest", **headers: str) -> Call:
    """PUT with a body."""
    return Call("PUT", path, user, body, _named(headers))


def post(path: str, body: object = NOTHING, user: str = "guest", **headers: str) -> Call:
    """POST with a body."""
    return Call("POST", path, user, body, _named(headers))


def delete(*paths: str, user: str = "guest", **headers: str) -> list[Call]:
    """DELETE each of the paths."""
    return [Call("DELETE", path, user, headers=_named(headers)) for path in paths]


def by_all(
    path: str, method: str = "GET", body: object = NOTHING, roles: Iterable[str] = ROLES
) -> list[Call]:
    """The same call by each kind of user."""
    return [Call(method, path, role, body) for role in roles]


def methods(path: str, *names: str) -> list[Call]:
    """The same path with other methods."""
    return [Call(name, path) for name in names]


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
