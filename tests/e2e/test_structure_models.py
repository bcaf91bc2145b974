"""Models of structures: trained on labels of one method, stopped and gone on, judged by rows; what they answer."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from agd.cli.app import app
from agd.db.upkeep import checks
from agd.errors import InputError
from agd.progress import silent
from agd.steps.models import structure_training
from agd.steps.models.plugin_options import parse
from agd.steps.models.structure_training import KIND, StructureChoice, checkpoint_of, train_on_structures
from agd.steps.models.training import Recipe, retrain
from agd.steps.structures.importing import import_structures
from agd.work.workspace import Workspace

METALS, OTHERS = ("Li", "Na", "K", "Rb", "Cs"), ("F", "Cl", "Br", "I")
SMALL = ["n_node=8", "n_heads=2", "n_layers=1", "batch=8", "epochs=6"]


def salts(path: Path) -> Path:
    """Rock salt and caesium chloride of twenty salts, the energy by the size of the cell."""
    lines = []
    for i, metal in enumerate(METALS):
        for j, other in enumerate(OTHERS):
            for name, lattice, shift in (
                ("rs", [3.0 + 0.2 * i + 0.2 * j] * 3 + [60.0] * 3, 0.0),
                ("cc", [2.9 + 0.2 * i + 0.2 * j] * 3 + [90.0] * 3, 0.1),
            ):
                row = {
                    "id": f"{name}-{metal}{other}",
                    "lattice": lattice,
                    "species": [metal, other],
                    "frac": [0, 0, 0, 0.5, 0.5, 0.5],
                    "e_form": -3.0 + 0.1 * i + 0.4 * j + shift,
                    "band_gap": 5.0,
                }
                lines.append(json.dumps(row))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def labelled(workspace: Workspace, tmp_path: Path) -> Workspace:
    import_structures(workspace, [salts(tmp_path / "salts.jsonl")], "salts", method="dft-pbe", scheme="mp2018")
    return workspace


def recipe(**options: object) -> Recipe:
    given = [*SMALL[:-1], *[f"{key}={value}" for key, value in options.items()]] if options else SMALL
    return Recipe(KIND, "gatgnn", "formation_energy", parse("agd.structure_oracles", "gatgnn", given), 0)


def rows(workspace: Workspace, query: str) -> list[tuple[object, ...]]:
    with workspace.database.read() as tx:
        return [tuple(row) for row in tx.execute(text(query))]


CHOICE = StructureChoice(("salts",), held_out=0.2)


def test_a_model_of_structures_is_rows(labelled: Workspace) -> None:
    before = train_on_structures(labelled, recipe(), CHOICE, dry_run=True)
    assert (before.model_version_id, before.n_structures, before.n_formulas, before.n_held_out) == (None, 40, 20, 8)
    assert rows(labelled, "SELECT count(*) FROM model_version") == [(0,)]
    made = train_on_structures(labelled, recipe(), CHOICE)
    assert (made.was_there, made.learned_method, made.correction_scheme) == (False, "dft-pbe", "mp2018")
    assert made.recipe_sha256 == before.recipe_sha256
    again = train_on_structures(labelled, recipe(), CHOICE)
    assert again.was_there
    assert again.model_version_id == made.model_version_id
    assert rows(
        labelled,
        "SELECT is_held_out, is_validation, count(*), count(DISTINCT reduced_formula) FROM v_training_label"
        " GROUP BY 1, 2 ORDER BY 1, 2",
    ) == [(False, False, 30, 15), (False, True, 2, 1), (True, False, 8, 4)]
    evaluated = rows(labelled, "SELECT dataset, part, n_rows, value FROM v_evaluation WHERE metric = 'mae' ORDER BY 2")
    assert [row[:3] for row in evaluated] == [("salts", "held_out", 8), ("salts", "validation", 2)]
    assert evaluated[0][3] == pytest.approx(made.metrics["mae"], abs=1e-5)
    assert rows(labelled, "SELECT learned_method, correction_scheme FROM model_version") == [("dft-pbe", "mp2018")]
    assert made.tensors_sha256 is not None
    next(labelled.artifacts.glob(f"*/{made.tensors_sha256}.npz")).unlink()
    assert retrain(labelled, made.tensors_sha256[:12]) == made.tensors_sha256
    with labelled.database.read() as tx:
        assert not [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)]


def test_a_stopped_training_goes_on_to_the_same_model(labelled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train_on_structures(labelled, recipe(), CHOICE)

    class Killed(structure_training._Timed):
        def __call__(self, done: int, total: int, note: str = "") -> None:
            if 2 * done > total and note.startswith("epoch 4/"):
                raise KeyboardInterrupt
            super().__call__(done, total, note)

    other = labelled.artifacts.parent / "other"
    other.mkdir()
    with labelled.database.transaction() as tx:
        tx.execute(text("SELECT agd_open_removal('to be made again')"))
        for table in ("structure_evaluation", "model_version", "training_structure", "training_set_source"):
            tx.execute(text(f"DELETE FROM {table}"))
        tx.execute(text("UPDATE activity SET outcome = 'failed', error = 'x' WHERE kind = 'train structure_oracle'"))
        tx.execute(text("DELETE FROM training_set"))
        tx.execute(text("UPDATE job SET state = 'open' WHERE kind = 'train structure_oracle'"))
    with monkeypatch.context() as patched:
        patched.setattr(structure_training, "_Timed", Killed)
        with pytest.raises(KeyboardInterrupt):
            train_on_structures(labelled, recipe(), CHOICE)
    assert checkpoint_of(labelled, whole.recipe_sha256).exists()
    told: list[int] = []
    again = train_on_structures(labelled, recipe(), CHOICE, lambda done, *_: told.append(done))
    assert told[0] > 4
    assert (again.tensors_sha256, again.metrics) == (whole.tensors_sha256, whole.metrics)
    assert not checkpoint_of(labelled, whole.recipe_sha256).exists()


def test_minutes_that_are_over_stop_it(labelled: Workspace) -> None:
    stopped = train_on_structures(labelled, recipe(epochs=500), CHOICE, minutes=0.001)
    assert stopped.model_version_id is None
    assert stopped.stopped_at is not None
    assert stopped.stopped_at.startswith("epoch ")
    assert rows(labelled, "SELECT error_class FROM activity WHERE kind = 'train structure_oracle'") == [("permanent",)]


def test_labels_of_two_schemes_make_no_model(labelled: Workspace, tmp_path: Path) -> None:
    more = salts(tmp_path / "more.jsonl")
    more.write_text(more.read_text().replace("rs-", "more-"))
    import_structures(labelled, [more], "more", method="dft-pbe", scheme="mp2020")
    with pytest.raises(InputError, match=r"one correction scheme make a model, not salts \(dft-pbe, mp2018\), more"):
        train_on_structures(labelled, recipe(), StructureChoice(("salts", "more")))
    with pytest.raises(InputError, match="no structure of at most 1 atoms has a label of formation_energy"):
        train_on_structures(labelled, recipe(), StructureChoice(("salts",), max_atoms=1), silent)


def test_the_verb(labelled: Workspace, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del labelled
    monkeypatch.setenv("AGD_DATABASE_URL", database_url)
    monkeypatch.setenv("AGD_HOME", str(tmp_path))
    asked = ["train", "structures", "--dataset", "salts", "--epochs", "3", "--limit", "30"]
    asked += [word for one in SMALL[:-1] for word in ("-o", one)]
    run = CliRunner().invoke(app, asked)
    assert run.exit_code == 0, run.output
    assert "labels  formation_energy by dft-pbe, corrected as mp2018" in run.output
    assert "30 structures of at most 20 atoms" in run.output
    found = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert (found["was_there"], found["correction_scheme"], found["options"]["epochs"]) == (True, "mp2018", 3)
    wrong = CliRunner().invoke(app, ["train", "structures", "--dataset", "salt"])
    assert "did you mean 'salts'?" in str(wrong.exception)
