"""How much room each element takes in a crystal: fitted, so that sums over a formula say how large its cell is."""

from functools import cache
from typing import Final

import numpy as np

from agd.chem import elements
from agd.chem.elements import SYMBOLS
from agd.types import Counts, Floats

_ORDINARY_A3: Final = 18.0
"""What is taken for an element that hardly any structure has."""

_PRIOR: Final = 1.0
"""As many structures of the element as that, all with the ordinary volume, are added to the fit."""


@cache
def element_volumes() -> Floats:
    """The volumes `[103]` in Å³ per atom, as fitted to known crystals (see `fitted` and agd/data/NOTICE)."""
    volumes = np.nan_to_num(elements.fitted_volumes(), nan=_ORDINARY_A3)
    volumes.flags.writeable = False
    return volumes


def volume_a3(counts: Counts) -> float:
    """The sum over a composition `[103]`: about the volume of so many atoms in a crystal."""
    return float(counts @ element_volumes())


def fitted(counts: Counts, volumes_a3: Floats) -> Floats:
    """Volumes `[103]` whose sums over the cells `[m, 103]` come nearest to theirs `[m]`, by relative squares.

    The fit is repeated without what is more than 30 % off: cells with molecules or pores say nothing of others.
    """
    shares = counts / volumes_a3[:, None]
    keeps = np.ones(len(counts), np.bool_)
    for _ in range(3):
        used = shares[keeps]
        weights = _PRIOR * np.full(len(SYMBOLS), 1.0) / _ORDINARY_A3**2
        solved = np.linalg.solve(used.T @ used + np.diag(weights), used.sum(axis=0) + weights * _ORDINARY_A3)
        volumes: Floats = np.clip(solved, 1.0, None)
        keeps = np.abs(shares @ volumes - 1.0) < 0.3  # noqa: PLR2004  # as said above
    return volumes
