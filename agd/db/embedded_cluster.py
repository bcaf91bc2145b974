"""Making a database cluster and launching its server: the steps that need the cluster's lock."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agd.db import supervisor
from agd.db.embedded_place import ROLE, Place, ServerUser, binary, require_owner, server_binary
from agd.errors import BusyError, DatabaseError

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


def launch(place: Place, user: ServerUser, cluster_lock: int) -> int:
    """Start the server of a cluster whose lock the caller holds; it and its children inherit the lock.

    Returns the size of the log before, in bytes.
    """
    if place.data.is_dir():
        _refuse_other_host(place.folder)
        require_owner(place.data, user)
        _remove_traces(place)
    else:
        make_cluster(place, user, cluster_lock)
    (place.folder / supervisor.HOST).write_text(_host())
    log_path = place.folder / supervisor.LOG
    supervisor.bound_log(log_path, _LOG_LIMIT_AT_LAUNCH_BYTES)
    postgres = server_binary("postgres", user)
    with log_path.open("ab") as log:
        before = log.tell()
        user.run(
            [
                "/bin/sh",
                "-c",
                '"$@" </dev/null &',
                "sh",
                postgres,
                "-D",
                place.data,
                "-k",
                place.sockets,
                "-c",
                "listen_addresses=",
            ],
            stdout=log,
            stderr=log,
            pass_fds=(cluster_lock,),
            start_new_session=True,
        )
    return before


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


def psql_command(url: str, *, is_read_only: bool = False) -> list[str]:
    """Command of an interactive session with the database of a SQLAlchemy URL, by the wheel's psql."""
    scheme, separator, rest = url.partition("://")
    conninfo = f"{scheme.partition('+')[0]}{separator}{rest}"
    if is_read_only:
        given = conninfo_to_dict(conninfo).get("options") or ""
        conninfo = make_conninfo(conninfo, options=f"{given} -c default_transaction_read_only=on".strip())
    return [str(binary("psql")), conninfo]


def _remove_traces(place: Place) -> None:
    """Remove what a killed server left; the lock says none lives, and Linux tells of one started by hand."""
    pid = supervisor.postmaster_pid(place.data)
    if pid is not None and sys.platform == "linux":
        raise BusyError(f"process {pid}, not started by agd, serves {place.data}: stop it first")
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


def spawn_supervisor(place: Place, linger_s: float, own_lock: int) -> None:
    """Start the process that will stop the server; it inherits its lock, so there is never a second one."""
    with (place.folder / supervisor.LOG).open("ab") as log:
        arguments = [str(place.folder), str(place.data), str(linger_s), str(own_lock)]
        outcome = subprocess.run(  # noqa: S603 - own arguments
            [sys.executable, "-I", "-S", supervisor.__file__, *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            pass_fds=(own_lock,),
            start_new_session=True,
        )
    if outcome.returncode != 0:
        raise DatabaseError(
            f"the process that stops the server of {place.data} did not start (exit {outcome.returncode}): try again, "
            f"and see {place.folder / supervisor.LOG}"
        )
