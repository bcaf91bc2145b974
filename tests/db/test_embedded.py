"""The embedded server against the accidents of real life; runs as root and as an ordinary user."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Container, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agd.db.server import database_cluster, embedded, shell_limits, socket_probe, supervisor, waiting
from agd.db.server import place as embedded_place
from agd.db.server.embedded import EmbeddedServer, binary
from agd.errors import BusyError, DatabaseError, InputError

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

CLIENT = """
import sys
from pathlib import Path
from agd.db.server.embedded import EmbeddedServer
print(EmbeddedServer(Path(sys.argv[1]), linger_s=1).acquire(), flush=True)
sys.stdin.read()
"""

COUNTER = """
import sys, time
from pathlib import Path
import psycopg
from agd.db.server.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), linger_s=1)
start = last = time.monotonic()
acknowledged = longest_gap_s = 0
while last - start < float(sys.argv[2]):
    try:
        with server as url, psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            for _ in range(20):
                connection.execute("UPDATE fact SET value = value + 1")
                acknowledged += 1
                now = time.monotonic()
                longest_gap_s, last = max(longest_gap_s, now - last), now
                time.sleep(0.01)
    except psycopg.Error:
        time.sleep(0.05)
print(acknowledged, longest_gap_s)
"""


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder with a short name that the server's user can enter, unlike root's `tmp_path`."""
    with tempfile.TemporaryDirectory(prefix="agd-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def template(open_folder: Path) -> Path:
    """A home with a table of one row, its server stopped."""
    server = EmbeddedServer(open_folder / "template", linger_s=0)
    with server as url:
        execute(url, "CREATE TABLE fact (value int); INSERT INTO fact VALUES (42)")
    server.stop()
    return open_folder / "template"


@pytest.fixture
def home(open_folder: Path, template: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=open_folder)) / "home"
    folder.mkdir()
    folder.parent.chmod(0o755)
    subprocess.run(["cp", "-a", template / "postgres", folder], check=True)
    yield folder
    EmbeddedServer(folder).stop(force=True)
    shutil.rmtree(folder.parent)


def plain(url: str) -> str:
    return url.replace("+psycopg", "")


