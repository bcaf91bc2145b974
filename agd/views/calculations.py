"""Calculations, and what came of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Calculation:
    """A calculation of a structure by a recipe, v_calculation: how far it is, and what its attempts took.

    `method` is that of a potential or of first principles; parts are displaced or strained cells.
    """

    calculation_id: int
    reduced_formula: str
    kind: str
    engine: str
    method: str
    potential_version: str | None
    weights_sha256: str | None
    inputs: Mapping[str, Any]
    structure_id: int
    space_group: int
    n_sites: int
    energy_ev_per_atom: float | None
    is_done: bool
    n_parts: int
    n_parts_done: int
    n_attempts: int
    n_failed: int
    core_seconds: float | None
    wall_seconds: float | None
    memory_bytes: int | None
    code_version: str | None
    last_outcome: str | None
    last_class: str | None
    last_error: str | None
    ended_at: datetime | None
    recipe_sha256: str


@dataclass(frozen=True, slots=True)
class Phonons:
    """Phonons of a structure, v_phonons: the lowest frequency in THz, negative where imaginary, and how many are.

    `is_lowest` says whether the structure is the lowest of its composition that the same potential or recipe relaxed.
    The supercell `[9]` has its vectors in those of the cell.
    """

    calculation_id: int
    reduced_formula: str
    engine: str
    method: str
    structure_id: int
    space_group: int
    supercell: Sequence[int]
    displacement_angstrom: float
    mesh: Sequence[int]
    min_frequency_thz: float
    imaginary_below_thz: float
    n_imaginary: int
    is_lowest: bool


@dataclass(frozen=True, slots=True)
class Elasticity:
    """Elastic constants of a structure in GPa, v_elasticity: 11, 12, .. 16, 22, .. 66 in the axes of its lattice.

    Averages of Reuss and Hill are None where the constants have no inverse.
    """

    calculation_id: int
    reduced_formula: str
    engine: str
    method: str
    structure_id: int
    space_group: int
    stiffness_gpa: Sequence[float]
    is_born_stable: bool
    min_eigenvalue_gpa: float
    bulk_voigt_gpa: float
    bulk_reuss_gpa: float | None
    bulk_hill_gpa: float | None
    shear_voigt_gpa: float
    shear_reuss_gpa: float | None
    shear_hill_gpa: float | None
    young_hill_gpa: float | None
    poisson_hill: float | None
    anisotropy: float | None
    n_strained: int
    residual_gpa: float


@dataclass(frozen=True, slots=True)
class CalculationPreview:
    """What a calculation would be made of, from the cell as it is now; by a potential that is relaxed before."""

    kind: str
    reduced_formula: str
    engine: str
    structure_id: int
    n_sites: int
    n_parts: int
    n_sites_of_part: int
    is_relaxed_before: bool
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Calculated:
    """A calculation with what came of it; `was_there` says that nothing was computed for it now."""

    calculation: Calculation
    phonons: Phonons | None
    elasticity: Elasticity | None
    claim: str
    was_there: bool
