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
from agd.db.server import database_cluster, supervisor
from agd.db.server.place import (
    MAJOR_VERSION,
    PORT,
    ROLE,
    Place,
    binary,
    find_place,
    find_server_user,
    make_folder,
    make_place,
)
from agd.db.server.shell_limits import widest_limits
from agd.db.server.socket_probe import Door, knock
from agd.db.server.waiting import Waiting
from agd.errors import BusyError, DatabaseError, InputError

__all__ = ["MAJOR_VERSION", "EmbeddedServer", "ServerStatus", "binary"]

_log = logging.getLogger(__name__)

_STALL_S = 90.0
_LAUNCHES = 3
_START_LOCK_S = 180.0
_LOOKS = 10  # outlast the moment in which another process only looks at a lock
_AILING_GRACE_S = 2.0
_RESTART_PATIENCE_S = 5.0


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
        with self._mutex, _system_errors(self._home), Waiting(f"the server of {self._home}") as waiting:
            folder = make_folder(self._home)
            if self._client_lock is None:
                self._client_lock = _share(folder / supervisor.CLIENTS, waiting)
            try:
                place = self._ensure_running(waiting)
            except BaseException:
                self._drop()
                raise
            return _url(place)

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
        with (
            _system_errors(self._home),
            Waiting(f"the server of {self._home}") as waiting,
            _starting(place.folder, waiting),
            _shut(place, waiting, force=force),
        ):
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
                version=database_cluster.server_version(),
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

    def _ensure_running(self, waiting: Waiting) -> Place:
        """Wait until the server answers: launched where none lives, started anew where nobody can come in.

        Gives up after `_STALL_S` of standstill, and leaves a server alone that starts, recovers or stops.
        """
        started = moved = well = time.monotonic()
        said = ""
        launches: list[int] = []
        while True:
            place = find_place(self._home)
            door = knock(place.socket)
            now = time.monotonic()
            if not supervisor.is_held(place.folder / supervisor.SERVER):
                if len(launches) == _LAUNCHES:
                    tail = database_cluster.log_tail(place, launches[-1])
                    raise DatabaseError(f"PostgreSQL did not start in {place.data}: {tail} (log: {_log_path(place)})")
                launches += self._launch(waiting)
                moved = well = time.monotonic()
                continue
            if not _ailment(place, door):
                if door is Door.OPEN:
                    return place
                well = now
            elif now - well > _AILING_GRACE_S:
                self._restart(waiting)
                moved = well = time.monotonic()
                continue
            if (latest := database_cluster.latest_message(place)) != said:
                said, moved = latest, now
            waiting.reason = _condition(place, said)
            if now - moved > _STALL_S:
                raise DatabaseError(f"no progress for {_STALL_S:.0f} s: {waiting.reason} (log: {_log_path(place)})")
            time.sleep(0.01 if now - started < 1 else 0.2)

    def _launch(self, waiting: Waiting) -> list[int]:
        """Launch unless another process just did; returns the log's size before, nothing if another did."""
        folder = find_place(self._home).folder
        with _starting(folder, waiting):
            cluster_lock = supervisor.open_lock(folder / supervisor.SERVER)
            try:
                if not supervisor.try_lock(cluster_lock):
                    return []
                waiting.reason = f"the data directory of {self._home} to be made"
                with widest_limits():
                    user = find_server_user()
                    place = make_place(self._home, user)
                    return [database_cluster.launch(place, user, self._linger_s, cluster_lock)]
            finally:
                os.close(cluster_lock)

    def _restart(self, waiting: Waiting) -> None:
        """Stop a server that nobody can use, unless another process just did or a look at its folders mends it."""
        with _starting(find_place(self._home).folder, waiting):
            place = make_place(self._home, find_server_user())
            ailment = _ailment(place, knock(place.socket))
            if not ailment:
                return
            _log.warning("%s: starting it anew", ailment)
            waiting.reason = _ending(place)
            if supervisor.postmaster_pid(place.data) is None:
                supervisor.kill_orphans(place.data.stat())
            else:
                supervisor.stop_server(place.folder, place.data, patience_s=_RESTART_PATIENCE_S)


