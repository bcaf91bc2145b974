"""Steps for nodes without a database: prepared, computed from the folder alone, ingested once, with the same checks."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agd.config import Pace
from agd.db.removals import open_removal
from agd.errors import BusyError, InputError, ModelError, NotFoundError, StepError
from agd.nets.checkpoint import damage, tensors_path
from agd.nets.threads import limited_threads
from agd.spec import ResolvedSpec
from agd.steps.campaign import offline
from agd.steps.campaign.campaigns import Campaign, Step
from agd.steps.campaign.kinds import STEPS
from agd.steps.campaign.offline import JOB, SPOOL, compute, ingest, prepare
from agd.steps.campaign.opening import open_campaign
from agd.steps.campaign.stepping import next_step, perform
from agd.work import spool
from agd.work.workspace import Workspace
from agd_workflows.cluster import offline as sending
from agd_workflows.cluster import worker_jobs
from agd_workflows.cluster.offline import Sender, folders
from agd_workflows.launching import Share
from agd_workflows.task_runs import lend

MakeSpec = Callable[..., ResolvedSpec]

LEFT = "SELECT extract(epoch FROM lease_expires_at - clock_timestamp())::float8 FROM activity WHERE outcome = 'running'"


@dataclass
class Cluster:
    """A queue of jobs that only a test moves; `jobs` is None while it does not answer."""

    jobs: set[str] | None = field(default_factory=set)
    submitted: list[Path] = field(default_factory=list)
    is_refusing: bool = False

    def submit(self, _adapter: object, folder: Path, _command: str) -> str:
        if self.is_refusing:
            raise StepError("no job was submitted: not you")
        self.submitted.append(folder)
        job = str(len(self.submitted))
        self.jobs = (self.jobs or set()) | {job}
        return job


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster for senders that have an adapter."""
    made = Cluster()
    monkeypatch.setattr(worker_jobs, "submit_command", made.submit)
    monkeypatch.setattr(worker_jobs, "jobs_in_queue", lambda _: made.jobs)
    return made


class Away:
    """A sender with one folder at a time, whose rounds a test calls."""

    def __init__(self, queue: Any, folder: Path, adapter: Any = None, max_jobs: int = 1) -> None:
        self.said: list[str] = []
        self.sender = Sender(
            queue.workspace, queue.launchpad, Share(), folder, 3600.0, self.said.append, max_jobs, adapter
        )

    def look(self) -> list[Path]:
        """One pass with a round; the folders that are away then."""
        self.sender._next_round = 0.0
        self.sender.look()
        return self.sender._away()


@pytest.fixture
def campaign(queue: Any, make_spec: MakeSpec) -> Campaign:
    """A campaign of the local engine, which waits at its second step."""
    return open_campaign(queue.workspace, make_spec())


def advance(workspace: Workspace, campaign: Campaign, kind: str) -> Step:
    """Do what comes before the next step of a kind."""
    while (step := next_step(workspace, campaign)) is not None and step.kind != kind:
        with limited_threads(1):
            perform(workspace, campaign, step)
    assert step is not None
    return step


@pytest.mark.slow
def test_a_campaign_computed_elsewhere_has_the_same_rows(
    queue: Any, make_spec: MakeSpec, expected: Callable[[ResolvedSpec], str], tmp_path: Path
) -> None:
    resolved = make_spec(budget=10)
    queue.submit(resolved)
    lend(queue.workspace)
    said: list[str] = []
    sender = Sender(queue.workspace, queue.launchpad, Share(), tmp_path / "jobs", 3600.0, said.append, 4)
    n_away = 0
    for _ in range(60):
        sender.look()
        queue.reconcile()
        if queue.state().startswith("ended"):
            break
        for folder in sender._away():
            n_away += 1
            compute(folder)
    assert queue.hash() == expected(resolved)
    assert n_away >= 4
    assert set(queue.states().values()) == {"COMPLETED"}
    assert any("recorded" in line for line in said)
    steps = queue.scalar("SELECT count(*) FROM activity WHERE campaign_id = 1 AND launch_id IS NULL")
    assert steps == 0


