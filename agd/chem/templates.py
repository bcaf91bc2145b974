"""Templates: structures of other compositions whose sites a candidate's elements take, all at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agd.chem.element_volumes import element_volumes
from agd.chem.elements import SYMBOLS, modified_pettifor
from agd.chem.formula_distance import FormulaDistances
from agd.chem.symmetry import StructureType, symmetrised
from agd.types import Counts, Floats, Structure

_TIE = 9
"""Decimals of a distance: what is equal within them is equal, whatever the order of sums."""


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """Known structures in memory: reduced compositions `[m, 103]`, formation energies `[m]`, NaN where unknown."""

    counts: Counts
    e_form_ev_per_atom: Floats
    known: Sequence[Structure]

    def structures(self, rows: Sequence[int]) -> Sequence[Structure]:
        """The structures of some rows."""
        return [self.known[row] for row in rows]


@dataclass(frozen=True, slots=True, eq=False)
class Analogues:
    """Rows `[k]` of a library that have a candidate's amounts, nearest first, and their distances `[k]` from it."""

    rows: NDArray[np.intp]
    distances: Floats


def in_lowest_terms(counts: Counts) -> Counts:
    """Counts `[n, 103]` divided by what divides all of a row: O2 is O here, for amounts are compared."""
    return np.asarray(counts // np.maximum(np.gcd.reduce(counts, axis=1), 1)[:, None], dtype=np.int32)


def of_same_amounts(counts: Counts, table: Counts) -> NDArray[np.intp]:
    """The rows of a table `[m, 103]` whose elements have the same amounts as those of a composition `[103]`.

    Amounts are a multiset: AB2 has those of A2B, and ABC not those of AB.
    """
    sought = np.sort(in_lowest_terms(counts[None, :])[0])
    n_elements = np.count_nonzero(sought)
    rows = np.flatnonzero(np.count_nonzero(table, axis=1) == n_elements)
    parts = -np.partition(-table[rows], n_elements - 1, axis=1)[:, :n_elements]
    parts = np.sort(parts // np.gcd.reduce(parts, axis=1)[:, None], axis=1)
    return np.asarray(rows[(parts == sought[-n_elements:]).all(axis=1)])


def analogues(counts: Counts, table: Counts, e_form_ev_per_atom: Floats, *, n: int) -> Analogues:
    """At most `n` rows of a table `[m, 103]` with the amounts of a composition `[103]`, but not the composition itself.

    They come by distance; of one formula by formation energy `[m]`, NaN last; then by row.
    """
    itself = in_lowest_terms(counts[None, :])[0]
    rows = of_same_amounts(counts, table)
    others = in_lowest_terms(table[rows])
    is_other = (others != itself).any(axis=1)
    rows, others = rows[is_other], others[is_other]
    if not len(rows):
        return Analogues(rows, np.zeros(0))
    distances = np.round(FormulaDistances.of(others).to(counts), _TIE)
    _, formulas = np.unique(others, axis=0, return_inverse=True)
    order = np.lexsort((rows, e_form_ev_per_atom[rows], formulas, distances))[:n]
    return Analogues(rows[order], distances[order])


def mapping_of(template: Counts, candidate: Counts) -> dict[str, str]:
    """Which element of a candidate `[103]` takes the sites of each of a template `[103]` of the same amounts.

    Among equal amounts the assignment is the one that moves least along the modified Pettifor scale; on a line that is
    the one that keeps the order.
    """
    ordered = [
        sorted(np.flatnonzero(one).tolist(), key=lambda element, one=one: (one[element], modified_pettifor()[element]))  # type: ignore[misc]  # the default binds it
        for one in (template, candidate)
    ]
    return {SYMBOLS[old]: SYMBOLS[new] for old, new in zip(*ordered, strict=True)}


def substituted(template: Structure, mapping: Mapping[str, str]) -> Structure:
    """A template whose elements are replaced at once, its cell scaled by what room they take, and made symmetric."""
    species = tuple(mapping[symbol] for symbol in template.species)
    ratio = _room(species) / _room(template.species)
    return symmetrised(Structure(template.lattice * np.cbrt(ratio), species, template.frac))


def _room(species: Sequence[str]) -> float:
    volumes = element_volumes()
    return float(sum(volumes[_COLUMNS[symbol]] for symbol in species))


_COLUMNS = {symbol: column for column, symbol in enumerate(SYMBOLS)}


def voted(types: Sequence[StructureType], log_weights: Floats) -> list[int]:
    """The position of the first of each type, those first whose weights sum to most; of equals the earlier.

    `log_weights` are the logarithms `[k]` of the weights, so that none is too small to count.
    """
    first: dict[StructureType, int] = {}
    votes: dict[StructureType, float] = {}
    for position, (one, weight) in enumerate(zip(types, log_weights.tolist(), strict=True)):
        first.setdefault(one, position)
        votes[one] = float(np.logaddexp(votes.get(one, -np.inf), weight))
    return sorted(first.values(), key=lambda position: (-round(votes[types[position]], _TIE), position))
