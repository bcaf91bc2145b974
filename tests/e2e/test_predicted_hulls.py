"""Stability from the formula: a column where an oracle of it is there, and a choice by it."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median_low

import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from agd.cli.app import app
from agd.db.upkeep import checks
from agd.errors import NotFoundError
from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps.campaign.opening import open_campaign
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.steps.models.plugin_options import parse
from agd.steps.models.training import Recipe, train_by_hand
from agd.steps.models.training_sets import find_dataset, labelled
from agd.steps.reading.explaining import why
from agd.steps.structures.choosing import best_of
from agd.steps.structures.structuring import StructurePlan, structure_of
from agd.work.workspace import Workspace

MORE = '[oracle]\nn_trees = 5\nexclude_initial = false\n[sampler]\nkind = "random"\n'
KEY = "predicted_e_above_hull_ev_per_atom"


def train_hull_oracle(workspace: Workspace, folder: Path) -> None:
    """An oracle by which fluorides lie on the hull, and all else above."""
    metals = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Al", "Y", "La", "Zn")
    lines = [
        f"{metal}{other},{0.0 if other == 'F' else 0.4}"
        for metal in metals
        for other in ("F", "O", "Cl", "S", "Br", "N", "I")
    ]
    (folder / "hull.csv").write_text("\n".join(["formula,e", *lines]))
    rules = ImportRules("formula", "e", "e_above_hull", "eV/atom", negative="clip", on_duplicate="lowest")
    import_dataset(workspace, folder / "hull.csv", "hull", rules)
    with workspace.database.read() as tx:
        parts = labelled(tx, find_dataset(tx, "hull"), share=0.0, seed=0)
    train_by_hand(
        workspace,
        Recipe("oracle", "extra_trees", "e_above_hull", parse("agd.oracles", "extra_trees", ["n_trees=20"]), 0),
        parts,
    )


@pytest.fixture
def cli(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.setenv("AGD_DATABASE_URL", database_url)
    monkeypatch.setenv("AGD_HOME", str(tmp_path))
    return lambda *words: CliRunner().invoke(app, list(words))


def test_top_tells_and_chooses(
    starter: Workspace, make_spec: Callable[..., ResolvedSpec], cli: Callable[..., Result], tmp_path: Path
) -> None:
    LocalEngine().run(starter, open_campaign(starter, make_spec("demo", target="band_gap > 1 eV", more=MORE)))
    every = json.loads(cli("top", "demo", "-n", "99", "--json").stdout)
    assert {one[KEY] for one in every} == {None}
    assert "above hull?" not in cli("top", "demo").stdout
    with pytest.raises(NotFoundError, match="--max-predicted-hull: the record has no oracle of e_above_hull: import"):
        best_of(starter, "demo", 5, 0.1)
    train_hull_oracle(starter, tmp_path)
    told = {one["reduced_formula"]: one[KEY] for one in json.loads(cli("top", "demo", "-n", "99", "--json").stdout)}
    assert all(value is not None and value >= 0 for value in told.values())
    bound = median_low(told.values())
    assert min(told.values()) <= bound < max(told.values())
    assert "above hull?: predicted from the formula" in cli("top", "demo").stdout
    kept = "SELECT count(*) FROM label WHERE property = 'e_above_hull' AND model_version_id IS NOT NULL"
    with starter.database.read() as tx:
        assert tx.scalar(text(kept)) == 0
    near = [formula for formula, value in told.items() if value <= bound]
    chosen = json.loads(cli("top", "demo", "-n", "99", "--max-predicted-hull", repr(bound), "--json").stdout)
    assert [one["reduced_formula"] for one in chosen] == near
    asked = ("structures", "of", "demo", "--top", "2", "--max-predicted-hull", repr(bound), "--dry-run", "--json")
    assert json.loads(cli(*asked).stdout)["formulas"] == near[:2]
    with starter.database.read() as tx:
        assert tx.scalar(text(kept)) == 0
    assert best_of(starter, "demo", 2, bound) == (near[:2], "demo")
    with starter.database.read() as tx:
        assert tx.scalar(text(kept)) >= 2
        assert not [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)]
    assert why(starter, near[0]).suggestions[0].predicted_e_above_hull_ev_per_atom == pytest.approx(told[near[0]])
    with pytest.raises(NotFoundError, match="demo: nothing is predicted within -1 eV/atom above the hull"):
        best_of(starter, "demo", 2, -1.0)


@pytest.mark.usefixtures("quick")
def test_a_formula_has_it_beside_its_structures(
    workspace: Workspace, import_known: Callable[[Workspace], None], tmp_path: Path
) -> None:
    import_known(workspace)
    plan = StructurePlan(("KF",), templates="alike")
    assert structure_of(workspace, plan, "KF").predicted_e_above_hull_ev_per_atom is None
    train_hull_oracle(workspace, tmp_path)
    found = structure_of(workspace, plan, "KF")
    assert found.predicted_e_above_hull_ev_per_atom is not None
    assert found.predicted_e_above_hull_ev_per_atom < 0.2
    assert structure_of(workspace, plan, "KF") == structure_of(workspace, plan, "KF")
