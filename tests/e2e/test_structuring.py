"""From a formula to templates, relaxed cells, a hull and a claim, by stand-in plug-ins that take no time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from agd.cli.app import app
from agd.db.connection import Database
from agd.db.record import jobs
from agd.db.upkeep import checks
from agd.errors import NotFoundError
from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps import requests
from agd.steps.campaign.opening import open_campaign
from agd.steps.models.plugin_options import parse
from agd.steps.models.structure_training import StructureChoice, train_on_structures
from agd.steps.models.training import Recipe
from agd.steps.reading.explaining import why
from agd.steps.screening.screening import ScreenerChoice, ScreeningPlan, screen
from agd.steps.structures.comparing import TEMPLATES, compare
from agd.steps.structures.importing import import_structures
from agd.steps.structures.relaxing import checkpoint_of, potential_named, relaxed
from agd.steps.structures.structuring import StructurePlan, structure_of, structures_of
from agd.views import StructureComparison
from agd.work.workspace import Workspace

ImportKnown = Callable[[Workspace], None]

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def known(workspace: Workspace, import_known: ImportKnown) -> Workspace:
    """A record with structures."""
    import_known(workspace)
    return workspace


def rows(workspace: Workspace, query: str) -> list[tuple[object, ...]]:
    with workspace.database.read() as tx:
        return [tuple(row) for row in tx.execute(text(query))]


PLAN = StructurePlan(("KF",), templates="alike", potential="spring")


def test_a_formula_goes_all_the_way(known: Workspace) -> None:
    found = structure_of(known, PLAN, "F1K1")
    assert (found.formula, found.n_searched, found.n_proposed, found.was_there) == ("KF", 6, 3, False)
    assert [(row.rank, row.template, row.outcome) for row in found.candidates] == [
        (1, "CsCl", "relaxed"),
        (2, "RbBr", "relaxed"),
        (3, "TlI", "refused"),
    ]
    assert found.candidates[0].mapping == {"Cl": ["F"], "Cs": ["K"]}
    assert found.candidates[2].reason == "the cell flew apart"
    lowest = found.candidates[0]
    assert lowest.e_form_ev_per_atom == pytest.approx(-2.0, abs=0.01)
    assert lowest.e_above_hull_ev_per_atom == pytest.approx(-2.0, abs=0.01)  # nothing but elements competes
    assert lowest.products == "F2 0.500 + K 0.500"
    assert (found.claim.claim, found.claim.structure_novelty) == (
        "near the potential's hull",
        "substitution of a known family",
    )
    with known.database.read() as tx:
        assert not [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)]


def test_a_second_time_nothing_is_done_and_another_formula_shares_the_phases(known: Workspace) -> None:
    structure_of(known, PLAN, "KF")
    before = rows(known, "SELECT count(*) FROM activity")
    assert structure_of(known, PLAN, "KF").was_there
    assert rows(known, "SELECT count(*) FROM activity") == before
    structure_of(known, PLAN, "NaF")
    assert rows(known, "SELECT count(*) FROM relaxation") == [(3 + 2 + 3 + 1,)]  # fluorine was relaxed once


REFUSED_PHASE = (
    "INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, activity_id)"
    " VALUES ('KF2', 'F-K', 'AB2', 2, 3, 1)",
    "INSERT INTO structure (composition_id, cell_sha256, n_sites, space_group, lattice, atomic_numbers, frac,"
    " activity_id) SELECT id, 'kf2', 1, 221, '{4,0,0,0,4,0,0,0,4}', '{19}', '{0,0,0}', 1 FROM composition"
    " WHERE reduced_formula = 'KF2'",
    "INSERT INTO dataset_row SELECT d.id, c.id, 99, 'KF2', 1 FROM dataset d, composition c"
    " WHERE c.reduced_formula = 'KF2'",
    "INSERT INTO structure_row (dataset_id, entry, line, structure_id, composition_id)"
    " SELECT d.id, 'far', 99, s.id, s.composition_id FROM dataset d, structure s WHERE cell_sha256 = 'kf2'",
    "INSERT INTO relaxation (from_id, potential_id, settings, settings_sha256, outcome, n_steps, reason, activity_id)"
    " SELECT s.id, p.id, '{}', 's', 'refused', 3, 'the cell flew apart', 1 FROM structure s, potential p"
    " WHERE cell_sha256 = 'kf2'",
)


def test_what_competes_and_was_refused_is_named(known: Workspace) -> None:
    structure_of(known, PLAN, "KF")
    with known.database.transaction() as tx:
        for statement in REFUSED_PHASE:
            tx.execute(text(statement))
    assert structure_of(known, PLAN, "KF").left_out == {"KF2": "the cell flew apart"}
    assert structure_of(known, PLAN, "NaF").left_out == {}


def test_no_analogue_is_an_answer(known: Workspace) -> None:
    found = structure_of(known, PLAN, "K3F2Na")
    assert (found.n_proposed, found.candidates, found.claim.structure_novelty) == (0, [], "new family")
    assert rows(known, "SELECT n_proposed FROM template_search") == [(0,)]


def test_what_has_no_reference_is_named_and_the_others_go_on(known: Workspace) -> None:
    plan = StructurePlan(("LiF", "KF"), templates="alike", potential="spring")
    found, failed = structures_of(known, plan)
    assert [one.formula for one in found] == ["KF"]
    assert "the record has no structure of Li" in failed["LiF"]
    assert rows(known, "SELECT count(*) FROM template_search") == [(2,)]


def test_a_potential_that_is_not_there_stops_all_of_them(known: Workspace) -> None:
    with pytest.raises(NotFoundError, match="no potential 'sprong': did you mean 'spring'"):
        structures_of(known, StructurePlan(("KF", "NaF"), templates="alike", potential="sprong"))


def test_a_record_without_structures_says_how_to_get_some(workspace: Workspace) -> None:
    with pytest.raises(NotFoundError, match="agd data import-structures"):
        structure_of(workspace, PLAN, "KF")


RESULT = """
SELECT c.reduced_formula, s.cell_sha256, v.rank, v.template, v.mapping, v.distance, v.energy_ev_per_atom, v.n_steps,
       v.outcome, v.e_above_hull_ev_per_atom, v.products, p.sha256
