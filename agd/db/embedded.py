"""The embedded PostgreSQL server: started on use, shared by the agd processes of one host, stopped after the last."""

import functools
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import quote

from agd.config import DRIVER
from agd.db import embedded_cluster, supervisor
from agd.db.embedded_place import ROLE, Place, binary, find_place, find_server_user, make_folder, make_place
from agd.errors import BusyError, DatabaseError, InputError

__all__ = ["EmbeddedServer", "ServerStatus", "binary"]

_log = logging.getLogger(__name__)

_PORT = 5432
_STALL_S = 60.0
_LAUNCHES = 3
_START_LOCK_S = 180.0
_NOTICE_S = 5.0
_ORPHAN_GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What stands where; `has_clients` counts this process too where it acquired the server."""

    state: Literal["running", "stopped", "absent"]
    version: str
    data_directory: Path
    socket_directory: Path
    pid: int | None
    has_clients: bool
    is_pinned: bool
    url: str


class EmbeddedServer:
    """A handle on the server of one home folder; a forked child holds nothing and must acquire for itself."""

    def __init__(self, home: Path, *, linger_s: float = 10) -> None:
        """Touch nothing yet; `linger_s` is how long the server outlives its last client."""
        if sys.platform == "win32":
            raise InputError("the embedded server does not run on Windows: set AGD_DATABASE_URL to a PostgreSQL server")
        self._home = home.expanduser().absolute()
        self._linger_s = linger_s
        self._mutex = threading.Lock()
        self._client_lock: int | None = None
        os.register_at_fork(after_in_child=functools.partial(_let_go, weakref.ref(self)))

    def acquire(self) -> str:
        """Return the server's SQLAlchemy URL, started where needed, and count as its client until `release` or death.

        Called again, it restarts a server that died. Raises DatabaseError, InputError or BusyError.
        """
        with self._mutex, _system_errors(self._home):
            folder = make_folder(self._home)
            if self._client_lock is None:
                self._client_lock = _share(folder / supervisor.CLIENTS)
            try:
                self._ensure_running()
                self._watch(find_place(self._home))
            except BaseException:
                self._drop()
                raise
            return _url(find_place(self._home))

    def release(self) -> None:
        """Stop counting as a client."""
        with self._mutex:
            self._drop()

    def __enter__(self) -> str:
        """Acquire."""
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release."""
        self.release()

    def start(self, *, pin: bool = True) -> str:
        """Start the server and leave; pinned, it stays up without clients until `stop`."""
        was_client = self._client_lock is not None
        url = self.acquire()
        if pin:
            (find_place(self._home).folder / supervisor.PINNED).touch()
        if not was_client:
            self.release()
        return url

    def stop(self, *, force: bool = False) -> None:
        """Unpin and stop the server, and wait for its end; raises BusyError while clients live, unless forced."""
        place = find_place(self._home)
        if not place.folder.is_dir():
            return
        with _system_errors(self._home), _starting(place.folder), _shut(place.folder, force=force):
            (place.folder / supervisor.PINNED).unlink(missing_ok=True)
            if not supervisor.stop_server(place.folder, place.data):
                pid = supervisor.postmaster_pid(place.data)
                raise DatabaseError(f"the server of {place.data} (process {pid}) does not end: see {_log_path(place)}")

    def status(self) -> ServerStatus:
        """Look without touching."""
        with _system_errors(self._home):
            place = find_place(self._home)
            is_held = supervisor.is_held(place.folder / supervisor.SERVER)
            state: Literal["running", "stopped"] = "running" if is_held else "stopped"
            return ServerStatus(
                state=state if place.data.is_dir() else "absent",
                version=embedded_cluster.server_version(),
                data_directory=place.data,
                socket_directory=place.sockets,
                pid=supervisor.postmaster_pid(place.data) if is_held else None,
                has_clients=supervisor.is_held(place.folder / supervisor.CLIENTS, by_sharers=True),
                is_pinned=(place.folder / supervisor.PINNED).exists(),
                url=_url(place),
            )

    def _drop(self) -> None:
        if self._client_lock is not None:
            os.close(self._client_lock)
            self._client_lock = None

    def _watch(self, place: Place) -> None:
        """See that a supervisor lives."""
        own_lock = supervisor.open_lock(place.folder / supervisor.SUPERVISOR)
        try:
            if supervisor.try_lock(own_lock):
                embedded_cluster.spawn_supervisor(place, self._linger_s, own_lock)
        finally:
            os.close(own_lock)

    def _ensure_running(self) -> None:
        """Wait until the server answers, launched anew if killed meanwhile; give up after `_STALL_S` of standstill."""
        started = moved = time.monotonic()
        noticed, message = started, ""
        launches: list[int] = []
        while not _answers(place := find_place(self._home)):
            now = time.monotonic()
            if not supervisor.is_held(place.folder / supervisor.SERVER):
                if len(launches) == _LAUNCHES:
                    tail = embedded_cluster.log_tail(place, launches[-1])
                    raise DatabaseError(f"PostgreSQL did not start in {place.data}: {tail} (log: {_log_path(place)})")
                launches += self._launch()
                moved = time.monotonic()
                continue
            if now - moved > _ORPHAN_GRACE_S and supervisor.postmaster_pid(place.data) is None:
                supervisor.kill_orphans(place.data)
            if (latest := embedded_cluster.latest_message(place)) != message:
                message, moved = latest, now
            if now - moved > _STALL_S:
                raise DatabaseError(
                    f"the server of {place.data} does not answer at {place.sockets}, no progress for {_STALL_S:.0f} s: "
                    f"see {_log_path(place)}, or stop it with `agd db stop --force`"
                )
            if now - noticed > _NOTICE_S:
                noticed = now
                _log.warning(
                    "waiting for PostgreSQL (%.0f s): %s", now - started, message or "its data directory is being made"
                )
            time.sleep(0.01 if now - started < 1 else 0.2)

    def _launch(self) -> list[int]:
        """Launch unless another process just did; returns the log's size before, nothing if another did."""
        folder = find_place(self._home).folder
        with _starting(folder):
            cluster_lock = supervisor.open_lock(folder / supervisor.SERVER)
            try:
                if not supervisor.try_lock(cluster_lock):
                    return []
                user = find_server_user()
                place = make_place(self._home, user)
                self._watch(place)
                return [embedded_cluster.launch(place, user, cluster_lock)]
            finally:
                os.close(cluster_lock)


