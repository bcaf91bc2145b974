"""Values that no material has, in a record from before they were refused: nothing breaks, nothing learns from them."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from agd.cli.app import app
from agd.db.connection import Transaction
from agd.db.record import datasets, models, suggestions
from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps.campaign.opening import open_campaign
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.steps.upkeep import examining
from agd.work.workspace import Workspace

MakeSpec = Callable[..., ResolvedSpec]

HUGE = (1e200, -1e300, 1.7e308, 1.7e308)


@pytest.fixture
def spoilt(starter: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Some labels of the starter set are what an earlier release let in."""
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url.replace("+psycopg", ""))
    monkeypatch.setenv("AGD_HOME", str(starter.artifacts.parent))
    with starter.database.transaction() as tx:
        spoil(tx, "dataset_id IS NOT NULL")
    return starter


def spoil(tx: Transaction, which: str) -> list[int]:
    """Give the first labels of that kind values that overflow whatever is summed or squared; their ids."""
    tx.execute(text("SELECT agd_open_removal('a record as an earlier release left it')"))
    ids = list(tx.scalars(text(f"SELECT id FROM label WHERE {which} ORDER BY id LIMIT {len(HUGE)}")))
    for label_id, value in zip(ids, HUGE, strict=True):
        tx.execute(text("UPDATE label SET value = :value WHERE id = :id"), {"value": value, "id": label_id})
    count_anew(tx)
    return ids


def count_anew(tx: Transaction) -> None:
    """Count what data sets came to as the schema's upgrade does for a record of an earlier release."""
    tx.execute(text("DELETE FROM dataset_tally"))
    tx.execute(text(import_module("agd_migrations.versions.0025_look_ups").BACKFILL))


def agd(*words: str) -> str:
    ran = CliRunner().invoke(app, list(words))
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_lists_survive(spoilt: Workspace) -> None:
    assert "starter" in agd("data", "list")
    assert "starter" in agd("data", "list", "--json")
    assert "starter" in agd("data", "show", "starter")
    with spoilt.database.read() as tx:
        [row] = datasets.overview(tx)
    assert (row.lowest, row.highest) == (-1e300, 1.7e308)
    assert 0 < row.mean < 1.7e308


def test_lists_survive_numbers_that_underflow(starter: Workspace) -> None:
    with starter.database.transaction() as tx:
        tx.execute(text("SELECT agd_open_removal('a record as an earlier release left it')"))
        tx.execute(text("UPDATE label SET value = 5e-324 WHERE id IN (SELECT id FROM label ORDER BY id LIMIT 2)"))
        count_anew(tx)
    with starter.database.read() as tx:
        [row] = datasets.overview(tx)
        assert row.mean == pytest.approx(tx.scalar(text("SELECT avg(value) FROM label")), rel=1e-14)


def test_a_mean_is_that_of_the_server_where_that_is_right(starter: Workspace) -> None:
    with starter.database.read() as tx:
        [row] = datasets.overview(tx)
        assert row.mean == pytest.approx(tx.scalar(text("SELECT avg(value) FROM label")), rel=1e-14)


def test_nothing_learns_from_them(spoilt: Workspace, make_spec: MakeSpec) -> None:
    campaign = open_campaign(spoilt, make_spec(budget=8, target="band_gap > 2 eV"))
    assert LocalEngine().run(spoilt, campaign).is_ended
    with spoilt.database.transaction() as tx:
        assert all(abs(value) < 100 for (value,) in tx.execute(text("SELECT value FROM v_training_label")))
        spoil(tx, "model_version_id IS NOT NULL")
    with spoilt.database.read() as tx:
        known = [row.value for row in suggestions.suggested_points(tx, campaign.id, 10)]
        learned = models.learned_labels(tx, campaign.id, 10)
    assert known.count(None) >= len(HUGE)
    assert all(value is None or abs(value) < 100 for value in known)
    assert all(abs(row.value) < 100 for row in learned)


def test_every_verb_shows_a_campaign_that_holds_some(spoilt: Workspace, make_spec: MakeSpec, tmp_path: Path) -> None:
    campaign = open_campaign(spoilt, make_spec(budget=8, target="band_gap > 2 eV"))
    assert LocalEngine().run(spoilt, campaign).is_ended
    with spoilt.database.transaction() as tx:
        spoil(tx, "model_version_id IS NOT NULL")
        formula = tx.scalar(
            text("SELECT reduced_formula FROM v_label WHERE value > 1e300 ORDER BY label_id DESC LIMIT 1")
        )
    for words in (
        ["list"],
        ["status", "small"],
        ["top", "small"],
        ["why", str(formula)],
        ["compare", "small", "--figure", str(tmp_path / "figure.png")],
        ["report", "small", "-o", str(tmp_path / "page.html")],
        ["export", "small", "--format", "json", "-o", str(tmp_path / "rows.json")],
        ["hash", "small"],
    ):
        agd(*words)


@pytest.mark.usefixtures("spoilt")
def test_doctor_names_them() -> None:
    found = [one for one in examining.examine() if "is no band_gap of" in one.what]
    assert len(found) == len(HUGE)
    assert "1e+200 eV is no band_gap of" in found[0].what
    assert "(from starter)" in found[0].what
    assert "agd label retract" in found[0].cure


def test_a_table_of_such_values_alone_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("formula,Eg\nZnO,1e200\nNaCl,1e308\n")
    rules = ImportRules("formula", "Eg", "band_gap", "eV")
    with pytest.raises(Exception, match="no row can be imported; line 2: the value 1e200 lies outside -10 to 100"):
        import_dataset(workspace, tmp_path / "t.csv", "t", rules)
