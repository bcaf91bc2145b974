"""Ordering: where one site of a known structure is shared by two elements of the candidate."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from agd.chem import orderings, templates
from agd.chem.formula_distance import FormulaDistances
from agd.protocols import Options, TemplateLibrary
from agd.types import Counts, Structure, TemplateProposal


class OrderingOptions(Options):
    """Options of the templates `ordering`."""

    n_orderings: int = Field(20, ge=1, le=200, description="Orderings of one template at most.")
    n_nearest: int = Field(10, ge=1, le=1000, description="Templates that are looked at, the nearest formulas.")


class Ordering:
    """Structures of formulas that have two of the candidate's elements in one: RbSr2Cl5 for RbSr2ClF4.

    All orderings of the nearest template come first, then those of the next. It is for what has no good template of its
    own amounts, or where an ordered form of a known family is sought.
    """

    options_type: ClassVar[type[Options]] = OrderingOptions
    version: ClassVar[str] = "1"

    def __init__(self, options: OrderingOptions) -> None:
        self.options = options

    def propose(self, counts: Counts, library: TemplateLibrary, n: int) -> Sequence[TemplateProposal]:
        """At most `n` orderings for a composition `[103]`; none where no formula has two of its elements in one."""
        ways = list(orderings.merged(counts))
        rows = [templates.of_same_amounts(one, library.counts) for one, _, _ in ways]
        way_of = np.repeat(np.arange(len(ways)), [len(some) for some in rows])
        every = np.concatenate([*rows, np.zeros(0, np.intp)]).astype(np.intp)
        if not len(every):
            return []
        distances = np.round(FormulaDistances.of(library.counts[every]).to(counts), 9)
        energies = library.e_form_ev_per_atom[every]
        nearest = np.lexsort((way_of, every, energies, distances))[: self.options.n_nearest]
        found: list[TemplateProposal] = []
        for at in nearest.tolist():
            if len(found) >= n:
                break
            one, keeper, shares = ways[way_of[at]]
            (template,) = library.structures([int(every[at])])
            mapping = templates.mapping_of(library.counts[every[at]], one)
            taken = {old: tuple(shares) if new == keeper else (new,) for old, new in mapping.items()}
            found.extend(
                TemplateProposal(structure, int(every[at]), taken, float(distances[at]))
                for structure in self._ordered(template, mapping, keeper, shares, counts)
            )
        return found[:n]

    def _ordered(
        self, template: Structure, mapping: Mapping[str, str], keeper: str, shares: Mapping[str, int], counts: Counts
    ) -> Iterator[Structure]:
        """The orderings of one template, each scaled to the room that its elements take."""
        host = next(old for old, new in mapping.items() if new == keeper)
        charges = orderings.likely_charges(counts)
        kept = {old: new for old, new in mapping.items() if old != host}
        species = tuple(kept.get(symbol, keeper) for symbol in template.species)
        renamed = Structure(template.lattice, species, template.frac)
        for one in orderings.ordered(renamed, keeper, shares, charges, n=self.options.n_orderings):
            yield templates.rescaled(one, template)
