"""Campaigns over months: names, notes, tags and archiving change no hash; a deleted one leaves what is everyone's."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from agd.cli.app import app
from agd.db.record import hashes
from agd.db.upkeep import checks
from agd.errors import InputError, NotFoundError, SpecError
from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps.campaign import lives
from agd.steps.campaign.opening import open_campaign, open_controls, reopen_campaign
from agd.steps.campaign.stepping import next_step
from agd.steps.screening.screening import ScreenerChoice, ScreeningPlan, screen
from agd.work.workspace import Workspace

MORE = '[oracle]\nn_trees = 5\nexclude_initial = false\n[sampler]\nkind = "random"\n'
MakeSpec = Callable[..., ResolvedSpec]


@pytest.fixture
def searched(starter: Workspace, make_spec: MakeSpec) -> Workspace:
    """A record with one campaign that has ended."""
    LocalEngine().run(starter, open_campaign(starter, make_spec("first", target="band_gap > 1 eV", more=MORE)))
    return starter


@pytest.fixture
def run(searched: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line on that record."""
    monkeypatch.setenv("AGD_HOME", str(tmp_path))
    monkeypatch.setenv("AGD_DATABASE_URL", searched.database.url)
    monkeypatch.chdir(tmp_path)
    return lambda *words, **more: CliRunner().invoke(app, list(words), **more)


def hash_of(workspace: Workspace, name: str) -> str:
    with workspace.database.read() as tx:
        found = hashes.of_campaign(tx, name)
    assert found is not None
    return found.sha256


def counted(workspace: Workspace, *tables: str) -> list[int]:
    with workspace.database.read() as tx:
        return [tx.scalar(text(f"SELECT count(*) FROM {table}")) for table in tables]


def test_names_notes_and_tags_change_no_hash(searched: Workspace, make_spec: MakeSpec) -> None:
    controls = open_controls(searched, reopen_campaign(searched, "first"))
    before = hash_of(searched, "first")
    lives.note(searched, "first", "too many hydrides", "ada")
    lives.tag(searched, "first", ["fluorides", "2026"])
    lives.tag(searched, "first", ["2026"], is_off=True)
    lives.archive(searched, "first")
    pairs = lives.rename(searched, "first", "second", "ada")
    assert dict(pairs) == {"first": "second"} | {one.name: one.name.replace("first", "second") for one in controls}
    assert hash_of(searched, "second") == before
    about = lives.about(searched, "second")
    assert (about.tags, about.is_archived, about.last_note) == (["fluorides"], True, "too many hydrides")
    assert about.former_names == ["first"]
    assert [one.name for one in open_controls(searched, reopen_campaign(searched, "second"))] == [
        new for _, new in pairs[1:]
    ]
    told = lives.log(searched, "second")
    assert {"opened", "note", "tag", "untag", "archive", "rename", "ended"} <= {one.what for one in told}
    assert [one.at for one in told] == sorted(one.at for one in told)
    with searched.database.read() as tx:
        assert not [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)]
    with pytest.raises(NotFoundError, match="is called 'second' now"):
        reopen_campaign(searched, "first")
    with pytest.raises(SpecError, match="was renamed to 'second'"):
        open_campaign(searched, make_spec("first", target="band_gap > 1 eV", more=MORE))
    again = open_campaign(searched, make_spec("second", target="band_gap > 1 eV", more=MORE))
    assert next_step(searched, again) is None


def test_a_name_that_is_taken_is_refused(searched: Workspace, make_spec: MakeSpec) -> None:
    open_campaign(searched, make_spec("other", more=MORE))
    for new, words in (("other", "already"), ("a b", "no name"), ("", "no name")):
        with pytest.raises(InputError, match=words):
            lives.rename(searched, "first", new)
    lives.rename(searched, "other", "third")
    with pytest.raises(InputError, match="was called before"):
        lives.rename(searched, "first", "other")
    lives.rename(searched, "third", "other")  # its own
    assert lives.about(searched, "other").former_names == ["other", "third"]


