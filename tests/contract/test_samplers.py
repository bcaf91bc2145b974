"""What every sampler must do, and what those of agd do besides."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from agd.errors import InputError
from agd.protocols import Sampler
from agd.testing import PublishedSamplerContract, SamplerContract
from agd.testing.samplers import history
from agd.types import Floats, History


class Explorer(PublishedSamplerContract):
    """A sampler of latent points that is content with less than a campaign has."""

    @classmethod
    def histories(cls) -> Mapping[str, History]:
        one = replace(history(1), objectives=np.array([2.5]))
        return {
            **super().histories(),
            "no point": history(0),
            "one point": one,
            "ends that float32 lacks": history(30, bounds=[[-0.1, 0.7]] * 3),
        }


class TestUcb(Explorer):
    plugin = "ucb"


class TestEi(Explorer):
    plugin = "ei"


class TestStock(Explorer):
    plugin = "stock"
    options = {"n_random": 50, "n_smart": 1}  # noqa: RUF012  # the contract says ClassVar
    n_batch = 3


class TestRandom(Explorer):
    plugin = "random"


class TestSubstitution(SamplerContract):
    plugin = "substitution"


class TestPool(SamplerContract):
    plugin = "pool"


class TestAnalogue(SamplerContract):
    plugin = "analogue"
    options = {"n_children": 400}  # noqa: RUF012  # the contract says ClassVar


class TestRetrieval(SamplerContract):
    plugin = "retrieval"


class TestGeneratorPool(SamplerContract):
    plugin = "generator-pool"
    options = {"acquisition": "thompson"}  # noqa: RUF012  # the contract says ClassVar


class TestTrustRegion(SamplerContract):
    plugin = "trust-region"
    options = {"n_perturbed": 400}  # noqa: RUF012  # the contract says ClassVar


EXPLORERS = (TestUcb, TestEi, TestStock, TestRandom)
COMPOSERS = (TestSubstitution, TestPool, TestAnalogue, TestRetrieval, TestGeneratorPool)


def test_each_has_its_contract(has_all: Callable[[str, Iterable[object]], None]) -> None:
    has_all("agd.samplers", (*EXPLORERS, *COMPOSERS, TestTrustRegion))


@pytest.fixture(params=EXPLORERS, ids=lambda contract: contract.plugin)
def explorer(request: pytest.FixtureRequest) -> type[Explorer]:
    contract: type[Explorer] = request.param
    return contract


@pytest.fixture(params=COMPOSERS, ids=lambda contract: contract.plugin)
def composer(request: pytest.FixtureRequest) -> Sampler:
    built: Sampler = request.param.built()
    return built


@pytest.fixture(params=(*EXPLORERS, *COMPOSERS, TestTrustRegion), ids=lambda contract: contract.plugin)
def sampler(request: pytest.FixtureRequest) -> Sampler:
    built: Sampler = request.param.built()
    return built


@pytest.mark.parametrize(
    "bounds", [[[-0.1, 0.7]] * 3, [[-1.0, 1.0], [0.1, 0.1], [2.0, 4.0]]], ids=["ends", "a side of no width"]
)
def test_points_are_what_float32_holds_of_the_box(explorer: type[Explorer], bounds: list[list[float]]) -> None:
    past = history(30, bounds=bounds)
    latents = latents_of(explorer, past, explorer.n_batch)
    np.testing.assert_array_equal(latents.astype(np.float32).astype(np.float64), latents)
    has_width = np.ptp(past.bounds, axis=1) > 0.0
    assert (latents >= past.bounds[:, 0])[:, has_width].all()
    assert (latents <= past.bounds[:, 1])[:, has_width].all()
    nearest = np.broadcast_to(past.bounds[:, 0].astype(np.float32), latents.shape)
    np.testing.assert_array_equal(latents[:, ~has_width], nearest[:, ~has_width])


def test_keeps_a_stated_distance_within_a_batch(explorer: type[Explorer]) -> None:
    past, n = history(30), explorer.n_batch
    latents = latents_of(explorer, past, n)
    distances = np.linalg.norm(latents[:, None] - latents, axis=2)[~np.eye(n, dtype=bool)]
    assert distances.min() >= min(0.01, 0.25 / n) * np.linalg.norm(np.ptp(past.bounds, axis=1))


def test_a_published_batch_is_a_function_of_history_and_seed_too(explorer: type[Explorer]) -> None:
    past = replace(history(30), undecodable_objective=0.0)
    first, again, other = (explorer.built().suggest(past, 3, seed=seed).latents for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("past", "n", "message"),
    [
        (history(30), 0, "at least one point, not 0"),
        (History(np.zeros((2, 3)), np.zeros(2), np.zeros((4, 2))), 1, r"where \[2, 4\] is due"),
        (History(np.full((1, 1), np.nan), np.zeros(1), np.array([[0.0, 1.0]])), 1, "not finite"),
        (History(np.zeros((1, 1)), np.array([np.inf]), np.array([[0.0, 1.0]])), 1, "not finite"),
        (History(np.zeros((1, 1)), np.zeros(1), np.array([[1.0, 0.0]])), 1, "bound 0 .* swapped"),
        (replace(history(30), undecodable_objective=np.nan), 1, "must be finite, not nan"),
    ],
)
def test_a_history_that_cannot_be_used_is_refused(sampler: Sampler, past: History, n: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sampler.suggest(past, n, seed=0)


def test_a_box_that_cannot_hold_the_batch_is_refused(explorer: type[Explorer]) -> None:
    with pytest.raises(InputError, match="too narrow to hold 2 distinct points"):
        explorer.built().suggest(History(np.zeros((1, 2)), np.zeros(1), np.zeros((2, 2))), 2, seed=0)


def test_compositions_come_from_compositions(composer: Sampler) -> None:
    with pytest.raises(InputError, match=r"needs (the initial compositions|compositions|candidates)"):
        composer.suggest(replace(history(30), counts=None), 1, seed=0)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_compositions_to_come_from_are_refused(n: int) -> None:
    with pytest.raises(InputError, match=r"needs the initial compositions|are spent"):
        TestSubstitution.built().suggest(history(n), 1, seed=5)


def latents_of(contract: type[Explorer], past: History, n: int) -> Floats:
    latents = contract.built().suggest(past, n, seed=5).latents
    assert latents is not None
    return latents


def test_ucb_finds_the_top_of_a_known_hill_and_moves_on_from_a_pending_point() -> None:
    from agd.plugins.samplers.gaussian_process import Ucb, UcbOptions

    latents = np.random.default_rng(0).uniform(0.0, 1.0, (60, 2))
    top = np.array([0.3, 0.8])
    past = History(latents, -np.square(latents - top).sum(axis=1), np.array([[0.0, 1.0]] * 2))
    sampler = Ucb(UcbOptions(kappa=0.5))
    first = sampler.suggest(past, 1, seed=0).latents
    assert first is not None
    assert np.linalg.norm(first[0] - top) < 0.05
    waiting = History(np.concatenate([latents, first]), np.append(past.objectives, np.nan), past.bounds)
    proposals = sampler.suggest(waiting, 1, seed=0)
    assert proposals.latents is not None
    assert np.linalg.norm(proposals.latents[0] - first[0]) > 1e-3


def test_ucb_serves_bayesian_optimization_itself() -> None:
    from bayes_opt import BayesianOptimization
    from bayes_opt.acquisition import UpperConfidenceBound

    from agd.plugins.samplers.gaussian_process import BatchUcb

    values = []
    for acquisition in (UpperConfidenceBound(kappa=2.0), BatchUcb(kappa=2.0)):
        optimizer = BayesianOptimization(
            None, {"x": (-1.0, 2.0), "y": (0.0, 1.0)}, acquisition, random_state=1, verbose=0
        )
        for x, y in np.random.default_rng(0).uniform([-1.0, 0.0], [2.0, 1.0], (12, 2)):
            optimizer.register({"x": x, "y": y}, np.sin(3.0 * x) - y)
        point = optimizer.suggest()
        optimizer.acquisition_function._fit_gp(optimizer._gp, optimizer.space)
        mean, sd = optimizer._gp.predict(np.array([[point["x"], point["y"]]]), return_std=True)
        values.append(mean[0] + 2.0 * sd[0])
    assert values[1] >= values[0] - 1e-3