def execute(url: str, statement: str) -> object:
    with psycopg.connect(plain(url), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone() if cursor.description else None


def value_of(url: str) -> object:
    return execute(url, "SELECT value FROM fact")


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def is_stopped(home: Path) -> bool:
    return EmbeddedServer(home).status().state == "stopped"


def workers(data: Path) -> list[int]:
    """Every process of the server."""
    found = []
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if cwd.readlink() == data:
                found.append(int(cwd.parent.name))
    return found


def postmasters(data: Path) -> list[int]:
    pid = supervisor.postmaster_pid(data)
    return [] if pid is None else [pid]


def supervisors(home: Path) -> list[int]:
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            arguments = line.read_bytes().split(b"\0")
            if str(supervisor.__file__).encode() in arguments and os.fsencode(home / "server") in arguments:
                found.append(int(line.parent.name))
    return found


@contextmanager
def client(home: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", CLIENT, str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def url_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_processes_share_one_private_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "5999")
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    parents = [(folder, folder.stat().st_mode) for folder in home.parents]
    server = EmbeddedServer(home, linger_s=1)
    with server as url, client(home) as other:
        assert url_of(other) == url
        assert execute(url, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'checkpointer'") == (1,)
        assert execute(
            url,
            "SELECT current_user, current_database(), current_setting('listen_addresses'),"
            " current_setting('data_checksums'), current_setting('fsync'), current_setting('server_encoding'),"
            " current_setting('timezone'), (SELECT datcollate FROM pg_database WHERE datname = 'agd')",
        ) == ("agd", "agd", "", "on", "on", "UTF8", "UTC", "C")
        status = server.status()
        assert (status.state, status.has_clients, status.is_pinned, status.url) == ("running", True, False, url)
        for folder in (status.socket_directory, status.data_directory, home / "server"):
            assert folder.stat().st_mode & 0o777 == 0o700
        shown = subprocess.run(
            [binary("psql"), plain(url), "-Atc", "SELECT value FROM fact"], capture_output=True, text=True, check=True
        )
        assert shown.stdout == "42\n"
    assert [(folder, folder.stat().st_mode) for folder in home.parents] == parents


def test_start_does_not_read_the_environment_of_libpq(home: Path) -> None:
    with pytest.MonkeyPatch.context() as hostile:
        for name in ("PGHOSTADDR", "PGSERVICE", "PGUSER", "PGSSLMODE", "PGOPTIONS"):
            hostile.setenv(name, "127.0.0.1")
        server = EmbeddedServer(home, linger_s=0)
        url = server.acquire()
    assert value_of(url) == (42,)
    server.release()


def test_absent_then_stopped(home: Path) -> None:
    assert EmbeddedServer(home / "none").status().state == "absent"
    assert not (home / "none").exists()
    EmbeddedServer(home / "none").stop()
    assert is_stopped(home)


def test_server_stops_after_its_last_client_was_killed(home: Path) -> None:
    with client(home) as first, client(home) as second:
        url = url_of(first)
        assert url_of(second) == url
        first.kill()
        first.wait()
        time.sleep(1.5)
        assert value_of(url) == (42,)
        second.kill()
        second.wait()
        assert eventually(lambda: is_stopped(home))
        assert eventually(lambda: not supervisors(home))


def test_server_outlives_each_client_however_short_its_visit(home: Path) -> None:
    server = EmbeddedServer(home, linger_s=1)
    with server:
        pid = server.status().pid
    for _ in range(15):
        time.sleep(0.25)
        with server:
            pass
        assert server.status().pid == pid


@linux_only
@pytest.mark.parametrize("is_whole", [False, True], ids=["postmaster", "all"])
def test_killed_server_recovers(home: Path, *, is_whole: bool) -> None:
    server = EmbeddedServer(home, linger_s=1)
    with server as url:
        execute(url, "UPDATE fact SET value = 43")
        status = server.status()
        assert status.pid is not None
        for pid in workers(status.data_directory) if is_whole else [status.pid]:
            os.kill(pid, signal.SIGKILL)
        assert value_of(server.acquire()) == (43,)
        assert server.status().pid != status.pid


@linux_only
def test_orphaned_backend_does_not_block_recovery(home: Path) -> None:
    server = EmbeddedServer(home, linger_s=1)
    with server as url, psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.pgconn.send_query(b"DO $$ BEGIN LOOP END LOOP; END $$")
        connection.pgconn.flush()
        status = server.status()
        assert status.pid is not None
        os.kill(status.pid, signal.SIGKILL)
        assert value_of(server.acquire()) == (42,)
        connection.pgconn.finish()


@linux_only
def test_traces_with_a_reused_process_id_do_not_block(home: Path) -> None:
    server = EmbeddedServer(home, linger_s=0)
    status = server.status()
    user = embedded_place.find_server_user()
    sleeping = user.run(["/bin/sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"], capture_output=True)
    pid = int(sleeping.stdout)
    traces = [status.data_directory / "postmaster.pid", status.socket_directory / ".s.PGSQL.5432.lock"]
    for trace in traces:
        trace.write_text(f"{pid}\n{status.data_directory}\n0\n5432\n\n\n0 0\nready\n")
    try:
        with server as url:
            assert value_of(url) == (42,)
    finally:
        os.kill(pid, signal.SIGKILL)


@linux_only
def test_server_started_by_hand_is_left_alone(home: Path) -> None:
    user = embedded_place.find_server_user()
    place = embedded_place.find_place(home)
    postgres = embedded_place.server_binary("postgres", user)
    by_hand = [postgres, "-D", place.data, "-k", place.data]
    user.run(["/bin/sh", "-c", '"$@" >/dev/null 2>&1 </dev/null &', "sh", *by_hand])
    assert eventually(lambda: supervisor.postmaster_pid(place.data) is not None)
    pid = supervisor.postmaster_pid(place.data)
    assert pid is not None
    try:
        with pytest.raises(BusyError, match=f"process {pid}, not started by agd"):
            EmbeddedServer(home, linger_s=0).acquire()
    finally:
        os.kill(pid, signal.SIGINT)
        assert eventually(lambda: not workers(place.data))


@linux_only
def test_server_ends_with_its_supervisor(home: Path) -> None:
    server = EmbeddedServer(home, linger_s=1)
    with server as url:
        execute(url, "UPDATE fact SET value = 43")
        (pid,) = supervisors(home)
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not workers(server.status().data_directory))
        with client(home) as other:
            assert value_of(url_of(other)) == (43,)
            assert len(supervisors(home)) == 1
    assert eventually(lambda: is_stopped(home) and not supervisors(home))


@linux_only
def test_supervisor_ends_with_its_server(home: Path) -> None:
    server = EmbeddedServer(home, linger_s=30)
    with server:
        pass
    server.stop()
    assert eventually(lambda: not supervisors(home))


@linux_only
@pytest.mark.parametrize("damage", ["socket", "folder", "nobody's"])
def test_server_that_lost_its_door_is_started_anew(home: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    server = EmbeddedServer(home, linger_s=1)
    with server:
        before = server.status()
        (path,) = before.socket_directory.glob("*.5432")
        if damage == "folder":
            shutil.rmtree(path.parent)
        else:
            path.unlink()
        if damage == "nobody's":
            with socket.socket(socket.AF_UNIX) as old:
                old.bind(str(path))
        with ExitStack() as stack:
            others = [stack.enter_context(client(home)) for _ in range(2)]
            assert value_of(server.acquire()) == (42,)
            assert {url_of(other) for other in others} == {before.url}
        assert server.status().pid != before.pid
        assert (home / "server" / supervisor.LOG).read_text().count("ready to accept connections") == 2
    assert eventually(lambda: is_stopped(home))
    said = [message for message in caplog.messages if not message.startswith("waiting for")]  # on a busy machine
    assert all("starting it anew" in message for message in said)


@linux_only
def test_server_that_is_not_ready_is_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_STALL_S", 1.0)
    monkeypatch.setattr(embedded, "_AILING_GRACE_S", 0.1)
    server = EmbeddedServer(home, linger_s=1)
    with server:
        before = server.status()
        trace = before.data_directory / "postmaster.pid"
        ready = trace.read_text()
        (path,) = before.socket_directory.glob("*.5432")
        path.rename(path.with_name("door"))
        trace.write_text(ready.replace("ready   ", "starting"))
        with pytest.raises(
            DatabaseError, match=rf"no progress for 1 s: .*process {before.pid}, starting\).*ready to acc"
        ):
            server.acquire()
        path.with_name("door").rename(path)
        trace.write_text(ready)
        assert value_of(server.acquire()) == (42,)
        assert server.status().pid == before.pid


@linux_only
def test_suspended_server_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_STALL_S", 1.0)
    monkeypatch.setattr(socket_probe, "_ANSWER_S", 0.2)
    server = EmbeddedServer(home, linger_s=1)
    with server:
        pid = server.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(DatabaseError, match=f"kill -CONT {pid}"):
                EmbeddedServer(home).acquire()
        finally:
            os.kill(pid, signal.SIGCONT)


@linux_only
def test_moved_home(home: Path) -> None:
    server = EmbeddedServer(home, linger_s=30)
    with server:
        pass
    server.stop()
    elsewhere = home.rename(home.with_name("elsewhere"))
    server = EmbeddedServer(elsewhere, linger_s=1)
    with server as url:
        pid = server.status().pid
        elsewhere.rename(home)
        moved = EmbeddedServer(home, linger_s=1)
        with moved as new_url:
            assert new_url != url
            assert value_of(new_url) == (42,)
            assert moved.status().pid == pid
    assert eventually(lambda: is_stopped(home))
    assert eventually(lambda: not supervisors(elsewhere))


@linux_only
@pytest.mark.parametrize("what", ["home", "server"])
def test_deleted_home_takes_its_server_with_it(home: Path, template: Path, what: str) -> None:
    deep = home.joinpath(*["b" * 40] * 3)  # its socket is in a folder that outlives the home
    subprocess.run(["mkdir", "-p", deep], check=True)
    subprocess.run(["cp", "-a", template / "postgres", deep], check=True)
    server = EmbeddedServer(deep, linger_s=0)
    with server:
        sockets = server.status().socket_directory
        (old,) = supervisors(deep)
        if what == "home":
            while deep.exists():  # the server adds and removes files meanwhile
                shutil.rmtree(deep, ignore_errors=True)
            deep.mkdir()
            subprocess.run(["cp", "-a", template / "postgres", deep], check=True)
        else:
            shutil.rmtree(deep / "server")
        anew = EmbeddedServer(deep, linger_s=1)
        with anew as url:
            assert value_of(url) == (42,)
            assert eventually(lambda: old not in supervisors(deep))
            assert value_of(anew.acquire()) == (42,)
            assert len(supervisors(deep)) == 1
    anew.stop(force=True)
    sockets.rmdir()


@linux_only
def test_limits_of_the_shell_are_not_the_servers(home: Path) -> None:
    limits = "ulimit -S -n 64 -f 2000 -t 3600 -u 100 2>/dev/null || ulimit -S -n 64"
    narrow = "trap '' INT HUP CHLD; cd /; umask 000; exec taskset -c 0"
    command = ["/bin/bash", "-c", f'{limits}; {narrow} "$0" "$@"', sys.executable, "-c", CLIENT, str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert value_of(url_of(process)) == (42,)
            server = EmbeddedServer(home).status()
            own = Path(f"/proc/{server.pid}/limits").read_text()
            assert "Max cpu time              unlimited" in own
            assert "Max file size             unlimited" in own
            open_files = next(line.split()[3] for line in own.splitlines() if line.startswith("Max open files"))
            assert int(open_files) >= 1000
            assert server.pid is not None
            assert os.sched_getaffinity(server.pid) == os.sched_getaffinity(0)
            theirs = Path(f"/proc/{process.pid}/limits").read_text()
            assert "Max open files            64 " in theirs
        finally:
            process.kill()
    assert eventually(lambda: is_stopped(home))


def test_limit_that_cannot_be_lifted_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import resource

    def limit(kind: int) -> tuple[int, int]:
        return (50, 50) if kind == resource.RLIMIT_NPROC else (-1, -1)

    def refuse(kind: int, pair: tuple[int, int]) -> None:
        if pair != limit(kind):
            raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", limit)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    with shell_limits.widest_limits():
        pass
    (message,) = caplog.messages
    assert ": `ulimit -u` 50. To be rid" in message
    assert "agd db stop" in message


@linux_only
@pytest.mark.slow
def test_servers_and_supervisors_killed_at_random_under_clients(home: Path) -> None:
    chance = random.Random(7)
    data = EmbeddedServer(home).status().data_directory
    targets: list[tuple[Callable[[], list[int]], signal.Signals]] = [
        (lambda: postmasters(data), signal.SIGKILL),
        (lambda: postmasters(data), signal.SIGINT),
        (lambda: supervisors(home), signal.SIGKILL),
        (lambda: workers(data), signal.SIGKILL),
        (lambda: workers(data)[-1:], signal.SIGKILL),
    ]
    with ExitStack() as stack:
        command = [sys.executable, "-c", COUNTER, str(home), "60"]
        counters = [stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) for _ in range(3)]
        while counters[0].poll() is None:
            time.sleep(chance.expovariate(1 / 3))
            if chance.random() < 0.15:
                (data.parent / "run" / ".s.PGSQL.5432").unlink(missing_ok=True)
                continue
            find, number = chance.choice(targets)
            for pid in find():
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        said = [(counter.stdout.read() if counter.stdout else "").split() for counter in counters]
    assert all(int(acknowledged) > 0 and float(longest_gap_s) < 30 for acknowledged, longest_gap_s in said)
    assert eventually(lambda: is_stopped(home) and not supervisors(home))
    with EmbeddedServer(home, linger_s=0) as url:
        counted = value_of(url)
    assert isinstance(counted, tuple)
    assert 0 <= counted[0] - 42 - sum(int(acknowledged) for acknowledged, _ in said) < 100  # cut off after their commit


def test_no_wait_without_a_word(home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(waiting, "_NOTICE_S", 0.05)
    monkeypatch.setattr(embedded, "_START_LOCK_S", 0.5)
    server = EmbeddedServer(home, linger_s=0)
    (home / "server").mkdir()
    lock = supervisor.open_lock(home / "server" / "start.lock")
    try:
        assert supervisor.try_lock(lock)
        for attempt in (server.acquire, server.stop):
            with pytest.raises(BusyError, match="0 s were not enough for process"):
                attempt()
    finally:
        os.close(lock)
    waits = [message for message in caplog.messages if message.startswith("waiting for process")]
    assert len(waits) > 3
    if sys.platform == "linux":
        assert f"waiting for process {os.getpid()}, which starts or stops the server of {home} (" in waits[-1]
    assert waits[-1].endswith("Ctrl-C ends the waiting")


def test_what_starts_the_server_is_killed_and_another_starts_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, killed = subprocess.run, ["/bin/sh", "-c", "kill -9 $$"]
    commands: list[list[str]] = []

    def starting(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        if supervisor.__file__ not in command:
            return run(command, **options)
        commands.append(command)
        return run(killed if len(commands) in fatal else command, **options)

    monkeypatch.setattr(subprocess, "run", starting)
    fatal: Container[int] = {1, 2}
    with EmbeddedServer(home, linger_s=0) as url:
        assert value_of(url) == (42,)
    assert len(commands) == 3
    EmbeddedServer(home).stop(force=True)
    fatal = range(100)
    with pytest.raises(DatabaseError, match="did not start"):
        EmbeddedServer(home, linger_s=0).acquire()
    assert len(commands) == 6


@linux_only
def test_six_processes_start_one_server(home: Path) -> None:
    with ExitStack() as stack:
        urls = {url_of(process) for process in [stack.enter_context(client(home)) for _ in range(6)]}
        assert [value_of(url) for url in urls] == [(42,)]
        assert len(supervisors(home)) == 1
        log = (home / "server" / supervisor.LOG).read_text()
        assert log.count("ready to accept connections") == 1
        assert "lock file" not in log


@pytest.mark.slow
def test_no_client_meets_a_server_that_is_being_stopped(home: Path) -> None:
    for pause_ms in range(0, 200, 20):
        with EmbeddedServer(home, linger_s=0.05) as url:
            assert value_of(url) == (42,)
        time.sleep(pause_ms / 1000)


@contextmanager
def being_stopped(home: Path) -> Iterator[int]:
    """A server that its supervisor is stopping, suspended meanwhile, by its process id; in the end it goes on."""
    server = EmbeddedServer(home, linger_s=0)
    with server:
        pid = server.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
    try:
        assert eventually(lambda: supervisor.is_held(home / "server" / supervisor.CLIENTS))
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@linux_only
def test_client_waits_for_a_server_that_is_being_stopped(home: Path) -> None:
    server = EmbeddedServer(home, linger_s=0)
    with being_stopped(home) as pid:
        pass
    with server as url:
        assert value_of(url) == (42,)
        assert server.status().pid != pid


@linux_only
def test_stop_waits_for_a_server_that_is_being_stopped(home: Path) -> None:
    server = EmbeddedServer(home, linger_s=0)
    with being_stopped(home) as pid:
        wakes = threading.Timer(1.0, os.kill, (pid, signal.SIGCONT))
        wakes.start()
        server.stop()
        wakes.join()
    assert server.status().state == "stopped"


def test_forked_child_is_no_client(home: Path) -> None:
    server = EmbeddedServer(home, linger_s=0)
    server.acquire()
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        server.release()
        assert eventually(lambda: is_stopped(home))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_pinned_server_stays_until_stop(home: Path) -> None:
    server = EmbeddedServer(home, linger_s=0)
    url = server.start(pin=True)
    time.sleep(0.5)
    status = server.status()
    assert (status.state, status.is_pinned, status.has_clients) == ("running", True, False)
    with client(home) as other:
        assert url_of(other) == url
        with pytest.raises(BusyError, match=str(other.pid)):
            server.stop()
        assert server.status().is_pinned
        server.stop(force=True)
        assert server.status().state == "stopped"
    server.start(pin=True)
    server.stop()
    assert (server.status().state, server.status().is_pinned) == ("stopped", False)


@pytest.mark.slow
def test_killed_while_making_the_cluster(open_folder: Path, template: Path) -> None:
    home = open_folder / "half"
    with client(home) as process:
        assert eventually(lambda: any(home.glob("postgres/data.new*/global")))
        process.kill()
        process.wait()
        assert supervisor.is_held(home / "server" / supervisor.SERVER)
    server = EmbeddedServer(home, linger_s=0)
    with server as url:
        assert execute(url, "SELECT current_database()") == ("agd",)
        assert sorted(path.name for path in (home / "postgres").iterdir()) == ["data", "run"]
    server.stop()
    assert template.is_dir()


def test_other_major_version(home: Path) -> None:
    (home / "postgres" / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(DatabaseError, match=r"made by PostgreSQL 17 and this agd brings 18: dump it"):
        EmbeddedServer(home).acquire()


def test_refusal_shows_the_servers_words(home: Path) -> None:
    with (home / "postgres" / "data" / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_setting = 1\n")
    with pytest.raises(DatabaseError, match=r"did not start.*no_such_setting") as caught:
        EmbeddedServer(home, linger_s=0).acquire()
    assert "\n" not in str(caught.value)


def test_network_file_system(tmp_path: Path) -> None:
    mounts = f"/dev/sda / ext4 rw 0 0\nhost:/export {tmp_path}/shared\\040home nfs4 rw 0 0\n"
    embedded_place.refuse_network_file_system(tmp_path / "local", mounts)
    embedded_place.refuse_network_file_system(tmp_path / "shared homes", mounts)
    with pytest.raises(InputError, match=r"\(nfs4\).*AGD_HOME.*AGD_DATABASE_URL"):
        embedded_place.refuse_network_file_system(tmp_path / "shared home" / "postgres", mounts)
    over = f"{mounts}tmpfs {tmp_path}/shared\\040home tmpfs rw 0 0\n"
    embedded_place.refuse_network_file_system(tmp_path / "shared home", over)


def test_network_file_system_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_place, "read_mounts", lambda: "host:/ / nfs rw 0 0\n")
    with pytest.raises(InputError, match="network file system"):
        EmbeddedServer(tmp_path / "home").acquire()
    assert not (tmp_path / "home" / "postgres").exists()


def test_other_host(home: Path) -> None:
    mark = home / "server" / supervisor.HOST
    mark.parent.mkdir()
    mark.write_text("elsewhere\nother-boot\n")
    with pytest.raises(BusyError, match=r"served on host elsewhere.*AGD_DATABASE_URL"):
        EmbeddedServer(home, linger_s=0).acquire()
    long_ago = time.time() - 3600
    os.utime(mark, (long_ago, long_ago))
    with EmbeddedServer(home, linger_s=0) as url:
        assert value_of(url) == (42,)
        assert mark.read_text().splitlines()[0] == os.uname().nodename


@root_only
def test_other_user_is_refused(home: Path) -> None:
    server = EmbeddedServer(home, linger_s=0)
    with server as url:
        nobody = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}
        psql = embedded_place.server_binary("psql", embedded_place.find_server_user())
        command = [psql, plain(url), "-c", "SELECT 1"]
        closed = subprocess.run(command, capture_output=True, text=True, check=False, **nobody)
        assert "Permission denied" in closed.stderr
        sockets = server.status().socket_directory
        for path in (sockets.parent, sockets, *sockets.glob(".s.PGSQL.*")):
            path.chmod(0o777)
        known = subprocess.run(command, capture_output=True, text=True, check=False, **nobody)
        assert "Peer authentication failed" in known.stderr


@root_only
@pytest.mark.slow
def test_home_that_the_server_user_cannot_enter(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedServer(closed / "home", linger_s=0)
    with server as url:
        status = server.status()
        assert execute(url, "SELECT current_setting('data_directory')") == (str(status.data_directory),)
    try:
        assert status.data_directory.parent.parent == Path("/var/lib/agd")
        assert status.data_directory.parent.stat().st_mode & 0o777 == 0o700
        assert closed.stat().st_mode & 0o777 == 0o700
        server.stop()
    finally:
        shutil.rmtree(status.data_directory.parent)
    with pytest.raises(DatabaseError, match="which is gone: bring it back"):
        server.acquire()
    shutil.rmtree(closed / "home")
    with server:
        anew = server.status().data_directory
        assert anew.parent.name[:16] == status.data_directory.parent.name[:16]
        assert anew != status.data_directory
    server.stop()
    shutil.rmtree(anew.parent)


@root_only
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_any_umask(tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch, umask: int) -> None:
    shared = open_folder / f"shared-{umask:o}"
    monkeypatch.setattr(embedded_place, "_SHARED_ROOT", shared)
    user = embedded_place.find_server_user()
    before = os.umask(umask)
    try:
        home = tmp_path / "home"
        home.mkdir()
        folder = embedded_place.make_folder(home)
        for spoilt in (0o755, 0o700, 0o000):
            shared.mkdir(exist_ok=True)
            shared.chmod(spoilt)
            folder.chmod(0o500)
            embedded_place.make_folder(home)
            place = embedded_place.make_place(home, user)
            assert place.cluster.parent == shared
            modes = [path.stat().st_mode & 0o777 for path in (shared, place.cluster, place.sockets, folder)]
            assert modes == [0o755, 0o700, 0o700, 0o700]
            assert user.can_enter(place.sockets)
    finally:
        os.umask(before)


@root_only
def test_copies_by_root(home: Path) -> None:
    subprocess.run(["cp", "-r", home, home.with_name("copy")], check=True)  # all of it is root's, and open
    for copy in (home.with_name("copy"), home):
        with EmbeddedServer(copy, linger_s=0) as url:
            assert value_of(url) == (42,)
            assert EmbeddedServer(copy).status().data_directory.stat().st_mode & 0o777 == 0o700
        EmbeddedServer(copy).stop()
    home.chmod(0o700)
    with pytest.raises(DatabaseError, match=rf"user agd, who cannot enter {home}: `chmod o\+x`"):
        EmbeddedServer(home, linger_s=0).acquire()
    home.chmod(0o755)


@root_only
def test_two_homes_never_share_a_database(tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_place, "_SHARED_ROOT", open_folder / "shared-copies")
    user = embedded_place.find_server_user()
    home = tmp_path / "home"
    home.mkdir()
    embedded_place.make_folder(home)
    place = embedded_place.make_place(home, user)
    (tmp_path / "link").symlink_to(home)
    assert embedded_place.make_place(tmp_path / "link", user) == place
    shutil.copytree(home, tmp_path / "copy")
    with pytest.raises(DatabaseError, match="are copies, and both name"):
        embedded_place.make_place(tmp_path / "copy", user)
    shutil.rmtree(tmp_path / "copy")
    home.rename(tmp_path / "moved")
    assert embedded_place.make_place(tmp_path / "moved", user).cluster == place.cluster


@pytest.mark.parametrize("name", ["Smith, John", " a'b\"c %41 $HOME \\ -D @;#=&?[x]{y}:*~ é🎉"])
def test_any_name(home: Path, name: str) -> None:
    odd = home.rename(home.with_name(name))
    try:
        with EmbeddedServer(odd, linger_s=0) as url:
            assert value_of(url) == (42,)
            shown = subprocess.run(
                [binary("psql"), plain(url), "-Atc", "TABLE fact"], capture_output=True, text=True, check=True
            )
            assert shown.stdout == "42\n"
        EmbeddedServer(odd).stop()
    finally:
        odd.rename(home)


@root_only
def test_programs_that_the_server_user_cannot_reach_are_copied(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = embedded_place.find_server_user()
    monkeypatch.setattr(embedded_place, "_SHARED_ROOT", open_folder / "shared")
    monkeypatch.setattr(embedded_place.ServerUser, "can_enter", lambda *_: False)
    for program in ("postgres", "initdb"):
        path = embedded_place.server_binary(program, user)
        assert path.is_relative_to(open_folder / "shared")
        assert "18." in user.run([path, "--version"], capture_output=True).stdout


def test_long_home_gets_a_short_private_socket(home: Path, template: Path) -> None:
    deep = home.joinpath(*["a" * 40] * 3)
    deep.mkdir(parents=True)
    subprocess.run(["cp", "-a", template / "postgres", deep], check=True)
    server = EmbeddedServer(deep, linger_s=0)
    with server as url:
        sockets = server.status().socket_directory
        assert value_of(url) == (42,)
        assert sockets.parent == Path("/tmp").resolve()  # noqa: S108 - where it must be
        assert sockets.stat().st_mode & 0o777 == 0o700
    server.stop()
    sockets.rmdir()
    sockets.symlink_to(home)
    try:
        with pytest.raises(DatabaseError, match="belongs to user id"):
            server.acquire()
    finally:
        sockets.unlink()


def test_log_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / supervisor.LOG
    with log.open("ab") as writer:
        writer.write(b"x" * 1000)
        writer.flush()
        supervisor.bound_log(log, 1000)
        assert log.stat().st_size == 1000
        writer.write(b"y")
        writer.flush()
        supervisor.bound_log(log, 1000)
        writer.write(b"z")
    assert log.read_bytes() == b"z"
    assert (tmp_path / "server.log.1").read_bytes() == b"x" * 999 + b"y"


def test_progress_is_what_the_server_says_of_itself(tmp_path: Path) -> None:
    place = embedded_place.Place(tmp_path, tmp_path)
    assert database_cluster.latest_message(place) == ""
    lines = "t LOG:  redo in progress, elapsed time: 1.00 s\nt FATAL:  the database system is starting up\n"
    (tmp_path / supervisor.LOG).write_text(lines)
    assert database_cluster.latest_message(place) == "redo in progress, elapsed time: 1.00 s"


def test_windows_is_sent_to_a_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(InputError, match="AGD_DATABASE_URL"):
        EmbeddedServer(tmp_path)
