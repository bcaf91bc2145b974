"""The templates of arXiv 2103.00608, by the rule of its released code."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import N_ELEMENTS, SYMBOLS, pauling_electronegativities
from agd.chem.formula_distance import FormulaDistances
from agd.chem.symmetry import symmetrised
from agd.protocols import Options, TemplateLibrary
from agd.types import Counts, Structure, TemplateProposal

_TIE = 9


class PublishedOptions(Options):
    """Options of the templates `paper`: none."""


class Published:
    """One template: the nearest formula that has the same set of amounts, whatever their number.

    Elements of equal amounts are assigned in the order in which they stand in the formulas, and replaced one after the
    other; the cell stays as large as it was. What is known already is proposed nothing for, as there, nor is that for
    which this gives another composition, as it may: there that went on unnoticed.
    """

    options_type: ClassVar[type[Options]] = PublishedOptions
    version: ClassVar[str] = "1"

    def __init__(self, options: Options) -> None:
        self.options = options

    def propose(self, counts: Counts, library: TemplateLibrary, n: int) -> Sequence[TemplateProposal]:
        """The one structure for a composition `[103]`, or none."""
        table = library.counts
        rows = _of_the_same_set(counts, table)
        if n < 1 or not len(rows):
            return []
        distances = np.round(FormulaDistances.of(table[rows]).to(counts), _TIE)
        row, distance = int(rows[distances.argmin()]), float(distances.min())
        if (table[row] == counts).all():
            return []
        pairs = list(zip(_by_amount(table[row]), _by_amount(counts), strict=False))
        (template,) = library.structures([row])
        made = _replaced(template, pairs)
        if not _is_of(counts, made):
            return []
        return [TemplateProposal(symmetrised(made), row, _mapping(template, made), distance)]


def _of_the_same_set(counts: Counts, table: Counts) -> NDArray[np.intp]:
    """Rows of a table `[m, 103]` whose amounts are those of a composition `[103]`, taken as a set."""
    amounts = np.unique(counts[counts > 0])
    is_among = np.zeros(table.max(initial=0) + 1, np.bool_)
    is_among[[0, *amounts[amounts < len(is_among)]]] = True
    rows = np.flatnonzero(is_among[table].all(axis=1))
    for amount in amounts:
        rows = rows[(table[rows] == amount).any(axis=1)]
    return rows


def _by_amount(counts: Counts) -> list[str]:
    """The elements by amount; those of equal amounts as a formula has them, by electronegativity."""
    order = np.nan_to_num(pauling_electronegativities(), nan=np.inf)
    present = np.flatnonzero(counts)
    return [SYMBOLS[one] for one in present[np.lexsort((order[present], counts[present]))]]


def _replaced(template: Structure, pairs: Sequence[tuple[str, str]]) -> Structure:
    """One element after the other: what was replaced before may be replaced again."""
    species = list(template.species)
    for old, new in pairs:
        if old != new:
            species = [new if symbol == old else symbol for symbol in species]
    return Structure(template.lattice, tuple(species), template.frac)


def _is_of(counts: Counts, structure: Structure) -> bool:
    """Whether a structure has a composition `[103]`."""
    found = np.zeros(N_ELEMENTS, np.int64)
    np.add.at(found, [SYMBOLS.index(symbol) for symbol in structure.species], 1)
    return bool((found * counts.sum() == counts * found.sum()).all())


def _mapping(template: Structure, made: Structure) -> Mapping[str, tuple[str, ...]]:
    pairs = dict.fromkeys(zip(template.species, made.species, strict=True))
    return {old: tuple(new for of, new in pairs if of == old) for old, _ in pairs}
