"""The routes that RabbitMQ 4.3.6 serves, and the one that a call belongs to."""

import functools
import re
from pathlib import Path

from conformance.api.call import Call

FILE = Path(__file__).with_name("routes.txt")

#: What belongs to no route: another path, or a method that the path does not have.
OTHER = "(no route)"


@functools.cache
def routes() -> dict[str, list[str]]:
    """Path below /api, or from the root, with `:name` for variable segments -> methods."""
    lines = [line.split() for line in FILE.read_text().splitlines() if line]
    return {path: methods.split(",") for methods, path in lines}


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Patterns of all paths; those with fewer variable segments come first."""
    ordered = sorted(routes(), key=lambda path: (path.count(":"), path))
    return [(re.compile(re.sub(r":\w+", "[^/]+", re.escape(path))), path) for path in ordered]


def route_of(call: Call) -> str:
    """The method and path template of the call; HEAD belongs to GET."""
    path = call.path.partition("?")[0]
    method = "GET" if call.method == "HEAD" else call.method
    for pattern, template in _patterns():
        if pattern.fullmatch(path) and method in routes()[template]:
            return f"{method} {template}"
    return OTHER
