"""One-sigma uncertainties: a positive linear fit, scaled on predictions by models that did not see the row."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls  # type: ignore[attr-defined]  # scipy ships no types

from agd.errors import ModelError
from agd.nets.arrays import checked, part, prefixed
from agd.types import Floats, Tensors

_ONE_SIGMA = 0.6826894921370859
_LEAST_SIGMA = 1e-3
"""Floor of an uncertainty, in standard deviations of the training values."""


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """What the models that did not see a training row say of it: arrays `[n]`.

    A row that is not `is_judged` was seen by too many of them to be counted in a calibration.
    """

    values: Floats
    uncertainties: Floats
    is_judged: NDArray[np.bool_]


def calibrate(columns: Sequence[Floats], residuals: Floats, scale: float) -> Floats:
    """Fit |residuals| `[n]` to non-negative weights of 1 and of `columns` `[n]`, then scale them to one sigma.

    68.27 % of the residuals are then within their uncertainty. Returns the weights and a floor, `[len(columns) + 2]`;
    `scale` is the standard deviation of the training values, and the uncertainty where there is no residual.
    """
    floor = max(_LEAST_SIGMA * scale, float(np.finfo(np.float32).tiny))
    if not len(residuals):
        return np.array([scale, *[0.0] * len(columns), floor])
    weights, _ = nnls(np.stack([np.ones(len(residuals)), *columns], axis=1), residuals)
    sigmas = uncertainties(np.array([*weights, floor]), columns)
    return np.array([*(weights * np.quantile(residuals / sigmas, _ONE_SIGMA)), floor])


def uncertainties(calibration: Floats, columns: Sequence[Floats]) -> Floats:
    """Return one sigma `[n]` for `columns` `[n]`, summed in their order: no rounding depends on the other rows."""
    constant, *weights, floor = calibration
    total: Floats = constant + weights[0] * columns[0]
    for weight, column in zip(weights[1:], columns[1:], strict=True):
        total = total + weight * column
    return np.asarray(np.maximum(total, floor))


def is_calibration(array: Floats, n_columns: int) -> bool:
    """Tell whether an array can be what `calibrate` returns."""
    is_positive = array.shape == (n_columns + 2,) and np.isfinite(array).all() and (array >= 0.0).all()
    return bool(is_positive and array[-1] > 0.0)


_PREFIX: Final = "range"
_ARRAYS: Final = {"at": np.float64, "factor": np.float64}
_CUTS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.975, 0.99)
"""Shares of the answers at which one range ends and the next begins: narrow where answers are few and far out."""
_FEWEST: Final = 60
"""Rows of a range: of fewer nobody can tell what holds 68 % of their errors."""
_LEAST_FACTOR: Final = 1e-3


def range_cuts(n: int) -> list[int]:
    """Where `n` answers in their order are cut into ranges; few answers are one."""
    cuts = [0]
    for share in _CUTS:
        cut = round(share * n)
        if min(cut - cuts[-1], n - cut) >= _FEWEST:
            cuts.append(cut)
    return cuts[1:]


@dataclass(frozen=True, slots=True, eq=False)
class RangeScale:
    """Factors of an uncertainty by what is answered: `factor` `[m]` at answers `at` `[m]`, interpolated between.

    One factor for all holds overall and may fail where answers are large. Of none the uncertainty stays as it is.
    """

    at: Floats
    factor: Floats

    @classmethod
    def none(cls) -> Self:
        """Change nothing."""
        return cls(np.zeros(0), np.zeros(0))

    @classmethod
    def fit(cls, out_of_fold: OutOfFold, values: Floats) -> Self:
        """Let 68.27 % of the residuals of `values` `[n]` be within one sigma in every range of answers, and overall.

        Where nothing is judged, the factor is 1.
        """
        is_judged = out_of_fold.is_judged
        order = np.flatnonzero(is_judged)[np.argsort(out_of_fold.values[is_judged], kind="stable")]
        if not len(order):
            return cls(np.zeros(1), np.ones(1))
        answers = out_of_fold.values[order]
        misses = np.abs(values[order] - answers) / out_of_fold.uncertainties[order]
        cuts = range_cuts(len(answers))
        at = [float(np.median(rows)) for rows in np.split(answers, cuts)]
        factor = [max(float(np.quantile(rows, _ONE_SIGMA)), _LEAST_FACTOR) for rows in np.split(misses, cuts)]
        places, first = np.unique(at, return_index=True)
        scale = cls(places, np.array(factor)[first])
        overall = float(np.quantile(misses / scale._factors(answers), _ONE_SIGMA))
        return cls(places, np.maximum(overall, _LEAST_FACTOR) * scale.factor)

    def scaled(self, answers: Floats, uncertainties: Floats) -> Floats:
        """Uncertainties `[n]` of answers `[n]`."""
        return uncertainties * self._factors(answers) if len(self.at) else uncertainties

    def applied(self, out_of_fold: OutOfFold) -> OutOfFold:
        """The same answers with the uncertainties scaled."""
        return replace(out_of_fold, uncertainties=self.scaled(out_of_fold.values, out_of_fold.uncertainties))

    def to_tensors(self) -> Tensors:
        """Arrays named `range.`, or none."""
        return prefixed(_PREFIX, {"at": self.at, "factor": self.factor}) if len(self.at) else {}

    @classmethod
    def split(cls, tensors: Tensors) -> tuple[Self, Tensors]:
        """Take a model's tensors apart: the scale, and the rest; raises ModelError where arrays have been altered."""
        own = part(_PREFIX, tensors)
        if not own:
            return cls.none(), tensors
        arrays = checked(own, _ARRAYS, "the calibration by range")
        at, factor = arrays["at"], arrays["factor"]
        if not len(at) or len(at) != len(factor) or (np.diff(at) <= 0.0).any() or (factor <= 0.0).any():
            raise ModelError("the calibration by range has been altered")
        return cls(at, factor), {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{_PREFIX}.")}

    def _factors(self, answers: Floats) -> Floats:
        return np.asarray(np.interp(answers, self.at, self.factor))
