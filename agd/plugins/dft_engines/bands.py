"""Where bands end: gaps from eigenvalues on a mesh."""

import numpy as np
from numpy.typing import NDArray

from agd.recipes import BandEdges, Place
from agd.types import Floats

_SAME_EV = 1e-4
"""Edges closer than that are one: a mesh has many copies of a point."""


class TooFewBandsError(ValueError):
    """No band is empty."""


def band_edges(eigenvalues_ev: Floats, is_occupied: NDArray[np.bool_], k_points: Floats) -> BandEdges:
    """The edges among eigenvalues `[s, k, n]` of spins, points `[k, 3]` and bands, of which some are occupied.

    Where a spin has not as many occupied bands at each point it is a metal. The direct gap is the least at one point,
    whatever the spins. Where an edge is at several points, both are at one if they can be.

    Raises:
        TooFewBandsError: no band is empty at some point, or none is occupied.
    """
    counts = is_occupied.sum(axis=2)
    n_spins, n_points, n_bands = eigenvalues_ev.shape
    if (counts == n_bands).any() or not counts.any():
        raise TooFewBandsError("no band is empty at some point, or none is occupied")
    of = (n_points, n_bands, n_spins > 1)
    if (counts != counts[:, :1]).any():
        return BandEdges(0.0, 0.0, *of)
    valence = np.where(is_occupied, eigenvalues_ev, -np.inf).max(axis=(0, 2))
    conduction = np.where(is_occupied, np.inf, eigenvalues_ev).min(axis=(0, 2))
    gap, direct = float(conduction.min() - valence.max()), float((conduction - valence).min())
    if gap <= 0:
        return BandEdges(0.0, max(direct, 0.0), *of)
    at = _place(k_points[(conduction - valence).argmin()])
    if direct - gap < _SAME_EV:
        return BandEdges(gap, gap, *of, at, at, at)
    return BandEdges(gap, direct, *of, _place(k_points[valence.argmax()]), _place(k_points[conduction.argmin()]), at)


def _place(point: Floats) -> Place:
    x, y, z = (round(float(one), 6) + 0.0 for one in point)
    return x, y, z
