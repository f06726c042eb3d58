"""AMQP and HTTP over TLS, with real certificates and clients."""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import pika
import pytest
import uvloop
from aiohttp import ClientSession
from cryptography import x509
from cryptography.x509.oid import NameOID

from leveret.config import Settings
from leveret.server.node import Node
from leveret.server.tls import TlsError, erlang_suite, make_context
from leveret.settings import AccessSettings, Server
from leveret.tls_settings import Tls
from tests.certificates import LOCALHOST, Authority, name
from tests.hang import HANG_SECONDS, settled

GUEST = {"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="}

PLAIN = Server(host=("127.0.0.1",), port=0, http_port=0, prometheus_port=0)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls(authority: Authority, file: str = "server", **more: Any) -> Tls:
    """The settings of a listener on any port, with a certificate of its own."""
    certfile, keyfile = authority.issue(file, name("localhost"), alternatives=LOCALHOST)
    patient = {"handshake_timeout": int(HANG_SECONDS * 1000), **more}
    return Tls(port=0, certfile=str(certfile), keyfile=str(keyfile), **patient)


def verifying(authority: Authority, **more: Any) -> Tls:
    return tls(authority, verify="verify_peer", cacertfile=str(authority.path), **more)


async def started(settings: Settings) -> Node:
    node = Node(settings)
    await node.start()
    return node


def everywhere(authority: Authority) -> Settings:
    """Three listeners with TLS; that of AMQP asks for certificates."""
    http = tls(authority, "http")
    return Settings(server=PLAIN, tls=verifying(authority), management_tls=http, prometheus_tls=http)


@pytest.fixture
async def node(authority: Authority) -> AsyncIterator[Node]:
    node = await started(everywhere(authority))
    yield node
    await node.stop()


def port(node: Node, protocol: str = "amqp/ssl") -> int:
    return next(one.port for one in node.listeners() if one.protocol == protocol)


def parameters(node: Node, context: ssl.SSLContext, **more: Any) -> pika.ConnectionParameters:
    options = pika.SSLOptions(context, "localhost")
    return pika.ConnectionParameters("127.0.0.1", port(node), ssl_options=options, **more)


async def get(node: Node, path: str, context: ssl.SSLContext, protocol: str = "https") -> Any:
    url = f"https://localhost:{port(node, protocol)}{path}"
    async with (
        ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
        session.get(url, headers=GUEST) as response,
    ):
        return await (response.json() if protocol == "https" else response.text())


async def received(writer: asyncio.StreamWriter, reader: asyncio.StreamReader, data: bytes) -> bytes:
    """Send, and return everything that comes until the server closes the socket; `reset` if it resets it."""
    writer.write(data)
    try:
        async with asyncio.timeout(HANG_SECONDS):
            return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()


# --- messages


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_messages_of_all_sizes_come_back(
    node: Node, authority: Authority, version: ssl.TLSVersion
) -> None:
    context = authority.client()
    context.minimum_version = context.maximum_version = version
    connection = await aio_pika.connect(f"amqps://guest:guest@localhost:{port(node)}/", ssl_context=context)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("q", exclusive=True)
        bodies = [bytes([size & 255]) * size for size in (0, 1, 4000, 131_000, 1_000_000, 5_000_000)]
        for body in bodies:
            await channel.default_exchange.publish(aio_pika.Message(body), "q")
        for body in bodies:
            message = await queue.get(timeout=HANG_SECONDS)
            assert message.body == body
            await message.ack()


async def test_a_consumer_that_does_not_read_is_paused_and_gets_everything_later(
    node: Node, authority: Authority
) -> None:
    count, body = 400, b"x" * 100_000

    def work() -> int:
        with pika.BlockingConnection(parameters(node, authority.client())) as connection:
            channel = connection.channel()
            channel.queue_declare("q")
            for _ in range(count):
                channel.basic_publish("", "q", body)
            got = 0
            for method, _, content in channel.consume("q", inactivity_timeout=HANG_SECONDS):
                assert content == body
                got += 1
                channel.basic_ack(method.delivery_tag)
                if got == count:
                    return got
        return got

    assert await asyncio.to_thread(work) == count


