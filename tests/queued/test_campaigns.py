"""Campaigns through the queue: the same rows as in one process, whatever is killed, wiped or done twice."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fireworks import FWAction
from fireworks.utilities.fw_serializers import load_object

from agd import spec
from agd.config import Pace, load_settings
from agd.db.record import activities, campaigns
from agd.db.removals import open_removal
from agd.errors import BusyError, InputError
from agd.loop import LocalEngine
from agd.nets.threads import limited_threads
from agd.plugins.oracles.forests import RandomForest
from agd.spec import ResolvedSpec
from agd.steps.campaign.asking import awaited, tell
from agd.steps.campaign.campaigns import CampaignStep, Step, take
from agd.steps.campaign.extending import Calls, extend
from agd.steps.campaign.kinds import STEPS
from agd.steps.campaign.opening import open_campaign
from agd.steps.campaign.stepping import next_step, perform
from agd.steps.campaign.turns import take_turn
from agd.steps.data.compositions import counts_of
from agd.steps.data.labelling import Measurement
from agd.work.kinds import Kind
from agd.work.retrying import MAX_TRANSIENT
from agd_workflows import task_runs
from agd_workflows.engine import FireWorksEngine
from agd_workflows.launching import Share, open_queue
from agd_workflows.lpad import run_lpad
from agd_workflows.reconciling import Reconciler
from agd_workflows.tasks import Job

PACE = Pace(heartbeat_s=0.5, lease_s=30.0, reconcile_s=0.01)
MakeSpec = Callable[..., ResolvedSpec]
Expected = Callable[[ResolvedSpec], str]

EXTERNAL = """\
[oracle]
kind = "external"

[sampler]
kind = "ucb"
n_warmup = 200

[filter]
is_neutral_in_common_states = false
"""

FORMULAS = """\
name = "small"
target = "band_gap > 6 eV"

[data]
dataset = "starter"

[initial]
n = 30
at_most = 5.0

[budget]
oracle_calls = 12
suggestions_per_iteration = 6

[oracle]
n_trees = 10

