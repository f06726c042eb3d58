"""Starts a Leveret to compare with, as a process on free ports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from conformance.stage import Target
from conformance.wire import TIMEOUT_S

ROOT = Path(__file__).resolve().parents[1]
_AMQP = re.compile(r"started TCP listener on (?:\[::\]|\S+):(\d+)")
_HTTP = re.compile(r"HTTP \(non-TLS\) listener started on port (\d+)")
_COMPLETE = re.compile(r"Server startup complete; \d+ plugins started\.")


@contextmanager
def serving(profile: str, conf: Path | None = None, *, metrics: bool = False) -> Iterator[Target]:
    """Yield a Leveret with this profile, configured by a rabbitmq.conf. It must end on SIGTERM. `metrics`: with a
    Prometheus listener.

    Its output is shown if it did not end cleanly or logged an exception.
    """
    command = [sys.executable, "-m", "leveret", "serve", "--profile", profile, "--host", "127.0.0.1"]
    path = os.pathsep.join(filter(None, (str(ROOT / "broker"), os.environ.get("PYTHONPATH", ""))))
    environment = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "LEVERET_PLUGINS_EVENT_EXCHANGE": "true"}
    if conf:
        environment["RABBITMQ_CONFIG_FILE"] = str(conf.absolute())
    said: list[str] = []
    with subprocess.Popen(
        [*command, "--port", "0", "--http-port", "0", "--prometheus-port", "0" if metrics else "-1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **environment},
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        try:
            found = _listening(process.stdout)
            rest = threading.Thread(target=said.extend, args=[process.stdout], daemon=True)
            rest.start()
            yield found
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(TIMEOUT_S)
        rest.join()
    if process.returncode or any("Traceback" in line for line in said):
        print("".join(said), file=sys.stderr)


def _listening(output: IO[str]) -> Target:
    """Read from its output where the process listens."""
    said = ""
    for line in output:
        said += line
        if _COMPLETE.search(line):
            break
    amqp, http = _AMQP.search(said), _HTTP.search(said)
    assert amqp is not None, said
    return Target(f"amqp://guest:guest@127.0.0.1:{amqp[1]}/", f"http://127.0.0.1:{http[1]}" if http else "")
