"""Steps as jobs: what the record says of them, and what becomes of those that somebody holds."""

from collections.abc import Callable
from typing import Any

from agd.accounting import STALLED
from agd.db import campaigns
from agd.spec import ResolvedSpec

MakeSpec = Callable[..., ResolvedSpec]
Expected = Callable[[ResolvedSpec], str]


def test_a_firework_names_its_job_and_what_that_needs(queue: Any, make_spec: MakeSpec) -> None:
    queue.submit(make_spec())
    spec = queue.launchpad.fireworks.find_one({"name": "small: suggest 1"})["spec"]
    assert spec["_tasks"] == [{"_fw_name": "agd.job", "job": spec["job"]}]
    assert (spec["campaign"], spec["_category"], spec["n_cores"]) == ("small", "search", 1)
    assert (spec["hours"], spec["programs"]) == (None, [])
    rows = queue.rows("SELECT title, state FROM v_job ORDER BY id")
    assert [row.title for row in rows] == [
        *("small: train autoencoder", "small: train oracle", "small: encode"),
        *(f"small: {kind} 1" for kind in ("suggest", "decode", "label", "record")),
    ]
    assert [row.state for row in rows] == ["open", "open", *["waiting"] * 5]


def test_fireworks_of_a_release_before_are_queued_anew(queue: Any, make_spec: MakeSpec, expected: Expected) -> None:
    resolved = make_spec()
    queue.submit(resolved)
    queue.work(3)
    for row in list(queue.launchpad.fireworks.find({"state": {"$in": ["READY", "WAITING"]}})):
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
