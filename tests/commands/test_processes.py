"""Commands as processes: RabbitMQ's names, pipes, the end of a node, and what a command costs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from leveret.cli.serve import parser
from tests.hang import HANG_SECONDS

#: Modules that a command imports after the interpreter's start.
MOST_MODULES = 50

SHELL = os.environ | {"LEVERET_PURE": "1"}


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A node, in its own process."""
    monkeypatch.setenv("LEVERET_RUN_DIR", str(tmp_path / "run"))
    ports = ("--port", "0", "--http-port", "-1", "--prometheus-port", "-1")
    command = [sys.executable, "-m", "leveret", "serve", *ports]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            assert (
                _leveret(
                    "ctl", "wait", "--pid", str(process.pid), "--timeout", str(int(HANG_SECONDS))
                ).returncode
                == 0
            )
            yield process
        finally:
            process.terminate()


def _leveret(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "leveret", *words]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )


@pytest.mark.usefixtures("broker")
def test_links_have_the_names_of_rabbitmq(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    assert _leveret("link-commands", str(folder)).returncode == 0
    assert sorted(os.listdir(folder)) == [
        "rabbitmq-diagnostics", "rabbitmq-plugins", "rabbitmq-queues", "rabbitmq-server", "rabbitmq-streams",
        "rabbitmq-upgrade", "rabbitmqadmin", "rabbitmqctl",
    ]  # fmt: skip
    assert _leveret("link-commands", str(folder)).returncode == 0
    (folder / "rabbitmqctl").unlink()
    (folder / "rabbitmqctl").write_text("#!/bin/sh\n")
    assert _leveret("link-commands", str(folder)).returncode == 1
    assert _leveret("link-commands", "--force", str(folder)).returncode == 0


@pytest.mark.usefixtures("broker")
def test_a_password_from_a_pipe() -> None:
    assert _leveret("ctl", "-q", "add_user", "u", stdin="secret\n").returncode == 0
    assert _leveret("ctl", "authenticate_user", "u", "secret").stdout.endswith("Success\n")


@pytest.mark.usefixtures("broker")
def test_definitions_go_out_and_in() -> None:
    exported = _leveret("definitions", "export")
    assert exported.stdout.startswith('{"rabbit_version"')
    assert _leveret("definitions", "import", "-", stdin=exported.stdout).returncode == 0
    assert _leveret("definitions").returncode == 64
    assert _leveret("status").stdout.startswith("Status of node ")


@pytest.mark.usefixtures("broker")
def test_a_reader_that_goes_away() -> None:
    command = f"{sys.executable} -m leveret ctl list_feature_flags | head -1"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert found.stdout == "Listing feature flags ...\n"
    assert "Traceback" not in found.stderr


def test_shutdown_waits_for_the_end(broker: subprocess.Popen[bytes]) -> None:
    found = _leveret("ctl", "shutdown")
    assert found.returncode == 0
    assert found.stdout.endswith("successfully shut down\n")
    assert broker.wait(HANG_SECONDS) == 0
    assert _leveret("ctl", "status").returncode == 69
    assert _leveret("ctl", "stop", "--idempotent").returncode == 0


def test_stop_with_a_file_of_the_process(broker: subprocess.Popen[bytes], tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(f"{broker.pid}\n")
    assert _leveret("ctl", "stop", str(tmp_path / "pid")).stdout.endswith("is no longer running\n")
    assert broker.wait(HANG_SECONDS) == 0


@pytest.mark.parametrize("shell", ["bash"])
def test_the_completion_is_a_script(shell: str) -> None:
    script = _leveret("completion", shell).stdout
    assert "list_queues" in script
    assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0
    assert "list_queues" in _leveret("completion", "zsh").stdout
    assert "list_queues" in _leveret("completion", "fish").stdout
    assert _leveret("completion", "csh").returncode == 64


@pytest.mark.usefixtures("broker")
def test_a_command_imports_few_modules() -> None:
    """Imports are what a command costs. `python -m benchmarks.commands` measures its CPU."""
    code = (
        "import sys; before = set(sys.modules); from leveret.cli.main import main; "
        "sys.argv = ['leveret', 'ctl', '-q', 'list_users']; main(); print(len(set(sys.modules) - before))"
    )
    environment = os.environ | {"LEVERET_PURE": "0"}  # the finder of sources imports more
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    users, count = found.stdout.rsplit("\n", 2)[:2]
    assert "guest" in users
    assert int(count) <= MOST_MODULES


def test_a_command_imports_nothing_heavy() -> None:
    code = (
        "import sys; from leveret.cli.main import main; sys.argv = ['leveret', 'ctl', 'ping']; main(); "
        "print(*sorted(name for name in sys.modules if name in ('asyncio', 'argparse', 'ssl', 'msgspec', "
        "'dataclasses', 'inspect', 'leveret.wire.erlang', 'leveret.rendering')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.stdout.splitlines()[-1].strip() == "" or "Will ping" in found.stdout.splitlines()[-1]


def _completed(*words: str) -> set[str]:
    """What bash proposes for the last word."""
    script = _leveret("completion", "bash").stdout
    line = " ".join(shlex.quote(word) for word in words)
    asked = f'{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _leveret; echo "${{COMPREPLY[@]}}"'
    return set(
        subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    )


def test_bash_completes_commands_of_all_kinds_and_their_options() -> None:
    assert _completed("leveret", "de") == {"definitions"}
    assert _completed("leveret", "definitions", "") == {"export", "import"}
    assert _completed("leveret", "completion", "f") == {"fish"}
    assert _completed("leveret", "config", "ch") == {"check"}
    assert _completed("leveret", "serve", "--data") == {"--data-dir"}
    assert _completed("leveret", "serve", "--port", "5673", "--prom") == {"--prometheus-port"}
    assert _completed("leveret", "top", "--so") == {"--sort"}
    assert _completed("leveret", "ctl", "list_user_p") == {"list_user_permissions"}
    assert _completed("rabbitmqctl", "list_user_p") == {"list_user_permissions"}
    assert _completed("rabbitmqadmin", "decl") == {"declare"}
    assert _completed("rabbitmq-server", "--profi") == {"--profile"}


def test_every_command_is_completed() -> None:
    line = parser()
    found = next(action for action in line._actions if action.dest == "command")
    assert _completed("leveret", "") == set(found.choices or ())
