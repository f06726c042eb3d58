"""The test suite of rabbit-hole, the client of the management API in Go: each of its specifications, passed or not."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from conformance.api.call import Answer
from conformance.api.client import Client
from conformance.stage import Target
from conformance.suites.pins import GO_MODULES
from conformance.suites.sources import SourceError

MODULE = "github.com/michaelklishin/rabbit-hole/v3"

#: The virtual host that the suite's own scripts make.
VHOST = "rabbit%2Fhole"

#: Specifications follow each other in an order by chance: the same on both brokers.
SEED = 1

#: How long the suite may take, with compiling it.
SECONDS = 900.0

Answers = Mapping[str, Answer]


def available() -> bool:
    """Whether Go is installed."""
    return shutil.which("go") is not None


def install(cache: Path) -> Path:
    """Fetch the module and return the folder of its sources, which are not to be changed. Raises SourceError."""
    named = f"{MODULE}@{GO_MODULES[MODULE]}"
    done = subprocess.run(
        ["go", "mod", "download", "-json", named], cwd=cache, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SourceError(f"{named}: {done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


def play(target: Target, client: Client, folder: Path, sources: Path) -> Answers:
    """Each specification and its state on one broker. Raises RuntimeError if the suite does not run."""
    client.ask("PUT", f"vhosts/{VHOST}", {})
    client.ask("PUT", f"permissions/{VHOST}/guest", {"configure": ".*", "write": ".*", "read": ".*"})
    place = folder / f"rabbit-hole-{target.http_address[1]}"
    shutil.copytree(sources, place, copy_function=shutil.copyfile)
    for each in (place, *place.rglob("*/")):
        each.chmod(0o755)
    http, amqp = (f"{host}:{port}" for host, port in (target.http_address, target.address))
    for file in place.glob("*_test.go"):
        text = file.read_text().replace("127.0.0.1:15672", http).replace("@localhost:5672", f"@{amqp}")
        file.write_text(text)
    report = place / "report.json"
    done = subprocess.run(
        ["go", "test", "-count=1", f"-ginkgo.seed={SEED}", f"-ginkgo.json-report={report}", "."],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if not report.exists():
        raise RuntimeError(f"rabbit-hole: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return {
        " ".join([*spec["ContainerHierarchyTexts"], spec["LeafNodeText"]]): Answer(0, "", {}, spec["State"])
        for suite in json.loads(report.read_text())
        for spec in suite["SpecReports"]
        if spec["LeafNodeType"] == "It"
    }
