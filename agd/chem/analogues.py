"""Analogues: compositions of the same counts that differ in one element, found among many by hashes."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agd.chem import distinct
from agd.chem.elements import N_ELEMENTS, ionic_radius_ratios
from agd.types import Counts

_WEIGHTS = distinct.WEIGHTS[:, 0]
_ANY = np.random.default_rng(0x616E616C).integers(0, 2**64, dtype=np.uint64) | np.uint64(1)
"""The weight of whatever stands in an element's place."""

_BITS = np.zeros((N_ELEMENTS, 2), np.uint64)
_BITS[np.arange(N_ELEMENTS), np.arange(N_ELEMENTS) // 64] = np.uint64(1) << (np.arange(N_ELEMENTS) % 64).astype(
    np.uint64
)
"""One bit for each element."""


@dataclass(frozen=True, slots=True, eq=False)
class Analogues:
    """What is known, with any one element of each composition left open: hashes of 64 bits, sorted and distinct.

    `_stands` `[m, 2]` says by bits which elements stand in the open place.
    """

    _open: NDArray[np.uint64]
    _stands: NDArray[np.uint64]
    _known: NDArray[np.uint64]

    @classmethod
    def of(cls, known: Counts) -> Self:
        """From reduced compositions `[r, 103]`."""
        _, columns, hashes = opened_of(known)
        opened, places = np.unique(hashes, return_inverse=True)
        stands = np.zeros((len(opened), 2), np.uint64)
        np.bitwise_or.at(stands, places, _BITS[columns])
        return cls(opened, stands, np.unique(keys_of(known)))

    def holds(self, counts: Counts, *, max_radius_ratio: float = math.inf) -> NDArray[np.bool_]:
        """Which reduced compositions `[n, 103]` are known, or one element away from a known one of the same counts.

        The ions of the two elements differ in size by a factor of `max_radius_ratio` at most, as `ionic_radius_ratios`
        has them. An element of the periodic table alone is an analogue of nothing: with it left open, nothing is left.
        """
        is_held, _ = _find(keys_of(counts), self._known)
        rows, columns, hashes = opened_of(counts)
        is_there, places = _find(hashes, self._open)
        is_there &= np.count_nonzero(counts, axis=1)[rows] > 1
        rows, columns, places = rows[is_there], columns[is_there], places[is_there]
        alike = np.bitwise_or.reduce(
            np.where((ionic_radius_ratios() <= max_radius_ratio)[:, :, None], _BITS, np.uint64(0)), axis=1
        )
        is_held[rows[(self._stands[places] & alike[columns]).any(axis=1)]] = True
        return is_held


def keys_of(counts: Counts) -> NDArray[np.uint64]:
    """A hash `[n]` of each row of reduced counts `[n, 103]`: the first of the two that tell them apart."""
    return distinct.keys_of(counts)[:, 0]


def opened_of(counts: Counts) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.uint64]]:
    """Each composition of `[n, 103]` with one element after the other left open: rows, elements, hashes, all `[m]`."""
    rows, columns = np.nonzero(counts)
    amounts = counts[rows, columns].astype(np.uint64)
    return rows, columns, keys_of(counts)[rows] + amounts * (_ANY - _WEIGHTS[columns])


def _find(keys: NDArray[np.uint64], among: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which keys `[n]` are among others, and where."""
    if not len(among):
        return np.zeros(len(keys), np.bool_), np.zeros(len(keys), np.intp)
    places = np.minimum(np.searchsorted(among, keys), len(among) - 1)
    return among[places] == keys, places
