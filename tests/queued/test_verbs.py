"""The queue at the command line, as a person works it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import pytest

STARTER = Path(str(files("agd") / "data" / "starter.csv"))
Cli = Callable[..., SimpleNamespace]


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AGD_")}
    pace = {"AGD_HEARTBEAT_S": "0.5", "AGD_LEASE_S": "5", "AGD_RECONCILE_S": "1"}
    return {**clean, **pace, "AGD_DATABASE_URL": database_url, "AGD_HOME": str(tmp_path / "home"), "COLUMNS": "160"}


@pytest.fixture
def cli(environment: dict[str, str], tmp_path: Path) -> Cli:
    def call(*words: str) -> SimpleNamespace:
        command = [sys.executable, "-m", "agd", *words]
        ran = subprocess.run(
            command,
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert "Traceback" not in ran.stderr, ran.stderr
        return SimpleNamespace(code=ran.returncode, out=ran.stdout, err=ran.stderr)

    columns = ["--formula-column", "formula", "--value-column", "band_gap_ev", "--property", "band_gap", "--unit", "eV"]
    assert call("data", "import", str(STARTER), "--name", "starter", *columns).code == 0
    return call


@pytest.mark.slow
def test_submitted_worked_and_looked_at(cli: Cli, make_spec: Callable[..., object], tmp_path: Path) -> None:
    make_spec(budget=10)
    left = cli("run", "small.toml", "--engine", "fireworks", "--detach")
    assert "small: queued; `agd worker` works on it" in left.out
    assert cli("lpad", "get_fws", "-s", "READY", "-d", "count").out.strip() == "2"
    told = json.loads(cli("status", "small", "--json").out)
    assert told["queue"] == {"small": {"READY": 2, "WAITING": 5}}
    assert json.loads(cli("reconcile", "--json").out) == []
    away = cli("worker", "--offline", "--until-idle", "0", "--launch-dir", "jobs", "--max-jobs", "1", "-q")
    assert away.code == 0
    stopped = cli("stop", "small")
    assert "stops after the step at hand" in stopped.out
    folder = next((tmp_path / "jobs").iterdir())
    assert cli("ingest", "jobs").code == 2, "nothing is computed yet"
    assert "agd ingest" in cli("compute", str(folder)).out
    assert "recorded" in cli("ingest", "jobs").out
    assert "recorded before" in cli("ingest", str(folder)).out
    worked = cli("resume", "small", "-n", "2", "--quiet")
    assert worked.code == 0, worked.err
    assert "ended: budget spent" in worked.out
    assert "queue and record agree" in cli("reconcile").out
    shown = cli("status", "small").out
    assert "completed" in shown
    assert cli("doctor", "--json").code == 0


@pytest.mark.slow
def test_what_makes_no_sense_is_refused(cli: Cli, make_spec: Callable[..., object]) -> None:
    make_spec()
    for words, code, why in (
        (("run", "small.toml", "--engine", "firework"), 3, "did you mean 'fireworks'?"),
        (("run", "small.toml", "--detach"), 2, "for `--engine fireworks`"),
        (("worker", "--campaign", "none"), 3, "no campaign 'none'"),
        (("worker", "--queue", "slurm", "--qadapter", "none.yaml"), 2, "none.yaml: cannot be read"),
        (("worker", "--category", "lable"), 2, "there is train, search, label, screen"),
        (("ingest", "nowhere"), 2, "no prepared step in nowhere"),
        (("compute", "nowhere"), 2, "job.npz: cannot be read"),
        (("screen", "small", "--pool", "-", "--detach"), 2, "standard input"),
    ):
        ran = cli(*words)
        assert ran.code == code, ran
        assert why in ran.err
        assert len(ran.err.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_worker_that_is_asked_to_leave_finishes_its_step(
    cli: Cli, environment: dict[str, str], make_spec: Callable[..., object], tmp_path: Path
) -> None:
    make_spec(budget=200)
    cli("run", "small.toml", "--engine", "fireworks", "--detach")
    command = [sys.executable, "-m", "agd", "worker", "-n", "2"]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as worker:
        for _ in range(300):
            if json.loads(cli("status", "small", "--json").out)["campaigns"][0]["n_suggested"]:
                break
            time.sleep(0.2)
        worker.send_signal(signal.SIGTERM)
        _, said = worker.communicate(timeout=120)
    assert worker.returncode == 0
    assert "small: train oracle done in" in said
    told = json.loads(cli("status", "small", "--json").out)
    assert told["at_work"] == [], "no lease is left"
    assert "RUNNING" not in told["queue"]["small"]


def test_fireworks_own_pages_show_the_queue(
    cli: Cli, environment: dict[str, str], make_spec: Callable[..., object], tmp_path: Path, unused_port: int
) -> None:
    make_spec()
    cli("run", "small.toml", "--engine", "fireworks", "--detach")
    command = [sys.executable, "-m", "agd", "lpad", "webgui", "-s", "--port", str(unused_port)]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as pages:
        try:
            page = _fetched(f"http://127.0.0.1:{unused_port}/wf/1")
        finally:
            pages.terminate()
            pages.communicate(timeout=30)
    assert "train autoencoder" in page


@pytest.mark.slow
def test_settings_of_fireworks_that_lie_about_change_nothing(
    cli: Cli, environment: dict[str, str], make_spec: Callable[..., object], tmp_path: Path
) -> None:
    make_spec()
    cli("run", "small.toml", "--engine", "fireworks", "--detach")
    (tmp_path / "FW_config.yaml").write_text("NOSUCH_SETTING: 1\n")
    (tmp_path / "my_launchpad.yaml").write_text("- no: launchpad\n")
    environment |= {"FW_CONFIG_FILE": str(tmp_path / "nowhere.yaml"), "MONGOMOCK_SERVERSTORE_FILE": "nowhere.json"}
    assert json.loads(cli("status", "small", "--json").out)["queue"] == {"small": {"READY": 2, "WAITING": 5}}
    assert json.loads(cli("reconcile", "--json").out) == []
    for words, why in (
        (("get_wflows", "-t"), "lpad get_wflows needs the package prettytable, which is not installed: run "),
        (("-l", "my_launchpad.yaml", "reset"), "works on the queue of this record: leave that out"),
        (("reset",), "lpad reset: EOF"),
        (("add", "nowhere.yaml"), "lpad add: "),
    ):
        refused = cli("lpad", *words)
        assert refused.code == 2, refused
        assert why in refused.err
        assert len(refused.err.splitlines()) == 1


def _fetched(url: str) -> str:
    for _ in range(100):
        try:
            with urlopen(url, timeout=10) as answer:  # noqa: S310  our own server
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{url} does not answer")
