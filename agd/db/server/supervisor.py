"""The embedded server's parent: starts it and stops it after its last client; loads the standard library alone.

Liveness is the kernel's word: a lock belongs to an open file and ends with the last process that has it open, however
that process dies. Each client shares `clients.lock`; the server and all its children hold `server.lock`, inherited from
the client that had it started; each process that runs this file shares `supervisor.lock` and lives as long as the one
server it started. On Linux that server dies with it, too; elsewhere the next client ends a server left alone.

The supervisor works in its folder and names no path, so that a home may be moved while it is served.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CLIENTS = "clients.lock"
SERVER = "server.lock"
SUPERVISOR = "supervisor.lock"
PINNED = "pinned"
HOST = "host"
LOG = "server.log"

_LOG_LIMIT_BYTES = 16 << 20
_LOG_KEPT_BYTES = 1 << 20
_HEARTBEAT_S = 5.0
_ORPHAN_GRACE_S = 2.0
_STATE_LINE = 7  # of postmaster.pid
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def open_lock(path: Path) -> int:
    """Return a descriptor of the lock file; no program executed from here inherits it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def try_lock(descriptor: int, *, is_shared: bool = False) -> bool:
    """Lock at once or not at all."""
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Give a lock back."""
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_held(path: Path, *, by_sharers: bool = False) -> bool:
    """Whether a process holds the lock exclusively, or at all with `by_sharers`."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor, is_shared=not by_sharers)
    finally:
        os.close(descriptor)


def postmaster_pid(data: Path) -> int | None:
    """Process id of the live server of a data directory; on Linux a reused id is told by its working directory."""
    try:
        pid = int((data / "postmaster.pid").read_bytes().partition(b"\n")[0])
        if pid <= 1:
            return None
        if sys.platform != "linux":
            os.kill(pid, 0)
        elif not os.path.samestat(Path(f"/proc/{pid}/cwd").stat(), data.stat()):
            return None
    except (OSError, ValueError):
        return None
    return pid


def postmaster_state(data: Path) -> str:
    """What the server last wrote of itself: starting, ready, stopping, or nothing yet."""
    try:
        return (data / "postmaster.pid").read_text(errors="replace").splitlines()[_STATE_LINE].strip()
    except (OSError, IndexError):
        return ""


def is_suspended(pid: int) -> bool:
    """Whether a process was stopped by a signal or a debugger (Linux)."""
    try:
        return _stat(Path(f"/proc/{pid}"))[0] in {"T", "t"}
    except (OSError, IndexError):
        return False


def residents(data: os.stat_result, parent: int | None = None) -> list[int]:
    """Ids of the server's processes that work in a data directory, however it is called by now (Linux).

    With `parent`, those that are its children.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if not os.path.samestat((process / "cwd").stat(), data) or (process / "comm").read_text() != "postgres\n":
                continue
            if parent is None or _stat(process)[1] == str(parent):
                found.append(int(process.name))
    return found


def kill_orphans(data: os.stat_result, parent: int | None = None) -> None:
    """Kill the server's processes (Linux; elsewhere its children end by themselves)."""
    for pid in residents(data, parent):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _stat(process: Path) -> list[str]:
    """State, parent and so on of a folder of /proc; the name before them may hold anything."""
    return (process / "stat").read_text(errors="replace").rpartition(")")[2].split()


def stop_server(folder: Path, data: Path, *, patience_s: float = 300.0) -> bool:
    """Shut the server down: fast, then at once, then by force; True once none of its processes lives."""
    for step, seconds in ((signal.SIGINT, patience_s), (signal.SIGQUIT, 30.0), (signal.SIGKILL, 10.0)):
        signalled = None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not is_held(folder / SERVER):
                (folder / HOST).unlink(missing_ok=True)
                return True
            pid = postmaster_pid(data)
            if pid is None:
                end = min(end, time.monotonic() + _ORPHAN_GRACE_S)
            elif pid != signalled:
                with suppress(ProcessLookupError):
                    os.kill(pid, step)
                signalled = pid
            if step is signal.SIGKILL:
                with suppress(FileNotFoundError):
                    kill_orphans(data.stat())
            time.sleep(0.01)
    return False


