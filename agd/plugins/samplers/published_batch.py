"""The batch of arXiv 2103.00608 and its code: suggestions one by one until enough of them can be decoded."""

from typing import Final, Protocol, TypeAlias

import numpy as np

from agd.types import Floats, History, Proposals

N_TRIES = 100
"""Suggestions made for each point that is to be decodable."""

Measures: TypeAlias = tuple[float, float, float]
"""Posterior mean, standard deviation and acquisition value of a suggestion."""

UNKNOWN: Final[Measures] = (np.nan, np.nan, np.nan)


class Suggester(Protocol):
    """A state that suggests a point and learns from it."""

    def suggest(self) -> tuple[Floats, Measures]:
        """One point `[d]` that float32 holds, given what was learnt; what was only suggested changes nothing."""

    def learn(self, point: Floats, objective: float) -> None:
        """Add a point `[d]` to what is known."""


def propose(suggester: Suggester, history: History, n: int) -> Proposals:
    """Suggest until `n` points can be decoded, at most 100 `n` times: all suggestions in order.

    Of an undecodable point the suggester learns at once, with the history's `undecodable_objective`; of a decodable one
    nothing, so that it may come again. Where the history cannot be read every point counts as decodable.
    """
    assert history.undecodable_objective is not None  # noqa: S101  # what the callers ask for
    points: list[Floats] = []
    measures: list[Measures] = []
    n_decoded = 0
    while True:
        point, measured = suggester.suggest()
        points.append(point)
        measures.append(measured)
        is_decodable = history.read is None or history.read(point[None])[0] is not None
        n_decoded += is_decodable
        if n_decoded == n or len(points) == N_TRIES * n:
            break
        if not is_decodable:
            suggester.learn(point, history.undecodable_objective)
    means, sds, acquisitions = np.array(measures).T
    return Proposals(posterior_mean=means, posterior_sd=sds, acquisition=acquisitions, latents=np.array(points))


def labelled(history: History) -> Floats:
    """The objectives `[n]`; in the published batch an undecodable point has that of its kind.

    A point that stands for a composition, but has no label (any more), has none there either.
    """
    if history.undecodable_objective is None:
        return history.objectives
    is_nothing = np.isnan(history.objectives)
    if history.counts is not None:
        is_nothing &= ~history.counts.any(axis=1)
    return np.where(is_nothing, history.undecodable_objective, history.objectives)
