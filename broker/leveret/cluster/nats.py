"""The ports of a cluster on NATS JetStream. No other module imports `nats`, and this one does so when it connects.

A log is the stream `LV-<cluster>-<log>` with the subjects `lv.<cluster>.<log>.>`; a table is the bucket
`lv-<cluster>-<table>`, which the tools of NATS show as a key-value store. The JetStream API is used as it is (JSON
requests, error codes): what a lost answer or a refusal means must not depend on a client library.

Names of logs and keys are any text: octets that NATS does not allow in a subject are written as `=` and two digits.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from leveret.cluster.monitor import check_sync
from leveret.cluster.ports import (
    MAX_RECORD_BYTES,
    Accepted,
    Full,
    Gone,
    Outcome,
    Refused,
    StorageError,
    Stored,
    TableEntry,
    Unavailable,
    Unknown,
    Usage,
)

if TYPE_CHECKING:
    import ssl

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

log = logging.getLogger("leveret")

T = TypeVar("T", bound=msgspec.Struct)

#: The oldest version of NATS that is supported.
OLDEST_VERSION = (2, 12)

#: Seconds that an append, or a question to the JetStream API, may take. Whoever waits for a server that was killed
#: waits so long before it asks the next one; a second copy of an append does no harm.
REQUEST_TIMEOUT_S = 2.0

#: Seconds that creating a stream may take: its servers elect a leader first.
CREATE_TIMEOUT_S = 10.0

#: Seconds between two questions whether a new stream can be reached.
REACH_INTERVAL_S = 0.01

#: Seconds between two attempts to find servers for a stream.
PLACE_INTERVAL_S = 0.2

#: Records, and octets of them, that are read with one request.
READ_RECORDS = 512
READ_BYTES = 8 * 1024 * 1024

#: Seconds until the next record of a reading.
READ_TIMEOUT_S = 5.0

#: Seconds until a watch gets a sign of life, and after how many without one it is begun again.
HEARTBEAT_S = 1.0
SILENCE_S = 4.0

#: Seconds after which the servers forget a watch that nobody reads.
INACTIVE_S = 30.0

#: Seconds between two attempts to begin a watch.
RETRY_INTERVAL_S = 0.5

#: Seconds between signs of life of a server; one that misses two is left for another one.
PING_INTERVAL_S = 2

#: Octets that are kept of what is to be sent while there is no connection.
PENDING_BYTES = 64 * 1024 * 1024

_WRONG_LAST_SEQUENCE = {10071, 10164}
_NO_ROOM = {10002, 10023, 10028, 10047, 10077}
_STREAM_NOT_FOUND = 10059
_NO_MESSAGE = 10037
_NAME_IN_USE = 10058
_NOT_ENABLED = {10039, 10076}
_NO_PEERS = {10005, 10074}
_OFFLINE = "peer offline"

#: What to do about errors that a limit of the account makes.
_ADVICE = {
    10026: " Raise max_consumers of the account: each node has three.",
    10027: " Raise max_streams of the account: there are three, and one for each virtual host.",
}

#: A stream that cannot be there: what is published for it alone is refused by the leader of the stream that it reaches.
_NO_STREAM = "-"

#: Marks of a deleted key, as the tools of NATS write them.
_OPERATION = "KV-Operation"
_DELETED = {"DEL", "PURGE"}

_SAFE = re.compile(rb"[A-Za-z0-9_-]")
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class NatsSettings:
    """Where NATS is, and what is to be made there. `servers`: addresses as `nats://host:port`; `credentials`: a file
    with a user's JWT and seed; `tls`: None for none; `replicas`: how many servers keep each stream; `monitor`: the
    monitoring ports of all servers; `sync`: "always" if they must write to the disk before they acknowledge, or
    "interval"."""

    servers: tuple[str, ...]
    cluster: str = "leveret"
    replicas: int = 3
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    credentials: Path | None = None
    tls: ssl.SSLContext | None = None
    monitor: tuple[str, ...] = ()
    sync: str = "always"


# --- documents of the JetStream API


class _Error(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    error: _Error | None = None
    seq: int = 0


class _Message(msgspec.Struct):
    seq: int
    subject: str
    data: str = ""
    hdrs: str = ""


class _Found(msgspec.Struct):
    error: _Error | None = None
    message: _Message | None = None


class _StreamConfig(msgspec.Struct, omit_defaults=False):
    name: str
    subjects: list[str]
    num_replicas: int
    metadata: dict[str, str]
    storage: str = "file"
    retention: str = "limits"
    discard: str = "new"
    allow_direct: bool = True
    max_msgs_per_subject: int = -1
    allow_rollup_hdrs: bool = False
    deny_delete: bool = False
    duplicate_window: int = 120 * _NANOSECONDS


class _FoundConfig(msgspec.Struct):
    num_replicas: int = 1
    metadata: dict[str, str] = {}
    subjects: list[str] = []
    storage: str = "file"
    retention: str = "limits"
    discard: str = "new"
    max_age: int = 0
    max_msgs: int = -1
    max_bytes: int = -1
    max_msgs_per_subject: int = -1
    max_msg_size: int = -1
    allow_direct: bool = False
    deny_purge: bool = False
    no_ack: bool = False
    sealed: bool = False


class _StreamInfo(msgspec.Struct):
    error: _Error | None = None
    config: _FoundConfig = msgspec.field(default_factory=_FoundConfig)
    created: str = ""


class _Names(msgspec.Struct):
    error: _Error | None = None
    total: int = 0
    streams: list[str] | None = None


class _Tier(msgspec.Struct):
    max_storage: int = -1


class _Account(msgspec.Struct):
    error: _Error | None = None
    storage: int = 0
    limits: _Tier = msgspec.field(default_factory=_Tier)


class _Plain(msgspec.Struct):
    error: _Error | None = None


class _Consumer(msgspec.Struct):
    error: _Error | None = None
    name: str = ""
    num_pending: int = 0


# --- connecting


async def connect(settings: NatsSettings, wait_s: float = 5.0) -> NatsStorage:
    """Connect to NATS, and check that it can do what is needed. Raises `StorageError` if there is no server within
    `wait_s` seconds, it refuses the credentials, is too old, has no JetStream, or does not write to the disk."""
    try:
        from nats.aio.client import Client
    except ImportError as error:
        raise StorageError(
            "a cluster needs the package nats-py. Install it: pip install 'leveret[cluster]'."
        ) from error
    client = Client()
    await _connect(client, settings, wait_s)
    try:
        _check_version(str(client.connected_server_version))
        _check_payload(client.max_payload)
        storage = NatsStorage(client, settings)
        await storage.check()
        if settings.sync == "always":
            await check_sync(settings.monitor)
    except BaseException:
        await client.close()
        raise
    return storage


async def _connect(client: Client, settings: NatsSettings, wait_s: float) -> None:
    """Connect to one of the servers. Raises `StorageError` at once if one refuses the credentials, or after `wait_s`
    seconds."""
    import nats.errors

    failures: list[Exception] = []
    refused = asyncio.Event()

    async def failed(error: Exception) -> None:
        if not refused.is_set():  # the reset of the connection that was refused says less
            failures[:] = [error]
        if _is_refusal(error):
            refused.set()
        log.debug("NATS: %s", error)

    _check_credentials(settings)
    connecting = asyncio.ensure_future(
        client.connect(
            servers=list(settings.servers),
            name=f"leveret {settings.cluster}",
            error_cb=failed,
            user=settings.user,
            password=settings.password,
            token=settings.token,
            user_credentials=str(settings.credentials) if settings.credentials else None,
            tls=settings.tls,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            connect_timeout=2,
            ping_interval=PING_INTERVAL_S,
            max_outstanding_pings=2,
            pending_size=PENDING_BYTES,
        )
    )
    refusal = asyncio.ensure_future(refused.wait())
    try:
        await asyncio.wait({connecting, refusal}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        if connecting.done() and not refused.is_set():
            connecting.result()
            return
    except (OSError, nats.errors.Error) as error:
        failures[:] = [error]
    finally:
        connecting.cancel()
        refusal.cancel()
        await asyncio.gather(connecting, refusal, return_exceptions=True)
    with contextlib.suppress(Exception):
        await client.close()
    raise _not_connected(settings, failures[-1] if failures else TimeoutError(f"no answer in {wait_s:.0f} s"))


def _check_credentials(settings: NatsSettings) -> None:
    """Raises `StorageError` if the file of credentials is not there."""
    if settings.credentials is not None and not settings.credentials.is_file():
        raise StorageError(
            f"{settings.credentials} is no file: [cluster] credentials names the file with the user's JWT and seed."
        )


def _is_refusal(error: Exception) -> bool:
    """Whether a server has refused the credentials."""
    text = str(error).lower()
    return "authorization" in text or "authentication" in text


def _not_connected(settings: NatsSettings, error: Exception) -> StorageError:
    servers = ", ".join(re.sub(r"//[^@/]*@", "//", server) for server in settings.servers)
    text = str(error) or type(error).__name__
    if _is_refusal(error):
        return StorageError(
            f"NATS at {servers} refuses the credentials ({text}). Correct [cluster] credentials, or the users of NATS."
        )
    return StorageError(
        f"no NATS server can be reached at {servers} ({text}). Start NATS, or correct [cluster] nats."
    )


def _check_version(version: str) -> None:
    """Raises `StorageError` if a version is too old."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise StorageError(f"NATS has version {version}, and a cluster needs {oldest} or later. Update NATS.")


