"""What `agd doctor` finds, with its cure, and that it finds nothing where nothing is wrong."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from agd.cli.app import app
from agd.db import schema, session
from agd.db.removals import open_removal
from agd.installing import upgrading
from agd.loop import LocalEngine
from agd.nets.threads import limited_threads
from agd.spec import ResolvedSpec
from agd.steps.campaign.opening import open_campaign
from agd.steps.campaign.stepping import next_step, perform
from agd.steps.upkeep import examining
from agd.steps.upkeep.examining import Finding, examine
from agd.work.workspace import Workspace

MakeSpec = Callable[..., ResolvedSpec]
RANDOM = '[oracle]\nn_trees = 5\n[sampler]\nkind = "random"\n'


@pytest.fixture
def installed(starter: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The record and model files as `agd` finds them by its environment."""
    monkeypatch.setenv("AGD_HOME", str(starter.artifacts.parent))
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url)
    return starter


@pytest.fixture
def searched(installed: Workspace, make_spec: MakeSpec) -> Workspace:
    campaign = open_campaign(installed, make_spec(more=RANDOM, budget=12))
    assert LocalEngine().run(installed, campaign).is_ended
    return installed


def change(workspace: Workspace, statement: str, **values: object) -> None:
    with workspace.database.transaction() as tx:
        open_removal(tx, "a test")
        tx.execute(text(statement), values)


def about(findings: list[Finding], word: str) -> Finding:
    [found] = [finding for finding in findings if word in f"{finding.subject}: {finding.what}"]
    return found


def unsound(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity != "ok"]


@pytest.mark.usefixtures("searched")
def test_a_sound_installation() -> None:
    findings = examine()
    assert unsound(findings) == []
    assert about(findings, "schema: ").what.startswith(f"revision {schema.SCHEMA_REVISION}")
    assert about(findings, "unaltered").what.startswith("2 ")
    shown = CliRunner().invoke(app, ["doctor"])
    assert (shown.exit_code, "nothing contradicts itself" in shown.output) == (0, True)
    assert CliRunner().invoke(app, ["doctor", "--quiet"]).output == ""


@pytest.mark.slow
def test_damaged_and_unknown_model_files(searched: Workspace) -> None:
    first, second = sorted(searched.artifacts.rglob("*.npz"))
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    second.unlink()
    half, whole = first.with_name(f".{first.name}.part"), first.with_name("other.npz")
    for path in (half, whole):
        path.touch()
    assert not any(
        path.name in finding.what for path in (half, whole) for finding in examine()
    )  # a step may be at work
    for path in (half, whole):
        os.utime(path, (1, 1))
    findings = examine()
    altered, missing = about(findings, "is altered"), about(findings, "is missing")
    assert (altered.severity, altered.cure) == ("error", f"agd retrain {first.stem[:12]}")
    assert (missing.severity, missing.cure) == ("error", f"agd retrain {second.stem[:12]}")
    assert about(findings, str(half)).severity == about(findings, str(whole)).severity == "note"
    assert not any("is altered" in finding.what for finding in examine(is_quick=True))
    first.write_bytes(content[:100])
    assert about(examine(is_quick=True), "is altered").needs_care
    assert CliRunner().invoke(app, ["doctor", "--quick", "--json"]).exit_code == 1


@pytest.mark.slow
def test_steps_of_dead_processes(installed: Workspace, make_spec: MakeSpec) -> None:
    campaign = open_campaign(installed, make_spec(more=RANDOM))
    step = next_step(installed, campaign)
    assert step is not None
    with limited_threads(1):
        perform(installed, campaign, step)
    assert [finding.cure for finding in unsound(examine())] == ["agd resume small"]  # paused: a note
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    run_by = (
        "UPDATE activity SET outcome = 'running', ended_at = NULL, host = :host, pid = :pid, lease_expires_at = :end"
    )
    lease = {"end": datetime.now(UTC) + timedelta(hours=1)}
    change(installed, f"{run_by} WHERE campaign_id IS NOT NULL", host=platform.node(), pid=gone.pid, **lease)
    lost = about(examine(), f"process {gone.pid} is gone")
    assert (lost.severity, lost.cure) == ("warning", "agd resume small")
    change(installed, "UPDATE activity SET host = 'another' WHERE campaign_id IS NOT NULL")
    assert not any("activity" in finding.what for finding in examine())
    change(installed, "UPDATE activity SET lease_expires_at = now() WHERE campaign_id IS NOT NULL")
    assert about(examine(), "no sign of life").needs_care
    change(installed, "UPDATE campaign SET engine = 'fireworks'")
    assert about(examine(), "no sign of life").cure == "agd reconcile"
    change(installed, f"{run_by} WHERE job_id IS NULL", host=platform.node(), pid=gone.pid, end=None)
    notes = [finding for finding in examine() if finding.subject == "activity"]
    assert notes
    assert all((note.severity, "next import" in note.cure) == ("note", True) for note in notes)


