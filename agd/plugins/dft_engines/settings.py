"""What engines settle alike: cutoffs by element, a mesh about Gamma, and spin where shells are open."""

from collections.abc import Mapping
from typing import Final, Literal, Self

import numpy as np
from pydantic import Field

from agd.chem.structures import numbers_of
from agd.protocols import Options
from agd.types import Structure

_MOMENTS: Final[Mapping[str, float]] = {
    "V": 5.0,
    "Cr": 5.0,
    "Mn": 5.0,
    "Fe": 5.0,
    "Co": 5.0,
    "Ni": 5.0,
    "Cu": 1.0,
    "Mo": 5.0,
    "W": 5.0,
    "Ce": 5.0,
    "Pr": 5.0,
    "Nd": 5.0,
    "Pm": 5.0,
    "Sm": 5.0,
    "Eu": 10.0,
    "Gd": 8.0,
    "Tb": 6.0,
    "Dy": 5.0,
    "Ho": 4.0,
    "Er": 3.0,
    "Tm": 2.0,
    "Yb": 1.0,
    "U": 5.0,
    "Np": 5.0,
    "Pu": 5.0,
}
"""Moments to begin with, in Bohr magnetons, where d or f shells stay open in compounds: high spin, aligned."""

_OTHER_MOMENT: Final = 0.6
"""Of every other site, where any is polarised; a moment that begins at zero stays there."""

Spin = Literal["auto", "never", "always"]


class DftOptions(Options):
    """What every recipe says."""

    cutoff_ev: float = Field(400.0, gt=0.0, description="Of the plane waves, in eV.")
    hard_cutoff_ev: float = Field(600.0, gt=0.0, description="The same where one of the hard elements is present.")
    hard_elements: tuple[str, ...] = Field(
        ("N", "O", "F"), description="Elements whose gaps 400 eV leaves up to 0.3 eV too narrow."
    )
    mesh: tuple[int, int, int] | None = Field(
        None,
        description="Points of the mesh about Gamma along each reciprocal vector; by their spacing where not given.",
    )
    k_spacing_per_angstrom: float = Field(
        0.6, gt=0.0, description="Between points of the mesh, at most, in 1/Å; their numbers are then even, or one."
    )
    energy_ev: float = Field(
        1e-5, gt=0.0, description="Change of the energy, in eV, below which the density converged."
    )
    max_force: float = Field(0.01, gt=0.0, description="A relaxation has converged below: eV/Å.")
    max_steps: int = Field(60, ge=1, description="Steps of a relaxation at most.")
    smearing_ev: float = Field(0.05, gt=0.0, description="Width of the occupations, in eV.")
    spin: Spin = Field("auto", description="Polarised where shells are open (auto), never or always.")

    def merged(self, inputs: Mapping[str, object]) -> Self:
        """The options that a recipe's inputs say."""
        return type(self).model_validate(dict(inputs))


def cutoff_ev(structure: Structure, options: DftOptions) -> float:
    """The cutoff for a crystal: the larger one where it has a hard element."""
    is_hard = not set(options.hard_elements).isdisjoint(structure.species)
    return max(options.cutoff_ev, options.hard_cutoff_ev) if is_hard else options.cutoff_ev


def mesh(structure: Structure, options: DftOptions) -> tuple[int, int, int]:
    """Points along each reciprocal vector: even, so that the zone's boundary is met, or one for a long vector."""
    if options.mesh is not None:
        return options.mesh
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(structure.lattice), axis=0)
    counts = [1 if length <= options.k_spacing_per_angstrom else _even(length / options.k_spacing_per_angstrom)
              for length in lengths]  # fmt: skip
    return counts[0], counts[1], counts[2]


def moments(structure: Structure, options: DftOptions) -> list[float] | None:
    """Moments to begin with on each site, in Bohr magnetons; None where spins are paired.

    Open are shells of the elements above, and any where the electrons are odd in number.
    """
    is_odd = bool(numbers_of(structure).sum() % 2)
    has_open = is_odd or not _MOMENTS.keys().isdisjoint(structure.species)
    if options.spin == "never" or (options.spin == "auto" and not has_open):
        return None
    return [_MOMENTS.get(symbol, _OTHER_MOMENT) for symbol in structure.species]


def _even(least: float) -> int:
    return 2 * int(np.ceil(least / 2 - 1e-9))
