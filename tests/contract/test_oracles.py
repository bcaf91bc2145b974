"""What every installed oracle must do."""

from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from agd.chem.enumeration import charge_balanced
from agd.chem.formula import parse_formulas
from agd.errors import InputError, ModelError
from agd.protocols import Options, Oracle
from agd.types import FittedModel, TrainingTable


@pytest.fixture(scope="module")
def table() -> TrainingTable:
    counts = charge_balanced(240, seed=0)
    fluorine, oxygen = counts[:, 8] / counts.sum(axis=1), counts[:, 7] / counts.sum(axis=1)
    values = 8.0 * fluorine + 4.0 * oxygen + 0.1 * np.random.default_rng(0).standard_normal(240)
    return TrainingTable(counts, values, np.arange(240) % 5 == 0)


@pytest.fixture(scope="module", params=entry_points(group="agd.oracles"), ids=lambda entry: entry.name)
def plugin(request: pytest.FixtureRequest) -> type[Oracle]:
    loaded: type[Oracle] = request.param.load()
    return loaded


@pytest.fixture(scope="module")
def fitted(plugin: type[Oracle], table: TrainingTable) -> FittedModel:
    return plugin.fit(table, plugin.options_type(), seed=1)


@pytest.fixture(scope="module")
def oracle(plugin: type[Oracle], fitted: FittedModel) -> Oracle:
    loaded = plugin.load(fitted.tensors, plugin.options_type())
    assert isinstance(loaded, Oracle)
    return loaded


def test_tensors_are_plain_and_survive_a_file(
    plugin: type[Oracle], fitted: FittedModel, oracle: Oracle, table: TrainingTable, tmp_path: Path
) -> None:
    np.savez(tmp_path / "oracle.npz", **fitted.tensors)
    with np.load(tmp_path / "oracle.npz", allow_pickle=False) as stored:
        again = plugin.load(dict(stored), plugin.options_type()).label(table.counts)
    first = oracle.label(table.counts)
    np.testing.assert_array_equal(again.values, first.values)
    np.testing.assert_array_equal(again.uncertainties, first.uncertainties)


def test_the_seed_decides(plugin: type[Oracle], fitted: FittedModel, table: TrainingTable) -> None:
    again, other = (plugin.fit(table, plugin.options_type(), seed=seed).tensors for seed in (1, 2))
    assert again.keys() == fitted.tensors.keys()
    for name, array in fitted.tensors.items():
        np.testing.assert_array_equal(again[name], array)
    assert any(not np.array_equal(other[name], array) for name, array in fitted.tensors.items())


def test_held_out_values_are_never_seen(plugin: type[Oracle], fitted: FittedModel, table: TrainingTable) -> None:
    assert table.values is not None
    hidden = TrainingTable(table.counts, np.where(table.is_held_out, 99.0, table.values), table.is_held_out)
    for name, array in plugin.fit(hidden, plugin.options_type(), seed=1).tensors.items():
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


def test_values_are_clipped_at_the_minimum(plugin: type[Oracle], fitted: FittedModel, table: TrainingTable) -> None:
    clipped = plugin.load(fitted.tensors, plugin.options_type.model_validate({"minimum": 2.0})).label(table.counts)
    free = plugin.load(fitted.tensors, plugin.options_type.model_validate({"minimum": -9.0})).label(table.counts)
    assert (free.values < 2.0).any()
    np.testing.assert_array_equal(clipped.values, np.maximum(free.values, 2.0))
    np.testing.assert_array_equal(clipped.uncertainties, free.uncertainties)


def test_tampered_tensors_are_refused(plugin: type[Oracle], fitted: FittedModel) -> None:
    for name, array in fitted.tensors.items():
        missing = {other: kept for other, kept in fitted.tensors.items() if other != name}
        for tampered in (missing, {**missing, name: array[:-1]}, {**missing, name: array.astype(np.complex128)}):
            with pytest.raises(ModelError):
                plugin.load(tampered, plugin.options_type())


def test_options_have_defaults_and_descriptions_and_refuse_strangers(plugin: type[Oracle]) -> None:
    assert issubclass(plugin.options_type, Options)
    assert all(field.description and not field.is_required() for field in plugin.options_type.model_fields.values())
    with pytest.raises(ValueError, match="no_such_option"):
        plugin.options_type.model_validate({"no_such_option": 1})


def test_tables_without_values_and_rows_without_atoms_are_refused(
    plugin: type[Oracle], oracle: Oracle, table: TrainingTable
) -> None:
    assert table.values is not None
    holed = table.values.copy()
    holed[3] = np.nan
    for values in (None, holed):
        with pytest.raises(InputError, match="finite value"):
            plugin.fit(TrainingTable(table.counts, values, table.is_held_out), plugin.options_type(), seed=0)
    with pytest.raises(InputError, match="not held out"):
        plugin.fit(
            TrainingTable(table.counts, table.values, np.ones(240, dtype=np.bool_)), plugin.options_type(), seed=0
        )
    with pytest.raises(InputError, match="no atoms"):
        oracle.label(np.zeros((1, 103), dtype=np.int32))


def test_progress_ends_at_the_total(plugin: type[Oracle], table: TrainingTable) -> None:
    reports: list[tuple[int, int]] = []

    def note(done: int, total: int, note: str = "") -> None:
        del note
        reports.append((done, total))

    plugin.fit(table, plugin.options_type(), seed=0, progress=note)
    assert reports
    assert reports[-1][0] == reports[-1][1]
    assert reports == sorted(reports)
