"""A real RabbitMQ behind the calls of the toolkit, for tests that are to pass on both: `pytest --rabbitmq-url=...`.

It is asked over its HTTP API. Waits poll, and see what RabbitMQ's statistics say, which are some seconds old. What only
Leveret can do raises `Unsupported`: the plugin skips such a test.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from http.client import HTTPException
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import quote, unquote, urlsplit

import msgspec
from msgspec import Struct

from leveret.testing.browse import MissingError, QueueView
from leveret.testing.durations import Duration, delay_s
from leveret.testing.errors import ToolkitError, Unroutable, Unsupported, WaitTimeout, hides_frames
from leveret.testing.messages import QueueMessage
from leveret.testing.values import Header, Properties, body_of

if TYPE_CHECKING:
    from leveret.testing.inside import Definitions

T = TypeVar("T")

__tracebackhide__ = hides_frames

#: Seconds between two looks of a wait.
POLL_S = 0.05

#: Port of the HTTP API of a RabbitMQ whose AMQP port is the default one.
HTTP_PORT = 15672


class _Routed(Struct):
    """The answer to a publish."""

    routed: bool


class _Fetched(Struct):
    """A message that was fetched. `properties`: an empty list for none."""

    exchange: str
    routing_key: str
    payload: str
    properties: Properties | list[object]
    redelivered: bool


class _Connection(Struct):
    """A connection. `client_properties`: an object, or an empty list for none."""

    name: str = ""
    client_properties: object = None

    def names(self) -> tuple[str, str]:
        """Return the name that the server has given, and that of the client, empty for none."""
        given = self.client_properties
        return self.name, str(given.get("connection_name", "")) if isinstance(given, dict) else ""


class _Named(Struct):
    """Anything with a name."""

    name: str


class _Queue(_Named):
    """A queue; a new one has no statistics yet."""

    vhost: str
    durable: bool
    auto_delete: bool
    arguments: dict[str, Header]
    type: str = "classic"
    messages_ready: int = 0
    messages_unacknowledged: int = 0
    consumers: int = 0
    exclusive: bool = False


class RabbitMQ:
    """A RabbitMQ server, or one virtual host of it (`vhost`). `url`: `amqp://user:password@host:port/vhost`. Raises
    `ToolkitError` for another URL."""

    def __init__(self, url: str, http_url: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("amqp", "amqps"):
            raise ToolkitError(
                f"--rabbitmq-url={url}: an address of AMQP is like amqp://guest:guest@localhost:5672/"
            )
        self.url = url
        self._user = unquote(parts.username or "guest")
        self._password = unquote(parts.password or "guest")
        self._vhost = unquote(parts.path[1:]) if parts.path not in ("", "/") else "/"
        self.host, self.port = parts.hostname or "localhost", parts.port or 5672
        self.http_url = http_url or f"http://{self.host}:{HTTP_PORT}"
        self._count = 0

    def __repr__(self) -> str:
        """Return a short description."""
        return f"<RabbitMQ {self.host}:{self.port} vhost {self._vhost!r}>"

    def __getattr__(self, name: str) -> NoReturn:
        """Raise `Unsupported` for what only Leveret can do."""
        if name.startswith("_"):
            raise AttributeError(name)
        raise Unsupported(f"`{name}` needs Leveret, and {self.host}:{self.port} is a real RabbitMQ")

    # --- the HTTP API

    def _call(self, method: str, path: str, body: object = None) -> object:
        address = urlsplit(self.http_url)
        place = f"{address.scheme}://{address.hostname}:{address.port or HTTP_PORT}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{place}/api{path}", data, method=method)
        who = f"{unquote(address.username or self._user)}:{unquote(address.password or self._password)}"
        request.add_header("Authorization", "Basic " + base64.b64encode(who.encode()).decode())
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            reason = error.read().decode("utf-8", "replace")
            if error.code == 404:
                raise MissingError(f"{method} {path}: {reason}") from None
            raise ToolkitError(f"RabbitMQ answered {method} {path} with {error.code}: {reason}") from None
        except (OSError, HTTPException) as error:
            hint = "--rabbitmq-http-url names another address"
            raise ToolkitError(
                f"the HTTP API of RabbitMQ does not answer at {place}: {error}; {hint}"
            ) from None
        found: object = json.loads(text) if text else None
        return found

    def _ask(self, kind: type[T], method: str, path: str, body: object = None) -> T:
        """Return what is answered as an object of `kind`."""
        found = self._call(method, path, body)
        try:
            return msgspec.convert(found, kind)
        except msgspec.ValidationError as error:
            raise ToolkitError(f"RabbitMQ answered {method} {path} with {found!r}: {error}") from None

    @property
    def _place(self) -> str:
        return quote(self._vhost, "")

    # --- life

    def start(self) -> RabbitMQ:
        """Do nothing: it runs."""
        return self

    def stop(self) -> None:
        """Do nothing: it is not ours to stop."""

    def vhost(self, name: str | None = None) -> RabbitMQ:
        """Return a view of one virtual host, which is made if need be."""
        if name is None:
            self._count += 1
            name = f"test-{self._count}"
        place = quote(name, "")
        self._call("PUT", f"/vhosts/{place}", {})
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        self._call("PUT", f"/permissions/{place}/{quote(self._user, '')}", rights)
        who = f"{quote(self._user, '')}:{quote(self._password, '')}"
        return type(self)(f"amqp://{who}@{self.host}:{self.port}/{place}", self.http_url)

    def _delete(self) -> None:
        with suppress(MissingError):
            self._call("DELETE", f"/vhosts/{self._place}")

    def __enter__(self) -> RabbitMQ:
        """Return the server, or the view."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete the virtual host, unless it is the default one."""
        if self._vhost != "/":
            self._delete()

    def reset(self, *, keep: object = ()) -> None:
        """Delete the virtual host and make it anew. Raises `Unsupported` with `keep`."""
        if keep:
            raise Unsupported("reset(keep=...) needs Leveret")
        self._delete()
        self.vhost(self._vhost)

    @property
    def sync(self) -> RabbitMQ:
        """The same server; methods that wait are blocking calls."""
        return self

    @property
    def aio(self) -> AsyncRabbitMQ:
        """The same server; methods that wait are coroutines."""
        return AsyncRabbitMQ(self)

    # --- inside

    def declare(self, definitions: Definitions) -> None:
        """Declare exchanges, queues, bindings and policies."""
        for item in definitions.get("policies", ()):
            body = {"apply-to": "all", "priority": 0, **item}
            self._call("PUT", f"/policies/{self._place}/{quote(item['name'], '')}", body)
        for item in definitions.get("exchanges", ()):
            body = {"type": "direct", "durable": True, "auto_delete": False, "arguments": {}, **item}
            self._call("PUT", f"/exchanges/{self._place}/{quote(item['name'], '')}", body)
        for item in definitions.get("queues", ()):
            body = {"durable": True, "auto_delete": False, "arguments": {}, **item}
            if "type" in item:
                body["arguments"] = {"x-queue-type": item["type"], **body["arguments"]}
            self._call("PUT", f"/queues/{self._place}/{quote(item['name'], '')}", body)
        for item in definitions.get("bindings", ()):
            kind = "e" if item.get("destination_type") == "exchange" else "q"
            ends = f"{quote(item['source'], '')}/{kind}/{quote(item['destination'], '')}"
            body = {"routing_key": item.get("routing_key", ""), "arguments": item.get("arguments", {})}
            self._call("POST", f"/bindings/{self._place}/e/{ends}", body)

    def publish(
        self, exchange: str, routing_key: str, body: object, *, mandatory: bool = True, **properties: Header
    ) -> None:
        """Publish a message. Raises `Unroutable` if it is mandatory and reaches no queue."""
        message = {
            "properties": properties,
            "routing_key": routing_key,
            "payload": base64.b64encode(body_of(body)).decode(),
            "payload_encoding": "base64",
        }
        name = quote(exchange or "amq.default", "")
        answer = self._ask(_Routed, "POST", f"/exchanges/{self._place}/{name}/publish", message)
        if mandatory and not answer.routed:
            raise Unroutable(f"a message to exchange '{exchange}' with key '{routing_key}' reached no queue")

    def messages(self, queue: str) -> list[QueueMessage]:
        """Return what is ready in a queue. RabbitMQ can only fetch and requeue it, so it is redelivered from then on.
        What a client has is not seen."""
        request = {"count": 10_000, "ackmode": "ack_requeue_true", "encoding": "base64"}
        place = f"/queues/{self._place}/{quote(queue, '')}/get"
        found = self._ask(list[_Fetched], "POST", place, request)
        return [
            QueueMessage(
                queue,
                number,
                "ready",
                one.exchange,
                one.routing_key,
                base64.b64decode(one.payload),
                one.properties if isinstance(one.properties, Properties) else Properties(),
                one.redelivered,
            )
            for number, one in enumerate(found, 1)
        ]

    @property
    def queues(self) -> Mapping[str, QueueView]:
        """The queues by name."""
        return _Queues(self)

    # --- asserts and waits

    def assert_queue(
        self,
        name: str,
        ready: int | None = None,
        unacked: int | None = None,
        consumers: int | None = None,
        timeout: Duration = 10,
    ) -> None:
        """Raise `AssertionError` unless a queue has so many messages and consumers, once statistics have caught up."""

        def wrong() -> str:
            queue = self.queues[name]
            wanted = {"ready": ready, "unacked": unacked, "consumers": consumers}
            return "; ".join(
                f"{getattr(queue, which)} {which}, wanted {count}"
                for which, count in wanted.items()
                if count is not None and getattr(queue, which) != count
            )

        end = time.monotonic() + delay_s(timeout, "timeout")
        while (text := wrong()) and time.monotonic() < end:
            time.sleep(POLL_S)
        if text:
            raise AssertionError(f"queue '{name}' has {text}")

    def _poll(self, look: Callable[[], T | None], what: str, timeout: Duration) -> T:
        timeout_s = delay_s(timeout, "timeout")
        end = time.monotonic() + timeout_s
        while True:
            found, missing = None, ""
            try:
                found = look()
            except MissingError as error:
                missing = f"; {error}"
            if found is not None:
                return found
            if time.monotonic() >= end:
                raise WaitTimeout(
                    f"wanted {what} within {timeout_s:g} s, and the server does not have it{missing}"
                )
            time.sleep(POLL_S)

    def wait_until(self, predicate: Callable[[], object], timeout: Duration = 5) -> None:
        """Wait until `predicate` returns something true."""
        self._poll(lambda: True if predicate() else None, getattr(predicate, "__qualname__", "it"), timeout)

    def wait_for_messages(
        self,
        queue: str,
        count: int = 1,
        timeout: Duration = 5,
        *,
        where: Callable[[QueueMessage], object] | None = None,
    ) -> list[QueueMessage]:
        """Wait for ready messages in a queue, and return them."""

        def look() -> list[QueueMessage] | None:
            found = [one for one in self.messages(queue) if where is None or where(one)]
            return found if len(found) >= count else None

        return self._poll(look, f"{count} ready in queue '{queue}'", timeout)

    def wait_for_consumer(self, queue: str, count: int = 1, timeout: Duration = 15) -> None:
        """Wait until a queue has so many consumers."""
        what = f"{count} consumers of queue '{queue}'"
        self._poll(lambda: True if self.queues[queue].consumers >= count else None, what, timeout)

    def wait_for_queue(self, name: str, timeout: Duration = 5) -> None:
        """Wait until a queue exists; `name` is a shell glob."""
        self._poll(
            lambda: True if any(fnmatchcase(each, name) for each in self.queues) else None,
            f"queue '{name}'",
            timeout,
        )

    def wait_for_connection(self, name: str = "*", count: int = 1, timeout: Duration = 15) -> None:
        """Wait until so many connections are open; `name` is a shell glob for the name that clients give them."""

        def look() -> bool | None:
            found = self._ask(list[_Connection], "GET", f"/vhosts/{self._place}/connections")
            fits = sum(any(fnmatchcase(each, name) for each in one.names()) for one in found)
            return True if fits >= count else None

        self._poll(look, f"{count} connections '{name}'", timeout)

    # --- tests of pytest

    def _end_of_test(self) -> None:
        self._delete()

    def _violations(self, rules: object) -> str:
        return ""

    def _state(self) -> str:
        return f"{self!r}: a real RabbitMQ"

    _rules: frozenset[str] = frozenset()


