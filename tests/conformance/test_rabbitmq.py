"""Roots of RabbitMQ are deleted only if nothing is mounted in them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from conformance import rabbitmq
from conformance.rabbitmq import RefereeError

TABLE = """22 1 0:21 / / rw - ext4 /dev/sda rw
30 22 0:5 / {root}/proc rw - proc proc rw
31 22 0:6 / {root}/dev rw - tmpfs tmpfs rw
32 22 0:6 / {root}-2/dev rw - tmpfs tmpfs rw
33 22 0:6 / {root}/a\\040folder rw - tmpfs tmpfs rw
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a server, which is not mounted anywhere."""
    monkeypatch.setenv("LEVERET_REFEREE_HOME", str(tmp_path))
    place = rabbitmq.server("4.3").root
    (place / "dev").mkdir(parents=True)
    (place / "dev/null").touch()
    return place


def test_mounts_below_a_folder_are_found(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE.format(root=tmp_path / "4.3"))
    found = rabbitmq.mounted(tmp_path / "4.3", table)
    assert [str(place.relative_to(tmp_path / "4.3")) for place in found] == ["proc", "dev", "a folder"]


def test_a_root_without_mounts_is_deleted(root: Path) -> None:
    rabbitmq.server("4.3").delete()
    assert not root.exists()


def test_a_root_in_which_something_stays_mounted_is_not_deleted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "mounted", lambda place: [root / "dev"])
    asked: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: asked.append(command))
    with pytest.raises(RefereeError, match="is mounted"):
        rabbitmq.server("4.3").delete()
    assert asked == [["umount", str(root / "dev")]]
    assert (root / "dev/null").exists()
