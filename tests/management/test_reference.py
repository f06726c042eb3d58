"""The list of paths at /api/index.html, and the paths that lead to it."""

from __future__ import annotations

import pytest
from aiohttp import ClientResponse

from leveret.settings import Management

from .conftest import Api, Nodes, authorization


async def ask(api: Api, path: str, auth: tuple[str, str] | None = None) -> ClientResponse:
    """GET a path of the listener, and do not follow redirects."""
    headers = authorization(*auth) if auth else {}
    url = f"http://127.0.0.1:{api.port}{path}"
    async with api.session.get(url, headers=headers, allow_redirects=False) as response:
        await response.read()
        return response


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/api", "/api/index.html"),
        ("/api/", "/api/index.html"),
        ("/stats", "/api/index.html"),
        ("/doc/stats.html", "/api/index.html"),
        ("/cli", "/cli/index.html"),
        ("/cli/", "/cli/index.html"),
        ("/mgmt", "/"),
    ],
)
async def test_old_addresses_redirect(api: Api, path: str, location: str) -> None:
    answer = await ask(api, path)
    assert (answer.status, answer.headers["Location"]) == (301, location)
    assert answer.headers["Vary"] == "accept-encoding"


async def test_redirects_know_the_path_prefix(nodes: Nodes) -> None:
    api = await nodes(Management(path_prefix="/broker"))
    assert (await ask(api, "/broker/api")).headers["Location"] == "/broker/api/index.html"
    assert (await ask(api, "/broker/api/index.html")).status == 200
    assert (await ask(api, "/api")).status == 404


async def test_the_list_has_each_path_of_the_version(nodes: Nodes) -> None:
    for version, protection in (("4.3", True), ("3.10", False)):
        answer = await ask(await nodes(version=version), "/api/index.html")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html")
        text = await answer.text()
        assert "<td>PUT</td><td><code>queues/{vhost}/{name}</code></td>" in text
        assert ("vhosts/{vhost}/deletion/protection" in text) is protection


async def test_it_needs_a_login_if_so_configured(nodes: Nodes) -> None:
    api = await nodes(Management(require_auth_for_api_reference=True))
    assert (await ask(api, "/api/index.html")).status == 401
    assert (await ask(api, "/api/index.html", ("guest", "guest"))).status == 200
