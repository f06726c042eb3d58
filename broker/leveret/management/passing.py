"""Requests that another node answers, because what they are about is there.

One whose path names a virtual host elsewhere goes to its owner as it came, and the answer comes back as it is, however
long. A connection or channel is found by its name alone: where it is not here, the others are asked one after another.
The user has logged in here first, with the address of the client; the other node logs it in again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from aiohttp.web_request import BaseRequest

from leveret.management.call import Call, ElsewhereError, Refusal, Resource
from leveret.management.http_server import PiecewiseResponse
from leveret.management.node_client import Answer, ask, end_to_end
from leveret.management.owners import NodeDownError, NodeLostError, Owners
from leveret.management.site import Site

#: How often an owner is looked for: a virtual host may move on while one waits for it.
_ATTEMPTS = 3

#: What a node answers another one that has passed a request on about a virtual host which has left it meanwhile
#: (RFC 9110 15.5.20); nothing was done then. How often the new owner is asked, and seconds before that.
MISDIRECTED = 421
_MOVES = 10
_PAUSE_S = 0.1


class Reads(Protocol):
    """Reads the body of a request, if its method has one. Raises `Refusal`."""

    async def __call__(self, request: BaseRequest) -> bytes: ...


class PassedOn(PiecewiseResponse):
    """The answer of another node."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(_body(answer), answer.headers, answer.status)
        self.answer = answer

    async def write_pieces(self, request: BaseRequest) -> None:
        """Write the body as it comes. A client of a node that ends meanwhile loses the connection, so that it does not
        take a part for the whole: raises `ConnectionResetError`."""
        try:
            await super().write_pieces(request)
        except NodeLostError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError from None
        finally:
            self.answer.close()


async def _body(answer: Answer) -> AsyncIterator[bytes]:
    async for piece in answer.pieces():
        yield piece


def unavailable(reason: str) -> Refusal:
    """503: no node can answer at the moment."""
    return Refusal(503, "service_unavailable", reason)


def lost(error: NodeLostError) -> Refusal:
    """502: another node should have answered, and has not."""
    return Refusal(502, "bad_gateway", str(error))


async def owner_of(site: Site, owners: Owners, vhost: str) -> str | None:
    """Return the node that serves a virtual host, as soon as there is one; None if that is this one, or if there is no
    such virtual host. Raises `Refusal`."""
    for _ in range(_ATTEMPTS):
        if vhost not in site.broker.elsewhere:
            return None
        node = owners.of(vhost)
        if node is not None:
            return node
        check_damage(owners, vhost)
        try:
            await owners.served(vhost)
        except TimeoutError:
            break
    check_damage(owners, vhost)
    raise unavailable(f"virtual host '{vhost}' is on no node of the cluster at the moment")


def check_damage(owners: Owners, vhost: str) -> None:
    """Raises `Refusal` if a virtual host stays closed because it is damaged."""
    found = owners.damage(vhost)
    if found is not None:
        raise unavailable(found.text)


class Passing:
    """Passes requests on. `log_in`: logs the user of a call in, unless the resource is public; raises `Refusal`."""

    def __init__(
        self,
        site: Site,
        owners: Owners,
        log_in: Callable[[Call, Resource], Awaitable[None]],
        read: Reads,
    ) -> None:
        self.site = site
        self.owners = owners
        self.log_in = log_in
        self.read = read

    async def to_owner(self, call: Call, resource: Resource, request: BaseRequest) -> PassedOn | None:
        """Have the node answer that has what the path names; None if that is this one. Raises `Refusal`."""
        if not self._is_elsewhere(call, resource):
            return None
        await self.log_in(call, resource)
        vhost = call.path.get("vhost")
        if vhost is not None:
            return await self.to_owner_of(vhost, call, request)
        return await self._pass_on(call.path["node"], call, request, await self.read(request))

    def _is_elsewhere(self, call: Call, resource: Resource) -> bool:
        vhost, node = call.path.get("vhost"), call.path.get("node")
        if vhost is not None:
            closed = call.method in resource.while_closed and self.owners.damage(vhost) is not None
            return vhost in self.site.broker.elsewhere and not closed
        return resource.of_node and node != self.site.node_name and node in self.owners.names()

    async def to_owner_of(self, vhost: str, call: Call, request: BaseRequest) -> PassedOn | None:
        """Have the owner of a virtual host answer; None if that is this node by now. Raises `Refusal`."""
        if call.hop:
            raise Refusal(
                MISDIRECTED, "misdirected", f"virtual host '{vhost}' is not on node {self.site.node_name}"
            )
        for _ in range(_MOVES):
            node = await owner_of(self.site, self.owners, vhost)
            if node is None:
                return None
            call.content = call.content or await self.read(request)
            passed = await self._pass_on(node, call, request, call.content)
            if passed.status != MISDIRECTED:
                return passed
            passed.answer.close()
            await asyncio.sleep(_PAUSE_S)  # this node may not know the new owner yet
        raise unavailable(f"virtual host '{vhost}' is moved to another node at the moment")

    def check_here(self, call: Call, resource: Resource) -> None:
        """Raises `ElsewhereError` if a virtual host that the path names has left this node since it was looked for."""
        vhost = call.path.get("vhost")
        if vhost is not None and self._is_elsewhere(call, resource):
            raise ElsewhereError(vhost)

    async def to_finder(self, call: Call, request: BaseRequest) -> PassedOn | None:
        """Have the node answer that finds what is not here; None if no node does. Raises `Refusal`."""
        for node in () if call.hop else self.owners.names():
            passed = await self._pass_on(node, call, request, call.content)
            if passed.status != 404:
                return passed
            passed.answer.close()
        return None

    async def _pass_on(self, node: str, call: Call, request: BaseRequest, body: bytes) -> PassedOn:
        """Have another node answer. Raises `Refusal`."""
        headers = end_to_end(request.headers.items())
        try:
            answer = await ask(self.owners, node, request.method, request.raw_path, headers, body)
        except NodeDownError as error:
            raise unavailable(str(error)) from None
        except NodeLostError as error:
            raise lost(error) from None
        if request.method == "HEAD" or answer.length == 0:
            answer.close()
        return PassedOn(answer)
