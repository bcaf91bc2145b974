"""Answers of the least squares are drawn to the middle: mapped by quantiles, they are as far apart as the values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from agd.errors import ModelError
from agd.nets.arrays import checked, part, prefixed
from agd.nets.calibration import range_cuts
from agd.types import Floats, Tensors

_PREFIX: Final = "quantiles"
_ARRAYS: Final = {"at": np.float64, "shift": np.float64}


@dataclass(frozen=True, slots=True, eq=False)
class QuantileMap:
    """What is added to an answer: `shift` `[m]` at answers `at` `[m]`, interpolated between; the order stays.

    Between the answers of least squares and those of the values' own distribution lies, on a straight line, what has
    the least squares of all at its distance to that distribution (Freirich et al. 2021, arXiv 2107.02555). Of no shift
    the answers stay as they are.
    """

    at: Floats
    shift: Floats

    @classmethod
    def none(cls) -> Self:
        """Change nothing."""
        return cls(np.zeros(0), np.zeros(0))

    @classmethod
    def fit(cls, answers: Floats, values: Floats, strength: float) -> Self:
        """Go a share of the way from out-of-fold `answers` `[n]` to what the `values` `[n]` of their ranks are.

        scikit-learn's QuantileTransformer maps to a uniform or a normal distribution alone, and all the way.
        """
        cuts = range_cuts(len(answers))
        at, to = (_means(np.sort(rows), cuts) for rows in (answers, values))
        at, first = np.unique(at, return_index=True)
        return cls(at, strength * (to[first] - at))

    def mapped(self, answers: Floats) -> Floats:
        """Answers `[n]`, each by itself."""
        return answers + np.interp(answers, self.at, self.shift) if len(self.at) else answers

    def to_tensors(self) -> Tensors:
        """Arrays named `quantiles.`, or none."""
        return prefixed(_PREFIX, {"at": self.at, "shift": self.shift}) if len(self.at) else {}

    @classmethod
    def split(cls, tensors: Tensors) -> tuple[Self, Tensors]:
        """Take a model's tensors apart: the map, and the rest; raises ModelError where arrays have been altered."""
        own = part(_PREFIX, tensors)
        if not own:
            return cls.none(), tensors
        arrays = checked(own, _ARRAYS, "the mapping by quantiles")
        at, shift = arrays["at"], arrays["shift"]
        if not len(at) or len(at) != len(shift) or (np.diff(at) <= 0.0).any() or (np.diff(at + shift) < 0.0).any():
            raise ModelError("the mapping by quantiles has been altered")
        named = prefixed(_PREFIX, own)
        return cls(at, shift), {name: tensor for name, tensor in tensors.items() if name not in named}


def _means(ordered: Floats, cuts: Sequence[int]) -> Floats:
    return np.array([rows.mean() for rows in np.split(ordered, cuts)])
