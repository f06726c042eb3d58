"""RabbitMQ's own reader of rabbitmq.conf: its library cuttlefish and its schemas, run without a server."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conformance.rabbitmq import RefereeError, Server, server

PROGRAM = Path(__file__).parent / "ask.erl"


@dataclass(frozen=True)
class Answer:
    """What comes of a configuration. `outcome`: `accepted`, `crash`, or the phase whose `problems` are listed.

    `config`: the settings in Erlang terms if the file is accepted, or the crash.
    """

    outcome: str
    problems: tuple[str, ...] = ()
    config: str = ""


@contextmanager
def _folder(root: Path) -> Iterator[Path]:
    """Yield a folder inside the root, with the compiled program; it is removed at the end."""
    with tempfile.TemporaryDirectory(dir=root / "tmp", prefix="cuttlefish-") as made:
        shutil.copy(PROGRAM, made)
        yield Path(made)


def _run(one: Server, folder: Path, *words: str) -> str:
    plugins = next((one.root / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/plugins"))
    inside = "/" + str(folder.relative_to(one.root))
    code = " ".join(f'"{word}",' for word in (f"/{plugins.relative_to(one.root)}", *words)).rstrip(",")
    script = (
        f"cd {inside} && erlc ask.erl && exec erl -noinput +fnu -boot start_clean -pa {inside} "
        f"-pa /{plugins.relative_to(one.root)}/*/ebin -eval 'ask:main([{code}]).'"
    )
    environment = ["PATH=/usr/bin:/bin", "HOME=/var/lib/rabbitmq", "LANG=C.UTF-8"]
    command = ["chroot", str(one.root), "/usr/bin/env", "-i", *environment, "sh", "-c", script]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RefereeError(f"cuttlefish of RabbitMQ {one.version} failed: {done.stderr or done.stdout}")
    return done.stdout


def schema(version: str = "4.3") -> str:
    """Return all keys of RabbitMQ's configuration, in the format of leveret/cuttlefish/schema.txt."""
    one = server(version)
    one.install()
    with _folder(one.root) as folder:
        return _run(one, folder, "schema")


def check(files: Mapping[str, Mapping[str, bytes]], version: str = "4.3") -> dict[str, Answer]:
    """Return RabbitMQ's answer to each configuration. `files`: name -> its files, which are merged in order."""
    one = server(version)
    one.install()
    with _folder(one.root) as folder:
        inside = folder / "in"
        for name, contents in files.items():
            for file, content in contents.items():
                (inside / name).mkdir(parents=True, exist_ok=True)
                (inside / name / file).write_bytes(content)
        output = _run(one, folder, "check", f"/{inside.relative_to(one.root)}")
        return dict(_answers(output.replace(f"/{inside.relative_to(one.root)}/", "")))


def _answers(output: str) -> Iterator[tuple[str, Answer]]:
    for block in output.split("@@ ")[1:]:
        name, outcome, *lines = block.splitlines()
        problems = "\n".join(lines).split("\n- ") if outcome not in ("accepted", "crash") else []
        cleaned = tuple(problem.removeprefix("- ") for problem in problems)
        yield name, Answer(outcome, cleaned, "" if cleaned else "\n".join(lines))
