"""A database server that goes away at work: what a firework has computed is written when it is back."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agd.config import Pace, Settings
from agd.db.connection import Database, Transaction, open_database
from agd.db.queue.pool import QueuePool
from agd.db.record import activities, jobs
from agd.db.record.jobs import NewJob
from agd.db.server.embedded import EmbeddedServer
from agd.errors import AbsentError
from agd.work.work import Work
from agd.work.workspace import Workspace

PACE = Pace(heartbeat_s=0.2, lease_s=60.0)
LAUNCH = (1, 1)


@dataclass(frozen=True)
class Numbers:
    """What goes from part to part."""

    values: tuple[int, ...]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    """A record on a server of its own, which may be killed."""
    with open_database(Settings(home=home, server_linger_s=0)) as database:
        yield Workspace(database, home / "artifacts", PACE)


def kill(home: Path) -> None:
    """As `kill -9` of the postmaster; its children notice, and are waited for."""
    pid = EmbeddedServer(home).status().pid
    assert pid is not None
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(pid, signal.SIGKILL)
    while any(activities.is_alive(int(child)) for child in children):
        time.sleep(0.01)


def attempt(workspace: Workspace, title: str) -> int:
    with workspace.database.transaction() as tx:
        job_id = jobs.ensure(tx, NewJob("screen", title, title))
        taken = jobs.take(tx, job_id, lease_s=PACE.lease_s, threads=1, seed=None, launch=workspace.launch)
    assert taken is not None
    return taken


def outcome(workspace: Workspace, activity_id: int) -> str:
    with workspace.database.read() as tx:
        row = activities.find(tx, activity_id)
    assert row is not None
    return str(row.outcome)


def summing(home: Path, written: list[int]) -> "Work[str, Numbers, Numbers]":
    """Adds, and has its server killed before it can write."""

    def compute(_shelf: object, _task: str, inputs: Numbers, _progress: object) -> Numbers:
        kill(home)
        return Numbers((sum(inputs.values),))

    def write(_tx: Transaction, _task: str, _activity_id: int, _inputs: Numbers, outputs: Numbers) -> None:
        written.extend(outputs.values)

    return Work(Numbers, Numbers, lambda _tx, _task: Numbers((1, 2, 3)), compute, write)


def do(work: "Work[str, Numbers, Numbers]", workspace: Workspace, activity_id: int) -> None:
    work.do(workspace, "sum", activity_id, activities.finish, lambda *_: None)


def test_a_firework_writes_what_it_computed_when_the_server_is_back(home: Path, workspace: Workspace) -> None:
    launched, written = replace(workspace, launch=LAUNCH), list[int]()
    activity_id = attempt(launched, "one")
    do(summing(home, written), launched, activity_id)
    assert written == [6]
    assert outcome(workspace, activity_id) == "done"


def test_any_other_program_leaves_a_server_that_was_stopped(home: Path, workspace: Workspace) -> None:
    written = list[int]()
    activity_id = attempt(workspace, "two")
    with pytest.raises(AbsentError):
        do(summing(home, written), workspace, activity_id)
    assert not written
    workspace.database.revive()
    assert outcome(workspace, activity_id) == "running", "until its lease has run out"


def test_what_was_committed_unheard_is_not_written_twice(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    launched, written = replace(workspace, launch=LAUNCH), list[int]()
    activity_id = attempt(launched, "three")

    def write(_tx: Transaction, _task: str, _activity_id: int, _inputs: Numbers, outputs: Numbers) -> None:
        written.extend(outputs.values)

    def compute(_shelf: object, _task: str, _inputs: Numbers, _progress: object) -> Numbers:
        monkeypatch.setattr(Database, "transaction", unheard)
        return Numbers((4,))

    transaction = Database.transaction

    @contextmanager
    def unheard(self: Database) -> Iterator[Transaction]:
        monkeypatch.setattr(Database, "transaction", transaction)
        with transaction(self) as tx:
            yield tx
        raise AbsentError("the server went away after COMMIT")

    quiet = replace(launched, pace=replace(PACE, heartbeat_s=600.0))
    do(Work(Numbers, Numbers, lambda _tx, _task: Numbers(()), compute, write), quiet, activity_id)
    assert written == [4]
    assert outcome(workspace, activity_id) == "done"


def test_an_error_is_kept_when_the_server_is_back(home: Path, workspace: Workspace) -> None:
    launched = replace(workspace, launch=LAUNCH)
    activity_id = attempt(launched, "four")

    def compute(_shelf: object, _task: str, _inputs: Numbers, _progress: object) -> Numbers:
        kill(home)
        raise ValueError("a fault of ours")

    work = Work(Numbers, Numbers, lambda _tx, _task: Numbers(()), compute, lambda *_: None)
    with pytest.raises(ValueError, match="a fault of ours"):
        do(work, launched, activity_id)
    with workspace.database.read() as tx:
        row = activities.find(tx, activity_id)
    assert row is not None
    assert (row.outcome, row.error) == ("failed", "ValueError: a fault of ours")


def test_a_queue_that_outlasts_its_server_answers_again(home: Path, workspace: Workspace) -> None:
    pool = QueuePool(workspace.database.url)
    count = "SELECT count(*) FROM queue.document"
    before = pool.run(lambda session: session.execute(count).fetchone())
    kill(home)
    with pytest.raises(AbsentError, match="does not answer"):
        QueuePool(workspace.database.url).run(lambda session: session.execute(count).fetchone())
    pool.outlast(60.0, workspace.database.revive)
    assert pool.run(lambda session: session.execute(count).fetchone(), is_repeatable=True) == before
    pool.close()
