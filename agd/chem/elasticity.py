"""Elastic constants from stresses of strained cells: 21 numbers, as many as no symmetry leaves.

Strains and stresses `[6]` are xx, yy, zz, yz, xz, xy; a shear strain is twice its component, tension is positive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agd.chem.symmetry import rotations
from agd.errors import InputError
from agd.types import Floats, Structure

CORNER: Final = np.triu_indices(6)
"""Where the 21 constants stand in the matrix: 11, 12, .. 16, 22, .. 66."""

_PAIRS: Final = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_SINGULAR: Final = 1e-9
"""Of the largest eigenvalue: what is smaller has no inverse worth a number."""


@dataclass(frozen=True, slots=True, eq=False)
class Elasticity:
    """Stiffness `[6, 6]` in GPa in the axes of the lattice, and its inverse `[6, 6]` in 1/GPa, None where it has none.

    `residual_gpa` is what the fit leaves of the stresses, root mean square.
    """

    stiffness_gpa: Floats
    compliance_per_gpa: Floats | None
    min_eigenvalue_gpa: float
    residual_gpa: float

    @property
    def is_born_stable(self) -> bool:
        """Whether every strain costs energy: all eigenvalues are positive (10.1103/PhysRevB.90.224104)."""
        return self.min_eigenvalue_gpa > 0


def strains_of(magnitudes: Sequence[float]) -> Floats:
    """Strains `[6 m, 6]`: each of the six by each magnitude.

    Raises:
        InputError: there are no magnitudes, or one is zero or too large for a linear answer.
    """
    if not magnitudes or not all(0 < abs(one) <= 0.05 for one in magnitudes):  # noqa: PLR2004  5 %
        raise InputError(f"strains {list(magnitudes)}: give some, none of them 0 nor beyond 0.05")
    return np.vstack([one * np.eye(6) for one in magnitudes])


def strained(structure: Structure, strain: Floats) -> Structure:
    """The cell after a strain `[6]`, its sites moved along with it."""
    deformation = np.eye(3)
    for value, (i, j) in zip(strain, _PAIRS, strict=True):
        if i == j:
            deformation[i, i] += value
        else:
            deformation[i, j] += value / 2
            deformation[j, i] += value / 2
    return Structure(structure.lattice @ deformation, structure.species, structure.frac)


def fitted(structure: Structure, strains: Floats, stresses_gpa: Floats) -> Elasticity:
    """The constants by least squares of stresses `[n, 6]` over strains `[n, 6]`, with the symmetry of the crystal.

    What stress is left in the cell without strain is a constant of the fit.

    Raises:
        InputError: the strains do not tell all constants.
    """
    n = len(strains)
    design = np.zeros((6 * n, 21 + 6))
    for column, (i, j) in enumerate(zip(*CORNER, strict=True)):
        design[i::6, column] += strains[:, j]
        if i != j:
            design[j::6, column] += strains[:, i]
    for k in range(6):
        design[k::6, 21 + k] = 1.0
    solved, _, rank, _ = np.linalg.lstsq(design, stresses_gpa.ravel(), rcond=1e-10)
    if rank < design.shape[1]:
        raise InputError("these strains do not tell all 21 constants: each of the six has to be there, both ways")
    residual = float(np.sqrt(np.mean((design @ solved - stresses_gpa.ravel()) ** 2)))
    stiffness = np.zeros((6, 6))
    stiffness[CORNER] = solved[:21]
    stiffness = _symmetric(stiffness + np.triu(stiffness, 1).T, rotations(structure))
    values = np.linalg.eigvalsh(stiffness)
    has_inverse = np.abs(values).min() > _SINGULAR * np.abs(values).max()
    inverse = np.asarray(np.linalg.inv(stiffness), dtype=np.float64) if has_inverse else None
    return Elasticity(stiffness, inverse, float(values.min()), residual)


def _symmetric(stiffness: Floats, turns: Floats) -> Floats:
    """The mean over the rotations `[g, 3, 3]` of a crystal, by which its constants are not changed."""
    tensor = np.empty((3, 3, 3, 3))
    for a, (i, j) in enumerate(_PAIRS):
        for b, (k, m) in enumerate(_PAIRS):
            tensor[i, j, k, m] = tensor[j, i, k, m] = tensor[i, j, m, k] = tensor[j, i, m, k] = stiffness[a, b]
    mean = np.mean([np.einsum("ai,bj,ck,dm,ijkm->abcd", r, r, r, r, tensor, optimize=True) for r in turns], axis=0)
    return np.array([[mean[i, j, k, m] for k, m in _PAIRS] for i, j in _PAIRS])
