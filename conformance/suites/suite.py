"""The description of a suite."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Registry = Literal["pypi", "debian", "npm"]


@dataclass(frozen=True)
class Broker:
    """A broker to run a suite on; the user is guest, the virtual host `/`. `http_port`: of its HTTP API."""

    name: str
    host: str
    port: int
    http_port: int = 15672

    def fill(self, text: str) -> str:
        """Replace `$HOST`, `$PORT` and `$HTTP` in a text of a suite."""
        ports = text.replace("$PORT", str(self.port)).replace("$HTTP", str(self.http_port))
        return ports.replace("$HOST", self.host)


@dataclass(frozen=True)
class Edit:
    """A place in the unpacked sources with the address of the broker; `new` may contain `$HOST` and `$PORT`."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Suite:
    """The test suite of a client.

    `package`: its name in the registry if that is another one. `needs`: requirements for pip beside the package itself.
    `tests`: files to run and options of the runner. `left_out`: parts of test names, with the reason why they are not
    run. `edits` and `files` (path to text) are applied to the unpacked sources before each run. `seconds`: the time
    limit of a run, `each` that of a test. `redis`: whether the environment needs the port of a Redis, `$REDIS`.
    """

    name: str
    version: str
    registry: Registry
    tests: tuple[str, ...]
    package: str = ""
    needs: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    seconds: int = 1200
    each: int = 120
    redis: bool = False

    @property
    def carrier(self) -> str:
        """The package with the tests."""
        return self.package or self.name

    def leaves_out(self, test: str) -> bool:
        """Whether a test is not run."""
        return any(part in test for part in self.left_out)
