"""Steps as jobs: what the record says of them, and what becomes of those that somebody holds."""

from collections.abc import Callable
from typing import Any

from fireworks import FWAction

from agd.accounting import STALLED
from agd.db.record import campaigns, jobs
from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps.campaign.campaigns import Campaign, Step, job_of, park
from agd.steps.campaign.opening import open_campaign
from agd_workflows.engine import FireWorksEngine
from agd_workflows.launching import Share
from agd_workflows.standstill import why_still

MakeSpec = Callable[..., ResolvedSpec]
Expected = Callable[[ResolvedSpec], str]


def test_a_firework_names_its_job_and_what_that_needs(queue: Any, make_spec: MakeSpec) -> None:
    queue.submit(make_spec())
    spec = queue.launchpad.fireworks.find_one({"name": "small: suggest 1"})["spec"]
    assert spec["_tasks"] == [{"_fw_name": "agd.job", "job": spec["job"]}]
    assert (spec["campaign"], spec["_category"], spec["n_cores"]) == ("small", "search", 1)
    assert (spec["hours"], spec["programs"]) == (None, [])
    rows = queue.rows("SELECT title, state FROM v_job WHERE campaign = 'small' ORDER BY id")
    assert [row.title for row in rows] == [
        *("small: train autoencoder", "small: train oracle", "small: encode"),
        *(f"small: {kind} 1" for kind in ("suggest", "decode", "label", "record")),
    ]
    assert [row.state for row in rows] == ["open", "open", *["waiting"] * 5]


def test_fireworks_of_a_release_before_are_queued_anew(queue: Any, make_spec: MakeSpec, expected: Expected) -> None:
    """One of them was at work, and says that it is done when its step has been."""
    resolved = make_spec()
    queue.submit(resolved)
    queue.work(3)
    _, launch_id = queue.launchpad.checkout_fw(Share().fworker(), "here")
    for row in list(queue.launchpad.fireworks.find({"state": {"$in": ["RUNNING", "WAITING"]}})):
        kind, _, number = row["name"].removeprefix("small: ").partition(" ")
        task = {"_fw_name": f"agd.{kind}", "campaign": "small", "iteration": int(number)}
        former = {"_tasks": [task], **{key: row["spec"][key] for key in ("campaign", "_category")}}
        queue.launchpad.fireworks.update_one(
            {"fw_id": row["fw_id"]}, {"$set": {"spec": {**former, "_add_launchpad_and_fw_id": True}}}
        )
    assert [str(one) for one in queue.reconcile()] == [
        "small: 4 fireworks of a release before, taken out of the queue",
        "small: suggest 1: due and not in the queue, queued",
    ]
    queue.work(1)
    queue.launchpad.complete_launch(launch_id, FWAction(), "COMPLETED")
    queue.work_through()
    assert queue.hash() == expected(resolved)
    assert not queue.reconcile()


def test_the_steps_that_an_ended_campaign_does_not_come_to_are_cancelled(queue: Any, make_spec: MakeSpec) -> None:
    campaign = queue.submit(make_spec())
    queue.work(3)
    with queue.workspace.database.transaction() as tx:
        campaigns.end(tx, campaign.id, STALLED)
    left = queue.rows("SELECT title, reason FROM v_job WHERE state = 'cancelled' ORDER BY id")
    assert [row.title for row in left] == [f"small: {kind} 1" for kind in ("suggest", "decode", "label", "record")]
    assert {row.reason for row in left} == {f"the campaign has ended: {STALLED}"}
    assert not queue.scalar("SELECT count(*) FROM v_job WHERE state NOT IN ('done', 'cancelled')")


def job(queue: Any, campaign: Campaign, step: Step) -> int:
    with queue.workspace.database.transaction() as tx:
        return jobs.ensure(tx, job_of(campaign, step))


def turned(queue: Any, turn: Callable[..., None], *words: Any) -> None:
    with queue.workspace.database.transaction() as tx:
        turn(tx, *words)


def test_the_local_engine_waits_for_a_step_that_is_held(queue: Any, make_spec: MakeSpec, expected: Expected) -> None:
    resolved = make_spec()
    campaign = open_campaign(queue.workspace, resolved)
    held = job(queue, campaign, Step("train autoencoder"))
    turned(queue, jobs.hold, held, "the cluster is full")
    outcome = LocalEngine().run(queue.workspace, campaign)
    assert (outcome.is_ended, outcome.is_waiting, outcome.is_stopped) == (False, True, False)
    assert outcome.n_steps == 1, "the oracle is trained meanwhile"
    said = f"job {held} (small: train autoencoder) is held: `agd jobs release {held}` lets it go on"
    assert outcome.kept_back == said
    turned(queue, jobs.cancel, held)
    assert "was cancelled: `agd jobs retry" in str(LocalEngine().run(queue.workspace, campaign).kept_back)
    turned(queue, jobs.retry, held)
    assert LocalEngine().run(queue.workspace, campaign).is_ended
    assert queue.hash() == expected(resolved)


def test_a_step_that_somebody_parked_is_taken_up_by_a_resume(queue: Any, make_spec: MakeSpec) -> None:
    campaign = open_campaign(queue.workspace, make_spec())
    parked = job(queue, campaign, Step("train oracle"))
    turned(queue, jobs.park, parked, "no licence")
    turned(queue, jobs.hold, job(queue, campaign, Step("train autoencoder")))
    outcome = LocalEngine().run(queue.workspace, campaign)
    assert (outcome.n_steps, outcome.is_waiting) == (1, True)
    assert queue.scalar("SELECT state FROM job WHERE id = :id", id=parked) == "done"


def test_a_retry_of_its_step_lets_a_parked_campaign_go_on(queue: Any, make_spec: MakeSpec) -> None:
    campaign = queue.submit(make_spec())
    queue.work(2)
    turned(queue, park, campaign, Step("encode"), "no licence")
    queue.work()
    assert queue.scalar("SELECT parked_reason FROM campaign") == "no licence"
    turned(queue, jobs.retry, job(queue, campaign, Step("encode")))
    assert queue.scalar("SELECT parked_reason FROM campaign") is None
    queue.reconcile()
    queue.work(2)
    assert queue.scalar("SELECT state FROM job WHERE kind = 'encode'") == "done"


def test_the_queue_leaves_a_step_alone_that_is_held(queue: Any, make_spec: MakeSpec, expected: Expected) -> None:
    resolved = make_spec()
    campaign = queue.submit(resolved)
    queue.work(2)
    held = job(queue, campaign, Step("encode"))
    turned(queue, jobs.hold, held)
    assert queue.work() == 1, "the firework that was ready learns of it, and calls off the rest"
    assert not queue.reconcile()
    said = f"job {held} (small: encode) is held: `agd jobs release {held}` lets it go on"
    assert why_still(queue.workspace, queue.launchpad, campaign, ()) == f"small: {said}"
    outcome = FireWorksEngine().run(queue.workspace, campaign)
    assert (outcome.is_ended, outcome.is_waiting, outcome.kept_back) == (False, True, said)
    turned(queue, jobs.release, held)
    assert [str(one) for one in queue.reconcile()] == ["small: encode: due and not in the queue, queued"]
    queue.work_through()
    assert queue.hash() == expected(resolved)