# --- who is at the other end


async def test_the_connection_and_its_certificate_are_shown(node: Node, authority: Authority) -> None:
    subject = name("client, one", (NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, " Ä #"))
    identity = authority.issue("client", subject)
    certificate = x509.load_pem_x509_certificate(identity[0].read_bytes())

    def open_connection() -> pika.BlockingConnection:
        return pika.BlockingConnection(parameters(node, authority.client(identity)))

    connection = await asyncio.to_thread(open_connection)
    (shown,) = await get(node, "/api/connections", authority.client())
    await asyncio.to_thread(connection.close)
    assert {key: value for key, value in shown.items() if key.startswith(("ssl", "peer_cert"))} == {
        "ssl": True,
        "ssl_protocol": "tlsv1.3",
        "ssl_key_exchange": "any",
        "ssl_cipher": "aes_256_gcm",
        "ssl_hash": "aead",
        "peer_cert_issuer": "CN=Test CA",
        "peer_cert_subject": "CN=client\\, one,O=\\ \\C3\\84 #,C=DE",
        "peer_cert_validity": f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ} - "
        f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "peer_cert_serial_number": f"{certificate.serial_number:X}",
    }


async def test_listeners_are_shown(node: Node, authority: Authority) -> None:
    overview = await get(node, "/api/overview", authority.client())
    listeners = {one["protocol"]: one for one in overview["listeners"]}
    assert list(listeners) == ["amqp", "amqp/ssl", "http", "http/prometheus", "https", "https/prometheus"]
    assert [one["tls"] for one in listeners.values()] == [False, True, False, False, True, True]
    assert [listeners[name]["socket_opts"]["backlog"] for name in ("amqp", "amqp/ssl")] == [1024, 1024]
    assert listeners["amqp/ssl"]["socket_opts"]["verify"] == "verify_peer"
    assert set(listeners["https"]["socket_opts"]["ssl_opts"]) == {"certfile", "keyfile"}
    contexts = [(one["description"], one.get("ssl")) for one in overview["contexts"]]
    assert sorted(contexts, key=str) == [
        ("RabbitMQ Management", "true"),
        ("RabbitMQ Management", None),
        ("RabbitMQ Prometheus", "true"),
        ("RabbitMQ Prometheus", None),
    ]


async def test_metrics_are_served_over_tls(node: Node, authority: Authority) -> None:
    page = await get(node, "/metrics", authority.client(), "https/prometheus")
    assert "rabbitmq_build_info" in page


async def test_a_certificate_logs_in(authority: Authority) -> None:
    access = AccessSettings(mechanisms=("PLAIN", "EXTERNAL"), cert_login_from="common_name")
    node = await started(Settings(server=PLAIN, tls=verifying(authority), access=access))
    external = pika.credentials.ExternalCredentials()
    context = authority.client(authority.issue("guest"))
    given = parameters(node, context, credentials=external)
    connection = await asyncio.to_thread(pika.BlockingConnection, given)
    (found,) = node.broker.connections
    assert (found.mechanism, found.login) == ("EXTERNAL", "guest")
    await asyncio.to_thread(connection.close)
    for context in (authority.client(authority.issue("nobody")), authority.client()):
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            await asyncio.to_thread(pika.BlockingConnection, parameters(node, context, credentials=external))
    await node.stop()


# --- who may not connect


