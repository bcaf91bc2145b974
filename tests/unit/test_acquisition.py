"""Expected improvement and upper bound: values, heights and slopes."""

import csv
from collections.abc import Sequence
from decimal import Decimal, getcontext
from pathlib import Path

import numpy as np
import pytest
from bayes_opt.acquisition import ExpectedImprovement, UpperConfidenceBound

from agd.nets.gp import GaussianProcess
from agd.plugins.samplers.acquisition import Acquisition, Improvement, UpperBound, feasibility, feasible_share
from agd.plugins.samplers.gaussian_process import Ei, EiOptions, Ucb, UcbOptions
from agd.types import Floats, History

BOTH: Sequence[Acquisition] = (UpperBound(2.5), Improvement(1.0, 0.25))


def moments(n: int = 400) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(0)
    return rng.uniform(-4.0, 6.0, n), rng.uniform(0.2, 3.0, n)


def test_values_are_those_of_bayesian_optimization() -> None:
    mean, sd = moments()
    theirs = ExpectedImprovement(xi=0.25)
    theirs.y_max = 1.0  # type: ignore[assignment]  # the library sets it to None first
    assert BOTH[1].value(mean, sd) == pytest.approx(theirs.base_acq(mean, sd), rel=1e-9, abs=1e-14)
    assert BOTH[0].value(mean, sd) == pytest.approx(UpperConfidenceBound(kappa=2.5).base_acq(mean, sd))


def test_improvement_is_the_mean_of_what_lies_above_the_best() -> None:
    drawn = 1.5 + 2.0 * np.random.default_rng(0).standard_normal(1_000_000)
    expected = np.maximum(drawn - 1.25, 0.0).mean()
    assert BOTH[1].value(np.array([1.5]), np.array([2.0])) == pytest.approx(expected, rel=5e-3)


def test_feasibility_is_the_share_of_a_normal_deviate_within_the_bounds() -> None:
    drawn = 1.5 + 2.0 * np.random.default_rng(0).standard_normal(1_000_000)
    mean, sd = np.array([1.5]), np.array([2.0])
    for low, high in ((0.0, None), (None, 2.0), (0.0, 2.0)):
        within = (drawn >= (-np.inf if low is None else low)) & (drawn <= (np.inf if high is None else high))
        assert feasibility(mean, sd, low, high) == pytest.approx(within.mean(), abs=2e-3)
    assert feasibility(np.array([1.0, 3.0]), np.zeros(2), 2.0, None).tolist() == [0.0, 1.0]


def test_what_does_not_hold_is_worth_the_worst_and_never_more() -> None:
    acquired, certain, never = np.array([-3.0, 1.0, 5.0]), np.ones(3), np.zeros(3)
    assert feasible_share(acquired, certain, -2.0).tolist() == acquired.tolist()
    assert feasible_share(acquired, never, -2.0).tolist() == [-3.0, -2.0, -2.0]
    assert feasible_share(acquired, np.full(3, 0.5), 1.0).tolist() == [-3.0, 1.0, 3.0]


def test_the_height_rises_with_the_value() -> None:
    mean, sd = moments()
    for acquisition in BOTH:
        order = np.argsort(acquisition.value(mean, sd))
        assert (np.diff(acquisition.height(mean, sd)[order]) >= 0.0).all()


@pytest.mark.parametrize("acquisition", BOTH, ids=["upper bound", "improvement"])
@pytest.mark.parametrize("shift", [0.0, -3.0, -40.0, -300.0, -1e4], ids=str)
def test_slopes_are_those_of_finite_differences(acquisition: Acquisition, shift: float) -> None:
    mean, sd = moments()
    mean += shift
    step = 1e-6 * max(1.0, abs(shift))
    by_mean, by_sd = acquisition.slopes(mean, sd)
    height = acquisition.height
    for slope, dm, ds in ((by_mean, step, 0.0), (by_sd, 0.0, 1e-6)):
        difference = (height(mean + dm, sd + ds) - height(mean - dm, sd - ds)) / (2.0 * (dm + ds))
        assert slope == pytest.approx(difference, rel=2e-4, abs=1e-8)
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("z", [-0.5, -0.99, -1.01, -5.0, -20.0, -199.0, -201.0, -1000.0])
def test_the_logarithm_of_the_improvement_is_right_where_the_improvement_underflows(z: float) -> None:
    getcontext().prec = 50
    # phi(z) + z Phi(z) = phi(z) / z^2 - ...: the continued fraction of the Mills ratio, in 50 digits.
    a, tail = Decimal(str(-z)), Decimal(0)
    for k in range(6000, 0, -1):
        tail = Decimal(k) / (a + tail)
    mills = 1 / (a + tail)
    expected = float((1 - a * mills).ln()) - 0.5 * z * z - 0.5 * np.log(2.0 * np.pi)
    found = Improvement(0.0, 0.0).height(np.array([2.0 * z]), np.array([2.0]))
    assert found[0] == pytest.approx(expected + np.log(2.0), rel=1e-9, abs=1e-9)


def test_where_all_labels_are_equal_the_improvement_goes_where_least_is_known() -> None:
    latents = np.random.default_rng(0).uniform(0.0, 0.4, (20, 2))
    past = History(latents, np.full(20, 3.0), np.array([[0.0, 1.0]] * 2))
    found = Ei(EiOptions()).suggest(past, 1, seed=0)
    assert found.latents is not None
    assert (found.latents[0] > 0.8).any()
    assert found.acquisition[0] > 0.0


def test_a_large_margin_prefers_the_unknown() -> None:
    rng = np.random.default_rng(0)
    latents = rng.uniform(0.0, 1.0, (60, 2)) * [1.0, 0.5]
    past = History(latents, -np.square(latents - [0.3, 0.2]).sum(axis=1), np.array([[0.0, 1.0]] * 2))
    near, far = (Ei(EiOptions(xi=xi)).suggest(past, 1, seed=0) for xi in (0.0, 1.0))
    assert far.posterior_sd[0] > 2.0 * near.posterior_sd[0]


@pytest.mark.parametrize(
    ("sampler", "least"),
    # What bayesian-optimization finds from the same start, as tests/bench/bench_suggest.py prints it.
    [(Ucb(UcbOptions(kappa=100.0)), 161.44883763), (Ei(EiOptions(xi=0.01)), 1.29700292)],
    ids=["ucb", "ei"],
)
def test_the_published_start_gives_no_less_than_the_stock_optimiser(
    real_data: Path, sampler: Ucb | Ei, least: float
) -> None:
    with (real_data / "paper" / "bd_AML_whole_init_300.csv").open() as file:
        rows = list(csv.DictReader(file))
    latents = np.array([[row[f"V{i}"] for i in range(128)] for row in rows], dtype=np.float32).astype(np.float64)
    bounds = np.stack([latents.min(axis=0), latents.max(axis=0)], axis=1)
    past = History(latents, np.array([float(row["Eg"]) for row in rows]), bounds)
    found = sampler.suggest(past, 1, seed=0)
    assert found.acquisition[0] >= least - 1e-6
    assert found.latents is not None
    mean, sd = GaussianProcess.fit(latents, past.objectives).posterior(found.latents)
    assert (mean[0], sd[0]) == pytest.approx((found.posterior_mean[0], found.posterior_sd[0]))
