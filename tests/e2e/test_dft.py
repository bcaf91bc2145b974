"""Calculations by first principles through their verbs and jobs, by an engine that takes a second."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from agd.cli.app import app
from agd.db.record import jobs
from agd.db.upkeep import checks
from agd.errors import StepError
from agd.steps import requests
from agd.steps.calculations.dft import dft_of, folder_of
from agd.steps.calculations.dft_plans import DftPlan, prepared
from agd.work.workspace import Workspace

pytestmark = [
    pytest.mark.usefixtures("quick"),
    pytest.mark.skipif(find_spec("ase") is None, reason="ASE is not installed"),
]

Cli = Callable[..., Result]

QUICK = {"max_force": 0.01}


@pytest.fixture
def cli(
    workspace: Workspace,
    import_metals: Callable[[Workspace], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Cli:
    """The verbs in this process, on a record that holds four cells of the type of caesium chloride."""
    monkeypatch.setenv("AGD_DATABASE_URL", workspace.database.url)
    monkeypatch.setenv("AGD_HOME", str(tmp_path))

    def call(*words: str) -> Result:
        return CliRunner().invoke(app, list(words))

    import_metals(workspace)
    return call


def rows(workspace: Workspace, query: str) -> list[tuple[Any, ...]]:
    with workspace.database.read() as tx:
        return [tuple(row) for row in tx.execute(text(query))]


def contradictions(workspace: Workspace) -> list[str]:
    with workspace.database.read() as tx:
        return [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)]


def test_a_gap_is_a_label_by_its_own_method_and_raises_the_claim(cli: Cli, workspace: Workspace) -> None:
    preview = cli("dft", "submit", "AuCu", "--with", "emt", "--dry-run", "--json")
    (told,) = json.loads(preview.stdout)["calculations"]
    assert (told["n_atoms"], told["is_done"], told["core_hours"]) == (2, False, None)
    assert rows(workspace, "SELECT count(*) FROM calculation") == [(0,)]

    first = json.loads(cli("dft", "submit", "AuCu", "--with", "emt", "--json").stdout)["calculations"][0]
    assert (first["gap_ev"], first["claim"], first["was_there"]) == (1.25, "DFT gap", False)
    again = json.loads(cli("dft", "submit", "CuAu", "--with", "emt", "--json").stdout)["calculations"][0]
    assert (again["was_there"], again["calculation"]["n_attempts"]) == (True, 1)
    label = (
        "SELECT reduced_formula, value, method, method_kind, fidelity, source_kind, source FROM v_label WHERE value > 1"
    )
    assert rows(workspace, label) == [("CuAu", 1.25, "emt", "dft", 300, "calculation", "emt")]
    assert rows(workspace, "SELECT claim, has_dft_gap FROM v_claim WHERE reduced_formula = 'CuAu'") == [
        ("DFT gap", True)
    ]
    attempt = "SELECT outcome, failure, n_cores, core_seconds > 0, code_version FROM v_calculation_attempt"
    assert rows(workspace, attempt) == [("done", None, 1, True, "emt 1")]
    assert contradictions(workspace) == []
    why = cli("why", "AuCu")
    assert why.exit_code == 0, why.output
    assert "emt" in why.stdout

    estimated = json.loads(cli("dft", "submit", "AgAu", "--with", "emt", "--dry-run", "--json").stdout)["calculations"]
    assert 0 < estimated[0]["core_hours"] < 0.1
    shown = cli("dft", "submit", "AgAu", "--with", "emt", "--dry-run").stdout
    assert "core-hours, by what others took before" in shown
    assert "no attempt at a calculation has failed" in cli("failures").stdout


def test_other_options_are_another_recipe_and_relaxing_gives_a_structure(cli: Cli, workspace: Workspace) -> None:
    found = json.loads(cli("dft", "submit", "CuAu", "--with", "emt", "--recipe", "relax", "--json").stdout)
    (one,) = found["calculations"]
    assert one["relaxed_id"] not in {None, one["calculation"]["structure_id"]}
    assert len(rows(workspace, "SELECT number FROM calculation_step")) > 2
    assert rows(workspace, "SELECT count(DISTINCT recipe_sha256) FROM v_calculation") == [(1,)]
    (static,) = json.loads(cli("dft", "submit", "CuAu", "--with", "emt", "--recipe", "static", "--json").stdout)[
        "calculations"
    ]
    assert static["calculation"]["structure_id"] == one["relaxed_id"]  # what the method itself relaxed goes first
    assert contradictions(workspace) == []


def test_what_is_refused_and_what_fails_stop_nothing(cli: Cli, workspace: Workspace) -> None:
    refused = cli("dft", "submit", "NaCl", "--with", "emt")
    assert refused.exit_code == 7
    assert "emt has no potential for Cl, Na" in refused.stderr
    assert rows(workspace, "SELECT count(*) FROM calculation") == [(0,)]
    assert "no structure: `agd structure LiF" in cli("dft", "submit", "LiF", "--with", "emt").stderr
    assert "nor is it a formula" in str(cli("dft", "submit", "nothing", "--with", "emt").exception)
    assert "no dft engine 'emd': did you mean 'emt'?" in str(cli("dft", "submit", "CuAu", "--with", "emd").exception)

    mended = json.loads(cli("dft", "submit", "CuAu", "--with", "emt", "-o", "n_stubborn=2", "--json").stdout)
    assert mended["calculations"][0]["gap_ev"] == 1.25
    assert rows(workspace, "SELECT corrections FROM calculation_attempt") == [
        ([{"words": "patience 1"}, {"words": "patience 2"}],)
    ]
    failed = cli("dft", "submit", "AgNi", "--with", "emt", "-o", "n_stubborn=9")
    assert failed.exit_code == 7
    assert "electronic: ArithmeticError: the density goes back and forth" in failed.stderr
    assert rows(workspace, "SELECT state FROM job WHERE kind = 'dft' ORDER BY id") == [("done",), ("parked",)]
    rates = json.loads(cli("failures", "--json").stdout)
    assert [(one["what"], one["n_failed"]) for one in rates["class"]] == [("electronic", 1)]
    assert {one["what"]: (one["n_failed"], one["n_attempts"]) for one in rates["element"]} == {
        "Ag": (1, 1),
        "Ni": (1, 1),
    }
    assert rates["machine"][0]["n_attempts"] == 2
    assert "electronic" in cli("failures", "--by", "class").stdout
    assert contradictions(workspace) == []
    again = cli("dft", "submit", "AgNi", "--with", "emt", "-o", "n_stubborn=9")  # by hand it is tried again, anew
    assert again.exit_code == 7
    assert rows(workspace, "SELECT count(*) FROM v_calculation_attempt WHERE failure = 'electronic'") == [(2,)]


def test_a_job_each_is_left_to_workers(cli: Cli, workspace: Workspace) -> None:
    assert cli("data", "structure", "CuAu").exit_code == 0
    plan = DftPlan(("CuAu", "AgAu", "NaCl"), "emt", options=QUICK)
    ids = requests.ask(workspace, plan)
    assert len(ids) == 2
    assert requests.ask(workspace, plan) == ids
    with workspace.database.read() as tx:
        due = jobs.some(tx, ids)
    assert [re.sub(r"\d+", "N", one.title) for one in due] == ["dft gap of CuAu #N by emt", "dft gap of AgAu #N by emt"]
    assert {requests.category_of(one.kind) for one in due} == {"dft"}
    assert [list(one.programs) for one in due] == [["emt"], ["emt"]]
    for one in due:
        assert requests.fulfil(workspace, one)
    assert rows(workspace, "SELECT is_done, job_id FROM v_calculation ORDER BY job_id") == [(True, one) for one in ids]
    assert requests.ask(workspace, plan) == []
    (there, _), _ = prepared(workspace, plan)
    assert dft_of(workspace, there).was_there


_SUBMIT = [sys.executable, "-m", "agd", "dft", "submit", "CuAu", "--with", "emt", "--recipe", "relax", "--json"]


def test_a_killed_one_goes_on_from_its_last_geometry(cli: Cli, workspace: Workspace, tmp_path: Path) -> None:
    """Both whoever waits for it and, with that, the program; the folder has all steps."""
    del cli
    words = [*_SUBMIT, "-o", "slow_s=0.4", "-o", "max_force=0.001"]
    places = [str(Path(__file__).parents[1] / "fixtures" / "quick"), str(tmp_path / "site")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as killed:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("calculations/*/steps.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.05)
        killed.kill()
    (steps,) = tmp_path.glob("calculations/*/steps.jsonl")
    n_before = len(steps.read_text().splitlines())
    assert n_before >= 1
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=120)
    (one,) = json.loads(done.stdout)["calculations"]
    assert (one["calculation"]["n_attempts"], one["calculation"]["n_failed"]) == (2, 1)
    numbers = [json.loads(line)["number"] for line in steps.read_text().splitlines()]
    assert numbers[n_before] in {numbers[n_before - 1], numbers[n_before - 1] + 1}
    assert rows(workspace, "SELECT failure FROM v_calculation_attempt ORDER BY activity_id") == [("cut off",), (None,)]
    assert contradictions(workspace) == []


def test_a_program_that_dies_is_begun_again_and_then_given_up(
    cli: Cli, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cli
    (one,), _ = prepared(workspace, DftPlan(("CuAu",), "emt"))
    killer = "import os, signal; print('out of memory', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    emt = type(one.plan.made())
    monkeypatch.setattr(emt, "command", lambda *_: [sys.executable, "-c", killer])
    with pytest.raises(StepError, match=f"cut off: signal {int(signal.SIGKILL)}; at last it said 'out of memory'"):
        dft_of(workspace, one)
    assert (folder_of(workspace, one.key) / "said.txt").read_text().count("out of memory") == 3
    assert rows(workspace, "SELECT failure FROM v_calculation_attempt") == [("cut off",)]
