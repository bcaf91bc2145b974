"""One-sigma uncertainties: a positive linear fit, scaled on predictions by models that did not see the row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls  # type: ignore[attr-defined]  # scipy ships no types

from agd.types import Floats

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
