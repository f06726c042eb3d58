"""The words of the glossary hold: retired ones are no names, and the worst of them no prose either.

The rule stands once, in the last column of `docs/glossary.md`: a word in `code type` may not be a whole name in the
code, one in *italics* may not be a part of a name, nor a word in docstrings, comments and pages. Commit subjects made
since the rule came are at most 72 characters long. Usage: python .ci/words.py
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"

#: Characters of a commit subject.
SUBJECT_LENGTH = 72

#: Not read: recorded answers, what runs inside other projects, and the page that names the retired words.
SKIPPED = re.compile(r"conformance/(golden|suites/inside)/|docs/glossary\.md|tests/test_words\.py")

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


class Retired(NamedTuple):
    """Words that are not used any more: as `names`, and as `words` anywhere."""

    names: frozenset[str]
    words: frozenset[str]


class Finding(NamedTuple):
    """A retired word and where it stands."""

    path: str
    line: int
    word: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word} is retired (docs/glossary.md)"


def retired(glossary: str) -> Retired:
    """What the last column of the glossary's tables retires."""
    cells = [
        row.rstrip().removesuffix("|").rpartition("|")[2]
        for row in glossary.splitlines()
        if row.startswith("|")
    ]
    names = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    words = {word.lower() for cell in cells for word in re.findall(r"\*(\w+)\*", cell)}
    return Retired(frozenset(names), frozenset(words))


def check_python(path: str, text: str, banned: Retired) -> Iterator[Finding]:
    """Retired words in a Python file. The names of tests are sentences: they are prose."""
    before = ""
    statement = True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            if token.string.startswith("test_") and before == "def":
                yield from _prose(path, token.start[0], token.string.replace("_", " "), banned)
            else:
                yield from _name(path, token.start[0], token.string, banned)
        elif token.type == tokenize.COMMENT or (token.type == tokenize.STRING and statement):
            yield from _prose(path, token.start[0], token.string, banned)
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            statement = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
            before = token.string


def check_declarations(path: str, text: str, banned: Retired) -> Iterator[Finding]:
    """Retired words in a `.pxd` file."""
    for number, line in enumerate(text.splitlines(), 1):
        for name in re.findall(r"[A-Za-z_]\w*", line.partition("#")[0]):
            yield from _name(path, number, name, banned)


def check_page(path: str, text: str, banned: Retired) -> Iterator[Finding]:
    """Retired words in a page, and names in its code type."""
    yield from _prose(path, 1, text, banned)


def _name(path: str, line: int, name: str, banned: Retired) -> Iterator[Finding]:
    bare = name.strip("_")
    if bare in banned.names or banned.words & {part.lower() for part in _PART.findall(bare)}:
        yield Finding(path, line, name)


def _prose(path: str, line: int, text: str, banned: Retired) -> Iterator[Finding]:
    for offset, one in enumerate(text.splitlines()):
        for word in re.findall(r"[A-Za-z]+", one):
            if word.lower() in banned.words:
                yield Finding(path, line + offset, word)


def check_file(path: str, text: str, banned: Retired) -> Iterator[Finding]:
    """Retired words in a file of the repository, as far as it is one to read."""
    if SKIPPED.match(path):
        return
    if path.endswith((".py", ".pyi")):
        yield from check_python(path, text, banned)
    elif path.endswith(".pxd"):
        yield from check_declarations(path, text, banned)
    elif path.endswith(".md"):
        yield from check_page(path, text, banned)


def long_subjects(subjects: str) -> list[str]:
    """Subjects that are too long, of lines `<commit> <subject>`."""
    found = []
    for line in subjects.splitlines():
        _, _, subject = line.partition(" ")
        if len(subject) > SUBJECT_LENGTH and not subject.startswith("Merge "):
            found.append(f"{line[:12]}: a subject of {len(subject)} characters; {SUBJECT_LENGTH} are enough")
    return found


def _git(*arguments: str) -> str:
    """Empty where there is no git, no repository or no such commit."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def recent_subjects() -> str:
    """The subjects of commits made since this file is there; none where the history does not reach back so far."""
    if _git("rev-parse", "--is-shallow-repository").strip() != "false":
        return ""
    added = _git("log", "--diff-filter=A", "--format=%H", "--", ".ci/words.py").split()
    return _git("log", "--format=%h %s", f"{added[-1]}..HEAD") if added else ""


def files() -> list[str]:
    """What is in the repository, or lies in its folders where there is no git."""
    listed = _git("ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    if listed:
        return [path for path in listed if (ROOT / path).is_file()]
    folders = ("broker", "tests", "conformance", "benchmarks", "examples", "docs")
    return [
        str(path.relative_to(ROOT))
        for one in folders
        for path in sorted((ROOT / one).rglob("*"))
        if path.is_file()
    ]


def main() -> int:
    """Print what is found; the exit status says whether anything was."""
    banned = retired(GLOSSARY.read_text())
    found = [
        str(finding)
        for path in files()
        if path.endswith((".py", ".pyi", ".pxd", ".md"))
        for finding in check_file(path, (ROOT / path).read_text(), banned)
    ]
    found += long_subjects(recent_subjects())
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