def bound_log(path: Path, limit_bytes: int = _LOG_LIMIT_BYTES) -> None:
    """Move the tail of a log that outgrew its limit to `<log>.1` and empty it, open or not: the server appends."""
    with suppress(OSError), path.open("rb+") as log:
        if log.seek(0, os.SEEK_END) > limit_bytes:
            log.seek(-min(_LOG_KEPT_BYTES, limit_bytes), os.SEEK_END)
            path.with_suffix(".log.1").write_bytes(log.read())
            log.truncate(0)


class _Supervisor:
    """One server and the watch over it; its folder is the working directory."""

    def __init__(self, postgres: list[str], server_lock: int, uid: int, gid: int) -> None:
        """Start the server; it and its children inherit its lock, which this process lets go."""
        identity = {"user": uid, "group": gid, "extra_groups": []} if uid != os.geteuid() else {}
        self._clients_lock = open_lock(Path(CLIENTS))
        self._data = os.stat(postgres[2])  # noqa: PTH116 - as its argument is
        self._server = subprocess.Popen(  # noqa: S603 - own arguments
            postgres,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            umask=0o077,
            pass_fds=(server_lock,),
            start_new_session=True,
            preexec_fn=_bind_child(),  # noqa: PLW1509 - this process has no threads
            **identity,  # type: ignore[call-overload]
        )
        os.close(server_lock)

    def watch(self, linger_s: float) -> None:
        """Return once the server is gone: by itself, or stopped with its home or for want of clients."""
        interval_s = min(1.0, max(0.05, linger_s / 10))
        last_busy = time.monotonic()
        last_beat = 0.0
        last_visit = self._visited_at()
        while self._server.poll() is None:
            time.sleep(interval_s)
            now = time.monotonic()
            if now - last_beat >= _HEARTBEAT_S:
                last_beat = now
                with suppress(OSError):
                    os.utime(HOST)
                bound_log(Path(LOG))
            if not self._has_home():
                self._stop(patience_s=10.0)
                continue
            visit, last_visit = last_visit, self._visited_at()  # who came and went between two looks
            if visit != last_visit or Path(PINNED).exists() or is_held(Path(CLIENTS), by_sharers=True):
                last_busy = now
            elif now - last_busy >= linger_s and try_lock(self._clients_lock):
                if not Path(PINNED).exists():
                    self._stop()
                    Path(HOST).unlink(missing_ok=True)
                    return
                os.close(self._clients_lock)
                self._clients_lock = open_lock(Path(CLIENTS))
        self._end_orphans()

    def _visited_at(self) -> int:
        return os.fstat(self._clients_lock).st_mtime_ns

    def _has_home(self) -> bool:
        """Whether clients can still find the locks of this folder."""
        try:
            return os.path.samestat(Path(CLIENTS).stat(), os.fstat(self._clients_lock))
        except OSError:
            return False

    def _stop(self, patience_s: float = 300.0) -> None:
        """Shut the server down: fast, then at once, then by force."""
        for step, seconds in ((signal.SIGINT, patience_s), (signal.SIGQUIT, 30.0), (signal.SIGKILL, 10.0)):
            self._server.send_signal(step)
            with suppress(subprocess.TimeoutExpired):
                self._server.wait(seconds)
                break
        self._end_orphans()

    def _end_orphans(self) -> None:
        """Wait for what the dead server left, which is this process's by now, and kill what stays."""
        start = time.monotonic()
        while residents(self._data, os.getpid()) and time.monotonic() - start < 2 * _ORPHAN_GRACE_S:
            if time.monotonic() - start > _ORPHAN_GRACE_S:
                kill_orphans(self._data, os.getpid())
            time.sleep(0.02)


def _bind_child() -> Callable[[], None] | None:
    """Inherit what the child leaves; return what it does before exec for the kernel to end it (fast) with this process.

    Linux only.
    """
    if sys.platform != "linux":
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()
    prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def main(folder: str, linger_s: str, server_lock: str, uid: str, gid: str, *postgres: str) -> None:
    """Detach from the client that started this process, start the server, watch it."""
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as a shell may leave it, no child could be waited for
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, signal.SIG_DFL)
    os.chdir(folder)
    try:
        server = _Supervisor(list(postgres), int(server_lock), int(uid), int(gid))
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"FATAL:  the server cannot be run as user id {uid}: {error}")
    server.watch(float(linger_s))


if __name__ == "__main__":
    main(*sys.argv[1:])
