"""SrYF5 by real templates and a real potential, and a model of real structures; minutes."""

import json
import lzma
from pathlib import Path

import pytest
from sqlalchemy import text

from agd.chem.hull import elements_of
from agd.steps.models.plugin_options import parse
from agd.steps.models.structure_training import StructureChoice, train_on_structures
from agd.steps.models.training import Recipe
from agd.steps.structures.hulls import hull_of
from agd.steps.structures.importing import import_structures
from agd.steps.structures.structuring import StructurePlan, structure_of
from agd.work.workspace import Workspace

pytestmark = pytest.mark.slow

TEMPLATES = {"BaYF5", "CaCrF5"}
SMALL = 28
"""Sites of the largest cell that is relaxed here."""


@pytest.fixture
def fluorides(workspace: Workspace, real_data: Path, tmp_path: Path) -> Workspace:
    """A record with what is made of Sr, Y and F, and two families of ABC5."""
    kept = []
    for packed in sorted((real_data / "structures").glob("mp_*.jsonl.xz")):
        with lzma.open(packed, "rt") as file:
            for line in file:
                if '"F' not in line and '"Sr' not in line and '"Y' not in line:
                    continue
                row = json.loads(line)
                is_of_system = elements_of(row["formula"]) <= {"Sr", "Y", "F"}
                if is_of_system or (row["formula"] in TEMPLATES and row["nsites"] <= SMALL):
                    kept.append(line)
    path = tmp_path / "fluorides.jsonl"
    path.write_text("".join(kept))
    import_structures(workspace, [path], "mp", method="dft-pbe", scheme="mp2018")
    return workspace


def test_sryf5_is_a_type_of_bayf5_near_its_hull(fluorides: Workspace) -> None:
    pytest.importorskip("sevenn", reason="needs the extra: pip install '.[sevennet]'")
    plan = StructurePlan(("SrYF5",), potential="sevennet")
    found = structure_of(fluorides, plan, "SrYF5")
    relaxed = {
        row.template_id: row.energy_ev_per_atom for row in found.candidates if row.energy_ev_per_atom is not None
    }
    with fluorides.database.read() as tx:
        entries = dict(tx.execute(text("SELECT structure_id, entry FROM structure_row")).all())
    above = {entries[i]: 1000 * (energy - min(relaxed.values())) for i, energy in relaxed.items()}
    assert len(above) >= 3
    assert above["mp-752675"] == 0.0
    assert above["mp-1372734"] == pytest.approx(59, abs=8)  # of CaCrF5
    assert above["mp-778079"] == pytest.approx(54, abs=8)
    lowest = min(row.e_above_hull_ev_per_atom for row in found.candidates if row.e_above_hull_ev_per_atom)
    assert lowest == pytest.approx(-0.004, abs=0.01)
    assert {row.products for row in found.candidates if row.products} == {"YF3 0.571 + SrF2 0.429"}
    assert found.claim.claim == "near the potential's hull"
    assert hull_of(fluorides, "SrYF5").hulls[0].hull_ev_per_atom == pytest.approx(-4.365, abs=0.002)
    assert structure_of(fluorides, plan, "SrYF5").was_there


def test_a_model_of_structures_learns_from_real_ones(workspace: Workspace, real_data: Path, tmp_path: Path) -> None:
    with lzma.open(real_data / "structures" / "mp_labeled.05.jsonl.xz", "rt") as file:
        kept = [line for line in file if '"label_src":"cell"' not in line.replace(" ", "")]
    path = tmp_path / "some.jsonl"
    path.write_text("".join(kept[:6000]))
    import_structures(workspace, [path], "mp", method="dft-pbe", scheme="mp2018")
    options = parse("agd.structure_oracles", "gatgnn", ["epochs=10"])
    recipe = Recipe("structure_oracle", "gatgnn", "formation_energy", options, 0)
    made = train_on_structures(workspace, recipe, StructureChoice(("mp",), limit=2500))
    assert made.n_structures > 1000
    assert made.metrics["mae"] < 0.7 * made.metrics["elements_mae"]
    with workspace.database.read() as tx:
        worth = tx.execute(text("SELECT part, n_rows FROM v_evaluation WHERE metric = 'mae' ORDER BY part")).all()
    assert [row.part for row in worth] == ["held_out", "validation"]
