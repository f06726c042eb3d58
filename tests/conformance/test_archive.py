"""Which RabbitMQ Debian's archive has, and what is done if it is not the version of the profile."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance import archive, everything, rabbitmq, runner, verify
from conformance.archive import ArchiveError
from conformance.rabbitmq import UnavailableError

#: Stanzas as they stand in dists/forky/main/binary-amd64/Packages.
INDEX = """Package: rabbit
Version: 3.0.0-3
Architecture: all
Maintainer: Debian Ruby Team <pkg-ruby-extras-maintainers@lists.alioth.debian.org>
Description: presentation tool using RD, a simple text markup
Section: ruby
Filename: pool/main/r/rabbit/rabbit_3.0.0-3_all.deb

Package: rabbitmq-server
Version: {version}
Installed-Size: 27654
Maintainer: Debian OpenStack <team+openstack@tracker.debian.org>
Architecture: all
Depends: adduser, erlang-base (>= 1:26.0) | erlang-base-hipe (>= 1:26.0), erlang-crypto (>= 1:26.0),
 logrotate, socat, python3:any
Description: AMQP server written in Erlang
Homepage: https://www.rabbitmq.com/
Description-md5: 2ba44c3b8e5a5c7a8a9eb2a9ce2ba0a4
Section: net
Priority: optional
Filename: pool/main/r/rabbitmq-server/rabbitmq-server_{version}_all.deb
Size: 17463644
SHA256: 0f1d7a3f8d1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4

Package: rabbitsign
Version: 2.1+dmca1-3
Architecture: amd64
Filename: pool/main/r/rabbitsign/rabbitsign_2.1+dmca1-3_amd64.deb
"""

Carry = Callable[[str], None]


@pytest.fixture
def carry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Carry:
    """Set the RabbitMQ version that a local mirror of Debian has; nothing is installed yet."""
    place = tmp_path / "mirror/dists/forky/main/binary-amd64"
    place.mkdir(parents=True)
    monkeypatch.setattr(rabbitmq, "mirror", lambda: (tmp_path / "mirror").as_uri())
    monkeypatch.setattr(archive, "architecture", lambda: "amd64")
    monkeypatch.setenv("LEVERET_REFEREE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(rabbitmq.Server, "_bootstrap", lambda self: install(self.root, f"{self.release}-1"))

    def set_version(version: str) -> None:
        (place / "Packages.xz").write_bytes(lzma.compress(INDEX.format(version=version).encode()))

    return set_version


def install(root: Path, version: str) -> None:
    """Make the files that debootstrap and apt would install."""
    for folder in ("var/lib/dpkg", "etc/rabbitmq"):
        (root / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(
        f"Package: adduser\nStatus: install ok installed\nVersion: 3.134\n\n"
        f"Package: rabbitmq-server\nStatus: install ok installed\nPriority: optional\nVersion: {version}\n"
        "Conffiles:\n /etc/default/rabbitmq-server 7a8e\nDescription: AMQP server written in Erlang\n"
    )
    (root / ".installed").touch()


@pytest.mark.parametrize("compress", [("xz", lzma.compress), ("gz", gzip.compress)], ids=["xz", "gz"])
def test_a_package_index_is_read(tmp_path: Path, compress: tuple[str, Callable[[bytes], bytes]]) -> None:
    ending, packed = compress
    place = tmp_path / "dists/sid/main/binary-arm64"
    place.mkdir(parents=True)
    (place / f"Packages.{ending}").write_bytes(packed(INDEX.format(version="4.4.0-2").encode()))
    assert archive.carried(tmp_path.as_uri(), "sid", "rabbitmq-server", "arm64") == "4.4.0-2"
    with pytest.raises(ArchiveError, match="Debian sid carries no rabbitmq"):
        archive.carried(tmp_path.as_uri(), "sid", "rabbitmq", "arm64")
    with pytest.raises(ArchiveError, match="binary-riscv64/Packages cannot be read"):
        archive.carried(tmp_path.as_uri(), "sid", "rabbitmq-server", "riscv64")


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("4.3.6-1", "4.3.6"),
        ("3.10.8-1.1+deb12u1", "3.10.8"),
        ("1:4.0.5+dfsg-1", "4.0.5"),
        ("4.4.0~rc1-1", "4.4.0"),
    ],
)
def test_the_upstream_release_of_a_debian_version_is_found(version: str, release: str) -> None:
    assert archive.upstream(version) == release


def test_the_rabbitmq_of_the_profile_is_installed(carry: Carry) -> None:
    carry("4.3.6-1")
    node = rabbitmq.server("4.3")
    node.install()
    assert (node.root / ".installed").exists()


@pytest.mark.parametrize("version", ["4.3.7-1", "4.4.0-1", "4.30.6-1"])
def test_another_rabbitmq_is_not_installed(carry: Carry, version: str) -> None:
    carry(version)
    with pytest.raises(UnavailableError, match=rf"Debian forky carries RabbitMQ {version}, not 4\.3\.6"):
        rabbitmq.server("4.3").install()
    assert not rabbitmq.server("4.3").root.exists()


def test_another_rabbitmq_that_is_installed_is_not_used(carry: Carry) -> None:
    node = rabbitmq.server("4.3")
    install(node.root, "4.4.0-1")
    with pytest.raises(UnavailableError, match=r"is RabbitMQ 4\.4\.0-1, not 4\.3\.6"):
        node.install()


def test_an_installed_rabbitmq_needs_no_archive(carry: Carry) -> None:
    node = rabbitmq.server("4.3")
    install(node.root, "4.3.6-1")
    node.install()


def test_an_unreachable_archive_is_reported(carry: Carry) -> None:
    with pytest.raises(
        UnavailableError, match=r"RabbitMQ 4\.3\.6 cannot be installed: file://.* cannot be read"
    ):
        rabbitmq.server("4.3").install()


def test_without_the_right_rabbitmq_leveret_is_compared_with_the_golden_files(
    carry: Carry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning is printed, and no other RabbitMQ is started."""
    monkeypatch.setattr(rabbitmq.Server, "start", lambda self: pytest.fail("started"))
    carry("4.4.0-1")
    (verdict,) = verify.verify(["4.3"], ["queue/declare"])
    said = capsys.readouterr()
    assert "Profile 4.3: Debian forky carries RabbitMQ 4.4.0-1, not 4.3.6." in said.err
    assert "NO LIVE RABBITMQ WAS ASKED" in said.err
    assert (verdict.version, verdict.differing, said.out) == ("4.3.6, as recorded", 0, "")
    assert verdict.answers == len(runner.chosen("4.3", ["queue/declare"])) > 0


def test_without_the_right_rabbitmq_recorded_conversations_are_compared(
    carry: Carry, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = everything._conversations("4.3", 1)
    assert "cannot be installed" in capsys.readouterr().err
    assert (verdict.what, verdict.version) == ("recorded conversations, profile 4.3", "4.3.6, as recorded")
    assert verdict.answers > 100
    assert verdict.differing == 0
