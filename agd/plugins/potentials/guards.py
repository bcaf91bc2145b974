"""What a relaxation must not do: of a hundred that start from a template, four fly apart or collapse, and converge."""

from typing import TYPE_CHECKING

import numpy as np

from agd.types import Floats, Structure

if TYPE_CHECKING:
    from ase import Atoms

_NEAREST = 0.5
"""Of the sum of two covalent radii: nearer atoms have collapsed into each other."""

_FARTHEST = 1.5
"""Of the same sum: an atom that has no other within has left the crystal."""

_MAX_FORCE_EV_PER_ANGSTROM = 1e3
"""No bond pulls like that: the potential does not know what it sees."""


def volume_ratio(start: Structure, end: Structure) -> float:
    """The volume of the cell, after to before."""
    return float(abs(np.linalg.det(end.lattice) / np.linalg.det(start.lattice)))


def strayed(ratio: float, low: float, high: float) -> str | None:
    """Why a ratio of volumes is refused, None where it is not."""
    if low <= ratio <= high:
        return None
    return f"the cell {'collapsed' if ratio < low else 'flew apart'}: its volume is {ratio:.2f} times what it was"


def evaluable(atoms: "Atoms") -> str | None:
    """Why the potential cannot be followed from here, None where it can."""
    try:
        values = np.append(atoms.get_forces().ravel(), [atoms.get_potential_energy(), *atoms.get_stress()])
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        words = str(error).strip().partition("\n")[0]
        return f"the potential has no answer ({type(error).__name__}{': ' if words else ''}{words})"
    if not np.isfinite(values).all():
        return "the potential's forces are not finite"
    if (largest := np.abs(atoms.get_forces()).max()) > _MAX_FORCE_EV_PER_ANGSTROM:
        return f"forces of {largest:.3g} eV/Å: two atoms are on top of each other, or the potential is lost"
    return None


def torn(start: Structure, end: Structure) -> str | None:
    """Why the atoms at the end are no crystal: two of them in one place, or one without a neighbour that had one."""
    before, after = _nearest(start), _nearest(end)
    if after.min() < _NEAREST:
        return f"two atoms are {after.min():.2f} of the sum of their covalent radii apart"
    left = (after > _FARTHEST) & (before <= _FARTHEST)
    if left.any():
        site = int(np.argmax(left))
        return f"{end.species[site]} at site {site + 1} lost its neighbours: the crystal came apart"
    return None


def _nearest(structure: Structure) -> Floats:
    """How far each site's nearest neighbour is `[n]`, as a share of the sum of their covalent radii; at most 2."""
    from ase import Atoms
    from ase.data import covalent_radii
    from ase.neighborlist import neighbor_list

    atoms = Atoms(list(structure.species), cell=structure.lattice, scaled_positions=structure.frac, pbc=True)
    radii = covalent_radii[atoms.numbers]
    first, second, distances = neighbor_list("ijd", atoms, 2.0 * radii)
    nearest = np.full(len(atoms), 2.0)
    np.minimum.at(nearest, first, distances / (radii[first] + radii[second]))
    return nearest
