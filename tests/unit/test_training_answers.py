"""Answers kept for training compositions: found by composition, checked when read."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agd.chem.formula import parse_formulas
from agd.errors import InputError, ModelError
from agd.nets.calibration import OutOfFold
from agd.plugins.oracles.training_answers import SeenRows, TrainingAnswers
from agd.types import Counts, Prediction, TrainingTable


def counts_of(*formulas: str) -> Counts:
    counts, problems = parse_formulas(list(formulas))
    assert not problems
    return counts


@pytest.fixture
def rows() -> SeenRows:
    counts = counts_of("NaCl", "O2", "Fe4O6", "SrYF5", "Na2Cl2", "Fe2O3", "MgO")
    return SeenRows.of(TrainingTable(counts, np.arange(7.0), np.arange(7) == 6), "test")


@pytest.fixture
def answers(rows: SeenRows) -> TrainingAnswers:
    said = 10.0 + rows.groups
    return rows.answers(OutOfFold(said, said / 10.0, np.ones(6, dtype=np.bool_)))


def test_rows_of_one_composition_are_one(rows: SeenRows) -> None:
    assert len(rows.distinct) == 4
    assert rows.groups[0] == rows.groups[4]
    assert rows.groups[2] == rows.groups[5]
    np.testing.assert_array_equal(rows.distinct[rows.groups[2]], counts_of("Fe2O3")[0])
    np.testing.assert_array_equal(rows.values, np.arange(6.0))


def test_training_compositions_have_their_answers_however_they_are_written(
    rows: SeenRows, answers: TrainingAnswers
) -> None:
    counts = counts_of("MgO", "Na3Cl3", "Cl2", "Sr2Y2F10", "O2", "Fe2O3", "FeO")
    plain = Prediction(np.arange(7.0), np.full(7, 0.5))
    given = answers.instead_of(plain, counts)
    expected = [0.0, 10.0 + rows.groups[0], 2.0, 10.0 + rows.groups[3], 10.0 + rows.groups[1], 10.0 + rows.groups[2], 6]
    np.testing.assert_array_equal(given.values, expected)
    np.testing.assert_array_equal(given.uncertainties == 0.5, [True, False, True, False, False, False, True])
    np.testing.assert_array_equal(plain.values, np.arange(7.0))
    assert answers.instead_of(Prediction(np.zeros(0), np.zeros(0)), counts[:0]).values.shape == (0,)


def test_they_survive_a_file_beside_other_arrays(answers: TrainingAnswers, tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", weight=np.ones(3), **answers.to_tensors())
    with np.load(tmp_path / "model.npz", allow_pickle=False) as stored:
        again, rest = TrainingAnswers.split(dict(stored))
    assert again is not None
    assert list(rest) == ["weight"]
    np.testing.assert_array_equal(again.counts, answers.counts)
    np.testing.assert_array_equal(again.values, answers.values)
    np.testing.assert_array_equal(again.uncertainties, answers.uncertainties)
    assert sum(array.nbytes for array in answers.to_tensors().values()) < 40 * len(answers.counts)


def test_a_model_without_them_is_left_alone() -> None:
    tensors = {"weight": np.ones(3)}
    assert TrainingAnswers.split(tensors) == (None, tensors)


def raised(array: NDArray[np.generic], index: int, value: float) -> NDArray[np.generic]:
    copy = array.copy()
    copy[index] = value
    return copy


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("n_elements", lambda array: raised(array, 0, array[0] + 1)),
        ("n_elements", lambda array: raised(raised(array, 0, array[0] + array[1]), 1, 0)),
        ("n_elements", lambda array: array.astype(np.int64)),
        ("column", lambda array: raised(array, 0, 103)),
        ("column", lambda array: raised(array, 1, array[0])),
        ("column", lambda array: array[:-1]),
        ("amount", lambda array: raised(array, 0, 0)),
        ("amount", lambda array: raised(array, 0, -1)),
        ("amount", lambda array: 2 * array),
        ("value", lambda array: raised(array, 0, np.nan)),
        ("value", lambda array: array[:-1]),
        ("uncertainty", lambda array: raised(array, 0, 0.0)),
        ("uncertainty", lambda array: array.astype(np.float32)),
    ],
)
def test_altered_arrays_are_refused(answers: TrainingAnswers, name: str, change: object) -> None:
    assert callable(change)
    tensors = dict(answers.to_tensors())
    with pytest.raises(ModelError, match="out-of-fold answers"):
        TrainingAnswers.split({**tensors, f"training.{name}": change(tensors[f"training.{name}"])})


def test_missing_strange_and_repeated_arrays_are_refused(answers: TrainingAnswers) -> None:
    tensors = dict(answers.to_tensors())
    for name in tensors:
        with pytest.raises(ModelError, match="out-of-fold answers"):
            TrainingAnswers.split({other: array for other, array in tensors.items() if other != name})
    with pytest.raises(ModelError, match="stranger"):
        TrainingAnswers.split({**tensors, "training.stranger": np.zeros(1)})
    twice = {name: np.concatenate([array, array]) for name, array in tensors.items()}
    with pytest.raises(ModelError, match="distinct"):
        TrainingAnswers.split(twice)


def test_tables_that_cannot_be_learnt_from_are_refused() -> None:
    counts, values = counts_of("NaCl", "MgO"), np.array([1.0, np.inf])
    with pytest.raises(InputError, match="test needs a finite value"):
        SeenRows.of(TrainingTable(counts, values, np.zeros(2, np.bool_)), "test")
    with pytest.raises(InputError, match="not held out"):
        SeenRows.of(TrainingTable(counts, np.ones(2), np.ones(2, np.bool_)), "test")
