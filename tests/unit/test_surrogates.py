"""What a search believes: means that tell something, deviations, and joint draws."""

import numpy as np
import pytest

from agd.nets.gp import NOISE, GaussianProcess, fit_length_scale_and_noise
from agd.nets.surrogates import Belief, Surrogate, believe
from agd.nets.threads import limited_threads
from agd.testing.plugins import other_global_randomness

SURROGATES: tuple[Surrogate, ...] = ("extra_trees", "gaussian_process", "networks")
RNG = np.random.default_rng(0)
FEATURES = np.concatenate([RNG.standard_normal((260, 5)), np.zeros((260, 1))], axis=1).astype(np.float32)
VALUES = FEATURES[:, 0] + np.abs(FEATURES[:, 1]) + 0.3 * RNG.standard_normal(260)
KNOWN, ASKED = slice(0, 200), slice(200, None)


def learned(kind: Surrogate, *, seed: int = 1, n_draws: int = 12) -> Belief:
    return believe(kind, FEATURES[KNOWN], VALUES[KNOWN], FEATURES[ASKED], seed=seed, n_draws=n_draws)


@pytest.mark.parametrize("kind", SURROGATES)
def test_it_learns_and_says_how_sure_it_is(kind: Surrogate) -> None:
    belief = learned(kind)
    assert np.corrcoef(belief.mean, VALUES[ASKED])[0, 1] > 0.6
    assert belief.mean.shape == belief.sd.shape == (60,)
    assert (belief.sd > 0.0).all()
    assert belief.draws.shape == (12, 60)
    assert learned(kind, n_draws=0).draws.shape == (0, 60)


@pytest.mark.parametrize(("kind", "width"), [("gaussian_process", 1.0), ("extra_trees", 8**-0.5), ("networks", 0.5)])
def test_draws_are_around_the_mean(kind: Surrogate, width: float) -> None:
    belief = learned(kind, n_draws=60)
    deviations = (belief.draws - belief.mean) / belief.sd
    assert np.abs(deviations.mean(axis=0)).max() < 0.7
    assert 0.5 * width < np.sqrt(np.square(deviations).mean()) < 1.5 * width
    assert len(np.unique(belief.draws, axis=0)) == (5 if kind == "networks" else 60)


@pytest.mark.parametrize("kind", SURROGATES)
def test_seed_and_threads_decide(kind: Surrogate) -> None:
    first = learned(kind)
    with other_global_randomness(), limited_threads(1):
        again = learned(kind)
    np.testing.assert_array_equal(first.mean, again.mean)
    np.testing.assert_array_equal(first.draws, again.draws)
    assert not np.array_equal(first.draws, learned(kind, seed=2).draws)


@pytest.mark.parametrize("kind", SURROGATES)
def test_values_that_are_all_equal_are_believed(kind: Surrogate) -> None:
    belief = believe(kind, FEATURES[:3], np.full(3, 2.5), FEATURES[ASKED], seed=0, n_draws=2)
    np.testing.assert_allclose(belief.mean, 2.5, atol=0.7)
    assert np.isfinite(belief.draws).all()


def test_a_process_takes_for_noise_what_its_features_cannot_tell() -> None:
    """Rows of one kind with unlike values: without noise the length scale is nothing, and the mean tells nothing."""
    points = np.repeat(np.linspace(-2.0, 2.0, 40), 2)[:, None] + 1e-4 * np.random.default_rng(1).standard_normal(
        (80, 1)
    )
    values = np.sin(points[:, 0]) + 0.4 * np.tile([-1.0, 1.0], 40)
    targets = (values - values.mean()) / values.std()
    length_scale, noise = fit_length_scale_and_noise(points, targets, (NOISE, 0.1, 0.3))
    assert noise > NOISE
    mean, _ = GaussianProcess.fit(points, values, length_scale=length_scale, noise=noise).posterior(points)
    assert np.abs(mean - np.sin(points[:, 0])).max() < 0.3


def test_a_process_draws_at_the_most_promising_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agd.nets.surrogates._N_JOINT", 10)
    belief = learned("gaussian_process")
    is_drawn = ~np.isnan(belief.draws)
    assert (is_drawn.sum(axis=1) == 10).all()
    bound = belief.mean + 2.0 * belief.sd
    assert bound[is_drawn[0]].min() >= bound[~is_drawn[0]].max()
