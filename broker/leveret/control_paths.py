"""Where the control socket of a node is: the node listens there, and commands find it by the name of the node.

The socket is `<folder>/<node name>.sock`. The folder is, in this order: `$LEVERET_RUN_DIR`, `$XDG_RUNTIME_DIR/leveret`,
`/run/leveret` where that can be written to, `/tmp/leveret-<uid>`, `/dev/shm/leveret-<uid>`: the last is the only one in
a container with a read-only file system. It belongs to the user of the node, with access for nobody else: who may open
the socket may do everything. A data directory has the path of its node's socket in the file `control-socket`.
"""

from __future__ import annotations

import _socket  # `socket` costs a command some milliseconds
import os
import stat
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

#: The longest path of a socket in octets, without its closing zero (sun_path of Linux).
LONGEST_PATH = 107

#: The file in a data directory that has the path of the socket.
POINTER = "control-socket"

_SUFFIX = ".sock"

#: Where the folders of all users are: a folder, and what comes before and after the user's id in it.
_OF_USERS = (("/tmp", "leveret-", ""), ("/dev/shm", "leveret-", ""), ("/run/user", "", "leveret"))


def folders(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the folders in which sockets may be, the most specific first."""
    if environment.get("LEVERET_RUN_DIR"):
        yield environment["LEVERET_RUN_DIR"]
        return
    if environment.get("XDG_RUNTIME_DIR"):
        yield os.path.join(environment["XDG_RUNTIME_DIR"], "leveret")
    yield "/run/leveret"
    yield f"/tmp/leveret-{os.getuid()}"
    yield f"/dev/shm/leveret-{os.getuid()}"


def own_folder(environment: Mapping[str, str]) -> str:
    """Make and return the folder of a node's own sockets. Raises OSError if there is none."""
    error: OSError | None = None
    for folder in folders(environment):
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            _check_owner(folder)
        except OSError as refused:
            error = refused
        else:
            return folder
    assert error is not None
    raise error


def _check_owner(folder: str) -> None:
    """Raise PermissionError unless a folder belongs to this user, who alone may write to it."""
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"{folder} is not a folder of this user alone")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written to")


def file_name(node: str) -> str:
    """Return the name of the socket of a node."""
    return node.replace("/", "_") + _SUFFIX


def candidates(node: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the paths at which the socket of a node may be, for a command."""
    yield from (os.path.join(folder, file_name(node)) for folder in _readable(environment))


def nodes(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the nodes that have sockets which this user can see."""
    found: dict[str, None] = {}
    for folder in _readable(environment):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        found |= {name.removesuffix(_SUFFIX): None for name in names if name.endswith(_SUFFIX)}
    return list(found)


def _readable(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield `folders`; root sees those of all users. A login session has `XDG_RUNTIME_DIR`, others have not."""
    yield from folders(environment)
    if not environment.get("LEVERET_RUN_DIR") and not environment.get("XDG_RUNTIME_DIR"):
        yield f"/run/user/{os.getuid()}/leveret"
    if os.getuid() == 0 and not environment.get("LEVERET_RUN_DIR"):
        for parent, prefix, rest in _OF_USERS:
            try:
                names = sorted(os.listdir(parent))
            except OSError:
                continue
            for name in names:
                path = os.path.join(parent, name, rest).rstrip("/")
                if name.startswith(prefix) and _belongs(path, name.removeprefix(prefix)):
                    yield path


def _belongs(path: str, uid: str) -> bool:
    """Whether a folder belongs to the user that its name says."""
    try:
        return uid.isdigit() and os.lstat(path).st_uid == int(uid)
    except OSError:
        return False


def pointed(data_dir: str) -> str:
    """Return the path in the file of a data directory, empty if there is none."""
    try:
        with open(os.path.join(data_dir, POINTER), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def connect(path: str, timeout: float | None = None) -> _socket.socket:
    """Connect to a socket, also at a path that is too long for its address. Raises OSError."""
    made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    made.settimeout(timeout)
    try:
        with _Shortened(path) as short:
            made.connect(short)
    except BaseException:
        made.close()
        raise
    return made


def bound(path: str) -> socket.socket:
    """Return a socket that is bound to a path, with access for this user alone. Raises OSError."""
    import socket

    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with _Shortened(path) as short:
            made.bind(short)
    except BaseException:
        made.close()
        raise
    finally:
        os.umask(before)
    return made


class _Shortened:
    """A path of any length, through the descriptor of its folder if it is too long."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.folder = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self.path)) <= LONGEST_PATH:
            return self.path
        folder, name = os.path.split(self.path)
        self.folder = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        return f"/proc/self/fd/{self.folder}/{name}"

    def __exit__(self, *error: object) -> None:
        if self.folder >= 0:
            os.close(self.folder)
