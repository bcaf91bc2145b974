"""Answers as far apart as the values: what least squares draw to the middle is brought back, in its order."""

import numpy as np
import pytest

from agd.errors import ModelError
from agd.nets.quantile_mapping import QuantileMap
from agd.types import Floats


def shrunk(n: int, seed: int = 0) -> tuple[Floats, Floats]:
    """What least squares answer of values of which half is noise, and the values."""
    rng = np.random.default_rng(seed)
    answers = rng.exponential(1.0, n)
    return answers, answers + rng.exponential(1.0, n) - 1.0


def test_all_the_way_they_have_the_distribution_of_the_values() -> None:
    whole = QuantileMap.fit(*shrunk(20_000), 1.0)
    answers, values = shrunk(20_000, seed=1)
    shares = (0.02, 0.2, 0.5, 0.9, 0.98)
    assert np.quantile(whole.mapped(answers), shares) == pytest.approx(np.quantile(values, shares), abs=0.15)
    assert np.mean(answers >= 4.0) < 0.6 * np.mean(values >= 4.0)
    assert np.mean(whole.mapped(answers) >= 4.0) == pytest.approx(np.mean(values >= 4.0), rel=0.2)


def test_a_share_of_the_way_costs_less_than_that_share_of_the_squared_error() -> None:
    answers, values = shrunk(20_000)
    errors = [np.mean((QuantileMap.fit(answers, values, s).mapped(answers) - values) ** 2) for s in (0.0, 0.5, 1.0)]
    assert errors[0] < errors[1] < errors[2]
    assert errors[1] - errors[0] == pytest.approx((errors[2] - errors[0]) / 4.0, rel=0.3)


@pytest.mark.parametrize("n", [1, 2, 59, 130, 500])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_the_order_stays_also_beyond_what_was_seen_and_of_few_rows(n: int, strength: float) -> None:
    found = QuantileMap.fit(*shrunk(n), strength)
    assert len(found.at) <= max(n // 60, 1)
    mapped = found.mapped(np.linspace(-5.0, 20.0, 1001))
    assert (np.diff(mapped) >= 0.0).all()
    assert mapped[-1] > mapped[-2]


def test_answers_that_are_all_alike_are_moved_together() -> None:
    found = QuantileMap.fit(np.ones(300), np.arange(300.0), 1.0)
    assert found.at.tolist() == [1.0]
    assert np.ptp(found.mapped(np.ones(3))) == 0.0


def test_it_is_kept_as_arrays_which_are_checked() -> None:
    found = QuantileMap.fit(*shrunk(2000), 0.5)
    tensors = {**found.to_tensors(), "other": np.zeros(2)}
    again, rest = QuantileMap.split(tensors)
    assert list(rest) == ["other"]
    np.testing.assert_array_equal(again.at, found.at)
    np.testing.assert_array_equal(again.shift, found.shift)
    assert QuantileMap.split(rest)[0].to_tensors() == {}
    answers = np.array([0.3])
    assert QuantileMap.none().mapped(answers) is answers
    for name, array in (
        ("quantiles.at", found.at[::-1].copy()),
        ("quantiles.at", found.at[:-1]),
        ("quantiles.shift", found.shift * np.nan),
        ("quantiles.shift", found.shift.astype(np.float32)),
        ("quantiles.shift", -10.0 * np.arange(len(found.at))),
    ):
        with pytest.raises(ModelError, match="mapping by quantiles"):
            QuantileMap.split({**tensors, name: array})
