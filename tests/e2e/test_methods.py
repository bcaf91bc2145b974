"""By which method values came about: stated at the import, shown with them, and what it decides."""

import json
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from agd import spec
from agd.cli.app import app
from agd.cli.why import _tree
from agd.db.record import hashes
from agd.errors import InputError
from agd.loop import LocalEngine
from agd.steps.campaign.opening import open_campaign
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.steps.data.labelling import Measurement, add_label
from agd.steps.data.methods import add_method, all_methods
from agd.steps.reading import overviews
from agd.steps.reading.explaining import why
from agd.work.workspace import Workspace

VALUES = ("composition", "gap", "band_gap", "eV")


@pytest.fixture
def gaps(tmp_path: Path) -> Path:
    path = tmp_path / "gaps.csv"
    path.write_text("composition,gap\nNaCl,5.1\nKCl,4.9\n")
    return path


def test_the_method_is_part_of_what_a_dataset_is(workspace: Workspace, gaps: Path) -> None:
    import_dataset(workspace, gaps, "before", ImportRules(*VALUES))
    stated = ImportRules(*VALUES, method="dft-pbe")
    assert not import_dataset(workspace, gaps, "stated", stated).was_there
    assert import_dataset(workspace, gaps, "stated", stated).was_there
    with pytest.raises(InputError, match="'before' holds this file by method 'unstated', which stays"):
        import_dataset(workspace, gaps, "before", stated)
    with pytest.raises(InputError, match="no method 'dft-pbw': did you mean 'dft-pbe'"):
        import_dataset(workspace, gaps, "other", ImportRules(*VALUES, method="dft-pbw"))
    with pytest.raises(InputError, match="a list of formulas has no values"):
        ImportRules("composition", method="dft-pbe")
    with workspace.database.read() as tx:
        found = {row.name: (row.method, row.id) for row in overviews.all_datasets(tx)}
        assert {name: method for name, (method, _) in found.items()} == {"before": "unstated", "stated": "dft-pbe"}
        assert all(hashes.dataset_now(tx, row.id) == row.sha256 for row in hashes.datasets(tx))
        assert {row.name: row.n_datasets for row in all_methods(tx)}["dft-pbe"] == 1


def test_the_dearest_label_is_shown(workspace: Workspace, gaps: Path) -> None:
    add_label(workspace, "NaCl", "band_gap", Measurement(8.75, "ada"), measured_on=date(2026, 1, 15))
    import_dataset(workspace, gaps, "stated", ImportRules(*VALUES, method="dft-pbe"))
    found = why(workspace, "NaCl")
    measured, computed = found.labels
    assert (measured.method, measured.method_kind, measured.fidelity) == ("measured", "measured", 400)
    assert (computed.method, computed.fidelity) == ("dft-pbe", 300)
    assert found.best_labels == {"band_gap": measured.label_id}
    said = [str(child.label) for child in _tree(found).children]
    assert f"band_gap [bold]8.75 eV[/] by measured (label {measured.label_id}, of 2)" in "\n".join(said)
    assert why(workspace, "KCl").best_labels.keys() == {"band_gap"}


def test_a_method_of_ones_own(workspace: Workspace) -> None:
    added = add_method(workspace, "gw", "dft", 350, "GW on PBE")
    assert add_method(workspace, "gw", "dft", 350, "GW on PBE") == added
    assert add_method(workspace, "mace", "potential", None, "").fidelity == 200
    with pytest.raises(InputError, match="method 'gw' is there: dft, fidelity 350, 'GW on PBE'"):
        add_method(workspace, "gw", "dft", None, "GW on PBE")
    with pytest.raises(InputError, match="use letters"):
        add_method(workspace, "g w", "dft", None, "")


def test_the_verbs(workspace: Workspace, gaps: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AGD_DATABASE_URL", workspace.database.url.replace("+psycopg", ""))
    monkeypatch.setenv("AGD_HOME", str(tmp_path / "home"))
    runner = CliRunner()
    columns = ["--value-column", "gap", "--property", "band_gap", "--unit", "eV", "--method", "gw"]
    refused = runner.invoke(app, ["data", "import", str(gaps), "--name", "g", *columns])
    assert isinstance(refused.exception, InputError)
    assert runner.invoke(app, ["data", "add-method", "gw", "--kind", "dft", "--fidelity", "350"]).exit_code == 0
    assert runner.invoke(app, ["data", "import", str(gaps), "--name", "g", *columns]).exit_code == 0
    (listed,) = json.loads(runner.invoke(app, ["data", "list", "--json"]).stdout)
    assert listed["method"] == "gw"
    methods = json.loads(runner.invoke(app, ["data", "methods", "--json"]).stdout)
    assert [row["name"] for row in methods][:3] == ["measured", "gw", "dft-hse06"]
    assert "gw" in runner.invoke(app, ["data", "methods"]).stdout


SPEC = """\
name = "{name}"
target = "band_gap > 5 eV"
[data]
dataset = "starter"
known = ["dear"]
[initial]
n = 20
at_most = 5.0
[budget]
oracle_calls = 30
suggestions_per_iteration = 10
[oracle]
kind = "random_forest"
n_trees = 10
[sampler]
kind = "retrieval"
pool = "dear"
[filter]
is_neutral_in_common_states = false
"""


def test_a_campaign_takes_the_dearer_label(starter: Workspace, tmp_path: Path) -> None:
    """What is known by a stated method of a higher fidelity is not asked of the oracle, nor of its dataset."""
    with starter.database.read() as tx:
        formulas = tx.scalars(text("SELECT reduced_formula FROM composition ORDER BY 1 LIMIT 60")).all()
    rows = [f"{formula},6.5" for formula in (*formulas, "Cs2NaYCl6", "Rb2SrF4")]
    path = tmp_path / "dear.csv"
    path.write_text("\n".join(["composition,gap", *rows, ""]))
    sources: dict[str, set[tuple[str, str]]] = {}
    for method in ("unstated", "dft-hse06"):
        import_dataset(starter, path, "dear" if method == "unstated" else "dearer", ImportRules(*VALUES, method=method))
        words = SPEC if method == "unstated" else SPEC.replace('["dear"]', '["dearer"]')
        campaign = open_campaign(starter, spec.parse(words.format(name=method), tmp_path / f"{method}.toml"))
        assert LocalEngine().run(starter, campaign).is_ended
        with starter.database.read() as tx:
            query = "SELECT DISTINCT l.source_kind, l.source FROM v_suggestion s JOIN v_label l USING (label_id)"
            found = tx.execute(text(f"{query} WHERE s.campaign = :name AND s.is_charged"), {"name": method})
            sources[method] = {(row.source_kind, row.source) for row in found}
    assert ("dataset", "dear") not in sources["unstated"]
    assert sources["dft-hse06"] == {("dataset", "dearer")}
