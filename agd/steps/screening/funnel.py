"""The funnel of a screening: what is left of a pool at each stage, chunk by chunk; nothing here touches the record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from agd.chem.distinct import Seen
from agd.chem.formula import parse_formulas
from agd.chem.identity import reduce_counts
from agd.filters import VALID, VALIDITY, Filter, Trims
from agd.protocols import Oracle
from agd.steps.data.pools import Chunk
from agd.target import Target
from agd.types import Counts


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a composition must be to be picked; None or False asks nothing.

    The prediction must lie in the target, and still do so `sigma` standard deviations to either side. Counts are those
    of the reduced formula. `is_filtered`: the campaign's own filter lets it through. `is_novel` leaves out what has a
    label in the screener's training set. Only the first `limit` rows of the pool are read.
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

    @property
    def trims(self) -> Trims:
        """The largest compositions that are let through."""
        return Trims(self.max_elements, self.max_atoms, self.max_count)

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
            **({"is_filtered": True} if self.is_filtered else {}),  # so that others are what they were before
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
    """The stages that all screeners share, and the screeners behind them; `rule` is the campaign's filter."""

    criteria: Criteria
    screeners: Mapping[str, ScreenerAtWork]
    rule: Filter = field(default_factory=Filter)
    seen: Seen = field(default_factory=Seen)
    n_read: int = 0
    n_parsed: int = 0
    n_distinct: int = 0
    n_within_trims: int = 0
    n_valid: int = 0
    n_let_through: int = 0

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
        is_within = is_new & self.criteria.trims.judge(counts).mask
        self.n_within_trims += int(is_within.sum())
        rows, counts = rows[is_within], counts[is_within]
        if self.criteria.is_valid:
            is_valid = VALID.judge(counts).mask
            rows, counts = rows[is_valid], counts[is_valid]
        self.n_valid += len(rows)
        if self.criteria.is_filtered:
            is_let_through = self.rule.judge(counts).mask
            rows, counts = rows[is_let_through], counts[is_let_through]
        self.n_let_through += len(rows)
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
        if criteria.is_filtered:
            found.append(("within the campaign's filter", self.n_let_through))
        if criteria.is_novel:
            found.append(("novel", screener.n_novel))
        found.append(("predicted in target", screener.n_in_target))
        if criteria.sigma > 0:
            found.append((f"beyond {criteria.sigma:g} sigma", screener.n_beyond_sigma))
        return found
