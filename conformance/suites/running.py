"""Runs a suite on a broker and records the outcome of each test."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from conformance.suites import environments, sources
from conformance.suites.suite import Broker, Suite

INSIDE = Path(__file__).resolve().parent / "inside"
#: How often tests that do not pass are run again, alone: a suite may have tests that depend on the machine's speed.
AGAIN = 2
#: Option of pytest-timeout that ends a test which hangs.
TIME_LIMIT = ("--timeout={seconds}",)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a test: `passed`, `failed` or `skipped`, and why."""

    word: str
    why: str = ""


Outcomes = dict[str, Outcome]


class SuiteError(Exception):
    """A suite did not run."""


def fetch(suite: Suite, cache: Path) -> None:
    """Get sources and environment, which both brokers share. Raises SourceError."""
    sources.unpacked(suite, cache)
    if suite.registry != "npm":
        environments.python(suite, cache)


def run(suite: Suite, broker: Broker, cache: Path, redis: str = "") -> Outcomes:
    """Return every test's outcome on a broker. Raises SourceError, SuiteError."""
    found = _once(suite, broker, cache, redis, ())
    for _ in range(AGAIN):
        failed = tuple(test for test, each in found.items() if each.word == "failed")
        if not failed:
            break
        found |= {
            test: each for test, each in _once(suite, broker, cache, redis, failed).items() if test in failed
        }
    return found


def keep(suite: Suite, broker: str, found: Outcomes, cache: Path) -> None:
    """Keep the outcomes of a run for the table."""
    given = {test: [each.word, each.why] for test, each in found.items()}
    path = _kept(suite, broker, cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(given, indent=0))


def last(suite: Suite, broker: str, cache: Path) -> Outcomes:
    """Return the outcomes of the last run of this version of a suite; empty if there was none."""
    path = _kept(suite, broker, cache)
    if not path.exists():
        return {}
    return {test: Outcome(*each) for test, each in json.loads(path.read_text()).items()}


def _kept(suite: Suite, broker: str, cache: Path) -> Path:
    return cache / "outcomes" / f"{suite.name}-{suite.version}-{broker}.json"


def _once(suite: Suite, broker: Broker, cache: Path, redis: str, wanted: tuple[str, ...]) -> Outcomes:
    place = _prepared(suite, broker, cache)
    again = ".again" if wanted else ""
    report = cache / "reports" / f"{suite.name}-{broker.name}{again}.jsonl"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    run_by = _node if suite.registry == "npm" else _pytest
    command, environment = run_by(suite, cache, report, wanted)
    environment |= {
        key: broker.fill(value).replace("$REDIS", redis) for key, value in suite.environment.items()
    }
    log = report.with_suffix(".log")
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=place,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        # Those that are run again get the time of one test, together.
        limit = suite.each if wanted else suite.seconds
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            out.write(f"\nnot over after {limit} s\n")
        finally:
            _end(process)
    found = _read(report) if report.exists() else {}
    if not wanted and all(each.word != "passed" for each in found.values()):
        raise SuiteError(f"{suite.name} on {broker.name}: no test passed, see {log}")
    return {test: each for test, each in found.items() if not suite.leaves_out(test)}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End processes that the suite has left running; they are in a session of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _prepared(suite: Suite, broker: Broker, cache: Path) -> Path:
    """Make a copy of the sources with the address of the broker."""
    place = cache / "work" / f"{suite.name}-{broker.name}"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(sources.unpacked(suite, cache), place)
    for edit in suite.edits:
        path = place / edit.path
        text = path.read_text()
        if edit.old not in text:
            raise SuiteError(f"{suite.name} {suite.version}: no {edit.old!r} in {edit.path}")
        path.write_text(text.replace(edit.old, broker.fill(edit.new)))
    for name, text in suite.files.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(broker.fill(text))
    return place


def _pytest(
    suite: Suite, cache: Path, report: Path, wanted: tuple[str, ...]
) -> tuple[list[str], dict[str, str]]:
    interpreter = environments.python(suite, cache)
    command = [str(interpreter), "-m", "pytest", "-p", "outcomes"]
    limit = [each.format(seconds=suite.each) for each in TIME_LIMIT]
    options = [*limit, "-p", "no:cacheprovider", "--tb=short", "-q"]
    environment = {
        "PATH": f"{interpreter.parent}{os.pathsep}{os.environ['PATH']}",  # some suites start what they have installed
        "PYTHONPATH": str(INSIDE),
        "SUITES_OUTCOMES": str(report.absolute()),
        "SUITES_LEFT_OUT": json.dumps(list(suite.left_out)),
        "SUITES_WANTED": json.dumps(wanted),
    }
    return [*command, *options, *suite.tests], environment


def _node(
    suite: Suite, cache: Path, report: Path, wanted: tuple[str, ...]
) -> tuple[list[str], dict[str, str]]:
    # Node has no way to name single tests: their files are run again.
    files = sorted({f"test/{test.split(' > ')[0]}" for test in wanted}) or list(suite.tests)
    reporters = [
        *(f"--test-reporter={INSIDE / 'outcomes.mjs'}", f"--test-reporter-destination={report.absolute()}"),
        *("--test-reporter=spec", "--test-reporter-destination=stdout"),
    ]
    limits = ["--test-concurrency=1", f"--test-timeout={suite.each * 1000}"]
    return ["node", "--test", *limits, *reporters, *files], {}


def _read(report: Path) -> Outcomes:
    found: Outcomes = {}
    for line in report.read_text().splitlines():
        each = json.loads(line)
        found[each["test"]] = Outcome(each["outcome"], each["why"])
    return found
