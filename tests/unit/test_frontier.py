"""A sampler that avoids what the campaign has seen."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from agd.plugins.samplers.box import Box
from agd.plugins.samplers.frontier import Frontier
from agd.plugins.samplers.gaussian_process import Ucb, UcbOptions
from agd.types import Floats, History

D = 6


def read(points: Floats) -> list[str | None]:
    """A composition fills a cell of width 1 along the first axis; below -2 nothing can be decoded."""
    return [None if x < -2 else f"cell {min(int(np.floor(x)), 3)}" for x in points[:, 0]]


def history(seen: Sequence[str], *, n: int = 40) -> History:
    rng = np.random.default_rng(0)
    latents = rng.uniform(-4, 4, (n, D))
    return History(
        latents=latents,
        objectives=latents[:, 0],  # best within "cell 3"
        bounds=np.tile([-4.0, 4.0], (D, 1)),
        read=read,
        seen=frozenset(seen),
    )


def suggested(known: History, n: int, **options: object) -> list[str | None]:
    proposals = Ucb(UcbOptions.model_validate({"kappa": 0.5, "n_warmup": 200, **options})).suggest(known, n, seed=1)
    assert proposals.latents is not None
    return read(proposals.latents)


def test_it_suggests_each_unseen_composition_once() -> None:
    found = suggested(history(["cell 3", "cell 2"]), 4)
    assert len(set(found)) == 4
    assert set(found) == {"cell 1", "cell 0", "cell -1", "cell -2"}


def test_the_best_open_cell_comes_first() -> None:
    assert suggested(history(["cell 3"]), 1) == ["cell 2"]


def test_told_not_to_care_it_suggests_the_best_point() -> None:
    assert suggested(history(["cell 3"]), 1, avoids_seen=False) == ["cell 3"]


def test_where_nothing_is_open_it_still_suggests() -> None:
    everything = [f"cell {i}" for i in range(-2, 4)]
    assert len(suggested(history(everything), 5)) == 5


def test_a_step_back_ends_at_the_nearest_open_point() -> None:
    box = Box.of(np.tile([-4.0, 4.0], (D, 1)))
    frontier = Frontier(box, read, frozenset({"cell 3"}))
    start, end = np.zeros((1, D)), np.zeros((1, D))
    start[0, 0], end[0, 0] = 0.5, 3.5
    back = frontier.retreat(start, end)
    assert read(back) == ["cell 2"]
    assert back[0, 0] == pytest.approx(2.9, abs=0.2)
    assert np.array_equal(Frontier(box, None, frozenset()).retreat(start, end), end)


def test_what_a_point_stands_for_is_read_once() -> None:
    asked: list[bytes] = []

    def reading(points: Floats) -> list[str | None]:
        asked.extend(row.tobytes() for row in points)
        return read(points)

    known = replace(history(["cell 3"]), read=reading)
    batch = Ucb(UcbOptions(kappa=0.5, n_warmup=200)).suggest(known, 4, seed=1)
    assert len(asked) == len(set(asked))
    again = Ucb(UcbOptions(kappa=0.5, n_warmup=200)).suggest(history(["cell 3"]), 4, seed=1)
    assert batch.latents is not None
    assert again.latents is not None
    assert np.array_equal(batch.latents, again.latents)
