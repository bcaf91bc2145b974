"""The short way through a launch: how few statements it takes, and that what it leaves is what FireWorks would."""

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fireworks import Firework, FWAction, FWorker, LaunchPad, PyTask, Workflow
from fireworks.core.rocket import Rocket
from fireworks.user_objects.dupefinders.dupefinder_exact import DupeFinderExact
from fireworks.utilities import fw_serializers
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agd.db import schema
from agd.db.connection import Database
from agd.errors import SchemaError
from agd_workflows.atomic_launchpad import WholeLaunchPad
from agd_workflows.launchpad import open_launchpad
from agd_workflows.mongo import documents, launches

CLAIM, END = 1, 1
"""Statements that each may take."""

_names = itertools.count()


@pytest.fixture
def new_launchpad(database_url: str) -> Iterator[Callable[[], WholeLaunchPad]]:
    """Makes empty launchpads."""
    made: list[LaunchPad] = []

    def make() -> WholeLaunchPad:
        made.append(open_launchpad(database_url, f"pad{next(_names)}"))
        made[-1].reset("", require_password=False)
        return made[-1]

    yield make
    for one in made:
        one.connection.close()


@pytest.fixture
def launchpad(new_launchpad: Callable[[], WholeLaunchPad]) -> WholeLaunchPad:
    return new_launchpad()


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Whatever is sent to the server from here on."""
    sent: list[Any] = []
    execute, executemany = psycopg.Cursor.execute, psycopg.Cursor.executemany

    def counted(self: Any, query: Any, values: Any = None, **options: Any) -> Any:
        sent.append((query, values))
        return execute(self, query, values, **options)

    def counted_each(self: Any, query: Any, values: Any, **options: Any) -> Any:
        values = list(values)
        sent.extend((query, row) for row in values)
        return executemany(self, query, values, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    monkeypatch.setattr(psycopg.Cursor, "executemany", counted_each)
    return sent


@pytest.fixture(autouse=True)
def known_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """FireWorks looks for a task by its name and imports all that it ships on the way, its own tests included."""
    for kind in (PyTask, DupeFinderExact):
        monkeypatch.setitem(fw_serializers.SAVED_FW_MODULES, kind.__name__, kind.__module__)


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FireWorks launches where it is."""
    monkeypatch.chdir(tmp_path)


def firework(**spec: Any) -> Firework:
    return Firework(PyTask(func="time.time"), spec=spec)


def chain(n: int) -> Workflow:
    parts = [firework(n=number) for number in range(n)]
    return Workflow(parts, dict(itertools.pairwise(parts)))


def ready(launchpad: LaunchPad) -> list[int]:
    return sorted(launchpad.get_fw_ids({"state": "READY"}))


@pytest.mark.parametrize("n_beside", [0, 300])
def test_one_statement_claims_and_one_ends(launchpad: LaunchPad, statements: list[Any], n_beside: int) -> None:
    launchpad.bulk_add_wfs([chain(3), firework(), *(firework(_priority=-number) for number in range(n_beside))])
    fworker = FWorker("w", ["train", "label"], {"spec.campaign": None})
    launchpad.fireworks.update_many({}, {"$set": {"spec._category": "train"}})
    counts = []
    for _ in range(4):
        statements.clear()
        _, launch_id = launchpad.checkout_fw(fworker, "/")
        n_to_claim = len(statements)
        launchpad.complete_launch(launch_id, FWAction(stored_data={"a": 1}, update_spec={}))
        launchpad.ping_launch(launch_id)
        counts.append((n_to_claim, len(statements) - n_to_claim))
    assert counts[1:] == [(CLAIM, END)] * 3  # what the collections are is read once


def test_a_claim_sorts_nothing_and_reads_nothing_in_order(launchpad: LaunchPad, statements: list[Any]) -> None:
    launchpad.bulk_add_wfs([firework(_priority=number % 10) for number in range(200)])
    launchpad.checkout_fw(FWorker("w", "", {"spec.campaign": None}), "/")
    query, values = statements[-1]
    plan = launchpad.connection.pool.run(lambda session: session.execute(f"EXPLAIN {query}", values).fetchall())
    words = "\n".join(line for (line,) in plan)
    assert "ix_document_checkout" in words
    assert "ix_document_nodes" in words
    assert "Sort" not in words
    assert "Seq Scan on document" not in words


@pytest.mark.usefixtures("in_tmp_path")
def test_a_whole_launch_is_no_more(launchpad: LaunchPad, statements: list[Any]) -> None:
    launchpad.add_wf(chain(4))
    Rocket(launchpad, FWorker(), None).run()
    statements.clear()
    for _ in range(3):
        assert Rocket(launchpad, FWorker(), None).run()
    assert len(statements) == 3 * (CLAIM + END)
    statements.clear()
    assert not Rocket(launchpad, FWorker(), None).run()
    assert len(statements) == CLAIM
    assert launchpad.workflows.find_one({})["state"] == "COMPLETED"


