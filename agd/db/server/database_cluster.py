"""Making a database cluster and launching its server: the steps that need the cluster's lock."""

import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from agd.db.server import supervisor
from agd.db.server.place import ROLE, Place, ServerUser, binary, server_binary
from agd.errors import BusyError, DatabaseError

_log = logging.getLogger(__name__)
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_startup_progress_interval": "1s",
}
_LOG_LIMIT_AT_LAUNCH_BYTES = 1 << 20
_LOG_WINDOW_BYTES = 1 << 16
_HOST_IS_GONE_S = 60.0
_LEAVING_S = 5.0
_LOOK_S = 1.0  # others look at a lock for moments


def make_cluster(place: Place, user: ServerUser, cluster_lock: int) -> None:
    """Make the data directory whole or not at all; the children hold the lock too, should the caller be killed."""
    for remains in place.cluster.glob("data.new*"):
        shutil.rmtree(remains)
    new = place.cluster / f"data.new-{os.getpid()}"
    initdb, postgres = server_binary("initdb", user), server_binary("postgres", user)
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    options = ["--username", ROLE, "--encoding=UTF8", "--locale=C", "--data-checksums", "--auth-local=peer"]

    def run(*command: str | Path, text: str = "") -> None:
        outcome = user.run(command, input=text, capture_output=True, pass_fds=(cluster_lock,))
        if outcome.returncode != 0:
            reason = _last_lines(outcome.stderr or outcome.stdout)
            raise DatabaseError(f"PostgreSQL could not make its data directory in {place.cluster}: {reason}")

    write = ("/bin/sh", "-c", 'cat >"$1"', "sh")
    run(initdb, "-D", new, *options, *settings, "--auth-host=reject", "--no-sync", "--no-instructions")
    run(*write, new / "pg_hba.conf", text=f"local all all peer map={ROLE}\n")
    run(*write, new / "pg_ident.conf", text=f'{ROLE} "{_caller_name()}" {ROLE}\n')
    run(postgres, "--single", "-F", "-D", new, "template1", text=f"ALTER DATABASE postgres RENAME TO {ROLE};\n")
    run(initdb, "-D", new, "--sync-only")
    new.rename(place.data)
    _sync_folder(place.cluster)


def launch(place: Place, user: ServerUser, linger_s: float, cluster_lock: int) -> int:
    """Have the server of a cluster started, whose lock the caller holds and it and its children inherit.

    Returns the size of the log before, in bytes.
    """
    if place.data.is_dir():
        _refuse_other_host(place.folder)
        user.own_folder(place.data)
        _remove_traces(place)
    else:
        make_cluster(place, user, cluster_lock)
    (place.folder / supervisor.HOST).write_text(_host())
    log_path = place.folder / supervisor.LOG
    supervisor.bound_log(log_path, _LOG_LIMIT_AT_LAUNCH_BYTES)
    before = log_path.stat().st_size if log_path.exists() else 0
    _start_supervisor(place, user, linger_s, cluster_lock)
    return before


def _start_supervisor(place: Place, user: ServerUser, linger_s: float, cluster_lock: int) -> None:
    """Start the process that starts the server, watches over it and stops it."""
    postgres: list[str | Path] = [
        server_binary("postgres", user),
        "-D",
        place.data,
        "-k",
        place.sockets,
        "-c",
        "listen_addresses=",
    ]
    own_lock = supervisor.open_lock(place.folder / supervisor.SUPERVISOR)
    try:
        end = time.monotonic() + _LOOK_S
        while not supervisor.try_lock(own_lock, is_shared=True) and time.monotonic() < end:
            time.sleep(0.005)
        numbers = (linger_s, cluster_lock, user.uid, user.gid)
        with (place.folder / supervisor.LOG).open("ab") as log:
            outcome = subprocess.run(  # noqa: S603 - own arguments
                [sys.executable, "-I", "-S", supervisor.__file__, place.folder, *map(str, numbers), *postgres],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                pass_fds=(own_lock, cluster_lock),
                start_new_session=True,
            )
    finally:
        os.close(own_lock)
    if outcome.returncode < 0:  # killed, which says nothing of the next
        _log.warning("what starts the server of %s was killed (signal %d)", place.data, -outcome.returncode)
    elif outcome.returncode > 0:
        raise DatabaseError(
            f"the process that starts the server of {place.data} did not start (exit {outcome.returncode}): try again, "
            f"and see {place.folder / supervisor.LOG}"
        )


def server_version() -> str:
    """Version of the wheel's PostgreSQL, such as 18.4."""
    outcome = subprocess.run([binary("postgres"), "--version"], check=True, capture_output=True, text=True)  # noqa: S603 - own path
    return outcome.stdout.split()[-1]


def log_tail(place: Place, since_bytes: int = 0) -> str:
    """Return the last lines that the server wrote, as one line."""
    try:
        text = (place.folder / supervisor.LOG).read_bytes()[since_bytes:].decode(errors="replace")
    except FileNotFoundError:
        text = ""
    return _last_lines(text)


def latest_message(place: Place) -> str:
    """Return the last line the server wrote of its own accord, which changes while it recovers."""
    try:
        with (place.folder / supervisor.LOG).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_WINDOW_BYTES))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return next((line for line in reversed(text.splitlines()) if " LOG:  " in line), "").partition(" LOG:  ")[2]


def _remove_traces(place: Place) -> None:
    """Remove what a killed server left; the lock says that none lives, and Linux tells of one that has no part in it.

    One whose locks were removed is about to end, and takes what it finds at its socket's path with it.
    """
    data = place.data.stat()
    end = time.monotonic() + _LEAVING_S
    while pids := supervisor.residents(data):
        if time.monotonic() > end:
            pid = supervisor.postmaster_pid(place.data) or pids[0]
            raise BusyError(f"process {pid}, not started by agd, serves {place.data}: stop it first")
        time.sleep(0.02)
    for trace in (place.data / "postmaster.pid", *place.sockets.glob(".s.PGSQL.*")):
        trace.unlink(missing_ok=True)


def _refuse_other_host(folder: Path) -> None:
    mark = folder / supervisor.HOST
    try:
        other, other_boot, *_ = [*mark.read_text().splitlines(), "", ""]
        written = mark.stat().st_mtime
    except FileNotFoundError:
        return
    host, boot, *_ = _host().splitlines()
    if other == host or (boot and other_boot == boot):
        return
    probe = folder / "now"
    probe.touch()
    age_s = probe.stat().st_mtime - written
    probe.unlink()
    if age_s < _HOST_IS_GONE_S:
        raise BusyError(
            f"{folder.parent} is served on host {other} (seen {max(age_s, 0):.0f} s ago) and one host alone can do it: "
            f"set AGD_DATABASE_URL to a PostgreSQL server; if that host is gone, try again in {_HOST_IS_GONE_S:.0f} s"
        )


def _host() -> str:
    """Name of this host and of its boot; containers of one kernel share the boot."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        boot = "-"
    return f"{os.uname().nodename}\n{boot}\n"


def _caller_name() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _last_lines(text: str, n: int = 4) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-n:]) or "it wrote nothing"