FROM v_structure_candidate v JOIN structure s ON s.id = v.structure_id JOIN composition c ON c.id = v.composition_id
LEFT JOIN hull_distance h ON h.id = v.hull_distance_id LEFT JOIN phase_set p ON p.id = h.phase_set_id
ORDER BY c.reduced_formula, v.rank
"""


def test_what_is_killed_goes_on_from_its_last_step_to_the_same_rows(
    known: Workspace, import_known: ImportKnown, fresh_database: Callable[[], Any], tmp_path: Path
) -> None:
    undisturbed = structure_of(known, PLAN, "KF")
    expected = rows(known, RESULT)
    with fresh_database() as url, Database(url) as database:
        other = Workspace(database, tmp_path / "other" / "artifacts")
        import_known(other)
        stop = checkpoint_of(other, "x").parent / "stop"
        stop.touch()
        for _ in range(5):  # at the fourth step of every relaxation
            with pytest.raises(KeyboardInterrupt):
                structure_of(other, PLAN, "KF")
        stop.unlink()
        found = structure_of(other, PLAN, "KF")
        assert rows(other, RESULT) == expected
        assert [row.n_steps for row in found.candidates] == [row.n_steps for row in undisturbed.candidates]
        assert not list(stop.parent.glob("*.npz"))


def test_a_checkpoint_is_taken_up(known: Workspace) -> None:
    potential = potential_named(known, "spring")
    stop = checkpoint_of(known, "x").parent / "stop"
    stop.touch()
    with pytest.raises(KeyboardInterrupt):
        relaxed(known, potential, 1)
    (left,) = stop.parent.glob("*.npz")
    assert json.loads(left.read_text())["n"] == 4
    row = relaxed(known, potential, 1)  # it goes on with step 5, and so does not stop at the fourth
    assert (row.n_steps, row.outcome) == (8, "relaxed")
    assert rows(known, "SELECT outcome, count(*) FROM activity WHERE kind = 'relax' GROUP BY 1 ORDER BY 1") == [
        ("done", 1),
        ("failed", 1),
    ]


def test_it_can_be_left_to_workers(known: Workspace) -> None:
    plan = StructurePlan(("KF", "NaF"), templates="alike", potential="spring")
    ids = requests.ask(known, plan)
    assert requests.ask(known, plan) == ids
    with known.database.read() as tx:
        due = jobs.some(tx, ids)
    assert [row.title for row in due] == [
        "structures of KF, relaxed by spring",
        "structures of NaF, relaxed by spring",
    ]
    assert requests.category_of("structure") == "structure"
    assert all(requests.fulfil(known, row) for row in due)
    with known.database.read() as tx:
        assert [row.state for row in jobs.some(tx, ids)] == ["done", "done"]
    assert rows(known, "SELECT DISTINCT claim FROM v_claim WHERE reduced_formula IN ('KF', 'NaF')") == [
        ("near the potential's hull",)
    ]


def test_why_goes_down_to_template_potential_and_phases(known: Workspace) -> None:
    structure_of(known, PLAN, "KF")
    found = why(known, "KF")
    assert found.claim.claim == "near the potential's hull"
    assert [(row.template, row.potential) for row in found.structures] == [
        (t, "spring") for t in ("CsCl", "RbBr", "TlI")
    ]


@pytest.fixture
def cli(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The verbs in this process, on the record of the test."""
    monkeypatch.setenv("AGD_DATABASE_URL", workspace.database.url)
    monkeypatch.setenv("AGD_HOME", str(tmp_path))
    return lambda *words: CliRunner().invoke(app, list(words))


