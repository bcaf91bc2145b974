"""Calculations by GPAW in jobs of a real Slurm, one of them cancelled."""

import getpass
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, text

pytestmark = [
    pytest.mark.skipif("AGD_TEST_SLURM" not in os.environ, reason="no Slurm to test with: `make test-hpc` starts one"),
    pytest.mark.skipif(find_spec("gpaw") is None, reason="GPAW is not installed: `make gpaw`"),
    pytest.mark.timeout(590),
]

QADAPTER = """\
_fw_name: CommonAdapter
_fw_q_type: SLURM
job_name: agd
ntasks: 1
cpus_per_task: 1
mem_per_cpu: 900M
walltime: '00:20:00'
rocket_launch: exec agd worker --until-idle 5
"""

GAPS = {("Na", "Cl", 5.64): 5.12, ("Li", "F", 4.03): 9.07, ("Mg", "O", 4.21): 4.59, ("Ca", "S", 5.7048): 2.39}


class Site:
    """A record with structures, a folder, and the `agd` that works there."""

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
        (folder / "qadapter.yaml").write_text(QADAPTER)
        lines = [rock_salt(*cell) for cell in GAPS]
        (folder / "salts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.call("data", "import-structures", "salts.jsonl", "--name", "salts", "--method", "dft-pbe")

    def call(self, *words: str) -> str:
        command = [sys.executable, "-m", "agd", *words]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False, timeout=500
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextmanager
    def worker(self) -> Iterator[Path]:
        """`agd worker --queue slurm` as on a login node, for a while; what it says is in a file."""
        words = ["worker", "--queue", "slurm", "--qadapter", "qadapter.yaml", "--category", "dft", "--max-jobs", "2"]
        said = self.folder / "said.txt"
        with said.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "agd", *words], env=self.environment, cwd=self.folder, stdout=log, stderr=log
            )
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

    def n_done(self) -> int:
        return len(self.rows("SELECT 1 FROM job WHERE kind = 'dft' AND state = 'done'"))

    def n_steps(self) -> int:
        return len(self.rows("SELECT 1 FROM calculation_step"))


def rock_salt(cation: str, anion: str, a_angstrom: float) -> dict[str, object]:
    half = a_angstrom / 2
    return {
        "id": cation + anion,
        "lattice": [[0, half, half], [half, 0, half], [half, half, 0]],
        "species": [cation, anion],
        "frac": [0, 0, 0, 0.5, 0.5, 0.5],
        "e_form": -1.0,
    }


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    yield Site(database_url, tmp_path)
    subprocess.run(["scancel", "--user", getpass.getuser()], check=False)
    wait_for(lambda: not jobs(), 30, "the queue to be empty")


def test_jobs_compute_gaps_that_come_back_as_labels(site: Site) -> None:
    words = ["--with", "gpaw", "-o", "mesh=4,4,4", "-o", "hard_cutoff_ev=400"]
    *first, last = [cation + anion for cation, anion, _ in GAPS]
    for formula in first:
        assert "1 fireworks are queued" in site.call("dft", "submit", formula, *words, "--detach")
    listed = json.loads(site.call("lpad", "get_wflows", "-d", "less"))
    assert len([one for one in listed if one["name"].startswith("dft gap of NaCl #")]) == 1
    cluster = ["--queue", "slurm", "--qadapter", "qadapter.yaml", "--max-jobs", "2"]
    assert "1 fireworks are queued" in site.call("dft", "submit", last, *words, *cluster)  # and waits for all of them
    assert site.n_done() == len(GAPS)
    labels = site.rows("SELECT reduced_formula, value FROM v_label WHERE method = 'gpaw-pbe' AND property = 'band_gap'")
    gaps = dict(labels)
    for (cation, anion, _), expected in GAPS.items():
        assert gaps[cation + anion] == pytest.approx(expected, abs=0.03)
    assert site.rows("SELECT DISTINCT claim FROM v_claim WHERE has_dft_gap") == [("DFT gap",)]
    attempts = site.rows("SELECT fw_id IS NOT NULL, launch_id IS NOT NULL FROM activity WHERE kind = 'dft'")
    assert attempts == [(True, True)] * len(GAPS)
    assert site.rows("SELECT count(*) FROM v_calculation_attempt WHERE core_seconds > 0.5") == [(len(GAPS),)]


def test_a_cancelled_job_goes_on_from_its_last_geometry(site: Site) -> None:
    words = ["--with", "gpaw", "--recipe", "relax", "-o", "mesh=4,4,4", "-o", "relax_cutoff_ev=500", "--detach"]
    site.call("dft", "submit", "CaS", *words, "-o", "max_force=0.001")
    with site.worker() as said:
        wait_for(lambda: site.n_steps() >= 1, 200, "a step", said)
        (first,) = jobs()
        subprocess.run(["scancel", first], check=True)
        wait_for(lambda: site.n_done() == 1, 400, "the end of the relaxation", said)
    assert site.rows("SELECT failure FROM v_calculation_attempt ORDER BY activity_id") == [("cut off",), (None,)]
    (steps,) = (site.folder / "home" / "calculations").glob("*/steps.jsonl")
    numbers = [json.loads(line)["number"] for line in steps.read_text().splitlines()]
    assert numbers == sorted(numbers)  # at most the geometry that it was at is computed again
    assert len(numbers) <= len(set(numbers)) + 1
    assert site.rows("SELECT volume_ratio BETWEEN 0.95 AND 1.05 FROM calculation_relaxed") == [(True,)]
    rates = json.loads(site.call("failures", "--json"))
    assert [(one["what"], one["n_failed"]) for one in rates["class"]] == [("cut off", 1)]


def jobs() -> list[str]:
    """This user's jobs, waiting or running."""
    words = ["squeue", "--noheader", "--user", getpass.getuser(), "--format=%A"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def wait_for(is_so: Callable[[], object], seconds: float, what: str, said: Path | None = None) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            words = said.read_text() if said is not None else ""
            pytest.fail(f"waited {seconds} s in vain for {what}; the worker says:\n{words}")
        time.sleep(0.2)
