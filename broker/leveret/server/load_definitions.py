"""Import definitions at start, from a file or a directory of files (docs: definitions#import-on-boot)."""

from __future__ import annotations

import hashlib
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from leveret.engine.broker import Broker
from leveret.engine.definitions import DefinitionsError, count, import_steps
from leveret.engine.operations import INTERNAL_CALLER
from leveret.management.importing import Target, import_everywhere
from leveret.progress import Report, unwatched
from leveret.server.log import log

#: The global parameter that holds the hash of the last import.
IMPORTED = "imported_definition_hash_value"


def load(broker: Broker, place: str, report: Report = unwatched) -> None:
    """Import a file, or the files of a directory sorted by name; with `skip_unchanged_definitions` only if they are not
    those of the last import (rabbit_definitions_hashing). `report`: gets the progress.

    Raises `DefinitionsError`, which names the file.
    """
    found = list(documents(place))
    digest = _digest(document for _, document in found)
    if _is_known(broker, digest):
        return
    for file, document in found:
        log.info("Importing definitions from %s", file)
        _load_one(broker, file, document, report)
    _note(broker, digest)


async def load_everywhere(target: Target, place: str, report: Report = unwatched) -> None:
    """`load` on a node of a cluster that serves already: each owner gets its part.

    Raises `DefinitionsError`, which names the file.
    """
    found, broker = list(documents(place)), target.broker
    digest = _digest(document for _, document in found)
    if _is_known(broker, digest):
        return
    for file, document in found:
        log.info("Importing definitions from %s", file)
        await _load_one_everywhere(target, file, document, report)
    _note(broker, digest)
    await target.settled()


def _digest(found: Iterable[object]) -> str:
    return hashlib.sha256(msgspec.json.encode(list(found), order="deterministic")).hexdigest()


def _is_known(broker: Broker, digest: str) -> bool:
    """Whether definitions are those of the last import, which is not to be repeated."""
    known = broker.global_parameters.get(IMPORTED) == digest
    if not (known and broker.settings.server.skip_unchanged_definitions):
        return False
    log.info("Submitted definition content hash matches the stored one, will skip importing definitions")
    return True


def _note(broker: Broker, digest: str) -> None:
    if broker.settings.server.skip_unchanged_definitions:
        broker.set_global_parameter(IMPORTED, digest)


def documents(place: str) -> Iterator[tuple[Path, object]]:
    """Yield the files and the JSON in them; a file without content is one without definitions, as in RabbitMQ. Raises
    `DefinitionsError`, which names the file."""
    path = Path(place)
    try:
        files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
        for file in files:
            text = file.read_bytes()
            yield file, msgspec.json.decode(text.removeprefix(BOM_UTF8)) if text else {}
    except OSError as error:
        raise DefinitionsError(f"{error.filename}: cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DefinitionsError(f"{file}: is not JSON: {error}") from None


def _load_one(broker: Broker, file: Path, document: object, report: Report) -> None:
    warnings: list[str] = []
    total = count(document)
    try:
        for done, _ in enumerate(import_steps(broker, document, INTERNAL_CALLER, None, warnings)):
            if done < total:  # there are more steps than objects
                report(f"Importing {file.name}", done, total)
        report(f"Importing {file.name}", total, total)
    except DefinitionsError as error:
        raise DefinitionsError(f"{file}: {error}") from None
    for warning in warnings:
        log.warning("%s", warning)


async def _load_one_everywhere(target: Target, file: Path, document: object, report: Report) -> None:
    warnings: list[str] = []
    total = count(document)
    done = iter(range(1, total + 1))
    try:
        await import_everywhere(
            target,
            document,
            INTERNAL_CALLER,
            warnings=warnings,
            done=lambda: report(f"Importing {file.name}", next(done, total), total),
        )
        report(f"Importing {file.name}", total, total)
    except DefinitionsError as error:
        raise DefinitionsError(f"{file}: {error}") from None
    for warning in warnings:
        log.warning("%s", warning)
