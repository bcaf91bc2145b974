"""What samplers of compositions share: a surrogate on descriptors, an acquisition, and batches spread over systems."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agd.chem.analogues import keys_of
from agd.chem.descriptors import magpie_and_fractions
from agd.chem.identity import reduce_counts
from agd.nets.surrogates import Surrogate
from agd.plugins.samplers.acquisition import Improvement, feasibility, feasible_share
from agd.protocols import Options
from agd.types import Counts, Floats, History, Parent, Prediction, Proposals, Sought

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
    equals. `expected` is what is believed of properties, as in Proposals.
    """

    mean: Floats
    sd: Floats
    acquisition: Floats
    order: NDArray[np.intp]
    expected: Mapping[int, Prediction] = field(default_factory=dict)

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
        expected = {
            number: Prediction(one.values[rows], one.uncertainties[rows]) for number, one in self.expected.items()
        }
        return Batch(rows, self.mean[rows], self.sd[rows], np.array(values, np.float64), expected)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Candidates that are chosen, by their rows, the first the best, with their measures `[n]`."""

    rows: Sequence[int]
    mean: Floats
    sd: Floats
    acquisition: Floats
    expected: Mapping[int, Prediction] = field(default_factory=dict)

    def proposals(self, candidates: Counts, parents: Sequence[Sequence[Parent]] = ()) -> Proposals:
        """Them among the candidates `[m, 103]`."""
        return Proposals(
            posterior_mean=self.mean,
            posterior_sd=self.sd,
            acquisition=self.acquisition,
            counts=candidates[self.rows],
            parents=parents,
            expected=self.expected,
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


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What labels say of compositions: their objectives `[k]`, and the sought properties of the same.

    `trust` `[k]` is how much each label of the first property weighs; None where all weigh the same.
    """

    objectives: Floats
    sought: Sequence[Sought] = ()
    trust: Floats | None = None

    @property
    def further(self) -> Mapping[int, Sought]:
        """The properties besides the first, by their number, of which enough is known to learn from."""
        numbered = enumerate(self.sought[1:], start=2)
        return {number: one for number, one in numbered if np.isfinite(one.values).sum() >= _FEW_LABELS}

    def fails(self) -> NDArray[np.bool_]:
        """Which rows `[k]` are known not to meet the target of a further property."""
        is_failed = np.zeros(len(self.objectives), np.bool_)
        for one in self.sought[1:]:
            is_failed |= ~np.isnan(one.values) & ~one.holds()
        return is_failed

    def best(self) -> float:
        """The highest objective of what meets all further targets; where nothing does, the lowest of all."""
        is_feasible = np.ones(len(self.objectives), np.bool_)
        for one in self.sought[1:]:
            is_feasible &= one.holds()
        return float(self.objectives[is_feasible].max() if is_feasible.any() else self.objectives.min())


def weigh(
    known: Known, n_candidates: int, features: Features, options: WeighingOptions, n: int, *, seed: int
) -> Weights:
    """Weigh candidates for a batch of `n`, by what is known.

    Of a further property its surrogate says how probably it holds; the acquisition of the first counts by the product.
    """
    objectives = known.objectives
    order = np.random.default_rng(seed).permutation(n_candidates)
    if options.acquisition == "random" or len(objectives) < _FEW_LABELS or not n_candidates:
        unknown = np.full(n_candidates, np.nan)
        return Weights(unknown, unknown, unknown[None], order)
    from agd.nets.surrogates import Belief, believe

    described_known, candidates = features()
    own_seed = int(np.random.SeedSequence(seed).generate_state(1)[0])

    def believed(values: Floats, n_draws: int = 0, trust: Floats | None = None) -> Belief:
        is_told = ~np.isnan(values)
        told = described_known if is_told.all() else described_known[is_told]
        weights = None if trust is None else trust[is_told]
        return believe(
            options.surrogate, told, values[is_told], candidates, seed=own_seed, n_draws=n_draws, weights=weights
        )

    belief = believed(objectives, n if options.acquisition == "thompson" else 0, known.trust)
    acquired = belief.draws
    if options.acquisition != "thompson":
        acquired = _acquired(options, belief.mean, belief.sd, known.best())[None]
    expected: dict[int, Prediction] = {}
    probability = np.ones(n_candidates)
    for number, one in known.further.items():
        further = believed(one.values)
        probability *= feasibility(further.mean, further.sd, one.low, one.high)
        expected[number] = Prediction(further.mean, further.sd)
    if known.sought and known.sought[0].is_window:
        first = believed(known.sought[0].values, trust=known.trust)
        expected[1] = Prediction(first.mean, first.sd)
    if known.further:
        worst = 0.0 if options.acquisition == "ei" else float(objectives.min())
        acquired = feasible_share(acquired, probability, worst)
    return Weights(belief.mean, belief.sd, acquired, order, expected)


def _acquired(options: WeighingOptions, mean: Floats, sd: Floats, best: float) -> Floats:
    if options.acquisition == "ei":
        return Improvement(best, options.xi).value(mean, np.maximum(sd, np.finfo(np.float64).tiny))
    kappas = {"ucb": options.kappa, "lower_bound": -options.kappa}
    return mean + kappas.get(options.acquisition, 0.0) * sd


def labelled(history: History) -> tuple[Counts, Known]:
    """The compositions `[n, 103]` of the history that have a label, and what is known of them."""
    if history.counts is None:
        return np.zeros((0, 103), np.int32), Known(np.zeros(0))
    is_known = ~np.isnan(history.objectives) & history.counts.any(axis=1)
    trust = None if history.weights is None else history.weights[is_known]
    known = Known(history.objectives[is_known], [one.of(is_known) for one in history.sought], trust)
    return history.counts[is_known], known


class Table:
    """Compositions `[n, 103]`, equal to others of the same content: what is worked out of them is kept by it."""

    def __init__(self, counts: Counts) -> None:
        from hashlib import sha256  # several times as quick as others where the processor knows it

        self.counts = counts
        self._digest = sha256(np.ascontiguousarray(counts).data).digest()

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """Their descriptors."""
        return magpie_and_fractions(self.counts)

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
