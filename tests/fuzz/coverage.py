"""Coverage-guided fuzzing of one target: `python -m tests.fuzz.coverage TARGET [libFuzzer's options]`.

Needs atheris (`make .venv/fuzz`), which sees only Python code: the broker runs uncompiled.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
from pathlib import Path

from tests.fuzz.seeds import SEEDS


def main() -> None:
    """Entry point."""
    name, options = sys.argv[1], sys.argv[2:]
    os.environ.update(LEVERET_PURE="1", LEVERET_CHECK="1")
    logging.getLogger("leveret").setLevel(logging.CRITICAL)
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["leveret"]):
        targets = importlib.import_module("tests.fuzz.targets")
    with tempfile.TemporaryDirectory(prefix="leveret-fuzz-") as place:
        for number, seed in enumerate(SEEDS[name]):
            (Path(place) / str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], *options, "-timeout=60", "-max_len=4096", place], targets.TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
