"""One command that a node carries out."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from leveret.engine.actor import Actor
from leveret.engine.operations import Caller
from leveret.progress import Report, unwatched
from leveret.rendering.answers import UNAVAILABLE, Failure, Rows, Shown, failed, failed_with
from leveret.rendering.terms import Atom, Row
from leveret.wire.erlang import Atom as Term
from leveret.wire.erlang import wrapped
from leveret.work import in_order

if TYPE_CHECKING:
    from leveret.control.host import Host
    from leveret.engine.authentication import Login
    from leveret.engine.broker import Broker
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.queue import Queue
    from leveret.work import Job

T = TypeVar("T")

#: The user whom RabbitMQ names in events about what its tools have changed.
USER = "rmq-cli"


class Call:
    """A command with its arguments and options. `content`: of a file of definitions. `hop`: another node has passed it
    on: it is about what is on this one. `job`: what it has begun; `login`: the login that it checks. `report`: gets the
    progress."""

    def __init__(
        self,
        host: Host,
        tool: str,
        key: str,
        arguments: list[str],
        options: dict[str, object],
        content: str | None = None,
        hop: bool = False,
    ) -> None:
        self.host = host
        self.broker: Broker = host.broker
        self.tool = tool
        self.key = key
        self.arguments = arguments
        self.options = options
        self.content = content
        self.hop = hop
        self.node = host.name
        self.job: Job | None = None
        self.login: Login | None = None
        self.report: Report = unwatched

    @property
    def caller(self) -> Caller:
        """The caller of operations: nothing is checked."""
        user = str(self.options.get("acting_user", USER)) if self.hop else USER
        return Caller(Actor(user), checked=False, request=self)

    def suspend(self, job: Job) -> None:
        """Answer when the job has ended."""
        self.job = job

    @property
    def json(self) -> bool:
        """Whether the answer is written as JSON."""
        return self.options.get("formatter") == "json"

    @property
    def silent(self) -> bool:
        """Whether checks that have passed say nothing."""
        return bool(self.options.get("silent"))

    @property
    def quiet(self) -> bool:
        """Whether nothing but results is printed."""
        return bool(self.options.get("quiet")) or self.silent

    @property
    def vhost_name(self) -> str:
        """The virtual host that is asked for."""
        return str(self.options.get("vhost", "/"))

    def columns(self) -> list[str]:
        """The columns that are asked for, in arguments that may be separated by commas, each once."""
        words = [word.strip() for argument in self.arguments for word in argument.split(",")]
        return list(dict.fromkeys(word for word in words if word))

    def vhost(self) -> VirtualHost:
        """That virtual host. Raises `Failure`."""
        return self.vhost_of(self.vhost_name)

    def vhost_of(self, name: str) -> VirtualHost:
        """A virtual host. Raises `Failure`."""
        found = self.broker.vhosts.get(name)
        if found is None:
            raise no_such_vhost(name)
        return found

    def find_queue(self, name: str) -> Queue | None:
        """A queue of the virtual host that is asked for."""
        vhost = self.broker.vhosts.get(self.vhost_name)
        return vhost.queues.get(name) if vhost is not None else None

    def named(self, command: str) -> str:
        """A sentence about this node that a check ends with."""
        return f"Node {self.node} {command}"


#: Carries out a command. What it returns is one of the answers of `leveret.rendering.answers`.
Handler = Callable[[Call], object | Awaitable[object]]


async def rows_in_order(
    call: Call, each: Iterable[T], place: Callable[[T], Any], view: Callable[[T], Row]
) -> Rows | Shown:
    """The rows of a list that can be long, in the order of `place`; they are made while they are written."""
    slices = call.host.slices
    found = [one async for one in slices.walk(each)]
    if not found:
        return Shown([])  # not every formatter shows no rows as it shows an empty list
    ordered = await slices.run(in_order(found, place))

    async def rows() -> AsyncIterator[object]:
        async for one in slices.walk(ordered):
            yield view(one)

    return Rows(rows())


def no_such_vhost(name: str) -> Failure:
    """There is no virtual host of that name."""
    return failed_with((Atom("no_such_vhost"), name))


def no_such_user(name: str) -> Failure:
    """There is no user of that name, for commands that have no words of their own for it."""
    return failed_with((Atom("no_such_user"), name))


_NOT_JSON = "Could not parse JSON document: "


def document(text: str) -> object:
    """A JSON document in an argument. Raises `Failure`."""
    try:
        value: object = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        term = (Term("error"), (Term("failed_to_decode_json"), text.encode("utf-8", "surrogateescape")))
        raise failed(UNAVAILABLE, _NOT_JSON + wrapped(term, len(_NOT_JSON))) from None
    return value


def _finite(digits: str) -> float:
    """A number as Erlang has it. Raises `ValueError` for one that is too large, and for no number."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(digits)
    return value


def shown(value: object) -> str:
    """A JSON document as a text: RabbitMQ sorts the names."""
    if isinstance(value, msgspec.Raw):  # one that is large
        return bytes(value).decode()
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
