"""Phonons from forces in supercells with one site displaced, by phonopy (10.7566/JPSJ.92.012001).

No charges, hence no splitting of optical modes at the centre of the zone: that does not touch stability.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from agd.chem.symmetry import centring, path_of
from agd.errors import InputError, NotFoundError
from agd.types import Floats, Structure

if TYPE_CHECKING:
    from phonopy import Phonopy

_PRECISION_A: Final = 0.005
"""Sites of a canonical cell are rounded by less."""

_POINTS_PER_LINE: Final = 31


@dataclass(frozen=True, slots=True, eq=False)
class Displaced:
    """A supercell with one site displaced `[3]` in Å; the site is counted from 0."""

    structure: Structure
    site: int
    displacement_angstrom: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Frequencies in THz, imaginary ones negative, on a mesh `[q, modes]` and along a path `[p, modes]`.

    Weights `[q]` say how many points of the mesh each stands for. The path has its points `[p, 3]` in reciprocal
    vectors, how far along it each is `[p]` in 1/Å, and the names of those that have one, else empty.
    """

    mesh: tuple[int, int, int]
    mesh_weights: NDArray[np.int64]
    mesh_frequencies_thz: Floats
    path_points: Floats
    path_distances: Floats
    path_labels: Sequence[str]
    path_frequencies_thz: Floats

    @property
    def min_frequency_thz(self) -> float:
        """The lowest of mesh and path."""
        return float(min(self.mesh_frequencies_thz.min(), self.path_frequencies_thz.min()))

    def n_below(self, frequency_thz: float) -> int:
        """How many modes of mesh and path are below."""
        return sum(int((one < frequency_thz).sum()) for one in (self.mesh_frequencies_thz, self.path_frequencies_thz))


def supercell_of(structure: Structure, least_length_angstrom: float, most_sites: int) -> NDArray[np.int64]:
    """The vectors of a supercell in those of a primitive cell `[3, 3]`: the conventional cell, repeated.

    Each is as long as is asked for, where that takes no more sites than are allowed.
    """
    conventional = centring(structure)
    lengths = np.linalg.norm(conventional @ structure.lattice, axis=1)
    times = np.maximum(1, np.ceil(least_length_angstrom / lengths - 1e-6)).astype(np.int64)
    n_sites = len(structure.species) * abs(round(np.linalg.det(conventional)))
    while n_sites * times.prod() > most_sites and times.max() > 1:
        times[np.argmax(np.where(times > 1, times * lengths, 0.0))] -= 1
    return np.asarray(np.diag(times) @ conventional, dtype=np.int64)


def displaced_cells(
    structure: Structure, supercell: NDArray[np.int64], displacement_angstrom: float
) -> tuple[Structure, list[Displaced]]:
    """The supercell as it is, and as many displaced ones as symmetry leaves.

    Raises:
        NotFoundError: phonopy is not installed.
    """
    with _phonopy(structure, supercell) as phonopy:
        phonopy.generate_displacements(distance=displacement_angstrom)
        found: Any = phonopy.dataset
        cells: Any = phonopy.supercells_with_displacements
        displaced = [
            Displaced(_structure(cell), int(one["number"]), np.asarray(one["displacement"], dtype=np.float64))
            for cell, one in zip(cells, found["first_atoms"], strict=True)
        ]
        return _structure(phonopy.supercell), displaced


def spectrum(
    structure: Structure,
    supercell: NDArray[np.int64],
    undisplaced: Structure,
    displaced: Sequence[tuple[int, Floats]],
    forces: Sequence[Floats],
    mesh_length_angstrom: float,
) -> Spectrum:
    """Phonons from the forces `[n, 3]` in each displaced supercell, less those of the supercell as it is.

    A displaced one is its site and displacement `[3]`. The mesh is as dense as a length says: so many points along a
    reciprocal vector as that is long, times the length.

    Raises:
        InputError: the supercell is another than the forces are of.
        NotFoundError: phonopy is not installed.
    """
    with _phonopy(structure, supercell) as phonopy:
        ours = _structure(phonopy.supercell)
        if ours.species != undisplaced.species or not np.allclose(ours.frac, undisplaced.frac, atol=1e-6):
            raise InputError("this version of phonopy makes another supercell than the forces were computed in")
        phonopy.dataset = {
            "natom": len(ours.species),
            "first_atoms": [
                {"number": site, "displacement": moved, "forces": force}
                for (site, moved), force in zip(displaced, forces, strict=True)
            ],
        }
        phonopy.produce_force_constants(show_drift=False)
        phonopy.symmetrize_force_constants(show_drift=False)
        phonopy.run_mesh(mesh_length_angstrom)
        mesh: Any = phonopy.get_mesh_dict()
        numbers = phonopy.mesh_numbers
        assert numbers is not None  # noqa: S101  it was run
        points, distances, labels = _path(structure)
        phonopy.run_qpoints(points)
        path: Any = phonopy.get_qpoints_dict()
        a, b, c = (int(one) for one in numbers)
        return Spectrum(
            (a, b, c),
            np.asarray(mesh["weights"], dtype=np.int64),
            np.asarray(mesh["frequencies"], dtype=np.float64),
            points,
            distances,
            labels,
            np.asarray(path["frequencies"], dtype=np.float64),
        )


def _path(structure: Structure) -> tuple[Floats, Floats, list[str]]:
    """Points along the lines of the path, how far each is, and names; where a line begins anew, two stand together."""
    reciprocal = np.linalg.inv(structure.lattice).T
    points, distances, labels = [], [], []
    so_far = 0.0
    for (start, from_), (end, to) in path_of(structure):
        line = np.linspace(from_, to, _POINTS_PER_LINE)
        along = np.linalg.norm((line - from_) @ reciprocal, axis=1)
        points.append(line)
        distances.append(so_far + along)
        labels += [start, *[""] * (_POINTS_PER_LINE - 2), end]
        so_far += along[-1]
    return np.vstack(points), np.concatenate(distances), [one.replace("GAMMA", "Γ") for one in labels]


@contextmanager
def _phonopy(structure: Structure, supercell: NDArray[np.int64]) -> Iterator["Phonopy"]:
    try:
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms
    except ImportError as error:
        raise NotFoundError("phonons need a package that is not here: pip install 'agd-campaigns[phonons]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of phonopy's own plans
        cell = PhonopyAtoms(symbols=structure.species, cell=structure.lattice, scaled_positions=structure.frac)
        yield Phonopy(cell, supercell_matrix=supercell.T, primitive_matrix="P", symprec=_PRECISION_A)


def _structure(cell: Any) -> Structure:
    return Structure(
        np.array(cell.cell, dtype=np.float64),
        tuple(cell.symbols),
        np.array(cell.scaled_positions, dtype=np.float64),
    )
