"""The table of versions is complete, and profiles are found by name."""

from __future__ import annotations

from types import NoneType
from typing import Any, get_type_hints

import pytest
from msgspec.structs import fields

from leveret.profiles import PROFILES, ApiProfile, Profile, UnknownProfile, profile, stand_in
from leveret.settings import Memory

NAMES = ["3.10", "3.13", "4.0", "4.2", "4.3"]


def test_there_are_five_profiles_oldest_first() -> None:
    assert list(PROFILES) == NAMES
    for name, one in PROFILES.items():
        assert one.name == name
        assert one.version.startswith(name + ".")


@pytest.mark.parametrize("name", NAMES)
def test_every_field_has_a_value_of_its_type(name: str) -> None:
    one = PROFILES[name]
    types = get_type_hints(Profile)
    for field in fields(Profile):
        value: Any = getattr(one, field.name)
        if types[field.name] in (bool, int, float, str):
            assert type(value) is types[field.name], field.name
        elif types[field.name] == int | None:
            assert value is None or type(value) is int, field.name
        elif field.name == "api":
            found = {of.name: type(getattr(value, of.name)) for of in fields(ApiProfile)}
            assert set(found.values()) <= {bool, str, int, tuple, dict, NoneType}, found
        elif field.name == "features":
            assert all(type(permitted) is bool for permitted in value.values())
        else:
            assert types[field.name] in (tuple[int, ...], tuple[str, ...]), field.name
            assert type(value) is tuple


def test_every_field_differs_between_versions() -> None:
    """What is the same in all versions does not belong into this table."""
    for field in fields(Profile):
        found = [getattr(one, field.name) for one in PROFILES.values()]
        assert any(value != found[0] for value in found), field.name
    for field in fields(ApiProfile):
        found = [getattr(one.api, field.name) for one in PROFILES.values()]
        assert any(value != found[0] for value in found), field.name


@pytest.mark.parametrize(
    ("asked", "name"), [("4.3", "4.3"), ("4.3.6", "4.3"), ("3.10.8", "3.10"), ("4.0.1", "4.0")]
)
def test_a_release_has_the_profile_of_its_series(asked: str, name: str) -> None:
    assert profile(asked) is PROFILES[name]


@pytest.mark.parametrize("asked", ["5.0", "3.1", "2", "", "newest", "4.30"])
def test_unknown_profiles_are_refused(asked: str) -> None:
    with pytest.raises(UnknownProfile) as refused:
        profile(asked)
    assert str(refused.value) == f"profile {asked!r} is not known; allowed: 3.10, 3.13, 4.0, 4.2, 4.3"


@pytest.mark.parametrize(
    ("asked", "name"),
    [("latest", "4.3"), ("4", "4.3"), ("3", "3.13"), ("3.11.2", "3.10"), ("3.12", "3.13"), ("4.1", "4.2")],
)
def test_the_nearest_profile_stands_in(asked: str, name: str) -> None:
    assert profile(asked) is PROFILES[name]
    assert stand_in(asked) == (
        ""
        if asked == "latest"
        else f"there is no profile {asked}: RabbitMQ {PROFILES[name].version} is replaced, the nearest one"
    )


def test_a_profile_of_its_own_needs_no_words() -> None:
    assert stand_in("4.3") == stand_in("3.10.8") == ""


def test_deprecated_features_follow_the_version_unless_configured() -> None:
    assert not profile("4.3").permits("global_qos", {})
    assert profile("4.3").permits("global_qos", {"global_qos": True})
    assert profile("4.2").permits("global_qos", {})
    assert not profile("4.2").permits("global_qos", {"global_qos": False})
    assert profile("3.10").permits("anything", {})


@pytest.mark.parametrize(
    ("name", "share"), [("3.10", 400), ("3.13", 400), ("4.0", 600), ("4.2", 600), ("4.3", 600)]
)
def test_the_memory_watermark_follows_the_version_unless_configured(name: str, share: int) -> None:
    assert Memory().limit(1000, profile(name).memory_watermark) == share
    assert Memory(high_watermark=0.5).limit(1000, profile(name).memory_watermark) == 500
    assert Memory(high_watermark=0.0).limit(1000, profile(name).memory_watermark) == 0
