"""What every installed sampler must do."""

from importlib.metadata import entry_points

import numpy as np
import pytest

from agd.errors import InputError
from agd.protocols import Options, Sampler
from agd.types import History

N_LATENT = 6


def history(n: int = 30, *, bounds: list[list[float]] | None = None) -> History:
    rng = np.random.default_rng(7)
    box = np.array(bounds or [[-1.5, 2.0]] * N_LATENT)
    latents = rng.uniform(box[:, 0], box[:, 1], (n, len(box))).astype(np.float32).astype(np.float64)
    return History(latents, np.sin(latents.sum(axis=1)) + 0.05 * rng.standard_normal(n), box)


def with_objectives(objectives: list[float]) -> History:
    past = history(len(objectives))
    return History(past.latents, np.array(objectives), past.bounds)


HISTORIES = {
    "ordinary": history(),
    "some unlabelled": with_objectives([np.nan, 1.0, 0.2, np.nan, 3.0, np.nan, -1.0]),
    "one point": with_objectives([2.5]),
    "no label": with_objectives([np.nan, np.nan]),
    "no point": history(0),
    "all equal": with_objectives([1.25] * 12),
    "the same point again": History(np.ones((5, N_LATENT)), np.array([1.0, 1.1, np.nan, 0.9, 1.0]), history().bounds),
    "a side of no width": history(bounds=[[-1.0, 1.0], [0.1, 0.1], [2.0, 4.0]]),
    "ends that float32 lacks": history(bounds=[[-0.1, 0.7]] * 3),
    "one dimension": history(bounds=[[0.0, 1.0]]),
    "a point outside the box": History(
        np.array([[9.0, 9.0], [0.5, 0.5]]), np.array([5.0, 1.0]), np.array([[0, 1.0]] * 2)
    ),
}


@pytest.fixture(params=entry_points(group="agd.samplers"), ids=lambda entry: entry.name)
def sampler(request: pytest.FixtureRequest) -> Sampler:
    plugin = request.param.load()
    built: Sampler = plugin(plugin.options_type())
    assert isinstance(built, Sampler)
    return built


@pytest.mark.parametrize("n", [1, 20])
@pytest.mark.parametrize("past", HISTORIES.values(), ids=HISTORIES)
def test_proposes_n_distinct_points_in_the_box_and_touches_nothing(sampler: Sampler, past: History, n: int) -> None:
    before = [array.copy() for array in (past.latents, past.objectives, past.bounds)]
    proposals = sampler.suggest(past, n, seed=5)
    assert proposals.latents is not None
    assert proposals.latents.shape == (n, len(past.bounds))
    assert len(np.unique(proposals.latents, axis=0)) == n
    held = proposals.latents.astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(held, proposals.latents)
    is_representable = np.ptp(past.bounds, axis=1) > 0.0
    assert (proposals.latents >= past.bounds[:, 0])[:, is_representable].all()
    assert (proposals.latents <= past.bounds[:, 1])[:, is_representable].all()
    expected = np.broadcast_to(past.bounds[:, 0].astype(np.float32), proposals.latents.shape)[:, ~is_representable]
    np.testing.assert_array_equal(proposals.latents[:, ~is_representable], expected)
    for measure in (proposals.posterior_mean, proposals.posterior_sd, proposals.acquisition):
        assert measure.shape == (n,)
        assert np.isnan(measure).all() or np.isfinite(measure).all()
    for array, copy in zip((past.latents, past.objectives, past.bounds), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_keeps_a_stated_distance_within_a_batch(sampler: Sampler) -> None:
    past = HISTORIES["ordinary"]
    latents = sampler.suggest(past, 20, seed=0).latents
    assert latents is not None
    distances = np.linalg.norm(latents[:, None] - latents, axis=2)[~np.eye(20, dtype=bool)]
    assert distances.min() >= min(0.01, 1 / 80) * np.linalg.norm(np.ptp(past.bounds, axis=1))


@pytest.mark.parametrize("past", [HISTORIES["ordinary"], HISTORIES["no label"]], ids=["ordinary", "no label"])
def test_the_seed_decides(sampler: Sampler, past: History) -> None:
    first, again, other = (sampler.suggest(past, 4, seed=seed).latents for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_options_have_defaults_and_descriptions_and_refuse_strangers(sampler: Sampler) -> None:
    options_type = sampler.options_type
    assert issubclass(options_type, Options)
    assert all(field.description and not field.is_required() for field in options_type.model_fields.values())
    with pytest.raises(ValueError, match="no_such_option"):
        options_type.model_validate({"no_such_option": 1})


@pytest.mark.parametrize(
    ("past", "n", "message"),
    [
        (history(), 0, "at least one point, not 0"),
        (History(np.zeros((2, 3)), np.zeros(2), np.zeros((4, 2))), 1, r"where \[2, 4\] is due"),
        (History(np.full((1, 1), np.nan), np.zeros(1), np.array([[0.0, 1.0]])), 1, "not finite"),
        (History(np.zeros((1, 1)), np.array([np.inf]), np.array([[0.0, 1.0]])), 1, "not finite"),
        (History(np.zeros((1, 1)), np.zeros(1), np.array([[1.0, 0.0]])), 1, "bound 0 .* swapped"),
        (History(np.zeros((1, 2)), np.zeros(1), np.zeros((2, 2))), 2, "too narrow to hold 2 distinct points"),
    ],
)
def test_a_history_that_cannot_be_used_is_refused(sampler: Sampler, past: History, n: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sampler.suggest(past, n, seed=0)


def test_ucb_finds_the_top_of_a_known_hill_and_moves_on_from_a_pending_point() -> None:
    from agd.plugins.samplers import Ucb, UcbOptions

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

    from agd.plugins.samplers import BatchUcb

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
