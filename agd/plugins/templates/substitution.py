"""Substitution: every near analogue votes for its type of structure, and a type is proposed by its nearest."""

from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import ClassVar

import numpy as np
from pydantic import Field

from agd.chem import templates
from agd.chem.symmetry import StructureType, type_of
from agd.plugins.templates.ordering import Ordering, OrderingOptions
from agd.protocols import Options, TemplateLibrary
from agd.types import Counts, Structure, TemplateProposal


class SubstitutionOptions(Options):
    """Options of the templates `substitution`."""

    n_nearest: int = Field(200, ge=1, le=10_000, description="Analogues that are looked at, the nearest formulas.")
    vote_range: float = Field(
        0.4,
        gt=0.0,
        description="A formula votes e times less for each such distance, in places of the modified Pettifor scale.",
    )
    size_range: float = Field(
        20.0, gt=0.0, description="A template votes e times less for so many atoms more in its cell."
    )
    far: float = Field(
        2.0,
        gt=0.0,
        description="From this distance of the nearest formula on, types stand in turn with orderings of a formula at"
        " most half as far, where two elements share what is one site.",
    )


class Substitution:
    """Templates of the same amounts by Earth Mover's Distance; elements are assigned by the same scale, all at once.

    The nearest formula is often right; where it is not, what several near ones have in common is. Small cells are
    preferred a little: of what is known, they are the more frequent.
    """

    options_type: ClassVar[type[Options]] = SubstitutionOptions
    version: ClassVar[str] = "2"

    def __init__(self, options: SubstitutionOptions) -> None:
        self.options = options

    def propose(self, counts: Counts, library: TemplateLibrary, n: int) -> Sequence[TemplateProposal]:
        """At most `n` distinct types for a composition `[103]`; none where no other formula has its amounts.

        Nor two of its elements in one.
        """
        found = templates.analogues(counts, library.counts, library.e_form_ev_per_atom, n=self.options.n_nearest)
        structures = library.structures(found.rows.tolist())
        mappings = [templates.mapping_of(library.counts[row], counts) for row in found.rows]
        types = [one.named(mapping) for one, mapping in zip(self.types_of(structures), mappings, strict=True)]
        n_atoms = np.array([len(one.species) for one in structures], dtype=np.float64)
        weights = -found.distances / self.options.vote_range - n_atoms / self.options.size_range
        chosen = templates.voted(types, weights)[:n]
        own = [
            TemplateProposal(
                templates.substituted(structures[position], mappings[position]),
                int(found.rows[position]),
                {old: (new,) for old, new in mappings[position].items()},
                float(found.distances[position]),
            )
            for position in chosen
        ]
        nearest = float(found.distances.min(initial=np.inf))
        if nearest < self.options.far:
            return own
        ordered = Ordering(OrderingOptions()).propose(counts, library, n)
        near = [one for one in ordered if one.distance <= nearest / 2]
        return [one for one in chain.from_iterable(zip_longest(own, near)) if one is not None][:n]

    def types_of(self, structures: Sequence[Structure]) -> list[StructureType]:
        """The types of templates, by which no two proposals are alike."""
        return [type_of(one) for one in structures]
