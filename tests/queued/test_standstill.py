"""What keeps a queue from moving is named with its cure."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import text

from agd.db.record import jobs
from agd.spec import ResolvedSpec
from agd_workflows.launching import Share
from agd_workflows.standstill import why_idle, why_still


def test_what_holds_a_campaign(queue: Any, make_spec: Callable[..., ResolvedSpec]) -> None:
    campaign = queue.submit(make_spec())
    workspace, launchpad = queue.workspace, queue.launchpad
    assert why_still(workspace, launchpad, campaign, ()) is None, "ready, and a worker will come"
    launchpad.pause_fw(1)
    said = why_still(workspace, launchpad, campaign, ()) or ""
    assert "paused in the queue: firework 1 (small: train autoencoder): `agd lpad resume_fws -i 1`" in said
    assert "resume_fws -i 1" in (why_idle(launchpad, Share())() or "")
    launchpad.resume_fw(1)
    launchpad.update_spec([2], {"_fworker": "elsewhere"})
    assert "kept for FireWorks' worker elsewhere" in (why_still(workspace, launchpad, campaign, ()) or "")
    assert "for workers of category train" in (why_idle(launchpad, Share(categories=("label",)))() or "")
    launchpad.defuse_wf(1)
    said = why_still(workspace, launchpad, campaign, ()) or ""
    assert "train autoencoder, train oracle: not in the queue any more" in said
    idle = why_idle(launchpad, Share())
    assert (idle(), idle()) == ("nothing is queued: waiting for work", None), "said once"


def test_a_worker_takes_no_more_than_it_has_room_for(queue: Any, make_spec: Callable[..., ResolvedSpec]) -> None:
    queue.submit(make_spec())
    fireworks = queue.launchpad.fireworks
    needs = {"spec.n_cores": 4, "spec.hours": 3.0, "spec.programs": ["vasp", "lobster"]}
    fireworks.update_one({"name": "small: train oracle"}, {"$set": needs})

    def taken(**limits: Any) -> list[str]:
        share = Share(**limits)
        assert Share.of(share.words()) == share
        ready = {**share.fworker().query, "state": "READY"}
        return sorted(row["name"].removeprefix("small: train ") for row in fireworks.find(ready))

    both, small = ["autoencoder", "oracle"], ["autoencoder"]
    assert taken() == both
    assert (taken(n_cores=4), taken(n_cores=3)) == (both, small)
    assert (taken(hours=3.0), taken(hours=2.5)) == (both, small)
    assert (taken(programs=("vasp", "lobster", "orca")), taken(programs=("vasp",))) == (both, small)
    fireworks.update_one({"name": "small: train autoencoder"}, {"$unset": dict.fromkeys(needs, "")})
    assert taken(n_cores=1, hours=1.0, programs=("orca",)) == small, "what says nothing of its needs is taken"
    why = why_idle(queue.launchpad, Share(n_cores=3))() or ""
    assert "needs more cores, hours or programs than this worker has: firework 2 (small: train oracle)" in why
    assert "needs more" not in (why_idle(queue.launchpad, Share(n_cores=4))() or "")
    launched, _ = queue.launchpad.checkout_fw(Share(n_cores=3, programs=("vasp",)).fworker(), "here")
    assert launched.name == "small: train autoencoder"
    assert queue.launchpad.checkout_fw(Share(n_cores=3).fworker(), "here") == (None, None)


def test_a_lease_is_named_with_its_holder(queue: Any, make_spec: Callable[..., ResolvedSpec]) -> None:
    campaign = queue.submit(make_spec())
    with queue.workspace.database.transaction() as tx:
        job_id = jobs.ensure(tx, jobs.of_step(campaign.id, campaign.name, "train oracle", None))
        taken = jobs.take(tx, job_id, lease_s=3600.0, threads=1, campaign_id=campaign.id)
        tx.execute(text("UPDATE activity SET pid = 7, host = 'far' WHERE id = :id"), {"id": taken})
    said = why_still(queue.workspace, queue.launchpad, campaign, ()) or ""
    assert "train oracle is leased to process 7 on far, until " in said
