"""The examples of README.md and docs/testing.md that are tests run as printed, in a session of pytest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .test_plugin import outcomes, run

ROOT = Path(__file__).resolve().parents[2]

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("page", "count"), [("README.md", 4), ("docs/testing.md", 9)])
def test_the_examples_pass(tmp_path: Path, page: str, count: int) -> None:
    blocks = _BLOCK.findall((ROOT / page).read_text("utf-8"))
    source = "\n\n".join(block for block in blocks if "def test_" in block)
    plugins = 'pytest_plugins = ["celery.contrib.pytest", "leveret.testing.celery"]\n'
    (tmp_path / "conftest.py").write_text(plugins)
    output = run(tmp_path, source, "-p", "no:celery")
    found = outcomes(output)
    assert len(found) == count and set(found.values()) == {"PASSED"}, output


def test_the_example_of_the_readme_fails_as_it_says(tmp_path: Path) -> None:
    blocks = _BLOCK.findall((ROOT / "README.md").read_text("utf-8"))
    (source,) = [block for block in blocks if "test_an_order_is_announced" in block]
    source = source.replace('"eu.new"', '"us.new"').split("    assert rabbitmq")[0]
    output = run(tmp_path, source)
    assert outcomes(output) == {"test_an_order_is_announced": "FAILED"}, output
    assert (
        "queue 'eu-orders' is bound to exchange 'orders' with pattern 'eu.#', which does not match the key"
        in output
    )
