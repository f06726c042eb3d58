"""Configuration files are accepted and refused as by RabbitMQ 4.3.6, in its words."""

from conformance.conf.command import MEANT, agrees, differences, leveret, recorded
from conformance.conf.cuttlefish import Answer
from leveret.cuttlefish.schema import schema


def test_all_configurations_are_answered_as_rabbitmq_does() -> None:
    assert list(differences(recorded())) == []


def test_every_key_of_the_schema_is_tried() -> None:
    tried = {name.partition(" = ")[0] for name in recorded() if " = " in name}
    keys = {".".join("1" if word[0] == "$" else word for word in mapping.words) for mapping in schema().all()}
    assert {key for key in keys - tried if not key.startswith("auth_ldap.queries.")} == set()


def test_a_difference_that_is_meant_is_one() -> None:
    answers = recorded()
    for name in MEANT:
        assert not agrees(answers[name], leveret(f"{name}\n".encode()))


def test_texts_are_compared_without_line_ends() -> None:
    assert agrees(Answer("apply_translations", ("a\n  b",)), ["a b"])
    assert not agrees(Answer("validation", ("a",)), ["b"])
    assert not agrees(Answer("accepted"), ["b"])
    assert not agrees(Answer("syntax", ("a",)), [])
