"""Clients in Java, Go and Python connect over TLS with certificates, and log in by them or with OAuth 2 tokens."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import amqp
import pika
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import load_pem_x509_certificate

from leveret.auth_settings import OAuth2
from leveret.config import Settings
from leveret.server.node import Node
from leveret.settings import AccessSettings, Server
from leveret.tls_settings import Tls
from tests.certificates import LOCALHOST, Authority, name
from tests.hang import HANG_SECONDS
from tests.server.tokens import pem, token

HERE = Path(__file__).resolve().parent
JAVA, GO = HERE / "java", HERE / "go"

#: Installing a client, or compiling it, seconds.
INSTALL_S = 300

#: How to log in: by the certificate, or with a token.
LOGINS = pytest.mark.parametrize("secret", ["", token()], ids=["certificate", "token"])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def port(authority: Authority, tmp_path: Path) -> AsyncIterator[int]:
    """The port of a node that asks for certificates; `guest` may log in by one, and others with tokens."""
    certfile, keyfile = authority.issue("server", name("localhost"), alternatives=LOCALHOST)
    tls = Tls(
        port=0,
        certfile=str(certfile),
        keyfile=str(keyfile),
        cacertfile=str(authority.path),
        verify="verify_peer",
        fail_if_no_peer_cert=True,
        handshake_timeout=int(HANG_SECONDS * 1000),
    )
    access = AccessSettings(
        backends=("oauth2", "internal"), mechanisms=("PLAIN", "EXTERNAL"), cert_login_from="common_name"
    )
    oauth2 = OAuth2(resource_server_id="rabbitmq", signing_keys={"k": pem("ES256", tmp_path / "k.pem")})
    server = Server(
        host=("127.0.0.1",),
        port=-1,
        http_port=-1,
        prometheus_port=-1,
        handshake_timeout=int(HANG_SECONDS * 1000),
    )
    node = Node(Settings(server=server, tls=tls, access=access, auth_oauth2=oauth2))
    await node.start()
    yield node.listeners()[0].port
    await node.stop()


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def java() -> str:
    """The java binary, with amqp-client in the version that pom.xml names."""
    java, mvn = shutil.which("java"), shutil.which("mvn")
    if java is None or mvn is None:
        pytest.skip("java and mvn are not installed")
    if not list((JAVA / "lib").glob("amqp-client-*.jar")):
        run(mvn, "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib", cwd=JAVA)
    return java


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled Go program."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("go is not installed")
    program = tmp_path_factory.mktemp("go") / "tlsclient"
    run(go, "build", "-o", program, ".", cwd=GO, GOFLAGS="-mod=mod -buildvcs=false")
    return program


@LOGINS
async def test_java(port: int, authority: Authority, java: str, secret: str) -> None:
    certfile, keyfile = authority.issue("guest")
    identity = authority.folder / "guest.p12"
    identity.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"guest",
            load_pem_private_key(keyfile.read_bytes(), None),  # type: ignore[arg-type]
            load_pem_x509_certificate(certfile.read_bytes()),
            None,
            BestAvailableEncryption(b"secret"),
        )
    )
    command = (java, "-cp", "lib/*", "TlsClient.java", str(port), authority.path, identity, secret)
    assert "done" in await asyncio.to_thread(lambda: run(*command, cwd=JAVA))


@LOGINS
async def test_go(port: int, authority: Authority, go: Path, secret: str) -> None:
    certfile, keyfile = authority.issue("guest")
    command = (go, str(port), authority.path, certfile, keyfile, secret)
    assert "done" in await asyncio.to_thread(lambda: run(*command, cwd=GO))


@LOGINS
async def test_pika(port: int, authority: Authority, secret: str) -> None:
    credentials = pika.PlainCredentials("", secret) if secret else pika.credentials.ExternalCredentials()
    options = pika.SSLOptions(authority.client(authority.issue("guest")), "localhost")
    given = pika.ConnectionParameters("127.0.0.1", port, credentials=credentials, ssl_options=options)

    def work() -> bytes:
        with pika.BlockingConnection(given) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            queue = channel.queue_declare("", exclusive=True).method.queue
            channel.basic_publish("", queue, b"x" * 200_000)
            body: bytes = channel.basic_get(queue, auto_ack=True)[2]
            return body

    assert await asyncio.to_thread(work) == b"x" * 200_000


@LOGINS
async def test_py_amqp(port: int, authority: Authority, secret: str) -> None:
    certfile, keyfile = authority.issue("guest")
    options = {
        "ca_certs": str(authority.path),
        "certfile": str(certfile),
        "keyfile": str(keyfile),
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": "localhost",
    }
    login = (
        {"login_method": "PLAIN", "userid": "", "password": secret}
        if secret
        else {"login_method": "EXTERNAL"}
    )

    def work() -> object:
        with amqp.Connection(f"localhost:{port}", ssl=options, **login) as connection:
            channel = connection.channel()
            queue = channel.queue_declare("", exclusive=True).queue
            channel.basic_publish(amqp.Message("x" * 200_000), "", queue)
            return channel.basic_get(queue, no_ack=True).body

    assert await asyncio.to_thread(work) == "x" * 200_000


@LOGINS
async def test_aio_pika(port: int, authority: Authority, secret: str) -> None:
    context = authority.client(authority.issue("guest"))
    user = f":{secret}@" if secret else ""
    external = "" if secret else "?auth=EXTERNAL"
    url = f"amqps://{user}localhost:{port}/{external}"
    async with await aio_pika.connect(url, ssl_context=context) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await channel.default_exchange.publish(aio_pika.Message(b"x" * 200_000), queue.name)
        message = await queue.get(timeout=HANG_SECONDS, no_ack=True)
        assert message.body == b"x" * 200_000
