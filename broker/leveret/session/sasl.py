"""SASL mechanisms: which ones are offered, and how responses are parsed.

PLAIN is exactly NUL user NUL password, AMQPLAIN the fields of a table without its length, ANONYMOUS anything
(rabbit_auth_mechanism_plain, _amqplain, _anonymous). RABBIT-CR-DEMO has two rounds: the user name, and then `My
password is ` and the password (rabbit_auth_mechanism_cr_demo). `engine/access.py` checks user and password. EXTERNAL
takes the user from the certificate; its response is not parsed.

RabbitMQ sends no frame for an unknown mechanism or a response that cannot be parsed: it logs, waits three seconds and
closes the socket. Its log line contains the response with the password; Leveret's does not.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

from leveret.wire.tables import MalformedTable, decode_fields

PLAIN = "PLAIN"
AMQPLAIN = "AMQPLAIN"
ANONYMOUS = "ANONYMOUS"
EXTERNAL = "EXTERNAL"
CR_DEMO = "RABBIT-CR-DEMO"

#: Mechanisms that are offered unless others are configured (rabbit.schema, auth_mechanisms).
DEFAULT = (PLAIN, AMQPLAIN, ANONYMOUS)

#: What RABBIT-CR-DEMO asks, and what the answer begins with.
CHALLENGE = "Please tell me your password"
_PASSWORD_IS = b"My password is "

#: longstr and binary.
_STRINGS = "Sx"


class Offering(Protocol):
    """The fields of a profile that are used here."""

    @property
    def anonymous_login(self) -> bool:
        """Whether this version has the mechanism ANONYMOUS (since 4.0)."""


class UnknownMechanism(ValueError):  # noqa: N818  named by what the client sent
    """A mechanism that was not offered."""


class MalformedResponse(ValueError):  # noqa: N818  named by what the client sent
    """A response that cannot be parsed. The text is the log line."""


class Credentials(NamedTuple):
    """User name and password as given. `anonymous`: neither was given, the configured anonymous user logs in.

    Octets that are not UTF-8 are surrogate escapes.
    """

    user: str
    password: str
    anonymous: bool = False


def mechanisms(
    profile: Offering,
    configured: Collection[str] = DEFAULT,
    *,
    anonymous: bool = True,
    encrypted: bool = False,
) -> tuple[str, ...]:
    """Return those of the configured mechanisms that are offered, in a fixed order.

    `anonymous`: an anonymous user is configured. `encrypted`: a TLS connection, which EXTERNAL needs; the client need
    not have a certificate: being refused says more than not being offered the mechanism.
    """
    offered = {
        PLAIN: True,
        AMQPLAIN: True,
        ANONYMOUS: anonymous and profile.anonymous_login,
        EXTERNAL: encrypted,
        CR_DEMO: True,
    }
    return tuple(name for name, possible in offered.items() if possible and name in configured)


def parse(mechanism: str, response: bytes) -> Credentials:
    """Return the credentials in a response. Raises MalformedResponse, UnknownMechanism."""
    if mechanism == PLAIN:
        return _plain(response)
    if mechanism == AMQPLAIN:
        return _amqplain(response)
    if mechanism == ANONYMOUS:  # the response is trace information of any form
        return Credentials("", "", anonymous=True)
    raise UnknownMechanism(f"unknown authentication mechanism '{mechanism}'")


def password_in(response: bytes) -> str:
    """Return the password in the second response of RABBIT-CR-DEMO. Raises MalformedResponse."""
    if not response.startswith(_PASSWORD_IS):
        raise MalformedResponse("Invalid response")
    return _str(response.removeprefix(_PASSWORD_IS))


def _plain(response: bytes) -> Credentials:
    parts = response.split(b"\0")
    if len(parts) != 3 or parts[0]:
        raise MalformedResponse("PLAIN response invalid")
    return Credentials(_str(parts[1]), _str(parts[2]))


def _amqplain(response: bytes) -> Credentials:
    try:
        table = decode_fields(response, 0, len(response))
    except MalformedTable as error:
        raise MalformedResponse(f"AMQPLAIN auth info is no table: {error}") from None
    user, password = table.get("LOGIN"), table.get("PASSWORD")
    if user is None or password is None:
        raise MalformedResponse("AMQPLAIN auth info is missing LOGIN or PASSWORD field")
    if user.kind not in _STRINGS or (user.kind == "x" and password.kind not in _STRINGS):
        raise MalformedResponse("AMQPLAIN auth info uses unsupported type for LOGIN or PASSWORD field")
    # The guard in rabbit_auth_mechanism_amqplain accepts a LOGIN of type longstr with any type of PASSWORD. Such a
    # login is refused later, as an empty password is.
    return Credentials(_str(user.value), _str(password.value) if password.kind in _STRINGS else "")


def _str(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