def test_who_runs_long_says_so_in_one_statement(
    launchpad: LaunchPad, statements: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launches, "_FRESH_S", 0.0)
    launchpad.add_wf(firework())
    _, launch_id = launchpad.checkout_fw(FWorker(), "/")
    first = launchpad.launches.find_one({"launch_id": launch_id})["state_history"][0]
    statements.clear()
    launchpad.ping_launch(launch_id)
    launchpad.ping_launch(launch_id, checkpoint={"_task_n": 1})
    assert len(statements) == 2
    history = launchpad.launches.find_one({"launch_id": launch_id})["state_history"]
    assert history[0]["updated_on"] > first["updated_on"]
    assert (history[0]["created_on"], history[0]["checkpoint"]) == (first["created_on"], {"_task_n": 1})
    launchpad.complete_launch(launch_id, FWAction())
    launchpad.ping_launch(launch_id)
    found = launchpad.launches.find_one({"launch_id": launch_id})
    assert [entry["state"] for entry in found["state_history"]] == ["RUNNING", "COMPLETED"]
    assert "updated_on" not in found["state_history"][1]


def test_what_another_process_wrote_meanwhile_counts(launchpad: LaunchPad, database_url: str) -> None:
    other = open_launchpad(database_url, launchpad.name)
    launchpad.bulk_add_wfs([chain(2), chain(2)])
    _, first = launchpad.checkout_fw(FWorker(), "/")
    other.ping_launch(first, checkpoint={"_task_n": 3})
    launchpad.complete_launch(first, FWAction(stored_data={"a": 1}))
    told = launchpad.launches.find_one({"launch_id": first})
    assert (told["state_history"][0]["checkpoint"], told["action"]["stored_data"]) == ({"_task_n": 3}, {"a": 1})
    held, second = launchpad.checkout_fw(FWorker(), "/")
    other.rerun_fw(held.fw_id)
    launchpad.complete_launch(second, FWAction())
    assert launchpad.fireworks.find_one({"fw_id": held.fw_id})["state"] == "READY"
    other.connection.close()


def test_a_firework_that_cannot_be_read_fails_and_the_next_is_taken(launchpad: LaunchPad) -> None:
    launchpad.bulk_add_wfs([firework(_priority=1), firework()])
    wrong, right = ready(launchpad)
    launchpad.fireworks.update_one({"fw_id": wrong}, {"$set": {"spec._tasks": [{"_fw_name": "{{nowhere.Task}}"}]}})
    found, launch_id = launchpad.checkout_fw(FWorker(), "/")
    assert (found.fw_id, launchpad.launches.count_documents({})) == (right, 1)
    assert launchpad.launches.find_one({})["launch_id"] == launch_id
    assert launchpad.fireworks.find_one({"fw_id": wrong})["state"] == "FIZZLED"
    assert launchpad.workflows.find_one({"nodes": wrong})["state"] == "FIZZLED"


@pytest.mark.parametrize(
    "counter", [{"next_fw_id": 9, "next_launch_id": 1}, {"next_fw_id": 9, "next_launch_id": 7.0}, {"next_fw_id": 9}]
)
def test_a_counter_that_was_tampered_with_is_fireworks_own_matter(
    both: tuple[WholeLaunchPad, WholeLaunchPad], counter: dict[str, Any]
) -> None:
    for launchpad in both:
        launchpad.bulk_add_wfs([firework(), firework()])
        launchpad.checkout_fw(FWorker(), "/")
        launchpad.fw_id_assigner.replace_one({}, counter)
    short, long = (Hands(launchpad).do(("launch", FWorker(), "leave")) for launchpad in both)
    assert short == long
    assert content(both[0]) == content(both[1])


def test_a_process_of_the_release_before_does_not_go_on(launchpad: LaunchPad) -> None:
    read = "SELECT d.position, d.id_key, d.revision, d.bson FROM queue.document d"
    with pytest.raises(SchemaError, match=r"d\.bson does not exist"):
        launchpad.connection.pool.run(lambda session: session.execute(read))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("is_adding", [False, True])
