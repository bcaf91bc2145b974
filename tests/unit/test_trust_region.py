"""Trust regions: where candidates come from, and how far from their centres."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from agd.chem.formula import parse_formulas
from agd.plugins.samplers.trust_region import TrustRegion, TrustRegionOptions, radius_of
from agd.types import Floats, History

D = 4
FORMULAS = ["NaCl", "KCl", "KF", "CaF2", "LiF", "CaO", "MgO", "Na2O"]


def a_history(read: "Reader | None", objectives: Sequence[float] = (1, 2, 3, 4, 5, 6, 7, 8)) -> History:
    latents = np.random.default_rng(0).standard_normal((8, D)).astype(np.float32).astype(np.float64)
    counts, _ = parse_formulas(FORMULAS)
    bounds = np.tile([-20.0, 20.0], (D, 1))
    return History(
        latents,
        np.array(objectives, np.float64),
        bounds,
        read=read,
        seen=frozenset(FORMULAS),
        counts=counts,
        n_initial=8,
    )


class Reader:
    """A code that is coarse in its first dimension, and remembers how far it was asked."""

    def __init__(self, width: float) -> None:
        self.width = width
        self.asked: list[Floats] = []

    def __call__(self, points: Floats) -> list[str | None]:
        self.asked.append(points)
        cells = np.rint(np.abs(points[:, 0]) / self.width).astype(int)
        return ["NaCl" if cell == 0 else None if cell == 1 else f"K{cell}F{cell + 1}" for cell in cells.tolist()]


def options(**more: object) -> TrustRegionOptions:
    given = {"n_perturbed": 300, "n_new": 6, "max_per_system": None, "max_per_system_in_batch": None, **more}
    return TrustRegionOptions.model_validate(given)


def test_the_radius_grows_until_enough_is_new() -> None:
    fine, coarse = Reader(0.05), Reader(2.0)
    for read in (fine, coarse):
        proposals = TrustRegion(options()).suggest(a_history(read), 4, seed=0)
        latents = np.asarray(proposals.latents)
        formulas = read(latents)
        assert len(set(formulas) - {None, "NaCl"}) == 4
    assert len(fine.asked) == 2
    assert len(coarse.asked) > 3
    spreads = [float(np.abs(points[:, 1]).mean()) for points in coarse.asked[:-1]]
    assert spreads[-1] > 1.5 * spreads[0]


def test_a_batch_comes_from_different_centres() -> None:
    past = a_history(Reader(0.05))
    far = np.concatenate([past.latents[:6], np.array([[-15.0], [15.0]]) + np.zeros((2, D))])
    past = replace(past, latents=far, n_initial=6)
    proposals = TrustRegion(options(n_centres=2)).suggest(past, 4, seed=0)
    centres = past.latents[6:]
    nearest = np.linalg.norm(np.asarray(proposals.latents)[:, None] - centres, axis=2).argmin(axis=1)
    assert sorted(nearest.tolist()) == [0, 0, 1, 1]


@pytest.mark.parametrize("more", [{}, {"features": "latent", "acquisition": "thompson"}])
def test_history_and_seed_decide(more: dict[str, object]) -> None:
    def suggested(seed: int) -> Floats:
        return np.asarray(TrustRegion(options(**more)).suggest(a_history(Reader(0.05)), 4, seed=seed).latents)

    np.testing.assert_array_equal(suggested(1), suggested(1))
    assert not np.array_equal(suggested(1), suggested(2))


def test_what_is_not_filled_is_uniform() -> None:
    proposals = TrustRegion(options()).suggest(a_history(lambda points: ["NaCl"] * len(points)), 3, seed=0)  # type: ignore[arg-type]
    assert np.isnan(proposals.posterior_mean).all()
    assert np.isfinite(np.asarray(proposals.latents)).all()


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([], 1.0),
        ([[2.0, 0.0], [3.0, 1.0]], 1.0),
        ([[2.0, 0.0], [3.0, 1.0], [np.nan, 4.0]], 1.5),
        ([[2.0, 0.0], [3.0, 1.0], [0.0, 0.0], [4.0, 0.0]], 1.0),
        ([[0.0, np.nan]] * 5, 1.0 / 1.5),
        ([[0.0, 0.0]] * 60, 0.5),
        ([[float(i), 0.0] for i in range(2, 40)], 2.0),
    ],
)
def test_the_radius_follows_from_the_history(batches: list[list[float]], expected: float) -> None:
    objectives = np.array([1.0, 0.5, *np.ravel(batches)])
    assert radius_of(objectives, 2, 2) == pytest.approx(expected)
