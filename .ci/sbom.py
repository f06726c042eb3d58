"""Print what the package contains and needs as a CycloneDX 1.5 document: the libraries in the management page, with the
versions of `page/package-lock.json`, and the Python packages that are installed for it. Usage: python .ci/sbom.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

Component = dict[str, object]


def component(kind: str, name: str, version: str, licence: str) -> Component:
    """A library."""
    found: Component = {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:{kind}/{name}@{version}",
    }
    return found | ({"licenses": [{"license": {"name": licence}}]} if licence else {})


def bundled() -> Iterator[Component]:
    """What is in the management page."""
    lock = json.loads((ROOT / "page" / "package-lock.json").read_text("utf-8"))
    for name in lock["packages"][""]["dependencies"]:
        package = lock["packages"][f"node_modules/{name}"]
        yield component("npm", name, package["version"], package.get("license", ""))


def needed(name: str, seen: set[str]) -> Iterator[Component]:
    """What a distribution needs to run, and what that needs."""
    for requirement in metadata.requires(name) or ():
        wanted = re.match(r"[\w.-]+", requirement)
        if wanted is None or "extra ==" in requirement or wanted[0].lower() in seen:
            continue
        seen.add(wanted[0].lower())
        try:
            found = metadata.metadata(wanted[0])
        except metadata.PackageNotFoundError:  # for another platform
            continue
        licence = found.get("License-Expression") or (found.get("License") or "").partition("\n")[0]
        yield component("pypi", found["Name"].lower(), found["Version"], licence)
        yield from needed(wanted[0], seen)


def main() -> None:
    components = [*bundled(), *needed("leveret", set())]
    about = component("pypi", "leveret", metadata.version("leveret"), "Apache-2.0") | {"type": "application"}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": about},
        "components": components,
    }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
