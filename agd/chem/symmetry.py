"""Symmetry of crystals by spglib (10.1080/27660400.2024.2384822): types of structure, and cells made symmetric."""

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import SYMBOLS
from agd.types import Floats, Structure

if TYPE_CHECKING:
    from spglib import SpglibDataset

TYPE_PRECISION_A: Final = 0.1
"""Within that, in Å, sites are where symmetry puts them when types are told apart."""

_NUMBERS: Final = {symbol: number for number, symbol in enumerate(SYMBOLS, start=1)}

_FINER: Final = (1.0, 0.3, 0.1)
"""Shares of a precision that are tried in turn: with the larger ones spglib may find sites on top of each other."""

_WARNINGS: Final = "SPGLIB_WARNING"

_ELEMENT_OF_SYMMETRY: Final = re.compile(r"-?\d|m")

Orbits: TypeAlias = tuple[tuple[str, int, str], ...]
"""Of each orbit the element, the atoms, and the symmetry of its site, whatever way the axes are turned."""


@dataclass(frozen=True, slots=True)
class StructureType:
    """What crystals of one type share: the number of the space group, and each orbit's element, atoms and symmetry.

    Atoms are counted for as many formula units as make the least whole numbers, so that no cell is preferred. BaYF5
    (mp-752675) and CaCrF5 have the same orbits in C2/c; Y is on an axis in one, and Cr on a centre in the other.
    """

    space_group: int
    orbits: Orbits

    def named(self, mapping: Mapping[str, str]) -> "StructureType":
        """The type after every element of it gave its sites to another."""
        return StructureType(
            self.space_group, tuple(sorted((mapping[symbol], n, kind) for symbol, n, kind in self.orbits))
        )


def type_of(structure: Structure, precision_a: float = TYPE_PRECISION_A) -> StructureType:
    """The type of a crystal; one in which spglib finds no symmetry has each of its sites for itself, in P1."""
    dataset = _dataset(structure, precision_a)
    if dataset is None:
        n_sites = len(structure.species)
        return StructureType(1, _orbits(structure.species, range(n_sites), ["1"] * n_sites))
    orbits = _orbits(structure.species, dataset.crystallographic_orbits.tolist(), dataset.site_symmetry_symbols)
    return StructureType(int(dataset.number), orbits)


def symmetrised(structure: Structure, precision_a: float = TYPE_PRECISION_A) -> Structure:
    """The primitive cell in spglib's standard setting, its sites where symmetry puts them; as it is where none is."""
    return _standardised(structure, precision_a, is_primitive=True)


def conventional(structure: Structure, precision_a: float = TYPE_PRECISION_A) -> Structure:
    """The conventional cell, made symmetric in the same way."""
    return _standardised(structure, precision_a, is_primitive=False)


def site_permutations(
    structure: Structure, sites: Sequence[int], precision_a: float = TYPE_PRECISION_A
) -> NDArray[np.intp]:
    """Where each operation of the space group carries some sites of one element `[g, k]`, as positions among them."""
    dataset = _dataset(structure, precision_a)
    if dataset is None:
        return np.arange(len(sites))[None, :]
    frac = structure.frac[list(sites)]
    moved = np.einsum("gij,kj->gki", dataset.rotations, frac) + dataset.translations[:, None]
    apart = moved[:, :, None] - frac
    apart -= np.rint(apart)
    distances = np.linalg.norm(apart @ structure.lattice, axis=-1)
    found = distances.argmin(axis=2)
    is_whole = np.sort(found, axis=1) == np.arange(len(sites))
    return np.asarray(found[is_whole.all(axis=1)], dtype=np.intp)


def rotations(structure: Structure, precision_a: float = 0.01) -> Floats:
    """Rotations of the crystal `[g, 3, 3]`, in the axes of the lattice; the identity alone where there is no other."""
    dataset = _dataset(structure, precision_a)
    if dataset is None:
        return np.eye(3)[None]
    axes = structure.lattice.T
    return np.asarray(axes @ dataset.rotations @ np.linalg.inv(axes), dtype=np.float64)


def centring(structure: Structure, precision_a: float = 0.01) -> NDArray[np.int64]:
    """The vectors of the conventional cell in those of a primitive one `[3, 3]`, as rows."""
    dataset = _dataset(structure, precision_a)
    if dataset is None:
        return np.eye(3, dtype=np.int64)
    return np.asarray(np.rint(np.linalg.inv(dataset.transformation_matrix).T), dtype=np.int64)


def path_of(structure: Structure, precision_a: float = 0.01) -> list[tuple[tuple[str, Floats], tuple[str, Floats]]]:
    """Lines between named points of the Brillouin zone, in reciprocal vectors (10.1016/j.commatsci.2016.10.015)."""
    import seekpath

    with _quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of cells at the edge between two paths: either will do
        found: Any = seekpath.get_path_orig_cell(  # type: ignore[no-untyped-call]
            _cell(structure), symprec=precision_a, threshold=1e-3
        )
    points = {name: np.array(at, dtype=np.float64) for name, at in found["point_coords"].items()}
    return [((start, points[start]), (end, points[end])) for start, end in found["path"]]


def n_irreducible_points(structure: Structure, mesh: Sequence[int]) -> int:
    """How many points of a mesh `[3]` about Gamma no symmetry makes of another, nor time reversal."""
    import spglib

    with _quiet():
        mapping, _ = spglib.get_ir_reciprocal_mesh(list(mesh), _cell(structure), is_shift=[0, 0, 0], symprec=0.01)
    return len(set(mapping.tolist()))


def _standardised(structure: Structure, precision_a: float, *, is_primitive: bool) -> Structure:
    import spglib

    for share in _FINER:
        with _quiet():
            found = spglib.standardize_cell(
                _cell(structure), to_primitive=is_primitive, no_idealize=False, symprec=precision_a * share
            )
        if found is not None and len(found[2]):
            lattice, frac, numbers = found
            return Structure(np.array(lattice), tuple(SYMBOLS[number - 1] for number in numbers), np.array(frac) % 1.0)
    return structure


def _dataset(structure: Structure, precision_a: float) -> "SpglibDataset | None":
    import spglib

    for share in _FINER:
        with _quiet():
            dataset = spglib.get_symmetry_dataset(_cell(structure), symprec=precision_a * share)
        if dataset is not None:
            return dataset
    return None


def _cell(structure: Structure) -> Any:
    """The crystal as spglib takes it, which says that it takes lists."""
    return structure.lattice, structure.frac, [_NUMBERS[symbol] for symbol in structure.species]


def _orbits(species: Sequence[str], orbits: Sequence[int], symmetries: Sequence[str]) -> Orbits:
    """Element, size and site symmetry of each orbit, sorted; sizes in lowest terms."""
    sizes = Counter(int(orbit) for orbit in orbits)
    unit = int(np.gcd.reduce(list(sizes.values())))
    kinds = {orbit: "".join(sorted(_ELEMENT_OF_SYMMETRY.findall(symmetries[orbit]))) for orbit in sizes}
    return tuple(sorted((species[orbit], size // unit, kinds[orbit]) for orbit, size in sizes.items()))


@contextmanager
def _quiet() -> Iterator[None]:
    """Let spglib keep its warnings of a precision that does not work, for another is tried; and of its own plans."""
    before = os.environ.get(_WARNINGS)
    os.environ[_WARNINGS] = "OFF"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        if before is None:
            del os.environ[_WARNINGS]
        else:
            os.environ[_WARNINGS] = before
