"""What a stream of generated samples comes to: distinct compositions with their first sample, stage by stage.

Nothing here touches the record. A composition takes about a hundred bytes, so that millions of them need little memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from agd.chem import validity
from agd.chem.distinct import Seen, keys_of
from agd.chem.elements import N_ELEMENTS
from agd.chem.identity import reduce_counts
from agd.filters import NOT_BALANCED, NOT_NEUTRAL, NOTHING, VALIDITY, Filter, FilterOptions, Refused, Sieve
from agd.policies import KeepPolicy
from agd.types import Counts


@dataclass(frozen=True, slots=True)
class Keeping:
    """What of a generation is stored; a trim of None asks nothing, and trims speak of the reduced formula.

    `filter` asks for more.
    """

    keep: KeepPolicy = "distinct"
    max_elements: int | None = None
    max_atoms: int | None = None
    max_count: int | None = None
    filter: FilterOptions = NOTHING

    @classmethod
    def of_request(cls, request: Mapping[str, Any]) -> Self:
        """The rule that plain values of JSON stand for."""
        return cls(**{**request, "filter": FilterOptions.model_validate(request.get("filter", {}))})

    def as_request(self) -> dict[str, Any]:
        """The rule in such values; a filter that asks nothing is left out."""
        asked = {key: getattr(self, key) for key in ("keep", "max_elements", "max_atoms", "max_count")}
        return {**asked, **({"filter": given} if (given := self.filter.given()) else {})}

    @property
    def trims(self) -> FilterOptions:
        """The largest compositions that are stored."""
        return FilterOptions(max_elements=self.max_elements, max_atoms=self.max_atoms, max_count=self.max_count)

    def as_json(self) -> dict[str, object]:
        """The rule as the record keeps it."""
        return {**self.as_request(), "rule": VALIDITY}


@dataclass(slots=True)
class Tally:
    """Distinct compositions in the order in which they were first met, how often each was; for its keys see Seen."""

    n_samples: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    _first: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    _second: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    _places: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))

    def __len__(self) -> int:
        return len(self.n_samples)

    def add(self, counts: Counts) -> NDArray[np.intp]:
        """Count the rows of the reduced counts `[n, 103]`; which of them are met for the first time, ascending."""
        if not len(counts):
            return np.zeros(0, np.intp)
        keys = keys_of(counts)
        order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: of equal ones the first stays first
        keys = keys[order]
        starts = np.flatnonzero(np.append(True, (keys[1:] != keys[:-1]).any(axis=1)))
        sizes = np.diff(starts, append=len(keys)).astype(np.int32)
        firsts, keys = order[starts], keys[starts]
        at, is_known = self._find(keys)
        self.n_samples[self._places[at[is_known]]] += sizes[is_known]
        is_new = ~is_known
        by_sample = np.argsort(firsts[is_new])
        places = np.empty(len(by_sample), np.int32)
        places[by_sample] = np.arange(len(self), len(self) + len(by_sample), dtype=np.int32)
        self.n_samples = np.append(self.n_samples, sizes[is_new][by_sample])
        self._first = np.insert(self._first, at[is_new], keys[is_new, 0])
        self._second = np.insert(self._second, at[is_new], keys[is_new, 1])
        self._places = np.insert(self._places, at[is_new], places)
        return firsts[is_new][by_sample]

    def n_met(self, counts: Counts) -> int:
        """How many rows of the distinct reduced counts `[n, 103]` were met."""
        return int(self._find(keys_of(counts))[1].sum())

    def _find(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where each key `[n, 2]` stands or would have to stand, and whether it is there."""
        at = np.searchsorted(self._first, keys[:, 0])
        if not len(self._first):
            return at, np.zeros(len(keys), np.bool_)
        inside = np.minimum(at, len(self._first) - 1)
        return at, (self._first[inside] == keys[:, 0]) & (self._second[inside] == keys[:, 1])


class Batch(NamedTuple):
    """Kept compositions of one chunk: sample numbers, places in the tally, cells of their counts, verdicts."""

    samples: NDArray[np.int64]
    places: NDArray[np.int32]
    n_cells: NDArray[np.uint8]
    columns: NDArray[np.uint8]
    amounts: NDArray[np.int32]
    is_applicable: NDArray[np.bool_]
    is_neutral: NDArray[np.bool_]
    is_balanced: NDArray[np.bool_]

    @property
    def counts(self) -> Counts:
        """`[m, 103]`, as generated."""
        counts = np.zeros((len(self.samples), N_ELEMENTS), np.int32)
        counts[np.repeat(np.arange(len(counts)), self.n_cells), self.columns] = self.amounts
        return counts


