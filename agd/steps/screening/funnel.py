"""The funnel of a screening: what is left of a pool at each stage, chunk by chunk; nothing here touches the record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from agd.chem.distinct import Seen
from agd.chem.formula import parse_formulas
from agd.chem.identity import reduce_counts
from agd.filters import NOTHING, VALID, VALIDITY, Filter, FilterOptions, Refused, Sieve
from agd.protocols import Oracle
from agd.steps.data.pools import Chunk
from agd.target import Target
from agd.types import Counts


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a composition must be to be picked; None or False asks nothing.

    The prediction must lie in the target, and still do so `sigma` standard deviations to either side. Counts are those
    of the reduced formula. `is_filtered`: the campaign's own filter lets it through. `is_novel` leaves out what has a
    label in the screener's training set. Only the first `limit` rows of the pool are read. `filter` asks for more.
    """

    target: Target
    sigma: float
    max_elements: int | None
    max_atoms: int | None
    max_count: int | None
    is_valid: bool
    is_novel: bool
    limit: int | None
    is_filtered: bool = False
    filter: FilterOptions = NOTHING

    @property
    def trims(self) -> FilterOptions:
        """The largest compositions that are let through."""
        return FilterOptions(max_elements=self.max_elements, max_atoms=self.max_atoms, max_count=self.max_count)

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
            "rule": VALIDITY if self.is_valid else None,
            "is_novel": self.is_novel,
            "limit": self.limit,
            "formula_column": formula_column,
            # so that others are what they were before
            **({"is_filtered": True} if self.is_filtered else {}),
            **({"filter": given} if (given := self.filter.given()) else {}),
        }


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
        is_in = criteria.target.holds(prediction.values)
        self.n_in_target += int(is_in.sum())
        is_in &= criteria.target.holds(prediction.values, criteria.sigma * prediction.uncertainties)
        self.n_beyond_sigma += int(is_in.sum())
        picked = rows[is_in]
        self.hits.counts.append(counts[picked])
        self.hits.lines += [lines[i] for i in picked]
        self.hits.spellings += [spellings[i] for i in picked]
        self.hits.values += prediction.values[is_in].tolist()
        self.hits.uncertainties += prediction.uncertainties[is_in].tolist()


@dataclass(slots=True)
class Funnel:
    """The stages that all screeners share, and the screeners behind them.

    `rule` is the campaign's filter, `further` the filter that was asked for besides.
    """

    criteria: Criteria
    screeners: Mapping[str, ScreenerAtWork]
    rule: Filter = field(default_factory=Filter)
    further: Filter = field(default_factory=Filter)
    seen: Seen = field(default_factory=Seen)
    n_read: int = 0
    n_parsed: int = 0
    n_distinct: int = 0
    refused: Refused = field(default_factory=Refused)
    sieves: list[Sieve] = field(init=False)

    def __post_init__(self) -> None:
        self.sieves = [Sieve(Filter(self.criteria.trims), "within trims", self.refused)]
        if self.criteria.is_valid:
            self.sieves.append(Sieve(VALID, "valid", self.refused))
        if self.criteria.is_filtered:
            self.sieves.append(Sieve(self.rule, "within the campaign's filter", self.refused))
        self.sieves.append(Sieve(self.further, None, self.refused))

    def take(self, chunk: Chunk) -> None:
        """Let the rows of a chunk through as far as they come."""
        self.n_read += len(chunk.formulas) + chunk.n_broken
        counts, problems = parse_formulas(chunk.formulas)
        is_parsed = np.ones(len(counts), np.bool_)
        is_parsed[[problem.index for problem in problems]] = False
        rows = np.flatnonzero(is_parsed)
        self.n_parsed += len(rows)
        counts = reduce_counts(counts[rows])
        is_left = self.seen.add(counts)
        self.n_distinct += int(is_left.sum())
        for sieve in self.sieves:
            rows, counts = rows[is_left], counts[is_left]
            is_left = sieve(counts)
        rows, counts = rows[is_left], counts[is_left]
        lines, spellings = [chunk.lines[i] for i in rows], [chunk.spellings[i] for i in rows]
        for screener in self.screeners.values():
            screener.pick(counts, lines, spellings, self.criteria)

    def stages(self, role: str) -> list[tuple[str, int]]:
        """(name, number left) in order; a stage that was not asked for is none."""
        screener, criteria = self.screeners[role], self.criteria
        found = [("read", self.n_read), ("parsed", self.n_parsed), ("distinct", self.n_distinct)]
        for sieve in self.sieves:
            found += sieve.stages()
        if criteria.is_novel:
            found.append(("novel", screener.n_novel))
        found.append(("predicted in target", screener.n_in_target))
        if criteria.sigma > 0:
            found.append((f"beyond {criteria.sigma:g} sigma", screener.n_beyond_sigma))
        return found
