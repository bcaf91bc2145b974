"""Data as chemists have it: fractional amounts, any property, values in other units, tables in memory."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from agd import api
from agd.chem.formula import parse_formulas, scale_fractions
from agd.chem.identity import identify
from agd.cli.app import app
from agd.errors import InputError, SpecError
from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps.campaign.opening import open_campaign
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.steps.data.properties import add_property
from agd.units import factor
from agd.work.workspace import Workspace

MORE = '[oracle]\nn_trees = 5\nexclude_initial = false\n[sampler]\nkind = "random"\n'


@pytest.fixture
def run(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line on an empty record."""
    monkeypatch.setenv("AGD_HOME", str(tmp_path))
    monkeypatch.setenv("AGD_DATABASE_URL", workspace.database.url)
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(
    ("written", "reduced", "by"),
    [
        ("La0.7Sr0.3MnO3", "Sr3La7Mn10O30", 10),
        ("Fe0.95O", "Fe19O20", 20),
        ("Ag0.5Ge1Pb1.75S4", "Ag2Ge4Pb7S16", 4),
        ("CaSO4·0.5H2O", "Ca2H2S2O9", 2),
        ("Li⅓O", "LiO3", 3),
    ],
)
def test_fractions_are_made_whole(written: str, reduced: str, by: int) -> None:
    counts, problems = parse_formulas([written])
    left, factors = scale_fractions([written], counts, problems, 100)
    assert (left, factors) == ([], {0: by})
    assert identify(counts).reduced_formula == [reduced]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("La0.333Sr0.667O3", "whole only times 1000, which is more than 100"),
        ("CuSO4.5H2O", "joins a hydrate or marks a decimal"),
        ("Al2O3.2SiO2", "where the full stop joins two formulas"),
    ],
)
def test_what_is_not_made_whole_says_why(written: str, words: str) -> None:
    counts, problems = parse_formulas([written])
    left, factors = scale_fractions([written], counts, problems, 100)
    assert factors == {}
    assert words in left[0].message
    assert not counts.any()


def test_the_text_of_a_fractional_formula_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("formula,Eg\nFe0.95O,1\nFe19O20,1\nNaCl,5\n")
    rules = ImportRules("formula", "Eg", "band_gap", "eV")
    done = import_dataset(workspace, tmp_path / "t.csv", "t", rules)
    assert (done.n_imported, done.n_merged, done.rejects) == (2, 1, ())
    assert "Fe0.95O on line 2, times 20" in done.notices[0]
    with workspace.database.read() as tx:
        found = tx.execute(
            text("SELECT formula, reduced_formula FROM dataset_row JOIN composition ON id = composition_id")
        )
        assert set(map(tuple, found.all())) == {("Fe0.95O", "Fe19O20"), ("NaCl", "NaCl")}
    assert import_dataset(workspace, tmp_path / "t.csv", "t", rules).was_there


def test_a_property_of_ones_own_is_used_everywhere(run: Callable[..., Result], tmp_path: Path) -> None:
    assert isinstance(run("data", "import", "x.csv", "--name", "x").exception, InputError)
    add = ("data", "property", "add", "critical_temperature", "--unit", "K", "--at-least", "0")
    assert "critical_temperature in K, 0 or more" in run(*add).stdout
    assert run(*add).exit_code == 0
    assert isinstance(run("data", "property", "add", "critical_temperature", "--unit", "mK").exception, InputError)
    rows = "".join(f"{a}{b}{n},{300 + 7 * n}\n" for n in range(1, 8) for a in ("Nb", "V", "Ta") for b in ("Sn", "Ge"))
    (tmp_path / "tc.csv").write_text(f"formula,Tc\n{rows}MgB2,-1\n")
    columns = ("--formula-column", "formula", "--value-column", "Tc", "--property", "critical_temperature")
    done = json.loads(run("data", "import", "tc.csv", "--name", "tc", *columns, "--unit", "mK", "--json").stdout)
    assert (done["n_imported"], done["rejected_by_kind"]) == (42, {"negative": 1})
    assert json.loads(run("data", "list", "--json").stdout)[0]["highest"] == pytest.approx(0.349)
    refused = run("data", "import", "tc.csv", "--name", "c", *columns, "--unit", "C").exception
    assert "kept in K, not in C: give it in K, or mK, kK, which are converted" in str(refused)
    listed = json.loads(run("data", "property", "list", "--json").stdout)
    assert listed[-1] | {"description": ""} == {
        "name": "critical_temperature",
        "unit": "K",
        "lower_bound": 0.0,
        "description": "",
        "is_own": True,
        "n_datasets": 1,
    }
    assert run("label", "add", "MgB2", "--property", "critical_temperature", "--value", "39").exit_code == 0


