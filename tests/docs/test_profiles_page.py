"""docs/features/profiles.md agrees with profiles.py."""

from __future__ import annotations

from msgspec.structs import fields

from leveret.profiles import ApiProfile, Profile
from tests.docs import profiles_page


def test_the_page_is_up_to_date() -> None:
    text = profiles_page.PAGE.read_text("utf-8")
    assert profiles_page.page(text) == text, "PYTHONPATH=broker python -m tests.docs.profiles_page"


def test_every_field_is_explained() -> None:
    found = {name: meaning for _, name, meaning in profiles_page._fields()}
    api = {f"api.{field.name}" for field in fields(ApiProfile)}
    assert found.keys() == api | {field.name for field in fields(Profile)} - {"name", "api"}
    unexplained = {name for name, meaning in found.items() if meaning == name.rpartition(".")[2]}
    assert unexplained <= {"copyright", "platform"}
