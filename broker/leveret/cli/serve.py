"""`leveret serve`: run a node until a signal stops it."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from leveret import __version__
from leveret.cli import config_check
from leveret.cli import top as live_queues
from leveret.cli.names import OTHERS, TOOLS
from leveret.config import ConfigError, Settings
from leveret.progress import shown

if TYPE_CHECKING:
    from leveret.server.node import Node

#: The directory of the package, in which the build leaves why it is not compiled.
_PACKAGE = os.path.dirname(os.path.dirname(__file__))

#: Exit code for wrong arguments (sysexits.h, EX_USAGE).
WRONG_ARGUMENTS = 64


class _Parser(argparse.ArgumentParser):
    """Ends with the exit code of RabbitMQ's tools for wrong arguments."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and a message, and exit."""
        self.print_usage(sys.stderr)
        self.exit(WRONG_ARGUMENTS, f"{self.prog}: error: {message}\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = _Parser(
        prog="leveret",
        description="A self-hosted AMQP 0-9-1 broker that replaces RabbitMQ.",
        epilog="Without a command, `leveret` serves. `leveret COMMAND --help` shows the options of a command.",
    )
    top.add_argument("--version", action="version", version=version(), help="show the version and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    serve = commands.add_parser(
        "serve",
        help="run the broker (the default command)",
        description="Run the broker until SIGTERM or Ctrl-C. Options override environment variables and files.",
        epilog="`leveret config check` with the same options reports problems without a start.",
    )
    config = commands.add_parser(
        "config", help="check the configuration", description="Check the configuration."
    )
    about_check = "report all problems of the settings that `serve` with the same options would use"
    check = config.add_subparsers(dest="action", required=True, metavar="check").add_parser(
        "check",
        help=about_check,
        description=f"{about_check.capitalize()}. The exit code is 78 if there are some.",
    )
    for target in (top, serve, check):
        _add_settings(target, hidden=target is top)
    about_top = "show the queues of a running broker, live"
    live = commands.add_parser(
        "top", help=about_top, description=f"{about_top.capitalize()}; q or Ctrl-C ends."
    )
    live_queues.add_arguments(live)
    for name, about in _MORE_COMMANDS.items():
        commands.add_parser(name, help=about, add_help=False)
    return top


def _add_settings(target: argparse.ArgumentParser, *, hidden: bool) -> None:
    """Add the options that are settings. `hidden`: not in the help, as those of `serve` without its name."""
    ports = (
        ("--port", "AMQP", 5672),
        ("--http-port", "HTTP", 15672),
        ("--prometheus-port", "Prometheus", 15692),
    )
    target.add_argument("--config", metavar="FILE", help="read settings from FILE (config.toml)")
    target.add_argument("--host", metavar="ADDRESS", help="address to listen on (default: all addresses)")
    for option, what, port in ports:
        about = f"{what} port; 0: any free port, -1: no listener (default: {port})"
        target.add_argument(option, type=int, metavar="PORT", help=about)
    target.add_argument(
        "--data-dir", metavar="DIR", help="keep durable queues and persistent messages in DIR"
    )
    target.add_argument(
        "--testing",
        action="store_true",
        default=None,
        help="serve tests: clock, faults and history over HTTP, and toxiproxy's API; all in memory",
    )
    target.add_argument("--profile", metavar="VERSION", help="RabbitMQ version to behave like (default: 4.3)")
    if hidden:
        for action in target._actions:
            if action.dest not in ("help", "version", "command"):
                action.help = argparse.SUPPRESS