def test_a_campaign_seeks_it_in_another_unit(starter: Workspace, make_spec: Callable[..., ResolvedSpec]) -> None:
    campaign = open_campaign(starter, make_spec("small", target="band_gap > 1000 meV", budget=6, more=MORE))
    assert (campaign.spec.target.low, campaign.spec.target.unit) == (1.0000000000000002, "eV")
    LocalEngine().run(starter, campaign)
    again = open_campaign(starter, make_spec("small", target="band_gap > 1000 meV", budget=6, more=MORE))
    assert again.id == campaign.id
    with pytest.raises(SpecError, match=r"kept in eV, not in GPa: give it in eV, or meV"):
        open_campaign(starter, make_spec("other", target="band_gap > 6 GPa", more=MORE))
    with pytest.raises(SpecError, match=r"no property 'melting_point'.*agd data property add melting_point --unit K"):
        open_campaign(starter, make_spec("other", target="melting_point > 900 K", more=MORE))


def test_units() -> None:
    for given, kept, value, wanted in (
        ("meV", "eV", 6400.0, 6.4),
        ("kJ/mol", "eV", 96.48533212, 1.0),
        ("kbar", "GPa", 10.0, 1.0),
        ("nm", "angstrom", 0.5, 5.0),
        ("eV", "eV", 3.3, 3.3),
    ):
        found = factor(given, kept)
        assert found is not None
        assert found.of(value) == pytest.approx(wanted, rel=1e-15)
    assert factor("kJ/mol", "eV/atom") is None
    assert factor("C", "K") is None


def test_a_frame_is_imported_as_its_file_would_be(workspace: Workspace, tmp_path: Path) -> None:
    frame = pd.DataFrame({"formula": ["NaCl", "KF", "Xq2", "MgO", "CaO"], "Eg": [5.0, 6.5, 1.0, np.nan, 7.1]})
    place = {"home": tmp_path, "database_url": workspace.database.url}
    rules = {"formula_column": "formula", "value_column": "Eg", "property": "band_gap", "unit": "eV"}
    done = api.import_data(frame, "frame", **rules, **place)
    assert done.n_imported == 3
    assert [(one.line, one.kind) for one in done.rejects] == [(3, "unknown element"), (4, "missing value")]
    assert api.import_data(frame, "frame", **rules, **place).was_there
    columns = {"formula": ["NaCl", "Fe0.5O"], "icsd": [1, 0]}
    assert api.import_data(columns, "some", formula_column="formula", where={"icsd": "0"}, **place).n_imported == 1
    frame.to_csv(tmp_path / "frame.csv", index=False)
    assert api.import_data(tmp_path / "frame.csv", "file", **rules, **place).n_imported == 3
    with pytest.raises(InputError, match="has no column 'formulae': did you mean 'formula'"):
        api.import_data(frame, "x", formula_column="formulae", **place)
    with pytest.raises(InputError, match="unexpected keyword argument 'metod'"):
        api.import_data(frame, "x", formula_column="formula", metod="x", **place)


def test_a_campaign_prints_itself(starter: Workspace, make_spec: Callable[..., ResolvedSpec], tmp_path: Path) -> None:
    make_spec("small", more=MORE)
    with api.Campaign.open(tmp_path / "small.toml", home=tmp_path, database_url=starter.database.url) as campaign:
        assert repr(campaign) == "<Campaign 'small': band_gap > 6 eV; paused; 0 of 25 calls, 0 finds>"
        assert "<tr><th>target</th><td>band_gap &gt; 6 eV</td></tr>" in campaign._repr_html_()


def test_the_same_property_again_adds_nothing(workspace: Workspace) -> None:
    first = add_property(workspace, "hardness", "GPa", 0.0, "Vickers")
    assert add_property(workspace, "hardness", "GPa", 0.0) == first
    for name, unit, least in (("Hard", "GPa", 0.0), ("hard ness", "GPa", 0.0), ("h", "G Pa", 0.0), ("h", "K", np.inf)):
        with pytest.raises(InputError):
            add_property(workspace, name, unit, least)
