"""`make fuzz`: random conversations on a broker compiled with sanitizers; exit status 1 if something was found.

A finding is shrunk and written to tests/fuzz/corpus/; `make test` plays it from then on. If atheris is installed, part
of the time is used for coverage-guided fuzzing of parsers and recovery (`coverage.py`).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz import events
from tests.fuzz.seeds import SEEDS

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).parent / "corpus"

#: Findings after which there is no point in going on.
FINDINGS = 10

#: Seconds beyond its time that a worker may take for the conversation it is playing: 25 hours of virtual time with all
#: checks take 3 s of CPU, ten times as many with sanitizers, and ten times that on a busy machine.
GRACE_S = 600

#: Seconds in which a finding is made shorter.
SHRINK_S = 900

#: Share of the time for coverage-guided fuzzing, where that is there.
COVERAGE_SHARE = 0.25

_FOUND = re.compile(r"^FOUND (\d+) (.*)$", re.MULTILINE)
_DONE = re.compile(r"^DONE (\d+) (.*)$", re.MULTILINE)
_SANITIZER = re.compile(r"(?:ERROR: AddressSanitizer: |runtime error: )(.*)")


def environment(package: Path | None) -> dict[str, str]:
    """The environment of a worker. A package compiled with sanitizers needs their libraries to be loaded first."""
    found = {**os.environ, "LEVERET_CHECK": "1", "PYTHONHASHSEED": "0", "PYTHONFAULTHANDLER": "1"}
    if package is None:
        return found
    names = [_library(name) for name in ("libasan.so", "libubsan.so")]
    return found | {
        "PYTHONPATH": str(package.resolve()),
        "LD_PRELOAD": " ".join(names),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:handle_segv=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",
    }


def _library(name: str) -> str:
    compiler = os.environ.get("CC", "gcc").split()[0]
    done = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Campaign:
    """A run of the fuzzer. `package`: the directory of the package to fuzz; None for the installed one."""

    def __init__(self, package: Path | None, corpus: Path) -> None:
        self.package = package
        self.corpus = corpus
        self.environment = environment(package)
        self.findings: list[str] = []
        self.folder = tempfile.TemporaryDirectory(prefix="leveret-fuzz-")
        self.file = Path(self.folder.name) / "current"

    def _worker(self, *arguments: str, timeout: float) -> tuple[int, str]:
        """Run a worker; returns its exit status and output, and 124 if it hangs."""
        package = [] if self.package is None else ["--package", str(self.package)]
        command = [sys.executable, "-m", "tests.fuzz.worker", "--file", str(self.file), *package, *arguments]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=self.environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            return 124, "the worker hangs"
        return done.returncode, done.stdout + done.stderr

    def conversations(self, seed: int, seconds: float, most: int) -> None:
        """Play conversations from `seed` on for so many seconds; at most `most` of them, if that is not 0."""
        end, first = time.monotonic() + seconds, seed
        while (left := end - time.monotonic()) > 0 and len(self.findings) < FINDINGS:
            if most and seed >= first + most:
                break
            count = ["--conversations", str(first + most - seed)] if most else []
            began = ["--seed", str(seed), "--seconds", str(left), *count]
            status, said = self._worker(*began, timeout=left + GRACE_S)
            done = _DONE.search(said)
            if status == 0 and done is not None:
                print(f"seeds {seed} to {int(done[1]) - 1}: {done[2]}", flush=True)
                seed = int(done[1])
                continue
            seed = self._found(status, said) + 1

    def _found(self, status: int, said: str) -> int:
        """Write down what a worker found; returns the seed that found it."""
        python, sanitizer = _FOUND.search(said), _SANITIZER.search(said)
        what = (
            python[2]
            if python
            else sanitizer[1]
            if sanitizer
            else f"the worker has ended with status {status}"
        )
        self.findings.append(what)
        case = events.read(self.file)
        print(f"{said[-6000:]}\nFOUND, seed {case.seed}: {what}", flush=True)
        path = self.corpus / f"{hashlib.sha256(what.encode()).hexdigest()[:12]}.json"
        self._worker("--shrink", str(path), timeout=SHRINK_S)
        if not path.exists():
            events.write(case, path)
        shorter = events.read(path)
        print(f"{path}: {len(shorter.events)} of {len(case.events)} events", flush=True)
        for event in shorter.events:
            print(f"  {str(event)[:300]}")
        return case.seed

    def coverage(self, seconds: float, seed: int) -> None:
        """Fuzz the targets guided by coverage. Atheris has its own sanitizer, so the normal build is used."""
        for target in SEEDS:
            command = [
                sys.executable,
                "-m",
                "tests.fuzz.coverage",
                target,
                f"-max_total_time={int(seconds / len(SEEDS))}",
            ]
            command += [
                f"-seed={seed or 1}",
                f"-artifact_prefix={self.corpus}/{target}-",
                "-print_final_stats=1",
            ]
            done = subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, "LEVERET_PURE": "1"},
                capture_output=True,
                text=True,
                errors="replace",
            )
            runs = re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)
            print(
                f"coverage-guided, {target}: {runs[1] if runs else 0} inputs, status {done.returncode}",
                flush=True,
            )
            if done.returncode:
                self.findings.append(f"{target}: status {done.returncode}")
                print((done.stdout + done.stderr)[-6000:])


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    parser.add_argument("--conversations", type=int, default=0, help="end after so many")
    parser.add_argument("--package", type=Path, help="a package that is compiled with sanitizers")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="where findings are written")
    parser.add_argument("--no-coverage", action="store_true", help="no coverage-guided fuzzing")
    parser.add_argument("--replay", type=Path, help="play one file of the corpus")
    chosen = parser.parse_args()
    campaign = Campaign(chosen.package, chosen.corpus)
    if chosen.replay is not None:
        from tests.fuzz.conversation import replay

        replay(events.read(chosen.replay), lambda event: print(event, flush=True))
        return 0
    print(f"seed {chosen.seed}", flush=True)
    guided = not chosen.no_coverage and find_spec("atheris") is not None
    if not guided and not chosen.no_coverage:
        print("atheris is not installed (make .venv/fuzz): no coverage-guided fuzzing", flush=True)
    share = COVERAGE_SHARE if guided else 0
    campaign.conversations(chosen.seed, chosen.seconds * (1 - share), chosen.conversations)
    if guided:
        campaign.coverage(chosen.seconds * share, chosen.seed % 2**31)
    print(f"{len(campaign.findings)} findings")
    return 1 if campaign.findings else 0


if __name__ == "__main__":
    sys.exit(main())
