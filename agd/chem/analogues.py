"""Analogues: compositions of the same counts that differ in one element, found among many by hashes."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agd.chem import distinct
from agd.types import Counts

_WEIGHTS = distinct.WEIGHTS[:, 0]
_ANY = np.random.default_rng(0x616E616C).integers(0, 2**64, dtype=np.uint64) | np.uint64(1)
"""The weight of whatever stands in an element's place."""


@dataclass(frozen=True, slots=True, eq=False)
class Analogues:
    """What is known, with any one element of each composition left open: hashes of 64 bits, sorted and distinct."""

    _open: NDArray[np.uint64]
    _known: NDArray[np.uint64]

    @classmethod
    def of(cls, known: Counts) -> Self:
        """From reduced compositions `[r, 103]`."""
        _, opened = opened_of(known)
        return cls(np.unique(opened), np.unique(keys_of(known)))

    def holds(self, counts: Counts) -> NDArray[np.bool_]:
        """Which reduced compositions `[n, 103]` are known, or one element away from a known one of the same counts.

        An element of the periodic table alone is an analogue of nothing: with it left open, nothing is left.
        """
        is_held = _is_in(keys_of(counts), self._known)
        rows, opened = opened_of(counts)
        is_compound = np.count_nonzero(counts, axis=1)[rows] > 1
        is_held[rows[is_compound & _is_in(opened, self._open)]] = True
        return is_held


def keys_of(counts: Counts) -> NDArray[np.uint64]:
    """A hash `[n]` of each row of reduced counts `[n, 103]`: the first of the two that tell them apart."""
    return distinct.keys_of(counts)[:, 0]


def opened_of(counts: Counts) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """Rows and hashes, both `[m]`, of each composition of `[n, 103]` with one element after the other left open."""
    rows, columns = np.nonzero(counts)
    amounts = counts[rows, columns].astype(np.uint64)
    return rows, keys_of(counts)[rows] + amounts * (_ANY - _WEIGHTS[columns])


def _is_in(keys: NDArray[np.uint64], among: NDArray[np.uint64]) -> NDArray[np.bool_]:
    if not len(among):
        return np.zeros(len(keys), np.bool_)
    places = np.minimum(np.searchsorted(among, keys), len(among) - 1)
    is_in: NDArray[np.bool_] = among[places] == keys
    return is_in
