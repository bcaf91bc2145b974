"""A campaign that a real Slurm works, with jobs that are cancelled and jobs that run out of time."""

import getpass
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from agd_workflows.cluster.worker_jobs import slurm_job_state

pytestmark = [
    pytest.mark.skipif("AGD_TEST_SLURM" not in os.environ, reason="no Slurm to test with: `make test-hpc` starts one"),
    pytest.mark.timeout(500),
]

STARTER = Path(str(files("agd") / "data" / "starter.csv"))

SPEC = """\
name = "small"
target = "band_gap > 6 eV"
seed = 3

[data]
dataset = "starter"

[initial]
n = 30
at_most = 5.0

[filter]
is_neutral_in_common_states = false

[budget]
oracle_calls = 24
suggestions_per_iteration = 8

[autoencoder]  # ten seconds of training, time to cancel or stop the job meanwhile
epochs = 75
patience = 75
n_latent = 12
hidden = 48
min_rows = 2000

[oracle]
n_trees = 10

[sampler]
kind = "ucb"
n_warmup = 200
"""

QADAPTER = """\
_fw_name: CommonAdapter
_fw_q_type: SLURM
job_name: agd
ntasks: 1
cpus_per_task: 1
mem_per_cpu: 500M
walltime: '00:10:00'
rocket_launch: exec agd worker --until-idle 5
"""


class Site:
    """A record, a folder, and the `agd` that works there."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.folder = folder
        self.engine = create_engine(database_url, poolclass=NullPool)
        ours = {
            "AGD_DATABASE_URL": database_url,
            "AGD_HOME": str(folder / "home"),
            "AGD_HEARTBEAT_S": "1",
            "AGD_LEASE_S": "4",
            "AGD_RECONCILE_S": "1",
        }
        self.environment = {**os.environ, **ours}
        (folder / "small.toml").write_text(SPEC)
        (folder / "qadapter.yaml").write_text(QADAPTER)
        columns = [
            "--formula-column",
            "formula",
            "--value-column",
            "band_gap_ev",
            "--property",
            "band_gap",
            "--unit",
            "eV",
        ]
        self.call("data", "import", str(STARTER), "--name", "starter", *columns)

    def call(self, *words: str) -> str:
        command = [sys.executable, "-m", "agd", *words]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False, timeout=200
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextmanager
    def worker(self, *words: str) -> Iterator[Path]:
        """`agd worker --queue slurm` as on a login node, for a while; what it says is in a file."""
        command = [sys.executable, "-m", "agd", "worker", "--queue", "slurm", "--qadapter", "qadapter.yaml", *words]
        said = self.folder / "said.txt"
        with said.open("ab") as log:
            process = subprocess.Popen(command, env=self.environment, cwd=self.folder, stdout=log, stderr=log)
        try:
            yield said
            assert process.poll() is None, said.read_text()
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, said.read_text()
        finally:
            process.kill()
            process.wait()

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def is_training(self, after: int = 0) -> bool:
        """Whether somebody is well into the training of the autoencoder, for the first time after so many attempts."""
        query = (
            "SELECT outcome = 'running' AND clock_timestamp() - started_at > interval '1 second' FROM activity"
            f" WHERE kind = 'train autoencoder' ORDER BY id OFFSET {after}"
        )
        return (True,) in self.rows(query)

    def n_trainings(self) -> int:
        return len(self.rows("SELECT 1 FROM activity WHERE kind = 'train autoencoder'"))

    def has_ended(self) -> bool:
        return bool(self.rows("SELECT 1 FROM campaign WHERE ended_at IS NOT NULL"))


@pytest.fixture(scope="module")
def local_hash(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The content hash of the campaign where the local engine runs it undisturbed."""
    name = f"agd_hpc_{os.getpid()}"
    maintenance = create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with maintenance.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    site = Site(url, tmp_path_factory.mktemp("local"))
    site.call("run", "small.toml", "--quiet")
    yield site.call("hash", "small")
    with maintenance.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    yield Site(database_url, tmp_path)
    subprocess.run(["scancel", "--user", getpass.getuser()], check=False)
    wait_for(lambda: not jobs(), 30, "the queue to be empty")


def test_jobs_work_a_campaign(site: Site, local_hash: str) -> None:
    site.call("run", "small.toml", "--engine", "fireworks", "--detach")
    with site.worker("--max-jobs", "2") as said:
        wait_for(site.has_ended, 150, "the end of the campaign", said)
    assert site.call("hash", "small") == local_hash
    assert "submitted job" in said.read_text()
    done = site.rows("SELECT kind, fw_id, launch_id FROM activity WHERE campaign_id IS NOT NULL")
    assert len(done) >= 3 + 3 * 4
    assert all(fw_id is not None and launch_id is not None for _, fw_id, launch_id in done)
    assert site.rows("SELECT DISTINCT outcome FROM activity") == [("done",)]
    assert len(site.rows("SELECT 1 FROM iteration")) >= 3
    wait_for(lambda: not jobs(), 30, "the jobs to leave when there is nothing to do", said)
    assert (site.folder / "home" / "jobs").is_dir()
    listed = json.loads(site.call("lpad", "get_wflows", "-d", "less"))
    states = {row["state"] for row in (listed if isinstance(listed, list) else [listed])}
    assert states == {"COMPLETED"}


def test_what_a_cancelled_and_a_timed_out_job_were_at_is_done_again(site: Site, local_hash: str) -> None:
    site.call("run", "small.toml", "--engine", "fireworks", "--detach")
    with site.worker("--max-jobs", "1") as said:
        wait_for(site.is_training, 120, "the first job to train", said)
        (first,) = jobs()
        subprocess.run(["scancel", first], check=True)
        wait_for(lambda: slurm_job_state(first) == "CANCELLED" and first not in jobs(), 30, "its end", said)
        n_lost = site.n_trainings()
        wait_for(lambda: site.is_training(after=n_lost), 120, "the second job to train", said)
        (second,) = jobs()
        subprocess.run(["scancel", "--full", "--signal=STOP", second], check=True)  # it hangs until its time is up
        subprocess.run(["scontrol", "update", f"JobId={second}", "EndTime=now+3"], check=True)
        wait_for(lambda: slurm_job_state(second) == "TIMEOUT", 60, "the second job to run out of time", said)
        wait_for(site.has_ended, 150, "the end of the campaign", said)
    assert site.call("hash", "small") == local_hash
    trainings = site.rows("SELECT outcome FROM activity WHERE kind = 'train autoencoder' ORDER BY id")
    assert len(trainings) >= 3
    assert set(trainings[:-1]) == {("lost",)}
    assert trainings[-1] == ("done",)
    assert not site.rows("SELECT 1 FROM activity WHERE outcome NOT IN ('done', 'lost')")


def jobs() -> list[str]:
    """This user's jobs, waiting or running."""
    words = ["squeue", "--noheader", "--user", getpass.getuser(), "--format=%A"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def wait_for(is_so: Callable[[], object], seconds: float, what: str, said: Path | None = None) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            listed = ["squeue", "--states=all", "--format=%i %T %r %M"]
            shown = subprocess.run(listed, capture_output=True, text=True, check=False).stdout
            words = said.read_text() if said is not None else ""
            pytest.fail(f"waited {seconds} s in vain for {what}; jobs:\n{shown}\nthe worker says:\n{words}")
        time.sleep(0.2)
