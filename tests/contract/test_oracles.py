"""What every oracle must do, and what those of agd do besides."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import pytest

from agd import registry
from agd.chem.enumeration import charge_balanced
from agd.chem.formula import parse_formulas
from agd.chem.identity import reduce_counts
from agd.errors import InputError
from agd.protocols import Options, Oracle
from agd.testing import OracleContract
from agd.testing.models import SEED
from agd.types import Counts, FittedModel, Floats, Prediction, TrainingTable


class TestRandomForest(OracleContract):
    plugin = "random_forest"


class TestExtraTrees(OracleContract):
    plugin = "extra_trees"


class TestInformedTrees(OracleContract):
    plugin = "informed_trees"
    options = {"n_trees": 200}  # noqa: RUF012  # the contract says ClassVar


class TestHistGradientBoosting(OracleContract):
    plugin = "hist_gradient_boosting"
    options = {"n_rounds": 25, "learning_rate": 0.2, "n_leaves": 15, "n_folds": 3}  # noqa: RUF012  # the contract says ClassVar


@pytest.mark.skipif(find_spec("lightgbm") is None, reason="the extra lightgbm is not installed")
class TestLightGbm(OracleContract):
    plugin = "lightgbm"
    options = {"n_rounds": 60, "n_leaves": 15}  # noqa: RUF012  # same


@pytest.mark.skipif(find_spec("elementembeddings") is None, reason="the extra roost is not installed")
class TestRoost(OracleContract):
    plugin = "roost"
    options = {  # noqa: RUF012  # same
        "epochs": 16,
        "learning_rate": 5e-3,
        "batch": 64,
        "n_folds": 2,
        "n_members": 3,
        "validation": 0.0,
        "n_layers": 1,
        "n_heads": 2,
        "node": 32,
        "hidden": 32,
        "widths": (64, 32),
    }
    brief = {"epochs": 2}  # noqa: RUF012  # same


class TestNetworks(OracleContract):
    plugin = "networks"
    options = {  # noqa: RUF012  # same
        "widths": (16, 8),
        "epochs": 1,
        "n_steps": 60,
        "batch": 48,
        "n_folds": 3,
        "dropout": 0.4,
        "learning_rate": 5e-3,
        "weight_decay": 1.0,
    }


class TestEnsemble(OracleContract):
    plugin = "ensemble"
    options = {"members": ("extra_trees", "random_forest")}  # noqa: RUF012  # same


class TestMappedEnsemble(OracleContract):
    plugin = "ensemble"
    options = {  # noqa: RUF012  # same
        "members": ("extra_trees", "random_forest"),
        "weights": "fitted",
        "quantile_mapping": 0.7,
        "calibration": "by_range",
    }


class TestHurdle(OracleContract):
    plugin = "hurdle"
    options = {  # noqa: RUF012  # same
        "gate": ("extra_trees", "random_forest"),
        "members": ("random_forest", "extra_trees"),
    }

    @classmethod
    def table(cls) -> TrainingTable:
        """The ordinary one, its lower values being zero."""
        table = super().table()
        assert table.values is not None
        return replace(table, values=np.where(table.values < 2.0, 0.0, table.values))


class TestMedianForest(OracleContract):
    plugin = "extra_trees"
    options = {"answer": "median", "calibration": "by_range"}  # noqa: RUF012  # same


CONTRACTS = (
    TestRandomForest,
    TestExtraTrees,
    TestInformedTrees,
    TestHistGradientBoosting,
    TestLightGbm,
    TestRoost,
    TestNetworks,
    TestEnsemble,
    TestMappedEnsemble,
    TestHurdle,
    TestMedianForest,
)


def test_each_has_its_contract(has_all: Callable[[str, Iterable[object]], None]) -> None:
    has_all("agd.oracles", CONTRACTS)


@pytest.fixture(
    scope="module",
    params=[pytest.param(one, marks=getattr(one, "pytestmark", []), id=one.__name__) for one in CONTRACTS],
)
def contract(request: pytest.FixtureRequest) -> type[OracleContract]:
    """The oracles of agd: they keep answers for the compositions that they were trained on."""
    chosen: type[OracleContract] = request.param
    return chosen


@pytest.mark.parametrize(
    "kind", ["random_forest", "extra_trees", "hist_gradient_boosting", "lightgbm", "roost", "ensemble"]
)
def test_options_that_came_later_leave_no_trace_at_their_defaults(kind: str) -> None:
    kept = registry.load("agd.oracles", kind).options_type().model_dump(mode="json")
    assert not kept.keys() & {"answer", "calibration", "weights", "quantile_mapping"}


def test_a_forest_measures_both_ways_to_answer() -> None:
    mean, median = (one.trained().fitted.metrics for one in (TestExtraTrees, TestMedianForest))
    for name in ("mae", "rmse", "r2"):
        assert mean[f"median_{name}"] == median[name]
        assert median[f"mean_{name}"] == mean[name]


def test_labels_are_finite_for_every_element_and_uncertainties_positive(contract: type[OracleContract]) -> None:
    counts, problems = parse_formulas(["He", "Ne", "Rn", "Lr2O3", "SrYF5", "H2", "NaCl", "Pu20F20"])
    assert not problems
    prediction = contract.trained().model.label(counts)
    assert np.isfinite(prediction.values).all()
    assert np.isfinite(prediction.uncertainties).all()
    assert (prediction.uncertainties > 0.0).all()


def test_it_learns_and_measures_itself(contract: type[OracleContract]) -> None:
    metrics = contract.trained().fitted.metrics
    assert metrics["n_train"] == 192
    assert metrics["n_held_out"] == 48
    assert metrics["r2"] > 0.6
    assert metrics["mae"] <= metrics["rmse"]
    assert 0.0 <= metrics["coverage_1_sigma"] <= metrics["coverage_2_sigma"] <= 1.0
    assert -1.0 <= metrics["spearman_uncertainty_error"] <= 1.0
    assert metrics["coverage_1_sigma"] <= metrics["coverage_interval_90"] <= 1.0
    assert metrics["interval_90"] > 1.0


@dataclass(frozen=True)
class Noisy:
    """A model of compositions whose values are mostly noise; the compositions it saw twice each, one not reduced."""

    plugin: type[Oracle]
    fitted: FittedModel
    options: Options
    seen: Counts
    seen_values: Floats
    other: Counts
    other_values: Floats

    def label(self, counts: Counts, **changed: object) -> Prediction:
        options = type(self.options).model_validate({**self.options.model_dump(), **changed})
        return self.plugin.load(self.fitted.tensors, options).label(counts)


@pytest.fixture(scope="module")
def noisy(contract: type[OracleContract]) -> Noisy:
    counts = reduce_counts(charge_balanced(700, seed=3))
    counts = counts[np.sort(np.unique(counts, axis=0, return_index=True)[1])]
    values = 2.0 * counts[:, 7] / counts.sum(axis=1) + np.random.default_rng(3).standard_normal(len(counts))
    seen, seen_values = counts[:300], values[:300]
    table = TrainingTable(
        np.concatenate([seen, 3 * seen]), np.tile(seen_values, 2), np.zeros(2 * len(seen), dtype=np.bool_)
    )
    plugin, options = contract.plugin_class(), contract.chosen(minimum=-99.0)
    fitted = plugin.fit(table, options, seed=2)
    return Noisy(plugin, fitted, options, seen, seen_values, counts[300:], values[300:])


def test_training_compositions_are_answered_by_models_that_did_not_see_them(noisy: Noisy) -> None:
    def error(counts: Counts, values: Floats, **changed: object) -> float:
        return float(np.abs(noisy.label(counts, **changed).values - values).mean())

    held_out = error(noisy.other, noisy.other_values)
    in_sample = error(noisy.seen, noisy.seen_values, out_of_fold=False)
    out_of_fold = error(noisy.seen, noisy.seen_values)
    assert 0.85 < out_of_fold / held_out < 1.15
    assert in_sample < 0.85 * out_of_fold
    assert (noisy.label(noisy.seen).values != noisy.label(noisy.seen, out_of_fold=False).values).all()


def test_other_compositions_are_answered_alike_with_and_without_the_kept_answers(noisy: Noisy) -> None:
    kept, plain = noisy.label(noisy.other), noisy.label(noisy.other, out_of_fold=False)
    np.testing.assert_array_equal(kept.values, plain.values)
    np.testing.assert_array_equal(kept.uncertainties, plain.uncertainties)


def test_a_training_composition_is_known_however_it_is_written(noisy: Noisy) -> None:
    reduced, multiplied = noisy.label(noisy.seen), noisy.label(5 * noisy.seen)
    np.testing.assert_array_equal(multiplied.values, reduced.values)
    np.testing.assert_array_equal(multiplied.uncertainties, reduced.uncertainties)


def test_kept_uncertainties_and_the_interval_hold_their_share(noisy: Noisy) -> None:
    kept = noisy.label(noisy.seen)
    errors = np.abs(kept.values - noisy.seen_values)
    assert np.mean(errors <= kept.uncertainties) == pytest.approx(0.6827, abs=0.02)
    factor = noisy.fitted.metrics["interval_90"]
    assert np.mean(errors <= factor * kept.uncertainties) == pytest.approx(0.905, abs=0.01)
    new = noisy.label(noisy.other)
    errors = np.abs(new.values - noisy.other_values)
    assert 0.6 < np.mean(errors <= new.uncertainties) < 0.78
    assert 0.84 < np.mean(errors <= factor * new.uncertainties) < 0.96


def test_a_model_stored_without_kept_answers_predicts_all_compositions(noisy: Noisy) -> None:
    older = {name: array for name, array in noisy.fitted.tensors.items() if not name.startswith("training.")}
    assert older.keys() < noisy.fitted.tensors.keys()
    answered = noisy.plugin.load(older, noisy.options).label(noisy.seen)
    plain = noisy.label(noisy.seen, out_of_fold=False)
    np.testing.assert_array_equal(answered.values, plain.values)
    np.testing.assert_array_equal(answered.uncertainties, plain.uncertainties)


def test_a_model_need_not_keep_answers(contract: type[OracleContract]) -> None:
    trained = contract.trained()
    bare = trained.plugin.fit(trained.table, contract.chosen(out_of_fold=False), seed=SEED)
    assert bare.tensors.keys() == {name for name in trained.fitted.tensors if not name.startswith("training.")}
    assert bare.metrics == trained.fitted.metrics


def test_tables_without_values_and_rows_without_atoms_are_refused(contract: type[OracleContract]) -> None:
    trained = contract.trained()
    table = trained.table
    assert table.values is not None
    holed = table.values.copy()
    holed[3] = np.nan
    for values in (None, holed):
        with pytest.raises(InputError, match="finite value"):
            trained.plugin.fit(TrainingTable(table.counts, values, table.is_held_out), trained.options, seed=0)
    with pytest.raises(InputError, match="no atoms"):
        trained.model.label(np.zeros((1, 103), dtype=np.int32))
