"""A campaign gives the same rows whether disturbed or not, in whatever shell it is run, killed and resumed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.resources import files
from pathlib import Path

import pytest
from sqlalchemy import text

from agd.db.connection import Database

STARTER = Path(str(files("agd") / "data" / "starter.csv"))
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# Latents and labels enough for BLAS to divide the work among threads, were it let to.
SPEC = """\
name = "threads"
target = "band_gap > 6 eV"
seed = 7

[data]
dataset = "starter"

[initial]
n = 150

[filter]
is_neutral_in_common_states = false

[budget]
oracle_calls = 32
suggestions_per_iteration = 8

[autoencoder]
epochs = 1
min_rows = 2000

[oracle]
n_trees = 10

[sampler]
kind = "ucb"
kappa = 3.0
n_warmup = 2000
"""

ROWS = text("""
SELECT i.number, s.rank, s.outcome, c.reduced_formula, float8send(s.posterior_mean), float8send(s.posterior_sd),
       float8send(s.acquisition), array_send(z.vector), float8send(l.value)
FROM suggestion s JOIN iteration i ON i.id = s.iteration_id JOIN latent z ON z.id = s.latent_id
LEFT JOIN composition c ON c.id = s.composition_id LEFT JOIN label l ON l.id = s.label_id ORDER BY 1, 2
""")
N_SUGGESTED = text("SELECT count(*) FROM suggestion")


class Shell:
    """A folder, a record, and the thread variables that somebody's shell sets, or none."""

    def __init__(self, folder: Path, url: str, n_threads: int | None) -> None:
        folder.mkdir()
        self.folder, self.database = folder, Database(url)
        self.environment = {
            name: value for name, value in os.environ.items() if name not in VARIABLES and not name.startswith("AGD_")
        } | {"AGD_DATABASE_URL": url.replace("+psycopg", ""), "AGD_HOME": str(folder / "home")}
        if n_threads is not None:
            self.environment |= dict.fromkeys(VARIABLES, str(n_threads))
        (folder / "threads.toml").write_text(SPEC)
        columns = ("--formula-column", "formula", "--value-column", "band_gap_ev", "--property", "band_gap")
        self.call("data", "import", str(STARTER), "--name", "starter", *columns, "--unit", "eV")

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "agd", *words],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *words: str) -> None:
        process = self.start(*words)
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors

    def kill_after(self, n_suggested: int, *words: str) -> None:
        process = self.start(*words)
        while process.poll() is None:
            with self.database.read() as tx:
                if tx.scalar(N_SUGGESTED) >= n_suggested:
                    break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL

    def rows(self) -> list[tuple[object, ...]]:
        with self.database.read() as tx:
            return [tuple(row) for row in tx.execute(ROWS)]


@pytest.fixture(scope="module")
def undisturbed(
    fresh_database: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[object, ...]]:
    with fresh_database() as url:
        shell = Shell(tmp_path_factory.mktemp("undisturbed") / "shell", url, None)
        shell.call("run", "threads.toml", "--quiet")
        rows = shell.rows()
        shell.database.close()
    return rows


@pytest.mark.parametrize("n_threads", [None, pytest.param(4, marks=pytest.mark.slow)], ids=lambda n: f"variable {n}")
def test_killed_and_resumed(
    undisturbed: list[tuple[object, ...]], database_url: str, tmp_path: Path, n_threads: int | None
) -> None:
    shell = Shell(tmp_path / "shell", database_url, n_threads)
    shell.kill_after(16, "run", "threads.toml", "--quiet")
    shell.call("resume", "threads", "--quiet")
    rows = shell.rows()
    shell.database.close()
    assert len(rows) >= 32
    assert rows == undisturbed
