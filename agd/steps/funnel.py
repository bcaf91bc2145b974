"""The funnel of a screening: what is left of a pool at each stage, chunk by chunk; nothing here touches the record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agd.chem import validity
from agd.chem.elements import N_ELEMENTS
from agd.chem.formula import parse_formulas
from agd.chem.identity import reduce_counts
from agd.protocols import Oracle
from agd.steps.pools import Chunk
from agd.target import Target
from agd.types import Counts, Floats

_WEIGHTS = np.random.default_rng(0x616764).integers(0, 2**64, size=(N_ELEMENTS, 2), dtype=np.uint64) | np.uint64(1)


def keys_of(counts: Counts) -> NDArray[np.uint64]:
    """Two hashes `[n, 2]` of 64 bits of each row of reduced counts `[n, 103]`."""
    return counts.astype(np.uint64) @ _WEIGHTS


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a composition must be to be picked; None or False asks nothing.

    The prediction must lie in the target, and still do so `sigma` standard deviations to either side. Counts are those
    of the reduced formula. `is_novel` leaves out what has a label in the screener's training set. Only the first
    `limit` rows of the pool are read.
    """

    target: Target
    sigma: float
    max_elements: int | None
    max_atoms: int | None
    max_count: int | None
    is_valid: bool
    is_novel: bool
    limit: int | None

    def as_json(self, formula_column: str | None) -> dict[str, object]:
        """The criteria as the record keeps them."""
        return {
            "target": self.target.text,
            "low": self.target.low,
            "high": self.target.high,
            "sigma": self.sigma,
            "max_elements": self.max_elements,
            "max_atoms": self.max_atoms,
            "max_count": self.max_count,
            "rule": f"{validity.RULE} v{validity.RULE_VERSION}" if self.is_valid else None,
            "is_novel": self.is_novel,
            "limit": self.limit,
            "formula_column": formula_column,
        }


@dataclass(slots=True)
class Seen:
    """Compositions met so far, by two hashes of 64 bits each, so that two are alike as good as never."""

    _first: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    _second: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))

    def add(self, counts: Counts) -> NDArray[np.bool_]:
        """Which rows of the reduced counts `[n, 103]` are met for the first time."""
        keys = keys_of(counts)
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        ordered = keys[order]
        is_new = np.ones(len(keys), np.bool_)
        is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        places = np.searchsorted(self._first, ordered[:, 0])
        inside = np.minimum(places, max(len(self._first) - 1, 0))
        if len(self._first):
            is_new &= (self._first[inside] != ordered[:, 0]) | (self._second[inside] != ordered[:, 1])
        self._first = np.insert(self._first, places[is_new], ordered[is_new, 0])
        self._second = np.insert(self._second, places[is_new], ordered[is_new, 1])
        found = np.zeros(len(keys), np.bool_)
        found[order] = is_new
        return found

    def holds(self, counts: Counts) -> NDArray[np.bool_]:
        """Which rows of the reduced counts `[n, 103]` were met before."""
        keys = keys_of(counts)
        if not len(self._first):
            return np.zeros(len(keys), np.bool_)
        places = np.minimum(np.searchsorted(self._first, keys[:, 0]), len(self._first) - 1)
        is_held: NDArray[np.bool_] = (self._first[places] == keys[:, 0]) & (self._second[places] == keys[:, 1])
        return is_held


@dataclass(slots=True)
class Hits:
    """What a screener picked so far: counts, line, spelling, prediction."""

    counts: list[Counts] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    spellings: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    uncertainties: list[float] = field(default_factory=list)


