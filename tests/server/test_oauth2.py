"""The backend `oauth2`: real tokens, keys from files and from a server, with RabbitMQ's answers."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pika
import pytest
from aiohttp import ClientSession, encode_basic_auth
from hypothesis import given
from hypothesis import strategies as st

from leveret.auth_settings import OAuth2, OAuthProvider
from leveret.config import Settings
from leveret.engine.authentication import Login, Refused
from leveret.server.backends import scopes
from leveret.server.backends.keys import Keys, UnusableKey, read_key
from leveret.server.backends.web import WebClient
from leveret.server.node import Node
from leveret.settings import AccessSettings, ConfigError, Management, Server
from tests.certificates import LOCALHOST, Authority, name
from tests.hang import HANG_SECONDS, settled
from tests.server.auth_service import serving
from tests.server.tokens import ALL, jwk, pem, token

# pika leaves its socket to the garbage collector when a login is refused.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PLAIN = Server(host=("127.0.0.1",), port=0, http_port=0, prometheus_port=-1)


def settings(tmp_path: Path, **more: Any) -> OAuth2:
    given = {"resource_server_id": "rabbitmq", "signing_keys": {"k": pem("ES256", tmp_path / "k.pem")}}
    return OAuth2(**{**given, **more})


async def started(oauth2: OAuth2, *backends: str) -> Node:
    access = AccessSettings(backends=backends or ("oauth2",))
    node = Node(Settings(server=PLAIN, access=access, auth_oauth2=oauth2))
    await node.start()
    return node


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    node = await started(settings(tmp_path))
    yield node
    await node.stop()


def port(node: Node, protocol: str = "amqp") -> int:
    return next(one.port for one in node.listeners() if one.protocol == protocol)


async def connected(node: Node, secret: str) -> pika.BlockingConnection:
    credentials = pika.PlainCredentials("ignored", secret)
    parameters = pika.ConnectionParameters("127.0.0.1", port(node), credentials=credentials)
    return await asyncio.to_thread(pika.BlockingConnection, parameters)


async def refused(node: Node, secret: str) -> None:
    with pytest.raises(
        (pika.exceptions.ProbableAuthenticationError, pika.exceptions.ProbableAccessDeniedError)
    ):
        await connected(node, secret)


async def opened(node: Node, secret: str) -> str:
    """Log in and out. Return the user name."""
    connection = await connected(node, secret)
    (found,) = node.broker.connections
    assert found.user is not None
    await asyncio.to_thread(connection.close)
    await settled(lambda: not node.broker.connections)
    return str(found.login)


async def attempts(connection: pika.BlockingConnection, *operations: Any) -> list[str]:
    """What each operation on a channel of its own is answered: nothing, or the refusal."""

    def one(operation: Any) -> str:
        try:
            operation(connection.channel())
        except pika.exceptions.ChannelClosedByBroker as closed:
            return str(closed.reply_text)
        return ""

    return [await asyncio.to_thread(one, operation) for operation in operations]


# --- which tokens are accepted

FAILED = "PLAIN login refused: Authentication using an OAuth 2/JWT token failed: "


#: The key is not there, and nobody can be asked for it. RabbitMQ logs lines as wide as Erlang's.
NO_ISSUER = """\
{error,
                                                   {missing_oauth_provider_attributes,
                                                    [issuer]}}"""


@pytest.mark.parametrize(
    ("secret", "log"),
    [
        ("opaque", f"{FAILED}provided token is invalid"),
        ("a.b.c", f"{FAILED}provided token is invalid"),
        (token()[:-8] + "AAAAAAAA", f"{FAILED}signature_invalid"),
        (token(kind="HS256"), f"{FAILED}signature_invalid"),
        (
            token(aud="other"),
            "PLAIN login refused: Authentication using OAuth 2/JWT token failed: {error,no_matching_aud_found}",
        ),
        (
            token(aud=None),
            "PLAIN login refused: Authentication using OAuth 2/JWT token failed: {error,no_aud_found}",
        ),
        (token(kid="other"), f"{FAILED}{NO_ISSUER}"),
        (token(kid=None), f"{FAILED}{NO_ISSUER}"),
        (token(seconds=-10), f'{FAILED}"Provided JWT token has expired at timestamp '),
        (token(seconds=None), f'{FAILED}"Provided JWT token has no exp claim"'),
        (token(exp="soon"), f'{FAILED}"Provided JWT token has an invalid exp claim: value is not a number"'),
        (token(""), "access to vhost '/' refused for user 'alice'"),
        (token("rabbitmq.read:other/*"), "access to vhost '/' refused for user 'alice'"),
        (token("other.read:*/*"), "access to vhost '/' refused for user 'alice'"),
    ],
)
async def test_a_token_that_is_refused(
    node: Node, secret: str, log: str, caplog: pytest.LogCaptureFixture
) -> None:
    await refused(node, secret)
    assert log in caplog.text


async def test_the_user_name_is_a_claim(tmp_path: Path) -> None:
    node = await started(settings(tmp_path, preferred_username_claims=("email", "client_id", "sub")))
    assert await opened(node, token()) == "alice"
    assert await opened(node, token(client_id="c")) == "c"
    assert await opened(node, token(client_id="c", email="e@x")) == "e@x"
    assert await opened(node, token(client_id=["c"], sub=None)) == "unknown"
    await node.stop()


async def test_audiences(node: Node) -> None:
    for audience in (["x", "rabbitmq"], "x rabbitmq"):
        assert await opened(node, token(aud=audience)) == "alice"


async def test_checks_can_be_switched_off(tmp_path: Path) -> None:
    node = await started(settings(tmp_path, verify_aud=False, require_exp=False, default_key="k"))
    assert await opened(node, token(aud="other", seconds=None, kid=None)) == "alice"
    await node.stop()


@pytest.mark.parametrize("kind", ["RS256", "ES256", "EdDSA", "HS256"])
async def test_keys_of_all_kinds(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(jwk(kind, "k")))
    node = await started(settings(tmp_path, signing_keys={"k": str(path)}))
    assert await opened(node, token(kind=kind)) == "alice"
    await node.stop()


async def test_algorithms_can_be_restricted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = {"k": pem("RS256", tmp_path / "k.pem")}
    node = await started(settings(tmp_path, signing_keys=keys, algorithms=("RS384",)))
    await refused(node, token(kind="RS256"))
    assert f"{FAILED}signature_invalid" in caplog.text
    await node.stop()


def test_a_public_key_is_no_secret(tmp_path: Path) -> None:
    """A token that is signed with the public key as the secret of HS256 must not pass."""
    key = read_key(pem("RS256", tmp_path / "k.pem"))
    assert "HS256" not in key.algorithms


def test_a_file_without_a_key_is_refused(tmp_path: Path) -> None:
    for content in ("", "{}", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"):
        (tmp_path / "k").write_text(content)
        with pytest.raises(UnusableKey):
            read_key(str(tmp_path / "k"))


async def test_a_node_without_a_resource_server_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="resource_server_id: is needed"):
        await started(settings(tmp_path, resource_server_id=""))
    with pytest.raises(ConfigError, match="nope"):
        await started(settings(tmp_path, signing_keys={"k": "/nope"}))


# --- what they allow


async def test_scopes_are_permissions(node: Node) -> None:
    scope = (
        "rabbitmq.configure:%2F/q* rabbitmq.write:%2F/amq.topic/a.* rabbitmq.write:*/q rabbitmq.read:*/*/b.* "
        "rabbitmq.read:*/{sub}"
    )
    connection = await connected(node, token(scope))

    def publish(exchange: str, key: str) -> Any:
        def run(channel: Any) -> None:
            channel.confirm_delivery()
            channel.basic_publish(exchange, key, b"")

        return run

    assert await attempts(
        connection,
        lambda channel: channel.queue_declare("q", durable=True),
        lambda channel: channel.queue_declare("other", durable=True),
        publish("amq.topic", "a.b"),
        publish("amq.topic", "b.b"),
        publish("", "q"),
        lambda channel: channel.queue_bind("q", "amq.topic", "b.c"),
        lambda channel: channel.queue_bind("q", "amq.topic", "a.c"),
        lambda channel: channel.queue_declare("alice", passive=True),
    ) == [
        "",
        "ACCESS_REFUSED - configure access to queue 'other' in vhost '/' refused for user 'alice'",
        "",
        "ACCESS_REFUSED - write access to topic 'b.b' in exchange 'amq.topic' in vhost '/' refused for user 'alice'",
        "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'alice'",
        "",
        "ACCESS_REFUSED - read access to topic 'a.c' in exchange 'amq.topic' in vhost '/' refused for user 'alice'",
        "NOT_FOUND - no queue 'alice' in vhost '/'",
    ]
    await asyncio.to_thread(connection.close)


async def test_a_token_with_too_many_scopes_is_refused(node: Node) -> None:
    (backend,) = node.broker.access.backends
    many = " ".join(f"rabbitmq.x{number}" for number in range(scopes.MAX_SCOPES + 1))
    outcome = backend.authenticate(Login("", token(many)))
    assert isinstance(outcome, Refused)
    assert outcome.log.endswith("{error,too_many_scopes}")


async def test_scopes_come_from_several_claims(tmp_path: Path) -> None:
    node = await started(
        settings(
            tmp_path,
            additional_scopes_key="roles realm.access",
            scope_aliases={"admin": "rabbitmq.tag:administrator rabbitmq.read:*/*"},
        )
    )
    for claims in (
        {"scope": ["rabbitmq.read:*/*"]},
        {"scope": None, "roles": {"rabbitmq": ["read:*/*"]}},
        {"scope": None, "realm": [{"access": "rabbitmq.read:*/*"}, {"other": 1}]},
        {"scope": "admin"},
        {"scope": None, "authorization": {"permissions": [{"scopes": ["rabbitmq.read:*/*"]}]}},
    ):
        assert await opened(node, token(**claims)) == "alice"
    await node.stop()


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("*", "", True),
        ("*", "any", True),
        ("a*", "abc", True),
        ("*c", "abc", True),
        ("a*c", "abc", True),
        ("a*b*c", "aXbYc", True),
        ("a*b*c", "ac", False),
        ("a*a", "a", False),
        ("abc", "abcd", False),
        ("", "", True),
        ("", "a", False),
        ("%2F", "/", True),
        ("a%2Ab", "a*b", True),
        ("a+b", "a b", True),
        ("**", "x", True),
    ],
)
def test_patterns(pattern: str, subject: str, expected: bool) -> None:
    assert scopes.matches(pattern, subject) is expected


@given(st.lists(st.text("ab*", max_size=5), max_size=3), st.text("ab", max_size=8))
def test_patterns_match_as_regular_expressions_do(parts: list[str], subject: str) -> None:
    pattern = "*".join(parts)
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), subject) is not None
    assert scopes.matches(pattern, subject) is expected


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("read:{vhost}/{sub}-*", "read:v/alice-*"),
        ("read:{unknown}/x", "read:unknown/x"),
        ("read:{number}/x", "read:number/x"),
        ("read:a}/x", "read:a}/x"),
        ("read:{a.b}/x", ""),
        ("read:x", "read:x"),
    ],
)
def test_variables_in_scopes(scope: str, expected: str) -> None:
    assert scopes.expanded(scope, "v", {"sub": "alice", "number": 1}) == expected


# --- tokens expire


async def test_an_expired_token_closes_the_connection(node: Node) -> None:
    connection = await connected(node, token(seconds=2))
    (found,) = node.broker.connections
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        await asyncio.to_thread(connection.process_data_events, HANG_SECONDS)
    assert (closed.value.reply_code, closed.value.reply_text) == (
        320,
        "CONNECTION_FORCED - credential expired",
    )
    assert found.user is not None and found.user.authority is not None
    assert found.user.authority.may_open("/", "").more.startswith(
        ", backend rabbit_auth_backend_oauth2 returned"
    )


async def test_a_new_token_replaces_the_old_one(node: Node) -> None:
    connection = await connected(node, token("rabbitmq.configure:*/old", seconds=60))
    (found,) = node.broker.connections
    new = token("rabbitmq.configure:*/new rabbitmq.tag:impersonator")
    await asyncio.to_thread(connection.update_secret, new, "it expires")
    assert found.user is not None and found.user.tags == ("impersonator",)
    assert found.user.authority is not None
    assert found.user.authority.expires_at is not None
    assert found.user.authority.expires_at > time.time() + 3000
    assert await attempts(
        connection,
        lambda channel: channel.queue_declare("new", durable=True),
        lambda channel: channel.queue_declare("old", durable=True),
    ) == ["", "ACCESS_REFUSED - configure access to queue 'old' in vhost '/' refused for user 'alice'"]
    await asyncio.to_thread(connection.close)


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("opaque", "NOT_ALLOWED - Secret update failed"),
        (token(aud="other"), "NOT_ALLOWED - Secret update failed"),
        (token(sub="bob"), "NOT_ALLOWED - New secret was refused by one of the backends"),
        (token(seconds=-5), "NOT_ALLOWED - New secret was refused by one of the backends"),
        (token("rabbitmq.read:other/*"), "NOT_ALLOWED - access to vhost '/' refused for user 'alice'"),
    ],
)
async def test_a_new_token_that_is_refused_closes_the_connection(node: Node, secret: str, text: str) -> None:
    connection = await connected(node, token())
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        await asyncio.to_thread(connection.update_secret, secret, "")
    assert closed.value.reply_text == text


# --- keys by URL


async def test_keys_are_downloaded_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority(tmp_path)
    certfile, keyfile = authority.issue("issuer", name("localhost"), alternatives=LOCALHOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certfile, keyfile)
    async with serving(context) as issuer:
        base = f"https://localhost:{issuer.port}"
        keys = [jwk("RS256", "rsa")]

        def answer(path: str, fields: dict[str, str]) -> str:
            if path == "/issuer/.well-known/openid-configuration":
                return json.dumps({"jwks_uri": f"{base}/keys"})
            return json.dumps({"keys": keys})

        issuer.decide = answer
        node = await started(
            OAuth2(resource_server_id="rabbitmq", issuer=f"{base}/issuer", cacertfile=str(authority.path))
        )
        now = [0.0]
        (backend,) = node.broker.access.backends
        backend.keys[""].now = lambda: now[0]  # type: ignore[attr-defined]
        for _ in range(2):
            assert await opened(node, token(kind="RS256", kid="rsa")) == "alice"
        assert issuer.paths() == ["/issuer/.well-known/openid-configuration", "/keys"]
        keys += [{"kty": "EC", "crv": "unknown", "kid": "x"}, {"kty": "?"}, jwk("ES256", "new")]
        await refused(node, token(kid="new"))  # too soon after the last download
        assert len(issuer.asked) == 2
        now[0] += 1
        assert await opened(node, token(kid="new")) == "alice"
        now[0] += 1
        issuer.status = 500
        await refused(node, token(kid="unknown"))
        assert "Failed to download signing keys from" in caplog.text
        assert await opened(node, token(kid="new")) == "alice"  # former keys stay
        await node.stop()


class Issuer(WebClient):
    """Answers each request with the same text."""

    def __init__(self, text: str) -> None:
        super().__init__(None, 1, 1)
        self.text = text

    async def get(self, url: str, query: str = "") -> str:
        """Return the text."""
        return self.text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no JSON", "invalid_jwks_response"),
        ("[]", "invalid_jwks_response"),
        ("{}", "invalid_jwks_response"),
        ('{"keys": 1}', "invalid_jwks_response"),
        ('{"keys": [1]}', "invalid_jwks_response"),
        ('{"keys": {"kty": "RSA"}}', "invalid_jwks_response"),
        (json.dumps({"keys": [jwk("ES256", "a") | {"kid": ["a"]}]}), "invalid_jwks_response"),
        ('{"keys": []}', "empty_jwks_response"),
        ('{"keys": [{"kty": "?", "kid": "a"}]}', "empty_jwks_response"),
        (json.dumps({"keys": [jwk("ES256", "a")]}), ""),
        (json.dumps({"keys": [jwk("ES256", "a") | {"kid": 1}]}), ""),
    ],
)
async def test_answers_of_an_issuer(text: str, problem: str) -> None:
    keys = Keys(OAuthProvider(jwks_uri="http://localhost/keys"), Issuer(text), lambda: 0.0)
    assert await keys.download() == problem


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}", '{"jwks_uri": 1}'])
async def test_an_issuer_that_does_not_say_where_its_keys_are(text: str) -> None:
    keys = Keys(OAuthProvider(issuer="http://localhost"), Issuer(text), lambda: 0.0)
    assert await keys.download() == "{missing_oauth_provider_attributes,[jwks_uri]}"


async def test_nobody_waits_for_keys_but_their_connection(tmp_path: Path) -> None:
    async with serving() as issuer:
        issuer.decide = lambda path, fields: json.dumps({"keys": [jwk("ES256", "k")]})
        oauth2 = OAuth2(resource_server_id="rabbitmq", jwks_uri=f"http://127.0.0.1:{issuer.port}/keys")
        node = await started(oauth2, "internal", "oauth2")
        issuer.open.clear()
        waiting = asyncio.create_task(connected(node, token()))
        await settled(lambda: issuer.asked)
        credentials = pika.PlainCredentials("guest", "guest")
        parameters = pika.ConnectionParameters("127.0.0.1", port(node), credentials=credentials)
        other = await asyncio.to_thread(pika.BlockingConnection, parameters)
        await asyncio.to_thread(other.close)
        issuer.open.set()
        await asyncio.to_thread((await waiting).close)
        await node.stop()


# --- HTTP


ALICE = {"name": "alice", "tags": ["management"], "is_internal_user": False}


async def whoami(node: Node, **headers: str) -> tuple[int, Any]:
    url = f"http://127.0.0.1:{port(node, 'http')}/api/whoami"
    async with ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, await response.json()


async def test_tokens_log_in_to_the_http_api(node: Node) -> None:
    manager = token("rabbitmq.tag:management")
    assert await whoami(node, Authorization=f"Bearer {manager}") == (200, ALICE)
    assert await whoami(node, Authorization=encode_basic_auth("any", manager)) == (200, ALICE)
    assert (await whoami(node, Authorization=f"Bearer {token(ALL)}"))[0] == 401
    assert (await whoami(node, Authorization="Bearer opaque"))[0] == 401


async def test_the_http_api_can_accept_tokens_only(tmp_path: Path) -> None:
    access = AccessSettings(backends=("oauth2",))
    management = Management(disable_basic_auth=True)
    node = Node(Settings(server=PLAIN, access=access, auth_oauth2=settings(tmp_path), management=management))
    await node.start()
    manager = token("rabbitmq.tag:management")
    assert await whoami(node, Authorization=f"Bearer {manager}") == (200, ALICE)
    assert await whoami(node, Authorization=encode_basic_auth("any", manager)) == (
        401,
        {"error": "not_authorised", "reason": "HTTP access denied: basic auth disabled"},
    )
    assert await whoami(node) == (
        401,
        {"error": "not_authorised", "reason": "HTTP access denied: no credentials"},
    )
    await node.stop()
