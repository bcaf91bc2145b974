"""The folds of a cross-validation, whose rows of one composition stay together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agd.seeds import spawn_seeds


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """For each fold: the rows to fit on, which rows `[n]` it holds out, a seed."""

    n: int
    fold_of: NDArray[np.intp]
    seeds: Sequence[int]

    @classmethod
    def of(cls, groups: NDArray[np.intp], n_folds: int, seed: int) -> Self:
        """Deal the groups out: no more folds than there are, and a single one holds nothing out."""
        n_groups = int(groups.max()) + 1
        n = min(n_folds, n_groups)
        fold_of_group = np.random.default_rng(seed).permutation(n_groups) % n
        return cls(n, fold_of_group[groups], spawn_seeds(seed, n))

    def __iter__(self) -> Iterator[tuple[NDArray[np.intp], NDArray[np.bool_], int]]:
        """One after the other."""
        for fold, seed in enumerate(self.seeds):
            is_out = self.fold_of == fold
            yield np.flatnonzero(~is_out if self.n > 1 else is_out), is_out, seed
