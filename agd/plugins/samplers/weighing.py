"""What samplers of compositions share: a surrogate on descriptors, an acquisition, and batches spread over systems."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agd.chem.analogues import keys_of
from agd.chem.descriptors import magpie
from agd.chem.identity import reduce_counts
from agd.nets.surrogates import Surrogate
from agd.plugins.samplers.acquisition import Improvement
from agd.protocols import Options
from agd.types import Counts, Floats, History, Parent, Proposals

_FEW_LABELS = 2
"""A surrogate learns from so many at least."""

Features: TypeAlias = Callable[[], tuple[NDArray[np.floating], NDArray[np.floating]]]
"""Those of what is known `[k, d]` and of candidates `[m, d]`, worked out where something is learned."""


class WeighingOptions(Options):
    """Options of every sampler that weighs compositions by a surrogate."""

    surrogate: Surrogate = Field(
        "extra_trees",
        description="What learns from the labels: extra trees, a Gaussian process, or an ensemble of small networks.",
    )
    acquisition: Literal["ucb", "lower_bound", "ei", "thompson", "mean", "random"] = Field(
        "ucb",
        description="Upper or lower confidence bound, expected improvement, the best of one draw of the posterior after"
        " the other, the mean alone; or random, which learns nothing.",
    )
    kappa: float = Field(
        1.0, description="For ucb: standard deviations added to the mean; for lower_bound: taken from it."
    )
    xi: float = Field(0.0, ge=0.0, description="For ei: least improvement that counts, in the objective's unit.")
    max_per_system_in_batch: int | None = Field(
        None, ge=1, description="Most suggestions of one chemical system in an iteration."
    )
    max_per_system: int | None = Field(
        None, ge=1, description="Most suggestions of one chemical system in the campaign."
    )


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Posterior mean and deviation, both `[m]`, of candidates; NaN where nothing is learned.

    `acquisition` is `[k, m]`: a row for each suggestion of a batch in turn, NaN the last; `order` `[m]` is that among
    equals.
    """

    mean: Floats
    sd: Floats
    acquisition: Floats
    order: NDArray[np.intp]

    def batch(self, n: int, caps: Sequence["Cap"]) -> "Batch":
        """The best of one row of the acquisition after the other that the caps let in, at most `n`."""
        rankings = [iter(self.order[np.argsort(-row[self.order], kind="stable")].tolist()) for row in self.acquisition]
        rows: list[int] = []
        taken: set[int] = set()
        while len(rows) < n:
            ranking = rankings[len(rows) % len(rankings)]
            best = next((i for i in ranking if i not in taken and all(cap.has_room(i) for cap in caps)), None)
            if best is None:
                break
            taken.add(best)
            rows.append(best)
            for cap in caps:
                cap.take(best)
        values = [self.acquisition[pick % len(rankings), i] for pick, i in enumerate(rows)]
        return Batch(rows, self.mean[rows], self.sd[rows], np.array(values, np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Candidates that are chosen, by their rows, the first the best, with their measures `[n]`."""

    rows: Sequence[int]
    mean: Floats
    sd: Floats
    acquisition: Floats

    def proposals(self, candidates: Counts, parents: Sequence[Sequence[Parent]] = ()) -> Proposals:
        """Them among the candidates `[m, 103]`."""
        return Proposals(
            posterior_mean=self.mean,
            posterior_sd=self.sd,
            acquisition=self.acquisition,
            counts=candidates[self.rows],
            parents=parents,
        )


class Cap:
    """How many of each kind a batch may hold, by the kind of each candidate, and what is spent already."""

    def __init__(self, kinds: Sequence[int], most: int, spent: Iterable[int] = ()) -> None:
        self._kinds = kinds
        self._most = most
        self._spent = Counter(spent)

    def has_room(self, candidate: int) -> bool:
        """Whether one more like the candidate may come."""
        return self._spent[self._kinds[candidate]] < self._most

    def take(self, candidate: int) -> None:
        """Count it."""
        self._spent[self._kinds[candidate]] += 1


def caps_on_systems(candidates: Counts, history: History, options: WeighingOptions) -> list[Cap]:
    """What the options say of chemical systems; for those of a campaign its own suggestions count."""
    systems = _systems_of(candidates)
    caps = []
    if options.max_per_system_in_batch is not None:
        caps.append(Cap(systems, options.max_per_system_in_batch))
    if options.max_per_system is not None:
        suggested = np.zeros((0, 103), np.int32) if history.counts is None else history.counts[history.n_initial :]
        caps.append(Cap(systems, options.max_per_system, _systems_of(suggested[suggested.any(axis=1)])))
    return caps


def _systems_of(counts: Counts) -> list[int]:
    systems: list[int] = keys_of((counts > 0).astype(np.int32)).tolist()
    return systems


def weigh(
    objectives: Floats,
    n_candidates: int,
    features: Features,
    options: WeighingOptions,
    n: int,
    *,
    seed: int,
    trust: Floats | None = None,
) -> Weights:
    """Weigh candidates for a batch of `n`, by the objectives `[k]` of what is known, and how much these weigh `[k]`."""
    order = np.random.default_rng(seed).permutation(n_candidates)
    if options.acquisition == "random" or len(objectives) < _FEW_LABELS or not n_candidates:
        unknown = np.full(n_candidates, np.nan)
        return Weights(unknown, unknown, unknown[None], order)
    from agd.nets.surrogates import believe

    known, candidates = features()
    belief = believe(
        options.surrogate,
        known,
        objectives,
        candidates,
        seed=int(np.random.SeedSequence(seed).generate_state(1)[0]),
        n_draws=n if options.acquisition == "thompson" else 0,
        weights=trust,
    )
    if options.acquisition == "thompson":
        return Weights(belief.mean, belief.sd, belief.draws, order)
    acquired = _acquired(options, belief.mean, belief.sd, float(objectives.max()))
    return Weights(belief.mean, belief.sd, acquired[None], order)


def _acquired(options: WeighingOptions, mean: Floats, sd: Floats, best: float) -> Floats:
    if options.acquisition == "ei":
        return Improvement(best, options.xi).value(mean, np.maximum(sd, np.finfo(np.float64).tiny))
    kappas = {"ucb": options.kappa, "lower_bound": -options.kappa}
    return mean + kappas.get(options.acquisition, 0.0) * sd


def labelled(history: History) -> tuple[Counts, Floats]:
    """The compositions `[n, 103]` of the history that have a label, and their objectives `[n]`."""
    if history.counts is None:
        return np.zeros((0, 103), np.int32), np.zeros(0)
    is_known = ~np.isnan(history.objectives) & history.counts.any(axis=1)
    return history.counts[is_known], history.objectives[is_known]


def trust_in(history: History) -> Floats | None:
    """How much each label of `labelled` weighs `[n]`, None where all weigh the same."""
    if history.weights is None or history.counts is None:
        return None
    return history.weights[~np.isnan(history.objectives) & history.counts.any(axis=1)]


def described(counts: Counts) -> NDArray[np.float32]:
    """Magpie descriptors and the fraction of each element, `[n, 235]`."""
    fractions = counts / counts.sum(axis=1, keepdims=True)
    return np.concatenate([magpie(counts, np.float32), fractions.astype(np.float32)], axis=1, dtype=np.float32)


class Table:
    """Compositions `[n, 103]`, equal to others of the same content: what is worked out of them is kept by it."""

    def __init__(self, counts: Counts) -> None:
        from hashlib import sha256  # several times as quick as others where the processor knows it

        self.counts = counts
        self._digest = sha256(np.ascontiguousarray(counts).data).digest()

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """Their descriptors."""
        return described(self.counts)

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self._digest == other._digest


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
