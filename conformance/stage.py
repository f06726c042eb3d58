"""Where scenarios are played: peers on one broker, its HTTP API, and deleting everything afterwards.

A scenario is a function of a `Stage`, registered with `@scenario(name, claims=...)`; `@family` registers one scenario
for each row of a table. Names of queues and exchanges are fixed, because error texts contain them. The stage remembers
what was declared and deletes it at the end, so that every scenario starts on an empty broker.
"""

import base64
import contextlib
import functools
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance import transcript, wire
from conformance.wire import EOF, Peer

PROFILES = ("4.3", "4.0", "3.10")
CAPABILITIES = dict.fromkeys(
    ("consumer_cancel_notify", "connection.blocked", "authentication_failure_close"), True
)


@dataclass(frozen=True)
class Scenario:
    """One conversation: `name` is `topic/what`, `claims` the clause or page that it checks.

    `slow` ones wait for timers of the broker and run only on request.
    """

    name: str
    claims: str
    play: Callable[["Stage"], None]
    profiles: tuple[str, ...] = PROFILES
    slow: bool = False

    @property
    def topic(self) -> str:
        """The topic; there is one golden file for each."""
        return self.name.split("/")[0]


REGISTRY: dict[str, Scenario] = {}


def scenario(
    name: str, claims: str, profiles: Iterable[str] = PROFILES, slow: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register the decorated function as a scenario."""

    def register(play: Callable[..., None]) -> Callable[..., None]:
        if name in REGISTRY:
            raise ValueError(f"two scenarios called {name}")
        REGISTRY[name] = Scenario(name, claims, play, tuple(profiles), slow)
        return play

    return register


def family(
    name: str, claims: str, rows: Mapping[str, Any], profiles: Iterable[str] = PROFILES, slow: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register `play(stage, *row)` for each row; a row that is not a tuple is one argument."""

    def register(play: Callable[..., None]) -> Callable[..., None]:
        for label, row in rows.items():
            arguments = row if type(row) is tuple else (row,)

            def played(stage: Stage, arguments: tuple[Any, ...] = arguments) -> None:
                play(stage, *arguments)

            scenario(f"{name}-{label}", claims, profiles, slow)(functools.wraps(play)(played))
        return play

    return register


@dataclass(frozen=True)
class Target:
    """A broker to play on. `http_url`: of its HTTP API, such as `http://127.0.0.1:15672`; a user in it is ignored."""

    amqp_url: str
    http_url: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of AMQP."""
        url = urllib.parse.urlsplit(self.amqp_url)
        return url.hostname or "127.0.0.1", url.port or 5672

    @property
    def http_address(self) -> tuple[str, int]:
        """Host and port of the HTTP API."""
        url = urllib.parse.urlsplit(self.http_url)
        return url.hostname or "127.0.0.1", url.port or 15672

    @property
    def login(self) -> tuple[str, str]:
        """User and password."""
        url = urllib.parse.urlsplit(self.amqp_url)
        return url.username or "guest", url.password or "guest"

    @property
    def api(self) -> str:
        """The URL in front of paths of the HTTP API; empty if it is not known."""
        url = urllib.parse.urlsplit(self.http_url)
        return url._replace(netloc=url.netloc.rpartition("@")[2], path=url.path.rstrip("/")).geturl()


#: Reply code for a queue that another connection holds.
RESOURCE_LOCKED = 405

_DELETABLE = ("policies", "operator-policies", "users", "vhosts", "parameters", "vhost-limits", "user-limits")


@dataclass
class Stage:
    """What a scenario uses. `lines` is its transcript until now."""

    target: Target
    profile: str = "4.3"
    lines: list[str] = field(default_factory=list)
    peers: dict[str, Peer] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)

    @property
    def missed(self) -> int:
        """How many awaited events did not come."""
        return sum(peer.missed for peer in self.peers.values())

    def note(self, line: str) -> None:
        """Add a line to the transcript."""
        self.lines.append(line)

    def dial(self, name: str = "a") -> Peer:
        """Connect a socket, without sending anything."""
        peer = self.peers[name] = Peer(name, self.target.address, self.note)
        return peer

    def connect(
        self,
        name: str = "a",
        channels: Iterable[int] = (1,),
        vhost: str = "/",
        login: tuple[str, str] | None = None,
        capabilities: Mapping[str, bool] = CAPABILITIES,
        **tune: int,
    ) -> Peer:
        """Open a connection with channels; this is not in the transcript unless it is refused."""
        peer = self.dial(name)
        lines: list[str] = []
        peer.note = lines.append
        offered = greet(peer, login or self.target.login, capabilities)
        if offered is not None:
            given = {key: tune.get(key, offered.arguments[key]) for key in offered.arguments}
            given["heartbeat"] = tune.get("heartbeat", 0)
            peer.frame_max = given["frame_max"]
            peer.send("connection.tune-ok", 0, **given)
            peer.ask("connection.open", 0, virtual_host=vhost)
            for channel in channels:
                peer.ask("channel.open", channel)
        if peer.ended is not None:
            self.lines += lines[-1:]
        peer.note = self.note
        return peer

    def http(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the HTTP API; status and error reason are noted. Returns the decoded answer."""
        shown = f" {json.dumps(body, sort_keys=True)}" if body is not None else ""
        self.note(f"http > {method} {path}{shown}")
        status, answer = request(self.target, method, path, body)
        reason = answer.get("reason", "") if isinstance(answer, dict) and status >= 400 else ""
        self.note(f"http < {status} {transcript.text(reason) if reason else ''}".rstrip())
        if method == "PUT" and path.split("/")[2] in _DELETABLE:
            self.paths.append(path)
        return answer

    def elapse(self, milliseconds: int) -> None:
        """Let time pass by the broker's own clock: a message expires into a queue with a consumer."""
        kept, self.lines = self.lines, []
        clock = self.connect("clock")
        clock.ask("queue.declare", queue="cf.elapsed", exclusive=True)
        timer = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.elapsed"}
        clock.ask("queue.declare", queue="cf.timer", exclusive=True, arguments=timer)
        clock.ask("basic.consume", queue="cf.elapsed", consumer_tag="t", no_ack=True)
        clock.publish("", "cf.timer", b"", expiration=str(milliseconds))
        clock.expect()
        clock.ask("connection.close", 0, reply_code=200)
        clock.drop()
        self.lines = kept
        self.note(f"({milliseconds} ms later)")

    def gone(self, queue: str) -> None:
        """Wait until a publish to the queue is returned; unlike declare or get this does not count as use."""
        kept, self.lines = self.lines, []
        prober = self.connect("prober")
        prober.ask("confirm.select")
        deadline = time.monotonic() + wire.TIMEOUT_S
        returned = False
        while not returned and time.monotonic() < deadline:
            prober.publish("", queue, b"", mandatory=True)
            (event,) = prober.expect()
            returned = event.name == "basic.return"
        prober.idle()
        prober.ask("connection.close", 0, reply_code=200)
        prober.drop()
        self.lines = kept
        self.note(f"({queue} is {'gone' if returned else 'still there'})")

    def note_value(self, label: str, value: Any) -> None:
        """Add a value to the transcript."""
        self.note(f"{label}: {json.dumps(value, sort_keys=True)}")

    def finish(self) -> list[str]:
        """Read what still arrives at every peer, close and clean up; returns the masked transcript."""
        for peer in self.peers.values():
            for channel in sorted(peer.open_channels):
                peer.idle(channel)
            if not peer.open_channels and not peer.said_goodbye:
                peer.idle(0)
        self.close()
        return transcript.masked(self.lines)

    def close(self) -> None:
        """Close what is open and delete what was declared, without noting it."""
        for peer in self.peers.values():
            peer.note = lambda line: None
            if peer.opened and peer.ended is None and not peer.said_goodbye:
                with contextlib.suppress(ValueError):
                    peer.ask("connection.close", 0, reply_code=200)
            peer.drop()
        _tidy(self.target, {each for peer in self.peers.values() for each in peer.declared})
        for path in reversed(self.paths):
            with contextlib.suppress(OSError):
                request(self.target, "DELETE", path, None)


def greet(peer: Peer, login: tuple[str, str], capabilities: Mapping[str, bool]) -> Any:
    """Send and receive from the protocol header to connection.tune; None if the broker closed the socket."""
    peer.raw(b"AMQP\x00\x00\x09\x01", "protocol header AMQP 0 0 9 1")
    peer.expect(1, 0)
    response = "\0{}\0{}".format(*login)
    peer.send(
        "connection.start-ok", 0, mechanism="PLAIN", response=response, locale="en_US",
        client_properties={"product": "conformance", "capabilities": dict(capabilities)},
    )  # fmt: skip
    (tune,) = peer.expect(1, 0)
    return tune if tune.name == "connection.tune" else None


def request(target: Target, method: str, path: str, body: Any) -> tuple[int, Any]:
    """Make a request to the HTTP API; returns status and decoded body, and status 0 without a response."""
    if not target.api:
        return 0, None
    user, password = target.login
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
    asked = urllib.request.Request(target.api + path, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=wire.TIMEOUT_S) as answer:
            status, content = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            status, content = error.code, error.read()
    except OSError:
        return 0, None
    try:
        return status, json.loads(content) if content else None
    except ValueError:
        return status, None


def _tidy(target: Target, declared: Iterable[tuple[str, str | bytes]]) -> None:
    """Delete queues and exchanges, given as (class, name)."""
    todo = sorted(set(declared), key=str, reverse=True)
    if not todo:
        return
    peer = Peer("janitor", target.address, lambda line: None)
    try:
        tune = greet(peer, target.login, CAPABILITIES)
        peer.send("connection.tune-ok", 0, **{**tune.arguments, "heartbeat": 0})
        peer.ask("connection.open", 0, virtual_host="/")
        peer.ask("channel.open", 1)
        for kind, name in todo:
            if not _deleted(peer, kind, name):
                return
        peer.ask("connection.close", 0, reply_code=200)
    finally:
        peer.drop()


def _deleted(peer: Peer, kind: str, name: str | bytes) -> bool:
    """Delete one, again while a connection that has just ended still holds it; False if the connection is closed."""
    deadline = time.monotonic() + wire.TIMEOUT_S
    while True:
        event = peer.ask(f"{kind}.delete", 1, **{kind: name})
        if event is EOF or event.name == "connection.close":
            return False
        if event.name != "channel.close":
            return True
        peer.ask("channel.open", 1)
        if event.arguments["reply_code"] != RESOURCE_LOCKED or time.monotonic() > deadline:
            return True
