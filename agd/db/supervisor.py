"""Stops the embedded server after its last client: a small detached process that loads the standard library alone.

Liveness is the kernel's word: a lock belongs to an open file and ends with the last process that has it open, however
that process dies. Each client shares `clients.lock`; the server and all its children hold `server.lock`, inherited from
the client that started it; `supervisor.lock` is held by the one process that runs this file.
"""

import os
import signal
import sys
import time
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
        pid = int((data / "postmaster.pid").read_text().partition("\n")[0])
        if pid <= 1:
            return None
        if sys.platform != "linux":
            os.kill(pid, 0)
        elif Path(f"/proc/{pid}/cwd").readlink() != data:
            return None
    except (OSError, ValueError):
        return None
    return pid


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
                kill_orphans(data)
            time.sleep(0.01)
    return False


def kill_orphans(data: Path) -> None:
    """Kill the processes that work in the data directory (Linux; elsewhere a server's children end by themselves)."""
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if cwd.readlink() == data:
                os.kill(int(cwd.parent.name), signal.SIGKILL)


def bound_log(path: Path, limit_bytes: int = _LOG_LIMIT_BYTES) -> None:
    """Move the tail of a log that outgrew its limit to `<log>.1` and empty it, open or not: the server appends."""
    with suppress(OSError), path.open("rb+") as log:
        if log.seek(0, os.SEEK_END) > limit_bytes:
            log.seek(-min(_LOG_KEPT_BYTES, limit_bytes), os.SEEK_END)
            path.with_suffix(".log.1").write_bytes(log.read())
            log.truncate(0)


def watch(folder: Path, data: Path, linger_s: float, own_lock: int) -> None:
    """Return once the server was stopped: no client for `linger_s` and not pinned."""
    interval_s = min(1.0, max(0.05, linger_s / 10))
    last_busy = time.monotonic()
    last_beat = 0.0
    while True:
        time.sleep(interval_s)
        now = time.monotonic()
        if now - last_beat >= _HEARTBEAT_S:
            last_beat = now
            with suppress(FileNotFoundError):
                os.utime(folder / HOST)
            bound_log(folder / LOG)
        if (folder / PINNED).exists() or is_held(folder / CLIENTS, by_sharers=True):
            last_busy = now
        elif now - last_busy >= linger_s and _close(folder, data, own_lock):
            return


def _close(folder: Path, data: Path, own_lock: int) -> bool:
    """Stop the server while no client can come in; one that waits finds no supervisor and starts both anew."""
    try:
        clients = open_lock(folder / CLIENTS)
    except FileNotFoundError:
        return True
    if not try_lock(clients) or (folder / PINNED).exists():
        os.close(clients)
        return False
    stop_server(folder, data)
    os.close(own_lock)
    os.close(clients)
    return True


def main(folder: str, data: str, linger_s: str, own_lock: str) -> None:
    """Detach from the client that started this process, then watch."""
    if os.fork():
        os._exit(0)
    watch(Path(folder), Path(data), float(linger_s), int(own_lock))


if __name__ == "__main__":
    main(*sys.argv[1:])
