"""pyrabbit2, every method of its client, and Flower, which shows the queues of a broker on a page."""

from __future__ import annotations

import html
import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from conformance.api.call import Answer
from conformance.stage import Target
from conformance.suites import environments
from conformance.suites.pins import MANAGEMENT
from conformance.suites.suite import Suite
from conformance.tools.programs import TIMEOUT_S

INSIDE = Path(__file__).resolve().parent / "inside"

#: How often a starting Flower is asked, in seconds.
POLL_S = 0.1

Answers = Mapping[str, Answer]


def install(cache: Path) -> None:
    """Make the environments of both. Raises SourceError."""
    for name in MANAGEMENT:
        _python(name, cache)


def pyrabbit(target: Target, names: Mapping[str, str], cache: Path) -> Answers:
    """Every call and its answer. `names`: what this broker has for the connection of another client.

    Raises RuntimeError if it does not run.
    """
    host, port = target.http_address
    arguments = [f"{host}:{port}", names["{connection:other}"], names["{channel:consumer}"]]
    done = subprocess.run(
        [str(_python("pyrabbit2", cache)), str(INSIDE / "pyrabbit.py"), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"pyrabbit2: {done.stderr}")
    found: dict[str, Answer] = {}
    for line in map(json.loads, done.stdout.splitlines()):
        name = line.pop("call")
        again = sum(known.partition(" #")[0] == name for known in found)
        found[f"{name} #{again + 1}" if again else name] = Answer(0, "", {}, line)
    return found


def flower(target: Target, cache: Path) -> Answers:
    """The table of queues on Flower's page, and what its API says of their lengths.

    Raises RuntimeError if Flower does not run.
    """
    python = _python("flower", cache)
    host, port = target.http_address
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own = probe.getsockname()[1]
    options = [f"--broker-api=http://guest:guest@{host}:{port}/api/", "--address=127.0.0.1", f"--port={own}"]
    url = target.amqp_url.rstrip("/") + "/shop"
    command = [str(python), "-m", "celery", "-A", "orders", "--broker", url, "flower", *options]
    environment = {"PYTHONPATH": str(INSIDE), "FLOWER_UNAUTHENTICATED_API": "true", "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(
        command, env=environment, cwd=cache, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        page = _page(process, f"http://127.0.0.1:{own}/broker")
        lengths = _page(process, f"http://127.0.0.1:{own}/api/queues/length")
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)
    rows = [
        [
            html.unescape(re.sub(r"<[^>]*>", "", cell)).strip()
            for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)
        ]
        for row in re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    ]
    return {
        "page of the broker": Answer(0, "", {}, [row for row in rows if row]),
        "lengths of queues": Answer(0, "", {}, json.loads(lengths)),
    }


def _page(process: subprocess.Popen[bytes], url: str) -> str:
    """The page, as soon as Flower shows it. Raises RuntimeError if it ends before, or needs too long."""
    deadline = time.monotonic() + TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url) as response:
                text: str = response.read().decode()
                return text
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"Flower: {error}") from None
        except OSError:
            time.sleep(POLL_S)
    raise RuntimeError("Flower does not run")


def _python(name: str, cache: Path) -> Path:
    return environments.python(Suite(name, MANAGEMENT[name], "pypi", tests=()), cache)
