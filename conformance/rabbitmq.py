"""Real RabbitMQ servers to compare with, side by side on loopback, installed from Debian's own packages.

    3.10  3.10.8  bookworm   AMQP 5610  HTTP 15610  Prometheus 15910
    4.0   4.0.5   trixie     AMQP 5640  HTTP 15640  Prometheus 15940
    4.3   4.3.6   forky      AMQP 5643  HTTP 15643  Prometheus 15943

forky moves: one day it will carry another RabbitMQ. That is not installed, nor taken for the one that it is not
(`UnavailableError`): its answers are the golden files then.

Each version lives in a Debian root of its own made by debootstrap (about 90 s and 500 MB once) and runs in
a chroot, so nothing is installed on the machine itself; root is needed. The roots live in
$LEVERET_REFEREE_HOME (default: the temporary directory, leveret-referee). `--shift N` names a second node
of the same root with every port moved by N and data of its own. As a command: `python -m
conformance.rabbitmq start 4.3`; as a module: `start("4.3")`.
"""

import argparse
import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from conformance import archive
from conformance.archive import ArchiveError
from conformance.packages import PackageError, need

PLUGINS = (
    "rabbitmq_management",
    "rabbitmq_prometheus",
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_event_exchange",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
)
START_SECONDS = 120.0
STOP_SECONDS = 20.0
#: The device nodes of a root: name -> major and minor number. Nothing else of the machine's /dev is in it.
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
FILES = 65536  # open files, thus sockets, of a server at most; 1024 would do for 900 connections


class RefereeError(Exception):
    """A RabbitMQ server could not be installed, started or asked."""


class UnavailableError(RefereeError):
    """There is no RabbitMQ of the wanted release: Debian's suite carries another, or the archive cannot be reached."""


@dataclass(frozen=True)
class Running:
    """A started server: its addresses and the process id of its Erlang VM."""

    amqp_url: str
    http_url: str
    pid: int


def home() -> Path:
    """The folder of the installed roots: $LEVERET_REFEREE_HOME or <temporary directory>/leveret-referee."""
    named = os.environ.get("LEVERET_REFEREE_HOME")
    return Path(named) if named else Path(tempfile.gettempdir()) / "leveret-referee"


