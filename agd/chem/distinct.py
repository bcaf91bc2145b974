"""Telling compositions that were met before from new ones, in little memory: by hashes, among millions."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import N_ELEMENTS
from agd.types import Counts

WEIGHTS = np.random.default_rng(0x616764).integers(0, 2**64, size=(N_ELEMENTS, 2), dtype=np.uint64) | np.uint64(1)
"""Of each element `[103, 2]`, in the two hashes of a composition: the sums of its counts by them."""


def keys_of(counts: Counts) -> NDArray[np.uint64]:
    """Two hashes `[n, 2]` of 64 bits of each row of reduced counts `[n, 103]`."""
    rows, columns = np.nonzero(counts)  # few cells of a row are filled
    sums = np.zeros((len(rows) + 1, 2), np.uint64)
    np.cumsum(counts[rows, columns].astype(np.uint64)[:, None] * WEIGHTS[columns], axis=0, out=sums[1:])
    ends = np.searchsorted(rows, np.arange(len(counts) + 1))
    return sums[ends[1:]] - sums[ends[:-1]]


@dataclass(slots=True)
class Seen:
    """Compositions met so far, by two hashes of 64 bits each, so that two are alike as good as never."""

    _first: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    _second: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))

    def add(self, counts: Counts) -> NDArray[np.bool_]:
        """Which rows of the reduced counts `[n, 103]` are met for the first time."""
        keys = keys_of(counts)
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        ordered = keys[order]
        is_new = np.ones(len(keys), np.bool_)
        is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        places = np.searchsorted(self._first, ordered[:, 0])
        inside = np.minimum(places, max(len(self._first) - 1, 0))
        if len(self._first):
            is_new &= (self._first[inside] != ordered[:, 0]) | (self._second[inside] != ordered[:, 1])
        self._first = np.insert(self._first, places[is_new], ordered[is_new, 0])
        self._second = np.insert(self._second, places[is_new], ordered[is_new, 1])
        found = np.zeros(len(keys), np.bool_)
        found[order] = is_new
        return found

    def holds(self, counts: Counts) -> NDArray[np.bool_]:
        """Which rows of the reduced counts `[n, 103]` were met before."""
        keys = keys_of(counts)
        if not len(self._first):
            return np.zeros(len(keys), np.bool_)
        places = np.minimum(np.searchsorted(self._first, keys[:, 0]), len(self._first) - 1)
        is_held: NDArray[np.bool_] = (self._first[places] == keys[:, 0]) & (self._second[places] == keys[:, 1])
        return is_held
