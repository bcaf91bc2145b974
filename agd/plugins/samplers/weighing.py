"""What samplers of compositions share: a surrogate on descriptors, an acquisition, and batches spread over systems."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agd.chem.analogues import keys_of
from agd.chem.descriptors import magpie
from agd.chem.identity import reduce_counts
from agd.plugins.samplers.acquisition import Improvement
from agd.protocols import Options
from agd.types import Counts, Floats, History, Parent, Proposals

_FEW_LABELS = 2
"""A surrogate learns from so many at least."""

_LARGE = 4096
"""A table from this size on is described once while it stays the same; a smaller one is described at once."""


class WeighingOptions(Options):
    """Options of every sampler that weighs compositions by a surrogate."""

    surrogate: Literal["extra_trees", "gaussian_process"] = Field(
        "extra_trees", description="What learns from the labels, on Magpie descriptors and element fractions."
    )
    acquisition: Literal["ucb", "ei", "mean", "random"] = Field(
        "ucb",
        description="Upper confidence bound, expected improvement, the mean alone; or random, which learns nothing.",
    )
    kappa: float = Field(1.0, description="For ucb: standard deviations added to the mean; negative, a lower bound.")
    xi: float = Field(0.0, ge=0.0, description="For ei: least improvement that counts, in the objective's unit.")
    max_per_system_in_batch: int | None = Field(
        None, ge=1, description="Most suggestions of one chemical system in an iteration."
    )
    max_per_system: int | None = Field(
        None, ge=1, description="Most suggestions of one chemical system in the campaign."
    )


class Weights:
    """Posterior mean, deviation and acquisition, each `[m]`, of compositions; NaN where nothing is learned."""

    def __init__(self, history: History, candidates: Counts, options: WeighingOptions, seed: int) -> None:
        unknown = np.full(len(candidates), np.nan)
        self.mean, self.sd, self.acquisition = unknown, unknown, unknown
        known, objectives = labelled(history)
        order = np.random.default_rng(seed).permutation(len(candidates))
        if options.acquisition != "random" and len(objectives) >= _FEW_LABELS and len(candidates):
            from agd.nets.surrogates import believe

            forest_seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
            self.mean, self.sd = believe(
                options.surrogate, described(known), objectives, described(candidates), seed=forest_seed
            )
            self.acquisition = _acquired(options, self.mean, self.sd, float(objectives.max()))
            order = order[np.argsort(-self.acquisition[order], kind="stable")]
        self.best_first: NDArray[np.intp] = order

    def proposals(
        self, chosen: Sequence[int], candidates: Counts, parents: Sequence[Sequence[Parent]] = ()
    ) -> Proposals:
        """What was chosen among the candidates `[m, 103]`, with its measures."""
        return Proposals(
            posterior_mean=self.mean[chosen],
            posterior_sd=self.sd[chosen],
            acquisition=self.acquisition[chosen],
            counts=candidates[chosen],
            parents=parents,
        )


def _acquired(options: WeighingOptions, mean: Floats, sd: Floats, best: float) -> Floats:
    if options.acquisition == "ei":
        return Improvement(best, options.xi).value(mean, np.maximum(sd, np.finfo(np.float64).tiny))
    return mean + options.kappa * sd if options.acquisition == "ucb" else mean


def labelled(history: History) -> tuple[Counts, Floats]:
    """The compositions `[n, 103]` of the history that have a label, and their objectives `[n]`."""
    if history.counts is None:
        return np.zeros((0, 103), np.int32), np.zeros(0)
    is_known = ~np.isnan(history.objectives) & history.counts.any(axis=1)
    return history.counts[is_known], history.objectives[is_known]


def described(counts: Counts) -> NDArray[np.float32]:
    """Magpie descriptors and the fraction of each element, `[n, 235]`."""
    return _of_large(Table(counts)) if len(counts) >= _LARGE else _described(counts)


class Table:
    """Compositions `[n, 103]`, equal to others of the same content: what is worked out of them is kept by it."""

    def __init__(self, counts: Counts) -> None:
        from hashlib import blake2b

        self.counts = counts
        self._digest = blake2b(np.ascontiguousarray(counts).tobytes(), digest_size=16).digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self._digest == other._digest


@lru_cache(maxsize=2)
def _of_large(table: Table) -> NDArray[np.float32]:
    return _described(table.counts)


def _described(counts: Counts) -> NDArray[np.float32]:
    fractions = counts / counts.sum(axis=1, keepdims=True)
    return np.concatenate([magpie(counts, np.float32), fractions.astype(np.float32)], axis=1, dtype=np.float32)


def spread(order: Iterable[int], candidates: Counts, history: History, options: WeighingOptions, n: int) -> list[int]:
    """The first `n` of `order` that the caps on chemical systems allow; the campaign's own suggestions count."""
    systems = keys_of((candidates > 0).astype(np.int32)).tolist()
    spent: Counter[int] = Counter()
    if options.max_per_system is not None and history.counts is not None:
        suggested = history.counts[history.n_initial :]
        spent.update(keys_of((suggested[suggested.any(axis=1)] > 0).astype(np.int32)).tolist())
    here: Counter[int] = Counter()
    chosen: list[int] = []
    for i in order:
        system = systems[i]
        is_full = options.max_per_system_in_batch is not None and here[system] >= options.max_per_system_in_batch
        is_spent = options.max_per_system is not None and spent[system] >= options.max_per_system
        if not is_full and not is_spent:
            chosen.append(i)
            here[system] += 1
            spent[system] += 1
            if len(chosen) == n:
                break
    return chosen


def unseen(counts: Counts, history: History) -> NDArray[np.bool_]:
    """Which compositions `[m, 103]`, reduced, the campaign has not seen."""
    if not history.seen or not len(counts):
        return np.ones(len(counts), np.bool_)
    return ~np.isin(keys_of(counts), _seen_keys(history.seen))


@lru_cache(maxsize=2)
def _seen_keys(seen: frozenset[str]) -> NDArray[np.uint64]:
    from agd.chem.formula import parse_formulas

    counts, _ = parse_formulas(sorted(seen))
    return keys_of(counts)


def admitted(counts: Counts, history: History) -> NDArray[np.bool_]:
    """Which compositions `[m, 103]`, reduced, the campaign's filter lets through."""
    return np.ones(len(counts), np.bool_) if history.admits is None else history.admits(counts)


def distinct(counts: Counts) -> tuple[Counts, NDArray[np.intp]]:
    """The reduced compositions, each once, of those with atoms among `[m, 103]`, and the first row of each."""
    rows = np.flatnonzero(counts.any(axis=1))
    reduced = reduce_counts(counts[rows])
    first = np.sort(np.unique(keys_of(reduced), return_index=True)[1])
    return reduced[first], rows[first]
