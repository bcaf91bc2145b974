"""What an ensemble makes of its members."""

import numpy as np
import pytest
from pydantic import ValidationError

from agd import registry
from agd.chem.enumeration import charge_balanced
from agd.errors import InputError, ModelError
from agd.plugins.oracles.composition_oracle import DescriptorOracle
from agd.plugins.oracles.ensembles import Ensemble, EnsembleOptions
from agd.plugins.oracles.forests import ExtraTrees, ExtraTreesOptions, RandomForest, RandomForestOptions
from agd.protocols import Options
from agd.types import FittedModel, TrainingTable

PAIR = EnsembleOptions(members=("extra_trees", "random_forest"))


@pytest.fixture(scope="module")
def table() -> TrainingTable:
    counts = charge_balanced(150, seed=0)
    values = 8.0 * counts[:, 8] / counts.sum(axis=1) - 2.0 + 0.3 * np.random.default_rng(0).standard_normal(150)
    return TrainingTable(counts, values, np.arange(150) % 5 == 0)


@pytest.fixture(scope="module")
def fitted(table: TrainingTable) -> FittedModel:
    return Ensemble.fit(table, PAIR, seed=1)


def test_the_default_members_are_installed() -> None:
    assert EnsembleOptions().members == ("extra_trees", "hist_gradient_boosting")
    for kind in EnsembleOptions().members:
        assert issubclass(registry.load("agd.oracles", kind), DescriptorOracle)


def test_an_answer_is_the_mean_of_the_members_which_are_kept_whole(fitted: FittedModel, table: TrainingTable) -> None:
    counts = charge_balanced(400, seed=9)
    free = EnsembleOptions(members=PAIR.members, minimum=-99.0)
    ensemble = Ensemble.load(fitted.tensors, free)
    said = []
    for kind, plugin, options in (
        ("extra_trees", ExtraTrees, ExtraTreesOptions(minimum=-99.0)),
        ("random_forest", RandomForest, RandomForestOptions(minimum=-99.0)),
    ):
        start = f"member.{kind}."
        member = {name.removeprefix(start): a for name, a in fitted.tensors.items() if name.startswith(start)}
        said.append(plugin.load(member, options).label(counts))
    is_new = ~(counts[:, None] == table.counts[None]).all(axis=2).any(axis=1)
    assert 100 < is_new.sum() < 400
    answered = ensemble.label(counts)
    mean = (said[0].values + said[1].values) / 2.0
    assert mean.min() < 0.0
    np.testing.assert_array_equal(answered.values[is_new], mean[is_new])
    assert not np.array_equal(answered.values, mean)
    assert not np.array_equal(said[0].values, said[1].values)


def test_fitted_weights_follow_the_out_of_fold_answers(fitted: FittedModel, table: TrainingTable) -> None:
    options = EnsembleOptions(members=PAIR.members, weights="fitted", calibration="by_range", minimum=-99.0)
    stacked = Ensemble.fit(table, options, seed=1)
    weights = stacked.tensors["weights"]
    assert (weights >= 0.0).all()
    assert weights.sum() == pytest.approx(1.0)
    assert stacked.tensors.keys() - fitted.tensors.keys() == {"weights", "range.at", "range.factor"}
    counts = charge_balanced(400, seed=9)
    counts = counts[~(counts[:, None] == table.counts[None]).all(axis=2).any(axis=1)]
    said = [member.label(counts).values for member in Ensemble.load(fitted.tensors, PAIR).members]
    mean = weights[0] * said[0] + weights[1] * said[1]
    assert Ensemble.load(stacked.tensors, options).label(counts).values == pytest.approx(mean)
    for change in ({"weights": -weights}, {"weights": np.zeros(2)}, {"weights": weights[:1]}):
        with pytest.raises(ModelError, match="its weights"):
            Ensemble.load({**stacked.tensors, **change}, options)
    for kept, asked in ((stacked, PAIR), (fitted, options)):
        with pytest.raises(ModelError, match="calibrated otherwise"):
            Ensemble.load(kept.tensors, asked)


