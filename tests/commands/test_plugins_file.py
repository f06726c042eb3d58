"""`rabbitmq-plugins` without a node: the file enabled_plugins, as RabbitMQ 4.3.6 changes it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.commands.conftest import Play


@pytest.fixture
def file(tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "enabled_plugins"
    path.write_text("[rabbitmq_management].\n")
    monkeypatch.setenv("RABBITMQ_ENABLED_PLUGINS_FILE", str(path))
    return path


def content(file: Path) -> str:
    return file.read_text()


@pytest.mark.parametrize("mode", [["--offline"], []])
async def test_enable_changes_the_file(play: Play, file: Path, mode: list[str]) -> None:
    done = await play("rabbitmq-plugins", "enable", *mode, "rabbitmq_prometheus")
    assert (done.code, done.stdout) == (0, ENABLED)
    assert content(file) == "[rabbitmq_management,rabbitmq_prometheus].\n"


async def test_disable_and_set_change_the_file(play: Play, file: Path) -> None:
    done = await play("rabbitmq-plugins", "disable", "--offline", "rabbitmq_management")
    assert (done.code, done.stdout.splitlines()[-1]) == (
        0, "Offline change; changes will take effect at broker restart.",
    )  # fmt: skip
    assert content(file) == "[].\n"
    done = await play("rabbitmq-plugins", "set", "--offline", "rabbitmq_management")
    assert (done.code, done.stdout.splitlines()[-1]) == (0, "set 3 plugins.")
    assert content(file) == "[rabbitmq_management].\n"


async def test_a_list_without_a_node_reads_the_file_and_leaves_it_alone(play: Play, file: Path) -> None:
    done = await play("rabbitmq-plugins", "-s", "list", "management$")
    assert (done.code, done.stdout) == (
        0,
        "[  ] rabbitmq_federation_management 4.3.6\n[E ] rabbitmq_management            4.3.6\n"
        "[  ] rabbitmq_shovel_management     4.3.6\n[  ] rabbitmq_stream_management     4.3.6\n",
    )
    assert content(file) == "[rabbitmq_management].\n"


async def test_another_node_must_be_running(play: Play, file: Path) -> None:
    done = await play("rabbitmq-plugins", "-n", "nope@localhost", "enable", "rabbitmq_prometheus")
    assert (done.code, content(file)) == (64, "[rabbitmq_management].\n")
    done = await play("rabbitmq-plugins", "-n", "nope@localhost", "list")
    assert (done.code, done.stdout.splitlines()[1:3]) == (
        0,
        [
            " Configured: E = explicitly enabled; e = implicitly enabled",
            " | Status: [failed to contact nope@localhost - status not shown]",
        ],
    )


async def test_a_name_that_is_no_plain_atom_is_written_in_quotes(play: Play, file: Path) -> None:
    assert (await play("rabbitmq-plugins", "enable", "--offline", "a.b")).code == 0
    assert content(file) == "['a.b',rabbitmq_management].\n"


async def test_is_enabled_reads_the_file(play: Play, file: Path) -> None:
    done = await play("rabbitmq-plugins", "-q", "is_enabled", "--offline", "rabbitmq_web_dispatch")
    assert (done.code, done.stdout) == (0, "Plugin rabbitmq_web_dispatch is enabled\n")
    assert (await play("rabbitmq-plugins", "is_enabled", "--offline", "rabbitmq_prometheus")).code == 69


async def test_names_that_nobody_knows_are_kept_with_a_warning(play: Play, file: Path) -> None:
    done = await play("rabbitmq-plugins", "enable", "--offline", "nonsense")
    assert "WARNING - plugins currently enabled but missing: nonsense" in done.stdout
    assert (done.code, content(file)) == (0, "[nonsense,rabbitmq_management].\n")
    done = await play("rabbitmq-plugins", "disable", "--offline", "nonsense")
    assert (done.code, content(file)) == (0, "[nonsense,rabbitmq_management].\n")
    assert "missing: nonsense\n\n" in (await play("rabbitmq-plugins", "list", "-E")).stdout
    assert "WARNING" not in (await play("rabbitmq-plugins", "-q", "list", "-E")).stdout


async def test_a_pattern_that_is_no_regular_expression_is_refused(play: Play, file: Path) -> None:
    done = await play("rabbitmq-plugins", "list", "(")
    assert (done.code, done.stderr.splitlines()[1][:31]) == (70, "( is not a regular expression: ")


async def test_plugins_that_are_not_there_do_not_break_the_build_of_an_image(play: Play, file: Path) -> None:
    """RUN rabbitmq-plugins enable --offline ... in a Dockerfile."""
    done = await play("rabbitmq-plugins", "enable", "--offline", "rabbitmq_shovel", "rabbitmq_prometheus")
    assert (done.code, done.stdout.splitlines()[-2]) == (0, "set 5 plugins.")
    assert done.stderr == (
        "WARNING: Leveret does not have rabbitmq_shovel, and nothing is done for it; move messages with a consumer "
        "that publishes them elsewhere.\n"
    )
    assert content(file) == "[rabbitmq_management,rabbitmq_prometheus,rabbitmq_shovel].\n"
    done = await play("rabbitmq-plugins", "-q", "is_enabled", "--offline", "rabbitmq_shovel")
    assert (done.code, done.stdout) == (0, "Plugin rabbitmq_shovel is enabled\n")
    assert "nothing is done for it" in done.stderr


async def test_a_file_that_is_no_list_stays_as_it_is(play: Play, file: Path) -> None:
    await asyncio.to_thread(file.write_text, "{rabbitmq_management}.")
    done = await play("rabbitmq-plugins", "enable", "--offline", "rabbitmq_prometheus")
    assert (done.code, content(file)) == (69, "{rabbitmq_management}.")
    assert str(file) in done.stderr


async def test_without_a_file_the_command_is_refused(play: Play, run_dir: Path) -> None:
    assert (await play("rabbitmq-plugins", "enable", "--offline", "rabbitmq_management")).code == 69


ENABLED = """\
Enabling plugins on node rabbit@localhost:
rabbitmq_prometheus
The following plugins have been configured:
  rabbitmq_management
  rabbitmq_management_agent
  rabbitmq_prometheus
  rabbitmq_web_dispatch
Applying plugin configuration to rabbit@localhost...
The following plugins have been enabled:
  rabbitmq_prometheus

set 4 plugins.
Offline change; changes will take effect at broker restart.
"""