def test_verbs(cli: Callable[..., Result], workspace: Workspace, import_known: ImportKnown, tmp_path: Path) -> None:
    assert isinstance(cli("structure", "KF", "--template", "alike").exception, NotFoundError)
    import_known(workspace)
    shown = cli("structure", "KF", "--template", "alike", "--potential", "spring").stdout
    assert "claim: near the potential's hull; substitution of a known family" in shown
    found = json.loads(cli("structure", "KF", "--template", "alike", "--json").stdout)
    assert [one["template"] for one in found["candidates"]] == ["CsCl", "RbBr", "TlI"]
    assert "no analogue among 6 known structures" in cli("structure", "K3F2Na", "--template", "alike").stdout
    folder = tmp_path / "cif"
    written = ("structure", "KF", "--template", "alike", "--potential", "spring", "-o", str(folder))
    assert "wrote 3 files" in cli(*written).stdout
    assert sorted(path.name for path in folder.iterdir()) == [
        "KF-01-CsCl-spring.cif",
        "KF-02-RbBr-spring.cif",
        "KF-03-TlI.cif",
    ]
    assert "Pm-3m" in (folder / "KF-01-CsCl-spring.cif").read_text()
    assert "--force" in str(cli(*written).exception)
    told = cli("why", "KF").stdout
    assert "3 types of structure by templates alike alike 1" in told
    assert "meV/atom below the hull of F2 0.500 + K 0.500" in told


def test_top_by_level(starter: Workspace, make_spec: Callable[..., ResolvedSpec], cli: Callable[..., Result]) -> None:
    more = '[oracle]\nn_trees = 5\nexclude_initial = false\n[sampler]\nkind = "random"\n'
    LocalEngine().run(starter, open_campaign(starter, make_spec("demo", target="band_gap > 1 eV", more=more)))
    assert "claim" not in cli("top", "demo").stdout
    best, *others = json.loads(cli("top", "demo", "--json").stdout)
    assert {one["claim"] for one in (best, *others)} <= {"guessed", "valid", "DFT gap"}
    assert json.loads(cli("top", "demo", "--level", "template", "--json").stdout) == []
    with starter.database.transaction() as tx:
        tx.execute(
            text(
                "INSERT INTO template_search (composition_id, plugin, plugin_version, options, n_searched, n_proposed,"
                " recipe_sha256, activity_id) VALUES (:composition, 'alike', '1', '{}', 9, 1, 'r', 1)"
            ),
            {"composition": best["composition_id"]},
        )
    (only,) = json.loads(cli("top", "demo", "--level", "template", "--json").stdout)
    assert (only["reduced_formula"], only["claim"]) == (best["reduced_formula"], "has a template")
    assert "has a template" in cli("top", "demo").stdout
    assert (
        json.loads(cli("structures", "of", "demo", "--top", "2", "--dry-run", "--json").stdout)["formulas"][0]
        == (best["reduced_formula"])
    )
    choice = ScreenerChoice(options=("n_trees=5",))
    plan = ScreeningPlan("demo", "starter", ("baseline",), choice, "band_gap > 0 eV", is_novel=False, is_valid=False)
    (screened,) = screen(starter, plan, n_top=2).screenings
    planned = json.loads(
        cli("structures", "of", str(screened.screening_id), "--top", "2", "--dry-run", "--json").stdout
    )
    assert planned["formulas"] == [hit.reduced_formula for hit in screened.top]
    assert planned["campaign"] == "demo"
    assert "no campaign 'dmeo': did you mean 'demo'" in str(cli("structures", "of", "dmeo").exception)