@dataclass(slots=True)
class ScreenerAtWork:
    """One screener at work: what it knows, what it picked, and how many got through its own stages."""

    oracle: Oracle
    known: Seen
    hits: Hits = field(default_factory=Hits)
    n_novel: int = 0
    n_in_target: int = 0
    n_beyond_sigma: int = 0

    def pick(self, counts: Counts, lines: Sequence[int], spellings: Sequence[str], criteria: Criteria) -> None:
        """Judge valid compositions `[n, 103]`."""
        rows = np.flatnonzero(~self.known.holds(counts)) if criteria.is_novel else np.arange(len(counts))
        self.n_novel += len(rows)
        if not len(rows):
            return
        prediction = self.oracle.label(counts[rows])
        is_in = reaches(prediction.values, prediction.values, criteria.target)
        self.n_in_target += int(is_in.sum())
        spread = criteria.sigma * prediction.uncertainties
        is_in &= reaches(prediction.values - spread, prediction.values + spread, criteria.target)
        self.n_beyond_sigma += int(is_in.sum())
        picked = rows[is_in]
        self.hits.counts.append(counts[picked])
        self.hits.lines += [lines[i] for i in picked]
        self.hits.spellings += [spellings[i] for i in picked]
        self.hits.values += prediction.values[is_in].tolist()
        self.hits.uncertainties += prediction.uncertainties[is_in].tolist()


@dataclass(slots=True)
class Funnel:
    """The stages that all screeners share, and the screeners behind them."""

    criteria: Criteria
    screeners: Mapping[str, ScreenerAtWork]
    seen: Seen = field(default_factory=Seen)
    n_read: int = 0
    n_parsed: int = 0
    n_distinct: int = 0
    n_within_trims: int = 0
    n_valid: int = 0

    def take(self, chunk: Chunk) -> None:
        """Let the rows of a chunk through as far as they come."""
        self.n_read += len(chunk.formulas) + chunk.n_broken
        counts, problems = parse_formulas(chunk.formulas)
        is_parsed = np.ones(len(counts), np.bool_)
        is_parsed[[problem.index for problem in problems]] = False
        rows = np.flatnonzero(is_parsed)
        self.n_parsed += len(rows)
        counts = reduce_counts(counts[rows])
        is_new = self.seen.add(counts)
        self.n_distinct += int(is_new.sum())
        trims = self.criteria
        is_within = is_new & within(counts, trims.max_elements, trims.max_atoms, trims.max_count)
        self.n_within_trims += int(is_within.sum())
        rows, counts = rows[is_within], counts[is_within]
        if self.criteria.is_valid:
            is_valid = validity.assess(counts).is_valid
            rows, counts = rows[is_valid], counts[is_valid]
        self.n_valid += len(rows)
        lines, spellings = [chunk.lines[i] for i in rows], [chunk.spellings[i] for i in rows]
        for screener in self.screeners.values():
            screener.pick(counts, lines, spellings, self.criteria)

    def stages(self, role: str) -> list[tuple[str, int]]:
        """(name, number left) in order; a stage that was not asked for is none."""
        screener, criteria = self.screeners[role], self.criteria
        found = [("read", self.n_read), ("parsed", self.n_parsed), ("distinct", self.n_distinct)]
        found.append(("within trims", self.n_within_trims))
        if criteria.is_valid:
            found.append(("valid", self.n_valid))
        if criteria.is_novel:
            found.append(("novel", screener.n_novel))
        found.append(("predicted in target", screener.n_in_target))
        if criteria.sigma > 0:
            found.append((f"beyond {criteria.sigma:g} sigma", screener.n_beyond_sigma))
        return found


def depth(values: Floats, target: Target) -> Floats:
    """How far inside the target, from its nearest bound; with one bound the value itself, or its negative."""
    if target.high is None:
        return values
    if target.low is None:
        return -values
    return np.minimum(values - target.low, target.high - values)


def reaches(low: Floats, high: Floats, target: Target) -> NDArray[np.bool_]:
    """Whether all from `low` to `high` lies in the target."""
    is_in = np.ones(len(low), np.bool_)
    if target.low is not None:
        is_in &= low >= target.low
    if target.high is not None:
        is_in &= high <= target.high
    return is_in


def within(counts: Counts, max_elements: int | None, max_atoms: int | None, max_count: int | None) -> NDArray[np.bool_]:
    """Which rows of the reduced counts `[n, 103]` have no more elements, atoms, and atoms of one element."""
    is_within = np.ones(len(counts), np.bool_)
    if max_elements is not None:
        is_within &= np.count_nonzero(counts, axis=1) <= max_elements
    if max_atoms is not None:
        is_within &= counts.sum(axis=1) <= max_atoms
    if max_count is not None:
        is_within &= counts.max(axis=1, initial=0) <= max_count
    return is_within
