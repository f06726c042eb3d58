"""`leveret serve`: run a node until a signal stops it."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence

from leveret import __version__
from leveret.config import ConfigError, Settings, load


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="leveret", description="A self-hosted AMQP 0-9-1 broker that replaces RabbitMQ."
    )
    top.add_argument("--version", action="version", version=version())
    commands = top.add_subparsers(dest="command")
    serve = commands.add_parser("serve", help="run the broker (the default command)")
    for target in (top, serve):
        target.add_argument("--config", metavar="FILE", help="read settings from FILE (config.toml)")
        target.add_argument("--host", help="address to listen on (default: all addresses)")
        target.add_argument(
            "--port", type=int, help="AMQP port; 0: any free port, -1: no listener (default: 5672)"
        )
        target.add_argument(
            "--http-port", type=int, help="HTTP API port; 0: any free port, -1: no listener (default: 15672)"
        )
        target.add_argument(
            "--prometheus-port",
            type=int,
            help="Prometheus port; 0: any free port, -1: no listener (default: 15692)",
        )
        target.add_argument(
            "--data-dir", metavar="DIR", help="store durable queues and persistent messages in DIR"
        )
        target.add_argument(
            "--profile", metavar="VERSION", help="RabbitMQ version to behave like (default: 4.3)"
        )
    return top


def version() -> str:
    """Return the version, and whether the hot path is compiled."""
    return f"leveret {__version__} (hot path {'compiled' if compiled() else 'not compiled'})"


def compiled() -> bool:
    """Return whether the hot path runs compiled."""
    from leveret.session import channel

    return not str(channel.__file__).endswith(".py")


def overrides(options: argparse.Namespace) -> dict[str, object]:
    """Turn options into settings, `section.field` -> value."""
    found: dict[str, object] = {
        "server.port": options.port,
        "server.http_port": options.http_port,
        "server.prometheus_port": options.prometheus_port,
        "profile.version": options.profile,
    }
    if options.host is not None:
        found["server.host"] = [options.host]
    if options.http_port == 0 and options.prometheus_port is None:
        found["server.prometheus_port"] = 0
    if options.data_dir is not None:
        found["store.engine"] = "disk"
        found["store.data_dir"] = options.data_dir
    return {name: value for name, value in found.items() if value is not None}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        settings = load(options.config, overrides(options), os.environ)
    except ConfigError as error:
        print(f"leveret: {error}", file=sys.stderr)
        return 78  # EX_CONFIG
    return serve(settings)


def serve(settings: Settings) -> int:
    """Run a node with these settings; returns the exit code."""
    from leveret.engine.definitions import DefinitionsError
    from leveret.profiles import UnknownProfile
    from leveret.server.log import configure, log
    from leveret.store.errors import StoreError

    configure(settings.log.level, settings.log.categories)
    log.info("Starting %s as RabbitMQ %s", version(), settings.profile.version)
    for warning in settings.warnings:
        log.warning("%s", warning)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings))
    except UnknownProfile as error:
        print(f"leveret: {error}", file=sys.stderr)
        return 78
    except DefinitionsError as error:
        print(f"leveret: definitions: {error}", file=sys.stderr)
        return 78
    except StoreError as error:
        print(f"leveret: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"leveret: cannot listen: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    from leveret.server.node import Node

    node = Node(settings)
    node.stop_on_signals()
    await node.start()
    await node.run()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows has none
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    raise SystemExit(main())