def test_a_model_of_structures_answers_beside_the_potential(known: Workspace, tmp_path: Path) -> None:
    assert compared(known, "KF").rankings[0].ranker == TEMPLATES
    model = a_model(known, tmp_path)
    found = structure_of(known, PLAN, "KF")
    lowest = found.candidates[0]
    assert (lowest.model, lowest.model_version_id) == ("gatgnn", model)
    assert lowest.model_e_form_ev_per_atom is not None
    assert lowest.model_relaxed_e_form_ev_per_atom is not None
    of_structures = "SELECT count(*), count(DISTINCT activity_id) FROM label WHERE model_version_id IS NOT NULL"
    assert rows(known, of_structures)[0][1] == 1
    compared(known, "KF")  # asks for what competed, too
    before = rows(known, of_structures)
    said = compared(known, "KF")
    assert rows(known, of_structures) == before
    assert (said.potential, said.model, said.model_version_id) == ("spring", "gatgnn", model)
    assert {one.ranker for one in said.rankings} == {TEMPLATES, "gatgnn", "gatgnn, relaxed"}
    assert all(one.n_formulas == 1 and one.n_structures >= 2 for one in said.rankings)
    (kf,) = said.formulas
    assert kf.structures[0].above_lowest_mev_per_atom == 0
    assert all(one.regret_mev_per_atom >= 0 for one in kf.rankings)
    assert rows(
        known, "SELECT DISTINCT method, method_kind, correction_scheme FROM v_label WHERE source = 'gatgnn'"
    ) == [("model", "model", "mp2018")]
    lineage = why(known, "KF")
    assert lineage.structures[0].model == "gatgnn"
    with known.database.read() as tx:
        assert not [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)]


def test_what_cannot_be_compared(known: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no formula has two structures relaxed: `agd structure"):
        compare(known)
    structure_of(known, PLAN, "KF")
    assert [one.formula for one in compare(known).formulas] == ["KF"]
    with pytest.raises(NotFoundError, match="CaO: there are not two structures relaxed"):
        compare(known, ["CaO"])
    a_model(known, tmp_path)
    with pytest.raises(NotFoundError, match="--model 99: 0 models"):
        compare(known, model="99")


def compared(workspace: Workspace, formula: str) -> StructureComparison:
    structure_of(workspace, PLAN, formula)
    return compare(workspace, [formula])


def a_model(workspace: Workspace, folder: Path) -> int:
    """A model of structures that has seen the elements, and little else."""
    lines = [
        json.dumps(
            {
                "id": f"{metal}{other}{a}",
                "lattice": [a, a, a, 90, 90, 90],
                "species": [metal, other],
                "frac": [0, 0, 0, 0.5, 0.5, 0.5],
                "e_form": -3.0 + a / 10,
            }
        )
        for metal in ("K", "Cs")
        for other in ("F", "Cl", "Br")
        for a in (3.0, 3.5)
    ]
    (folder / "salts.jsonl").write_text("\n".join(lines))
    import_structures(workspace, [folder / "salts.jsonl"], "salts", method="dft-pbe", scheme="mp2018")
    options = parse("agd.structure_oracles", "gatgnn", ["n_node=4", "n_heads=1", "n_layers=1", "epochs=2", "batch=4"])
    recipe = Recipe("structure_oracle", "gatgnn", "formation_energy", options, 0)
    made = train_on_structures(workspace, recipe, StructureChoice(("salts",), held_out=0.0))
    assert made.model_version_id is not None
    return made.model_version_id
