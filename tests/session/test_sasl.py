"""SASL responses are accepted and refused as by RabbitMQ 4.3.6."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.session import sasl
from leveret.session.sasl import Credentials, MalformedResponse, UnknownMechanism, parse
from leveret.wire.tables import Field, encode_table

GUEST = Credentials("guest", "guest")


@dataclass(frozen=True)
class Version:
    """The part of a profile that decides about mechanisms."""

    anonymous_login: bool


def fields(**table: Field) -> bytes:
    """A response of AMQPLAIN: a table without its length."""
    return encode_table(table)[4:]


def test_the_offered_mechanisms_depend_on_the_version() -> None:
    assert sasl.mechanisms(Version(False)) == ("PLAIN", "AMQPLAIN")
    assert sasl.mechanisms(Version(True)) == ("PLAIN", "AMQPLAIN", "ANONYMOUS")
    assert sasl.mechanisms(Version(True), anonymous=False) == ("PLAIN", "AMQPLAIN")


def test_configured_mechanisms_are_offered_where_they_are_possible() -> None:
    configured = ("EXTERNAL", "RABBIT-CR-DEMO", "PLAIN", "NOPE")
    assert sasl.mechanisms(Version(True), configured) == ("PLAIN", "RABBIT-CR-DEMO")
    assert sasl.mechanisms(Version(True), configured, encrypted=True) == (
        "PLAIN",
        "EXTERNAL",
        "RABBIT-CR-DEMO",
    )


def test_the_second_response_has_the_password() -> None:
    assert sasl.password_in(b"My password is  s e") == " s e"
    with pytest.raises(MalformedResponse, match="Invalid response"):
        sasl.password_in(b"guess")


def test_plain_responses_are_parsed() -> None:
    assert parse("PLAIN", b"\0guest\0guest") == GUEST
    assert parse("PLAIN", b"\0guest\0") == Credentials("guest", "")
    assert parse("PLAIN", b"\0\xff\0\xfe") == Credentials("\udcff", "\udcfe")


@pytest.mark.parametrize("response", [b"", b"\0guest", b"guest\0guest\0guest", b"\0guest\0guest\0", b"guest"])
def test_malformed_plain_responses_are_refused(response: bytes) -> None:
    with pytest.raises(MalformedResponse):
        parse("PLAIN", response)


@pytest.mark.parametrize("login", ["S", "x"])
@pytest.mark.parametrize("password", ["S", "x"])
def test_amqplain_accepts_strings_and_binaries(login: str, password: str) -> None:
    response = fields(LOGIN=Field(login, b"guest"), X=Field("V", None), PASSWORD=Field(password, b"guest"))
    assert parse("AMQPLAIN", response) == GUEST


def test_amqplain_takes_the_first_of_equal_names() -> None:
    login = fields(LOGIN=Field("S", b"guest")) + fields(LOGIN=Field("S", b"nobody"))
    assert parse("AMQPLAIN", login + fields(PASSWORD=Field("S", b"guest"))) == GUEST


def test_an_amqplain_password_that_is_not_a_string_is_empty() -> None:
    response = fields(LOGIN=Field("S", b"guest"), PASSWORD=Field("I", 5))
    assert parse("AMQPLAIN", response) == Credentials("guest", "")


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"\5",
        fields(LOGIN=Field("S", b"guest")),
        fields(login=Field("S", b"guest"), password=Field("S", b"guest")),
        fields(LOGIN=Field("I", 5), PASSWORD=Field("S", b"guest")),
        fields(LOGIN=Field("x", b"guest"), PASSWORD=Field("I", 5)),
        encode_table({"LOGIN": Field("S", b"guest"), "PASSWORD": Field("S", b"guest")}),
    ],
)
def test_malformed_amqplain_responses_are_refused(response: bytes) -> None:
    with pytest.raises(MalformedResponse):
        parse("AMQPLAIN", response)


def test_anonymous_accepts_any_response() -> None:
    assert parse("ANONYMOUS", b"\xff\0x").anonymous
    assert not parse("PLAIN", b"\0a\0b").anonymous


@pytest.mark.parametrize("mechanism", ["plain", "", "BOGUS", "EXTERNAL"])
def test_unknown_mechanisms_are_refused(mechanism: str) -> None:
    with pytest.raises(UnknownMechanism):
        parse(mechanism, b"\0guest\0guest")


@given(st.sampled_from(["PLAIN", "AMQPLAIN", "ANONYMOUS"]), st.binary(max_size=60))
def test_random_responses_only_raise_malformed_response(mechanism: str, response: bytes) -> None:
    try:
        assert isinstance(parse(mechanism, response), Credentials)
    except MalformedResponse as error:
        assert "invalid" in str(error) or "AMQPLAIN" in str(error)