@pytest.mark.slow
def test_nothing_but_the_folder_is_needed_to_compute(queue: Any, campaign: Campaign, tmp_path: Path) -> None:
    step = advance(queue.workspace, campaign, "suggest")
    assert prepare(queue.workspace, campaign, step, tmp_path / "job", 3600.0)
    shutil.move(queue.workspace.artifacts, tmp_path / "elsewhere")
    words = [sys.executable, "-m", "agd", "compute", str(tmp_path / "job")]
    environment = {"PATH": "/usr/bin:/bin", "AGD_HOME": str(tmp_path / "nowhere")}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "agd ingest" in done.stdout
    assert not (tmp_path / "nowhere").exists(), "no server was started"
    shutil.move(tmp_path / "elsewhere", queue.workspace.artifacts)
    assert ingest(queue.workspace, tmp_path / "job").what == "recorded"
    assert ingest(queue.workspace, tmp_path / "job").what == "recorded before"
    assert queue.scalar("SELECT count(*) FROM activity WHERE kind = 'suggest'") == 1
    assert queue.scalar("SELECT pid FROM activity WHERE kind = 'suggest'") != os.getpid()


def test_a_step_is_away_once(queue: Any, campaign: Campaign, tmp_path: Path) -> None:
    step = Step("train oracle")
    prepare(queue.workspace, campaign, step, tmp_path / "one", 3600.0)
    with pytest.raises(BusyError):
        prepare(queue.workspace, campaign, step, tmp_path / "two", 3600.0)
    with pytest.raises(InputError, match="holds a step already"):
        prepare(queue.workspace, campaign, step, tmp_path / "one", 3600.0)


def test_a_lease_that_ran_out_loses_nothing(queue: Any, campaign: Campaign, tmp_path: Path) -> None:
    step = Step("train oracle")
    prepare(queue.workspace, campaign, step, tmp_path / "one", 0.0)
    compute(tmp_path / "one")
    prepare(queue.workspace, campaign, step, tmp_path / "two", 0.0)
    assert ingest(queue.workspace, tmp_path / "one").what == "recorded", "the second lease ran out, too"
    compute(tmp_path / "two")
    assert ingest(queue.workspace, tmp_path / "two").what == "recorded before"
    outcomes = queue.rows("SELECT outcome FROM activity WHERE kind = 'train oracle' ORDER BY id")
    assert [row.outcome for row in outcomes] == ["lost", "lost", "done"]
    assert queue.scalar("SELECT count(*) FROM model_version") == 1


def test_who_took_the_step_over_keeps_it(queue: Any, campaign: Campaign, tmp_path: Path) -> None:
    step = Step("train oracle")
    prepare(queue.workspace, campaign, step, tmp_path / "one", 0.0)
    compute(tmp_path / "one")
    prepare(queue.workspace, campaign, step, tmp_path / "two", 3600.0)
    with pytest.raises(BusyError, match="being done by"):
        ingest(queue.workspace, tmp_path / "one")


@pytest.mark.slow
def test_an_answer_to_another_question_is_refused(queue: Any, campaign: Campaign, tmp_path: Path) -> None:
    step = advance(queue.workspace, campaign, "suggest")
    prepare(queue.workspace, campaign, step, tmp_path / "one", 0.0)
    compute(tmp_path / "one")
    with queue.workspace.database.transaction() as tx:
        open_removal(tx, "a test")
        tx.exec_driver_sql("UPDATE label SET value = value + 1 WHERE dataset_id IS NOT NULL")
    prepare(queue.workspace, campaign, step, tmp_path / "two", 0.0)
    with pytest.raises(InputError, match="the record has changed"):
        ingest(queue.workspace, tmp_path / "one")


def test_a_damaged_or_altered_spool_is_refused(queue: Any, campaign: Campaign, tmp_path: Path) -> None:
    step = advance(queue.workspace, campaign, "suggest")
    folder = tmp_path / "one"
    prepare(queue.workspace, campaign, step, folder, 3600.0)
    with pytest.raises(InputError, match="cannot be read"):
        ingest(queue.workspace, folder)
    compute(folder)
    whole = (folder / SPOOL).read_bytes()
    (folder / SPOOL).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        ingest(queue.workspace, folder)
    (folder / SPOOL).write_bytes(whole)
    parcel = spool.read(folder / SPOOL)
    parcel.arrays["latents"][0, 0] += 1
    forged = replace(parcel, values={**parcel.values})
    spool.write(folder / "forged.npz", forged)
    content = (folder / "forged.npz").read_bytes()
    assert spool.read(folder / "forged.npz").sha256 != spool.read(folder / SPOOL).sha256
    job = spool.read(folder / JOB)
    spool.write(folder / JOB, replace(job, values={**job.values, "plain": {**job.values["plain"], "n_initial": 2}}))
    with pytest.raises(InputError, match="not of the step beside it"):
        ingest(queue.workspace, folder)
    assert content
    assert queue.scalar("SELECT count(*) FROM suggestion") == 0


