"""Many processes on one queue: nothing is done twice, nothing that was acknowledged is lost."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from fireworks import Firework, LaunchPad, PyTask

from agd.db.queue.pool import Session
from agd_workflows.launchpad import open_launchpad
from agd_workflows.mongo.client import QueueClient

HERE = Path(__file__).parent
Start = Callable[..., "subprocess.Popen[str]"]

N_FIREWORKS = int(os.environ.get("AGD_TEST_FIREWORKS", "400"))
N_WORKERS = 8


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Iterator[Start]:
    """Starts a task of queue_worker.py."""
    started: list[subprocess.Popen[str]] = []

    def start_one(task: str, *arguments: str) -> "subprocess.Popen[str]":
        started.append(
            subprocess.Popen(
                [sys.executable, HERE / "queue_worker.py", task, database_url, *arguments],
                stdout=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(HERE)},
            )
        )
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def client(database_url: str) -> Iterator[QueueClient]:
    opened = QueueClient(database_url)
    yield opened
    opened.close()


@pytest.fixture
def launchpad(database_url: str) -> Iterator[LaunchPad]:
    opened = open_launchpad(database_url)
    opened.reset("", require_password=False)
    yield opened
    opened.connection.close()


def lines(processes: list["subprocess.Popen[str]"]) -> list[str]:
    """What they print until they end well."""
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [line for output in outputs for line in output.splitlines()]


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_eight_workers_launch_each_firework_once(launchpad: LaunchPad, start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    tasks = (PyTask(func="queue_worker.note", args=[str(log), number]) for number in range(N_FIREWORKS))
    launchpad.bulk_add_wfs([Firework(task) for task in tasks])
    workers = [start("launch") for _ in range(N_WORKERS)]
    for worker in workers:
        assert worker.wait(timeout=580) == 0
    assert Counter(map(int, log.read_text().split())) == Counter(range(N_FIREWORKS))
    assert launchpad.get_fw_ids({"state": "COMPLETED"}, count_only=True) == N_FIREWORKS
    launches = list(launchpad.launches.find({}, {"fw_id": 1, "launch_id": 1, "fworker": 1}))
    assert sorted(one["fw_id"] for one in launches) == list(range(1, N_FIREWORKS + 1))
    assert sorted(one["launch_id"] for one in launches) == list(range(1, N_FIREWORKS + 1))
    assert len({one["fworker"]["name"] for one in launches}) == N_WORKERS


@pytest.mark.slow
def test_no_id_is_given_twice(launchpad: LaunchPad, start: Start) -> None:
    numbers = lines([start("count", "100") for _ in range(6)])
    assert sorted(map(int, numbers)) == list(range(1, 601))
    assert launchpad.get_new_fw_id() == 601


def test_each_claim_is_one_process_s_and_the_highest_priority_goes_first(client: QueueClient, start: Start) -> None:
    ready = [{"fw_id": n, "state": "READY", "spec": {"_priority": n % 7}} for n in range(300)]
    client["agd"]["fireworks"].insert_many(ready)
    claimers = [start("claim") for _ in range(4)]
    claims = [[tuple(map(int, line.split())) for line in lines([claimer])] for claimer in claimers]
    assert sorted(fw_id for each in claims for fw_id, _ in each) == list(range(300))
    for each in claims:
        priorities = [priority for _, priority in each]
        assert priorities == sorted(priorities, reverse=True)


def test_what_was_undone_overwrites_nothing(client: QueueClient, database_url: str) -> None:
    things, other = client["agd"]["things"], QueueClient(database_url)
    things.insert_one({"_id": 1, "mine": 0, "theirs": 0})

    def work() -> None:
        things.update_one({"_id": 1}, {"$inc": {"mine": 1}})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client.pool.whole(work)
    other["agd"]["things"].update_one({"_id": 1}, {"$inc": {"theirs": 1}})
    things.update_one({"_id": 1}, {"$inc": {"mine": 1}})
    assert things.find_one() == {"_id": 1, "mine": 1, "theirs": 1}
    other.close()


def test_one_upsert_inserts(client: QueueClient, start: Start) -> None:
    lines([start("upsert", "50") for _ in range(4)])
    assert list(client["agd"]["things"].find()) == [{"_id": "one", "n": 200}]


def test_a_claim_passes_by_what_another_holds_and_takes_it_when_that_one_dies(
    client: QueueClient, start: Start
) -> None:
    fireworks = client["agd"]["fireworks"]
    fireworks.insert_many([{"fw_id": n, "state": "READY", "spec": {}} for n in (1, 2)])
    holder = start("hold")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "1\n"

    def claim() -> int | None:
        found = fireworks.find_one_and_update(
            {"state": "READY"}, {"$set": {"state": "RESERVED"}}, sort=[("spec._priority", -1)]
        )
        return None if found is None else found["fw_id"]

    assert claim() == 2
    claimed: list[int | None] = []
    waiting = threading.Thread(target=lambda: claimed.append(claim()))
    waiting.start()  # only the held one is left: the lock is waited for
    waiting.join(0.5)
    assert claimed == []
    holder.kill()
    waiting.join(30)
    assert claimed == [1]
    assert claim() is None


def test_what_was_acknowledged_outlives_a_kill(client: QueueClient, start: Start) -> None:
    writer = start("insert")
    assert writer.stdout is not None
    for _ in range(200):
        last = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    last = max([last, *map(int, writer.communicate()[0].split())])
    kept = [document["_id"] for document in client["agd"]["things"].find()]
    assert kept in (list(range(last + 1)), list(range(last + 2)))


def test_a_lost_connection_is_replaced(client: QueueClient, database_url: str) -> None:
    things = client["agd"]["things"]
    things.insert_one({"_id": 1})
    tries: list[int] = []

    def work_slowly(session: Session) -> None:
        tries.append(session.info.backend_pid)
        session.execute("SELECT pg_sleep(%s)", [0 if len(tries) > 1 else 60])

    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as other:
        end_all = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        other.execute(end_all)
        assert things.find_one() == {"_id": 1}
        other.execute(end_all)
        things.update_one({"_id": 1}, {"$set": {"a": 1}})
        cut = threading.Timer(0.5, other.execute, [end_all])
        cut.start()
        client._store.pool.transact(work_slowly)
        cut.join()
    assert len(set(tries)) == 2  # nothing was committed the first time
    assert things.find_one() == {"_id": 1, "a": 1}


def test_a_forked_child_opens_its_own_connection(client: QueueClient) -> None:
    things = client["agd"]["things"]
    things.insert_one({"_id": 1, "n": 0})
    for _ in range(3):
        child = os.fork()
        if not child:
            try:
                for _ in range(20):
                    things.update_one({"_id": 1}, {"$inc": {"n": 1}})
            finally:
                os._exit(0)
        for _ in range(20):
            things.update_one({"_id": 1}, {"$inc": {"n": 1}})
        os.waitpid(child, 0)
    assert things.find_one() == {"_id": 1, "n": 120}
