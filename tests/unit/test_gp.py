"""The Gaussian process against scikit-learn's, finite differences and a refit."""

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from agd.nets import gp

Floats = NDArray[np.float64]


def reference(points: Floats, values: Floats, length_scale: float) -> GaussianProcessRegressor:
    kernel = Matern(nu=2.5, length_scale=length_scale)
    return GaussianProcessRegressor(kernel, alpha=1e-6, normalize_y=True, optimizer=None).fit(points, values)


def wavy(n: int, d: int, seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-2.0, 3.0, (n, d))
    return points, 5.0 + 2.0 * np.sin(points.sum(axis=1)) + 0.1 * rng.standard_normal(n)


def test_length_scale_and_evidence_of_the_published_start(real_data: Path) -> None:
    with (real_data / "paper" / "bd_AML_whole_init_1000.csv").open() as file:
        rows = list(csv.DictReader(file))
    points = np.array([[float(row[f"V{i}"]) for i in range(128)] for row in rows])
    values = np.array([float(row["Eg"]) for row in rows])
    _, first = np.unique(points, axis=0, return_index=True)
    fitted = gp.GaussianProcess.fit(points[np.sort(first)], values[np.sort(first)])
    assert len(first) == 982
    assert fitted.length_scale == pytest.approx(4.77, abs=0.005)
    assert fitted.log_marginal_likelihood == pytest.approx(-1251.5425, abs=0.001)


@pytest.mark.parametrize(("n", "d", "seed"), [(5, 1, 0), (40, 1, 1), (80, 3, 2), (300, 2, 3), (320, 30, 4)])
def test_length_scale_is_as_likely_as_that_of_five_restarts(n: int, d: int, seed: int) -> None:
    points, values = wavy(n, d, seed)
    theirs = GaussianProcessRegressor(
        Matern(nu=2.5), alpha=1e-6, normalize_y=True, n_restarts_optimizer=5, random_state=seed
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        theirs.fit(points, values)
    assert (
        gp.GaussianProcess.fit(points, values).log_marginal_likelihood >= theirs.log_marginal_likelihood_value_ - 1e-4
    )


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 60), d=st.integers(1, 8), length_scale=st.floats(0.3, 20.0), seed=st.integers(0, 2**32 - 1))
def test_posterior_is_that_of_scikit_learn(n: int, d: int, length_scale: float, seed: int) -> None:
    points, values = wavy(n, d, seed)
    queries = np.random.default_rng(seed).uniform(-4.0, 5.0, (700, d))
    mean, sd = gp.GaussianProcess.fit(points, values, length_scale=length_scale).posterior(queries)
    their_mean, their_sd = reference(points, values, length_scale).predict(queries, return_std=True)
    assert mean == pytest.approx(their_mean, rel=1e-6, abs=1e-6)
    np.testing.assert_array_equal(gp.GaussianProcess.fit(points, values, length_scale=length_scale).mean(queries), mean)
    assert sd**2 == pytest.approx(their_sd**2, rel=1e-5, abs=1e-7 * values.var() + 1e-10)


def test_gradients_are_those_of_finite_differences() -> None:
    points, values = wavy(70, 5, 0)
    values[::7] = np.nan
    rng = np.random.default_rng(1)
    posterior = gp.GaussianProcess.fit(points, values, length_scale=2.0)
    for conditioned in (posterior, posterior.condition(rng.uniform(-2.0, 3.0, (4, 5)))):
        queries, step = rng.uniform(-2.0, 3.0, (30, 5)), 1e-5
        mean, sd, mean_gradient, sd_gradient = conditioned.posterior_gradients(queries)
        assert np.array([mean, sd]) == pytest.approx(np.array(conditioned.posterior(queries)), abs=1e-9)
        for axis in np.eye(5):
            above, below = (conditioned.posterior(queries + sign * step * axis) for sign in (1.0, -1.0))
            assert mean_gradient @ axis == pytest.approx((above[0] - below[0]) / (2.0 * step), abs=1e-5)
            assert sd_gradient @ axis == pytest.approx((above[1] - below[1]) / (2.0 * step), abs=1e-5)


