"""EXTERNAL: what is taken from a certificate, and what is refused with RabbitMQ's reasons."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from pamqp import commands

from leveret.engine.authentication import Refused
from leveret.engine.encryption import Certificate, Encryption
from leveret.session.certificate_login import name_in
from leveret.session.peer import Peer
from leveret.settings import AccessSettings, Settings
from leveret.testing.playbook import ANY, Connect, Playbook, Say, refusal, say
from tests.session.test_handshake import HEADER, LOGIN_REFUSED, TUNE, start_ok

CERTIFICATE = Certificate(
    subject="CN=guest,O=x",
    issuer="CN=ca",
    validity="",
    serial="1",
    common_names=("guest", "other"),
    alternative_names=(("dns", "a"), ("email", "e@x"), ("dns", "b"), ("other_name", "o")),
)
ENCRYPTION = Encryption("tlsv1.3", "any", "aes_256_gcm", "aead", CERTIFICATE, verified=True)


def access(**more: object) -> AccessSettings:
    return AccessSettings(mechanisms=("PLAIN", "EXTERNAL"), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (access(), "CN=guest,O=x"),
        (access(cert_login_from="common_name"), "guest,other"),
        (access(cert_login_from="subject_alternative_name"), "a"),
        (access(cert_login_from="subject_alternative_name", cert_login_san_index=1), "b"),
        (
            access(cert_login_from="subject_alternative_name", cert_login_san_index=2),
            Refused("no name found"),
        ),
        (access(cert_login_from="subject_alternative_name", cert_login_san_type="email"), "e@x"),
        (access(cert_login_from="subject_alternative_name", cert_login_san_type="other_name"), "o"),
        (
            access(cert_login_from="subject_alternative_name", cert_login_san_type="uri"),
            Refused("no name found"),
        ),
    ],
)
def test_the_name_in_a_certificate(settings: AccessSettings, name: str | Refused) -> None:
    assert name_in(ENCRYPTION, settings) == name


@pytest.mark.parametrize(
    ("encryption", "reason"),
    [
        (None, "not a TLS-enabled connection"),
        (replace(ENCRYPTION, certificate=None), "connection peer presented no TLS (x.509) certificate"),
        (replace(ENCRYPTION, verified=False), "TLS configuration is unsafe"),
        (
            replace(ENCRYPTION, certificate=replace(CERTIFICATE, subject="")),
            "no name found",
        ),
    ],
)
def test_a_login_without_a_usable_certificate(encryption: Encryption | None, reason: str) -> None:
    assert name_in(encryption, access()) == Refused(reason)


def played(chunking: str, encryption: Encryption | None, **more: object) -> Playbook:
    client = Connect("a", channels=None, peer=Peer(encryption=encryption))
    settings = Settings(access=access(cert_login_from="common_name", **more))
    return Playbook(settings, chunking=chunking, first=[client])


def started(mechanisms: str) -> Say:
    return say(
        commands.Connection.Start, server_properties=ANY, mechanisms=mechanisms.encode(), locales=b"en_US"
    )


def test_a_certificate_logs_in(chunking: str) -> None:
    certificate = replace(CERTIFICATE, common_names=("guest",))
    play = played(chunking, replace(ENCRYPTION, certificate=certificate))
    assert play >> HEADER << started("PLAIN EXTERNAL") >> start_ok(b"", "EXTERNAL") << TUNE


def test_a_client_without_a_certificate_is_offered_external_and_refused(chunking: str) -> None:
    play = played(chunking, replace(ENCRYPTION, certificate=None))
    text = LOGIN_REFUSED.format("EXTERNAL")
    assert (
        play
        >> HEADER
        << started("PLAIN EXTERNAL")
        >> start_ok(b"", "EXTERNAL")
        << refusal(403, text, channel=0)
    )


def test_external_is_not_offered_without_tls(chunking: str) -> None:
    assert played(chunking, None) >> HEADER << started("PLAIN")


def demo(chunking: str) -> Playbook:
    settings = Settings(access=AccessSettings(mechanisms=("RABBIT-CR-DEMO",)))
    return Playbook(settings, chunking=chunking, first=[Connect("a", channels=None)])


def test_a_mechanism_with_two_rounds(chunking: str) -> None:
    asked = say(commands.Connection.Secure, challenge=b"Please tell me your password")
    right = say(commands.Connection.SecureOk, response="My password is guest")
    start = started("RABBIT-CR-DEMO")
    assert demo(chunking) >> HEADER << start >> start_ok(b"guest", "RABBIT-CR-DEMO") << asked >> right << TUNE
    wrong = say(commands.Connection.SecureOk, response="My password is wrong")
    refused = refusal(403, LOGIN_REFUSED.format("RABBIT-CR-DEMO"), channel=0)
    assert (
        demo(chunking) >> HEADER << start >> start_ok(b"guest", "RABBIT-CR-DEMO") << asked >> wrong << refused
    )
