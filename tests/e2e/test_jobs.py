"""What is done by hand is a job that bears a second run; `agd jobs` shows it, and a person decides about it."""

import json
import platform
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from agd.cli import show
from agd.cli.app import app
from agd.db.connection import Database, Transaction
from agd.db.record import activities, jobs
from agd.db.record.jobs import Needs, NewJob
from agd.errors import AgdError, BusyError, InputError, ModelError, NotFoundError, StepError
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.steps.models import plugin_options, training
from agd.steps.models.evaluating import evaluate
from agd.steps.models.training import Recipe, Trained, train_by_hand
from agd.steps.models.training_sets import find_dataset, labelled
from agd.work.leases import performed
from agd.work.workspace import Workspace

Verb = Callable[..., Result]

CAMPAIGN = """
INSERT INTO campaign (name, spec_sha256, spec, spec_text, seed, property, target_low, budget_calls, agd_version)
    VALUES ('wide-gap', 's', '{}', '', 0, 'band_gap', 6, 10, '0')
"""
LONG = "ModelError: " + "the tensors differ from those of the first training " * 5


@pytest.fixture
def agd(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verb:
    """A verb as typed, on the record of the test."""
    monkeypatch.setenv("AGD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AGD_DATABASE_URL", database.url)
    return lambda *words: CliRunner().invoke(app, ["jobs", *words])


@pytest.fixture
def every(database: Database) -> dict[str, int]:
    """A job in each state, by that state."""
    with database.transaction() as tx:
        tx.execute(text(CAMPAIGN))
        made = {state: made_in(tx, state) for state in ("done", "parked", "held", "cancelled", "running", "open")}
        later = NewJob("suggest", "wide-gap: suggest 1", "w", 1, 1, after=(made["open"],))
        return {**made, "waiting": jobs.ensure(tx, later)}


def made_in(tx: Transaction, state: str) -> int:
    needs = Needs(4, 2.5, ("gpaw",)) if state == "open" else Needs()
    new = NewJob("generate", f"generate {state}", jobs.key_of(state), request={"n": 5}, needs=needs)
    job_id = jobs.ensure(tx, new)
    if state in {"done", "running", "parked"}:
        attempt = jobs.take(tx, job_id, lease_s=60.0, threads=1)
        assert attempt is not None
        if state == "done":
            activities.finish(tx, attempt)
        if state == "parked":
            activities.fail(tx, attempt, LONG, is_transient=False)
            jobs.park(tx, job_id, LONG)
    if state == "held":
        jobs.hold(tx, job_id, "until Monday")
    if state == "cancelled":
        jobs.cancel(tx, job_id)
    return job_id


def told(ran: Result) -> Any:
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def refused(ran: Result, kind: type[AgdError], words: str) -> None:
    assert isinstance(ran.exception, kind), ran.output
    assert words in str(ran.exception)
    assert "\n" not in str(ran.exception)


def test_an_empty_record_has_no_jobs(agd: Verb) -> None:
    assert "no jobs yet" in agd().stdout
    assert told(agd("--json")) == []


def test_the_latest_jobs_come_first(agd: Verb, every: dict[str, int]) -> None:
    rows = told(agd("--json"))
    assert [row["id"] for row in rows] == sorted(every.values(), reverse=True)
    assert {row["state"]: row["id"] for row in rows} == every
    assert told(agd("list", "--json")) == rows
    ran = agd("-n", "2").stdout
    assert "wide-gap: suggest 1" in ran
    assert "generate done" not in ran
    assert "7 jobs: 1 cancelled, 1 done, 1 held, 1 open, 1 parked, 1 running, 1 waiting" in ran
    assert "the latest 2 are shown, --limit shows more" in ran


@pytest.mark.parametrize(
    ("words", "states"),
    [
        (["--state", "parked"], ["parked"]),
        (["--campaign", "wide-gap"], ["waiting"]),
        (["--kind", "suggest"], ["waiting"]),
        (["--kind", "generate", "--state", "running"], ["running"]),
        (["--kind", "suggest", "--state", "running"], []),
    ],
)
def test_jobs_are_chosen(agd: Verb, every: dict[str, int], words: list[str], states: list[str]) -> None:
    assert [row["id"] for row in told(agd(*words, "--json"))] == [every[state] for state in states]
    assert ("no such jobs" in agd(*words).stdout) == (not states)


@pytest.mark.usefixtures("every")
def test_what_is_not_there_is_an_error(agd: Verb) -> None:
    refused(agd("--campaign", "wide-gab"), NotFoundError, "did you mean 'wide-gap'?")
    refused(agd("--kind", "sugest"), NotFoundError, "no job of kind 'sugest': did you mean 'suggest'?")
    refused(agd("show", "99"), NotFoundError, "no job 99: see `agd jobs`")
    refused(agd("retry", "99"), NotFoundError, "no job 99: see `agd jobs`")
    assert agd("--state", "ready").exit_code == 2
    assert agd("cancel").exit_code == 2


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_fits(agd: Verb, every: dict[str, int], width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show.console, "_width", width)
    ran = agd("list").stdout
    assert max(map(len, ran.splitlines())) <= width
    for state, job_id in every.items():
        title = "wide-gap: suggest 1" if state == "waiting" else f"generate {state}"
        assert re.search(rf"^ *{job_id} +{title} +{state} ", ran, flags=re.MULTILINE)
    assert "until Monday" in ran
    assert "process" in ran
    assert "the tensors" in ran
    assert ran.count("tensors") <= 2


def test_one_job_is_shown_whole(agd: Verb, every: dict[str, int]) -> None:
    shown = told(agd("show", str(every["parked"]), "--json"))
    assert (shown["state"], shown["n_failed"], shown["request"], shown["waits_for"]) == ("parked", 1, {"n": 5}, [])
    assert [(row["outcome"], row["error"]) for row in shown["attempts"]] == [("failed", LONG)]
    assert LONG.strip() in agd("show", str(every["parked"])).stdout
    waiting = agd("show", str(every["waiting"])).stdout
    assert f"after  job {every['open']}, generate open: open" in waiting
    assert "suggest, of campaign wide-gap" in waiting
    assert "4 cores, gpaw, at most 2.5 h" in agd("show", str(every["open"])).stdout


def test_a_job_is_held_and_released(agd: Verb, every: dict[str, int]) -> None:
    ids = [str(every["open"]), str(every["waiting"])]
    held = told(agd("hold", *ids, "--why", " no power ", "--json"))
    assert [(row["state"], row["reason"]) for row in held] == [("held", "no power")] * 2
    assert "open" in agd("release", ids[0]).stdout
    refused(agd("release", *ids), InputError, "is open; it cannot be released")
    assert told(agd("show", ids[1], "--json"))["state"] == "held"


def test_a_job_is_cancelled_and_tried_again(agd: Verb, every: dict[str, int]) -> None:
    parked = str(every["parked"])
    assert told(agd("cancel", parked, "--why", "wrong pool", "--json"))[0]["reason"] == "wrong pool"
    (again,) = told(agd("retry", parked, "--json"))
    assert (again["state"], again["reason"], again["n_failed"], again["n_attempts"]) == ("open", None, 0, 1)
    refused(agd("cancel", str(every["running"])), BusyError, "is being done by process")
    refused(agd("retry", str(every["done"])), InputError, "is done; it cannot be tried again")


NEW = NewJob("generate", "generate one", jobs.key_of("one"))


def forest(workspace: Workspace) -> Trained:
    with workspace.database.read() as tx:
        parts = labelled(tx, find_dataset(tx, "starter"), share=0.2, seed=0)
    chosen = plugin_options.parse("agd.oracles", "random_forest", ["n_trees=5"])
    return train_by_hand(workspace, Recipe("oracle", "random_forest", "band_gap", chosen, 0), parts)


def overview(workspace: Workspace) -> list[tuple[str, str, int, int]]:
    with workspace.database.read() as tx:
        return [(row.title, row.state, row.n_attempts, row.n_lost) for row in jobs.overview(tx)]


def decide(workspace: Workspace, how: Callable[..., None], *words: str) -> None:
    with workspace.database.transaction() as tx:
        how(tx, jobs.ensure(tx, NEW), *words)


def do(workspace: Workspace, new: NewJob = NEW) -> bool:
    """Whether there was something to do."""
    with performed(workspace, new) as activity_id:
        if activity_id is None:
            return False
        with workspace.database.transaction() as tx:
            activities.finish(tx, activity_id)
    return True


def left_behind(workspace: Workspace, host: str, pid: int, lease_s: float) -> int:
    """What a process that was at the job has left: its attempt, of which it says nothing any more."""
    with workspace.database.transaction() as tx:
        attempt = jobs.take(tx, jobs.ensure(tx, NEW), lease_s=lease_s, threads=1)
        assert attempt is not None
        tx.execute(
            text("UPDATE activity SET host = :host, pid = :pid WHERE id = :id"),
            {"host": host, "pid": pid, "id": attempt},
        )
    return attempt


def test_what_is_done_by_hand_is_a_job_that_is_done_once(starter: Workspace, tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "few.csv").write_text("formula,eg\nNaF,6.1\nLiF,8.7\nCsI,5.2\n")
        import_dataset(starter, tmp_path / "few.csv", "few", ImportRules("formula", "eg", "band_gap", "eV"))
        model = forest(starter)
        assert model.model_version_id is not None
        evaluate(starter, model.model_version_id, "few")
    trained = f"train oracle random_forest {model.recipe_sha256[:12]}"
    titles = ["import starter", "import few", trained, f"evaluate model version {model.model_version_id} on few"]
    assert overview(starter) == [(title, "done", 1, 0) for title in titles]
    with starter.database.read() as tx:
        assert tx.scalar(text("SELECT count(*) FROM activity WHERE campaign_id IS NOT NULL")) == 0


def test_a_failure_is_kept_and_tried_again_at_once(starter: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ModelError("it diverged")

    with monkeypatch.context() as patched:
        patched.setattr(training, "fit", broken)
        for _ in range(2):
            with pytest.raises(ModelError, match="it diverged"):
                forest(starter)
    with starter.database.read() as tx:
        (row,) = jobs.overview(tx, kinds=["train oracle"])
    assert (row.state, row.n_failed, row.last_error_class) == ("open", 2, "permanent")
    assert row.last_error == "ModelError: it diverged"
    assert not forest(starter).was_there
    assert overview(starter)[1][1:] == ("done", 3, 0)


def test_who_asks_again_takes_up_what_was_set_aside(workspace: Workspace) -> None:
    decide(workspace, jobs.hold)
    with pytest.raises(StepError, match="is held: `agd jobs release 1` lets it go on"):
        do(workspace)
    decide(workspace, jobs.release)
    decide(workspace, jobs.cancel)
    with pytest.raises(StepError, match="was cancelled"):
        do(replace(workspace, launch=(1, 1)))
    assert do(workspace)
    assert not do(workspace)
    assert overview(workspace) == [("generate one", "done", 1, 0)]


def test_what_a_process_left_that_is_gone_is_taken_over_at_once(workspace: Workspace) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left_behind(workspace, platform.node(), gone.pid, 600.0)
    assert do(workspace)
    assert overview(workspace) == [("generate one", "done", 2, 1)]


def test_what_falls_silent_elsewhere_is_taken_over_after_its_lease(workspace: Workspace) -> None:
    silent = left_behind(workspace, "far", 1, 1.5)
    assert do(workspace)
    with pytest.raises(BusyError, match="given up as lost"), workspace.database.transaction() as tx:
        activities.finish(tx, silent)
    assert overview(workspace) == [("generate one", "done", 2, 1)]


def test_whoever_comes_second_waits_and_finds_it_done(workspace: Workspace) -> None:
    had_to: list[bool] = []
    with performed(workspace, NEW) as activity_id:
        assert activity_id is not None
        second = threading.Thread(target=lambda: had_to.append(do(workspace)))
        second.start()
        second.join(0.7)
        assert second.is_alive()
        with workspace.database.transaction() as tx:
            activities.finish(tx, activity_id)
    second.join(30.0)
    assert had_to == [False]
    assert overview(workspace) == [("generate one", "done", 1, 0)]
