"""Models judged on datasets: once, anew where labels went, and never on what they do not answer."""

from pathlib import Path

import pytest
from sqlalchemy import text

from agd.errors import InputError, NotFoundError
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.steps.data.labelling import retract_label
from agd.steps.models import plugin_options
from agd.steps.models.evaluating import evaluate
from agd.steps.models.training import Recipe, train_by_hand
from agd.steps.models.training_sets import find_dataset, labelled
from agd.target import Target
from agd.work.workspace import Workspace

WIDE = Target.parse("band_gap >= 6 eV")
JUDGED = "formula,eg\nNaF,6.1\nLiF,8.7\nCsI,5.2\nSi,0.6\n"


@pytest.fixture
def forest(starter: Workspace, tmp_path: Path) -> int:
    """A forest in the record, and the dataset `judged`."""
    (tmp_path / "judged.csv").write_text(JUDGED)
    import_dataset(starter, tmp_path / "judged.csv", "judged", ImportRules("formula", "eg", "band_gap", "eV"))
    with starter.database.read() as tx:
        parts = labelled(tx, find_dataset(tx, "starter"), share=0.2, seed=0)
    chosen = plugin_options.parse("agd.oracles", "random_forest", ["n_trees=5"])
    model_version_id = train_by_hand(
        starter, Recipe("oracle", "random_forest", "band_gap", chosen, 0), parts
    ).model_version_id
    assert model_version_id is not None
    return model_version_id


def n_activities(workspace: Workspace) -> int:
    with workspace.database.read() as tx:
        return int(tx.scalar(text("SELECT count(*) FROM activity WHERE kind = 'evaluate'")) or 0)


def test_a_model_is_judged_once_for_each_question(starter: Workspace, forest: int) -> None:
    first = evaluate(starter, forest, "judged", WIDE)
    assert {"r2", "mae", "rmse", "recall", "average_precision"} <= first.keys()
    assert evaluate(starter, forest, "judged", WIDE) == first
    assert evaluate(starter, forest, "judged") == {name: first[name] for name in ("r2", "mae", "rmse")}
    assert n_activities(starter) == 1


def test_what_is_not_defined_is_left_out_and_not_asked_again(starter: Workspace, forest: int) -> None:
    never = Target.parse("band_gap >= 90 eV")
    assert evaluate(starter, forest, "judged", never).keys() == {"r2", "mae", "rmse"}
    evaluate(starter, forest, "judged", never)
    assert n_activities(starter) == 1


def test_a_retracted_label_is_judged_by_no_more(starter: Workspace, forest: int) -> None:
    before = evaluate(starter, forest, "judged")
    query = "SELECT l.id FROM label l JOIN dataset d ON d.id = l.dataset_id WHERE d.name = 'judged' ORDER BY l.id"
    with starter.database.read() as tx:
        labels = list(tx.scalars(text(query)))
    retract_label(starter, labels[0], "of another compound")
    assert evaluate(starter, forest, "judged") != before
    with starter.database.read() as tx:
        assert tx.scalars(text("SELECT n_rows FROM v_evaluation WHERE metric = 'mae' ORDER BY 1")).all() == [3, 4]
    for label in labels[1:]:
        retract_label(starter, label, "of another compound")
    with pytest.raises(InputError, match="'judged' has no label left"):
        evaluate(starter, forest, "judged")


def test_only_what_a_model_answers_is_judged(starter: Workspace, forest: int, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("formula\nNaF\n")
    import_dataset(starter, tmp_path / "list.csv", "list", ImportRules("formula"))
    with pytest.raises(InputError, match="answers band_gap, dataset 'list' holds formulas alone"):
        evaluate(starter, forest, "list")
    with pytest.raises(NotFoundError, match="no model version 99"):
        evaluate(starter, 99, "judged")
    with pytest.raises(NotFoundError, match="did you mean 'judged'"):
        evaluate(starter, forest, "jugded")
