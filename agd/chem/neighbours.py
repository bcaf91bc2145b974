"""Neighbours of the atoms of a crystal: the nearest ones within a cutoff, as a crystal graph takes them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from agd.types import Floats

if TYPE_CHECKING:
    from agd.types import Structure

_FIRST_CUTOFF: Final = 4.5
"""Å: a sphere that mostly holds a dozen neighbours; one of 8 Å holds a hundred and more."""
_TOLERANCE: Final = 1e-8
_DECIMALS: Final = 4
"""Distances are compared as they are written, so that equal ones are told apart by the atom's number alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The `k` nearest neighbours of the `n` atoms of a cell, nearest first.

    `atoms` is `[n, k]`, numbers within the cell; `distances` is `[n, k]` in Å. Where an atom has fewer within the
    cutoff, the rest is the atom itself at a distance of cutoff + 1.
    """

    atoms: NDArray[np.int32]
    distances: NDArray[np.float32]


def nearest(structure: "Structure", *, k: int = 12, cutoff: float = 8.0) -> Neighbours:
    """Find the `k` nearest atoms within `cutoff` Å of each atom, images in other cells among them."""
    lattice = np.ascontiguousarray(structure.lattice, dtype=np.float64)
    places = np.ascontiguousarray((np.asarray(structure.frac, dtype=np.float64) % 1.0) @ lattice)
    n = len(places)
    radius = min(_FIRST_CUTOFF, cutoff)
    while True:
        centres, others, distances = _within(places, lattice, radius)
        if radius >= cutoff or np.bincount(centres, minlength=n).min() >= k:
            break
        radius = min(1.5 * radius, cutoff)
    order = np.lexsort((others, distances.round(_DECIMALS), centres))
    centres, others, distances = centres[order], others[order], distances[order]
    position = np.arange(len(centres)) - np.searchsorted(centres, centres)
    kept = position < k
    atoms = np.repeat(np.arange(n, dtype=np.int32)[:, None], k, axis=1)
    far = np.full((n, k), cutoff + 1, dtype=np.float32)
    atoms[centres[kept], position[kept]] = others[kept]
    far[centres[kept], position[kept]] = distances[kept]
    return Neighbours(atoms, far)


def _within(places: Floats, lattice: Floats, radius: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    from pymatgen.optimization.neighbors import find_points_in_spheres

    centres, others, _, distances = find_points_in_spheres(
        places, places, r=radius, pbc=np.ones(3, dtype=np.int64), lattice=lattice, tol=_TOLERANCE, min_r=1.0
    )
    apart = distances > _TOLERANCE
    return centres[apart], others[apart], distances[apart]