#: Commands that `leveret.cli.main` runs without this parser, which only lists them.
_MORE_COMMANDS = {**{name: f"{tool}: its commands and options" for name, tool in TOOLS.items()}, **OTHERS}


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
        "testing.enabled": options.testing,
    }
    if options.host is not None:
        found["server.host"] = [options.host]
    if options.http_port is not None:
        found["plugins.management"] = True  # also if the file of enabled plugins does not have it
    if options.prometheus_port is not None:
        found["plugins.prometheus"] = True
    if options.http_port == 0 and options.prometheus_port is None:
        found["server.prometheus_port"] = 0
    if options.data_dir is not None:
        found["store.engine"] = "disk"
        found["store.data_dir"] = options.data_dir
    return {name: value for name, value in found.items() if value is not None}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script; returns the exit code."""
    line = parser()
    options, rest = line.parse_known_args(arguments)
    if options.command in _MORE_COMMANDS:
        line.error(f"the options of `{options.command}` come after it: leveret {options.command} ...")
    if rest:
        line.error(f"unrecognized arguments: {' '.join(rest)}")
    if options.command == "top":
        return live_queues.main(options)
    if options.command == "config":
        return config_check.check(options.config, overrides(options), os.environ)
    settings = config_check.read(options.config, overrides(options), os.environ)
    return config_check.WRONG_CONFIGURATION if settings is None else serve(settings)


def serve(settings: Settings) -> int:
    """Run a node with these settings; returns the exit code."""
    from leveret.errors import DefinitionsError
    from leveret.profiles import UnknownProfile
    from leveret.server.free_pools import free_pools
    from leveret.server.listeners import ListenError
    from leveret.server.log import configure, log
    from leveret.store.errors import StoreError
    from leveret.tls_settings import TlsError

    free_pools.watch()
    try:
        configure(settings.log, settings.server.node_name)
    except OSError as error:
        print(
            f"leveret: the log file cannot be opened: {error}. Set log.dir and log.file, or log.file = false.",
            file=sys.stderr,
        )
        return 1
    for line in introduction(settings):
        log.info("%s", line)
    for warning in settings.warnings:
        log.warning("%s", warning)
    try:
        if settings.testing.enabled:
            from leveret.testing import serving

            serving.run(settings)
            return 0
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve_cluster(settings) if settings.cluster.nats else _serve(settings))
    except DefinitionsError as error:
        print(f"leveret: definitions: {error}", file=sys.stderr)
        return 78
    except (UnknownProfile, ConfigError, TlsError) as error:
        print(f"leveret: {error}", file=sys.stderr)
        return 78
    except (StoreError, ListenError) as error:
        print(f"leveret: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"leveret: cannot start: {error}", file=sys.stderr)
        return 1
    return 0


def introduction(settings: Settings) -> list[str]:
    """Return the first lines of the log, as RabbitMQ's, and what to do if the hot path is not compiled."""
    from leveret.profiles import UnknownProfile, profile

    try:
        release = profile(settings.profile.version).version
    except UnknownProfile:
        release = settings.profile.version
    log = settings.log
    outputs = [f"<{log.console_stream}>"] if log.console else []
    outputs += [os.path.join(log.dir, log.file)] if log.file else []
    outputs += ["exchange:amq.rabbitmq.log"] if log.exchange else []
    outputs += ["<syslog>"] if log.syslog else []
    outputs += ["<journald>"] if log.journald else []
    lines = [
        f" Starting RabbitMQ {release} on {version()}",
        f" node           : {settings.server.node_name}",
        f" config file(s) : {', '.join(settings.sources) or '(none)'}",
        f" log(s)         : {', '.join(outputs) or '(none)'}",
        f" data dir       : {_data_place(settings)}",
    ]
    if not compiled() and os.environ.get("LEVERET_PURE") != "1":
        lines.append(
            f"The hot path is not compiled{why_not_compiled()}, so messages take several times as long. To change it, "
            "install a C compiler and build again: `make run` in the checkout, or pip install --force-reinstall "
            "--no-deps ."
        )
    return lines


def _data_place(settings: Settings) -> str:
    """Return where data is, for the log."""
    if settings.cluster.nats:
        return f"{settings.store.data_dir} (a cache of what is in NATS)"
    return settings.store.data_dir if settings.store.engine == "disk" else "(none: all data is lost at stop)"


def why_not_compiled() -> str:
    """Return the reason that the build left in the package (setup.py), in brackets; empty if there is none."""
    try:
        with open(os.path.join(_PACKAGE, "not_compiled.txt"), encoding="utf-8") as file:
            return f" ({file.read().strip()})"
    except OSError:
        return ""


async def _serve(settings: Settings) -> None:
    from leveret.server.log import written_in_threads
    from leveret.server.node import Node

    node = Node(settings)
    node.stop_on_signals()
    with shown() as report:
        await node.start(report)
    if sys.stdout.isatty():
        print("\n".join(_banner(node)), flush=True)
    with written_in_threads():
        await node.run()


async def _serve_cluster(settings: Settings) -> None:
    from leveret.cluster import node  # needs nats-py
    from leveret.cluster.ports import StorageError
    from leveret.server.log import written_in_threads
    from leveret.store.errors import StoreError

    try:
        with written_in_threads():
            await node.serve(settings)
    except StorageError as error:
        raise StoreError(str(error)) from error


def _banner(node: Node) -> list[str]:
    from leveret.cli.banner import banner

    store = node.settings.store.data_dir if node.durability.kept is not None else ""
    guest = "guest" in node.broker.access.users
    return banner(node.listeners(), node.broker.profile.version, store, guest=guest)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows has none
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    raise SystemExit(main())