@pytest.mark.slow
def test_campaigns_that_need_somebody(searched: Workspace) -> None:
    change(searched, "UPDATE campaign SET ended_at = NULL, end_reason = NULL")
    change(
        searched,
        "UPDATE activity SET outcome = 'failed', error = 'the disk is full' WHERE id = (SELECT max(id) FROM activity)",
    )
    failed = about(examine(), "the disk is full")
    assert (failed.subject, failed.severity, failed.cure) == ("campaign small", "warning", "agd resume small")
    change(searched, "UPDATE campaign SET parked_reason = 'failed five times'")
    assert about(examine(), "failed five times").needs_care


def test_rows_changed_by_hand(searched: Workspace) -> None:
    change(
        searched,
        "UPDATE suggestion SET outcome = 'undecodable', composition_id = NULL, label_id = NULL,"
        " label_activity_id = NULL WHERE id = (SELECT min(id) FROM suggestion WHERE outcome = 'new')",
    )
    found = about(examine(), "without a decode failure")
    assert (found.severity, found.subject) == ("error", "suggestion")
    assert found.what.startswith("1 ")
    change(searched, "UPDATE campaign SET budget_calls = 1")
    change(searched, "UPDATE training_set SET n_members = n_members + 1")
    words = " ".join(finding.what for finding in examine() if finding.severity == "error")
    assert "more calls than their budget" in words
    assert "another number of members" in words


def test_rows_that_nothing_refers_to(searched: Workspace) -> None:
    change(
        searched,
        "INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms,"
        " activity_id) VALUES ('Og2', 'Og', 'A', 1, 2, 1)",
    )
    change(searched, "INSERT INTO training_set (sha256, n_members, activity_id) VALUES ('ab', 0, 1)")
    change(searched, "INSERT INTO artifact (sha256, format, n_bytes, activity_id) VALUES ('ab', 'npz', 0, 1)")
    change(
        searched,
        "INSERT INTO latent (model_version_id, vector, activity_id) SELECT min(id), '{1}', 1 FROM model_version",
    )
    notes = {finding.subject: finding.what for finding in examine() if finding.severity == "note"}
    assert {"composition", "training set", "model file", "latent"} <= notes.keys()
    assert all(what.startswith("1 ") for what in notes.values())


def test_schema_clock_disk_and_server(installed: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(examining, "_FEW_BYTES", 1 << 60)
    assert about(examine(), "GB free for the home").severity == "warning"
    monkeypatch.setattr(examining, "_TOO_FEW_BYTES", 1 << 60)
    assert about(examine(), "GB free for the home").severity == "error"
    server_time = schema.server_time
    monkeypatch.setattr(schema, "server_time", lambda tx: server_time(tx) - timedelta(minutes=1))
    assert "60.0 s behind" in about(examine(), "clock: ").what
    with monkeypatch.context() as patched:
        patched.setattr(session, "OLDEST_SERVER", 99)
        assert "agd needs 99 or later" in about(examine(), "database: ").what
    change(installed, "UPDATE alembic_version SET version_num = '0001'")
    assert about(examine(), "schema: ").cure == "agd db upgrade"
    change(installed, "UPDATE alembic_version SET version_num = '9999'")
    assert about(examine(), "schema: ").cure == upgrading()
    monkeypatch.setenv("AGD_DATABASE_URL", f"postgresql://nobody@/none?host={tmp_path}")
    assert about(examine(), "does not answer").severity == "error"
    monkeypatch.setenv("AGD_HOEM", "x")
    [only] = examine()
    assert (only.subject, "did you mean AGD_HOME?" in only.what) == ("settings", True)


def test_a_schema_changed_by_hand(installed: Workspace) -> None:
    change(installed, "DROP INDEX uq_suggestion_new_once")
    change(installed, "ALTER TABLE label ADD COLUMN remark text")
    change(installed, "ALTER TABLE label ALTER COLUMN value DROP NOT NULL")
    whats = sorted(finding.what for finding in examine() if finding.subject == "schema")
    assert [what.removeprefix("it is not what migrations make: ") for what in whats] == [
        "column remark of label is not known",
        "index uq_suggestion_new_once of suggestion is missing",
        "nullable of label.value",
    ]
    change(installed, "DROP VIEW v_campaign_progress")
    assert about(examine(), "view v_campaign_progress is missing").severity == "error"


@pytest.mark.usefixtures("installed")
def test_other_checks_can_be_added() -> None:
    found = examine(more=[lambda _site, _tx: [Finding("warning", "queue", "disagrees", "agd reconcile")]])
    assert found[-1].needs_care
