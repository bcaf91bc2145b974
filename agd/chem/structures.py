"""Crystals as the record keeps them: a standard primitive cell, and a hash of its numbers."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import N_ELEMENTS, SYMBOLS
from agd.errors import InputError
from agd.types import Counts, Floats, Structure

if TYPE_CHECKING:
    from moyopy import Cell

SYMMETRY_PRECISION_A: Final = 0.01
"""How far, in Å, a site may be from where symmetry puts it."""

DECIMALS: Final = 4
"""Of lattice vectors in Å and of fractions; what differs beyond them is the same cell."""

_NUMBERS: Final = {symbol: number for number, symbol in enumerate(SYMBOLS, start=1)}
_LEAST_VOLUME_A3: Final = 1.0
_LONGEST_A: Final = 1e3
_FARTHEST: Final = 1e3
_PANIC: Final = "PanicException"
"""What a library in Rust raises where it gives up; it has no name that can be imported."""


@dataclass(frozen=True, slots=True, eq=False)
class Crystal:
    """A canonical cell, the sha256 of its numbers and the number of its space group."""

    structure: Structure
    cell_sha256: str
    space_group: int


def canonical(structure: Structure) -> Crystal:
    """Return the cell under which a crystal is kept: the primitive one of the standard setting.

    It is rounded to `DECIMALS` and its sites are in one order, by atomic number and place. Equal hashes mean equal
    numbers. One crystal written in another cell may get another hash: a standard setting leaves a choice of origins.

    Raises:
        InputError: the numbers are no crystal, an element is unknown, or no symmetry is found.
    """
    import moyopy

    logging.getLogger("moyo").setLevel(logging.ERROR)  # a supercell, told for each one
    cell = _checked(structure)
    try:
        found = moyopy.MoyoDataset(cell, symprec=SYMMETRY_PRECISION_A)
    except BaseException as error:
        if not isinstance(error, ValueError) and type(error).__name__ != _PANIC:
            raise
        raise InputError(
            f"no symmetry was found within {SYMMETRY_PRECISION_A} Å ({error}): do two atoms overlap?"
        ) from error
    kept = _rounded(found.prim_std_cell)
    return Crystal(kept, cell_sha256(kept), int(found.number))


def cell_sha256(structure: Structure) -> str:
    """The hash of a cell's numbers as they are: lattice, elements and places, rounded to `DECIMALS`."""
    scale = 10**DECIMALS
    parts = (structure.lattice, numbers_of(structure), structure.frac)
    digest = hashlib.sha256()
    for part in parts:
        whole = np.rint(np.asarray(part, dtype=np.float64) * scale).astype("<i8")
        digest.update(whole.tobytes())
    return digest.hexdigest()


def numbers_of(structure: Structure) -> NDArray[np.int32]:
    """The atomic numbers `[n]` of the sites; raises InputError for an unknown element."""
    try:
        return np.array([_NUMBERS[symbol] for symbol in structure.species], dtype=np.int32)
    except KeyError as error:
        raise InputError(f"{error.args[0]!r} is no element that has a place in the record") from None


def counts_of(structures: Sequence[Structure]) -> Counts:
    """How many atoms of each element the cells hold, `[n, 103]`."""
    rows = [np.bincount(numbers_of(structure) - 1, minlength=N_ELEMENTS) for structure in structures]
    return np.array(rows, dtype=np.int32).reshape(-1, N_ELEMENTS)


def lattice_from_parameters(lengths: Sequence[float], angles: Sequence[float]) -> Floats:
    """Lattice vectors `[3, 3]` from a, b, c in Å and alpha, beta, gamma in degrees; a along x, b in the xy plane.

    Raises:
        InputError: no cell has these lengths and angles.
    """
    a, b, c = lengths
    cosines = np.cos(np.radians(np.asarray(angles, dtype=np.float64)))
    alpha, beta, gamma = cosines
    sine = np.sqrt(max(1 - gamma**2, 0.0))
    height = 1 - alpha**2 - beta**2 - gamma**2 + 2 * alpha * beta * gamma
    if min(lengths) <= 0 or not np.isfinite([*lengths, *cosines]).all() or height <= 0 or sine == 0:
        raise InputError(f"no cell has the lengths {a:g}, {b:g}, {c:g} Å and the angles {', '.join(map(str, angles))}")
    return np.array(
        [
            [a, 0.0, 0.0],
            [b * gamma, b * sine, 0.0],
            [c * beta, c * (alpha - beta * gamma) / sine, c * np.sqrt(height) / sine],
        ]
    )


def volume_a3(structure: Structure) -> float:
    """The volume of the cell in Å³."""
    return float(abs(np.linalg.det(structure.lattice)))


def _checked(structure: Structure) -> "Cell":
    """The cell as the library takes it, if it can be one."""
    import moyopy

    if not structure.species:
        raise InputError("a structure without atoms")
    if not (np.isfinite(structure.lattice).all() and np.isfinite(structure.frac).all()):
        raise InputError("a lattice vector or a place is not a finite number")
    if np.abs(structure.lattice).max() > _LONGEST_A:
        raise InputError(f"a lattice vector is longer than {_LONGEST_A:g} Å")
    if np.abs(structure.frac).max() > _FARTHEST:
        raise InputError(f"a place lies {np.abs(structure.frac).max():g} cells away: are fractions meant?")
    if volume_a3(structure) < _LEAST_VOLUME_A3:
        raise InputError(f"the cell has a volume of {volume_a3(structure):g} Å³: its vectors lie in one plane")
    numbers = numbers_of(structure)
    return moyopy.Cell(basis=structure.lattice.tolist(), positions=structure.frac.tolist(), numbers=numbers.tolist())


def _rounded(cell: "Cell") -> Structure:
    """The numbers to keep, sites sorted."""
    numbers = np.array(cell.numbers)
    lattice = np.round(np.array(cell.basis), DECIMALS) + 0.0
    frac = np.round(np.array(cell.positions) % 1.0, DECIMALS) % 1.0 + 0.0
    order = np.lexsort((frac[:, 2], frac[:, 1], frac[:, 0], numbers))
    return Structure(lattice, tuple(SYMBOLS[number - 1] for number in numbers[order]), frac[order])