def _answers(place: Place) -> bool:
    """Whether the server accepts connections: neither absent nor starting, recovering or stopping."""
    from psycopg import pq

    from agd.db.address import hidden_shell

    if not (place.sockets / f".s.PGSQL.{_PORT}").exists():
        return False
    address = _url(place).replace(DRIVER, "postgresql", 1)
    with hidden_shell():
        return pq.PGconn.ping(f"{address}&connect_timeout=10".encode()) == pq.Ping.OK


def _url(place: Place) -> str:
    return f"{DRIVER}://{ROLE}@/{ROLE}?host={quote(str(place.sockets), safe='')}&port={_PORT}"


def _log_path(place: Place) -> Path:
    return place.folder / supervisor.LOG


def _share(path: Path) -> int:
    """Register as a client; waits while a supervisor stops the server."""
    descriptor = supervisor.open_lock(path)
    noticed = time.monotonic()
    try:
        while not supervisor.try_lock(descriptor, is_shared=True):
            if time.monotonic() - noticed > _NOTICE_S:
                noticed = time.monotonic()
                _log.warning("waiting for the server of %s to stop before it starts again", path.parent.parent)
            time.sleep(0.005)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _shut(folder: Path, *, force: bool) -> Iterator[None]:
    """Keep clients out; the retries outlast the moment in which another process only looks at the lock."""
    clients = supervisor.open_lock(folder / supervisor.CLIENTS)
    try:
        for _ in range(10):
            if force or supervisor.try_lock(clients):
                break
            time.sleep(0.02)
        else:
            pids = ", ".join(map(str, _holders(clients))) or "unknown"
            raise BusyError(f"the server of {folder.parent} has clients (process {pids}): end them, or stop with force")
        yield
    finally:
        os.close(clients)


def _holders(descriptor: int) -> list[int]:
    """Process ids that hold a lock on the file, as far as the kernel tells (Linux)."""
    inode = str(os.fstat(descriptor).st_ino)
    rows: list[list[str]] = []
    with suppress(OSError):
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sorted({int(row[4]) for row in rows if row[1] == "FLOCK" and row[5].rpartition(":")[2] == inode})


@contextmanager
def _starting(folder: Path) -> Iterator[None]:
    """One process at a time makes, launches or stops the server."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / "start.lock", timeout=_START_LOCK_S, poll_interval=0.01, mode=0o600)
    try:
        lock.acquire()
    except Timeout as error:
        raise BusyError(f"another process has been starting or stopping {folder} for {_START_LOCK_S:.0f} s") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _system_errors(home: Path) -> Iterator[None]:
    """Turn what the operating system refuses into one line."""
    try:
        yield
    except OSError as error:
        raise DatabaseError(f"the embedded server of {home} cannot be used: {error}") from error


def _let_go(reference: "weakref.ref[EmbeddedServer]") -> None:
    """In a forked child: close the inherited lock, so that the parent's death counts."""
    server = reference()
    if server is not None:
        server._mutex = threading.Lock()  # noqa: SLF001 - the parent's may be held by a thread that is not here
        server._drop()  # noqa: SLF001 - same