def test_another_record_does_not_take_it(
    queue: Any, campaign: Campaign, make_spec: MakeSpec, workspace: Workspace, tmp_path: Path
) -> None:
    prepare(queue.workspace, campaign, Step("train oracle"), tmp_path / "one", 3600.0)
    compute(tmp_path / "one")
    parcel = spool.read(tmp_path / "one" / SPOOL)
    spool.write(tmp_path / "one" / SPOOL, replace(parcel, about={**parcel.about, "campaign": "other"}))
    with pytest.raises(NotFoundError):
        ingest(queue.workspace, tmp_path / "one")
    other = open_campaign(workspace, make_spec("other", budget=3))
    assert other.name == "other"
    with pytest.raises(InputError, match="not of campaign"):
        ingest(queue.workspace, tmp_path / "one")


def test_an_error_comes_back_with_its_class(
    queue: Any, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit(make_spec())
    sender = Sender(queue.workspace, queue.launchpad, Share(), tmp_path, 3600.0, lambda _: None, 4)
    sender.look()

    def broken(*_: object) -> None:
        raise ValueError("no such thing")

    away = sender._away()
    assert [path.name.rsplit("-", 2)[0] for path in away] == ["small-train-autoencoder", "small-train-oracle"]
    with monkeypatch.context() as patched:
        training = STEPS["train oracle"]
        patched.setitem(STEPS, "train oracle", replace(training, work=replace(training.work, compute=broken)))
        with pytest.raises(ValueError, match="no such thing"):
            compute(away[1])
    sender.look()
    assert queue.scalar("SELECT error_class FROM activity WHERE outcome = 'failed'") == "permanent"
    assert queue.states()["small: train oracle"] == "FIZZLED"
    assert "parked" in str(queue.reconcile()[0])


def test_folders_are_found_however_they_are_named(queue: Any, campaign: Campaign, tmp_path: Path) -> None:
    prepare(queue.workspace, campaign, Step("train oracle"), tmp_path / "jobs" / "one", 3600.0)
    compute(tmp_path / "jobs" / "one")
    for path in (tmp_path / "jobs", tmp_path / "jobs" / "one", tmp_path / "jobs" / "one" / SPOOL):
        assert list(folders([path])) == [tmp_path / "jobs" / "one"]


def test_the_pace_of_what_is_away_is_its_own(queue: Any, campaign: Campaign, tmp_path: Path) -> None:
    hasty = replace(queue.workspace, pace=Pace(0.01, 0.02, 0.01))
    prepare(hasty, campaign, Step("train oracle"), tmp_path / "one", 3600.0)
    assert offline.about(tmp_path / "one")["kind"] == "train oracle"
    assert not queue.scalar("SELECT is_expired FROM v_lease")


def test_a_job_is_given_up_when_two_looks_miss_it(
    queue: Any, make_spec: MakeSpec, nodes: Cluster, tmp_path: Path
) -> None:
    queue.submit(make_spec())
    away = Away(queue, tmp_path, adapter=object())
    (folder,) = away.look()
    assert nodes.submitted == [folder]
    assert (folder / "job_id").read_text() == "1\n"
    nodes.jobs = None
    assert away.look() == away.look() == [folder], "a queue that does not answer says nothing of a job"
    assert sum("does not answer" in line for line in away.said) == 1
    nodes.jobs = set()
    assert away.look() == [folder]
    nodes.jobs = {"1"}
    assert away.look() == [folder]
    nodes.jobs = set()
    assert away.look() == [folder], "looks in a row"
    away.sender.max_jobs = 0
    assert away.look() == []
    assert queue.rows("SELECT outcome FROM activity WHERE campaign_id IS NOT NULL")[0].outcome == "lost"
    assert (folder / "given_up").exists()
    compute(folder)
    restarted = Away(queue, tmp_path, adapter=object(), max_jobs=0)
    restarted.look()
    assert any("recorded" in line for line in restarted.said), "a late spool counts"
    assert (folder / "ingested").exists()
    assert queue.scalar("SELECT count(*) FROM model_version") == 1


def test_a_spool_that_appears_while_the_queue_is_asked_is_kept(
    queue: Any, make_spec: MakeSpec, nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit(make_spec())
    away = Away(queue, tmp_path, adapter=object())
    (folder,) = away.look()
    nodes.jobs = set()
    away.look()

    def late(_: object) -> set[str]:
        compute(folder)
        return set()

    with monkeypatch.context() as patched:
        patched.setattr(worker_jobs, "jobs_in_queue", late)
        assert away.look() == [folder]
    away.sender.max_jobs = 0
    assert away.look() == []
    assert "recorded" in away.said[-1]


def test_a_refused_job_is_submitted_again(queue: Any, make_spec: MakeSpec, nodes: Cluster, tmp_path: Path) -> None:
    queue.submit(make_spec())
    nodes.is_refusing = True
    away = Away(queue, tmp_path, adapter=object())
    (folder,) = away.look()
    assert away.look() == [folder]
    assert sum("not you" in line for line in away.said) == 1
    nodes.is_refusing = False
    assert Away(queue, tmp_path, adapter=object()).look() == [folder]
    assert nodes.submitted == [folder]
    away.look()
    assert nodes.submitted == [folder]


def test_one_bad_step_does_not_hold_up_the_others(
    queue: Any, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit(make_spec())
    prepared = offline.prepare

    def broken(workspace: Workspace, campaign: Campaign, step: Step, *more: Any) -> bool:
        if step.kind == "train autoencoder":
            raise ModelError("the file is gone")
        return prepared(workspace, campaign, step, *more)

    monkeypatch.setattr(offline, "prepare", broken)
    away = Away(queue, tmp_path, max_jobs=4)
    (folder,) = away.look()
    assert "train-oracle" in folder.name
    assert queue.states()["small: train autoencoder"] == "FIZZLED"
    launch = queue.launchpad.launches.find_one({"state": "FIZZLED"})
    assert launch["action"]["stored_data"]["_message"] == "the file is gone"
    assert sum("the file is gone" in line for line in away.said) == 1


def test_a_firework_that_cannot_be_checked_out_ends_no_worker(
    queue: Any, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit(make_spec())

    def locked(*_: object) -> None:
        raise ValueError("locked")

    away = Away(queue, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(sending, "step_of", locked)
        assert away.look() == away.look() == []
    assert len(away.said) == 1
    assert len(away.look()) == 1


def test_what_may_pass_is_tried_again(
    queue: Any, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit(make_spec())
    away = Away(queue, tmp_path)
    (folder,) = away.look()
    compute(folder)

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(offline, "_bring_model", full)
        assert away.look() == away.look() == [folder]
    assert sum("no space left" in line for line in away.said) == 1
    away.look()
    assert (folder / "ingested").exists()
    assert queue.scalar("SELECT count(*) FROM activity WHERE outcome = 'failed'") == 0


@pytest.mark.parametrize("part", ["spool", "model"])
@pytest.mark.slow
def test_a_damaged_spool_is_set_aside_and_the_step_done_again(
    queue: Any, make_spec: MakeSpec, tmp_path: Path, part: str
) -> None:
    queue.submit(make_spec())
    away = Away(queue, tmp_path)
    (folder,) = away.look()
    compute(folder)
    damaged = folder / SPOOL if part == "spool" else next((folder / "artifacts").rglob("*.npz"))
    damaged.write_bytes(b"half")
    away.sender.max_jobs = 0
    assert away.look() == away.look() == []
    assert (folder / "spool.npz.damaged").exists()
    assert sum(str(folder) in line and "computed again" in line for line in away.said) == 1
    assert queue.scalar("SELECT count(*) FROM activity WHERE outcome = 'running'") == 0
    assert "queued again" in str(queue.reconcile())
    away.sender.max_jobs = 1
    (again,) = away.look()
    assert again != folder
    compute(again)
    away.look()
    assert (again / "ingested").exists()


def test_a_folder_of_another_record_leaves_this_one_alone(queue: Any, campaign: Campaign, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    prepare(queue.workspace, campaign, Step("train oracle"), folder, 3600.0)
    job = spool.read(folder / JOB)
    spool.write(folder / JOB, replace(job, about={**job.about, "spec_sha256": "0" * 64}))
    offline.give_up(queue.workspace, folder)
    spool.write(folder / JOB, replace(job, about={**job.about, "campaign": "nobody"}))
    offline.give_up(queue.workspace, folder)
    assert queue.scalar("SELECT count(*) FROM v_lease") == 1
    spool.write(folder / JOB, job)
    offline.give_up(queue.workspace, folder)
    assert queue.scalar("SELECT count(*) FROM v_lease") == 0


@pytest.mark.parametrize("part", ["spool", "model"])
def test_a_damaged_spool_is_computed_again(queue: Any, campaign: Campaign, tmp_path: Path, part: str) -> None:
    folder = tmp_path / "one"
    prepare(queue.workspace, campaign, Step("train oracle"), folder, 3600.0)
    written = compute(folder).stat().st_mtime_ns
    assert compute(folder).stat().st_mtime_ns == written, "a whole one is kept"
    damaged = folder / SPOOL if part == "spool" else next((folder / "artifacts").rglob("*.npz"))
    damaged.write_bytes(b"half")
    compute(folder)
    assert ingest(queue.workspace, folder).what == "recorded"


def test_no_spool_makes_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / SPOOL
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="damaged"):
        spool.read(path)
    header = {"format": spool.FORMAT, "sha256": "", "about": {}, "values": {}}
    for wrong in (
        {"format": spool.FORMAT},
        {**header, "values": None},
        {**header, "about": []},
        {**header, "about": 3},
        [header],
    ):
        np.savez(path, header=np.frombuffer(json.dumps(wrong).encode(), dtype=np.uint8))
        with pytest.raises(InputError):
            spool.read(path)


def test_a_process_that_dies_while_it_prepares_leaves_a_short_lease(
    queue: Any, campaign: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[float] = []
    monkeypatch.setattr(spool, "write", lambda *_: left.append(queue.scalar(LEFT)))
    prepare(queue.workspace, campaign, Step("train oracle"), tmp_path / "one", 86400.0)
    assert left[0] <= queue.workspace.pace.lease_s
    assert queue.scalar(LEFT) > 80000.0


def test_model_files_are_linked_and_removed_once_recorded(queue: Any, campaign: Campaign, tmp_path: Path) -> None:
    step = advance(queue.workspace, campaign, "suggest")
    folder = tmp_path / "one"
    prepare(queue.workspace, campaign, step, folder, 3600.0)
    sent = list((folder / "artifacts").rglob("*.npz"))
    assert sent
    kept = [tensors_path(queue.workspace.artifacts, path.stem) for path in sent]
    assert all(one.samefile(other) for one, other in zip(sent, kept, strict=True))
    compute(folder)
    assert sending.ingest(queue.workspace, queue.launchpad, folder).what == "recorded"
    assert not (folder / "artifacts").exists()
    assert all(damage(queue.workspace.artifacts, path.stem) is None for path in kept)
    assert sending.ingest(queue.workspace, queue.launchpad, folder).what == "recorded before"


def test_a_model_file_that_cannot_be_linked_is_copied(
    queue: Any, campaign: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def across(*_: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    step = advance(queue.workspace, campaign, "suggest")
    monkeypatch.setattr(os, "link", across)
    prepare(queue.workspace, campaign, step, tmp_path / "one", 3600.0)
    (sent, *_) = (tmp_path / "one" / "artifacts").rglob("*.npz")
    assert damage(tmp_path / "one" / "artifacts", sent.stem) is None
    assert sent.stat().st_nlink == 1


@pytest.mark.parametrize("kind", ["table", "external"])
def test_labels_that_are_looked_up_stay_here(campaign: Campaign, kind: str) -> None:
    oracle = campaign.spec.oracle.model_copy(update={"kind": kind})
    asked = replace(campaign, spec=campaign.spec.model_copy(update={"oracle": oracle}))
    assert offline.is_sent(campaign, Step("label", 1))
    assert not offline.is_sent(asked, Step("label", 1))
    assert offline.is_sent(asked, Step("suggest", 1))
    assert not offline.is_sent(asked, Step("encode"))


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # FireWorks' pipes to sbatch
@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_a_command_is_submitted_in_its_folder_and_a_refusal_has_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    folder = tmp_path / "job"
    for name in ("bin", "job"):
        (tmp_path / name).mkdir()
    for name in ("sbatch", "squeue", "qsub", "qstat"):
        (tmp_path / "bin" / name).write_text(
            "#!/bin/sh\npwd > where\n"
            '[ -e refuse ] && { echo "no such partition" >&2; exit 1; }\necho "Submitted batch job 77"\n'
        )
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    adapter = worker_jobs.load_qadapter(kind)
    assert worker_jobs.submit_command(adapter, folder, sending.compute_words(folder)) == "77"
    assert (folder / "where").read_text().strip() == str(folder)
    assert f"exec agd compute {folder}" in (folder / "job.sh").read_text()
    (folder / "refuse").touch()
    with pytest.raises(StepError, match="no such partition"):
        worker_jobs.submit_command(adapter, folder, "true")
    assert capfd.readouterr() == ("", "")
