"""What every plug-in of templates promises, checked on a library of simple crystals."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from agd.chem.elements import N_ELEMENTS, SYMBOLS
from agd.chem.formula import parse_formula, parse_formulas
from agd.chem.templates import Library
from agd.protocols import Templates
from agd.testing.crystals import caesium_chloride, perovskite, rock_salt
from agd.testing.plugins import PluginContract, other_global_randomness
from agd.testing.promises import promised, require, require_array, require_finite, require_same
from agd.types import Counts, Structure, TemplateProposal

_GIVES = "propose gives at most `n` of agd.types.TemplateProposal, each of the candidate's composition, and says whence"
_KNOWN = {
    "LiF": rock_salt("Li", "F", 4.03),
    "CsCl": caesium_chloride("Cs", "Cl", 4.12),
    "NaBr": rock_salt("Na", "Br", 5.97),
    "BaTiO3": perovskite("Ba", "Ti", "O", 4.0),
    "CaTiO3": perovskite("Ca", "Ti", "O", 3.85),
    "NaCl": rock_salt("Na", "Cl", 5.64),
}


class TemplatesContract(PluginContract):
    """The contract of templates; the library has six structures, of rock salt, caesium chloride and perovskite."""

    group: ClassVar[str] = "agd.templates"
    protocol: ClassVar[type] = Templates
    is_random: ClassVar[bool] = False

    formulas: ClassVar[Sequence[str]] = ("KBr", "SrTiO3", "NaBr", "Al2O3")
    """What structures are asked for: with analogues, known itself, and without an analogue."""

    @classmethod
    def library(cls) -> Library:
        """What templates are taken from."""
        counts, _ = parse_formulas(list(_KNOWN))
        return Library(counts, np.full(len(_KNOWN), np.nan), tuple(_KNOWN.values()))

    @promised("the class says the version of its rules, a text", cure='say `version: ClassVar[str] = "1"`')
    def test_version_is_told(self) -> None:
        """What was proposed is known by it."""
        version = self.plugin_class().version
        require(isinstance(version, str) and version, f"its version is {version!r}")

    @promised(_GIVES, cure="give structures with the candidate's elements in its amounts, and the row of the library")
    def test_proposals_are_of_the_composition(self) -> None:
        """No analogue is an answer: an empty list."""
        library = self.library()
        for formula in self.formulas:
            for n in (10, 1):
                counts = parse_formula(formula)[0]
                found = self._proposed(counts, library, n)
                require(len(found) <= n, f"{formula}: {len(found)} proposals where {n} were asked for")
                for one in found:
                    self._require_proposal(formula, counts, one, library)

    @promised("propose is a pure function of composition and library", cure="draw nothing, and keep nothing")
    def test_proposals_are_repeated(self) -> None:
        """A resumed search proposes the same."""
        library = self.library()
        for formula in self.formulas:
            counts = parse_formula(formula)[0]
            plugin = self.plugin_class()(self.chosen())
            with other_global_randomness():
                found = [plugin.propose(counts, library, 10), self._proposed(counts, library, 10)]
            rows = [[one.row for one in of] for of in found]
            require(rows[0] == rows[1], f"{formula}: once it proposes rows {rows[0]}, once {rows[1]}")
            for one, other in zip(*found, strict=True):
                require_same(one.structure.lattice, other.structure.lattice, f"{formula}: lattices differ")
                require_same(one.structure.frac, other.structure.frac, f"{formula}: places differ")

    @promised("the library stays as it was", cure="copy what you change")
    def test_the_library_is_not_changed(self) -> None:
        """It serves the next candidate too."""
        library = self.library()
        before = [(one.lattice.copy(), one.frac.copy()) for one in library.known]
        for formula in self.formulas:
            self._proposed(parse_formula(formula)[0], library, 10)
        for one, (lattice, frac) in zip(library.known, before, strict=True):
            require_same(one.lattice, lattice, "a lattice was changed")
            require_same(one.frac, frac, "places were changed")

    def _proposed(self, counts: Counts, library: Library, n: int) -> Sequence[TemplateProposal]:
        proposals: Sequence[TemplateProposal] = self.plugin_class()(self.chosen()).propose(counts, library, n)
        return proposals

    def _require_proposal(self, formula: str, counts: Counts, one: object, library: Library) -> None:
        require(isinstance(one, TemplateProposal), f"{formula}: it gives a {type(one).__name__}")
        assert isinstance(one, TemplateProposal)  # noqa: S101  as just required
        structure = one.structure
        require(isinstance(structure, Structure), f"{formula}: its structure is a {type(structure).__name__}")
        require_array(structure.lattice, (3, 3), "floating", f"{formula}: lattice")
        require_array(structure.frac, (len(structure.species), 3), "floating", f"{formula}: frac")
        require_finite(structure.lattice, f"{formula}: lattice")
        require_finite(structure.frac, f"{formula}: frac")
        found = np.zeros(N_ELEMENTS, np.int64)
        np.add.at(found, [SYMBOLS.index(symbol) for symbol in structure.species], 1)
        is_of = found.sum() > 0 and (found * counts.sum() == counts * found.sum()).all()
        require(is_of, f"{formula}: a structure of {' '.join(sorted(structure.species))}")
        require(0 <= one.row < len(library.known), f"{formula}: row {one.row} of {len(library.known)}")
        template = set(library.known[one.row].species)
        require(set(one.mapping) == template, f"{formula}: a mapping of {sorted(one.mapping)}, not {sorted(template)}")
        given = {symbol for symbols in one.mapping.values() for symbol in symbols}
        require(given == set(structure.species), f"{formula}: a mapping to {sorted(given)}")
        require(np.isfinite(one.distance), f"{formula}: a distance of {one.distance}")