def test_a_pending_point_keeps_the_mean_and_shrinks_the_variance_as_a_refit_does() -> None:
    points, values = wavy(50, 4, 0)
    rng = np.random.default_rng(1)
    pending, queries = rng.uniform(-2.0, 3.0, (6, 4)), rng.uniform(-2.0, 3.0, (40, 4))
    before = gp.GaussianProcess.fit(points, values, length_scale=1.5)
    after = before.condition(pending[:2]).condition(pending[2:])
    at_once = gp.GaussianProcess.fit(
        np.concatenate([pending, points]), np.concatenate([np.full(6, np.nan), values]), length_scale=1.5
    )
    mean, sd = after.posterior(queries)
    assert mean == pytest.approx(before.posterior(queries)[0], abs=1e-12)
    assert np.array([mean, sd]) == pytest.approx(np.array(at_once.posterior(queries)), abs=1e-9)
    assert (sd <= before.posterior(queries)[1]).all()
    assert after.posterior(pending)[1].max() < 0.01 * before.posterior(pending)[1].min()
    kernel = Matern(nu=2.5, length_scale=1.5)
    believer = GaussianProcessRegressor(kernel, alpha=1e-6, optimizer=None).fit(
        np.concatenate([points, pending]),
        (np.concatenate([values, before.posterior(pending)[0]]) - values.mean()) / values.std(),
    )
    assert mean == pytest.approx(values.mean() + values.std() * believer.predict(queries), abs=1e-6)


@pytest.mark.parametrize("n", [1, 50])
def test_values_that_come_one_by_one_give_the_posterior_of_a_refit(n: int) -> None:
    points, values = wavy(n + 9, 4, 0)
    values[n:] = 0.0  # far from the rest: offset and scale change
    grown = gp.GaussianProcess.fit(points[:n], values[:n], length_scale=1.5)
    for start, stop in ((n, n + 1), (n + 1, n + 4), (n + 4, n + 9)):
        grown = grown.condition(points[start:stop], values[start:stop])
    at_once = gp.GaussianProcess.fit(points, values, length_scale=1.5)
    queries = np.random.default_rng(1).uniform(-2.0, 3.0, (40, 4))
    for ours, theirs in zip(grown.posterior_gradients(queries), at_once.posterior_gradients(queries), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-8)
    assert grown.mean(points) == pytest.approx(at_once.mean(points), abs=1e-8)
    assert grown.log_marginal_likelihood == pytest.approx(at_once.log_marginal_likelihood, abs=1e-8)
    pending = queries[:3]
    assert grown.condition(pending).posterior(queries)[1] == pytest.approx(
        at_once.condition(pending).posterior(queries)[1], abs=1e-8
    )


def test_a_value_known_already_can_come_again() -> None:
    points, values = wavy(30, 3, 0)
    grown = gp.GaussianProcess.fit(points, values, length_scale=2.0).condition(points[:5], values[:5])
    assert grown.posterior(points)[0] == pytest.approx(values, abs=1e-3)


def test_values_after_a_waiting_point_are_refused() -> None:
    points, values = wavy(10, 2, 0)
    waiting = gp.GaussianProcess.fit(points, values, length_scale=1.0).condition(points[:1] + 0.5)
    with pytest.raises(ValueError, match="wait for a value"):
        waiting.condition(points[:1], values[:1])


def test_more_rows_than_fit_the_length_scale_are_all_conditioned_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gp, "MAX_ROWS_FOR_LENGTH_SCALE", 100)
    points, values = wavy(400, 2, 0)
    fitted = gp.GaussianProcess.fit(points, values)
    assert fitted.posterior(points)[0] == pytest.approx(values, abs=0.5)
    assert fitted.length_scale == gp.GaussianProcess.fit(points, values).length_scale


@pytest.mark.parametrize("n", [1, 2, 30])
def test_equal_values_and_equal_points_have_a_finite_posterior(n: int) -> None:
    fitted = gp.GaussianProcess.fit(np.zeros((n, 3)), np.full(n, 7.25))
    mean, sd = fitted.posterior(np.eye(3))
    assert mean == pytest.approx(7.25)
    assert np.isfinite(sd).all()
    assert (sd > 0.0).all()


def test_nothing_known_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one known value"):
        gp.GaussianProcess.fit(np.zeros((2, 3)), np.full(2, np.nan))


def test_the_climb_goes_over_length_scales_without_a_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two infinite neighbours made SciPy warn of their difference."""

    def evidence(_distances: Floats, _targets: Floats, length_scale: float, _noise: float) -> float:
        return -abs(np.log10(length_scale) + 1.0) if 1e-3 < length_scale < 2.0 else -np.inf

    monkeypatch.setattr(gp, "log_marginal_likelihood", evidence)
    nothing = np.zeros((2, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for start in np.linspace(-3.0, 4.0, 60):
            found, _ = gp._climb(nothing, nothing[0], start, half_width=2.0)
            assert found <= 0.0
