"""The published batch: what it repeats, what it learns, and when it ends."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd.nets.gp import GaussianProcess
from agd.plugins.samplers.gaussian_process import Ei, EiOptions, Ucb, UcbOptions
from agd.plugins.samplers.published_batch import propose
from agd.plugins.samplers.stock import Stock, StockOptions
from agd.plugins.samplers.uniform import Uniform, UniformOptions
from agd.types import Floats, History, Proposals

D = 4
TOP = np.array([1.5, 0.0, 0.0, 0.0])


def left(points: Floats) -> Sequence[str | None]:
    """Nothing can be decoded in the half of the box that holds the top."""
    return ["KCl" if x < 0.0 else None for x in points[:, 0]]


def history(n: int = 60) -> History:
    """A hill in the half that cannot be decoded."""
    latents = np.random.default_rng(0).uniform(-2.0, 2.0, (n, D)).astype(np.float32).astype(np.float64)
    return History(
        latents=latents,
        objectives=5.0 - np.linalg.norm(latents - TOP, axis=1),
        bounds=np.tile([-2.0, 2.0], (D, 1)),
        read=left,
        seen=frozenset(["KCl"]),
        undecodable_objective=0.0,
    )


def suggested(sampler: Any, past: History, n: int = 4) -> tuple[Floats, Proposals]:
    proposals: Proposals = sampler.suggest(past, n, seed=1)
    assert proposals.latents is not None
    return proposals.latents, proposals


@pytest.mark.parametrize("sampler", [Ucb(UcbOptions(kappa=0.5)), Ei(EiOptions())], ids=["ucb", "ei"])
def test_it_learns_at_once_what_cannot_be_decoded(sampler: Ucb | Ei) -> None:
    latents, proposals = suggested(sampler, history())
    assert left(latents[:1]) == [None]
    assert np.linalg.norm(latents[0] - TOP) < 1.0
    assert np.linalg.norm(latents[1] - latents[0]) > 0.1
    assert left(latents).count("KCl") == 4
    # The second suggestion is what a fit to everything, the first as 0 eV, says of it.
    past = history()
    refitted = GaussianProcess.fit(np.concatenate([past.latents, latents[:1]]), np.append(past.objectives, 0.0))
    mean, sd = refitted.posterior(latents[1:2])
    assert mean[0] == pytest.approx(proposals.posterior_mean[1], abs=0.15)
    assert sd[0] == pytest.approx(proposals.posterior_sd[1], rel=0.15)


def test_what_can_be_decoded_teaches_nothing_and_comes_again() -> None:
    past = replace(history(), read=lambda points: ["KCl"] * len(points))
    latents, proposals = suggested(Ucb(UcbOptions(kappa=0.0)), past, 5)
    assert latents == pytest.approx(np.tile(latents[0], (5, 1)), abs=1e-3)
    assert proposals.acquisition == pytest.approx(proposals.acquisition[0])
    apart, _ = suggested(Ucb(UcbOptions(kappa=0.0)), replace(past, undecodable_objective=None, read=None), 5)
    assert np.linalg.norm(apart[1] - apart[0]) > 0.01


def test_what_could_not_be_decoded_before_counts_with_its_objective() -> None:
    past = history()
    is_lost = past.latents[:, 0] > 0.0
    lost = replace(past, objectives=np.where(is_lost, np.nan, past.objectives))
    zero = replace(past, objectives=np.where(is_lost, 0.0, past.objectives))
    np.testing.assert_array_equal(suggested(Ucb(UcbOptions()), lost)[0], suggested(Ucb(UcbOptions()), zero)[0])


def test_the_length_scale_is_fitted_again_after_a_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    fit = GaussianProcess.fit

    def counted(points: Floats, values: Floats) -> GaussianProcess:
        fitted.append(len(values))
        return fit(points, values)

    monkeypatch.setattr("agd.plugins.samplers.gaussian_process.GaussianProcess.fit", counted)
    suggested(Ucb(UcbOptions(kappa=0.5)), history())
    assert fitted[:2] == [60, 61]
    fitted.clear()
    flat = replace(history(), objectives=0.2 * np.random.default_rng(0).standard_normal(60))
    latents, _ = suggested(Ucb(UcbOptions(kappa=10.0)), flat)
    assert len(latents) > 5
    assert 1 <= len(fitted) < len(latents) - 4


def test_the_stock_optimiser_keeps_the_rule() -> None:
    options = StockOptions(kappa=0.5, n_random=200, n_smart=2)
    latents, _ = suggested(Stock(options), history(20), 2)
    assert left(latents[:1]) == [None]
    assert np.linalg.norm(latents[1] - latents[0]) > 1e-3
    assert left(latents).count("KCl") == 2
    again, proposals = suggested(Stock(options), replace(history(20), read=None), 3)
    assert proposals.acquisition == pytest.approx(proposals.acquisition[0], abs=0.05)
    assert len(again) == 3


def test_stock_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    latents = np.zeros((4, 2))
    past = History(latents, np.array([1.0, 2.0, 1.0, np.nan]), np.array([[0.0, 1.0]] * 2))
    for acquisition in ("ucb", "ei"):
        options = StockOptions.model_validate({"acquisition": acquisition, "n_random": 20, "n_smart": 1})
        Stock(options).suggest(past, 3, seed=0)
    assert capsys.readouterr() == ("", "")


def test_random_points_are_the_same_however_many_can_be_decoded() -> None:
    latents, _ = suggested(Uniform(UniformOptions()), history(), 10)
    everything, _ = suggested(Uniform(UniformOptions()), replace(history(), read=None), len(latents))
    np.testing.assert_array_equal(latents, everything)
    assert len(latents) > 10


@settings(max_examples=50, deadline=None)
@given(answers=st.lists(st.booleans(), min_size=600, max_size=600), n=st.integers(1, 6))
def test_the_rule_for_any_answers(answers: list[bool], n: int) -> None:
    class Counter:
        def __init__(self) -> None:
            self.learnt: list[tuple[float, float]] = []
            self.n = 0

        def suggest(self) -> tuple[Floats, tuple[float, float, float]]:
            self.n += 1
            return np.array([float(self.n - 1)]), (1.0, 2.0, 3.0)

        def learn(self, point: Floats, objective: float) -> None:
            self.learnt.append((float(point[0]), objective))

    def read(points: Floats) -> list[str | None]:
        return ["NaCl" if answers[int(x)] else None for x in points[:, 0]]

    counter = Counter()
    past = replace(history(), read=read, undecodable_objective=-7.5)
    latents = propose(counter, past, n).latents
    assert latents is not None
    told = answers[: len(latents)]
    assert sum(told) == n if len(latents) < 100 * n else sum(told) <= n
    assert sum(told[:-1]) < n
    assert counter.learnt == [(float(i), -7.5) for i, can in enumerate(told[:-1]) if not can]