async def test_a_client_that_does_not_speak_tls_gets_an_alert(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    for data in (b"AMQP\0\0\x09\x01", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", bytes(100)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port(node))
        address = "{}:{}".format(*writer.get_extra_info("sockname"))
        assert await received(writer, reader, data) == bytes((21, 3, 1, 0, 2, 2, 10))
        line = f"{address} is connecting to the 'amqp/ssl' listener without using TLS"
        assert (line, logging.WARNING) in [(one.getMessage(), one.levelno) for one in caplog.records]


async def test_a_health_check_that_only_connects_is_not_logged(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port(node))
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", port(node))
    await received(writer, reader, b"AMQP\0\0\x09\x01")
    assert len(caplog.records) == 1


async def test_a_slow_handshake_is_reset(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    node = await started(Settings(server=PLAIN, tls=tls(authority, handshake_timeout=50)))
    for data in (b"", b"\x16\x03\x01"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port(node))
        address = "{}:{}".format(*writer.get_extra_info("sockname"))
        assert await received(writer, reader, data) == b"reset"
        line = f"timeout error during handshake for protocol 'amqp/ssl' and peer {address}"
        assert line in [one.getMessage() for one in caplog.records]
    await node.stop()


async def test_a_certificate_of_another_authority_is_refused_with_an_alert(
    node: Node, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "rogue").mkdir()
    rogue = Authority(tmp_path / "rogue").issue("guest")
    context = authority.client(rogue)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError) as refused:
        await asyncio.open_connection("127.0.0.1", port(node), ssl=context, server_hostname="localhost")
    assert "ALERT" in str(refused.value.reason)
    assert "error during handshake for protocol 'amqp/ssl' and peer 127.0.0.1:" in caplog.text


async def test_a_certificate_can_be_demanded(authority: Authority) -> None:
    node = await started(Settings(server=PLAIN, tls=verifying(authority, fail_if_no_peer_cert=True)))
    with pytest.raises(pika.exceptions.AMQPError):
        await asyncio.to_thread(pika.BlockingConnection, parameters(node, authority.client()))
    identity = authority.issue("client")
    connection = await asyncio.to_thread(
        pika.BlockingConnection, parameters(node, authority.client(identity))
    )
    await asyncio.to_thread(connection.close)
    await node.stop()


async def test_a_chain_that_is_too_long_is_refused(authority: Authority, tmp_path: Path) -> None:
    middle = Authority(tmp_path, "Middle", within=authority)
    identity = middle.issue("client")
    node = await started(Settings(server=PLAIN, tls=verifying(authority, depth=0)))
    with pytest.raises(pika.exceptions.AMQPError):
        await asyncio.to_thread(pika.BlockingConnection, parameters(node, authority.client(identity)))
    assert not node.broker.connections
    direct = parameters(node, authority.client(authority.issue("direct")))
    connection = await asyncio.to_thread(pika.BlockingConnection, direct)
    await asyncio.to_thread(connection.close)
    await node.stop()


async def test_versions_and_ciphers_can_be_chosen(authority: Authority) -> None:
    suite = "ECDHE-ECDSA-CHACHA20-POLY1305"
    for settings, expected in (
        ({"ciphers": (suite,)}, ("TLSv1.2", suite)),
        ({"versions": ("tlsv1.2",)}, ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")),
        ({"versions": ("tlsv1.3",)}, ("TLSv1.3", "TLS_AES_256_GCM_SHA384")),
        ({"ciphers": (suite, "TLS_AES_128_GCM_SHA256")}, ("TLSv1.3", "TLS_AES_256_GCM_SHA384")),
    ):
        node = await started(Settings(server=PLAIN, tls=tls(authority, **settings)))
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port(node), ssl=authority.client(), server_hostname="localhost"
        )
        connection = writer.get_extra_info("ssl_object")
        assert (connection.version(), connection.cipher()[0]) == expected
        writer.transport.abort()
        await node.stop()


async def test_the_certificate_depends_on_the_host_name(authority: Authority) -> None:
    other = authority.issue("other", name("other.example"), alternatives=[x509.DNSName("other.example")])
    both = authority.folder / "both.pem"
    both.write_bytes(other[0].read_bytes() + other[1].read_bytes())
    node = await started(
        Settings(server=PLAIN, tls=tls(authority, sni_certfiles={"Other.example": str(both)}))
    )
    for host in ("localhost", "other.example"):  # each is verified by the client
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port(node), ssl=authority.client(), server_hostname=host
        )
        writer.transport.abort()
    await node.stop()


# --- certificates change and expire


async def test_a_new_certificate_is_used_without_closing_connections(
    node: Node, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async def serial() -> int:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port(node), ssl=authority.client(), server_hostname="localhost"
        )
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        return x509.load_der_x509_certificate(der).serial_number

    connection = await aio_pika.connect(
        f"amqps://guest:guest@localhost:{port(node)}/", ssl_context=authority.client()
    )
    before = await serial()
    certfile, keyfile = authority.folder / "server.pem", authority.folder / "server.key"
    key = keyfile.read_bytes()
    authority.issue("server", name("localhost"), alternatives=LOCALHOST)
    new = keyfile.read_bytes()
    keyfile.write_bytes(key)  # the certificate is there, its key not yet
    assert await serial() == before
    assert "the TLS certificates are not reloaded: tls.certfile" in caplog.text
    keyfile.write_bytes(new)
    after = await serial()
    assert after == x509.load_pem_x509_certificate(certfile.read_bytes()).serial_number != before
    channel = await connection.channel()
    await channel.declare_queue(exclusive=True)
    await connection.close()
    assert node.reload_certificates()


async def test_expiring_certificates_fail_the_health_check(node: Node, authority: Authority) -> None:
    async def check(within: str) -> Any:
        return await get(node, f"/api/health/checks/certificate-expiration/{within}", authority.client())

    certfile = authority.folder / "server.pem"
    ends, last = (
        x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
        for file in (certfile, authority.path)
    )
    assert await check("2/Weeks") == {"status": "ok"}
    assert await check("5/weeks") == {
        "status": "failed",
        "reason": "Certificates expiring",
        "expired": [
            {
                "node": node.settings.server.node_name,
                "protocol": "amqp/ssl",
                "interface": "127.0.0.1",
                "port": port(node),
                "certfile": str(certfile),
                "cacertfile": str(authority.path),
                "certfile_expires_on": [f"{ends:%Y-%m-%d} {ends.hour}:{ends:%M:%S}"],
                "cacertfile_expires_on": [f"{last:%Y-%m-%d} {last.hour}:{last:%M:%S}"],
            }
        ],
    }
    assert (await check("99999999/years"))["status"] == "failed"
    assert (await check("1/fortnights"))["reason"].startswith("Time unit not recognised")
    certfile.write_text("nothing")
    (expired,) = (await check("1/days"))["expired"]
    assert expired["certfile_expires_on"] == ["The certificate file provided does not contain any PEM entry."]


# --- what cannot be


def test_suites_that_only_erlang_has_are_left_out(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    settings = tls(authority)
    fields = {key: getattr(settings, key) for key in settings.__struct_fields__}
    fields["ciphers"] = ("ECDH-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-GCM-SHA384")
    make_context(Tls(**fields), "tls")
    assert "ECDH-ECDSA-AES256-SHA384 is left out, because OpenSSL does not have it" in caplog.text


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"certfile": ""}, "tls.certfile: a listener with TLS needs a certificate"),
        ({"certfile": "/nope.pem"}, "tls.certfile: /nope.pem: No such file or directory"),
        ({"keyfile": "other.key"}, "the private key is not that of the certificate"),
        ({"keyfile": "locked.key"}, "the private key needs a password"),
        ({"keyfile": "locked.key", "password": "wrong"}, "the password of the private key is wrong"),
        ({"fail_if_no_peer_cert": True}, "{options,incompatible,"),
        ({"verify": "verify_peer"}, "tls.cacertfile: verify_peer needs the certificates of authorities"),
        ({"ciphers": ("NOPE",)}, "tls.ciphers: OpenSSL has no cipher suite NOPE"),
        ({"ciphers": ("DH-A", "ECDH-B")}, "OpenSSL has none of these cipher suites: DH-A, ECDH-B"),
        ({"dhfile": "server.pem"}, "no parameters in PEM format"),
    ],
)
def test_a_listener_that_cannot_be_is_refused(
    authority: Authority, tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    authority.issue("other")
    authority.issue("locked", password="right")
    given = {
        key: str(tmp_path / value) if key in ("keyfile", "dhfile") else value
        for key, value in changes.items()
    }
    settings = tls(authority)
    fields = {key: getattr(settings, key) for key in settings.__struct_fields__}
    with pytest.raises(TlsError) as refused:
        make_context(Tls(**{**fields, **given}), "tls")
    assert problem in str(refused.value)


def test_a_key_with_a_password_can_be_read(authority: Authority) -> None:
    certfile, keyfile = authority.issue("locked", password="right")
    make_context(Tls(certfile=str(certfile), keyfile=str(keyfile), password="right"), "tls")


@pytest.mark.parametrize(
    ("openssl", "erlang"),
    [
        ("TLS_AES_256_GCM_SHA384", ("any", "aes_256_gcm", "aead")),
        ("TLS_CHACHA20_POLY1305_SHA256", ("any", "chacha20_poly1305", "aead")),
        ("ECDHE-RSA-AES256-GCM-SHA384", ("ecdhe_rsa", "aes_256_gcm", "aead")),
        ("ECDHE-ECDSA-AES128-SHA256", ("ecdhe_ecdsa", "aes_128_cbc", "sha256")),
        ("DHE-RSA-AES256-CCM8", ("dhe_rsa", "aes_256_ccm_8", "aead")),
        ("AES128-SHA", ("rsa", "aes_128_cbc", "sha")),
    ],
)
def test_suites_have_erlang_s_names(openssl: str, erlang: tuple[str, str, str]) -> None:
    assert erlang_suite(openssl) == erlang


async def test_a_stopped_node_drops_handshakes(authority: Authority) -> None:
    node = await started(Settings(server=PLAIN, tls=tls(authority)))
    reader, writer = await asyncio.open_connection("127.0.0.1", port(node))
    await settled(lambda: any(getattr(one, "receiving", None) for one in node.tls_servers))
    await node.stop()
    assert await received(writer, reader, b"") == b"reset"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", writer.get_extra_info("peername")[1])) != 0


# --- the event loop of a real node, which has a TLS of its own


@pytest.mark.parametrize(
    "scenario",
    [
        test_a_consumer_that_does_not_read_is_paused_and_gets_everything_later,
        test_the_connection_and_its_certificate_are_shown,
        test_metrics_are_served_over_tls,
        test_a_client_that_does_not_speak_tls_gets_an_alert,
        test_a_certificate_of_another_authority_is_refused_with_an_alert,
        test_a_slow_handshake_is_reset,
        test_a_chain_that_is_too_long_is_refused,
        test_a_new_certificate_is_used_without_closing_connections,
        test_a_stopped_node_drops_handshakes,
    ],
)
def test_on_uvloop(
    scenario: Any, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        node = await started(everywhere(authority))
        given = {"node": node, "authority": authority, "tmp_path": tmp_path, "caplog": caplog}
        await scenario(**{name: given[name] for name in inspect.signature(scenario).parameters})
        await node.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def test_the_password_of_a_key_is_shown_nowhere(authority: Authority, tmp_path: Path) -> None:
    certfile, keyfile = authority.issue("locked", name("localhost"), alternatives=LOCALHOST, password="hush")
    locked = Tls(port=0, certfile=str(certfile), keyfile=str(keyfile), password="hush")
    node = await started(Settings(server=PLAIN, tls=locked, management_tls=locked))
    for path in ("overview", "nodes"):
        assert "hush" not in str(await get(node, f"/api/{path}", authority.client()))
    url = f"https://localhost:{port(node, 'https')}/api/config/effective"
    async with (
        ClientSession(connector=aiohttp.TCPConnector(ssl=authority.client())) as session,
        session.get(url, headers=GUEST) as response,
    ):
        text = await response.text()
    assert "tls.certfile" in text
    assert "hush" not in text
    await node.stop()


def test_a_plain_node_imports_nothing_of_this() -> None:
    program = (
        "import sys, leveret.server.node, leveret.cli.serve\n"
        "print([name for name in sys.modules if name.startswith(('leveret.server.tls', 'leveret.server.x509', "
        "'leveret.server.acceptor', 'leveret.server.backends', 'jwt', 'cryptography', 'aiohttp'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
