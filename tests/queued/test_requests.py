"""Screenings and generations that are left to the queue: jobs, tried again, held and never lost as steps are."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from agd.db.record import jobs
from agd.filters import FilterOptions
from agd.spec import ResolvedSpec
from agd.steps import requests
from agd.steps.campaign.opening import open_campaign
from agd.steps.generation.generating import GenerationPlan
from agd.steps.generation.tallying import Keeping
from agd.steps.requests import Plan
from agd.steps.screening.screening import ScreenerChoice, ScreeningPlan, screen
from agd.steps.structures.structuring import StructurePlan
from agd.work.workspace import Workspace
from agd_workflows import former
from agd_workflows.engine import FireWorksEngine
from agd_workflows.launching import open_queue

MakeSpec = Callable[..., ResolvedSpec]
PLAN = ScreeningPlan("small", "starter", ("baseline",), ScreenerChoice(options=("n_trees=5",)), max_elements=4)
TRAINING, SCREENING = "small: train baseline screener", "small: screen starter"


@pytest.fixture
def queue(queue: Any, make_spec: MakeSpec) -> Any:
    """With a campaign that nobody runs: its initial labels are all that is needed."""
    open_campaign(queue.workspace, make_spec())
    return queue


def leave(queue: Any, plan: Plan = PLAN) -> list[int]:
    return list(FireWorksEngine().submit(queue.workspace, plan))


def requested(queue: Any) -> list[tuple[str, str, int]]:
    rows = queue.rows("SELECT title, state, n_attempts FROM v_job WHERE kind <> 'import' ORDER BY id")
    return [(row.title, row.state, row.n_attempts) for row in rows]


def job(queue: Any, title: str) -> int:
    return int(queue.scalar("SELECT max(id) FROM job WHERE title = :title", title=title))


def turn(queue: Any, how: Callable[..., None], title: str) -> None:
    with queue.workspace.database.transaction() as tx:
        how(tx, job(queue, title))


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, kind: str, error: Exception) -> Iterator[None]:
    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setitem(requests.KINDS, kind, replace(requests.KINDS[kind], do=fail))
        yield


def test_a_screening_goes_through_the_queue(queue: Any) -> None:
    ids = leave(queue, replace(PLAN, roles=("baseline", "al")))
    assert len(ids) == 3
    assert leave(queue, replace(PLAN, roles=("baseline", "al"))) == ids, "asked for twice, it is done once"
    spec = queue.launchpad.fireworks.find_one({"name": SCREENING})["spec"]
    assert spec["_tasks"] == [{"_fw_name": "agd.job", "job": job(queue, SCREENING)}]
    assert (spec["campaign"], spec["_category"], spec["n_cores"]) == ("small", "screen", 1)
    titles = [TRAINING, "small: train al screener", SCREENING]
    assert requested(queue) == [
        (title, state, 0) for title, state in zip(titles, ("open", "open", "waiting"), strict=True)
    ]
    kept = queue.scalar("SELECT request FROM job WHERE title = :title", title=SCREENING)
    assert ScreeningPlan.of_request(kept) == replace(PLAN, roles=("baseline", "al"))
    assert queue.work() == 3
    assert requested(queue) == [(title, "done", 1) for title in titles]
    assert queue.scalar("SELECT count(*) FROM screening") == 2
    (row,) = queue.rows("SELECT DISTINCT a.kind, a.fw_id FROM screening s JOIN activity a ON a.id = s.activity_id")
    assert (row.kind, row.fw_id) == ("screen", max(ids))
    assert not queue.reconcile()
    assert all(screen(queue.workspace, PLAN).was_there.values())


def test_a_screening_by_a_model_goes_through_the_queue(queue: Any) -> None:
    leave(queue)
    queue.work()
    sha256 = queue.scalar("SELECT tensors_sha256 FROM model_version")
    asked = {"target": "band_gap > 5 eV", "filter": FilterOptions(has_metal=True), "model": sha256[:10]}
    plan = ScreeningPlan(None, "starter", **asked)
    (firework,) = leave(queue, plan)
    title = f"screen starter by random_forest {sha256[:12]}"
    kept = ScreeningPlan.of_request(queue.scalar("SELECT request FROM job WHERE title = :title", title=title))
    assert kept == replace(plan, model="1")
    assert queue.launchpad.fireworks.find_one({"fw_id": firework})["name"] == title
    assert queue.work() == 1
    assert requested(queue)[-1] == (title, "done", 1)
    assert queue.scalar("SELECT count(*) FROM screening WHERE campaign_id IS NULL AND role = 'model'") == 1
    assert not queue.reconcile()
    assert all(screen(queue.workspace, plan).was_there.values())


def test_what_is_asked_for_again_finds_what_is_there(queue: Any) -> None:
    first = leave(queue)
    queue.work()
    assert not set(leave(queue)) & set(first)
    assert queue.work() == 2
    assert requested(queue) == [(title, "done", 1) for title in (TRAINING, SCREENING) * 2]
    assert queue.scalar("SELECT count(*) FROM screening") == 1


def test_a_request_is_tried_again_as_its_error_deserves(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(queue)
    with failing(monkeypatch, "train screener", OSError("disk full")):
        queue.work()
    slow = replace(queue, workspace=replace(queue.workspace, pace=replace(queue.workspace.pace, reconcile_s=60.0)))
    assert not slow.reconcile(), "not at once"
    again = "small (firework 1): train baseline screener: failed (OSError: disk full), queued again"
    assert [str(one) for one in queue.reconcile()] == [again]
    with failing(monkeypatch, "screen", ValueError("no such thing")):
        assert queue.work() == 2
    cure = f"agd jobs retry {job(queue, SCREENING)}"
    parked = f"small (firework 2): parked: screen starter: ValueError: no such thing; `{cure}` tries again"
    assert [str(one) for one in queue.reconcile()] == [parked]
    assert requested(queue) == [(TRAINING, "done", 2), (SCREENING, "parked", 1)]
    assert not queue.reconcile()
    assert queue.work() == 0
    turn(queue, jobs.retry, SCREENING)
    assert [str(one) for one in queue.reconcile()] == ["small: screen starter: due and not in the queue, queued"]
    assert queue.work() == 1
    assert requested(queue)[-1] == (SCREENING, "done", 2)


def test_a_request_that_is_held_waits_for_its_release(queue: Any) -> None:
    leave(queue)
    turn(queue, jobs.hold, TRAINING)
    assert queue.work() == 1, "the firework that was ready learns of it, and calls off the rest"
    assert not queue.reconcile()
    turn(queue, jobs.release, TRAINING)
    queue.work_through()
    assert [state for _, state, _ in requested(queue)] == ["done", "done"]


def test_a_wiped_queue_has_its_requests_again(queue: Any) -> None:
    leave(queue)
    queue.work(1)
    queue.launchpad.connection.drop_database(queue.launchpad.name)
    again = replace(queue, launchpad=open_queue(queue.workspace))
    assert [one.what for one in again.reconcile()] == ["screen starter: due and not in the queue, queued"]
    again.work_through()
    assert requested(queue) == [(TRAINING, "done", 1), (SCREENING, "done", 1)]


def test_a_request_whose_worker_died_is_done_again(queue: Any) -> None:
    leave(queue)
    with queue.workspace.database.transaction() as tx:
        jobs.take(tx, job(queue, TRAINING), lease_s=0.0, threads=1, launch=(1, 1))
    assert "train baseline screener: lost, process" in str(queue.reconcile()[0])
    queue.work_through()
    assert requested(queue) == [(TRAINING, "done", 2), (SCREENING, "done", 1)]


def test_what_a_release_before_has_queued_is_asked_for_again(queue: Any) -> None:
    leave(queue)
    tasks = {TRAINING: {"_fw_name": "agd.train_screener", "role": "baseline"}, SCREENING: {"_fw_name": "agd.screen"}}
    for name, task in tasks.items():
        spec = {"_tasks": [{**task, "request": PLAN.as_request()}], "campaign": "small", "_category": "screen"}
        queue.launchpad.fireworks.update_one({"name": name}, {"$set": {"spec": spec}})
    turn(queue, jobs.cancel, TRAINING)
    turn(queue, jobs.cancel, SCREENING)
    assert [str(one) for one in queue.reconcile()] == ["small: 2 fireworks of a release before, taken out of the queue"]
    assert queue.work() == 2
    assert [state for _, state, _ in requested(queue)] == ["done", "done"]
    assert not queue.reconcile()


def test_a_request_in_several_parameters_is_understood() -> None:
    choice = {"kind": "random_forest", "options": ["n_trees=5"], "seed": 1, "held_out": 0.1, "threads": None}
    options = {"rules": {"max_elements": 4}, "roles": ["al"], "target": None, "formula_column": None}
    asked = {"_fw_name": "agd.screen", "campaign": "small", "pool": "starter", "options": options, "choice": choice}
    learner = ScreenerChoice(options=("n_trees=5",), seed=1)
    assert former.plan_of(asked) == ScreeningPlan("small", "starter", ("al",), learner, max_elements=4)
    keeping = {"keep": "valid", "max_elements": None, "max_atoms": None, "max_count": 2}
    drawn = {"n": 30, "seed": 0, "start": 7, "threads": 1}
    generate = {"_fw_name": "agd.generate", "generation": "g", "generator": 3, "keeping": keeping, "options": drawn}
    assert former.plan_of(generate) == GenerationPlan("g", 3, 30, 0, 7, Keeping("valid", max_count=2))


@pytest.mark.usefixtures("quick")
def test_structures_go_through_the_queue(queue: Any, import_known: Callable[[Workspace], None]) -> None:
    import_known(queue.workspace)
    plan = StructurePlan(("KF", "LiF", "NaF"), templates="alike", potential="spring", campaign="small")
    ids = leave(queue, plan)
    assert leave(queue, plan) == ids, "a job for each formula, asked for twice"
    titles = [f"structures of {formula}, relaxed by spring" for formula in plan.formulas]
    spec = queue.launchpad.fireworks.find_one({"name": titles[0]})["spec"]
    assert (spec["campaign"], spec["_category"]) == ("small", "structure")
    queue.work_through()
    found = {title: (state, n) for title, state, n in requested(queue) if title in titles}
    assert [found[title] for title in titles] == [("done", 1), ("parked", 1), ("done", 1)]
    assert "no structure of Li" in queue.scalar("SELECT reason FROM job WHERE state = 'parked'")
    assert queue.rows("SELECT DISTINCT claim FROM v_claim WHERE reduced_formula IN ('KF', 'NaF')") == [
        ("near the potential's hull",)
    ]


@pytest.mark.parametrize(
    "plan",
    [
        ScreeningPlan("small", "starter", ("al",), ScreenerChoice(options=("n_trees=5",)), limit=3),
        ScreeningPlan(None, "starter", target="band_gap > 5 eV", filter=FilterOptions(must_contain=("O",)), model="3"),
        StructurePlan(("SrYF5", "RbSr2ClF4"), 5, "paper", "chgnet", "small"),
        GenerationPlan("g", 3, 30, keeping=Keeping("valid", max_count=2)),
        GenerationPlan("g", 3, 30, keeping=Keeping(filter=FilterOptions(elements_denied=("F", "Cl")))),
    ],
)
def test_a_request_is_plain_and_whole(plan: Plan) -> None:
    assert type(plan).of_request(json.loads(json.dumps(plan.as_request()))) == plan