[sampler]
n_children = 300
"""


def test_the_task_has_a_lasting_name(queue: Any) -> None:  # noqa: ARG001  it makes our task known
    assert type(load_object({"_fw_name": "agd.job", "job": 1})) is Job


def test_the_same_rows_as_by_the_local_engine(
    queue: Any, make_spec: MakeSpec, expected: Expected, capsys: pytest.CaptureFixture[str]
) -> None:
    resolved = make_spec()
    queue.submit(resolved)
    assert queue.state() == "queued"
    assert len(queue.states()) == 7, "the queue holds one iteration at a time"
    queue.work()
    assert queue.hash() == expected(resolved)
    assert queue.state().startswith("ended")
    assert set(queue.states().values()) == {"COMPLETED"}
    assert not queue.reconcile()
    n_steps = queue.scalar("SELECT count(*) FROM activity WHERE job_id IS NOT NULL AND campaign_id = 1")
    assert queue.scalar("SELECT count(DISTINCT (fw_id, launch_id)) FROM activity WHERE fw_id IS NOT NULL") == n_steps
    assert queue.scalar("SELECT count(*) FROM v_lease") == 0
    capsys.readouterr()
    assert run_lpad(queue.launchpad, ["get_wflows", "-d", "more"]) == 0
    listed = capsys.readouterr().out
    assert "small: suggest 1" in listed
    assert "small: record 1" in listed
    run_lpad(queue.launchpad, ["get_fws", "-s", "COMPLETED", "-d", "count"])
    assert capsys.readouterr().out.strip() == str(n_steps)


def test_a_search_among_formulas_encodes_nothing(queue: Any, expected: Expected, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(FORMULAS)
    resolved = spec.read(tmp_path / "small.toml")
    queue.submit(resolved)
    steps = ["train oracle", "suggest 1", "decode 1", "label 1", "record 1"]
    assert set(queue.states()) == {f"small: {step}" for step in steps}
    queue.work()
    assert queue.hash() == expected(resolved)
    assert queue.state().startswith("ended")
    assert set(queue.states().values()) == {"COMPLETED"}
    assert not queue.reconcile()


def test_an_extended_campaign_goes_on_in_the_queue(queue: Any, tmp_path: Path) -> None:
    for name in ("small", "local"):
        (tmp_path / f"{name}.toml").write_text(FORMULAS.replace('"small"', f'"{name}"'))
    queue.submit(spec.read(tmp_path / "small.toml"))
    queue.work_through()
    assert extend(queue.workspace, "small", Calls.of("+6")).state == "queued"
    assert [str(one) for one in queue.reconcile()] == ["small: suggest 3: due and not in the queue, queued"]
    queue.work_through()
    assert queue.state() == "ended: budget spent"
    assert queue.scalar("SELECT n_charged FROM v_campaign_progress") == 18
    local = open_campaign(queue.workspace, spec.read(tmp_path / "local.toml"))
    for calls in ("+6", None):
        assert LocalEngine().run(queue.workspace, local).is_ended
        if calls is not None:
            extend(queue.workspace, "local", Calls.of(calls))
    assert queue.hash() == queue.hash("local")


@pytest.mark.slow
def test_every_firework_bears_a_second_run(queue: Any, make_spec: MakeSpec, expected: Expected) -> None:
    resolved = make_spec()
    queue.submit(resolved)
    while queue.work(1):
        for row in list(queue.launchpad.fireworks.find({"state": "COMPLETED"})):
            if not row["archived_launches"]:
                queue.launchpad.rerun_fw(row["fw_id"])
    queue.work_through()
    assert queue.hash() == expected(resolved)
    names = [name for name in queue.states() if name.startswith("small: suggest")]
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_processes_of_a_crew_give_the_same_rows(queue: Any, make_spec: MakeSpec, expected: Expected) -> None:
    resolved = make_spec()
    campaign = open_campaign(queue.workspace, resolved)
    seen: list[Step] = []
    outcome = FireWorksEngine().run(queue.workspace, campaign, n_workers=2, on_step=seen.append)
    assert outcome.is_ended
    assert outcome.n_steps == queue.scalar("SELECT count(*) FROM activity WHERE job_id IS NOT NULL AND campaign_id = 1")
    assert Step("train autoencoder") in seen
    assert queue.hash() == expected(resolved)


def test_a_stopped_campaign_goes_on_when_resumed(queue: Any, make_spec: MakeSpec, expected: Expected) -> None:
    resolved = make_spec()
    campaign = queue.submit(resolved)
    queue.work(6)
    with queue.workspace.database.transaction() as tx:
        campaigns.request_stop(tx, campaign.id)
    assert queue.work() == 1, "the firework that was ready learns of it, and calls off the rest"
    assert not queue.reconcile()
    assert queue.state() == "paused"
    queue.submit(resolved)
    queue.work_through()
    assert queue.hash() == expected(resolved)


def test_labels_from_outside_are_waited_for(queue: Any, make_spec: MakeSpec) -> None:
    campaign = queue.submit(make_spec(more=EXTERNAL, budget=10))
    queue.work_through()
    assert queue.state() == "waiting for labels"
    with queue.workspace.database.read() as tx:
        owed = awaited(tx, campaign)
    assert len(owed) > 0
    for row in owed:
        tell(
            queue.workspace, campaign, row.reduced_formula, Measurement(4.0, "me"), measured_on=datetime.now(UTC).date()
        )
    assert [str(one) for one in queue.reconcile()] == ["small: label 1: due and not in the queue, queued"]
    queue.work_through()
    assert queue.scalar("SELECT count(*) FROM suggestion WHERE label_id IS NOT NULL") >= len(owed)


@pytest.mark.slow
def test_what_may_pass_is_tried_again_and_what_may_not_is_parked(
    queue: Any, make_spec: MakeSpec, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = make_spec()
    queue.submit(resolved)
    queue.work(5)
    with failing(monkeypatch, "label", OSError("disk full")):
        queue.work()
    assert queue.scalar("SELECT error_class FROM v_attempt WHERE outcome = 'failed'") == "transient"
    assert "label 1: failed (OSError: disk full), queued again" in str(reconciled(queue)[0])
    queue.work(2)
    with failing(monkeypatch, "suggest", ValueError("no such thing")):
        queue.work()
        assert "parked" in str(reconciled(queue)[0])
        assert queue.state() == "failed"
        assert "ValueError: no such thing" in str(queue.scalar("SELECT parked_reason FROM campaign"))
        assert not queue.reconcile(), "parked is parked"
        assert queue.work() == 0
    queue.submit(resolved)
    queue.work_through()
    assert queue.hash() == expected(resolved)


@pytest.mark.slow
def test_what_fails_again_and_again_is_parked(queue: Any, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.submit(make_spec())
    patient = replace(queue.workspace, pace=replace(queue.workspace.pace, reconcile_s=0.0001))
    with failing(monkeypatch, "encode", OSError("disk full")):
        queue.work()
        for _ in range(3 * MAX_TRANSIENT):
            Reconciler(patient, queue.launchpad).look()
            queue.work()
    assert queue.scalar("SELECT count(*) FROM v_attempt WHERE outcome = 'failed'") == MAX_TRANSIENT + 1
    assert "disk full" in str(queue.scalar("SELECT parked_reason FROM campaign"))


@pytest.mark.slow
def test_one_composition_without_an_answer_stops_nothing(
    queue: Any, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit(make_spec())
    queue.work(5)
    formulas = list(queue.rows("SELECT reduced_formula FROM v_suggestion WHERE outcome = 'new'"))
    label = RandomForest.label

    def refuses(self: RandomForest, counts: Any) -> Any:
        if (counts == refused).all(axis=1).any():
            raise ValueError("not this one")
        return label(self, counts)

    refused = counts_of([formulas[0].reduced_formula])[0]
    monkeypatch.setattr(RandomForest, "label", refuses)
    queue.work_through()
    assert queue.state().startswith("ended")
    reason = queue.scalar("SELECT reason FROM v_suggestion WHERE outcome = 'unanswered'")
    assert reason == "the oracle failed: ValueError: not this one"
    assert queue.scalar("SELECT count(*) FROM v_suggestion WHERE outcome = 'new' AND value IS NULL") == 0


@pytest.mark.slow
def test_a_lost_run_is_found_and_done_again_and_its_ghost_writes_nothing(
    queue: Any, make_spec: MakeSpec, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = make_spec()
    campaign = queue.submit(resolved)
    queue.work(3)
    step = Step("suggest", 1)
    is_computed, may_go_on = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def late(*given: Any) -> Any:
        is_computed.set()
        may_go_on.wait(60)
        return SUGGESTING.work.compute(*given)

    def ghost() -> None:
        try:
            take_turn(replace(queue.workspace, pace=Pace(3600.0, 0.05, 1.0)), campaign.name, step, "fireworks")
        except BusyError as error:
            errors.append(error)

    monkeypatch.setitem(STEPS, "suggest", computing(SUGGESTING, late))
    thread = threading.Thread(target=ghost)
    thread.start()
    assert is_computed.wait(60)
    monkeypatch.setitem(STEPS, "suggest", SUGGESTING)
    time.sleep(0.1)
    assert "suggest 1: lost, process" in str(queue.reconcile()[0])
    queue.work(1)
    may_go_on.set()
    thread.join()
    assert "was given up as lost" in str(errors[0])
    queue.work_through()
    assert queue.hash() == expected(resolved)
    assert queue.scalar("SELECT count(*) FROM v_attempt WHERE outcome = 'lost'") == 1


def test_a_firework_whose_worker_died_is_queued_again(queue: Any, make_spec: MakeSpec, expected: Expected) -> None:
    resolved = make_spec()
    queue.submit(resolved)
    queue.work(4)
    firework, launch_id = queue.launchpad.checkout_fw(Share().fworker(), "here")
    assert not queue.reconcile(), "it may still be alive"
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    row = queue.launchpad.launches.find_one({"launch_id": launch_id})
    history = [{**entry, "created_on": long_ago, "updated_on": long_ago} for entry in row["state_history"]]
    queue.launchpad.launches.update_one({"launch_id": launch_id}, {"$set": {"state_history": history}})
    assert [str(one) for one in queue.reconcile(is_dry=True)] == [
        f"small (firework {firework.fw_id}): decode 1: lost by its worker, queued again"
    ]
    assert queue.states()["small: decode 1"] == "RUNNING", "a dry look changes nothing"
    queue.reconcile()
    assert queue.states()["small: decode 1"] == "READY"
    queue.work_through()
    assert queue.hash() == expected(resolved)


def test_a_firework_that_a_job_of_the_cluster_was_sent_for_is_left_alone(queue: Any, make_spec: MakeSpec) -> None:
    queue.submit(make_spec())
    queue.work(2)
    firework, _ = queue.launchpad.reserve_fw(Share().fworker(), "here")
    assert queue.states()[firework.name] == "RESERVED"
    assert not queue.reconcile()


@pytest.mark.slow
def test_a_wiped_queue_is_rebuilt_and_gives_no_id_again(queue: Any, make_spec: MakeSpec, expected: Expected) -> None:
    resolved = make_spec()
    queue.submit(resolved)
    queue.work(6)
    before = queue.scalar("SELECT max(fw_id) FROM activity")
    queue.launchpad.connection.drop_database(queue.launchpad.name)
    again = replace(queue, launchpad=open_queue(queue.workspace))
    assert [one.what for one in again.reconcile()] == ["record 1: due and not in the queue, queued"]
    again.work_through()
    assert again.hash() == expected(resolved)
    assert again.scalar("SELECT min(fw_id) FROM activity WHERE fw_id > :n", n=before) == before + 1


def test_a_queue_that_says_done_where_the_record_does_not_goes_on(
    queue: Any, make_spec: MakeSpec, expected: Expected
) -> None:
    resolved = make_spec()
    queue.submit(resolved)
    queue.work(3)
    _, launch_id = queue.launchpad.checkout_fw(Share().fworker(), "here")
    queue.launchpad.complete_launch(launch_id, FWAction(), "COMPLETED")
    assert queue.states()["small: suggest 1"] == "COMPLETED"
    assert queue.work() == 1, "decode finds that its turn has not come"
    assert "suggest 1: due and not in the queue, queued" in str(queue.reconcile()[0])
    queue.work_through()
    assert queue.hash() == expected(resolved)


@pytest.mark.slow
def test_a_record_that_is_ahead_of_the_queue_is_passed_over(
    queue: Any, make_spec: MakeSpec, expected: Expected
) -> None:
    resolved = make_spec()
    campaign = queue.submit(resolved)
    queue.work(2)
    for _ in range(4):
        step = next_step(queue.workspace, campaign)
        assert step is not None
        with limited_threads(1):
            perform(queue.workspace, campaign, step)
    queue.work_through()
    assert queue.hash() == expected(resolved)


def test_a_step_that_the_record_has_and_the_queue_not_yet_is_waited_for(queue: Any, make_spec: MakeSpec) -> None:
    campaign = queue.submit(make_spec())
    queue.work(2)
    firework, _ = queue.launchpad.checkout_fw(Share().fworker(), "here")
    assert firework.name == "small: encode"
    with limited_threads(1):
        perform(queue.workspace, campaign, Step("encode"))
    assert not queue.reconcile()
    assert queue.states()["small: encode"] == "RUNNING"


def test_what_goes_on_while_it_is_looked_at_stays(
    queue: Any, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit(make_spec())
    queue.work(2)
    attempts = activities.attempts

    def slowly(*arguments: Any) -> Any:
        monkeypatch.undo()
        queue.work(1)
        return attempts(*arguments)

    monkeypatch.setattr(activities, "attempts", slowly)
    assert not queue.reconcile()
    assert "ARCHIVED" not in queue.states().values()


def test_a_stale_lock_on_a_workflow_is_taken_off(queue: Any, make_spec: MakeSpec) -> None:
    queue.submit(make_spec())
    queue.launchpad.workflows.update_one({}, {"$set": {"locked": True}})
    reconciler = Reconciler(replace(queue.workspace, pace=replace(PACE, lease_s=0.05)), queue.launchpad)
    assert not reconciler.look(), "somebody may be holding it"
    time.sleep(0.1)
    assert "stale lock" in str((reconciler.look() or [None])[0])
    assert queue.launchpad.workflows.find_one({"locked": True}) is None


@pytest.mark.slow
def test_a_parked_campaign_is_resumed_as_often_as_it_takes(
    queue: Any, make_spec: MakeSpec, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = make_spec()
    queue.submit(resolved)
    for _ in range(3):
        with failing(monkeypatch, "encode", ValueError("no such thing")):
            queue.work()
            assert "parked" in str(reconciled(queue)[0])
            reason = queue.scalar("SELECT parked_reason FROM campaign")
            assert reason == "encode: ValueError: no such thing"
            assert queue.scalar("SELECT reason FROM job WHERE title = 'small: encode' AND state = 'parked'") == reason
        queue.submit(resolved)
        assert queue.states()["small: encode"] in {"READY", "ARCHIVED"}
        assert queue.scalar("SELECT count(*) FROM job WHERE state = 'parked'") == 0
    queue.work_through()
    assert queue.hash() == expected(resolved)


def test_a_campaign_that_cannot_be_read_is_no_other_ones_trouble(queue: Any, make_spec: MakeSpec) -> None:
    queue.submit(make_spec("broken"))
    with queue.workspace.database.transaction() as tx:
        open_removal(tx, "a test")
        tx.exec_driver_sql("UPDATE campaign SET spec = spec || '{\"unheard\": 1}'")
    queue.submit(make_spec())
    found = [str(one) for one in queue.reconcile()]
    assert len(found) == 1
    assert found[0].startswith("broken: cannot be looked at (ValidationError")
    assert queue.state() == "queued"
    assert "small: encode" in queue.states()


@pytest.mark.slow
def test_a_long_campaign_begins_new_workflows(
    queue: Any, make_spec: MakeSpec, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_runs, "ITERATIONS_PER_WORKFLOW", 2)
    resolved = make_spec()
    queue.submit(resolved)
    queue.work()
    assert queue.hash() == expected(resolved)
    n_iterations = queue.scalar("SELECT max(number) FROM iteration")
    assert queue.launchpad.workflows.count_documents({}) == 1 + (n_iterations - 1) // 2
    assert len(queue.states()) == 3 + 4 * n_iterations


@pytest.mark.slow
def test_a_run_that_outlived_its_campaign_is_cleared_away(queue: Any, make_spec: MakeSpec) -> None:
    campaign = queue.submit(make_spec())
    queue.work(1)
    firework, launch_id = queue.launchpad.checkout_fw(Share().fworker(), "here")
    LocalEngine().run(queue.workspace, campaign)
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    row = queue.launchpad.launches.find_one({"launch_id": launch_id})
    history = [{**entry, "created_on": long_ago, "updated_on": long_ago} for entry in row["state_history"]]
    queue.launchpad.launches.update_one({"launch_id": launch_id}, {"$set": {"state_history": history}})
    assert [one.fw_id for one in queue.reconcile()] == [firework.fw_id]
    queue.work()
    assert "RUNNING" not in queue.states().values()


def test_a_reset_queue_gives_no_id_again(queue: Any, make_spec: MakeSpec) -> None:
    queue.submit(make_spec())
    queue.work(3)
    queue.launchpad.reset("", require_password=False)
    again = open_queue(queue.workspace)
    assert again.get_new_fw_id() > queue.scalar("SELECT max(fw_id) FROM activity")
    assert again.get_new_launch_id() > queue.scalar("SELECT max(launch_id) FROM activity")


def test_the_engines_keep_out_of_each_others_way(queue: Any, make_spec: MakeSpec) -> None:
    campaign = queue.submit(make_spec())
    with queue.workspace.database.campaign_lock(campaign.id, campaign.name, is_shared=True), pytest.raises(BusyError):
        LocalEngine().run(queue.workspace, campaign)
    with queue.workspace.database.campaign_lock(campaign.id, campaign.name), pytest.raises(BusyError):
        take_turn(queue.workspace, campaign.name, Step("train oracle"), "fireworks")
    LocalEngine().run(queue.workspace, campaign, before={"suggest"})
    assert not queue.reconcile(), "the campaign is the local engine's now"
    assert queue.work() == 4, "what is done is passed over, and suggest is not the queue's any more"
    assert queue.state() == "paused"


def test_a_step_is_leased_once(queue: Any, make_spec: MakeSpec) -> None:
    campaign = open_campaign(queue.workspace, make_spec())
    step = Step("train oracle")
    first = take(queue.workspace, campaign, step, seed=1, lease_s=0.1)
    with pytest.raises(BusyError, match="process"):
        take(queue.workspace, campaign, step, seed=1, lease_s=0.1)
    time.sleep(0.15)
    second = take(queue.workspace, campaign, step, seed=1, lease_s=60.0)
    assert second != first
    with queue.workspace.database.transaction() as tx:
        assert not activities.renew(tx, first, 60.0)
        with pytest.raises(BusyError, match="given up as lost"):
            activities.finish(tx, first)
        activities.finish(tx, second)
    assert take(queue.workspace, campaign, step, seed=1, lease_s=60.0) is None


def test_a_lease_must_outlast_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGD_LEASE_S", "40")
    with pytest.raises(InputError, match="AGD_LEASE_S"):
        load_settings()


SUGGESTING = STEPS["suggest"]


def computing(kind: Kind[CampaignStep], compute: Callable[..., Any]) -> Kind[CampaignStep]:
    """A kind of step that computes something else."""
    return replace(kind, work=replace(kind.work, compute=compute))


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, kind: str, error: Exception) -> Iterator[None]:
    """Let a kind of step raise in its computation."""

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setitem(STEPS, kind, computing(STEPS[kind], fail))
        yield


def reconciled(queue: Any) -> Any:
    """What the first pass that finds something finds: failures are tried again after a while."""
    for _ in range(100):
        if found := queue.reconcile():
            return found
        time.sleep(0.05)
    raise AssertionError("nothing was found")
