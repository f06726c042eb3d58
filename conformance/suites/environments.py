"""A virtual environment for each suite, because their versions of pytest differ."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from conformance.suites.sources import SourceError
from conformance.suites.suite import Suite


def python(suite: Suite, cache: Path) -> Path:
    """Return the interpreter with the suite's package and its requirements; it is made again when its pins change."""
    wanted = [f"{suite.name}=={suite.version}", *suite.needs]
    mark = hashlib.sha256("\n".join([sys.version, *wanted]).encode()).hexdigest()
    place = cache / "environments" / suite.name
    interpreter, stamp = place / "bin/python", place / "complete"
    if stamp.exists() and stamp.read_text() == mark:
        return interpreter
    venv.create(place, with_pip=True, clear=True)
    pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *wanted], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise SourceError(f"{suite.name}: {done.stderr.strip()[-600:]}")
    stamp.write_text(mark)
    return interpreter
