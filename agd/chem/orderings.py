"""Orderings: how two elements may share the sites of one, each arrangement once, and the likely ones first."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agd.chem.element_volumes import element_volumes
from agd.chem.elements import SYMBOLS, common_states, pauling_electronegativities
from agd.chem.symmetry import conventional, site_permutations, symmetrised
from agd.types import Counts, Floats, Structure

_MOST_ARRANGEMENTS: Final = 20_000
"""Cells with more are left alone: their orderings say nothing that a smaller cell does not."""

_MOST_WEIGHED: Final = 200
_TIE: Final = 6

_UNLIKE: Final = 1.0
"""Difference of two Pauling electronegativities with which elements do not share a site."""


def likely_charges(counts: Counts) -> dict[str, int]:
    """Charges of a composition's elements `[103]` that make it neutral, each a common one; none where none do.

    No anion is less electronegative than a cation. Of several sets the one with the least charge counts.
    """
    present = np.flatnonzero(counts)
    order = present[np.argsort(np.nan_to_num(pauling_electronegativities()[present]), kind="stable")]
    amounts = counts[order]
    states = [common_states()[element] for element in order]
    neutral = [
        one
        for one in product(*states)
        if amounts @ one == 0 and all(one) and (np.diff(np.sign(one)) <= 0).all()  # cations come first
    ]
    best = min(neutral, key=lambda one: (int(amounts @ np.abs(one)), one), default=())
    return {SYMBOLS[element]: state for element, state in zip(order, best, strict=False)}


def ordered(
    template: Structure, host: str, shares: Mapping[str, int], charges: Mapping[str, int], *, n: int
) -> list[Structure]:
    """At most `n` structures in which the sites of `host` are shared by two elements, in the ratio of their `shares`.

    No two are the same by a symmetry of the template. They come by Ewald energy where the charges of the two differ;
    where they do not it is the same for all, and the larger element is to have the sites with more room. Where the
    primitive cell has no whole number of each, the conventional one is tried; there may be none.
    """
    (first, n_first), (second, n_second) = shares.items()
    for cell in (symmetrised(template), conventional(template)):
        sites = [site for site, symbol in enumerate(cell.species) if symbol == host]
        n_chosen, rest = divmod(len(sites) * n_first, n_first + n_second)
        if rest or math.comb(len(sites), n_chosen) > _MOST_ARRANGEMENTS:
            continue
        found = []
        for chosen in _distinct(site_permutations(cell, sites), len(sites), n_chosen)[:_MOST_WEIGHED]:
            species = list(cell.species)
            for is_first, site in zip(chosen, sites, strict=True):
                species[site] = first if is_first else second
            found.append(Structure(cell.lattice, tuple(species), cell.frac))
        return _ranked(found, sites, charges, (first, second))[:n]
    return []


def _distinct(permutations: NDArray[np.intp], n_sites: int, n_chosen: int) -> NDArray[np.bool_]:
    """The arrangements `[m, n_sites]` of so many chosen sites, one of those that permutations `[g, n_sites]` join."""
    arrangements = np.zeros((math.comb(n_sites, n_chosen), n_sites), np.bool_)
    for row, chosen in zip(arrangements, combinations(range(n_sites), n_chosen), strict=True):
        row[list(chosen)] = True
    bits = np.uint64(1) << np.arange(n_sites, dtype=np.uint64)
    own = arrangements @ bits
    least = own.copy()
    for permutation in permutations:
        np.minimum(least, arrangements[:, permutation] @ bits, out=least)
    return np.asarray(arrangements[own == least], dtype=np.bool_)


def _ranked(
    found: Sequence[Structure], sites: Sequence[int], charges: Mapping[str, int], pair: tuple[str, str]
) -> list[Structure]:
    """By energy, and where that is the same by room; in the order in which they came where both are."""
    is_charged = {symbol for one in found for symbol in one.species} <= charges.keys()
    differ = is_charged and charges[pair[0]] != charges[pair[1]]
    energies = [_ewald_ev(one, charges) if differ else 0.0 for one in found]
    volumes = dict(zip(SYMBOLS, element_volumes().tolist(), strict=True))
    rooms = _nearest_others(found[0], sites) if found else np.zeros(0)
    fits = [sum(room * volumes[one.species[site]] for room, site in zip(rooms, sites, strict=True)) for one in found]
    order = sorted(range(len(found)), key=lambda at: (round(energies[at], _TIE), round(-fits[at], _TIE)))
    return [found[at] for at in order]


def _ewald_ev(structure: Structure, charges: Mapping[str, int]) -> float:
    """The electrostatic energy of a cell of point charges in eV."""
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure as PymatgenStructure

    of_sites = [float(charges[symbol]) for symbol in structure.species]
    crystal = PymatgenStructure(Lattice(structure.lattice), list(structure.species), structure.frac)
    crystal.add_oxidation_state_by_site(of_sites)
    return float(EwaldSummation(crystal).total_energy)  # type: ignore[no-untyped-call]  # the library has no types there


def _nearest_others(structure: Structure, sites: Sequence[int]) -> Floats:
    """How far in Å the nearest site is `[k]` that is not among these."""
    others = [site for site in range(len(structure.species)) if site not in set(sites)]
    if not others:
        return np.zeros(len(sites))
    shifts = np.array(list(product((-1, 0, 1), repeat=3)), dtype=np.float64)
    apart = structure.frac[others][None, :, None] - structure.frac[list(sites)][:, None, None] + shifts
    distances: Floats = np.linalg.norm(apart @ structure.lattice, axis=-1).min(axis=(1, 2))
    return distances


def merged(counts: Counts) -> Iterator[tuple[Counts, str, dict[str, int]]]:
    """Each composition `[103]` that comes of giving one element's atoms to another, that other one, and their shares.

    Of two elements the one that has more atoms gets them; of equals the one of smaller atomic number. Two that would
    not share a site are left apart: ions of unlike sign, or where no charges are likely, of unlike electronegativity.
    """
    charges, chi = likely_charges(counts), pauling_electronegativities()
    for pair in combinations(np.flatnonzero(counts).tolist(), 2):
        keeper, giver = sorted(pair, key=lambda element: (-counts[element], element))
        signs = [np.sign(charges.get(SYMBOLS[element], 0)) for element in pair]
        if signs[0] != signs[1] or (not charges and abs(chi[keeper] - chi[giver]) > _UNLIKE):
            continue
        one = counts.copy()
        one[keeper] += one[giver]
        one[giver] = 0
        yield one, SYMBOLS[keeper], {SYMBOLS[element]: int(counts[element]) for element in (keeper, giver)}
