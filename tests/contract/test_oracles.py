"""What every installed oracle must do."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from agd.chem.enumeration import charge_balanced
from agd.chem.formula import parse_formulas
from agd.chem.identity import reduce_counts
from agd.errors import InputError, ModelError
from agd.protocols import Options, Oracle
from agd.types import Counts, FittedModel, Floats, Prediction, TrainingTable

Make = Callable[..., Options]

QUICK: dict[str, dict[str, object]] = {
    "hist_gradient_boosting": {"n_rounds": 25, "learning_rate": 0.2, "n_leaves": 15, "n_folds": 3},
    "lightgbm": {"n_rounds": 60, "n_leaves": 15},
    "ensemble": {"members": ("extra_trees", "random_forest")},
    "roost": {
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
    },
}
"""Options, where the defaults are made for tables of another size."""


@pytest.fixture(scope="module")
def table() -> TrainingTable:
    counts = charge_balanced(240, seed=0)
    fluorine, oxygen = counts[:, 8] / counts.sum(axis=1), counts[:, 7] / counts.sum(axis=1)
    values = 8.0 * fluorine + 4.0 * oxygen + 0.1 * np.random.default_rng(0).standard_normal(240)
    return TrainingTable(counts, values, np.arange(240) % 5 == 0)


@pytest.fixture(scope="module", params=entry_points(group="agd.oracles"), ids=lambda entry: entry.name)
def plugin(request: pytest.FixtureRequest) -> type[Oracle]:
    if request.param.name == "lightgbm":
        pytest.importorskip("lightgbm", reason="the extra agd[lightgbm] is not installed", exc_type=ImportError)
    if request.param.name == "roost":
        pytest.importorskip("elementembeddings", reason="the extra agd[roost] is not installed", exc_type=ImportError)
    loaded: type[Oracle] = request.param.load()
    return loaded


@pytest.fixture(scope="module")
def make(plugin: type[Oracle]) -> Make:
    kind = next(entry.name for entry in entry_points(group="agd.oracles") if entry.load() is plugin)

    def options(**given: object) -> Options:
        return plugin.options_type.model_validate({**QUICK.get(kind, {}), **given})

    return options


@pytest.fixture(scope="module")
def fitted(plugin: type[Oracle], table: TrainingTable, make: Make) -> FittedModel:
    return plugin.fit(table, make(), seed=1)


@pytest.fixture(scope="module")
def oracle(plugin: type[Oracle], fitted: FittedModel, make: Make) -> Oracle:
    loaded = plugin.load(fitted.tensors, make())
    assert isinstance(loaded, Oracle)
    return loaded


def test_tensors_are_plain_and_survive_a_file(
    plugin: type[Oracle], fitted: FittedModel, oracle: Oracle, table: TrainingTable, make: Make, tmp_path: Path
) -> None:
    np.savez(tmp_path / "oracle.npz", **fitted.tensors)
    with np.load(tmp_path / "oracle.npz", allow_pickle=False) as stored:
        again = plugin.load(dict(stored), make()).label(table.counts)
    first = oracle.label(table.counts)
    np.testing.assert_array_equal(again.values, first.values)
    np.testing.assert_array_equal(again.uncertainties, first.uncertainties)


def test_the_seed_decides(plugin: type[Oracle], fitted: FittedModel, table: TrainingTable, make: Make) -> None:
    again, other = (plugin.fit(table, make(), seed=seed).tensors for seed in (1, 2))
    assert again.keys() == fitted.tensors.keys()
    for name, array in fitted.tensors.items():
        np.testing.assert_array_equal(again[name], array)
    assert any(not np.array_equal(other[name], array) for name, array in fitted.tensors.items())


def test_held_out_values_are_never_seen(
    plugin: type[Oracle], fitted: FittedModel, table: TrainingTable, make: Make
) -> None:
    assert table.values is not None
    hidden = TrainingTable(table.counts, np.where(table.is_held_out, 99.0, table.values), table.is_held_out)
    for name, array in plugin.fit(hidden, make(), seed=1).tensors.items():
        np.testing.assert_array_equal(array, fitted.tensors[name])


def test_every_row_is_labelled_as_if_alone(oracle: Oracle, table: TrainingTable) -> None:
    together = oracle.label(table.counts)
    for rows in (slice(0, 1), slice(17, 18), slice(3, 40), slice(None, None, -1)):
        apart = oracle.label(table.counts[rows])
        np.testing.assert_array_equal(apart.values, together.values[rows])
        np.testing.assert_array_equal(apart.uncertainties, together.uncertainties[rows])


def test_labels_are_finite_for_every_element_and_uncertainties_positive(oracle: Oracle) -> None:
    counts, problems = parse_formulas(["He", "Ne", "Rn", "Lr2O3", "SrYF5", "H2", "NaCl", "Pu20F20"])
    assert not problems
    prediction = oracle.label(counts)
    assert np.isfinite(prediction.values).all()
    assert np.isfinite(prediction.uncertainties).all()
    assert (prediction.uncertainties > 0.0).all()
    assert oracle.label(counts[:0]).values.shape == (0,)


def test_it_learns_and_measures_itself(fitted: FittedModel) -> None:
    metrics = fitted.metrics
    assert metrics["n_train"] == 192
    assert metrics["n_held_out"] == 48
    assert metrics["r2"] > 0.6
    assert metrics["mae"] <= metrics["rmse"]
    assert 0.0 <= metrics["coverage_1_sigma"] <= metrics["coverage_2_sigma"] <= 1.0
    assert -1.0 <= metrics["spearman_uncertainty_error"] <= 1.0
    assert metrics["coverage_1_sigma"] <= metrics["coverage_interval_90"] <= 1.0
    assert metrics["interval_90"] > 1.0


def test_values_are_clipped_at_the_minimum(
    plugin: type[Oracle], fitted: FittedModel, table: TrainingTable, make: Make
) -> None:
    clipped = plugin.load(fitted.tensors, make(minimum=2.0)).label(table.counts)
    free = plugin.load(fitted.tensors, make(minimum=-9.0)).label(table.counts)
    assert (free.values < 2.0).any()
    np.testing.assert_array_equal(clipped.values, np.maximum(free.values, 2.0))
    np.testing.assert_array_equal(clipped.uncertainties, free.uncertainties)


def test_tampered_tensors_are_refused(plugin: type[Oracle], fitted: FittedModel, make: Make) -> None:
    for name, array in fitted.tensors.items():
        missing = {other: kept for other, kept in fitted.tensors.items() if other != name}
        for tampered in (missing, {**missing, name: array[:-1]}, {**missing, name: array.astype(np.complex128)}):
            with pytest.raises(ModelError):
                plugin.load(tampered, make())


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
def noisy(plugin: type[Oracle], make: Make) -> Noisy:
    counts = reduce_counts(charge_balanced(700, seed=3))
    counts = counts[np.sort(np.unique(counts, axis=0, return_index=True)[1])]
    values = 2.0 * counts[:, 7] / counts.sum(axis=1) + np.random.default_rng(3).standard_normal(len(counts))
    seen, seen_values = counts[:300], values[:300]
    table = TrainingTable(
        np.concatenate([seen, 3 * seen]), np.tile(seen_values, 2), np.zeros(2 * len(seen), dtype=np.bool_)
    )
    options = make(minimum=-99.0)
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


def test_a_model_need_not_keep_answers(
    plugin: type[Oracle], fitted: FittedModel, table: TrainingTable, make: Make
) -> None:
    bare = plugin.fit(table, make(out_of_fold=False), seed=1)
    assert bare.tensors.keys() == {name for name in fitted.tensors if not name.startswith("training.")}
    assert bare.metrics == fitted.metrics


def test_options_have_defaults_and_descriptions_and_refuse_strangers(plugin: type[Oracle]) -> None:
    assert issubclass(plugin.options_type, Options)
    assert all(field.description and not field.is_required() for field in plugin.options_type.model_fields.values())
    with pytest.raises(ValueError, match="no_such_option"):
        plugin.options_type.model_validate({"no_such_option": 1})


def test_tables_without_values_and_rows_without_atoms_are_refused(
    plugin: type[Oracle], oracle: Oracle, table: TrainingTable, make: Make
) -> None:
    assert table.values is not None
    holed = table.values.copy()
    holed[3] = np.nan
    for values in (None, holed):
        with pytest.raises(InputError, match="finite value"):
            plugin.fit(TrainingTable(table.counts, values, table.is_held_out), make(), seed=0)
    with pytest.raises(InputError, match="not held out"):
        plugin.fit(TrainingTable(table.counts, table.values, np.ones(240, dtype=np.bool_)), make(), seed=0)
    with pytest.raises(InputError, match="no atoms"):
        oracle.label(np.zeros((1, 103), dtype=np.int32))


def test_progress_ends_at_the_total(plugin: type[Oracle], table: TrainingTable, make: Make) -> None:
    reports: list[tuple[int, int]] = []

    def note(done: int, total: int, note: str = "") -> None:
        del note
        reports.append((done, total))

    plugin.fit(table, make(), seed=0, progress=note)
    assert reports
    assert reports[-1][0] == reports[-1][1]
    assert reports == sorted(reports)


def test_a_property_may_be_negative_where_no_least_value_is_given(
    plugin: type[Oracle], table: TrainingTable, make: Make
) -> None:
    assert table.values is not None
    negative = TrainingTable(table.counts, table.values - 20.0, table.is_held_out)
    answers = plugin.load(plugin.fit(negative, make(), seed=1).tensors, make()).label(table.counts)
    assert answers.values.max() < -5.0