def test_an_action_too_large_for_a_document_is_a_file(
    new_launchpad: Callable[[], WholeLaunchPad], monkeypatch: pytest.MonkeyPatch, *, is_adding: bool
) -> None:
    monkeypatch.setattr("fireworks.core.launchpad.GRIDFS_FALLBACK_COLLECTION", "files")
    monkeypatch.setattr(documents, "MAX_BYTES", 300_000)  # more than a chunk of a file
    launchpad = new_launchpad()
    launchpad.add_wf(chain(2))
    taken, launch_id = launchpad.checkout_fw(FWorker(), "/")
    stored = {"a": ["b" * 1000] * 400}
    added = [firework(n=number) for number in range(30)] if is_adding else []
    launchpad.complete_launch(launch_id, FWAction(stored_data=stored, additions=added))
    assert set(launchpad.launches.find_one({"launch_id": launch_id})["action"]) == {"gridfs_id"}
    assert launchpad.get_launch_by_id(launch_id).action.stored_data == stored
    assert launchpad.fireworks.count_documents({}) == 2 + len(added)
    assert launchpad.fireworks.find_one({"fw_id": taken.fw_id})["state"] == "COMPLETED"
    assert launchpad.get_fw_ids({"state": "READY"}, count_only=True) == 1 + len(added)


def test_an_older_schema_has_all_that_was_set(launchpad: LaunchPad, database: Database) -> None:
    launchpad.add_wf(chain(2))
    _, launch_id = launchpad.checkout_fw(FWorker(), "/")
    launchpad.complete_launch(launch_id, FWAction())
    launchpad.checkout_fw(FWorker(), "/")
    before = content(launchpad, lambda document: document)
    with database.transaction() as tx:
        schema.downgrade(tx, "0009")
    with database.transaction() as tx:
        schema.upgrade(tx)
    assert content(launchpad, lambda document: document) == before


@pytest.mark.usefixtures("in_tmp_path")
def test_many_launch_the_children_of_one(launchpad: LaunchPad, database_url: str) -> None:
    first, last, between = firework(), firework(), [firework() for _ in range(24)]
    launchpad.add_wf(Workflow([first, *between, last], {first: between, **{one: [last] for one in between}}))

    def work() -> None:
        own = open_launchpad(database_url, launchpad.name)
        while own.future_run_exists():
            Rocket(own, FWorker(), None).run()
        own.connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert launchpad.workflows.find_one({})["state"] == "COMPLETED"
    assert set(launchpad.workflows.find_one({})["fw_states"].values()) == {"COMPLETED"}
    assert sorted(row["launch_id"] for row in launchpad.launches.find({})) == list(range(1, 27))


# -- the short way and FireWorks' own: the same documents


ACTIONS: dict[str, Callable[[], FWAction | None]] = {
    "store": lambda: FWAction(stored_data={"a": [1.0, {"b": "é"}]}),
    "exit": lambda: FWAction(exit=True),
    "update": lambda: FWAction(update_spec={"told": 1}, mod_spec=[{"_push": {"list": 2}}]),
    "propagate": lambda: FWAction(update_spec={"told": 2}, propagate=True),
    "add": lambda: FWAction(additions=[firework(added=True)]),
    "detour": lambda: FWAction(detours=[firework(detour=True)]),
    "defuse children": lambda: FWAction(defuse_children=True),
    "defuse all": lambda: FWAction(defuse_workflow=True),
    "append": lambda: FWAction(append_wfs=[{"workflow": chain(2), "parents": [], "detour": False}]),
}
FAILED = FWAction(stored_data={"_message": "no"}, exit=True)
WORKERS = (FWorker(), FWorker("w", "train"), FWorker("v", ["train", "label"]), FWorker("u", "", {"spec.campaign": "x"}))
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "_priority": st.integers(0, 2),
        "_category": st.sampled_from(["train", "label"]),
        "_fworker": st.sampled_from("wv"),
        "campaign": st.sampled_from("xy"),
        "_allow_fizzled_parents": st.booleans(),
        "_dupefinder": st.builds(DupeFinderExact),
        "_trackers": st.just([{"filename": "nowhere.txt", "nlines": 3}]),
    },
)
VERBS = st.sampled_from(["pause_fw", "resume_fw", "defuse_fw", "reignite_fw", "rerun_fw", "archive_wf", "pause_wf"])
DEEDS = st.one_of(
    st.tuples(
        st.just("launch"), st.sampled_from(WORKERS), st.sampled_from([*ACTIONS, *["store"] * 8, "fail", "leave"])
    ),
    st.tuples(st.just("reserve"), st.sampled_from(WORKERS)),
    st.tuples(st.just("launch one"), st.integers(1, 6)),
    st.tuples(st.just("end"), st.sampled_from(["store", "store", "fail", *ACTIONS])),
    st.tuples(st.just("do"), VERBS, st.integers(1, 6)),
    st.tuples(st.just("do"), st.just("cancel_reservation"), st.integers(1, 4)),
    st.tuples(st.just("detect_unreserved"), st.sampled_from([{}, {"rerun": True}])),
    st.tuples(st.just("detect_lostruns"), st.sampled_from([{}, {"fizzle": True}, {"rerun": True}])),
)
FLOWS = st.lists(
    st.tuples(st.lists(SPECS, min_size=1, max_size=4), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)))),
    min_size=1,
    max_size=3,
)


