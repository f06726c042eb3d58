"""The check of retired words finds them, and nothing else."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

GLOSSARY = """
| Word | Meaning | Retired |
|---|---|---|
| requeue | Give a delivery back to `its queue`. | `put_back` |
| queue consumers | All consumers of a queue. | *lineup*, Entry.place |
"""


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("words", ROOT / ".ci" / "words.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["words"] = module
    spec.loader.exec_module(module)
    return module


words = _load()
BANNED = words.retired(GLOSSARY)


def found(path: str, text: str) -> list[tuple[int, str]]:
    return [(one.line, one.word) for one in words.check_file(path, text, BANNED)]


def test_retired_words_are_in_the_last_column() -> None:
    assert ({"put_back"}, {"lineup"}) == BANNED


@pytest.mark.parametrize(
    "text",
    [
        "queue.put_back(entries)",
        "def put_back(self): ...",
        "def _put_back(self): ...",
        "self.lineup = None",
        "class Lineup: ...",
        "class QuorumLineup: ...",
        "LINEUP_SIZE = 3",
        "def _old_lineup(): ...",
    ],
)
def test_retired_names_are_found(text: str) -> None:
    assert len(found("examples/a.py", text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "queue.put_back_entries(entries)",  # another name
        "entry.place",  # for readers of the glossary only
        "say('put_back')",  # a string is data
        "lineups = 1",  # no such word
        '"""Entries are put back."""',
    ],
)
def test_other_uses_are_allowed(text: str) -> None:
    assert found("examples/a.py", text) == []


def test_retired_names_in_declarations_are_found() -> None:
    text = "cdef class Queue:\n    cdef public list lineup  # the lineup\n"
    assert found("broker/leveret/queues/queue.pxd", text) == [(2, "lineup")]


def test_retired_words_in_prose_are_found() -> None:
    text = '"""The lineup.\n\nA Lineup."""\n\n# lineup\nx = "lineup"\n\n\ndef test_the_lineup():\n    pass\n'
    assert found("examples/a.py", text) == [(1, "lineup"), (3, "Lineup"), (5, "lineup"), (9, "lineup")]


def test_retired_words_in_pages_are_found() -> None:
    assert found("examples/README.md", "A queue.\n\nIts lineup.\n") == [(3, "lineup")]


@pytest.mark.parametrize(
    "path",
    [
        "broker/leveret/queues/a.py",
        "tests/queues/a.py",
        "conformance/a.py",
        "benchmarks/a.py",
        "setup.py",
        "stubs/a.pyi",
        "README.md",
    ],
)
def test_where_prose_is_read(path: str) -> None:
    assert found(path, "# The lineup.\n") == [(1, "lineup")]


def test_the_glossary_is_not_checked() -> None:
    assert found("docs/glossary.md", GLOSSARY) == []


def test_long_commit_subjects_are_found() -> None:
    subjects = "\n".join(["abc " + "x" * 72, "def " + "y" * 73, "123 Merge " + "z" * 80])
    assert [line.partition(":")[0] for line in words.long_subjects(subjects)] == ["def " + "y" * 8]


def test_a_checkout_without_history_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "ROOT", tmp_path)
    assert words.recent_subjects() == ""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("A lineup.")
    assert words.files() == ["docs/page.md"]


def test_the_repository_has_no_retired_words() -> None:
    done = subprocess.run([sys.executable, str(ROOT / ".ci" / "words.py")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
