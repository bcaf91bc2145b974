"""Cross-fitted boosting: one booster for each fold, and for each a second one of the size of its errors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from agd.errors import ModelError
from agd.nets.arrays import part, prefixed
from agd.nets.boosters import Booster, Growth, Library
from agd.nets.calibration import OutOfFold, calibrate, is_calibration, uncertainties
from agd.nets.folds import Folds
from agd.progress import Progress, silent
from agd.types import Floats, Tensors

_SIZE_ROUNDS: Final = 0.4
"""Rounds of a booster of the size of errors, as a share of those of the values; it need not be as sharp."""


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitted:
    """Boosters over float32 features; an answer is the mean over the folds: it errs less than one booster of all rows.

    `calibration` `[4]` holds the weights of 1, expected |residual| and |mean| in an uncertainty, and its floor.
    """

    values: Sequence[Booster]
    sizes: Sequence[Booster]
    library: Library
    calibration: Floats

    @classmethod
    def fit(
        cls,
        features: NDArray[np.floating],
        values: Floats,
        *,
        library: Library,
        growth: Growth,
        n_folds: int,
        seed: int,
        groups: NDArray[np.intp] | None = None,
        progress: Progress = silent,
    ) -> tuple[Self, OutOfFold]:
        """Grow on `features` `[n, n_features]` and `values` `[n]`; rows of one group `[n]` share a fold.

        A row's out-of-fold value is by the booster that did not see its fold; its expected |residual| is by a booster
        that saw neither. With one group alone there is nothing to hold out, and nothing is judged.
        """
        features = np.ascontiguousarray(features, dtype=np.float32)
        folds = Folds.of(np.arange(len(values)) if groups is None else groups, n_folds, seed)
        n_steps = 2 * folds.n
        out_of_fold, sizes_seen = np.empty(len(values)), np.empty(len(values))
        boosters: list[Booster] = []
        for rows, is_out, fold_seed in folds:
            boosters.append(library.grow(features[rows], values[rows], growth, fold_seed))
            out_of_fold[is_out] = boosters[-1].predict(features[is_out])
            progress(len(boosters), n_steps, "folds")
        residuals = np.abs(values - out_of_fold)
        roots = np.sqrt(residuals)  # or the largest errors would rule
        size_growth = replace(growth, n_rounds=max(1, round(_SIZE_ROUNDS * growth.n_rounds)))
        sizes: list[Booster] = []
        for rows, is_out, fold_seed in folds:
            sizes.append(library.grow(features[rows], roots[rows], size_growth, fold_seed))
            sizes_seen[is_out] = sizes[-1].predict(features[is_out])
            progress(folds.n + len(sizes), n_steps, "folds, size of errors")
        is_judged = np.full(len(values), folds.n > 1)
        columns = [_squared(sizes_seen), np.abs(out_of_fold)]
        calibration = calibrate([column[is_judged] for column in columns], residuals[is_judged], float(values.std()))
        fitted = cls(boosters, sizes, library, calibration)
        return fitted, OutOfFold(out_of_fold, uncertainties(calibration, columns), is_judged)

    def predict(self, features: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Mean and uncertainty, both `[n]`, of `features` `[n, n_features]`; bitwise the same in any batch."""
        features = np.ascontiguousarray(features, dtype=np.float32)
        mean, size = _mean(self.values, features), _mean(self.sizes, features)
        return mean, uncertainties(self.calibration, [_squared(size), np.abs(mean)])

    def to_tensors(self) -> Tensors:
        """The arrays of both sorts of boosters, `values.` and `sizes.`, and the calibration."""
        return {
            **prefixed("values", self.library.pack(self.values)),
            **prefixed("sizes", self.library.pack(self.sizes)),
            "calibration": self.calibration,
        }

    @classmethod
    def from_tensors(cls, tensors: Tensors, *, library: Library, n_features: int) -> Self:
        """Rebuild the boosters; raises ModelError where the arrays are not those of boosters of `n_features`."""
        values, sizes = part("values", tensors), part("sizes", tensors)
        calibration = tensors.get("calibration")
        if calibration is None or len(values) + len(sizes) + 1 != len(tensors):
            raise ModelError("the boosted model has been altered: an array is missing, or one too many")
        if calibration.dtype != np.float64 or not is_calibration(calibration.astype(np.float64), n_columns=2):
            raise ModelError("the boosted model has been altered: its calibration")
        boosters, others = library.unpack(values, n_features), library.unpack(sizes, n_features)
        if len(boosters) != len(others):
            raise ModelError("the boosted model has been altered: its folds")
        return cls(boosters, others, library, calibration.astype(np.float64))


def _squared(roots: Floats) -> Floats:
    return np.square(np.maximum(roots, 0.0))


def _mean(boosters: Sequence[Booster], features: NDArray[np.float32]) -> Floats:
    total = np.zeros(len(features))
    for booster in boosters:
        total += booster.predict(features)
    return total / len(boosters)