def flow(specs: list[dict[str, Any]], pairs: list[tuple[int, int]]) -> Workflow:
    parts = [firework(**spec) for spec in specs]
    links: dict[Firework, list[Firework]] = {}
    for one, other in sorted({(one, other) for one, other in pairs if one < other < len(parts)}):
        links.setdefault(parts[one], []).append(parts[other])
    return Workflow(parts, links)


class Hands:
    """Somebody who does the same deeds on one launchpad."""

    def __init__(self, launchpad: LaunchPad) -> None:
        self.launchpad = launchpad
        self.running: list[int] = []

    def do(self, deed: tuple[Any, ...]) -> Any:
        """What a deed returns, or the kind of its error."""
        try:
            return self._do(*deed)
        except Exception as error:  # noqa: BLE001 - any, to compare it
            return type(error)

    def _do(self, what: str, *given: Any) -> Any:
        match what, given:
            case "launch", (fworker, how):
                return self._launch(fworker, None, how)
            case "launch one", (fw_id,):
                return self._launch(FWorker(), fw_id, "store")
            case "reserve", (fworker,):
                found, launch_id = self.launchpad.reserve_fw(fworker, "/")
                return found and found.fw_id, launch_id
            case "end", (how,):
                return self._end(self.running.pop(0), how) if self.running else None
            case "do", (verb, *arguments):
                done = getattr(self.launchpad, verb)(*arguments)
            case _, (options,):
                done = getattr(self.launchpad, what)(expiration_secs=-60, **options)
        return plain(done) if isinstance(done, dict) else done

    def _launch(self, fworker: FWorker, fw_id: int | None, how: str) -> Any:
        found, launch_id = self.launchpad.checkout_fw(fworker, "/", fw_id)
        if found is None:
            return None
        if how == "leave":
            self.running.append(launch_id)
        else:
            self._end(launch_id, how)
        return plain(found.to_dict()), launch_id

    def _end(self, launch_id: int, how: str) -> Any:
        if how == "fail":
            return plain(self.launchpad.complete_launch(launch_id, FAILED, "FIZZLED"))
        return plain(self.launchpad.complete_launch(launch_id, ACTIONS[how]()))


MOMENTS = {"_id", "created_on", "updated_on", "time_start", "time_end", "runtime_secs", "reservedtime_secs"}
"""With the checkpoint, which the short way writes for the rocket."""


NEW = {"additions", "detours", "append_wfs"}
"""Workflows of an action: ids that are not yet given differ by nature."""


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: one for key, one in value.items() if key not in MOMENTS | {"checkpoint"}}
        return {key: len(one) if key in NEW else plain(one) for key, one in kept.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def content(launchpad: LaunchPad, shown: Callable[[Any], Any] = plain) -> list[Any]:
    return [
        [shown(document) for document in collection.find({}, sort=[(key, 1)])]
        for collection, key in (
            (launchpad.fireworks, "fw_id"),
            (launchpad.launches, "launch_id"),
            (launchpad.workflows, "_id"),
            (launchpad.fw_id_assigner, "_id"),
        )
    ]


@pytest.fixture
def both(new_launchpad: Callable[[], WholeLaunchPad]) -> tuple[WholeLaunchPad, WholeLaunchPad]:
    """One that takes the short way where it can, and one that never does."""
    short, long = new_launchpad(), new_launchpad()
    long.__dict__["_short"] = Longer(long)
    return short, long


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=25, phases=[Phase.generate])
@given(FLOWS, st.lists(DEEDS, min_size=3, max_size=10))
def test_both_ways_leave_the_same(
    both: tuple[WholeLaunchPad, WholeLaunchPad], flows: list[Any], deeds: list[tuple[Any, ...]]
) -> None:
    short, long = map(Hands, both)
    for launchpad in both:
        for collection in (launchpad.fireworks, launchpad.workflows, launchpad.launches):
            collection.delete_many({})
        launchpad._restart_ids(1, 1)
        launchpad.bulk_add_wfs([flow(*given) for given in flows])
    for deed in deeds:
        assert short.do(deed) == long.do(deed)
        assert content(short.launchpad) == content(long.launchpad)


class Longer(launches.Launches):
    """Leaves everything to FireWorks."""

    def claim(self, *_given: Any) -> None:
        return None

    def tell(self, *_given: Any) -> bool:
        return False

    def end(self, *_given: Any) -> None:
        return None
