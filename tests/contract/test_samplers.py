"""What every installed sampler must do."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points

import numpy as np
import pytest

from agd.chem.identity import identify
from agd.errors import InputError
from agd.protocols import Options, Sampler
from agd.types import Counts, Floats, History, Proposals

N_LATENT = 6
N_INITIAL = 4
SLOW = {"stock": ({"n_random": 50, "n_smart": 1}, 3)}
"""Options that save time, and the points of a batch."""
COMPOSITIONS = {"substitution", "pool"}
"""Samplers that propose compositions."""


def compositions(n: int) -> Counts:
    """Halides of two or three elements, `[n, 103]`."""
    counts = np.zeros((n, 103), dtype=np.int32)
    for row in range(n):
        counts[row, [10 + row % 7, 25 + row % 5, 8 + 8 * (row % 2)]] = 1 + row % 3, 1, 2 + row % 4
    return counts


def history(n: int = 30, *, bounds: list[list[float]] | None = None) -> History:
    rng = np.random.default_rng(7)
    box = np.array(bounds or [[-1.5, 2.0]] * N_LATENT)
    latents = rng.uniform(box[:, 0], box[:, 1], (n, len(box))).astype(np.float32).astype(np.float64)
    return told(History(latents, np.sin(latents.sum(axis=1)) + 0.05 * rng.standard_normal(n), box))


def told(past: History) -> History:
    """The history with a composition for each row."""
    n = len(past.objectives)
    counts = compositions(n)
    seen = frozenset(identify(counts).reduced_formula)
    return replace(past, counts=counts, n_initial=min(n, N_INITIAL), seen=seen)


def given(sampler: Sampler, past: History, seed: int = 5) -> History:
    """The history, with candidates in an order drawn by the seed where the sampler draws from a pool."""
    if not sampler.draws_from_pool:
        return past
    pool = compositions(420)
    return replace(past, candidates=pool[np.random.default_rng(seed).permutation(len(pool))])


def with_objectives(objectives: list[float]) -> History:
    return replace(history(len(objectives)), objectives=np.array(objectives))


HISTORIES = {
    "ordinary": history(),
    "some unlabelled": with_objectives([np.nan, 1.0, 0.2, np.nan, 3.0, np.nan, -1.0]),
    "one point": with_objectives([2.5]),
    "no label": with_objectives([np.nan, np.nan]),
    "no point": history(0),
    "all equal": with_objectives([1.25] * 12),
    "the same point again": told(
        History(np.ones((5, N_LATENT)), np.array([1.0, 1.1, np.nan, 0.9, 1.0]), history().bounds)
    ),
    "a side of no width": history(bounds=[[-1.0, 1.0], [0.1, 0.1], [2.0, 4.0]]),
    "ends that float32 lacks": history(bounds=[[-0.1, 0.7]] * 3),
    "one dimension": history(bounds=[[0.0, 1.0]]),
    "a point outside the box": told(
        History(np.array([[9.0, 9.0], [0.5, 0.5]]), np.array([5.0, 1.0]), np.array([[0, 1.0]] * 2))
    ),
}


def build(entry: EntryPoint) -> Sampler:
    plugin = entry.load()
    options, _ = SLOW.get(entry.name, ({}, 0))
    built: Sampler = plugin(plugin.options_type.model_validate(options))
    assert isinstance(built, Sampler)
    return built


def chosen(is_chosen: Callable[[str], bool]) -> list[EntryPoint]:
    return [entry for entry in entry_points(group="agd.samplers") if is_chosen(entry.name)]


@pytest.fixture(params=chosen(bool), ids=lambda entry: entry.name)
def sampler(request: pytest.FixtureRequest) -> Sampler:
    return build(request.param)


@pytest.fixture(params=chosen(lambda name: name not in COMPOSITIONS), ids=lambda entry: entry.name)
def explorer(request: pytest.FixtureRequest) -> Sampler:
    """A sampler that proposes latent points."""
    return build(request.param)


@pytest.fixture(params=chosen(lambda name: name in COMPOSITIONS), ids=lambda entry: entry.name)
def composer(request: pytest.FixtureRequest) -> Sampler:
    """A sampler that proposes compositions."""
    return build(request.param)


def batch_of(sampler: Sampler) -> int:
    return {type(build(entry)): SLOW[entry.name][1] for entry in chosen(lambda name: name in SLOW)}.get(
        type(sampler), 20
    )


def assert_measured(proposals: Proposals, n: int) -> None:
    for measure in (proposals.posterior_mean, proposals.posterior_sd, proposals.acquisition):
        assert measure.shape == (n,)
        assert np.isnan(measure).all() or np.isfinite(measure).all()


def assert_in_box(latents: Floats, bounds: Floats) -> None:
    np.testing.assert_array_equal(latents.astype(np.float32).astype(np.float64), latents)
    is_representable = np.ptp(bounds, axis=1) > 0.0
    assert (latents >= bounds[:, 0])[:, is_representable].all()
    assert (latents <= bounds[:, 1])[:, is_representable].all()
    expected = np.broadcast_to(bounds[:, 0].astype(np.float32), latents.shape)[:, ~is_representable]
    np.testing.assert_array_equal(latents[:, ~is_representable], expected)


@pytest.mark.parametrize("is_one", [True, False], ids=["one", "batch"])
@pytest.mark.parametrize("past", HISTORIES.values(), ids=HISTORIES)
def test_proposes_n_distinct_points_in_the_box(explorer: Sampler, past: History, is_one: bool) -> None:  # noqa: FBT001
    n = 1 if is_one else batch_of(explorer)
    proposals = explorer.suggest(past, n, seed=5)
    assert proposals.latents is not None
    assert proposals.latents.shape == (n, len(past.bounds))
    assert len(np.unique(proposals.latents, axis=0)) == n
    assert_in_box(proposals.latents, past.bounds)
    assert_measured(proposals, n)


@pytest.mark.parametrize("n", [1, 20])
@pytest.mark.parametrize("past", HISTORIES.values(), ids=HISTORIES)
def test_proposes_distinct_compositions_that_are_not_seen(composer: Sampler, past: History, n: int) -> None:
    past = given(composer, past)
    if past.n_initial < 2 and past.candidates is None:
        with pytest.raises(InputError, match=r"needs the initial compositions|are spent"):
            composer.suggest(past, n, seed=5)
        return
    proposals = composer.suggest(past, n, seed=5)
    assert proposals.counts is not None
    assert 1 <= len(proposals.counts) <= n
    assert proposals.counts.shape[1:] == (103,)
    assert np.issubdtype(proposals.counts.dtype, np.integer)
    formulas = identify(proposals.counts).reduced_formula
    assert len(set(formulas)) == len(formulas)
    assert not past.seen & set(formulas)
    assert_measured(proposals, len(formulas))


@pytest.mark.parametrize("is_published", [False, True], ids=["ordinary", "published"])
def test_touches_nothing(sampler: Sampler, is_published: bool) -> None:  # noqa: FBT001
    past = replace(HISTORIES["some unlabelled"], undecodable_objective=0.0 if is_published else None)
    past = given(sampler, past)
    every = (past.latents, past.objectives, past.bounds, past.counts, past.candidates)
    arrays = [array for array in every if array is not None]
    before = [array.copy() for array in arrays]
    sampler.suggest(past, 2, seed=5)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_keeps_a_stated_distance_within_a_batch(explorer: Sampler) -> None:
    past, n = HISTORIES["ordinary"], batch_of(explorer)
    latents = explorer.suggest(past, n, seed=0).latents
    assert latents is not None
    distances = np.linalg.norm(latents[:, None] - latents, axis=2)[~np.eye(n, dtype=bool)]
    assert distances.min() >= min(0.01, 0.25 / n) * np.linalg.norm(np.ptp(past.bounds, axis=1))


@pytest.mark.parametrize(
    "past",
    [HISTORIES["ordinary"], HISTORIES["no label"], replace(HISTORIES["ordinary"], undecodable_objective=0.0)],
    ids=["ordinary", "no label", "published"],
)
def test_the_seed_decides(sampler: Sampler, past: History) -> None:
    first, again, other = (sampler.suggest(given(sampler, past, seed), 3, seed=seed) for seed in (1, 1, 2))
    drawn, redrawn, others = (
        proposals.counts if proposals.latents is None else proposals.latents for proposals in (first, again, other)
    )
    assert drawn is not None
    assert redrawn is not None
    assert others is not None
    np.testing.assert_array_equal(drawn, redrawn)
    np.testing.assert_array_equal(first.acquisition, again.acquisition)
    assert not np.array_equal(drawn, others)


def half(points: Floats) -> Sequence[str | None]:
    """Nothing can be decoded above the middle of the first axis."""
    return [None if x > 0.25 else "NaCl" for x in points[:, 0]]


@pytest.mark.parametrize("past", HISTORIES.values(), ids=HISTORIES)
def test_published_batch_goes_on_until_n_can_be_decoded(explorer: Sampler, past: History) -> None:
    published = replace(past, undecodable_objective=0.0, read=half)
    proposals = explorer.suggest(published, 2, seed=5)
    assert proposals.latents is not None
    found = half(proposals.latents)
    assert len(found) == 200 or (found.count("NaCl") == 2 and found[-1] == "NaCl")
    assert found.count("NaCl") <= 2
    assert_in_box(proposals.latents, past.bounds)
    assert_measured(proposals, len(found))


def test_published_batch_gives_up_after_a_hundred_suggestions_for_each_point(explorer: Sampler) -> None:
    past = replace(
        history(3, bounds=[[0.0, 1.0]]), undecodable_objective=-1.0, read=lambda points: [None] * len(points)
    )
    latents = explorer.suggest(past, 1, seed=0).latents
    assert latents is not None
    assert len(latents) == 100


def test_published_batch_of_what_cannot_be_read_has_n_points(explorer: Sampler) -> None:
    latents = explorer.suggest(replace(HISTORIES["ordinary"], undecodable_objective=0.0), 3, seed=0).latents
    assert latents is not None
    assert len(latents) == 3


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
        (replace(history(), undecodable_objective=np.nan), 1, "must be finite, not nan"),
    ],
)
def test_a_history_that_cannot_be_used_is_refused(sampler: Sampler, past: History, n: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sampler.suggest(past, n, seed=0)


def test_a_box_that_cannot_hold_the_batch_is_refused(explorer: Sampler) -> None:
    with pytest.raises(InputError, match="too narrow to hold 2 distinct points"):
        explorer.suggest(History(np.zeros((1, 2)), np.zeros(1), np.zeros((2, 2))), 2, seed=0)


def test_compositions_come_from_compositions(composer: Sampler) -> None:
    with pytest.raises(InputError, match=r"needs (the initial compositions|candidates)"):
        composer.suggest(replace(history(), counts=None), 1, seed=0)


def test_candidates_are_for_who_says_so(sampler: Sampler) -> None:
    past, pool = HISTORIES["ordinary"], compositions(420)
    proposals = sampler.suggest(replace(past, candidates=pool), 2, seed=5)
    if type(sampler).draws_from_pool:
        assert proposals.counts is not None
        assert set(identify(proposals.counts).reduced_formula) <= set(identify(pool).reduced_formula)
        return
    alone = sampler.suggest(past, 2, seed=5)
    for mine, other in ((proposals.latents, alone.latents), (proposals.counts, alone.counts)):
        assert (mine is None) == (other is None)
        assert mine is None or np.array_equal(mine, other)


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