class AsyncRabbitMQ:
    """A real RabbitMQ whose waits are coroutines; all else is as of `RabbitMQ`."""

    def __init__(self, sync: RabbitMQ) -> None:
        self.sync = sync

    def __getattr__(self, name: str) -> Any:  # of as many types as `RabbitMQ` has attributes
        """Return what the other face has; a wait as a coroutine."""
        found = getattr(self.sync, name)
        if not name.startswith("wait_"):
            return found

        async def wait(*arguments: object, **named: object) -> object:
            return await asyncio.to_thread(found, *arguments, **named)

        return wait


class _Queues(Mapping[str, QueueView]):
    """The queues of a virtual host, by name; each access asks anew."""

    def __init__(self, broker: RabbitMQ) -> None:
        self._broker = broker

    def __getitem__(self, name: str) -> QueueView:
        """Return one. Raises `KeyError`."""
        one = self._broker._ask(_Queue, "GET", f"/queues/{self._broker._place}/{quote(name, '')}")
        return QueueView(
            one.name,
            one.vhost,
            one.type,
            one.messages_ready,
            one.messages_unacknowledged,
            one.consumers,
            one.durable,
            one.auto_delete,
            one.exclusive,
            one.arguments,
        )

    def _names(self) -> list[str]:
        found = self._broker._ask(list[_Named], "GET", f"/queues/{self._broker._place}")
        return [one.name for one in found]

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._names())

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._names())