def _ailment(place: Place, door: Door) -> str:
    """What is wrong with a live server that will not pass by itself; empty where it may."""
    is_watched = supervisor.is_held(place.folder / supervisor.SUPERVISOR, by_sharers=True)
    pid = supervisor.postmaster_pid(place.data)
    name = f"the server of {place.folder.parent} (process {pid})"
    if pid is None:
        is_left_alone = not is_watched and door is not Door.OPEN and place.data.is_dir()  # or a killed client makes it
        return f"what is left of a killed server holds {place.data}" if is_left_alone else ""
    if door is Door.OPEN:
        return "" if is_watched else f"{name} has lost the process that watches over it"
    if door is Door.MISSING and supervisor.postmaster_state(place.data) == "ready":
        return f"{name} lives and cannot be reached, its socket {place.socket} is gone or closed"
    return ""


def _condition(place: Place, said: str) -> str:
    """Name whom a client waits for, and what it does."""
    pid = supervisor.postmaster_pid(place.data)
    if pid is None:
        return f"the server of {place.folder.parent} to start or end"
    if supervisor.is_suspended(pid):
        return f"the server of {place.folder.parent}, which is suspended: `kill -CONT {pid}` lets it go on"
    state = supervisor.postmaster_state(place.data) or "starting"
    return f"the server of {place.folder.parent} (process {pid}, {state}): {said or 'it has said nothing yet'}"


def _ending(place: Place) -> str:
    pid = supervisor.postmaster_pid(place.data)
    return f"the server of {place.folder.parent} (process {pid}) to write down what it holds, and end"


def _url(place: Place) -> str:
    return f"{DRIVER}://{ROLE}@/{ROLE}?host={quote(str(place.sockets), safe='')}&port={PORT}"


def _log_path(place: Place) -> Path:
    return place.folder / supervisor.LOG


def _share(path: Path, waiting: Waiting) -> int:
    """Register as a client; waits while a supervisor stops the server."""
    descriptor = supervisor.open_lock(path)
    waiting.reason = f"the server of {path.parent.parent} to stop before it starts again"
    try:
        while not supervisor.try_lock(descriptor, is_shared=True):
            time.sleep(0.005)
        os.utime(descriptor)  # a supervisor sees a client that is gone before it looks
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _shut(place: Place, waiting: Waiting, *, force: bool) -> Iterator[None]:
    """Keep clients out; waits for a supervisor that does so itself, for it stops the server."""
    clients = supervisor.open_lock(place.folder / supervisor.CLIENTS)
    waiting.reason = _ending(place)
    n_refused = 0
    try:
        while not force and not supervisor.try_lock(clients):
            n_refused += supervisor.try_lock(clients, is_shared=True)  # then others share it: they are clients
            supervisor.unlock(clients)
            if n_refused >= _LOOKS:
                pids = ", ".join(map(str, _holders(clients))) or "unknown"
                name = f"the server of {place.folder.parent}"
                raise BusyError(f"{name} has clients (process {pids}): end them, or stop with force")
            time.sleep(0.02)
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
def _starting(folder: Path, waiting: Waiting) -> Iterator[None]:
    """One process at a time makes, launches or stops the server."""
    lock = supervisor.open_lock(folder / "start.lock")
    end = time.monotonic() + _START_LOCK_S
    try:
        while not supervisor.try_lock(lock):
            holders = ", ".join(map(str, _holders(lock))) or "unknown"
            waiting.reason = f"process {holders}, which starts or stops the server of {folder.parent}"
            if time.monotonic() > end:
                raise BusyError(f"{_START_LOCK_S:.0f} s were not enough for {waiting.reason}: end it, or try again")
            time.sleep(0.01)
        yield
    finally:
        os.close(lock)


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