def test_mapped_by_quantiles_answers_are_farther_apart(table: TrainingTable) -> None:
    common = {"members": PAIR.members, "weights": "fitted", "calibration": "by_range", "minimum": -99.0}
    plain, mapped = (EnsembleOptions(**common, quantile_mapping=share) for share in (0.0, 0.7))
    before, after = (Ensemble.fit(table, options, seed=1) for options in (plain, mapped))
    assert after.tensors.keys() - before.tensors.keys() == {"quantiles.at", "quantiles.shift"}
    at, shift = (after.tensors[f"quantiles.{name}"] for name in ("at", "shift"))
    counts = charge_balanced(400, seed=9)
    counts = counts[~(counts[:, None] == table.counts[None]).all(axis=2).any(axis=1)]
    drawn = Ensemble.load(before.tensors, plain).label(counts).values
    said = Ensemble.load(after.tensors, mapped).label(counts)
    np.testing.assert_allclose(said.values, drawn + np.interp(drawn, at, shift))
    assert after.metrics["out_of_fold_coverage_1_sigma"] == pytest.approx(0.6827, abs=0.02)
    for kept, asked in ((before, mapped), (after, plain)):
        with pytest.raises(ModelError, match="mapped otherwise"):
            Ensemble.load(kept.tensors, asked)


def test_members_do_not_depend_on_each_other_nor_on_held_out_rows(fitted: FittedModel, table: TrainingTable) -> None:
    assert table.values is not None
    other = Ensemble.fit(table, EnsembleOptions(members=("random_forest", "extra_trees")), seed=1)
    for name, array in fitted.tensors.items():
        if name.startswith("member."):
            np.testing.assert_array_equal(other.tensors[name], array)


def test_without_out_of_fold_answers_it_is_smaller_and_predicts(fitted: FittedModel, table: TrainingTable) -> None:
    options = EnsembleOptions(members=PAIR.members, out_of_fold=False, minimum=-99.0)
    keeping = EnsembleOptions(members=PAIR.members, minimum=-99.0)
    bare = Ensemble.fit(table, options, seed=1)
    assert set(bare.tensors) == {name for name in fitted.tensors if not name.startswith("training.")}
    plain = Ensemble.load(bare.tensors, options).label(table.counts)
    np.testing.assert_array_equal(Ensemble.load(fitted.tensors, options).label(table.counts).values, plain.values)
    np.testing.assert_array_equal(Ensemble.load(bare.tensors, keeping).label(table.counts).values, plain.values)
    assert table.values is not None
    known = Ensemble.load(fitted.tensors, keeping).label(table.counts[~table.is_held_out])
    assert (known.values != plain.values[~table.is_held_out]).all()


def test_members_and_their_architectures_are_checked(fitted: FittedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="ensemble"):
        Ensemble.load(fitted.tensors, EnsembleOptions())
    monkeypatch.setattr(ExtraTrees, "architecture_version", 2)
    with pytest.raises(ModelError, match="architecture"):
        Ensemble.load(fitted.tensors, PAIR)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (("extra_tree", "random_forest"), "no oracle 'extra_tree': did you mean 'extra_trees'"),
        (("extra_trees", "ensemble"), "cannot be a member of an ensemble"),
        (("extra_trees", "extra_trees"), "named twice"),
        (("extra_trees",), "at least 2"),
    ],
)
def test_members_that_cannot_be_are_refused(members: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EnsembleOptions(members=members)


def test_an_oracle_that_keeps_no_answers_cannot_be_a_member(
    table: TrainingTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RandomForest, "options_type", Options)
    with pytest.raises(InputError, match="random_forest keeps no out-of-fold answers"):
        Ensemble.fit(table, PAIR, seed=0)
