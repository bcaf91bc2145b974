"""Batches: what is chosen of candidates that are weighed, one suggestion after the other."""

from dataclasses import replace

import numpy as np
import pytest

from agd.chem.identity import identify
from agd.nets.surrogates import Surrogate
from agd.plugins.samplers.retrieval import GeneratorPool, GeneratorPoolOptions, Retrieval, RetrievalOptions
from agd.plugins.samplers.weighing import Cap, Known, WeighingOptions, Weights, weigh
from agd.testing.samplers import compositions, history, without_latents
from agd.types import Floats, Proposals, Sought

PAST = replace(without_latents(history(30)), candidates=compositions(420))


def weights_of(acquisition: Floats) -> Weights:
    m = acquisition.shape[1]
    return Weights(np.arange(m, dtype=float), np.ones(m), acquisition, np.arange(m))


def test_each_draw_has_its_best_in_turn_and_none_comes_twice() -> None:
    batch = weights_of(np.array([[3.0, 1.0, 2.0], [9.0, 8.0, np.nan], [np.nan, np.nan, 7.0]])).batch(5, [])
    assert list(batch.rows) == [0, 1, 2]
    np.testing.assert_array_equal(batch.acquisition, [3.0, 8.0, 7.0])


def test_one_acquisition_serves_the_whole_batch() -> None:
    batch = weights_of(np.array([[3.0, 1.0, np.nan, 2.0]])).batch(9, [])
    assert list(batch.rows) == [0, 3, 1, 2]
    np.testing.assert_array_equal(batch.mean, [0.0, 3.0, 1.0, 2.0])


def test_caps_count_what_is_spent_and_what_is_chosen() -> None:
    kinds = [0, 0, 0, 1, 1, 2]
    weights = weights_of(-np.arange(6.0)[None])
    assert list(weights.batch(6, [Cap(kinds, 2, spent=[0, 2, 2])]).rows) == [0, 3, 4]
    assert list(weights.batch(6, [Cap(kinds, 2), Cap([0, 1, 1, 1, 1, 1], 2)]).rows) == [0, 1, 3]


@pytest.mark.parametrize("surrogate", ["extra_trees", "gaussian_process", "networks"])
def test_thompson_keeps_the_caps_and_records_what_was_drawn(surrogate: Surrogate) -> None:
    options = RetrievalOptions(surrogate=surrogate, acquisition="thompson", max_per_system_in_batch=1)
    proposals = Retrieval(options).suggest(PAST, 8, seed=3)
    assert proposals.counts is not None
    systems = identify(proposals.counts).chemical_system
    assert len(set(systems)) == len(systems)
    assert np.isfinite(proposals.acquisition).all()
    assert (proposals.acquisition != proposals.posterior_mean).any()


def test_thompson_is_more_various_than_the_best_mean() -> None:
    """Where two kinds of candidates are alike in mean, draws take from both; the mean takes its first ones."""
    rng = np.random.default_rng(0)
    known = rng.standard_normal((40, 2)).astype(np.float32)
    asked = np.concatenate([np.full((50, 2), 0.05), np.full((50, 2), -3.0)]).astype(np.float32)
    asked += (0.01 * rng.standard_normal(asked.shape)).astype(np.float32)
    objectives = -np.abs(known).sum(axis=1) + rng.standard_normal(40)

    def kinds(acquisition: str) -> int:
        options = WeighingOptions.model_validate({"surrogate": "gaussian_process", "acquisition": acquisition})
        weights = weigh(Known(objectives), 100, lambda: (known, asked), options, 20, seed=1)
        return len({row < 50 for row in weights.batch(20, []).rows})

    assert (kinds("mean"), kinds("thompson")) == (1, 2)


def test_a_lower_bound_is_an_upper_one_of_the_other_sign() -> None:
    def chosen(**options: object) -> Proposals:
        return Retrieval(RetrievalOptions.model_validate(options)).suggest(PAST, 8, seed=3)

    lower, upper = chosen(acquisition="lower_bound", kappa=2.0), chosen(acquisition="ucb", kappa=-2.0)
    np.testing.assert_array_equal(lower.counts, upper.counts)
    np.testing.assert_allclose(lower.acquisition, lower.posterior_mean - 2.0 * lower.posterior_sd)
    assert (np.diff(lower.acquisition) <= 0.0).all()
    assert not np.array_equal(lower.counts, chosen(acquisition="ucb", kappa=2.0).counts)


def test_a_generation_is_weighed_as_any_pool() -> None:
    one = Retrieval(RetrievalOptions()).suggest(PAST, 5, seed=1)
    other = GeneratorPool(GeneratorPoolOptions()).suggest(PAST, 5, seed=1)
    np.testing.assert_array_equal(one.counts, other.counts)
    assert (GeneratorPoolOptions.pool_is_generated, RetrievalOptions.pool_is_generated) == (True, False)


@pytest.mark.parametrize("acquisition", ["ucb", "ei", "mean", "lower_bound", "thompson"])
def test_what_probably_fails_another_target_is_left(acquisition: str) -> None:
    """Of two kinds the better one in the first property fails the second: none of it is chosen."""
    rng = np.random.default_rng(0)
    known = rng.uniform(-1.0, 1.0, (200, 2)).astype(np.float32)
    other = np.where(known[:, 0] > 0.0, 1.0, -1.0)
    other[::5] = np.nan
    asked = rng.uniform(-1.0, 1.0, (300, 2)).astype(np.float32)
    options = WeighingOptions.model_validate({"acquisition": acquisition})
    objectives = known[:, 0].astype(np.float64)
    sought = [Sought(objectives, 0.5, None), Sought(other, None, -0.5)]

    def chosen(*further: Sought) -> tuple[Weights, list[int]]:
        weights = weigh(Known(objectives, further), 300, lambda: (known, asked), options, 10, seed=1)
        return weights, list(weights.batch(10, []).rows)

    alone, rows = chosen()
    assert (asked[rows, 0] > 0.3).all()
    assert alone.expected == {}
    weights, rows = chosen(*sought)
    assert (asked[rows, 0] < 0.1).all()
    assert weights.expected.keys() == {2}
    assert np.corrcoef(weights.expected[2].values, asked[:, 0])[0, 1] > 0.8


def test_of_a_window_the_property_is_expected_and_the_choice_is_as_before() -> None:
    rng = np.random.default_rng(0)
    known, asked = (rng.uniform(-1.0, 1.0, (n, 2)).astype(np.float32) for n in (200, 100))
    values = known[:, 0].astype(np.float64)
    objectives = -np.abs(values)
    window = Known(objectives, [Sought(values, -0.1, 0.1)])
    first, second = (
        weigh(one, 100, lambda: (known, asked), WeighingOptions(), 10, seed=1) for one in (Known(objectives), window)
    )
    np.testing.assert_array_equal(first.acquisition, second.acquisition)
    assert np.corrcoef(second.expected[1].values, asked[:, 0])[0, 1] > 0.9