def _check_payload(octets: int) -> None:
    """Raises `StorageError` if a record may be longer than a message."""
    if octets < MAX_RECORD_BYTES:
        raise StorageError(
            f"NATS takes messages of up to {octets} octets, and a cluster needs {MAX_RECORD_BYTES}. Set max_payload to "
            "1MB, its default, in the configuration of every server."
        )


class NatsStorage:
    """Logs and tables in NATS JetStream (`ReplicatedStorage`)."""

    def __init__(self, client: Client, settings: NatsSettings) -> None:
        self.client = client
        self.settings = settings
        self.cluster = _name(settings.cluster)
        self._said: dict[str, str] = {}

    async def check(self) -> None:
        """Check that JetStream is there. Raises `StorageError`, `Unavailable`."""
        try:
            account = await self.ask("INFO", b"", _Account)
        except Unavailable as error:
            raise Unavailable(
                "NATS does not answer for JetStream. Enable it in the configuration of every server "
                "(jetstream { store_dir: ... }), and see that a majority of them is running"
            ) from error
        if account.error is not None and account.error.err_code in _NOT_ENABLED:
            raise StorageError(
                f"NATS has JetStream switched off ({account.error.description}). Enable it in the configuration of "
                "every server (jetstream { store_dir: ... }), and for the account of this user."
            )
        _raise_error(account.error, "JetStream")

    # --- logs

    async def create_log(self, name: str) -> NatsReplica:
        """See `ReplicatedStorage.create_log`."""
        stream, prefix = self._log_names(name)
        await self._create(
            _StreamConfig(
                name=stream,
                subjects=[f"{prefix}.>"],
                num_replicas=self.settings.replicas,
                metadata=self._metadata("log"),
                duplicate_window=_NANOSECONDS,
            )
        )
        return NatsReplica(self, stream, prefix)

    async def open_log(self, name: str) -> NatsReplica:
        """See `ReplicatedStorage.open_log`."""
        stream, prefix = self._log_names(name)
        await self._check_stream(stream, "log")
        return NatsReplica(self, stream, prefix)

    async def delete_log(self, name: str) -> None:
        """See `ReplicatedStorage.delete_log`."""
        stream, _ = self._log_names(name)
        info = await self.ask(f"STREAM.INFO.{stream}", b"", _StreamInfo)
        if info.error is not None and info.error.err_code == _STREAM_NOT_FOUND:
            return
        _raise_error(info.error, stream)
        self._check_ours(stream, "log", info)
        done = await self.ask(f"STREAM.DELETE.{stream}", b"", _Plain)
        if done.error is None or done.error.err_code != _STREAM_NOT_FOUND:
            _raise_error(done.error, stream)

    async def logs(self) -> list[str]:
        """See `ReplicatedStorage.logs`."""
        start, subjects = self._log_names("")
        found: list[str] = []
        while True:
            request = msgspec.json.encode({"subject": f"{subjects}>", "offset": len(found)})
            names = await self.ask("STREAM.NAMES", request, _Names)
            _raise_error(names.error, "the list of streams")
            found += names.streams or []
            if not names.streams or len(found) >= names.total:
                return [_text(name.removeprefix(start)) for name in found if name.startswith(start)]

    def _log_names(self, name: str) -> tuple[str, str]:
        return f"LV-{self.cluster}-{_name(name)}", f"lv.{self.cluster}.{_name(name)}"

    # --- tables

    async def open_table(self, name: str) -> NatsTable:
        """See `ReplicatedStorage.open_table`."""
        bucket = f"lv-{self.cluster}-{_name(name)}"
        stream, prefix = f"KV_{bucket}", f"$KV.{bucket}"
        await self._create(
            _StreamConfig(
                name=stream,
                subjects=[f"{prefix}.>"],
                num_replicas=self.settings.replicas,
                metadata=self._metadata("table"),
                max_msgs_per_subject=1,
                allow_rollup_hdrs=True,
                deny_delete=True,
            )
        )
        return NatsTable(self, stream, prefix)

    # --- streams

    def _metadata(self, kind: str) -> dict[str, str]:
        return {"leveret": kind, "leveret-cluster": self.settings.cluster}

    async def _create(self, config: _StreamConfig) -> None:
        """Create a stream, unless it exists. Raises `Unavailable`, `StorageError`."""
        info = await self._placed(config)
        if info.error is not None and info.error.err_code in _NO_PEERS:
            raise StorageError(
                f"stream {config.name} cannot have {config.num_replicas} replicas: {info.error.description}. Start "
                "as many NATS servers with JetStream, in one NATS cluster, or set [cluster] replicas to what there "
                "is."
            )
        if info.error is not None and info.error.err_code != _NAME_IN_USE:
            _raise_error(info.error, config.name)
        if not await self._exists(config.name):
            raise Unavailable(f"NATS: stream {config.name} is being made by another node")
        await self._check_stream(config.name, config.metadata["leveret"])
        await self._until_reached(config.subjects[0].replace(">", "_"))

    async def _placed(self, config: _StreamConfig) -> _StreamInfo:
        """Ask for a stream; again while a server counts as offline, as one does for a moment that NATS has heard of too
        late on a busy machine. Raises `Unavailable`."""
        request = msgspec.json.encode(config)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CREATE_TIMEOUT_S
        while True:
            info = await self.ask(f"STREAM.CREATE.{config.name}", request, _StreamInfo, CREATE_TIMEOUT_S)
            offline = info.error is not None and _OFFLINE in info.error.description
            if not offline or loop.time() > deadline:
                return info
            await asyncio.sleep(PLACE_INTERVAL_S)

    async def _until_reached(self, subject: str) -> None:
        """Wait until what is published to a subject reaches its stream. The server to which the connection goes hears
        a little later than we do that there is a new one. Raises `Unavailable`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CREATE_TIMEOUT_S
        while True:
            try:
                await self.publish(subject, b"", {"Nats-Expected-Stream": _NO_STREAM})
                return  # refused
            except Unavailable:
                if loop.time() > deadline:
                    raise
            await asyncio.sleep(REACH_INTERVAL_S)

    async def _exists(self, stream: str) -> bool:
        """Return whether a stream is there: one that another node makes has its name before that."""
        info = await self.ask(f"STREAM.INFO.{stream}", b"", _StreamInfo)
        return info.error is None or info.error.err_code != _STREAM_NOT_FOUND

    async def _check_stream(self, stream: str, kind: str) -> None:
        """Check that a stream is ours, and has enough replicas. Raises `Unavailable`, `StorageError`."""
        info = await self.ask(f"STREAM.INFO.{stream}", b"", _StreamInfo)
        _raise_error(info.error, stream)
        self._check_ours(stream, kind, info)
        found = info.config
        if found.num_replicas < self.settings.replicas:
            raise StorageError(
                f"stream {stream} has {found.num_replicas} replicas, and [cluster] replicas is "
                f"{self.settings.replicas}. "
                f"Change the stream (nats stream edit --replicas={self.settings.replicas} {stream}), or the setting."
            )
        if kind == "log":
            self.look_at(stream, info)
        if fault := _fault(found, kind):
            raise StorageError(_changed(stream, fault))

    def look_at(self, stream: str, info: _StreamInfo) -> None:
        """Say so, once, if somebody has changed a log so that it may lose what was confirmed."""
        fault = _fault(info.config, "log")
        if not fault:
            self._said.pop(stream, None)
        elif fault != self._said.get(stream):
            self._said[stream] = fault
            log.error("cluster: %s", _changed(stream, fault))

    def _check_ours(self, stream: str, kind: str, info: _StreamInfo) -> None:
        """Check that a stream is of this cluster. Raises `StorageError`."""
        found = info.config.metadata
        if any(found.get(key) != value for key, value in self._metadata(kind).items()):
            raise StorageError(
                f"stream {stream} exists in NATS, and Leveret has not made it as a {kind} of cluster "
                f"'{self.settings.cluster}'. Give the cluster another name ([cluster] name), or delete that stream."
            )

    async def usage(self) -> Usage:
        """See `ReplicatedStorage.usage`."""
        account = await self.ask("INFO", b"", _Account)
        _raise_error(account.error, "JetStream")
        return Usage(account.storage, max(account.limits.max_storage, 0))

    async def close(self) -> None:
        """See `ReplicatedStorage.close`."""
        await self.client.close()

    # --- requests

    async def ask(self, what: str, request: bytes, kind: type[T], timeout_s: float = REQUEST_TIMEOUT_S) -> T:
        """Ask the JetStream API. Raises `Unavailable`."""
        answer = await self.request(f"$JS.API.{what}", request, None, timeout_s)
        return _decoded(answer, kind)

    async def request(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> bytes:
        """Send a request, and return its answer. Raises `Unavailable`."""
        import nats.errors

        try:
            message = await self.client.request(subject, payload, timeout=timeout_s, headers=headers)
        except nats.errors.NoRespondersError as error:
            raise Unavailable("NATS has no leader for this stream at the moment") from error
        except TimeoutError as error:
            raise Unavailable("NATS did not answer in time") from error
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"NATS: {error}") from error
        return message.data

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> _Ack:
        """Publish into a stream. Raises `Unavailable`."""
        return _decoded(await self.request(subject, payload, headers), _Ack)


def _decoded(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"NATS has sent an answer that is not understood: {error}") from error


def _fault(found: _FoundConfig, kind: str) -> str:
    """Return what makes a stream unfit for its data, "" if nothing does: Leveret has not made it so. `kind`: "log" or
    "table"."""
    is_log = kind == "log"
    faults = {
        "it is sealed": found.sealed,
        f"retention is {found.retention}, and must be limits": found.retention != "limits",
        f"storage is {found.storage}, and must be file": found.storage != "file",
        f"max_age is {found.max_age / _NANOSECONDS:g} s, and must be 0": found.max_age > 0,
        f"max_msgs is {found.max_msgs}, and must be -1": found.max_msgs > 0 and found.discard != "new",
        f"max_bytes is {found.max_bytes}, and must be -1": found.max_bytes > 0 and found.discard != "new",
        f"max_msgs_per_subject is {found.max_msgs_per_subject}, and must be -1": (
            is_log and found.max_msgs_per_subject > 0
        ),
        f"max_msg_size is {found.max_msg_size}, and must be -1": 0 <= found.max_msg_size < MAX_RECORD_BYTES,
        "allow_direct is false, and must be true": not found.allow_direct,
        "deny_purge is true, and must be false": is_log and found.deny_purge,
        "no_ack is true, and must be false": found.no_ack,
    }
    return next((text for text, is_so in faults.items() if is_so), "")


def _changed(stream: str, fault: str) -> str:
    return (
        f"stream {stream} was changed in NATS: {fault}. What was confirmed may be lost. Change it back (nats stream "
        "edit)."
    )


def _raise_error(error: _Error | None, name: str) -> None:
    """Raise an error of the JetStream API: `Unavailable` if it may pass, else `StorageError`."""
    if error is None:
        return
    advice = _ADVICE.get(error.err_code, "")
    text = f"NATS: {name}: {error.description} (code {error.err_code}){'.' if advice else ''}{advice}"
    if error.code == 503 or error.code == 500:
        raise Unavailable(text)
    raise (Gone if error.err_code == _STREAM_NOT_FOUND else StorageError)(text)


def _name(text: str) -> str:
    """Return a text as one token of a subject."""
    return "".join(chr(octet) if _SAFE.match(bytes([octet])) else f"={octet:02X}" for octet in text.encode())


def _text(token: str) -> str:
    """Return the text of a token. Raises `ValueError`."""
    return re.sub(rb"=([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), token.encode()).decode()


# --- logs


class NatsReplica:
    """A stream as the log of a virtual host (`Replica`)."""

    def __init__(self, storage: NatsStorage, stream: str, prefix: str) -> None:
        self.storage = storage
        self.stream = stream
        self.prefix = prefix
        self._reading: tuple[Subscription, str] | None = None  # for `newer`, with its inbox

    def append(self, subject: str, record: bytes, expected: int) -> Awaitable[Outcome]:
        """See `Replica.append`."""
        headers = {"Nats-Expected-Last-Sequence": str(expected), "Nats-Expected-Stream": self.stream}
        return asyncio.ensure_future(self._append(subject, record, headers))

    def fence(self, subject: str, record: bytes) -> Awaitable[Outcome]:
        """See `Replica.fence`."""
        return asyncio.ensure_future(self._append(subject, record, {"Nats-Expected-Stream": self.stream}))

    async def _append(self, subject: str, record: bytes, headers: dict[str, str]) -> Outcome:
        try:
            ack = await self.storage.publish(f"{self.prefix}.{subject}", record, headers)
        except Unavailable as error:
            return Unknown(str(error))
        if ack.error is None:
            return Accepted(ack.seq) if ack.seq else Unknown("NATS has sent an empty answer")
        if ack.error.err_code in _WRONG_LAST_SEQUENCE:
            return Refused()
        if ack.error.err_code in _NO_ROOM:
            return Full(f"the storage of NATS is full: {ack.error.description}")
        return Unknown(f"NATS: {ack.error.description} (code {ack.error.err_code})")

    async def at_or_after(self, sequence: int) -> Stored | None:
        """See `Replica.at_or_after`. Only the leader of the stream answers this request."""
        request = msgspec.json.encode({"seq": sequence, "next_by_subj": f"{self.prefix}.>"})
        found = await self.storage.ask(f"STREAM.MSG.GET.{self.stream}", request, _Found)
        if found.error is not None and found.error.err_code == _NO_MESSAGE:
            return None
        _raise_error(found.error, self.stream)
        if found.message is None:
            raise Unavailable("NATS has sent an empty answer")
        message = found.message
        return Stored(message.seq, self._subject(message.subject), base64.b64decode(message.data))

    async def read(self, first: int, last: int) -> AsyncIterator[Stored]:
        """See `Replica.read`. Any server of the stream answers: one that is behind does not have `last` yet."""
        at = first
        inbox = self.storage.client.new_inbox()
        subscription = await self.storage.client.subscribe(inbox, pending_bytes_limit=-1)
        try:
            while at <= last:
                before = at
                async for stored in self._read_some(subscription, inbox, at):
                    if stored.sequence > last:
                        raise Unavailable(f"record {last} of {self.stream} is not there")
                    at = stored.sequence + 1
                    yield stored
                    if at > last:
                        return
                if at == before:
                    raise Unavailable(f"records of {self.stream} from {at} on cannot be read yet")
        finally:
            with contextlib.suppress(Exception):
                await subscription.unsubscribe()

    async def newer(self, first: int) -> list[Stored]:
        """See `Replica.newer`. Any server of the stream answers."""
        if self._reading is None:
            inbox = self.storage.client.new_inbox()
            self._reading = await self.storage.client.subscribe(inbox, pending_bytes_limit=-1), inbox
        subscription, inbox = self._reading
        self._reading = (
            None  # what is left of a reading that does not end must not be taken for part of the next one
        )
        try:
            found = [stored async for stored in self._read_some(subscription, inbox, first)]
        except BaseException:
            with contextlib.suppress(Exception):
                await subscription.unsubscribe()
            raise
        self._reading = subscription, inbox
        return found

    async def identity(self) -> str:
        """See `Replica.identity`: the time at which the stream was created, to the nanosecond."""
        info = await self.storage.ask(f"STREAM.INFO.{self.stream}", b"", _StreamInfo)
        _raise_error(info.error, self.stream)
        if not info.created:
            raise Unavailable("NATS has sent an answer without the time of creation")
        self.storage.look_at(self.stream, info)
        return info.created

    async def _read_some(self, subscription: Subscription, inbox: str, first: int) -> AsyncIterator[Stored]:
        """Yield some records from `first` on; what an earlier request has left is passed over."""
        import nats.errors

        request = msgspec.json.encode({"seq": first, "batch": READ_RECORDS, "max_bytes": READ_BYTES})
        at = first
        try:
            await self.storage.client.publish(f"$JS.API.DIRECT.GET.{self.stream}", request, reply=inbox)
            while True:
                message = await subscription.next_msg(READ_TIMEOUT_S)
                headers = message.headers or {}
                if "Nats-Sequence" not in headers:
                    return  # the end of the batch, or nothing was found
                sequence = int(headers["Nats-Sequence"])
                if sequence >= at:
                    at = sequence + 1
                    yield Stored(sequence, self._subject(headers["Nats-Subject"]), message.data)
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise Unavailable(f"NATS: {self.stream} cannot be read: {error}") from error

    def _subject(self, subject: str) -> str:
        return subject[len(self.prefix) + 1 :]

    async def drop(self, subject: str) -> None:
        """See `Replica.drop`."""
        request = msgspec.json.encode({"filter": f"{self.prefix}.{subject}"})
        done = await self.storage.ask(f"STREAM.PURGE.{self.stream}", request, _Plain)
        _raise_error(done.error, self.stream)


# --- tables


class NatsTable:
    """A bucket as a table (`Table`)."""

    def __init__(self, storage: NatsStorage, stream: str, prefix: str) -> None:
        self.storage = storage
        self.stream = stream
        self.prefix = prefix

    async def create(self, key: str, value: bytes) -> int | None:
        """See `Table.create`."""
        revision = await self._put(key, value, 0, {})
        if revision is not None:
            return revision
        entry = await self.get(key)
        if entry is None or entry.value is not None:
            return None
        return await self._put(key, value, entry.revision, {})

    async def update(self, key: str, value: bytes, revision: int) -> int | None:
        """See `Table.update`."""
        return await self._put(key, value, revision, {})

    async def delete(self, key: str, revision: int) -> int | None:
        """See `Table.delete`."""
        return await self._put(key, b"", revision, {_OPERATION: "DEL"})

    async def _put(self, key: str, value: bytes, revision: int, headers: dict[str, str]) -> int | None:
        headers["Nats-Expected-Last-Subject-Sequence"] = str(revision)
        ack = await self.storage.publish(f"{self.prefix}.{_name(key)}", value, headers)
        if ack.error is not None and ack.error.err_code in _WRONG_LAST_SEQUENCE:
            return None
        if ack.error is not None:
            raise Unavailable(f"NATS: {ack.error.description} (code {ack.error.err_code})")
        return ack.seq

    async def get(self, key: str) -> TableEntry | None:
        """See `Table.get`. Only the leader of the stream answers this request."""
        request = msgspec.json.encode({"last_by_subj": f"{self.prefix}.{_name(key)}"})
        found = await self.storage.ask(f"STREAM.MSG.GET.{self.stream}", request, _Found)
        if found.error is not None and found.error.err_code == _NO_MESSAGE:
            return None
        _raise_error(found.error, self.stream)
        if found.message is None:
            raise Unavailable("NATS has sent an empty answer")
        deleted = _OPERATION.encode() in base64.b64decode(found.message.hdrs)
        value = None if deleted else base64.b64decode(found.message.data)
        return TableEntry(key, value, found.message.seq)

    async def watch(self) -> AsyncIterator[TableEntry | None]:
        """See `Table.watch`. If the server that sends the changes is silent, another one goes on behind the last."""
        last, complete = 0, False
        created = await self._created()
        while True:
            try:
                async for entry in self._watch_from(last, created):
                    if entry is not None:
                        last = entry.revision
                        yield entry
                    elif not complete:
                        complete = True
                        yield None
            except Unavailable as error:
                log.debug("the watch of %s begins again: %s", self.stream, error)
                await asyncio.sleep(RETRY_INTERVAL_S)

    async def _created(self) -> str:
        """Return when the bucket was created, as soon as there is an answer. Raises `StorageError`."""
        while True:
            with contextlib.suppress(Unavailable):
                return await self._created_at()
            await asyncio.sleep(RETRY_INTERVAL_S)

    async def _created_at(self) -> str:
        """Return when the bucket was created. Raises `Unavailable`, `StorageError`."""
        info = await self.storage.ask(f"STREAM.INFO.{self.stream}", b"", _StreamInfo)
        _raise_error(info.error, self.stream)
        return info.created

    async def _watch_from(self, last: int, created: str) -> AsyncIterator[TableEntry | None]:
        """Yield what has changed since a revision (0: all keys), None, then changes. `created`: when the bucket was.
        Raises `Unavailable` when there is no sign of life any more, `Gone` if it is another one."""
        import nats.errors

        inbox = self.storage.client.new_inbox()
        subscription = await self.storage.client.subscribe(inbox)
        name = ""
        try:
            consumer = await self._create_consumer(inbox, last)
            name = consumer.name
            if await self._created_at() != created:
                raise Gone(f"stream {self.stream} of NATS was deleted, and made again")
            if not consumer.num_pending:
                yield None
            expected = 1
            while True:
                message = await subscription.next_msg(SILENCE_S)
                if message.headers and message.headers.get("Status"):
                    continue  # a heartbeat
                delivery = _Delivery(message)
                if delivery.number != expected:
                    raise Unavailable("a change was lost on its way")
                expected += 1
                yield self._entry(message, delivery.revision)
                if not delivery.pending:
                    yield None
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise Unavailable(f"NATS: {error}") from error
        finally:
            with contextlib.suppress(Exception):
                await subscription.unsubscribe()
                if name:
                    await self.storage.client.publish(f"$JS.API.CONSUMER.DELETE.{self.stream}.{name}")

    async def _create_consumer(self, inbox: str, last: int) -> _Consumer:
        config: dict[str, object] = {
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence" if last else "last_per_subject",
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": f"{self.prefix}.>",
            "idle_heartbeat": int(HEARTBEAT_S * _NANOSECONDS),
            "inactive_threshold": int(INACTIVE_S * _NANOSECONDS),
            "num_replicas": 1,
            "mem_storage": True,
        }
        if last:
            config["opt_start_seq"] = last + 1
        request = msgspec.json.encode({"stream_name": self.stream, "config": config})
        consumer = await self.storage.ask(f"CONSUMER.CREATE.{self.stream}", request, _Consumer)
        if consumer.error is not None and consumer.error.err_code == _STREAM_NOT_FOUND:
            raise Gone(f"stream {self.stream} of NATS was deleted")
        _raise_error(consumer.error, self.stream)
        return consumer

    def _entry(self, message: Msg, revision: int) -> TableEntry:
        key = _text(message.subject[len(self.prefix) + 1 :])
        deleted = (message.headers or {}).get(_OPERATION) in _DELETED
        return TableEntry(key, None if deleted else message.data, revision)


class _Delivery:
    """Numbers of a message that a consumer delivers: `revision` in the stream, `number` in this consumer, how many are
    `pending` after it. They are the last tokens of its reply subject but one."""

    def __init__(self, message: Msg) -> None:
        tokens = message.reply.split(".")
        if len(tokens) < 9:
            raise Unavailable("NATS has sent a change without its revision")
        if len(tokens) > 9:  # with a domain and the account's hash in front, and a random token at the end
            tokens = tokens[2:]
        self.revision, self.number, self.pending = int(tokens[5]), int(tokens[6]), int(tokens[8])
