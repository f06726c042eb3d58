"""Import definitions at start, from a file or a directory of files (docs: definitions#import-on-boot)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from leveret.engine.broker import Broker
from leveret.engine.definitions import DefinitionsError, import_definitions
from leveret.server.log import log


def load(broker: Broker, place: str) -> None:
    """Import a file, or the files of a directory sorted by name.

    Raises `DefinitionsError`, which names the file.
    """
    path = Path(place)
    try:
        files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
        for file in files:
            log.info("Importing definitions from %s", file)
            _load_one(broker, file)
    except OSError as error:
        raise DefinitionsError(f"{error.filename}: cannot be read: {error.strerror}") from None


def _load_one(broker: Broker, file: Path) -> None:
    try:
        warnings = import_definitions(broker, msgspec.json.decode(file.read_bytes()))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DefinitionsError(f"{file}: is not JSON: {error}") from None
    except DefinitionsError as error:
        raise DefinitionsError(f"{file}: {error}") from None
    for warning in warnings:
        log.warning("%s", warning)
