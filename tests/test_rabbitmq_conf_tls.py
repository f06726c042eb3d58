"""The keys of TLS and of the PROXY protocol in rabbitmq.conf, with the texts of RabbitMQ 4.3.6."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.rabbitmq_conf import read
from leveret.settings import ConfigError, Settings, build
from leveret.tls_settings import Tls

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
NO_PEM = (
    "PEM file does not exist, cannot be read, or does not contain valid PEM-encoded X.509 certificate or "
    "private key data"
)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "a.pem").write_text(PEM)
    (tmp_path / "text").write_text("text")
    return tmp_path / "rabbitmq.conf"


def settings(conf: Path, text: str) -> Settings:
    conf.write_text(text.replace("DIR", str(conf.parent)), "utf-8")
    return build(read([conf], {}))


def test_a_tls_listener(conf: Path) -> None:
    found = settings(
        conf,
        """
        listeners.ssl.default = 5671
        ssl_options.cacertfile = DIR/a.pem
        ssl_options.certfile = DIR/a.pem
        ssl_options.keyfile = DIR/a.pem
        ssl_options.password = secret
        ssl_options.verify = verify_peer
        ssl_options.fail_if_no_peer_cert = true
        ssl_options.depth = 2
        ssl_options.versions.1 = tlsv1.3
        ssl_options.versions.2 = tlsv1.2
        ssl_options.ciphers.1 = ECDHE-RSA-AES256-GCM-SHA384
        ssl_options.honor_cipher_order = true
        ssl_handshake_timeout = 1000
        proxy_protocol = true
        """,
    )
    pem = f"{conf.parent}/a.pem"
    assert found.tls == Tls(
        host=("::",),
        port=5671,
        cacertfile=pem,
        certfile=pem,
        keyfile=pem,
        password="secret",
        verify="verify_peer",
        fail_if_no_peer_cert=True,
        depth=2,
        versions=("tlsv1.3", "tlsv1.2"),
        ciphers=("ECDHE-RSA-AES256-GCM-SHA384",),
        honor_cipher_order=True,
        handshake_timeout=1000,
    )
    assert found.server.proxy_protocol
    assert found.warnings == ()


def test_listeners_have_addresses_and_one_port(conf: Path) -> None:
    found = settings(conf, "listeners.ssl.1 = 127.0.0.1:5671\nlisteners.ssl.2 = ::1:5671\n").tls
    assert (found.host, found.port) == (("127.0.0.1", "::1"), 5671)
    assert settings(conf, "listeners.ssl.1 = 5671\nlisteners.ssl = none").tls.port == -1
    with pytest.raises(ConfigError, match="differs from port 5671"):
        settings(conf, "listeners.ssl.1 = 5671\nlisteners.ssl.2 = 5673\n")


def test_https_replaces_http_unless_both_are_configured(conf: Path) -> None:
    alone = settings(conf, "management.ssl.certfile = DIR/a.pem\nprometheus.ssl.ip = 127.0.0.1\n")
    assert (alone.management_tls.port, alone.server.http_port) == (15671, -1)
    assert (alone.prometheus_tls.port, alone.server.prometheus_port) == (15691, -1)
    assert alone.prometheus_tls.host == ("127.0.0.1",)
    both = settings(conf, "management.ssl.port = 8443\nmanagement.tcp.port = 15672\n")
    assert (both.management_tls.port, both.server.http_port) == (8443, 15672)


def test_the_old_names_of_the_https_listener(conf: Path) -> None:
    text = """
        management.listener.port = 15671
        management.listener.ip = 127.0.0.1
        management.listener.ssl = true
        management.listener.ssl_opts.certfile = DIR/a.pem
        """
    found = settings(conf, text)
    assert (found.management_tls.port, found.server.http_port) == (15671, -1)
    assert found.management_tls.host == ("127.0.0.1",)
    assert found.management_tls.certfile == f"{conf.parent}/a.pem"
    assert settings(conf, text.replace("true", "false")).server.http_port == 15671


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("ssl_options.certfile = /nope.pem", NO_PEM),
        ("management.ssl.keyfile = DIR/text", NO_PEM),
        ("ssl_options.verify = maybe", "acceptable values are: verify_peer, verify_none"),
        ("ssl_options.depth = x", '"x" cannot be converted to a(n) integer'),
        ("ssl_options.depth = 256", "256 exceeds the maximum allowed value of 255"),
        ("ssl_options.versions.1 = tlsv1.4", "there is no TLS version tlsv1.4"),
        ("ssl_options.fail_if_no_peer_cert = yes", '"yes" cannot be converted to a(n) boolean'),
        ("ssl_options.crl_check = true", "revocation lists are not checked"),
        ("ssl_options.psk_identity = x", "pre-shared keys are not available"),
        ("ssl_options.key.RSAPrivateKey = x", "a private key must be in a file: keyfile"),
        ("ssl_options.nope = 1", "Conf file attempted to set unknown variable: ssl_options.nope"),
        ("listeners.ssl.1 = x", '"x" cannot be converted to a(n) integer'),
        ("ssl_options = some", "acceptable values are: none"),
    ],
)
def test_wrong_values_are_refused(conf: Path, line: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(conf, line)
    assert problem in refused.value.problem
    assert refused.value.place == f"{conf}:1"


@pytest.mark.parametrize(
    "line",
    [
        "ssl_options.reuse_sessions = true",
        "ssl_options.secure_renegotiate = true",
        "ssl_options.log_level = debug",
        "management.ssl.max_keepalive = 10",
        "ssl_options.bypass_pem_cache = true",
    ],
)
def test_keys_without_effect_are_warnings(conf: Path, line: str) -> None:
    (warning,) = settings(conf, line).warnings
    assert line.partition(" ")[0] in warning
