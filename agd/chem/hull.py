"""Formation energies and distances from the convex hull, of energies of one method and one correction scheme."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any, TypeAlias

from agd.chem.elements import SYMBOLS
from agd.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from pymatgen.core.composition import Composition

_System: TypeAlias = frozenset[str]

_SYMBOL = re.compile("[A-Z][a-z]?")

ON_HULL_EV_PER_ATOM = 1e-6
"""What is that close to the hull is on it: sums of floats end that far from what they should be."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A substance and its energy: a formation energy, or the total one of a method that has its own elements.

    `method` and `scheme` say what computed it and how that was corrected; `key` is whatever its owner knows it by.
    """

    formula: str
    energy_ev_per_atom: float
    method: str
    scheme: str = "none"
    key: int | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """A phase that something decomposes into, and its share of the atoms."""

    phase: Phase
    atomic_fraction: float


@dataclass(frozen=True, slots=True)
class HullDistance:
    """Where a substance stands: its formation energy and that of the hull at its composition.

    The hull is that of the phases alone. What lies below it is negative, and would be on the hull itself.
    """

    formula: str
    e_form_ev_per_atom: float
    hull_ev_per_atom: float
    products: tuple[Product, ...]

    @property
    def e_above_hull_ev_per_atom(self) -> float:
        """How far above the hull, negative below it."""
        distance = self.e_form_ev_per_atom - self.hull_ev_per_atom
        return 0.0 if abs(distance) < ON_HULL_EV_PER_ATOM else distance


def elements_of(formula: str) -> _System:
    """The symbols in a formula, read fast and without checking it."""
    return frozenset(_SYMBOL.findall(formula))


def formation_energy_ev_per_atom(
    formula: str, energy_ev_per_atom: float, elements_ev_per_atom: Mapping[str, float]
) -> float:
    """Energy per atom less that of the elements, by the same method (eq. 4 of arXiv 2103.00608's supplement).

    Raises:
        NotFoundError: an element has no energy.
    """
    parts = _composition(formula).fractional_composition.get_el_amt_dict()
    missing = [element for element in parts if element not in elements_ev_per_atom]
    if missing:
        raise NotFoundError(
            f"{formula}: no energy of {', '.join(missing)} by this method, so that there is no formation energy: "
            "import or relax the elements too"
        )
    return energy_ev_per_atom - sum(share * elements_ev_per_atom[element] for element, share in parts.items())


@dataclass(frozen=True, slots=True, eq=False)
class Hull:
    """The lower convex hull of phases of one method and one scheme.

    Elements stand at zero where phases are given as formation energies; where they are total energies, the lowest phase
    of each element is its reference.
    """

    method: str
    scheme: str
    references: Mapping[str, float]
    _phases: Mapping[_System, Sequence[Phase]]
    _diagrams: dict[_System, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of_formation_energies(cls, phases: Iterable[Phase]) -> "Hull":
        """From formation energies; elements stand at zero, whether or not they are among the phases.

        Raises:
            InputError: the phases are of several methods or schemes, or there are none.
        """
        every = tuple(phases)
        method, scheme = _one_kind(every)
        return cls(method, scheme, dict.fromkeys(SYMBOLS, 0.0), _by_system(every))

    @classmethod
    def of_energies(cls, phases: Iterable[Phase]) -> "Hull":
        """From total energies per atom, the elements among them; raises as `of_formation_energies`."""
        every = tuple(phases)
        method, scheme = _one_kind(every)
        references: dict[str, float] = {}
        for phase in every:
            if len(symbols := elements_of(phase.formula)) == 1:
                (symbol,) = symbols
                references[symbol] = min(phase.energy_ev_per_atom, references.get(symbol, phase.energy_ev_per_atom))
        return cls(method, scheme, references, _by_system(every))

    def distance(self, phase: Phase) -> HullDistance:
        """Where a substance stands; it need not be among the phases, and does not move the hull where it is not.

        Raises:
            InputError: it is of another method or scheme than the phases.
            NotFoundError: an element of it has no energy.
        """
        _one_kind((Phase("", 0.0, self.method, self.scheme), phase))
        e_form = formation_energy_ev_per_atom(phase.formula, phase.energy_ev_per_atom, self.references)
        composition = _composition(phase.formula)
        diagram = self._diagram(elements_of(phase.formula))
        parts = diagram.get_decomposition(composition)
        products = [Product(entry.attribute, float(share)) for entry, share in parts.items()]
        products.sort(key=lambda product: (-product.atomic_fraction, product.phase.formula))
        hull = float(sum(entry.energy_per_atom * share for entry, share in parts.items()))
        return HullDistance(phase.formula, e_form, hull, tuple(products))

    def within(self, system: Iterable[str]) -> list[Phase]:
        """The phases that are made of nothing but these elements."""
        symbols = sorted(system)
        systems = chain.from_iterable(combinations(symbols, n) for n in range(1, len(symbols) + 1))
        return [phase for one in systems for phase in self._phases.get(frozenset(one), ())]

    def _diagram(self, symbols: _System) -> Any:
        """The phase diagram of a chemical system, in formation energies; made once."""
        from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

        if symbols not in self._diagrams:
            bare = [Phase(symbol, self.references[symbol], self.method, self.scheme) for symbol in sorted(symbols)]
            lowest: dict[str, Phase] = {}
            # the first of equals is kept: a phase of the caller's before a bare element
            for phase in sorted([*self.within(symbols), *bare], key=lambda one: one.energy_ev_per_atom):
                lowest.setdefault(_composition(phase.formula).reduced_formula, phase)
            entries = []
            for formula, phase in sorted(lowest.items()):
                composition = _composition(formula)
                e_form = formation_energy_ev_per_atom(formula, phase.energy_ev_per_atom, self.references)
                entries.append(PDEntry(composition, e_form * composition.num_atoms, attribute=phase))
            self._diagrams[symbols] = PhaseDiagram(entries)
        return self._diagrams[symbols]


def _by_system(phases: Iterable[Phase]) -> dict[_System, list[Phase]]:
    found: dict[_System, list[Phase]] = defaultdict(list)
    for phase in phases:
        found[elements_of(phase.formula)].append(phase)
    return dict(found)


def _composition(formula: str) -> "Composition":
    from pymatgen.core.composition import Composition

    return Composition(formula)


def _one_kind(phases: Sequence[Phase]) -> tuple[str, str]:
    """The method and the scheme of phases; raises InputError where there is not exactly one of each."""
    if not phases:
        raise InputError("no phases: a hull needs some of one method (see `agd data import-phases --help`)")
    for word, of in _SAME.items():
        found = sorted({of(phase) for phase in phases})
        if len(found) > 1:
            examples = ", ".join(
                f"{name} ({next(phase.formula for phase in phases if of(phase) == name) or 'the phases'})"
                for name in found
            )
            raise InputError(f"one hull takes energies of one {word}, not of {examples}: name the one that is meant")
    return phases[0].method, phases[0].scheme


_SAME: dict[str, Callable[[Phase], str]] = {
    "method": lambda phase: phase.method,
    "correction scheme": lambda phase: phase.scheme,
}
