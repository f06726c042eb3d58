"""`leveret config check`: read all settings as `leveret serve` does, and report every problem at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial

from leveret.config import ConfigError, Settings, load

#: Exit code for a wrong configuration (sysexits.h, EX_CONFIG), as of RabbitMQ's tools.
WRONG_CONFIGURATION = 78


def read(config: str | None, overrides: Mapping[str, object], environ: Mapping[str, str]) -> Settings | None:
    """Return the settings, or None after all problems were written to standard error."""
    try:
        return load(config, overrides, environ)
    except ConfigError as error:
        for line in str(error).splitlines():
            print(f"leveret: {line}", file=sys.stderr)
        return None


def check(config: str | None, overrides: Mapping[str, object], environ: Mapping[str, str]) -> int:
    """Report problems, warnings and files that were read; returns the exit code, 0 or 78.

    What is read at start and can be wrong too is looked at here: the profile must exist, the files of TLS must be
    usable, the file of definitions must be JSON, and authentication backends must find their keys and files.
    """
    settings = read(config, overrides, environ)
    if settings is None:
        return WRONG_CONFIGURATION
    known = _profile_is_known(settings.profile.version)
    right = [
        known,
        _tls_is_usable(settings),
        _definitions_are_json(settings.server.load_definitions),
        not known or _backends_are_usable(settings),
    ]
    if not all(right):
        return WRONG_CONFIGURATION
    for warning in settings.warnings:
        print(f"warning: {warning}")
    print(f"files read: {', '.join(settings.sources) or 'none'}")
    print("The configuration is valid.")
    return 0


def _profile_is_known(name: str) -> bool:
    from leveret.profiles import UnknownProfile, profile

    try:
        profile(name)
    except UnknownProfile as error:
        print(f"leveret: {error}", file=sys.stderr)
        return False
    return True


def _tls_is_usable(settings: Settings) -> bool:
    """Return whether each listener with TLS gets its context, as at start, and the connections between nodes do."""
    sections = {"tls": settings.tls, "management_tls": settings.management_tls}
    sections["prometheus_tls"] = settings.prometheus_tls
    served = {name: tls for name, tls in sections.items() if tls.port >= 0}
    if not served and not settings.cluster.certfile:
        return True  # OpenSSL is not loaded
    from leveret.server.tls import make_context
    from leveret.tls_settings import TlsError

    makers: list[Callable[[], object]] = []
    makers += [partial(make_context, tls, name) for name, tls in served.items()]
    if settings.cluster.certfile:
        from leveret.cluster.peer_tls import PeerTls

        makers.append(partial(PeerTls, settings.cluster))
    usable = True
    for make in makers:
        try:
            make()
        except TlsError as error:
            print(f"leveret: {error}", file=sys.stderr)
            usable = False
    return usable


def _backends_are_usable(settings: Settings) -> bool:
    """Return whether the authentication backends are made, as at start; nobody is asked."""
    if settings.access.backends == ("internal",):
        return True
    import asyncio

    from leveret.engine.broker import Broker
    from leveret.server.backends.chain import Chain
    from leveret.server.sockets import Edge
    from leveret.server.wall_clock import WallClock

    clock = WallClock()
    broker = Broker(settings, clock)
    loop = asyncio.new_event_loop()
    try:
        Chain(broker, Edge(broker, clock, loop)).make()
    except ConfigError as error:
        print(f"leveret: {error}", file=sys.stderr)
        return False
    finally:
        loop.close()
    return True


def _definitions_are_json(named: str) -> bool:
    from leveret.engine.definitions import DefinitionsError
    from leveret.server.load_definitions import documents

    try:
        list(documents(named) if named else ())
    except DefinitionsError as error:
        print(f"leveret: definitions: {error}", file=sys.stderr)
        return False
    return True
