"""Crystals that contracts ask with: few atoms, known types."""

import numpy as np

from agd.types import Structure


def rock_salt(cation: str, anion: str, a_angstrom: float) -> Structure:
    """The primitive cell of rock salt."""
    lattice = a_angstrom / 2 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    return Structure(lattice, (cation, anion), np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]))


def caesium_chloride(cation: str, anion: str, a_angstrom: float) -> Structure:
    """The cell of caesium chloride."""
    return Structure(a_angstrom * np.eye(3), (cation, anion), np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]))


def perovskite(a_site: str, b_site: str, anion: str, a_angstrom: float) -> Structure:
    """The cubic cell of a perovskite."""
    frac = np.array([[0.5, 0.5, 0.5], [0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.5]])
    return Structure(a_angstrom * np.eye(3), (a_site, b_site, anion, anion, anion), frac)