def test_a_deleted_campaign_leaves_what_is_everyones(searched: Workspace, make_spec: MakeSpec, tmp_path: Path) -> None:
    (tmp_path / "pool.csv").write_text("formula\nNaF\nKF\n")
    choice = ScreenerChoice(options=("n_trees=5",))
    target = "band_gap > 0 eV"
    pool = str(tmp_path / "pool.csv")
    screen(searched, ScreeningPlan("first", pool, choice=choice, target=target, is_novel=False, is_valid=False))
    kept = ("label", "composition", "model_version", "training_set_member", "dataset_row")
    before = counted(searched, *kept)
    first = hash_of(searched, "first")
    planned = lives.what_goes(searched, "first")
    assert planned.n_suggestions > 0
    assert planned.n_labels_kept > 0
    told: list[str] = []
    done = lives.delete(
        searched, "first", operator="ada", why="a trial", progress=lambda _a, _b, note: told.append(note)
    )
    assert "suggestions" in told
    assert counted(searched, *kept) == before
    gone = ("campaign", "suggestion", "iteration", "screening", "campaign_set", "campaign_hash")
    assert counted(searched, *gone) == [0] * len(gone)
    with searched.database.read() as tx:
        row = tx.execute(text("SELECT * FROM campaign_removal JOIN removal r ON r.id = removal_id")).one()
        assert not [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)]
        assert tx.scalar(text("SELECT count(*) FROM latent WHERE composition_id IS NULL")) == 0
    assert (row.id, row.name, row.operator, row.n_suggestions) == (
        done.removal_id,
        "first",
        "ada",
        planned.n_suggestions,
    )
    assert row.reason == "campaign first was deleted by ada: a trial"
    assert row.n_activities > 0
    again = open_campaign(searched, make_spec("first", target="band_gap > 1 eV", more=MORE))
    LocalEngine().run(searched, again)
    assert hash_of(searched, "first") == first


def test_what_others_rest_on_is_not_deleted(searched: Workspace) -> None:
    controls = open_controls(searched, reopen_campaign(searched, "first"))
    with pytest.raises(InputError, match="has controls: `agd delete first-"):
        lives.what_goes(searched, "first")
    for control in controls:
        lives.delete(searched, control.name)
    with (
        searched.database.campaign_lock(reopen_campaign(searched, "first").id, "first"),
        pytest.raises(Exception, match="being run by another process"),
    ):
        lives.delete(searched, "first")
    lives.delete(searched, "first")


def test_a_log_ends_with_the_end(run: Callable[..., Result]) -> None:
    told = [row["what"] for row in json.loads(run("log", "first", "--json").stdout)]
    assert told[0] == "opened"
    assert told[-2].startswith("iteration ")
    assert told[-1] == "ended"


def test_models_show_their_first_metrics(run: Callable[..., Result]) -> None:
    [model] = [row for row in json.loads(run("models", "--json").stdout) if row["kind"] == "oracle"]
    short, every = run("models").stdout, run("models", "--all").stdout
    assert f"+{len(model['metrics']) - 4}" in short
    assert all(key in every for key in model["metrics"])
    assert "coverage_1_sigma" not in short


def test_the_verbs(run: Callable[..., Result]) -> None:
    assert run("note", "first", "look at hydrides").exit_code == 0
    assert json.loads(run("tag", "first", "mine", "--json").stdout)["tags"] == ["mine"]
    assert run("archive", "first").exit_code == 0
    assert "none of 1 campaigns" in run("list").stdout
    assert "mine" in run("list", "--archived", "--tag", "mine", "--state", "ended", "--since", "2026-01-01").stdout
    assert json.loads(run("list", "--archived", "--tag", "other", "--json").stdout)["campaigns"] == []
    assert run("archive", "first", "--undo").exit_code == 0
    assert "look at hydrides" in run("log", "first").stdout
    assert json.loads(run("rename", "first", "second", "--json").stdout) == [{"old": "first", "new": "second"}]
    refused = run("delete", "second")
    assert isinstance(refused.exception, InputError)
    assert "nobody is here to be asked" in str(refused.exception)
    assert "nothing was removed" in run("delete", "second", "--dry-run").stdout
    assert json.loads(run("delete", "second", "--yes", "--json").stdout)["removal_id"] > 0
    assert json.loads(run("list", "--json").stdout)["campaigns"] == []
