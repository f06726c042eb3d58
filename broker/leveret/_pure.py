"""Loads the hot path uncompiled, although there are compiled modules beside the sources."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

_PACKAGE = Path(__file__).parent


class SourceFinder(importlib.abc.MetaPathFinder):
    """Finds `leveret.*` modules with a `.pxd` as plain source files, before extension modules are searched."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a hot path module's source file; None for all others."""
        first, _, rest = fullname.partition(".")
        if first != "leveret" or not rest:
            return None
        source = _PACKAGE.joinpath(*rest.split(".")).with_suffix(".py")
        if not source.with_suffix(".pxd").exists():
            return None
        return importlib.util.spec_from_file_location(fullname, source)


def install() -> None:
    """Put the finder before all others."""
    sys.meta_path.insert(0, SourceFinder())