@dataclass(frozen=True)
class Server:
    """One RabbitMQ node: the root of its version, its own ports and data. `release`: the one of the golden files."""

    version: str
    release: str
    suite: str
    script: str
    amqp_port: int
    http_port: int
    prometheus_port: int
    dist_port: int
    shift: int = 0

    @property
    def root(self) -> Path:
        return home() / self.version

    @property
    def node(self) -> str:
        return f"rabbit{self.version.replace('.', '')}s{self.shift}@localhost"

    @property
    def amqp_url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.amqp_port}/"

    @property
    def http_url(self) -> str:
        return f"http://guest:guest@127.0.0.1:{self.http_port}/"

    @property
    def conf_file(self) -> Path:
        """rabbitmq.conf of this node, seen from outside the root."""
        name = f"rabbitmq-{self.shift}.conf" if self.shift else "rabbitmq.conf"
        return self.root / "etc/rabbitmq" / name

    @property
    def plugins_file(self) -> Path:
        """The list of enabled plugins of this node, seen from outside the root."""
        name = f"enabled_plugins-{self.shift}" if self.shift else "enabled_plugins"
        return self.root / "etc/rabbitmq" / name

    # -- commands

    def install(self) -> None:
        """Make the root if there is none yet. Raises UnavailableError if that would be another release, RefereeError if
        debootstrap or apt fails."""
        if not (self.root / ".installed").exists():
            self.check_archive()
            self._bootstrap()
        self.check_installed()
        if not (self.conf_file.exists() and self.plugins_file.exists()):
            self.configure()

    def start(self) -> Running:
        """Install if needed, start unless running, wait until AMQP and HTTP accept."""
        if accepts(self.amqp_port):
            self.install()
        else:
            self.launch()
            if not self.wait(START_SECONDS):
                raise RefereeError(
                    f"RabbitMQ {self.version} did not start; its log is in {self.root}/var/log"
                )
            self.settle()
        pid = self.pid()
        if pid is None:
            raise RefereeError(f"port {self.amqp_port} answers, but no RabbitMQ of {self.root} is running")
        return Running(self.amqp_url, self.http_url, pid)

    def launch(self) -> None:
        """Start a stopped node without waiting for it; `wait` waits."""
        self.install()
        self._mount()
        self._grant_files()
        self._inside("rabbitmq-server", "-detached", quiet=True)

    def wait(self, seconds: float, *, http: bool = True) -> bool:
        """True as soon as AMQP (and HTTP) accept connections, False when `seconds` have passed."""
        ports = [self.amqp_port, self.http_port] if http else [self.amqp_port]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if all(accepts(port) for port in ports):
                return True
            time.sleep(0.02)
        return False

    def settle(self) -> None:
        """Wait until a launched node has started completely; one that is stopped before that may hang."""
        self._inside("rabbitmqctl", "-q", "await_startup", quiet=True)

    def stop(self) -> None:
        """Stop the node and wait until its process has ended; does nothing if it does not run."""
        pid = self.pid()
        if pid is None:
            return
        if self._inside("rabbitmqctl", "-q", "stop", quiet=True) != 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while Path(f"/proc/{pid}").exists():
            if time.monotonic() > deadline:
                raise RefereeError(f"RabbitMQ {self.version} (process {pid}) does not stop")
            time.sleep(0.05)

    def reset(self) -> None:
        """Stop the node and delete its data, log and configuration."""
        self.stop()
        if not (self.root / ".installed").exists():
            return
        for place in (self.root / "var/lib/rabbitmq/mnesia", self.root / "var/log/rabbitmq"):
            for path in place.glob(f"{self.node}*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.configure()

    def pid(self) -> int | None:
        """The process id of this node's Erlang VM, or None when it is not running."""
        wanted = f"RABBITMQ_NODENAME={self.node}".encode()
        for process in _erlang_machines():
            with contextlib.suppress(OSError):
                environment = (process / "environ").read_bytes().split(b"\0")
                if (process / "root").readlink() == self.root and wanted in environment:
                    return int(process.name)
        return None

    def ctl(self, *arguments: str, command: str = "rabbitmqctl") -> int:
        """Run rabbitmqctl (or rabbitmq-diagnostics, rabbitmq-plugins) on this node; returns the exit status."""
        self._mount()
        return self._inside(command, *arguments)

    def configure(self, *lines: str) -> None:
        """Write the node's rabbitmq.conf and enabled_plugins; `lines` are added at the end."""
        text = [
            f"listeners.tcp.1 = 127.0.0.1:{self.amqp_port}",
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {self.http_port}",
            "prometheus.tcp.ip = 127.0.0.1",
            f"prometheus.tcp.port = {self.prometheus_port}",
            "disk_free_limit.absolute = 50MB",
            *lines,
        ]
        self.conf_file.write_text("\n".join(text) + "\n")
        self.plugins_file.write_text(f"[{','.join(PLUGINS)}].\n")

    # -- the root

    def inside(self, *command: str) -> list[str]:
        """The command line that runs a command in the root, with the node's environment."""
        environment = [
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/var/lib/rabbitmq",
            "LANG=C.UTF-8",
            f"RABBITMQ_NODENAME={self.node}",
            f"RABBITMQ_DIST_PORT={self.dist_port}",
            f"RABBITMQ_CONFIG_FILE=/etc/rabbitmq/{self.conf_file.name}",
            f"RABBITMQ_ENABLED_PLUGINS_FILE=/etc/rabbitmq/{self.plugins_file.name}",
            "ERL_EPMD_ADDRESS=127.0.0.1",
        ]
        return ["chroot", str(self.root), "/usr/bin/env", "-i", *environment, *command]

    def _inside(self, *command: str, quiet: bool = False) -> int:
        sink = subprocess.DEVNULL if quiet else None
        return subprocess.run(
            self.inside(*command), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
        ).returncode

    def _grant_files(self) -> None:
        """The package's start script goes through su, which sets limits anew from this file."""
        limit = min(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        limits = self.root / "etc/security/limits.d/rabbitmq.conf"
        limits.write_text(f"rabbitmq - nofile {limit}\n")

    def _mount(self) -> None:
        if os.geteuid() != 0:
            raise RefereeError("RabbitMQ servers run in a chroot: root is needed")
        if not os.path.ismount(self.root / "proc"):
            subprocess.run(["mount", "-t", "proc", "proc", str(self.root / "proc")], check=True)
        self._mount_devices()

    def _mount_devices(self) -> None:
        """Mount a /dev of the root's own: deleting the root must never delete the nodes of the machine."""
        dev = self.root / "dev"
        if os.path.ismount(dev):
            return
        options = "mode=755,size=64k,nosuid,noexec"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(dev)], check=True)
        for name, (major, minor) in DEVICES.items():
            os.mknod(dev / name, 0o666 | stat.S_IFCHR, os.makedev(major, minor))
            (dev / name).chmod(0o666)  # whatever the umask is
        for name, target in (
            ("fd", "/proc/self/fd"),
            ("stdin", "fd/0"),
            ("stdout", "fd/1"),
            ("stderr", "fd/2"),
        ):
            (dev / name).symlink_to(target)

    def delete(self) -> None:
        """Delete the root. Raises RefereeError if something is still mounted in it: it would be emptied, too."""
        for place in reversed(mounted(self.root)):
            subprocess.run(["umount", str(place)], check=False)
        if left := mounted(self.root):
            raise RefereeError(f"{self.root} is not deleted: {', '.join(map(str, left))} is mounted")
        shutil.rmtree(self.root)

    def _bootstrap(self) -> None:
        if os.geteuid() != 0:
            raise RefereeError("installing RabbitMQ needs root")
        try:
            need("debootstrap")
        except PackageError as error:
            raise RefereeError(str(error)) from error
        home().mkdir(parents=True, exist_ok=True)
        if self.root.exists():
            self.delete()
        print(f"installing RabbitMQ {self.version} from Debian {self.suite} ...", file=sys.stderr)
        script = f"/usr/share/debootstrap/scripts/{self.script}"
        certificates = "--include=ca-certificates"
        self._logged(
            "debootstrap", "--variant=minbase", certificates, self.suite, str(self.root), mirror(), script
        )
        policy = self.root / "usr/sbin/policy-rc.d"  # keeps the package from starting its service
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")
        self._mount()
        apt = (
            "apt-get -o Acquire::Check-Valid-Until=false update -qq && "
            "apt-get install -y -qq --no-install-recommends rabbitmq-server"
        )
        self._logged("chroot", str(self.root), "env", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", apt)
        self.check_installed()
        self.configure()
        (self.root / ".installed").touch()

    def _logged(self, *command: str) -> None:
        log = home() / f"{self.version}.log"
        with log.open("ab") as out:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise RefereeError(f"{command[0]} failed, see {log}")

    def check_archive(self) -> None:
        """Raise UnavailableError unless Debian's suite has the release."""
        try:
            found = archive.carried(mirror(), self.suite, "rabbitmq-server", archive.architecture())
        except ArchiveError as error:
            raise UnavailableError(f"RabbitMQ {self.release} cannot be installed: {error}") from error
        if archive.upstream(found) != self.release:
            raise UnavailableError(f"Debian {self.suite} carries RabbitMQ {found}, not {self.release}")

    def check_installed(self) -> None:
        """Raise UnavailableError unless the root has the release."""
        status = (self.root / "var/lib/dpkg/status").read_text()
        found = [one["Version"] for one in archive.stanzas(status) if one.get("Package") == "rabbitmq-server"]
        if [archive.upstream(version) for version in found] != [self.release]:
            raise UnavailableError(
                f"in {self.root} is RabbitMQ {', '.join(found) or 'not at all'}, not {self.release}"
            )


# script: the debootstrap of an older Debian knows no forky, whose recipe is that of sid
SERVERS = {
    "3.10": Server("3.10", "3.10.8", "bookworm", "bookworm", 5610, 15610, 15910, 25610),
    "4.0": Server("4.0", "4.0.5", "trixie", "trixie", 5640, 15640, 15940, 25640),
    "4.3": Server("4.3", "4.3.6", "forky", "sid", 5643, 15643, 15943, 25643),
}


def server(version: str, shift: int = 0) -> Server:
    """Return the node of a version ("3.10", "4.0", "4.3"), with every port moved by `shift`."""
    try:
        plain = SERVERS[version]
    except KeyError:
        raise RefereeError(f"no RabbitMQ {version}: {', '.join(SERVERS)}") from None
    return replace(
        plain,
        amqp_port=plain.amqp_port + shift,
        http_port=plain.http_port + shift,
        prometheus_port=plain.prometheus_port + shift,
        dist_port=plain.dist_port + shift,
        shift=shift,
    )


def start(version: str, shift: int = 0) -> Running:
    """Start RabbitMQ `version` unless it runs already; returns its addresses and process id."""
    return server(version, shift).start()


@contextlib.contextmanager
def running(version: str, shift: int = 0) -> Iterator[Running]:
    """RabbitMQ `version`; it is stopped afterwards unless it was running before."""
    node = server(version, shift)
    was = node.pid()
    try:
        yield node.start()
    finally:
        if was is None:
            node.stop()


def accepts(port: int) -> bool:
    """Whether something on 127.0.0.1 accepts connections at `port`."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def mounted(root: Path, table: Path = Path("/proc/self/mountinfo")) -> list[Path]:
    """What is mounted below a folder, in the order in which it was mounted. `table`: all mounts (proc(5))."""
    root = root.resolve()
    places = [Path(_unescaped(line.split()[4])) for line in table.read_text().splitlines()]
    return [place for place in places if place.is_relative_to(root)]


def _unescaped(text: str) -> str:
    """A path of the table of mounts: spaces and the like are octal there."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def mirror() -> str:
    """The Debian mirror this machine uses, from its own apt sources."""
    apt = Path("/etc/apt")
    for path in [*sorted(apt.glob("sources.list.d/*.sources")), apt / "sources.list"]:
        for words in (line.split() for line in (path.read_text() if path.exists() else "").splitlines()):
            if len(words) > 1 and words[0] == "URIs:":
                return words[1]
            if len(words) > 1 and words[0] == "deb":
                return next(word for word in words[1:] if "://" in word)
    raise RefereeError("no Debian mirror in /etc/apt")


def _erlang_machines() -> Iterator[Path]:
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().strip() == "beam.smp":
                yield process


def main(arguments: list[str] | None = None) -> int:
    """`python -m conformance.rabbitmq COMMAND VERSION ...`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance.rabbitmq",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    commands = ("install", "start", "stop", "reset", "pid", "ctl", "diagnostics", "plugins", "conf")
    parser.add_argument("command", choices=commands)
    parser.add_argument("version", choices=list(SERVERS))
    parser.add_argument("--shift", type=int, default=0, help="added to every port")
    parser.add_argument(
        "rest", nargs=argparse.REMAINDER, help="for ctl, diagnostics, plugins; lines for conf"
    )
    chosen = parser.parse_args(arguments)
    if chosen.rest and chosen.command not in ("ctl", "diagnostics", "plugins", "conf"):
        parser.error(f"{chosen.command} takes no {' '.join(chosen.rest)}: options stand before the command")
    try:
        return _perform(server(chosen.version, chosen.shift), chosen.command, chosen.rest)
    except RefereeError as error:
        print(f"conformance.rabbitmq: {error}", file=sys.stderr)
        return 1


def _perform(node: Server, command: str, rest: list[str]) -> int:
    if command == "start":
        running = node.start()
        print(running.amqp_url, running.http_url)
    elif command == "pid":
        pid = node.pid()
        if pid is None:
            return 1
        print(pid)
    elif command == "conf":
        node.install()
        node.configure(*rest)
    elif command in ("ctl", "diagnostics", "plugins"):
        name = {"ctl": "rabbitmqctl", "diagnostics": "rabbitmq-diagnostics", "plugins": "rabbitmq-plugins"}
        return node.ctl(*rest, command=name[command])
    else:
        {"install": node.install, "stop": node.stop, "reset": node.reset}[command]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
