"""What a hurdle model makes of tables with zeros, without, and of nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from agd.chem.enumeration import charge_balanced
from agd.errors import InputError, ModelError
from agd.plugins.oracles.ensembles import Ensemble, EnsembleOptions
from agd.plugins.oracles.hurdle import Hurdle, HurdleOptions
from agd.types import FittedModel, TrainingTable

OXYGEN, FLUORINE = 7, 8
OPTIONS = HurdleOptions(members=("extra_trees", "random_forest"))


@pytest.fixture(scope="module")
def table() -> TrainingTable:
    """What holds neither oxygen nor fluorine is a metal."""
    counts = charge_balanced(400, seed=0)
    share = counts / counts.sum(axis=1, keepdims=True)
    gaps = 2.0 + 6.0 * share[:, FLUORINE] + 2.0 * share[:, OXYGEN] + 0.2 * np.random.default_rng(0).random(400)
    is_metal = ~counts[:, [OXYGEN, FLUORINE]].any(axis=1)
    return TrainingTable(counts, np.where(is_metal, 0.0, gaps), np.arange(400) % 4 == 0)


@pytest.fixture(scope="module")
def fitted(table: TrainingTable) -> FittedModel:
    return Hurdle.fit(table, OPTIONS, seed=1)


def test_it_tells_what_is_zero_and_says_how_well(fitted: FittedModel, table: TrainingTable) -> None:
    assert table.values is not None
    held_out = table.counts[table.is_held_out]
    is_metal = table.values[table.is_held_out] == 0.0
    assert 10 < is_metal.sum() < 90
    metrics = fitted.metrics
    assert metrics["zero_auc"] > 0.97
    assert metrics["out_of_fold_zero_auc"] > 0.97
    assert metrics["zero_share"] == np.mean(table.values[~table.is_held_out] == 0.0)
    model = Hurdle.load(fitted.tensors, OPTIONS)
    answered = model.label(held_out).values
    assert np.mean((answered == 0.0) == is_metal) > 0.9
    probability = model.probability(held_out)
    assert probability[is_metal].mean() < 0.2
    assert probability[~is_metal].mean() > 0.8
    assert (answered[probability < 0.5] == 0.0).all()


def test_where_it_is_sure_of_a_value_it_says_the_product(fitted: FittedModel, table: TrainingTable) -> None:
    counts = charge_balanced(300, seed=9)
    counts = counts[~(counts[:, None] == table.counts[None]).all(axis=2).any(axis=1)]
    model = Hurdle.load(fitted.tensors, HurdleOptions(members=OPTIONS.members, zero_below=0.0))
    product = model.probability(counts) * model.size.label(counts).values
    np.testing.assert_array_equal(model.label(counts).values, product)
    stricter = Hurdle.load(fitted.tensors, HurdleOptions(members=OPTIONS.members, zero_below=1.0))
    assert np.mean(stricter.label(counts).values == 0.0) > np.mean(product == 0.0)


def test_exact_zeros_do_not_shrink_the_other_uncertainties(fitted: FittedModel, table: TrainingTable) -> None:
    assert table.values is not None
    known = Hurdle.load(fitted.tensors, OPTIONS).label(table.counts[~table.is_held_out])
    errors = np.abs(known.values - table.values[~table.is_held_out])
    is_sized = known.values != 0.0
    assert np.mean(errors[is_sized] <= known.uncertainties[is_sized]) == pytest.approx(0.6827, abs=0.03)
    assert (known.uncertainties > 0.0).all()


def test_a_table_without_zeros_has_no_gate(table: TrainingTable) -> None:
    assert table.values is not None
    above = replace(table, values=table.values + 1.0)
    fitted = Hurdle.fit(above, OPTIONS, seed=1)
    assert not any(name.startswith("gate.") for name in fitted.tensors)
    assert "zero_auc" not in fitted.metrics
    plain = Ensemble.fit(above, EnsembleOptions(members=OPTIONS.members, weights="fitted"), seed=1)
    options = EnsembleOptions(members=OPTIONS.members, weights="fitted")
    held_out = above.counts[above.is_held_out]
    same = Ensemble.load(plain.tensors, options).label(held_out).values
    np.testing.assert_array_equal(Hurdle.load(fitted.tensors, OPTIONS).label(held_out).values, same)


def test_a_table_of_zeros_alone_is_refused(table: TrainingTable) -> None:
    with pytest.raises(InputError, match="other than zero"):
        Hurdle.fit(replace(table, values=np.zeros(400)), OPTIONS, seed=0)


def test_altered_arrays_are_refused(fitted: FittedModel) -> None:
    for change, message in (
        ({"calibration": np.zeros(5)}, "its calibration"),
        ({"stranger": np.zeros(1)}, "stranger"),
        ({"gate.weights": np.zeros(2)}, "its weights"),
    ):
        with pytest.raises(ModelError, match=message):
            Hurdle.load({**fitted.tensors, **change}, OPTIONS)
    sizeless = {name: array for name, array in fitted.tensors.items() if not name.startswith("size.")}
    with pytest.raises(ModelError):
        Hurdle.load(sizeless, OPTIONS)


@pytest.mark.parametrize("members", [("hurdle", "networks"), ("ensemble", "networks")])
def test_members_that_are_ensembles_themselves_are_refused(members: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="cannot be a member of an ensemble"):
        HurdleOptions(members=members)
