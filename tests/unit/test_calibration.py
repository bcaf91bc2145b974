"""Uncertainties that hold in every range of answers, not only overall."""

import numpy as np
import pytest

from agd.chem.formula import parse_formula
from agd.errors import ModelError
from agd.nets.calibration import OutOfFold, RangeScale
from agd.plugins.oracles.forests import ExtraTrees, ExtraTreesOptions
from agd.types import TrainingTable


def judged(n: int, seed: int = 0) -> tuple[OutOfFold, np.ndarray]:
    """Answers whose stated sigma is right overall and far too small where they are large."""
    rng = np.random.default_rng(seed)
    answers = rng.exponential(1.5, n)
    values = answers + np.where(answers > 5.0, 2.0, 0.4) * rng.standard_normal(n)
    return OutOfFold(answers, np.full(n, 0.45), rng.random(n) < 0.95), values


def coverage(said: OutOfFold, values: np.ndarray, least: float) -> float:
    is_there = said.values >= least
    return float(np.mean(np.abs(said.values - values)[is_there] <= said.uncertainties[is_there]))


def test_the_tail_is_covered_like_the_rest() -> None:
    out_of_fold, values = judged(20_000)
    assert coverage(out_of_fold, values, 5.5) < 0.3
    scale = RangeScale.fit(out_of_fold, values)
    for said, theirs in ((out_of_fold, values), judged(20_000, seed=1)):
        scaled = scale.applied(said)
        assert coverage(scaled, theirs, 0.0) == pytest.approx(0.6827, abs=0.015)
        assert coverage(scaled, theirs, 5.5) == pytest.approx(0.6827, abs=0.06)


@pytest.mark.parametrize("n", [0, 1, 2, 59, 130, 500])
def test_few_rows_make_few_ranges(n: int) -> None:
    out_of_fold, values = judged(n)
    scale = RangeScale.fit(out_of_fold, values)
    assert len(scale.at) <= max(n // 60, 1)
    scaled = scale.applied(out_of_fold)
    assert (scaled.uncertainties > 0.0).all()
    assert np.isfinite(scaled.uncertainties).all()


def test_answers_that_are_all_alike_have_one_factor() -> None:
    values = np.random.default_rng(0).standard_normal(400)
    alike = OutOfFold(np.zeros(400), np.full(400, 0.1), np.ones(400, np.bool_))
    scale = RangeScale.fit(alike, values)
    assert scale.at.tolist() == [0.0]
    assert coverage(scale.applied(alike), values, -1.0) == pytest.approx(0.6827, abs=0.01)
    exact = RangeScale.fit(OutOfFold(values, np.full(400, 0.1), np.ones(400, np.bool_)), values)
    assert (exact.factor > 0.0).all()


def test_a_model_of_one_composition_is_loaded_again() -> None:
    options = ExtraTreesOptions(n_trees=3, calibration="by_range")
    counts = parse_formula("NaCl")
    fitted = ExtraTrees.fit(TrainingTable(counts, np.array([5.0]), np.array([False])), options, seed=0)
    assert ExtraTrees.load(fitted.tensors, options).label(counts).values.tolist() == [5.0]


def test_it_is_kept_as_arrays_which_are_checked() -> None:
    scale = RangeScale.fit(*judged(2000))
    tensors = {**scale.to_tensors(), "other": np.zeros(2)}
    again, rest = RangeScale.split(tensors)
    assert list(rest) == ["other"]
    np.testing.assert_array_equal(again.at, scale.at)
    np.testing.assert_array_equal(again.factor, scale.factor)
    assert RangeScale.split(rest)[0].to_tensors() == {}
    sigmas = np.array([0.3])
    assert RangeScale.none().scaled(np.zeros(1), sigmas) is sigmas
    for name, array in (
        ("range.at", scale.at[::-1].copy()),
        ("range.at", scale.at[:-1]),
        ("range.factor", -scale.factor),
        ("range.factor", scale.factor.astype(np.float32)),
        ("range.factor", scale.factor * np.nan),
    ):
        with pytest.raises(ModelError, match="calibration by range"):
            RangeScale.split({**tensors, name: array})