@dataclass(slots=True)
class Gathering:
    """The samples of a generation as they come; `known` are the rows of the training set that were not held out.

    `further` is the filter of `keeping`, for whoever takes something for known.
    """

    keeping: Keeping
    known: Seen
    further: Filter = field(default_factory=Filter)
    tally: Tally = field(default_factory=Tally)
    batches: list[Batch] = field(default_factory=list)
    refused: Refused = field(default_factory=Refused)
    n_sampled: int = 0
    n_decoded: int = 0
    n_left_valid: int = 0
    n_left_novel: int = 0
    _n_valid: int = 0
    _n_valid_as_generated: int = 0
    _n_novel: int = 0
    _is_valid: list[NDArray[np.bool_]] = field(default_factory=list)
    _sieves: list[Sieve] = field(init=False)

    def __post_init__(self) -> None:
        self._sieves = [Sieve(self.further, None, self.refused)]
        if self.keeping.trims != NOTHING:
            self._sieves.insert(0, Sieve(Filter(self.keeping.trims), "within trims", self.refused))

    def take(self, first: int, counts: Counts) -> None:
        """Count the samples `[n, 103]` from number `first` on, as generated; a zero row is a sample without formula."""
        self.n_sampled += len(counts)
        decoded = np.flatnonzero(counts.any(axis=1))
        self.n_decoded += len(decoded)
        reduced = reduce_counts(counts[decoded])
        self._n_valid_as_generated += int(validity.assess(counts[decoded]).is_valid.sum())
        place = len(self.tally)
        new = self.tally.add(reduced)
        decoded, reduced = decoded[new], reduced[new]
        verdicts = validity.assess(reduced)
        is_valid = verdicts.is_valid
        is_novel = ~self.known.holds(reduced)
        is_within = self._let_through(reduced)
        self.n_left_valid += int((is_within & is_valid).sum())
        self.n_left_novel += int((is_within & is_valid & is_novel).sum())
        self._n_valid += int(is_valid.sum())
        self._n_novel += int(is_novel.sum())
        self._is_valid.append(is_valid)
        kept = np.flatnonzero(is_within & is_valid if self.keeping.keep == "valid" else is_within)
        if self.keeping.keep == "valid":
            is_neutral = verdicts.is_charge_neutral
            self.refused.add(NOT_NEUTRAL, reduced[is_within & ~is_neutral])
            self.refused.add(NOT_BALANCED, reduced[is_within & is_neutral & ~verdicts.is_electronegativity_balanced])
        rows, columns = np.nonzero(counts[decoded[kept]])
        self.batches.append(
            Batch(
                samples=first + decoded[kept],
                places=(place + kept).astype(np.int32),
                n_cells=np.bincount(rows, minlength=len(kept)).astype(np.uint8),
                columns=columns.astype(np.uint8),
                amounts=counts[decoded[kept]][rows, columns],
                is_applicable=verdicts.is_applicable[kept],
                is_neutral=verdicts.is_charge_neutral[kept],
                is_balanced=verdicts.is_electronegativity_balanced[kept],
            )
        )

    @property
    def n_kept(self) -> int:
        """Compositions to store."""
        return sum(len(batch.samples) for batch in self.batches)

    @property
    def n_samples_kept(self) -> int:
        """Samples that gave one of them."""
        return sum(int(self.tally.n_samples[batch.places].sum()) for batch in self.batches)

    def stages(self) -> list[tuple[str, int]]:
        """(name, number left) in order: samples first, then distinct compositions; what was not asked is no stage."""
        found = [("sampled", self.n_sampled), ("decoded", self.n_decoded), ("distinct", len(self.tally))]
        for sieve in self._sieves:
            found += sieve.stages()
        return [*found, ("valid", self.n_left_valid), ("novel", self.n_left_novel)]

    def metrics(self) -> dict[str, float]:
        """What generators are compared by, trims and filter aside.

        Valid and novel ones as shares of the distinct compositions (none where there is no composition), distinct ones
        as a share of the samples, and as a share of the samples those that are valid: `validity_of_samples` once
        reduced, `validity_as_generated` as they are, where a multiple of a formula is none.
        """
        n_valid_samples = int(self.tally.n_samples[self._valid()].sum())
        found = {
            "validity_of_samples": n_valid_samples / self.n_sampled,
            "validity_as_generated": self._n_valid_as_generated / self.n_sampled,
            "uniqueness": len(self.tally) / self.n_sampled,
        }
        if len(self.tally):
            found |= {"validity": self._n_valid / len(self.tally), "novelty": self._n_novel / len(self.tally)}
        return found

    def _let_through(self, reduced: Counts) -> NDArray[np.bool_]:
        """Which reduced compositions `[n, 103]` trims and filter let through."""
        left = np.arange(len(reduced))
        for sieve in self._sieves:
            left = left[sieve(reduced[left])]
        is_let_through = np.zeros(len(reduced), np.bool_)
        is_let_through[left] = True
        return is_let_through

    def _valid(self) -> NDArray[np.bool_]:
        return np.concatenate(self._is_valid) if self._is_valid else np.zeros(0, np.bool_)
