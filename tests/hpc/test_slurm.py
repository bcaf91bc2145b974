"""A real Slurm: `make test-hpc` starts one of one node; AGD_TEST_SLURM says that there is one to test with."""

import functools
import getpass
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mongomock
import pytest
from fireworks import Firework, FWorker, LaunchPad, ScriptTask
from fireworks.utilities.fw_serializers import SAVED_FW_MODULES

from agd_workflows.cluster.worker_jobs import JobLauncher, load_qadapter, slurm_job_state

pytestmark = [
    pytest.mark.skipif("AGD_TEST_SLURM" not in os.environ, reason="no Slurm to test with: `make test-hpc` starts one"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # FireWorks' pipes to sbatch
]

QADAPTER = """\
_fw_name: CommonAdapter
_fw_q_type: SLURM
job_name: agd
queue: {queue}
ntasks: 1
cpus_per_task: 1
mem_per_cpu: 500M
walltime: '00:10:00'
rocket_launch: '{command}'
"""


def wait_for(is_so: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            jobs = answer("squeue", "--states=all", "--format=%i %T %r %M")
            pytest.fail(f"waited {seconds} s in vain for {what}; the jobs are\n{jobs}")
        time.sleep(0.2)


@pytest.fixture
def launchpad(monkeypatch: pytest.MonkeyPatch) -> LaunchPad:
    monkeypatch.setattr("fireworks.core.launchpad.MongoClient", mongomock.MongoClient)
    monkeypatch.setattr("fireworks.core.launchpad.GRIDFS_FALLBACK_COLLECTION", None)
    monkeypatch.setitem(SAVED_FW_MODULES, "ScriptTask", ScriptTask.__module__)
    made = LaunchPad(name="slurm", strm_lvl="CRITICAL")
    made.reset("", require_password=False)
    for _ in range(9):
        made.add_wf(Firework(ScriptTask.from_str("true")))
    return made


class Jobs:
    """A launcher of jobs that run a command of the test's."""

    def __init__(self, launchpad: LaunchPad, folder: Path, command: str, *, queue: str = "debug", n: int = 1) -> None:
        file = folder / "qadapter.yaml"
        file.write_text(QADAPTER.format(command=command, queue=queue))
        self.said: list[str] = []
        qadapter = load_qadapter("slurm", file)
        self.launcher = JobLauncher(launchpad, FWorker(), qadapter, folder / "launch", max_jobs=n, say=self.said.append)

    def submit(self) -> list[str]:
        return self.launcher.submit_missing()


@pytest.fixture
def make_jobs(launchpad: LaunchPad, tmp_path: Path) -> Iterator[Callable[..., Jobs]]:
    """Launchers for one test; their jobs do not outlive it."""
    yield functools.partial(Jobs, launchpad, tmp_path)
    cancel_all()


def cancel_all() -> None:
    subprocess.run(["scancel", "--user", getpass.getuser()], check=False)  # which fails for jobs that are ending
    wait_for(lambda: not answer("squeue", "--noheader"), 30, "the queue to be empty")


def answer(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_jobs_are_counted_and_followed(make_jobs: Callable[..., "Jobs"]) -> None:
    jobs = make_jobs("sleep 600", n=5)
    submitted = jobs.submit()
    assert len(submitted) == 5
    assert jobs.submit() == []
    assert jobs.launcher.jobs() == set(submitted)
    states = lambda: sorted(slurm_job_state(job) for job in submitted)  # noqa: E731
    wait_for(lambda: states() == ["PENDING", *["RUNNING"] * 4], 20, "four processors taken")
    subprocess.run(["scancel", submitted[0], submitted[4]], check=True)
    subprocess.run(["scontrol", "update", f"JobId={submitted[1]}", "EndTime=now+3"], check=True)
    wait_for(lambda: "CANCELLED" in states(), 20, "a job to be cancelled")
    wait_for(jobs.submit, 20, "a new job in the place of one that was cancelled")
    wait_for(lambda: slurm_job_state(submitted[1]) == "TIMEOUT", 60, "a job to run out of time")
    jobs.submit()
    assert len(jobs.launcher.jobs()) == 5
    assert jobs.said == []
    assert slurm_job_state("999999") == "unknown"


def test_a_job_finds_this_program_and_what_fails_is_said(make_jobs: Callable[..., "Jobs"], tmp_path: Path) -> None:
    jobs = make_jobs("agd --version && exit 3")
    (job,) = jobs.submit()
    wait_for(lambda: slurm_job_state(job) == "FAILED", 30, "a job to fail")
    assert jobs.submit() == []
    assert jobs.said[0].startswith(f"job {job} failed, see {tmp_path / 'launch'}/job_*/*-{job}.*")
    (output,) = tmp_path.glob(f"launch/job_*/*-{job}.out")
    assert output.read_text().startswith("agd ")


def test_what_sbatch_refuses_is_said_in_its_words(make_jobs: Callable[..., "Jobs"]) -> None:
    jobs = make_jobs("true", queue="nowhere")
    assert jobs.submit() == []
    assert "invalid partition specified: nowhere" in jobs.said[0]


def test_a_controller_that_is_away_is_said(
    make_jobs: Callable[..., "Jobs"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs("true")
    conf = tmp_path / "slurm.conf"
    text = Path(os.environ["SLURM_CONF"]).read_text()
    conf.write_text(text.replace("SlurmctldPort=", "MessageTimeout=1\nSlurmctldPort=1#"))
    with monkeypatch.context() as patch:
        patch.setenv("SLURM_CONF", str(conf))
        assert jobs.submit() == []
    assert jobs.said == ["squeue does not answer: waiting for it"]
