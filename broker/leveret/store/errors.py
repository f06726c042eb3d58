"""Errors that stop the start of a broker on a data directory. Each text names the file and what to do."""

from __future__ import annotations

import os
from pathlib import Path


class StoreError(Exception):
    """The data directory cannot be used as it is. Nothing in it was changed."""


def damaged(path: Path, offset: int, what: str) -> StoreError:
    """A file does not match its checksum."""
    return StoreError(
        f"{path} is damaged at octet {offset}: {what}. Nothing was changed. Restore the file from a backup, or move "
        "the whole data directory away to start with an empty one."
    )


def missing(path: Path) -> StoreError:
    """A file is missing."""
    return StoreError(
        f"{path} is missing. Nothing was changed. Restore the file from a backup, or move the whole data directory "
        "away to start with an empty one."
    )


def foreign(path: Path, what: str) -> StoreError:
    """A file that Leveret did not write."""
    return StoreError(
        f"{path} {what}. Nothing was changed. Move the file away, or name another data directory."
    )


def locked(path: Path, owner: str) -> StoreError:
    """Another broker uses the data directory."""
    return StoreError(
        f"{path} is locked: another broker{owner} uses this data directory. Stop it, or name another directory."
    )


def newer(path: Path, found: int, known: int) -> StoreError:
    """A file was written by a later version."""
    return StoreError(
        f"{path} has format {found}, but this version of Leveret reads formats up to {known}. Nothing was changed. "
        "Run the version that wrote it, or a later one."
    )


def refused(path: Path, what: str, why: str) -> StoreError:
    """The profile refuses an object that is in the catalogue."""
    return StoreError(
        f"{path} contains an object that this profile refuses: {what}: {why}. Nothing was changed. Start with the "
        "profile that it was created with, or delete it there first."
    )


def unreadable(path: Path, error: Exception) -> StoreError:
    """The operating system or SQLite reports an error."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return StoreError(
        f"{path} cannot be used: {why}. Nothing was changed. Check its permissions and the disk, restore it from a "
        "backup, or name another data directory."
    )


def older(path: Path, found: int, known: int) -> StoreError:
    """The catalogue is an older copy."""
    return StoreError(
        f"{path} is older than the files beside it: it was written {found} times, they know of {known}. "
        f"Its write-ahead log ({path.name}-wal) was taken away, or an older copy was put in its place. Nothing was "
        "changed. Restore the newest one with its write-ahead log, or the whole data directory as it was at one time."
    )


def check_number(path: Path, found: int, next_number: int) -> None:
    """Check that the catalogue has given the number of a queue whose messages are beside it: its record is written
    before the first message. Raises `StoreError`."""
    if found >= next_number:
        raise StoreError(
            f"{path} is older than the files beside it: they have messages of queue number {found}, and it has given "
            f"no number from {next_number} on. An older copy was put in its place, or the directory was copied while a "
            "broker used it. Nothing was changed. Restore the whole data directory as it was at one time."
        )


def check_folder(path: Path) -> None:
    """Check that `path` is a folder, or does not exist. Raises `StoreError`."""
    try:
        if path.is_dir():
            return
        there = os.path.lexists(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if there:
        what = "is a symbolic link that leads to no folder" if path.is_symlink() else "is a file"
        raise StoreError(
            f"{path} {what}, where a folder belongs. Nothing was changed. Restore the folder from a backup, or name "
            "another data directory."
        )


def listing(path: Path) -> list[Path]:
    """Return the sorted contents of a folder; nothing if there is none. Raises `StoreError`."""
    check_folder(path)
    try:
        return sorted(path.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(path, error) from error
