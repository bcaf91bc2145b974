"""An oracle that is told what another model answers: trained, asked, screened with, carried away, made again."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from agd import registry, spec
from agd.cli.app import app
from agd.errors import InputError, ModelError, NotFoundError
from agd.loop import LocalEngine
from agd.nets.checkpoint import tensors_path
from agd.steps.campaign.offline import compute, ingest, prepare
from agd.steps.campaign.opening import open_campaign
from agd.steps.campaign.stepping import next_step, perform
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.compositions import counts_of
from agd.steps.data.importing import import_dataset
from agd.steps.models.predicting import predict, teller
from agd.steps.models.training import Recipe, Trained, retrain, train_by_hand
from agd.steps.models.training_sets import find_dataset, labelled
from agd.steps.reading.explaining import why
from agd.steps.screening.screening import ScreeningPlan, screen
from agd.work import spool
from agd.work.shelf import ModelRef, model_ref
from agd.work.workspace import Workspace

DEAR = ["NaCl", "KCl", "CaF2", "MgO", "GaAs", "ZnO", "TiO2", "SiO2", "LiF", "CsI", "BaO", "AlN", "SrYF5", "CuCl"]


def train(workspace: Workspace, dataset: str, kind: str, told_by: str | None = None) -> Trained:
    options = registry.load("agd.oracles", kind).options_type(n_trees=10)
    with workspace.database.read() as tx:
        row = find_dataset(tx, dataset)
        parts = labelled(tx, row, share=0.1, seed=0)
        told = None if told_by is None else teller(tx, told_by, kind)
    return train_by_hand(workspace, Recipe("oracle", kind, "band_gap", options, 0, told_by=told), parts)


@pytest.fixture
def both(starter: Workspace, tmp_path: Path) -> tuple[Trained, Trained]:
    """The one of the starter set, and the one of dearer labels that is told its answers."""
    path = tmp_path / "dear.csv"
    path.write_text("\n".join(["composition,gap", *(f"{one},{1 + i / 3}" for i, one in enumerate(DEAR)), ""]))
    rules = ImportRules("composition", "gap", "band_gap", "eV", method="measured")
    import_dataset(starter, path, "dear", rules)
    below = train(starter, "starter", "extra_trees")
    return below, train(starter, "dear", "informed_trees", str(below.model_version_id))


def test_it_knows_whose_answers_it_takes(starter: Workspace, both: tuple[Trained, Trained]) -> None:
    below, told = both
    with starter.database.read() as tx:
        query = "SELECT input_model_version_id FROM model_version WHERE id = :id"
        assert tx.scalar(text(query), {"id": told.model_version_id}) == below.model_version_id
    assert train(starter, "dear", "informed_trees", str(below.model_version_id)).was_there
    alone = train(starter, "dear", "informed_trees")
    assert alone.recipe_sha256 != told.recipe_sha256
    said = {
        one.model_version_id: one for of in (alone, told) for one in predict(starter, str(of.model_version_id), DEAR)
    }
    assert {one.property for one in said.values()} == {"band_gap"}
    counts = counts_of(["Cs2NaYF6", "NaF"])
    with starter.database.read() as tx:
        ref = model_ref(tx, told.model_version_id or 0)
    answers = starter.oracle(below.model_version_id or 0).label(counts).values
    by_hand = starter.shelf.load(ref).oracle.label_told(counts, answers)
    assert np.array_equal(starter.oracle(told.model_version_id or 0).label(counts).values, by_hand.values)
    with pytest.raises(ModelError, match="another model's answers"):
        starter.shelf.load(ref).oracle.label(counts)


def test_it_screens_and_explains(starter: Workspace, both: tuple[Trained, Trained], tmp_path: Path) -> None:
    pool = tmp_path / "pool.csv"
    pool.write_text("formula\nCs2NaYF6\nRb2SrF4\nKMgF3\n")
    ids = [one.model_version_id for one in both]
    plan = ScreeningPlan(None, str(pool), target="band_gap > 0.1 eV", model=str(ids[1]))
    (screening,) = screen(starter, plan).screenings
    assert screening.n_hits
    versions = why(starter, screening.top[0].reduced_formula).model_versions
    assert {one.id for one in versions} == set(ids)


def test_its_files_travel_together(starter: Workspace, both: tuple[Trained, Trained]) -> None:
    below, told = both
    with starter.database.read() as tx:
        ref = model_ref(tx, told.model_version_id or 0)
    assert ref.files() == [told.tensors_sha256, below.tensors_sha256]
    assert ModelRef.of(json.loads(json.dumps(asdict(ref)))) == ref
    assert spool.ModelRef is ModelRef


def test_it_is_made_again(starter: Workspace, both: tuple[Trained, Trained]) -> None:
    sha256 = both[1].tensors_sha256 or ""
    tensors_path(starter.artifacts, sha256).unlink()
    assert retrain(starter, sha256[:12]) == sha256


CAMPAIGN = """\
name = "told"
target = "band_gap > 2 eV"
[data]
dataset = "dear"
known = ["starter"]
[initial]
n = 4
[budget]
oracle_calls = 8
suggestions_per_iteration = 4
[oracle]
kind = "informed_trees"
n_trees = 10
exclude_initial = false
with_answers_of = "{below}"
[sampler]
kind = "retrieval"
pool = "starter"
"""


def test_a_campaign_asks_both(starter: Workspace, both: tuple[Trained, Trained], tmp_path: Path) -> None:
    below = both[0].model_version_id
    resolved = spec.parse(CAMPAIGN.format(below=below), tmp_path / "told.toml")
    campaign = open_campaign(starter, resolved)
    while (step := next_step(starter, campaign)) is not None and step.kind != "train oracle":
        perform(starter, campaign, step)
    assert step is not None
    assert prepare(starter, campaign, step, tmp_path / "job", 3600.0)
    compute(tmp_path / "job")
    assert ingest(starter, tmp_path / "job").what == "recorded"
    assert LocalEngine().run(starter, campaign).is_ended
    with starter.database.read() as tx:
        query = "SELECT input_model_version_id FROM model_version m JOIN campaign_model q ON q.model_version_id = m.id"
        assert tx.scalars(text(query)).all() == [below]
        answered = "SELECT count(*) FROM label l JOIN campaign_model q USING (model_version_id)"
        assert tx.scalar(text(answered)) == 8
    with pytest.raises(NotFoundError, match=r"oracle\.with_answers_of 99: 0 models"):
        open_campaign(starter, spec.parse(CAMPAIGN.format(below=99).replace("told", "other"), tmp_path / "o.toml"))


def test_what_cannot_be(starter: Workspace, both: tuple[Trained, Trained], monkeypatch: pytest.MonkeyPatch) -> None:
    with starter.database.read() as tx:
        with pytest.raises(
            InputError, match="of kind extra_trees takes no answers of others, one of kind informed_trees"
        ):
            teller(tx, str(both[0].model_version_id), "extra_trees")
        with pytest.raises(NotFoundError, match="--with-answers-of 99: 0 models"):
            teller(tx, "99", "informed_trees")
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url.replace("+psycopg", ""))
    monkeypatch.setenv("AGD_HOME", str(starter.artifacts.parent))
    words = ["train", "oracle", "--dataset", "dear", "--kind", "informed_trees", "-o", "n_trees=10", "--json"]
    told = CliRunner().invoke(app, [*words, "--with-answers-of", str(both[0].model_version_id)])
    assert json.loads(told.stdout)["was_there"]
