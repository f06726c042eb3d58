"""A served broker with a data directory, the load on it, and its measurements."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from conformance.stage import Target
from tests.hang import HANG_SECONDS
from tests.soak.load import Load
from tests.soak.measure import Sample, sample

ROOT = Path(__file__).resolve().parents[2]
_AMQP = re.compile(r"started TCP listener on 127\.0\.0\.1:(\d+)")
_HTTP = re.compile(r"Management plugin: HTTP \(non-TLS\) listener started on port (\d+)")
_METRICS = re.compile(r"Prometheus metrics: HTTP \(non-TLS\) listener started on port (\d+)")


class SoakRun:
    """One broker. `module`: what to serve, as for `python -m`."""

    def __init__(self, place: Path, module: str = "leveret") -> None:
        self.place = place
        self.log = place / "log"
        command = [
            sys.executable,
            "-m",
            module,
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--http-port",
            "0",
        ]
        command += ["--prometheus-port", "0", "--data-dir", str(place / "data")]
        path = os.pathsep.join(filter(None, (str(ROOT / "broker"), os.environ.get("PYTHONPATH", ""))))
        # Without LEVERET_CHECK, as a broker is served.
        known = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "LEVERET_CHECK": "0"}
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, env=known, stdout=out, stderr=out)
        self.load = Load(*self._target())
        self.samples: list[Sample] = []

    def _target(self) -> tuple[Target, str]:
        end = time.monotonic() + HANG_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            said = self.log.read_text(errors="replace")
            found = [pattern.search(said) for pattern in (_AMQP, _HTTP, _METRICS)]
            if "Server startup complete" in said:
                amqp, http, metrics = (match[1] for match in found if match is not None)
                target = Target(f"amqp://guest:guest@127.0.0.1:{amqp}/", f"http://127.0.0.1:{http}")
                return target, f"127.0.0.1:{metrics}"
            time.sleep(0.05)
        self.close()
        raise AssertionError(self.log.read_text(errors="replace"))

    def run(self, more: Callable[[int], bool]) -> list[Sample]:
        """Do rounds while `more` is true of their number; returns a sample of each."""
        while more(len(self.samples)):
            self.load.round()
            self.samples.append(sample(self.process.pid))
        return self.samples

    def faults(self) -> list[str]:
        """Return lines of the log that must not be there."""
        said = self.log.read_text(errors="replace").splitlines()
        return [line for line in said if "internal error" in line or "Traceback" in line]

    def close(self) -> int:
        """Stop it with SIGTERM; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(HANG_SECONDS)
